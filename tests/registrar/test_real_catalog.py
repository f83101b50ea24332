"""consul-catalog://: nodes without an agent, in a real Consul."""

import secrets
import subprocess
import sys
import time

import pytest

from deploy.local import ROOT, Container, RegistrarProcess, child_environment, wait_until
from tests.registrar.consul_proxy import ConsulProxy

pytestmark = pytest.mark.usefixtures("go_demo_image")
WEB = {"SERVICE_NAME": "web"}


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags, node="docker-1", ip="127.7.7.7"):
    key, value = next(iter(label.items()))
    return RegistrarProcess(f"consul-catalog://{getattr(consul, 'address', consul)}", node, ip, "--only-label",
                            f"{key}={value}", *flags, http=True)


def once(consul, label, *flags, node="docker-1"):
    words = ["--node-id", node, "-ip", "127.7.7.7", "--once", "--only-label", "=".join(*label.items()), *flags]
    done = subprocess.run([sys.executable, "-m", "registrar", *words, f"consul-catalog://{consul.address}"],
                          capture_output=True, text=True, timeout=60, cwd=ROOT, env=child_environment())
    return done.returncode, done.stderr


def passing(consul, service="web"):
    return [e["Service"]["ID"] for e in consul.get_json(f"/v1/health/service/{service}?passing")]


def test_start_drain_and_end_under_a_node_of_its_own(consul, label):
    env = WEB | {"SERVICE_CHECK_HTTP": "/demo/hello", "SERVICE_CHECK_INTERVAL": "5s", "SERVICE_TAGS": "a,b",
                 "SERVICE_WEIGHT": "7"}
    consul.register("db", "10.9.9.9", 5432)
    with start(consul, label).wait_ready(), Container(labels=label, env=env) as web:
        wait_until(lambda: passing(consul), 5)
        entry = consul.instances("web")[0]
        assert (entry["Node"], entry["Address"]) == ("docker-1", "127.7.7.7")
        assert (entry["ServiceAddress"], entry["ServicePort"]) == ("127.7.7.7", web.port())
        assert entry["ServiceTags"] == ["a", "b"] and entry["ServiceWeights"]["Passing"] == 7
        assert entry["NodeMeta"]["external-node"] == "true"
        check = next(c for c in consul.get_json("/v1/health/node/docker-1") if c["ServiceID"])
        assert check["Definition"]["HTTP"] == f"http://127.7.7.7:{web.port()}/demo/hello"
        assert check["Definition"]["Interval"] == "5s" and check["Status"] == "passing"
        web.restart()
        wait_until(lambda: [i["ServicePort"] for i in consul.instances("web")] == [web.port()], 5)
        wait_until(lambda: passing(consul), 5)
        web.pause()
        wait_until(lambda: not passing(consul), 5)
        assert consul.instances("web")
        web.unpause()
        wait_until(lambda: passing(consul), 5)
        web.stop()
        wait_until(lambda: not consul.instances("web"), 5)
        assert [c["CheckID"] for c in consul.get_json("/v1/health/node/docker-1")] == ["registrar-alive"]
    assert consul.instances("db")


def test_an_unchanged_world_causes_no_write_and_many_containers_few(consul, label):
    containers = []
    try:
        for _ in range(6):
            containers.append(Container(labels=label, env=WEB).start())
        with ConsulProxy(consul.address) as proxy, \
                start(proxy.address, label, "--reconcile-interval", "0.2").wait_ready() as registrar:
            wait_until(lambda: len(consul.instances("web")) == 6, 5)
            assert len([p for _, p in proxy.writes() if "/txn" in p]) == 1
            reads = len(proxy.requests)
            wait_until(lambda: len(proxy.requests) > reads + 10, 10)
            assert len([p for _, p in proxy.writes() if "/txn" in p]) == 1
            assert registrar.output().count("event=pass ") == 1
    finally:
        for one in containers:
            one.close()


def test_drain_by_hand(consul, label):
    with start(consul, label).wait_ready(), Container(labels=label, env=WEB) as web:
        wait_until(lambda: passing(consul), 5)
        words = [sys.executable, "-m", "registrar", "drain", web.name, "--node-id", "docker-1",
                 f"consul-catalog://{consul.address}"]
        subprocess.run(words, check=True, timeout=60, cwd=ROOT, env=child_environment(), capture_output=True)
        assert not passing(consul) and len(consul.instances("web")) == 1


def test_scripts_are_refused_by_name_and_the_service_is_registered(consul, label):
    with Container(labels=label, env=WEB | {"SERVICE_CHECK_SCRIPT": "true"}):
        status, said = once(consul, label)
        assert status == 0 and "runs scripts" in said and passing(consul)


def test_the_name_of_a_real_agents_node_is_refused(consul, label):
    with Container(labels=label, env=WEB):
        status, said = once(consul, label, node="proxy")
        assert status == 1 and "belongs to a Consul agent" in said
        assert not consul.instances("web")


def test_a_dead_node_leaves_rotation_within_moments_of_its_lease_and_is_removed_later(consul, label):
    other = {"portbook.test": secrets.token_hex(6)}
    with start(consul, other, "--remove-after", "6", node="docker-2").wait_ready(), Container(labels=label, env=WEB):
        with start(consul, label).wait_ready() as dying:
            wait_until(lambda: passing(consul), 5)
            wait_until(lambda: consul.kv("registrar/alive/"), 5)
            dying.kill()
        died = time.monotonic()
        wait_until(lambda: not passing(consul), 30)
        assert time.monotonic() - died < 26  # Consul keeps a session of 10 s for 20
        assert consul.instances("web")
        wait_until(lambda: not consul.instances("web"), 10)
        assert "docker-1" not in [n["Node"] for n in consul.get_json("/v1/catalog/nodes")]
        with start(consul, label).wait_ready():
            wait_until(lambda: passing(consul), 5)
