"""Heartbeats of the checks that nobody else reports: which one is to be sent, and when the next is due. Pure.

A TTL check that hears nothing turns critical by itself, so it is sent well before; a change of status at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from registrar.core.registration import Heartbeat, Registration

_DUE_AFTER = 1 / 3  # of a check's TTL: two may get lost
_EARLY_AFTER = 1 / 4  # sent along when another one is due anyway
_MIN_PAUSE_S = 0.2


def by_check(registrations: Iterable[Registration]) -> dict[str, Heartbeat]:
    """The heartbeats of these services, by the ids of their checks."""
    return {one.check_id(beat): beat for one in registrations for beat in one.heartbeats}


@dataclass(frozen=True, slots=True)
class TtlHeartbeats:
    """What was last reported for each check, and when."""

    last: Mapping[str, tuple[Heartbeat, float]] = field(default_factory=dict)

    def due(self, wanted: Mapping[str, Heartbeat], now: float) -> dict[str, Heartbeat]:
        """The checks to report now."""
        return {key: beat for key, beat in wanted.items() if self._is_due(key, beat, now)}

    def _is_due(self, check_id: str, beat: Heartbeat, now: float) -> bool:
        if check_id not in self.last:
            return True
        last, at = self.last[check_id]
        return last.status != beat.status or now - at >= max(_MIN_PAUSE_S, _EARLY_AFTER * beat.ttl)

    def sent(self, wanted: Mapping[str, Heartbeat], check_ids: Iterable[str], now: float) -> "TtlHeartbeats":
        """After these were reported; those that are no longer wanted are forgotten."""
        last = {key: said for key, said in self.last.items() if key in wanted}
        return TtlHeartbeats(last | {key: (wanted[key], now) for key in check_ids})

    def next_due(self) -> float | None:
        """When to send the next one, by the clock; None where there is none."""
        return min((at + max(_MIN_PAUSE_S, _DUE_AFTER * beat.ttl) for beat, at in self.last.values()), default=None)
