"""Writes to Consul: those that are due, what came of each, and when to try again. Pure.

One service that Consul refuses holds up no other; a Consul that is away is nobody's fault in particular.
"""

from collections.abc import Callable, Iterable, Sequence

from catalog.errors import CatalogError, CatalogUnavailable
from registrar.core.outcome import Draft
from registrar.core.retries import Retries
from registrar.core.ttl_heartbeats import by_check

Send = Callable[[], None]
# Carries out writes that do not depend on each other; what came of each.
Together = Callable[[Sequence[Send]], Sequence[CatalogError | None]]


def hold_key(service_id: str) -> str:
    """The key of a write about a service's maintenance, beside those about the service itself."""
    return f"{service_id} (maintenance)"


def question_key(service_id: str) -> str:
    """The key of a write about whose entry a service is."""
    return f"{service_id} (question)"


def marks(draft: Draft) -> dict[str, str]:
    """Every write that a draft asks for, by its key, and what tells it from another write of that key."""
    plan = draft.plan
    return {**{one.id: one.mark for one in plan.register}, **dict.fromkeys(plan.deregister, ""),
            **{hold_key(key): reason for key, reason in plan.hold}, **{hold_key(key): "" for key in plan.release},
            **{question_key(key): "ask" for key, _ in plan.ask}, **{question_key(key): "" for key in plan.answer},
            **{key: beat.status for key, beat in by_check(draft.registrations).items()}}


class Writes:
    """Carries out writes; `ask` is a read that raises CatalogUnavailable where Consul is away."""

    def __init__(self, retries: Retries, together: Together, stopping: Callable[[], bool],
                 ask: Callable[[], object]) -> None:
        self._retries, self._together, self._stopping, self._ask = retries, together, stopping, ask

    def __call__(self, writes: Iterable[tuple[str, str, Send]]) -> tuple[str, ...]:
        """Send the writes (key, mark, send) that did not fail a short while ago; the keys of those that Consul took.

        Raises CatalogUnavailable only when Consul is away.
        """
        due = [(key, mark, send) for key, mark, send in writes if self._retries.is_due(key, mark)]
        if self._stopping() or not due:
            return ()
        faults = self._together([send for _, _, send in due])
        if any(isinstance(fault, CatalogUnavailable) for fault in faults):
            # Consul also says 500 to one bad service. If it still answers a read, only that write is in trouble.
            self._ask()
        for (key, mark, _), fault in zip(due, faults, strict=True):
            if fault:
                self._retries.failed(key, mark, str(fault))
            else:
                self._retries.succeeded(key)
        return tuple(key for (key, _, _), fault in zip(due, faults, strict=True) if not fault)


def one_by_one(writes: Sequence[Send]) -> list[CatalogError | None]:
    return [fault_of(write) for write in writes]


def fault_of(write: Send) -> CatalogError | None:
    """What came of a write."""
    try:
        write()
    except CatalogError as fault:
        return fault
    return None
