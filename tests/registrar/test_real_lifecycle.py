"""A registrar process beside the real engine and a real Consul: what containers do shows in the catalog."""

import secrets
import sys
import time

import docker
import pytest

from deploy.local import Container, RegistrarProcess, network, run, wait_until
from tests.registrar.later import hear_everything, look_again

pytestmark = pytest.mark.usefixtures("go_demo_image")


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags, node="n1", ip="127.7.7.7", **more):
    key, value = next(iter(label.items()))
    return RegistrarProcess(getattr(consul, "address", consul), node, ip, "--only-label", f"{key}={value}", *flags,
                            http=True, **more)


def entry(consul, service):
    found = consul.instances(service)
    assert len(found) == 1, found
    return found[0]


def test_start_restart_rename_and_stop_show_in_the_catalog_within_moments(consul, label):
    with start(consul, label).wait_ready() as registrar:
        env = {"SERVICE_NAME": "web", "SERVICE_TAGS": r"a\,b, c", "SERVICE_REGION": "eu"}
        with Container(labels=label, env=env) as web:
            one = wait_until(lambda: entry(consul, "web"), 5)
            assert one["ServiceID"] == f"n1:{web.name}:8080"
            assert (one["ServiceAddress"], one["ServicePort"]) == ("127.7.7.7", web.port())
            assert one["ServiceTags"] == ["a,b", "c"]
            meta = one["ServiceMeta"]
            assert (meta["region"], meta["registrar-owner"], meta["registrar-container"]) == ("eu", "n1", web.id)
            web.restart()
            wait_until(lambda: entry(consul, "web")["ServicePort"] == web.port(), 5)
            web.rename(f"renamed-{secrets.token_hex(4)}")
            wait_until(lambda: entry(consul, "web")["ServiceID"] == f"n1:{web.name}:8080", 5)
            web.pause()
            wait_until(lambda: consul.get_json("/v1/health/service/web?passing") == [], 5)
            assert entry(consul, "web")
            web.unpause()
            web.stop()
            wait_until(lambda: consul.instances("web") == [], 5)
            web.start()
            wait_until(lambda: entry(consul, "web")["ServicePort"] == web.port(), 5)
        wait_until(lambda: consul.instances("web") == [], 5)
        assert registrar.get("/ready").status == 200 and registrar.get("/health").status == 200


def test_a_port_that_moves_while_the_container_runs_is_followed(consul, label):
    client = docker.APIClient(version="auto")
    try:
        with network() as first, start(consul, label).wait_ready(), \
                Container(labels=label, env={"SERVICE_NAME": "web"}) as web:
            wait_until(lambda: entry(consul, "web"), 5)
            client.connect_container_to_network(web.id, first)
            client.disconnect_container_from_network(web.id, "bridge")
            wait_until(lambda: entry(consul, "web")["ServicePort"] == web.port(), 5)
            client.disconnect_container_from_network(web.id, first)
            wait_until(lambda: consul.instances("web") == [], 5)
            client.connect_container_to_network(web.id, "bridge")
            wait_until(lambda: entry(consul, "web")["ServicePort"] == web.port(), 5)
    finally:
        client.close()


def test_what_changed_while_the_agent_was_killed_is_corrected_when_it_is_back(consul, label):
    with Container(labels=label, env={"SERVICE_NAME": "gone"}) as gone, \
            Container(labels=label, env={"SERVICE_NAME": "moved"}) as moved, \
            Container(labels=label, env={"SERVICE_NAME": "same"}) as same:
        with start(consul, label).wait_ready() as registrar:
            wait_until(lambda: entry(consul, "gone") and entry(consul, "moved") and entry(consul, "same"), 5)
            untouched = entry(consul, "same")["ModifyIndex"]
            registrar.kill()
        gone.kill()
        moved.restart()
        with Container(labels=label, env={"SERVICE_NAME": "new"}) as new, start(consul, label).wait_ready():
            wait_until(lambda: consul.instances("gone") == [], 5)
            assert entry(consul, "moved")["ServicePort"] == moved.port()
            assert entry(consul, "new")["ServicePort"] == new.port()
            assert entry(consul, "same")["ModifyIndex"] == untouched and same.running


def test_two_node_ids_on_one_engine_and_one_consul_leave_each_other_and_strangers_alone(consul):
    node_a, node_b = {"node": secrets.token_hex(6)}, {"node": secrets.token_hex(6)}
    consul.register("db", "10.9.9.9", 5432, id="n1:postgres:5432")
    consul.register("other", "10.9.9.9", 80, meta={"registrar-owner": "n9", "registrar-container": "x"})
    env = {"SERVICE_NAME": "web"}
    with start(consul, node_a, node="na", ip="127.7.7.1").wait_ready() as a, \
            start(consul, node_b, node="nb", ip="127.7.7.2").wait_ready(), \
            Container(labels=node_a, env=env) as one:
        with Container(labels=node_b, env=env) as two:
            both = wait_until(lambda: len(consul.instances("web")) == 2 and consul.instances("web"), 5)
            assert [(i["ServiceAddress"], i["ServicePort"]) for i in both] == [
                ("127.7.7.1", one.port()), ("127.7.7.2", two.port())]
            a.kill()
            with start(consul, node_a, "--deregister-on-exit", node="na", ip="127.7.7.1").wait_ready() as again:
                assert len(consul.instances("web")) == 2
                assert again.terminate() == 0
            assert [i["ServiceAddress"] for i in consul.instances("web")] == ["127.7.7.2"]
        wait_until(lambda: consul.instances("web") == [], 5)
    assert consul.instances("db")[0]["ServiceID"] == "n1:postgres:5432"
    assert len(consul.instances("other")) == 1


