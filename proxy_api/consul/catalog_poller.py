"""The catalog, read in a thread of its own whenever it moved, so that no call waits behind a reading. Shell.

A few services that follow everything are read at once and by themselves; the rest follows in bulk, as often as it is
cheap enough: a busy catalog of thirty thousand instances must not keep a core busy. Less cannot be read: Consul's index
tells that some service moved, not which. Of checks and keys that a template reads no index tells: such a template, if
it follows everything, is admitted anew again and again.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from catalog.errors import CatalogError
from catalog.model import Instance
from proxy_api.core.errors import ProxyError
from proxy_api.core.follow import Renewed
from proxy_api.core.release import Release

log = logging.getLogger("proxy-api")

SETTLE_S = 0.05  # before a bulk reading: a deployment registers more than one instance, and calls right after it
REST = 2.0  # times what the last bulk reading took, before the next one
RENEW_S = 1.5  # how often templates that follow everything are admitted anew
RETRY_S = 0.5  # after a failure
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Followed:
    """What to read: catalog services at once and in bulk, and releases of templates to admit anew."""

    prompt: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    templates: tuple[Release, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the catalog had at some moment after `began` (monotonic); `whole` where it has all that is followed.

    `broken` are templates that could not be admitted anew, each with the reason. `fault` says why there is no reading,
    and `is_defect` that it is ours.
    """

    began: float
    whole: bool
    found: Mapping[str, Sequence[Instance]] = field(default_factory=dict)
    renewed: Mapping[str, Renewed] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""


class CatalogPoller:
    """Reads what `followed` says with `read` and `renew`, and calls `ready` when there is something to take."""

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, Sequence[Instance]]],
                 renew: Callable[[Release], Release], followed: Callable[[], Followed],
                 ready: Callable[[], None]) -> None:
        self._read, self._renew, self._followed, self._ready = read, renew, followed, ready
        self._wake = threading.Event()
        self._readings: deque[Reading] = deque()
        self._last = Reading(0.0, True)
        self._rested = 0.0

    def hint(self) -> None:
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
        due = time.monotonic() + RENEW_S if self._followed().templates else _NEVER
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
        if not self._offer((*followed.prompt, *followed.plain), followed.templates, whole=True):
            return time.monotonic() + RETRY_S
        now = time.monotonic()
        self._rested = now + REST * (now - began)
        return max(now + RENEW_S, self._rested) if followed.templates else _NEVER

    def _offer(self, services: Sequence[str], templates: Sequence[Release], whole: bool) -> bool:
        began = time.monotonic()
        try:
            reading = self._reading(began, services, templates, whole)
            self._last = reading if whole else Reading(0.0, True, {**self._last.found, **reading.found},
                                                       self._last.renewed)
        except CatalogError as fault:
            reading = Reading(began, whole, fault=str(fault))
        except Exception as fault:  # whatever it is, a poller that ended would leave this replica behind for good
            log.exception("event=defect in=catalog-poller")
            reading = Reading(began, whole, fault=f"internal error: {type(fault).__name__} in reading the catalog")
        self._readings.append(reading)
        self._ready()
        return not reading.fault

    def _reading(self, began: float, services: Sequence[str], templates: Sequence[Release], whole: bool) -> Reading:
        # What is as it was is the very same value again: comparing it costs next to nothing from then on.
        found = {name: had if (had := self._last.found.get(name)) is not None and had == instances else instances
                 for name, instances in self._read(services).items()}
        renewed: dict[str, Renewed] = {}
        broken: dict[str, str] = {}
        for release in templates:
            name = release.spec.name
            try:
                fresh = Renewed(release, self._renew(release))
            except ProxyError as fault:
                broken[name] = str(fault)
                continue
            last = self._last.renewed.get(name)
            renewed[name] = last if last == fresh else fresh
        return Reading(began, whole, found, renewed, broken)
