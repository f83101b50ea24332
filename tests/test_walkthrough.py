"""Containers, registrar, Consul, proxy-api, HAProxy and back: one service's life on real parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.local import (
    ConsulServer,
    Container,
    ProxyProcess,
    RegistrarProcess,
    loopback_address,
    wait_until,
)

NODES = ("node-1", "node-2")


class Cluster:
    """Two nodes with a registrar each, one Consul, one proxy."""

    def __init__(self, stack: ExitStack, image: str, consul: ConsulServer) -> None:
        self._stack, self._image, self.consul = stack, image, consul
        self.label = f"portbook-test-{consul.port}"
        self.addresses = {node: loopback_address() for node in NODES}
        self.registrars = {
            node: stack.enter_context(RegistrarProcess(
                consul.address, node, self.addresses[node], "--only-label", f"{self.label}={node}", http=True))
            for node in NODES
        }
        for registrar in self.registrars.values():
            registrar.wait_ready()
        self.proxy = stack.enter_context(ProxyProcess(consul.address))

    def run(self, node: str, service: str = "go-demo") -> Container:
        """A container of a service on a node, published on a port that the engine picks; waits for the catalog."""
        container = self._stack.enter_context(Container(
            self._image, env={"SERVICE_NAME": service}, labels={self.label: node}))
        wait_until(lambda: self.port_of(container, service) is not None, 10, "registrar has registered it")
        return container

    def port_of(self, container: Container, service: str = "go-demo") -> int | None:
        """The port under which the catalog has a container."""
        return next((i["ServicePort"] for i in self.consul.instances(service)
                     if i["ServiceMeta"].get("registrar-container") == container.id), None)


@pytest.fixture
def cluster(go_demo_image: str, consul: ConsulServer) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack, go_demo_image, consul)


def test_a_service_from_its_first_container_to_its_failover(cluster: Cluster) -> None:
    proxy = cluster.proxy
    first = cluster.run("node-1")
    entry, = cluster.consul.instances("go-demo")
    assert entry["ServiceID"] == f"node-1:{first.name}:8080"
    assert (entry["ServiceAddress"], entry["ServicePort"]) == (cluster.addresses["node-1"], first.port())
    assert proxy.get("/demo/hello").status == 503

    assert proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo").status == 200
    reply = proxy.get("/demo/hello")
    assert (reply.status, reply.body) == (200, "hello, world!\n")

    second, third = cluster.run("node-2"), cluster.run("node-2")
    assert proxy.instances("/demo/hello") == {first.instance}
    assert proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo").json["Servers"] == 3
    admitted = {first.instance, second.instance, third.instance}
    assert proxy.instances("/demo/hello") == admitted

    fourth = cluster.run("node-1")
    assert proxy.instances("/demo/hello") == admitted
    proxy.kill9()
    proxy.wipe()
    proxy.start().wait_ready()
    assert proxy.instances("/demo/hello") == admitted, "the new proxy serves the old one's release"

    before = second.port()
    second.restart()
    wait_until(lambda: cluster.port_of(second) not in (None, before), 15, "it is registered with its new port")
    wait_until(lambda: proxy.instances("/demo/hello") == admitted, 10, "an admitted container is followed")
    assert fourth.instance not in proxy.instances("/demo/hello")

    third.remove()
    wait_until(lambda: cluster.port_of(third) is None, 15, "it is out of the catalog")
    wait_until(lambda: proxy.instances("/demo/hello") == {first.instance, second.instance}, 10, "and out of traffic")

    assert proxy.api("remove", serviceName="go-demo").status == 200
    assert proxy.get("/demo/hello").status == 503


def test_a_registrar_that_was_away_corrects_what_changed_meanwhile(cluster: Cluster) -> None:
    stays, goes = cluster.run("node-1"), cluster.run("node-1")
    other = cluster.run("node-2")
    registrar = cluster.registrars["node-1"]
    registrar.kill()
    goes.remove()
    before = stays.port()
    stays.restart()
    assert stays.port() != before
    with RegistrarProcess(cluster.consul.address, "node-1", cluster.addresses["node-1"],
                          "--only-label", f"{cluster.label}=node-1"):
        wait_until(lambda: cluster.port_of(stays) == stays.port() and cluster.port_of(goes) is None, 15,
                   "the catalog is what the engine has")
    assert cluster.port_of(other) == other.port(), "nothing of the other node was touched"