def test_a_termination_signal_ends_it_at_once_and_registrations_stay(consul, label):
    with Container(labels=label, env={"SERVICE_NAME": "web"}), start(consul, label).wait_ready() as registrar:
        wait_until(lambda: entry(consul, "web"), 5)
        began = time.monotonic()
        assert registrar.terminate() == 0
        assert time.monotonic() - began < 5
        assert entry(consul, "web")


def test_on_success_keeps_a_container_that_failed_until_it_is_removed(consul, label):
    with start(consul, label, "-deregister", "on-success").wait_ready():
        end = {"SERVICE_NAME": "web"}
        with Container("portbook/go-demo:latest", labels=label, env=end) as good:
            wait_until(lambda: entry(consul, "web"), 5)
            good.stop()
            wait_until(lambda: consul.instances("web") == [], 5)
        client = docker.APIClient(version="auto")
        made = client.create_container_from_config({
            "Image": "portbook/go-demo:latest", "Labels": label, "Env": ["SERVICE_NAME=web"],
            "Entrypoint": ["/bin/sh", "-c", "sleep 0.4; exit 3"], "ExposedPorts": {"8080/tcp": {}},
            "HostConfig": {"PortBindings": {"8080/tcp": [{}]}}})["Id"]
        try:
            client.start(made)
            wait_until(lambda: entry(consul, "web"), 5)
            client.wait(made)
            hear_everything(consul, label)
            assert entry(consul, "web")
        finally:
            client.remove_container(made, force=True)
            client.close()
        wait_until(lambda: consul.instances("web") == [], 5)


def test_a_check_is_run_by_consul_and_an_operators_maintenance_outlives_a_restart_with_another_port(consul, label):
    env = {"SERVICE_NAME": "web", "SERVICE_CHECK_HTTP": "/demo/hello", "SERVICE_CHECK_INTERVAL": "200ms",
           "SERVICE_CHECK_TIMEOUT": "1s", "SERVICE_CHECK_INITIAL_STATUS": "warning"}
    client = docker.APIClient(version="auto")
    with start(consul, label).wait_ready(), network() as other, Container(labels=label, env=env) as web:
        def passing():
            return consul.get_json("/v1/health/service/web?passing")
        wait_until(passing, 10)
        service = f"n1:{web.name}:8080"
        consul.put(f"/v1/agent/service/maintenance/{service}?enable=true&reason=work")
        wait_until(lambda: not passing(), 5)
        client.connect_container_to_network(web.id, other)
        client.disconnect_container_from_network(web.id, "bridge")  # republished on another port while it runs
        wait_until(lambda: entry(consul, "web")["ServicePort"] == web.port(), 5)
        checks = consul.get_json("/v1/agent/checks")
        assert {f"_service_maintenance:{service}", f"service:{service}"} == set(checks)
        assert not passing()
        consul.put(f"/v1/agent/service/maintenance/{service}?enable=false")
        wait_until(passing, 10)
        client.close()


def test_bad_metadata_is_said_once_and_blocks_nothing(consul, label):
    env = {"SERVICE_NAME": "web", "SERVICE_CHECK_TCP": "1", "SERVICE_CHECK_INTERVAL": "15", "SERVICE_a.b c": "x",
           "SERVICE_BIG": "x" * 600, "SERVICE_ID": "a//b"}
    with start(consul, label, "--reconcile-interval", "0.2").wait_ready() as registrar, \
            Container(labels=label, env=env):
        wait_until(lambda: entry(consul, "web"), 5)
        look_again(registrar, times=4)
        lines = [line for line in registrar.output().splitlines() if "event=metadata" in line]
        for key in ("SERVICE_CHECK_INTERVAL", "SERVICE_a.b c", "SERVICE_BIG", "SERVICE_ID"):
            assert sum(key in line for line in lines) == 1, lines


def test_the_default_node_id_is_the_engines_own_name(consul, label):
    client = docker.APIClient(version="auto")
    name = client.info()["Name"]
    client.close()
    with Container(labels=label, env={"SERVICE_NAME": "web"}) as web:
        words = ["-ip", "127.7.7.7", "--once", "--only-label", "=".join(*label.items())]
        with run([sys.executable, "-m", "registrar", *words, f"consul://{consul.address}"]) as registrar:
            assert registrar.wait(20) == 0
        assert entry(consul, "web")["ServiceID"] == f"{name}:{web.name}:8080"
