"""The containers of the engine, as they were last looked at. The only one that asks the engine about them."""

from collections.abc import Callable, Iterable, Sequence, Set

from engine.container import Container
from engine.errors import SwarmUnavailable, Unreadable
from engine.events import Note, Signal
from engine.swarm import Services
from registrar.core.running import Running, heed, heed_after_look
from registrar.shell.protocols import Engine

VERIFY_AFTER_S = 1.0

Signals = Sequence[tuple[Container, Signal]]


class Containers:
    """Looks where it is told to. Every look gives the signals that containers were sent since the last one."""

    def __init__(self, engine: Engine, labels: Sequence[str], clock: Callable[[], float]) -> None:
        self._engine, self._labels, self._clock = engine, labels, clock
        self._services = Services(engine.swarm_services)
        self._notes: tuple[Note, ...] = ()
        self._verify: dict[str, float] = {}  # containers that are said to have ended, and when to make sure
        self.running = Running()

    def note(self, notes: Iterable[Note]) -> None:
        """Remember what containers were sent and that they ended, for the next look."""
        self._notes = (*self._notes, *notes)

    def look_everywhere(self, registered: Set[str]) -> Signals:
        """Look at all that run, and at the `registered`: a listing that lacks those proves nothing."""
        ids = self._engine.running(self._labels) | registered
        self._services.look_again()
        self.running, self._verify = self._found(Running(), ids), {}
        return self._heed_after_look()

    def look(self, touched: Set[str], rewired: Set[str]) -> Signals:
        """Look at the touched containers, and at those rewired that may serve; an end that was told is believed."""
        now = self._clock()
        heeded = heed(self.running, self._notes)
        self.running, self._notes = heeded.running, heeded.rest
        self._verify |= dict.fromkeys(heeded.ended, now + VERIFY_AFTER_S)
        ids = touched | {key for key, at in self._verify.items() if at <= now}
        ids |= {note.container for note in heeded.rest}
        ids |= {key for key in rewired if self.running.may_serve(key)}
        self.running = self._found(self.running, ids)
        self._verify = {key: at for key, at in self._verify.items() if key not in ids}
        return (*heeded.signals, *self._heed_after_look())

    def next_due(self) -> float | None:
        """When to look although nothing is told, by the clock; None where there is no need to."""
        return min(self._verify.values(), default=None)

    def _heed_after_look(self) -> Signals:
        heeded = heed_after_look(self.running, self._notes)
        self._notes = heeded.rest
        return heeded.signals

    def _found(self, running: Running, container_ids: Set[str]) -> Running:
        looked: frozenset[str] = frozenset()
        wanted = frozenset(container_ids)
        while wanted:
            running = running.seen({key: self._read(found)
                                    for key, found in self._engine.inspect_all(sorted(wanted))})
            looked |= wanted
            wanted = running.unseen_targets(wanted) - looked
        return running

    def _read(self, found: Container | Unreadable | None) -> Container | str | None:
        # Unknown is not gone: whatever is registered for it stays until it can be read.
        if isinstance(found, Unreadable):
            return str(found)
        try:
            return found and self._services.complete(found)
        except SwarmUnavailable as fault:
            assert found is not None
            return f"container {found.name}: {fault}"
