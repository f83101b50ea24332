"""Tasks of a swarm, on an engine of their own: host-mode and ingress ports, labels of the service, overlay networks.

The ingress network itself needs a kernel module that is not everywhere, so nothing is sent through it here; what is
compared is what the swarm says of its ports.
"""

import contextlib
import secrets
import subprocess
import sys

import docker
import pytest

from deploy.local import ROOT, ConsulServer, RegistrarProcess, child_environment, free_port, wait_until
from deploy.own_engine import ADDRESS, OwnEngine
from engine.docker_engine import DockerEngine

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def own():
    with OwnEngine() as engine:
        engine.build()
        yield engine


@pytest.fixture(scope="module")
def swarm(own):
    """The engine as the only manager of a swarm, with an overlay network."""
    own.client.init_swarm(advertise_addr=ADDRESS, listen_addr=ADDRESS)
    own.client.create_network("front", driver="overlay")
    return own


@pytest.fixture
def consul():
    with ConsulServer() as server:
        yield server


@contextlib.contextmanager
def service(engine, ports=(), replicas=1, labels=None, networks=None, **spec):
    """A service of go-demo whose tasks run; its name and id. `ports` are (target, published, mode)."""
    name = f"pb-{secrets.token_hex(4)}"
    task = docker.types.TaskTemplate(
        docker.types.ContainerSpec("portbook/go-demo:latest", stop_grace_period=SECOND, **spec), networks=networks)
    endpoint = docker.types.EndpointSpec(ports=[
        {"Protocol": "tcp", "TargetPort": target, "PublishedPort": published, "PublishMode": mode}
        for target, published, mode in ports])
    made = engine.client.create_service(task, name=name, labels=labels, endpoint_spec=endpoint,
                                        mode=docker.types.ServiceMode("replicated", replicas))["ID"]
    try:
        wait_until(lambda: len(tasks(engine, name)) == replicas, 60, "the tasks run")
        yield name, made
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            engine.client.remove_service(made)
        wait_until(lambda: not tasks(engine, name), 30, "the tasks have ended")


def tasks(engine, name):
    """The containers of a service that run, the oldest first."""
    found = engine.client.containers(filters={"label": f"com.docker.swarm.service.name={name}", "status": "running"})
    return [c["Id"] for c in sorted(found, key=lambda c: engine.client.inspect_container(c["Id"])["Created"])]


def registrar(engine, consul, *flags):
    return RegistrarProcess(consul.address, "n1", "127.7.7.7", *flags, http=True, env={"DOCKER_HOST": engine.host})


def entries(consul):
    """id -> (name, address, port, tags, container) of everything that the registrar has registered."""
    return {key: (s["Service"], s["Address"], s["Port"], tuple(s["Tags"]), s["Meta"]["registrar-container"])
            for key, s in consul.get_json("/v1/agent/services").items()}


def test_an_engine_without_a_swarm_tells_of_no_services():
    with OwnEngine() as engine:
        source = DockerEngine({"DOCKER_HOST": engine.host})
        assert source.swarm_services() is None and source.swarm_address() == ""
        source.close()


def test_the_ports_of_a_task_on_its_host_and_on_the_ingress_network(swarm, consul):
    host, ingress = free_port(), free_port()
    with service(swarm, [(8080, host, "host"), (9090, ingress, "ingress")],
                 labels={"SERVICE_NAME": "web", "SERVICE_TAGS": "a,b"}, env=["SERVICE_9090_NAME=admin"]) as (name, _), \
            registrar(swarm, consul).wait_ready():
        task = tasks(swarm, name)[0]
        own_name = swarm.client.inspect_container(task)["Name"].strip("/")
        assert entries(consul) == {
            f"n1:{own_name}:8080": ("web-8080", "127.7.7.7", host, ("a", "b"), task),
            f"n1:{name}:9090": ("admin", "127.7.7.7", ingress, ("a", "b"), task)}
        swarm.client.remove_service(name)
        wait_until(lambda: not entries(consul), 20)


def test_a_port_of_the_ingress_is_registered_once_and_moves_on_without_a_gap(swarm, consul):
    ingress = free_port()
    with service(swarm, [(8080, ingress, "ingress")], replicas=2, labels={"SERVICE_NAME": "web"}) as (name, _), \
            registrar(swarm, consul).wait_ready() as process:
        first, second = tasks(swarm, name)
        assert entries(consul) == {f"n1:{name}:8080": ("web", "127.7.7.7", ingress, (), first)}
        said = [p for c in process.get("/containers").json()["containers"] for p in c["ports"] if p.get("code")]
        assert [(p["code"], p["port"]) for p in said] == [("shared", "8080/tcp")]
        swarm.client.stop(first, timeout=2)
        wait_until(lambda: [e[4] for e in entries(consul).values()] == [second], 10)
        # It was never to be kept out of rotation, since the other task serves.
        assert "event=drain" not in process.output() and "deregistered=1" not in process.output()
        assert len(consul.get_json("/v1/health/service/web?passing=true")) == 1


def test_what_the_service_says_later_is_heard_without_a_new_task(swarm, consul):
    ingress = free_port()
    with service(swarm, [(8080, ingress, "ingress")], labels={"SERVICE_NAME": "web"}) as (name, made), \
            registrar(swarm, consul, "--reconcile-interval", "600").wait_ready():
        task = tasks(swarm, name)
        assert [e[0] for e in entries(consul).values()] == ["web"]
        spec = swarm.client.inspect_service(made)
        swarm.client.update_service(made, spec["Version"]["Index"], name=name, labels={"SERVICE_NAME": "shop"},
                                    task_template=spec["Spec"]["TaskTemplate"], mode=spec["Spec"]["Mode"],
                                    endpoint_spec=spec["Spec"]["EndpointSpec"])
        wait_until(lambda: [e[0] for e in entries(consul).values()] == ["shop"], 10)
        assert tasks(swarm, name) == task


def test_in_internal_mode_a_task_has_its_address_on_the_overlay_network(swarm, consul):
    with service(swarm, [(8080, free_port(), "ingress")], replicas=2, networks=["front"]) as (name, _), \
            registrar(swarm, consul, "-internal").wait_ready():
        found = entries(consul)
        expected = {swarm.client.inspect_container(task)["NetworkSettings"]["Networks"]["front"]["IPAddress"]
                    for task in tasks(swarm, name)}
        assert len(expected) == 2 and {e[1] for e in found.values()} == expected
        assert {e[2] for e in found.values()} == {8080}


def test_a_node_without_a_route_has_the_address_that_its_swarm_knows(swarm, consul):
    words = [sys.executable, "-m", "registrar", "--once", "consul://127.0.0.1:1"]
    done = subprocess.run(["nsenter", f"--net=/var/run/netns/{swarm.name}", *words], capture_output=True, text=True,
                          timeout=60, cwd=ROOT, env=child_environment({"DOCKER_HOST": swarm.host}))
    assert f"the address of this node is {ADDRESS}, as its swarm has it" in done.stderr and done.returncode == 1
