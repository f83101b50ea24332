"""Whose entries they are, on the real engine and a real Consul: leftovers, rivals, and both address families."""

import contextlib
import secrets
from types import SimpleNamespace

import pytest

from deploy.local import Container, RegistrarProcess, wait_until
from deploy.own_engine import OwnEngine
from tests.registrar.later import look_again

pytestmark = pytest.mark.usefixtures("go_demo_image")
WEB = {"SERVICE_NAME": "web"}


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags, node="n1", ip="127.7.7.7"):
    key, value = next(iter(label.items()))
    return RegistrarProcess(consul.address, node, ip, "--only-label", f"{key}={value}", *flags, http=True)


def ids(consul, service="web"):
    return [i["ServiceID"] for i in consul.instances(service)]


def test_registrators_leftovers_are_taken_over(consul, label):
    with Container(labels=label, env=WEB) as web:
        consul.register("web", "127.7.7.7", web.port(), id=f"bfdfeaf59e92:{web.name}:8080")
        consul.register("old", "127.7.7.7", 1, id="bfdfeaf59e92:gone:1")
        consul.register("db", "127.7.7.7", 1, id="ffffffffffff:db:1")
        with start(consul, label, "--adopt-host", "bfdfeaf59e92").wait_ready():
            wait_until(lambda: ids(consul) == [f"n1:{web.name}:8080"], 5)
            assert set(consul.services()) == {"web", "db"}


def created(consul, *services):
    """The index at which each service's entry came into the catalog: another one if it was away meanwhile."""
    return [[entry["CreateIndex"] for entry in consul.instances(service)] for service in services]


def told(registrar):
    """Whether a registrar says that it is not alone."""
    reply = registrar.get("/ready")
    return reply.status == 503 and "node-id" in reply.json()["reasons"]


def live_and_let_live(consul, early, late, a, b):
    """`late` starts beside `early`, with the same node id: each keeps what it has, and both say so."""
    with early as first:
        wait_until(lambda: ids(consul, "web") == [f"n1:{a.name}:8080"], 20)
        before = created(consul, "web")
        with late as second:
            wait_until(lambda: ids(consul, "api") == [f"n1:{b.name}:8080"], 20)
            wait_until(lambda: told(first) and told(second), 30)
            before += created(consul, "api")
            look_again(first)
            look_again(second)
            assert created(consul, "web", "api") == before
            assert "deregistered=1" not in first.output() + second.output()
            assert "same node id" in first.output() and "same node id" in second.output()
            assert not [c for c in consul.get_json("/v1/agent/checks") if c.startswith("registrar-question:")]
            a.stop()
            wait_until(lambda: ids(consul, "web") == [], 20)
            wait_until(lambda: not told(second), 20)
            assert created(consul, "api") == before[1:]
            a.start()
            wait_until(lambda: ids(consul, "web"), 20)
        # The second one ends, and with --deregister-on-exit takes out its own and nothing else.
        wait_until(lambda: ids(consul, "api") == [], 20)
        assert ids(consul, "web") == [f"n1:{a.name}:8080"]


def test_two_registrars_with_one_node_id_on_one_engine_leave_each_others_entries_alone(consul):
    one, other = {"node": secrets.token_hex(6)}, {"node": secrets.token_hex(6)}
    with Container(labels=one, env=WEB) as a, Container(labels=other, env={"SERVICE_NAME": "api"}) as b:
        live_and_let_live(consul, start(consul, one, "--reconcile-interval", "0.3"),
                          start(consul, other, "--reconcile-interval", "0.3", "--deregister-on-exit"), a, b)


@contextlib.contextmanager
def running_on(engine, labels, env):
    """A go-demo on an engine of its own; its name."""
    made = engine.client.create_container(engine.build(), labels=labels, environment=env, ports=[8080],
                                          host_config=engine.client.create_host_config(port_bindings={8080: None}))
    engine.client.start(made["Id"])
    yield SimpleNamespace(name=engine.client.inspect_container(made["Id"])["Name"].lstrip("/"))


def test_two_registrars_with_one_node_id_on_two_engines_leave_each_others_entries_alone(consul, label):
    with OwnEngine() as engine, Container(labels=label, env=WEB) as a, \
            running_on(engine, label, {"SERVICE_NAME": "api"}) as b:
        late = RegistrarProcess(consul.address, "n1", "127.8.8.8", "--only-label", "=".join(*label.items()),
                                "--reconcile-interval", "0.3", "--deregister-on-exit", http=True,
                                env={"DOCKER_HOST": engine.host})
        live_and_let_live(consul, start(consul, label, "--reconcile-interval", "0.3"), late, a, b)


def test_both_address_families_are_in_the_catalog_each_with_its_own_port(consul, label):
    with start(consul, label, "--ip6", "fd00::7").wait_ready(), Container(labels=label, env=WEB) as web:
        wait_until(lambda: ids(consul), 5)
        bound = {("lan_ipv6" if ":" in b["HostIp"] else "lan_ipv4"): int(b["HostPort"])
                 for b in web.inspect()["NetworkSettings"]["Ports"]["8080/tcp"]}
        entry = consul.instances("web")[0]
        tagged = entry["ServiceTaggedAddresses"]
        assert entry["ServicePort"] == bound["lan_ipv4"]
        if len(bound) == 2:
            assert {key: (tagged[key]["Address"], tagged[key]["Port"]) for key in bound} == {
                "lan_ipv4": ("127.7.7.7", bound["lan_ipv4"]), "lan_ipv6": ("fd00::7", bound["lan_ipv6"])}
