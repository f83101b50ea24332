"""Which containers are to leave rotation although they run: those that were told to stop, and those that pause. Pure.

A container that is told to stop still serves what it has. Its services go into Consul's maintenance, so that nobody
sends it anything new. The reason written there names the run of the container that is meant; so a registrar that
was restarted meanwhile finds its own drains again, and never takes an operator's maintenance for one of them.

How long the engine lets a container end (`docker stop -t`, a swarm's grace period) is told nowhere, and a signal sent
by hand looks the same. So the stop signal counts as a stop until the run has ended; a container that survives it comes
back when somebody ends its maintenance, or after a limit, which is long.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

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


def by_hand(container: Container) -> str:
    """The reason of a drain that somebody asked for: it lasts as long as the container runs."""
    return _HAND.format(run=run_of(container))


def run_of(container: Container) -> str:
    """What tells this run of a container from the next one."""
    return f"{container.id[:12]}/{container.state.started:.3f}"


def is_ours(reason: str) -> bool:
    """Whether a maintenance with this reason was set by a registrar."""
    return _OURS.fullmatch(reason) is not None


@dataclass(frozen=True, slots=True)
class Stop:
    """A run of a container was told to end, and is given up for one that survived at that time."""

    run: str
    until: float


@dataclass(frozen=True, slots=True)
class Drains:
    """Who is to be out of rotation, by container id. `mode` is that of --drain; times are seconds since 1970.

    `limit` are the seconds after which a container that still runs has survived its stop signal. `pauses` are those
    that last, and since when: a short one is none.
    """

    mode: str
    limit: float = 0.0
    stops: Mapping[str, Stop] = field(default_factory=dict)
    pauses: Mapping[str, float] = field(default_factory=dict)

    def signalled(self, container: Container, signal: Signal, now: float) -> "Drains":
        """After a container was sent a signal; one that was sent to an earlier run of it no longer matters."""
        asked_to_end = signal.number in (container.stop_signal, SIGKILL)
        if self.mode == "off" or not (asked_to_end and container.serving and signal.at >= container.state.started):
            return self
        stop = Stop(run_of(container), now + max(self.limit, container.stop_timeout + MARGIN_S))
        return replace(self, stops={**self.stops, container.id: stop})

    def undone(self, before: Mapping[str, str], now: Mapping[str, str]) -> "Drains":
        """After somebody has ended the maintenance of services that are still there: `before` and `now` are the
        reasons of theirs, "" for none.
        """
        over = {stop.run for key, reason in before.items() if now.get(key) == "" and (stop := _read_stop(reason))}
        return replace(self, stops={key: stop for key, stop in self.stops.items() if stop.run not in over})

    def looked(self, containers: Mapping[str, Container], present: Iterable[tuple[str, str]], now: float) -> "Drains":
        """After a look at the containers; `present` are the ids of those in maintenance, each with its reason."""
        if self.mode == "off":
            return self
        serving = {key: container for key, container in containers.items() if container.serving}
        known = frozenset(present)
        # Those of a registrar before this one stand in Consul.
        stops = {**{key: stop for key, reason in known if (stop := _read_stop(reason))}, **self.stops}
        return replace(
            self,
            stops={key: stop for key, stop in stops.items()
                   if key in serving and stop.run == run_of(serving[key]) and stop.until > now},
            pauses={key: self._paused_since(key, (key, PAUSED) in known, now)
                    for key, container in serving.items() if container.state.paused})

    def _paused_since(self, container_id: str, is_out: bool, now: float) -> float:
        since = self.pauses.get(container_id, _LONG_AGO if is_out else now)
        return since if now - since < PAUSED_FOR_S else _LONG_AGO

    def reason(self, container: Container, present: str = "") -> str:
        """Why this container is to be out of rotation, "" where it is not; `present` is the reason that Consul has."""
        run = run_of(container)
        if present == by_hand(container):
            return present
        stop = self.stops.get(container.id)
        if stop and stop.run == run:
            return _STOP.format(run=run, until=stop.until)
        return PAUSED if self.pauses.get(container.id) == _LONG_AGO else ""

    def due(self, now: float) -> frozenset[str]:
        """The containers for which a time has come that changes something."""
        return frozenset(key for key, at in self._times() if at <= now)

    def next_due(self) -> float | None:
        """When that is for the next of them; None where no time changes anything."""
        return min((at for _, at in self._times()), default=None)

    def _times(self) -> list[tuple[str, float]]:
        return [*((key, stop.until) for key, stop in self.stops.items()),
                *((key, since + PAUSED_FOR_S) for key, since in self.pauses.items() if since > _LONG_AGO)]


def _read_stop(reason: str) -> Stop | None:
    found = _OURS.fullmatch(reason)
    return Stop(found["stop"], float(found["until"])) if found and found["stop"] else None
