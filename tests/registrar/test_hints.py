"""Marks are gathered and handed over once; the reader connects again for ever."""

import logging
import threading
import time

from engine.errors import EngineUnavailable
from engine.events import Event
from registrar.shell.hints import EventReader, Hint, Hints
from registrar.status.journal import Journal
from registrar.status.metrics import Metrics


def test_many_marks_for_one_container_are_one_and_are_handed_over_once():
    hints = Hints()
    for _ in range(1000):
        hints.touch(Event("a"))
    hints.touch(Event("b", network=True))
    assert hints.wait(0) == Hint(containers=frozenset("a"), rewired=frozenset("b"))
    assert hints.wait(0) == Hint()


def test_waiting_ends_with_the_first_mark():
    hints = Hints()
    threading.Timer(0.05, hints.touch, [Event("a")]).start()
    began = time.monotonic()
    assert hints.wait(5).containers == {"a"} and time.monotonic() - began < 5


class BrokenStream:
    """Subscribes, gives one event, and ends; the second time it cannot even subscribe."""

    def __init__(self):
        self.calls = 0

    def events(self, connected):
        self.calls += 1
        if self.calls == 2:
            raise EngineUnavailable("refused")
        connected()
        yield Event(f"c{self.calls}")
        if self.calls >= 3:
            time.sleep(60)
        raise EngineUnavailable("ended")

    def interrupt(self):
        pass


def test_a_stream_that_ends_is_opened_again_and_everything_is_looked_at():
    hints, journal = Hints(), Journal(logging.getLogger("test"))
    EventReader(BrokenStream(), hints, journal, Metrics()).start()
    deadline, seen, everything = time.monotonic() + 5, set(), 0
    while seen != {"c1", "c3"} and time.monotonic() < deadline:
        hint = hints.wait(0.2)
        seen |= hint.containers
        everything += hint.everything
    assert seen == {"c1", "c3"} and everything == 2
    assert journal.troubles() == {}


def test_what_happens_to_no_container_is_a_reason_to_look_at_everything():
    hints = Hints()
    hints.touch(Event("", event="update"))
    assert hints.wait(0) == Hint(everything=True)
