"""The loop and the reader of events in their threads, between an engine and an agent in memory."""

import logging
import threading

import pytest

from deploy.local import wait_until
from registrar.shell.hints import EventReader, Hints
from registrar.shell.loop import Loop
from registrar.shell.poller import Poller
from registrar.shell.reconcile import Reconciler, Surroundings
from registrar.status.journal import Journal
from registrar.status.metrics import Metrics
from tests.contract.fake_agent import FakeAgent
from tests.contract.fake_engine import FakeEngine
from tests.registrar.documents import settings

WEB = "n1:web:8080"


class Site:
    """Everything that runs in registrar but the web server; full passes only where something asks for one."""

    def __init__(self):
        self.engine, self.agent = FakeEngine(), FakeAgent()
        self.journal, self.stop, hints = Journal(logging.getLogger("test.loop")), threading.Event(), Hints()
        here = Surroundings(lambda: ("10.0.0.5", ""), sleep=self.stop.wait)
        metrics = Metrics()
        self.poller = Poller(self.engine, (), hints, self.journal, self.stop)
        reader = EventReader(self.engine, hints, self.journal, metrics)
        self.loop = Loop(Reconciler(settings(), self.engine, self.agent, here, self.stop.is_set), hints, reader, 3600,
                         self.journal, metrics, self.stop)

    def is_registered(self, port=32768):
        found = self.agent.services.get(WEB)
        return found is not None and found.port == port


@pytest.fixture
def site():
    made = Site()
    yield made
    made.stop.set()
    made.loop.end(10)
    made.engine.away = True  # ends the stream
    assert not made.loop.is_alive()


def test_what_happens_is_in_the_catalog_without_waiting_for_a_full_pass(site):
    site.loop.start()
    wait_until(lambda: site.loop.status.outcome)
    key = site.engine.start("web")
    wait_until(site.is_registered)
    site.engine.signal(key, 15)
    wait_until(lambda: site.agent.notes)
    site.engine.remove(key)
    wait_until(lambda: not site.agent.services)
    assert site.journal.troubles() == {}


def test_a_stop_that_an_engine_does_not_announce_is_seen_in_its_list(site, caplog):
    site.engine.silent_stops = True
    site.loop.start()
    key = site.engine.start("web")
    wait_until(site.is_registered)
    site.poller.start()
    wait_until(lambda: "registrar drain" in caplog.text)
    site.engine.run("later", port=2)  # nobody is told: only the list has it
    wait_until(lambda: "n1:later:8080" in site.agent.services, 20)
    site.engine.begin_to_stop(key)
    wait_until(lambda: not site.is_registered(), 20)
    assert "n1:later:8080" in site.agent.services and site.engine.containers[key].state.pid


def test_an_engine_that_is_away_at_first_is_waited_for(site):
    site.engine.run("web")
    site.engine.away = True
    site.loop.start()
    wait_until(lambda: {"docker", "events"} <= set(site.journal.troubles()), 20)
    assert not site.agent.writes and site.loop.status.alive and site.loop.is_alive()
    site.engine.away = False
    wait_until(site.is_registered, 20)
    wait_until(lambda: not site.journal.troubles(), 20)


def test_what_happens_while_the_stream_is_broken_is_seen_when_it_is_there_again(site):
    site.loop.start()
    site.engine.start("web", port=1)
    wait_until(lambda: site.is_registered(1), 20)
    site.engine.away = True
    site.engine.run("web", port=2)  # and nobody is told
    wait_until(lambda: "events" in site.journal.troubles(), 20)
    site.engine.away = False
    wait_until(lambda: site.is_registered(2), 20)
    wait_until(lambda: not site.journal.troubles(), 20)


def test_a_consul_that_is_away_is_written_to_when_it_is_back(site):
    site.loop.start()
    wait_until(lambda: site.loop.status.outcome)
    site.agent.away = True
    site.engine.start("web", port=1)
    wait_until(lambda: "consul" in site.journal.troubles())
    site.engine.start("web", port=2)
    site.agent.away = False
    wait_until(lambda: site.is_registered(2))
    wait_until(lambda: not site.journal.troubles())
    assert [write for write in site.agent.writes if write != ("register", WEB)] == []


def test_a_defect_of_ours_is_told_and_the_next_pass_is_made(site):
    def fail(question, of):
        raise TypeError("a defect")

    site.agent.before = fail
    site.engine.run("web")
    site.loop.start()
    wait_until(lambda: "TypeError: a defect" in site.journal.troubles().get("defect", ""), 20)
    site.agent.before = lambda question, of: None
    wait_until(site.is_registered, 20)
    wait_until(lambda: not site.journal.troubles(), 20)


def test_no_pass_runs_any_more_after_the_end(site):
    site.engine.run("web")
    site.loop.start()
    wait_until(site.is_registered, 20)
    site.stop.set()
    site.loop.end(10)
    assert not site.loop.is_alive()
