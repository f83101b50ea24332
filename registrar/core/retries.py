"""Which writes failed, and when each is to be tried again: one bad service must not hold up the others. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class _Failure:
    mark: str
    reason: str
    count: int
    due: float


class Retries:
    """Failures by service id. `mark` tells what was to be written: something new is tried at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self.failed_writes, self.repeated = 0, 0  # since the start

    def is_due(self, service_id: str, mark: str) -> bool:
        failure = self._failures.get(service_id)
        if failure is None or failure.mark != mark:
            return True
        if failure.due <= self._clock():
            self.repeated += 1
            return True
        return False

    def failed(self, service_id: str, mark: str, reason: str) -> None:
        self.failed_writes += 1
        last = self._failures.get(service_id)
        count = last.count + 1 if last and last.mark == mark else 1
        pause = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** (count - 1))
        self._failures[service_id] = _Failure(mark, reason, count, self._clock() + pause)

    def succeeded(self, service_id: str) -> None:
        self._failures.pop(service_id, None)

    def forget_all_but(self, planned: Mapping[str, str]) -> None:
        """Drop the failures of what is no longer wanted."""
        self._failures = {key: f for key, f in self._failures.items() if planned.get(key) == f.mark}

    def failures(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((key, failure.reason) for key, failure in self._failures.items()))

    def next_due(self) -> float | None:
        """When to try next, None where nothing failed."""
        return min((failure.due for failure in self._failures.values()), default=None)
