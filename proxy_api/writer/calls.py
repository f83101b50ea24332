"""A change that somebody waits for, on its way through the passes. Shell."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from proxy_api.core import difference
from proxy_api.core.difference import DryRun
from proxy_api.core.errors import ProxyError
from proxy_api.core.messages import Outcome
from proxy_api.core.spec import ServiceSpec


@dataclass(slots=True, eq=False)
class Call:
    """A change to one service: a new release of it, or (spec None) its removal. A dry run is worked out, not made."""

    service: str
    spec: ServiceSpec | None
    dry_run: bool = False
    lost_races: int = 0
    compared: DryRun | None = None
    _result: "Future[Outcome]" = field(default_factory=Future)

    def wait(self, seconds: float) -> Outcome:
        """What came of it. Raises ProxyError, and TimeoutError where that is not known yet."""
        outcome = self._result.result(seconds)
        # What a dry run compared is all that is served: who asked has the time to see the difference.
        return outcome if self.compared is None else replace(outcome, shown=difference.shown(self.compared))

    def answer(self, answer: Outcome | ProxyError) -> None:
        """Let who waits have it."""
        if isinstance(answer, Outcome):
            self._result.set_result(answer)
        else:
            self._result.set_exception(answer)


class Answers:
    """What is to be told to callers at the end of a pass, when the state says the same."""

    def __init__(self) -> None:
        self._ready: list[tuple[Call, Outcome | ProxyError]] = []

    def give(self, call: Call, answer: Outcome | ProxyError) -> None:
        """Have a call answered with this."""
        self._ready.append((call, answer))

    def refuse(self, calls: Iterable[Call], fault: ProxyError) -> None:
        """Have all of these refused."""
        self._ready += [(call, fault) for call in calls]

    def without(self, calls: Iterable[Call]) -> list[Call]:
        """Those of the calls that have no answer yet."""
        answered = {call for call, _ in self._ready}
        return [call for call in calls if call not in answered]

    def deliver(self) -> None:
        """Tell them."""
        ready, self._ready = self._ready, []
        for call, answer in ready:
            call.answer(answer)


def one_per_service(calls: Sequence[Call]) -> tuple[list[Call], list[Call]]:
    """The first call of each service, and the rest: what two callers want of one service happens in turn."""
    first: dict[str, Call] = {}
    for call in calls:
        first.setdefault(call.service, call)
    return list(first.values()), [call for call in calls if first[call.service] is not call]
