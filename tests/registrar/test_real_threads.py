"""A defect in any thread is told, makes /health red while it lasts, and ends nothing for good."""

import logging
import secrets
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from deploy.local import (
    ROOT,
    Container,
    RegistrarProcess,
    child_environment,
    free_port,
    http_get,
    loopback_address,
    wait_until,
)
from registrar.consul.lease import Lease
from registrar.consul.node_watch import NodeWatch
from registrar.status.journal import Journal
from registrar.status.server import StatusServer
from tests.consul_gate import Gate
from tests.registrar.socket_relay import Babbler

pytestmark = pytest.mark.usefixtures("go_demo_image")
WEB = {"SERVICE_NAME": "web"}


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(registry, label, **more):
    return RegistrarProcess(registry, "n1", "127.7.7.7", "--only-label", "=".join(*label.items()),
                            "--reconcile-interval", "3600", http=True, **more)


def ill(registrar):
    """What /health complains of."""
    reply = registrar.get("/health")
    assert (reply.status == 503) is bool(reply.json().get("reasons"))
    return set(reply.json().get("reasons", ()))


def test_an_event_that_makes_no_sense_does_not_end_the_hearing_of_events(consul, label, tmp_path):
    with Babbler(tmp_path / "docker.sock") as relay, \
            start(consul.address, label, env={"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}) as registrar:
        registrar.wait_ready()
        assert ill(registrar) == set()
        relay.babble(True)
        wait_until(lambda: ill(registrar) == {"events"}, 20)
        relay.babble(False)
        wait_until(lambda: ill(registrar) == set(), 30)
        with Container(labels=label, env=WEB):
            # Nothing but an event leads to it.
            wait_until(lambda: consul.instances("web"), 20)
        wait_until(lambda: 'event=trouble-over what="thread events"' in registrar.output(), 20)
        assert 'what="thread events" why="AttributeError' in registrar.output()


def test_an_answer_that_makes_no_sense_is_told_of_consul_and_ends_neither_lease_nor_watch(consul, label):
    with Gate(consul.address) as gate, Container(labels=label, env=WEB):
        gate.answer = lambda method, path: (200, "[1]") if path.startswith("/v1/catalog/nodes") else None
        with start(f"consul-catalog://{gate.address}", label) as registrar:
            wait_until(lambda: consul.instances("web"), 20)
            reasons = wait_until(lambda: (r := registrar.get("/ready").json()["reasons"]).keys() >= {
                "lease", "watch-nodes"} and r, 30)
            assert reasons["lease"] == "Consul's answer could not be read: TypeError"
            assert ill(registrar) == set(), "it is not registrar that is ill"
            gate.answer = lambda method, path: None
            wait_until(lambda: len(consul.get_json("/v1/kv/registrar/alive/?keys")) == 2, 30)
            registrar.wait_ready()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # how the test ends the thread
@pytest.mark.parametrize("thread", ["lease", "watch-nodes"])
def test_a_defect_in_the_lease_and_in_the_watch_over_nodes_is_over_when_its_cause_is(thread):
    consul = Defective()
    journal = Journal(logging.getLogger("test.threads"))
    lasting = (Lease(consul, lambda: "n1", journal) if thread == "lease" else
               NodeWatch(consul, 3600, journal))
    lasting.start()
    wait_until(lambda: lasting.ill.startswith("TypeError: ours"), 20)
    assert set(journal.troubles()) == {f"thread {thread}"}
    consul.defect = None
    wait_until(lambda: not lasting.ill and not journal.troubles(), 20)
    consul.defect = SystemExit  # ends the thread, which is a daemon and has no other end
    wait_until(lambda: lasting.ill == "it has ended", 20)


class Defective:
    """As much of Consul as lease and node watch ask before their first write, with a defect of ours in it."""

    defect = TypeError

    def nodes_with(self, meta):
        if self.defect:
            raise self.defect("ours")
        return ()

    def kv_keys(self, prefix):
        return frozenset()

    def wait_for_kv(self, prefix, index, wait_s):
        return index


def test_a_defect_ends_a_single_pass_and_leaves_nobody_waiting(consul):
    with Gate(consul.address) as gate:
        gate.answer = lambda method, path: (200, "[1]") if path == "/v1/agent/services" else None
        done = subprocess.run([sys.executable, "-m", "registrar", "--once", "--node-id", "n1", "-ip", "127.7.7.7",
                               f"consul://{gate.address}"], capture_output=True, text=True, timeout=60, cwd=ROOT,
                              env=child_environment())
    assert done.returncode == 1 and "ERROR event=" in done.stderr and "Traceback" not in done.stderr


def test_a_question_about_the_status_that_cannot_be_answered_is_answered_with_that(caplog):
    def fail():
        raise RuntimeError("dictionary changed size during iteration")

    host = loopback_address()
    server = StatusServer((host, free_port(host)), dict, fail, CollectorRegistry(), lambda: None,
                          Journal(logging.getLogger("test.threads")))
    server.start()
    try:
        where = "http://{}:{}".format(*server.server_address[:2])
        reply = http_get(f"{where}/ready")
        assert reply.status == 500 and "dictionary changed" in reply.json()["reasons"]["defect"]
        assert http_get(f"{where}/health").status == 200
    finally:
        server.shutdown()
        server.server_close()
    assert [record.getMessage().split()[0] for record in caplog.records] == ["event=http-failed"]
