"""Leaving rotation before the end, on the real engine and a real Consul."""

import secrets
import subprocess
import sys
import time

import docker
import pytest

from deploy.local import ROOT, Container, RegistrarProcess, child_environment, wait_until
from tests.registrar.containers import Slow
from tests.registrar.later import hear_everything, look_again

pytestmark = pytest.mark.usefixtures("go_demo_image")
WEB = {"SERVICE_NAME": "web"}


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags):
    key, value = next(iter(label.items()))
    return RegistrarProcess(consul.address, "n1", "127.7.7.7", "--only-label", f"{key}={value}", *flags,
                            http=True).wait_ready()


def passing(consul, service="web"):
    return [e["Service"]["ID"] for e in consul.get_json(f"/v1/health/service/{service}?passing")]


def notes(consul):
    return [c["Notes"] for c in consul.get_json("/v1/agent/checks").values()
            if c["CheckID"].startswith("_service_maintenance:")]


def test_a_stop_takes_the_instance_out_of_rotation_at_once_while_it_serves_on(consul, label):
    with start(consul, label), Slow(label) as web:
        wait_until(lambda: passing(consul), 5)
        web.signal("HUP")
        web.signal("USR1")
        hear_everything(consul, label)
        assert passing(consul)
        web.end()
        began = time.monotonic()
        wait_until(lambda: not passing(consul), 2)
        assert time.monotonic() - began < 5
        assert len(consul.instances("web")) == 1 and web.get().status == 200
        assert "registrar" in notes(consul)[0]
        wait_until(lambda: consul.instances("web") == [], 10)
        web.start()
        wait_until(lambda: passing(consul), 5)


def test_a_stop_that_was_given_more_time_on_the_command_line_is_out_of_rotation_until_it_ends(consul, label):
    with start(consul, label, "--reconcile-interval", "0.5"), Slow(label, grace=1) as web:
        wait_until(lambda: passing(consul), 5)
        web.end(grace=9)  # longer than what the container's own configuration has, and no inspect says so
        wait_until(lambda: not passing(consul), 5)
        came_back = []
        wait_until(lambda: came_back.extend(passing(consul)) or consul.instances("web") == [], 30)
        assert came_back == []


def test_a_container_that_survives_its_stop_signal_is_put_back_by_hand(consul, label):
    with start(consul, label, "--reconcile-interval", "0.5") as registrar, Slow(label) as web:
        wait_until(lambda: passing(consul), 5)
        web.signal("TERM")
        wait_until(lambda: not passing(consul), 5)
        assert drain(consul, web.name, "--undo")[0] == 0
        look_again(registrar)
        assert passing(consul)
        web.signal("TERM")
        wait_until(lambda: not passing(consul), 5)


def test_a_container_that_survives_its_stop_signal_comes_back_after_the_limit(consul, label):
    with start(consul, label, "--drain-limit", "1"), Slow(label, grace=1) as web:
        wait_until(lambda: passing(consul), 5)
        web.signal("TERM")
        wait_until(lambda: not passing(consul), 2)
        wait_until(lambda: passing(consul), 10)
        assert web.running and notes(consul) == []


def test_a_stop_signal_of_ones_own_is_known(consul, label):
    with start(consul, label), Slow(label, StopSignal="SIGUSR1") as web:
        wait_until(lambda: passing(consul), 5)
        web.signal("TERM")
        hear_everything(consul, label)
        assert passing(consul)
        web.end()
        wait_until(lambda: not passing(consul), 2)


def test_deregister_instead_of_maintenance_and_nothing_at_all(consul, label):
    with start(consul, label, "--drain", "deregister"), Slow(label) as web:
        wait_until(lambda: passing(consul), 5)
        web.end()
        wait_until(lambda: consul.instances("web") == [], 2)
        assert web.running
    with start(consul, label, "--drain", "off"), Slow(label) as web:
        wait_until(lambda: passing(consul), 5)
        web.signal("TERM")
        hear_everything(consul, label)
        assert passing(consul) and web.running
        web.end()
        wait_until(lambda: consul.instances("web") == [], 10)


def test_an_operators_maintenance_is_still_there_after_a_drain(consul, label):
    with start(consul, label, "--drain-limit", "1"), Slow(label, grace=1) as web, \
            Slow(label, grace=1, env={"SERVICE_NAME": "other"}) as other:
        wait_until(lambda: passing(consul) and passing(consul, "other"), 5)
        consul.put(f"/v1/agent/service/maintenance/n1:{web.name}:8080?enable=true&reason=disk")
        web.signal("TERM")
        other.signal("TERM")
        wait_until(lambda: not passing(consul, "other"), 5)
        wait_until(lambda: passing(consul, "other"), 15)  # its time ends after that of the first
        assert notes(consul) == ["disk"]


def test_a_pause_leaves_rotation_after_a_moment_and_a_commit_does_not(consul, label):
    client = docker.APIClient(version="auto")
    with start(consul, label), Container(labels=label, env=WEB) as web:
        wait_until(lambda: passing(consul), 5)
        index = consul.get_json("/v1/health/service/web")[0]["Service"]["ModifyIndex"]
        image = client.commit(web.id)["Id"]
        client.remove_image(image)
        web.pause()
        assert passing(consul)
        wait_until(lambda: not passing(consul), 5)
        web.unpause()
        wait_until(lambda: passing(consul), 5)
        assert consul.get_json("/v1/health/service/web")[0]["Service"]["ModifyIndex"] == index
        client.close()


def test_a_drain_survives_a_killed_registrar(consul, label):
    with Slow(label, grace=20) as web:
        with start(consul, label) as registrar:
            wait_until(lambda: passing(consul), 5)
            web.end()
            wait_until(lambda: not passing(consul), 10)
            registrar.kill()
        with start(consul, label):
            hear_everything(consul, label)
            assert not passing(consul) and len(consul.instances("web")) == 1


def drain(consul, *words):
    done = subprocess.run([sys.executable, "-m", "registrar", "drain", *words, "--node-id", "n1",
                           f"consul://{consul.address}"], capture_output=True, text=True, timeout=60, cwd=ROOT,
                          env=child_environment())
    return done.returncode, done.stderr


def test_drain_by_hand_before_a_stop(consul, label):
    with start(consul, label, "--reconcile-interval", "0.3") as registrar, Container(labels=label, env=WEB) as web:
        wait_until(lambda: passing(consul), 5)
        began = time.monotonic()
        assert drain(consul, web.name, "--wait", "1")[0] == 0
        assert time.monotonic() - began > 1 and not passing(consul) and web.running
        look_again(registrar)
        assert not passing(consul)
        assert drain(consul, web.name, "--undo")[0] == 0
        assert passing(consul)
        assert drain(consul, web.id[:12])[0] == 0
        web.restart()
        wait_until(lambda: passing(consul), 5)
        assert drain(consul, "no-such-container")[0] == 1
    with Container(labels=label, env=WEB) as stranger:
        status, said = drain(consul, stranger.name)
        assert status == 1 and "none of its services is registered" in said
