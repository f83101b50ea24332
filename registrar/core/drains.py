"""Which containers are to leave rotation although they run: those that were told to stop, and those that pause. Pure.

A container that is told to stop still serves what it has. Its services go into Consul's maintenance, so that nobody
sends it anything new. The reason written there names the run of the container that is meant; so a registrar that
was restarted meanwhile finds its own drains again, and never takes an operator's maintenance for one of them.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.container import Container
from engine.events import Signal

MAINTENANCE = "_service_maintenance:"  # Consul's maintenance is a check whose id begins so and ends in the service's
SIGKILL = 9
MARGIN_S = 5.0  # past the time after which the engine would have killed it
PAUSED_FOR_S = 1.0  # `docker commit` pauses for less than a tenth of that

_LONG_AGO = -math.inf

PAUSED = "registrar: the container is paused"
_STOP = "registrar: told to stop; run {run}, back at {until:.0f} if it survives"
_HAND = "registrar: drained by hand; run {run}"
_OURS = re.compile(r"registrar: (?:told to stop; run (?P<stop>\S+), back at (?P<until>\d+) if it survives"
                   r"|drained by hand; run (?P<hand>\S+)|the container is paused)")


@dataclass(frozen=True, slots=True)
class _Stop:
    run: str
    until: float


def by_hand(container: Container) -> str:
    """The reason of a drain that somebody asked for: it lasts as long as the container runs."""
    return _HAND.format(run=run_of(container))


def run_of(container: Container) -> str:
    """What tells this run of a container from the next one."""
    return f"{container.id[:12]}/{container.state.started:.3f}"


def is_ours(reason: str) -> bool:
    """Whether a maintenance with this reason was set by a registrar."""
    return _OURS.fullmatch(reason) is not None


class Drains:
    """Who is to be out of rotation, and why. `mode` is that of --drain; `clock` tells seconds since 1970."""

    def __init__(self, mode: str, clock: Callable[[], float]) -> None:
        self._mode, self._clock = mode, clock
        self._stops: dict[str, _Stop] = {}
        self._paused: dict[str, float] = {}

    def signalled(self, container: Container, signal: Signal) -> None:
        """A container was sent a signal; one that was sent to an earlier run of it no longer matters."""
        asked_to_end = signal.number in (container.stop_signal, SIGKILL)
        if self._mode != "off" and asked_to_end and container.serving and signal.at >= container.state.started:
            until = self._clock() + container.stop_timeout + MARGIN_S
            self._stops[container.id] = _Stop(run_of(container), until)

    def reason(self, container: Container, present: str = "") -> str:
        """Why this container is to be out of rotation, "" where it is not; `present` is the reason that Consul has."""
        now, run = self._clock(), run_of(container)
        found = _OURS.fullmatch(present)
        if found and found["hand"] == run:
            return present
        if self._mode == "off":
            return ""
        if found and found["stop"] == run and container.id not in self._stops:
            self._stops[container.id] = _Stop(run, float(found["until"]))
        stop = self._stops.get(container.id)
        if stop and (stop.run != run or stop.until <= now):
            del self._stops[container.id]
            stop = None
        if stop:
            return _STOP.format(run=run, until=stop.until)
        return self._pause(container, now, present)

    def _pause(self, container: Container, now: float, present: str) -> str:
        if not container.state.paused:
            self._paused.pop(container.id, None)
            return ""
        since = self._paused.setdefault(container.id, _LONG_AGO if present == PAUSED else now)
        if now - since < PAUSED_FOR_S:
            return ""
        self._paused[container.id] = _LONG_AGO
        return PAUSED

    def forget_all_but(self, containers: Mapping[str, Container]) -> None:
        """Drop what is known of containers that have ended."""
        serving = {key for key, container in containers.items() if container.serving}
        self._stops = {key: stop for key, stop in self._stops.items() if key in serving}
        self._paused = {key: since for key, since in self._paused.items() if key in serving}

    def due(self) -> frozenset[str]:
        """The containers for which a time has come that changes something."""
        now = self._clock()
        return frozenset(key for key, at in self._times() if at <= now)

    def next_due(self) -> float | None:
        """When that is for the next of them, by the clock; None where no time changes anything."""
        return min((at for _, at in self._times()), default=None)

    def _times(self) -> list[tuple[str, float]]:
        return [*((key, stop.until) for key, stop in self._stops.items()),
                *((key, since + PAUSED_FOR_S) for key, since in self._paused.items() if since > _LONG_AGO)]
