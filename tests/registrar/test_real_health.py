"""Docker's own health check on the real engine, as gate and as mirror, and the TTL checks that registrar reports."""

import secrets

import docker
import pytest

from deploy.local import Container, RegistrarProcess, wait_until
from tests.consul_gate import Gate
from tests.registrar.containers import Probed
from tests.registrar.later import hear_everything

pytestmark = pytest.mark.usefixtures("go_demo_image")


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags):
    key, value = next(iter(label.items()))
    return RegistrarProcess(consul.address, "n1", "127.7.7.7", "--only-label", f"{key}={value}", *flags,
                            http=True).wait_ready()


def status(consul, service="web"):
    return [c["Status"] for e in consul.get_json(f"/v1/health/service/{service}") for c in e["Checks"]
            if c["CheckID"] != "serfHealth"]


def test_the_gate(consul, label):
    client = docker.APIClient(version="auto")
    with start(consul, label, "--health", "gate") as registrar, Probed(label) as web:
        wait_until(lambda: "waiting for health" in registrar.output(), 10)
        assert consul.instances("web") == []
        web.be(True)
        wait_until(lambda: consul.instances("web"), 10)
        index = consul.instances("web")[0]["CreateIndex"]
        # The engine calls it unhealthy during a pause and until the next probe.
        client.remove_image(client.commit(web.id)["Id"])
        hear_everything(consul, label)
        assert consul.instances("web")[0]["CreateIndex"] == index
        web.be(False)
        wait_until(lambda: consul.instances("web") == [], 10)
        web.be(True)
        wait_until(lambda: consul.instances("web"), 10)
        client.close()


def test_the_mirror(consul, label):
    with start(consul, label, "--health", "mirror"), Probed(label) as web:
        wait_until(lambda: status(consul) in (["warning"], ["critical"]), 10)
        web.be(True)
        wait_until(lambda: status(consul) == ["passing"], 10)
        index = consul.instances("web")[0]["ModifyIndex"]
        web.be(False)
        wait_until(lambda: status(consul) == ["critical"], 10)
        assert consul.instances("web")[0]["ModifyIndex"] == index


def test_a_ttl_check_stays_passing_as_long_as_registrar_reports_and_turns_critical_without_it(consul, label):
    env = {"SERVICE_NAME": "web", "SERVICE_CHECK_TTL": "1500ms"}
    with Gate(consul.address) as gate, start(gate, label) as registrar, Container(labels=label, env=env):
        wait_until(lambda: status(consul) == ["passing"], 5)
        index = consul.get_json("/v1/health/service/web")[0]["Checks"][-1]["ModifyIndex"]
        # Far more than the check lives without: a beat is sent every half a second.
        wait_until(lambda: sum("/check/update/" in request for request in gate.writes()) > 7, 20)
        assert consul.get_json("/v1/health/service/web")[0]["Checks"][-1]["ModifyIndex"] == index
        registrar.kill()
        wait_until(lambda: status(consul) == ["critical"], 5)
