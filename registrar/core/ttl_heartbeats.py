"""Heartbeats of the checks that nobody else reports: which one is to be sent, and when the next is due. Pure.

A TTL check that hears nothing turns critical by itself, so it is sent well before; a change of status at once.
"""

from collections.abc import Callable, Iterable

from registrar.core.registration import Heartbeat, Registration

_DUE_AFTER = 1 / 3  # of a check's TTL: two may get lost
_EARLY_AFTER = 1 / 4  # sent along when another one is due anyway
_MIN_PAUSE_S = 0.2


class TtlHeartbeats:
    """What was last reported for each check."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: dict[str, tuple[Heartbeat, float]] = {}

    def due(self, registrations: Iterable[Registration]) -> tuple[tuple[str, Heartbeat], ...]:
        """The checks to report now, by their ids; those of services that are no longer there are forgotten."""
        wanted = {one.check_id(beat): beat for one in registrations for beat in one.heartbeats}
        self._sent = {key: sent for key, sent in self._sent.items() if key in wanted}
        return tuple((key, beat) for key, beat in wanted.items() if self._is_due(key, beat))

    def _is_due(self, check_id: str, beat: Heartbeat) -> bool:
        if check_id not in self._sent:
            return True
        last, at = self._sent[check_id]
        return last.status != beat.status or self._clock() - at >= max(_MIN_PAUSE_S, _EARLY_AFTER * beat.ttl)

    def sent(self, check_id: str, beat: Heartbeat) -> None:
        self._sent[check_id] = (beat, self._clock())

    def next_due(self) -> float | None:
        """When to send the next one, by the clock; None where there is none."""
        return min((at + max(_MIN_PAUSE_S, _DUE_AFTER * beat.ttl) for beat, at in self._sent.values()), default=None)
