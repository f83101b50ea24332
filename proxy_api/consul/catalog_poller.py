"""The catalog, read in a thread of its own whenever it moved, so that no call waits behind a reading. Shell.

A few services that follow everything are read at once and by themselves; the rest follows in bulk, as often as it is
cheap enough: a busy catalog of thirty thousand instances must not keep a core busy. Less cannot be read: Consul's index
tells that some service moved, not which.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from catalog.errors import CatalogError, CatalogUnavailable
from catalog.model import Instance

log = logging.getLogger("proxy-api")

SETTLE_S = 0.05  # before a bulk reading: a deployment registers more than one instance, and calls right after it
REST = 2.0  # times what the last bulk reading took, before the next one
STATUS_S = 1.5  # how often checks are read where a template that follows all asks about them; no index tells
RETRY_S = 0.5  # after a failure
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Followed:
    """The catalog services to read: at once, in bulk, and with their checks."""

    prompt: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    with_status: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the catalog had at some moment after `began` (monotonic); `whole` where it has all that is followed."""

    began: float
    whole: bool
    found: Mapping[str, Sequence[Instance]]
    fault: CatalogError | None = None


class Feed:
    """Reads what `followed` says with `read`, and calls `ready` when there is something to take."""

    def __init__(self, read: Callable[[Sequence[str], Sequence[str]], Mapping[str, Sequence[Instance]]],
                 followed: Callable[[], Followed], ready: Callable[[], None]) -> None:
        self._read, self._followed, self._ready = read, followed, ready
        self._wake = threading.Event()
        self._readings: deque[Reading] = deque()
        self._last: dict[str, Sequence[Instance]] = {}
        self._rested = 0.0

    def moved(self) -> None:
        """Something in the catalog moved, or other services are followed. From any thread."""
        self._wake.set()

    def forget(self) -> None:
        """What moved until now is known to somebody who reads it by himself. Before `run`."""
        self._wake.clear()

    def take(self) -> list[Reading]:
        """The readings since the last time, oldest first."""
        taken = []
        while self._readings:
            taken.append(self._readings.popleft())
        return taken

    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._readings)

    def run(self) -> None:
        """For ever. What is followed was read when this began."""
        due = time.monotonic() + STATUS_S if self._followed().with_status else _NEVER
        while True:
            left = due - time.monotonic()
            if self._wake.wait(None if due == _NEVER else max(0.0, left)):
                self._wake.clear()
                due = min(due, max(time.monotonic() + SETTLE_S, self._rested))
                if prompt := self._followed().prompt:
                    self._offer(prompt, (), whole=False)
            if time.monotonic() >= due:
                due = self._bulk()

    def _bulk(self) -> float:
        """Read all that is followed; when to do so again although nothing moves."""
        followed = self._followed()
        began = time.monotonic()
        if not self._offer((*followed.prompt, *followed.plain), followed.with_status, whole=True):
            return time.monotonic() + RETRY_S
        now = time.monotonic()
        self._rested = now + REST * (now - began)
        return now + STATUS_S if followed.with_status else _NEVER

    def _offer(self, plain: Sequence[str], with_status: Sequence[str], whole: bool) -> bool:
        began = time.monotonic()
        try:
            found = self._read(plain, with_status)
            # What is as it was is the very same value again: comparing it costs next to nothing from then on.
            same = {name: old for name, old in self._last.items() if found.get(name) == old}
            found = {**found, **same}
            self._last = dict(found) if whole else {**self._last, **found}
            reading = Reading(began, whole, found)
        except CatalogError as fault:
            reading = Reading(began, whole, {}, fault)
        except Exception as fault:  # whatever it is, a feed that ended would leave this replica behind for good
            log.exception("event=read-failed")
            reading = Reading(began, whole, {}, CatalogUnavailable(f"internal error: {type(fault).__name__}: {fault}"))
        self._readings.append(reading)
        self._ready()
        return reading.fault is None
