"""Hints: which containers something may have happened to. A thread reads the engine's events and only marks.

A hint decides nothing; it says where to look. Lost, doubled or late hints do no harm, since full passes need none.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from engine.errors import EngineUnavailable
from engine.events import Event, Exit, Signal
from registrar.status.journal import Journal
from registrar.status.lasting import LastingThread
from registrar.status.metrics import Metrics

MAX_PAUSE_S = 2.0
OUT_OF_MEMORY = "oom"
STEADY_AFTER_S = 10.0  # a stream that lasted so long was a good one


@dataclass(frozen=True, slots=True)
class Hint:
    """Look at these containers, or at everything. `rewired` are those whose networks changed."""

    everything: bool = False
    containers: frozenset[str] = frozenset()
    rewired: frozenset[str] = frozenset()
    notes: tuple[Signal | Exit, ...] = ()


class Hints:
    """Marks, gathered until somebody takes them. Many marks for one container are one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._everything = False
        self._containers: set[str] = set()
        self._rewired: set[str] = set()
        self._notes: list[Signal | Exit] = []

    def touch(self, event: Event) -> None:
        with self._changed:
            if not event.container:
                self._everything = True
            elif event.note:
                self._notes.append(event.note)
            else:
                (self._rewired if event.network else self._containers).add(event.container)
            self._changed.notify()

    def touch_everything(self) -> None:
        with self._changed:
            self._everything = True
            self._changed.notify()

    def wait(self, timeout_s: float) -> Hint:
        """What was marked since the last call; an empty hint after `timeout_s` seconds without any."""
        with self._changed:
            self._changed.wait_for(self._is_marked, max(0.0, timeout_s))
            hint = Hint(self._everything, frozenset(self._containers), frozenset(self._rewired), tuple(self._notes))
            self._everything, self._containers, self._rewired, self._notes = False, set(), set(), []
            return hint

    def _is_marked(self) -> bool:
        return bool(self._everything or self._containers or self._rewired or self._notes)


class EventSource(Protocol):
    """A stream of events; calls back when it is subscribed, raises EngineUnavailable when it ends."""

    def events(self, connected: Callable[[], None]) -> Iterator[Event]: ...
    def interrupt(self) -> None: ...


class EventReader(LastingThread):
    """Turns events into marks for ever, and reconnects whenever the stream ends.

    It drains the socket in a thread of its own, because a reader that stalls costs the engine 100 ms for each event.
    """

    def __init__(self, source: EventSource, hints: Hints, journal: Journal, metrics: Metrics) -> None:
        super().__init__("events", journal)
        self._source, self._hints, self._metrics = source, hints, metrics
        self._pause_s, self._since = 0.05, time.monotonic()

    def work(self) -> None:
        pause = threading.Event()
        while True:
            try:
                for event in self._source.events(self._connected):
                    self._hints.touch(event)
                    self._metrics.events.labels(event.event).inc()
                    say = self._journal.warn if event.event == OUT_OF_MEMORY else self._journal.debug
                    say("event", action=event.event, container=event.container[:12] or "-")
            except EngineUnavailable as fault:
                self._journal.trouble("events", str(fault))
            lasted = time.monotonic() - self._since
            self._pause_s = 0.05 if lasted > STEADY_AFTER_S else min(MAX_PAUSE_S, 2 * self._pause_s)
            pause.wait(self._pause_s)

    def reconnect(self) -> None:
        """Give up a stream that may hang."""
        self._source.interrupt()

    def _connected(self) -> None:
        self._since = time.monotonic()
        self._journal.over("events")
        self.works()
        # Only what is listed after the subscription is complete.
        self._hints.touch_everything()
