"""For engines that announce no stops, as podman's Docker socket: the list of what runs, again and again.

podman tells of a container that is told to stop only when it has ended, but lists it no longer as running.
"""

import threading
from collections.abc import Sequence
from typing import Protocol

from engine.errors import EngineUnavailable
from engine.events import Event
from registrar.shell.hints import Hints
from registrar.status.journal import Journal
from registrar.status.lasting import LastingThread

EVERY_S = 1.0
NO_STOPS = ("this engine does not say when a container is told to stop: that is seen up to a second later, in the list "
            "of what runs. Put `registrar drain CONTAINER --wait 5` before each stop")


class Listing(Protocol):
    """What this needs of `engine.docker_engine.DockerEngine`."""

    def announces_stops(self) -> bool: ...
    def running(self, labels: Sequence[str]) -> frozenset[str]: ...


class Poller(LastingThread):
    """Marks what has come to the list or has left it, if the engine is such a one."""

    def __init__(self, engine: Listing, labels: Sequence[str], hints: Hints, journal: Journal,
                 stop: threading.Event) -> None:
        super().__init__("poller", journal, stop)
        self._engine, self._labels, self._hints, self._stop_event = engine, labels, hints, stop
        self._listed: frozenset[str] | None = None
        self._needed: bool | None = None  # until the engine has answered

    def work(self) -> None:
        while not self._stop_event.is_set():
            try:
                self._turn()
                self.works()
            except EngineUnavailable:
                self._listed = None  # the loop tells of it, and looks at everything afterwards
            self._stop_event.wait(EVERY_S if self._needed is not False else None)

    def _turn(self) -> None:
        if self._needed is None:
            self._needed = not self._engine.announces_stops()
            if self._needed:
                self._journal.warn("engine", why=NO_STOPS)
        if self._needed:
            listed = self._engine.running(self._labels)
            for container in sorted(listed ^ (listed if self._listed is None else self._listed)):
                self._hints.touch(Event(container, event="list"))
            self._listed = listed
