"""A change worked out and not made: the way of a pass, on copies of all that remembers. Shell."""

from catalog.errors import CatalogError, Conflict
from proxy_api.consul.mirror import ConsulMirror, Store
from proxy_api.core.difference import DryRun
from proxy_api.core.errors import ApplyFailed, ProxyError, Unavailable
from proxy_api.core.keys import Stored
from proxy_api.haproxy.apply import Applier
from proxy_api.haproxy.protocols import Proxy
from proxy_api.writer.calls import Answers, Call
from proxy_api.writer.candidate import Candidates
from proxy_api.writer.outcomes import Committed, outcome
from proxy_api.writer.passes import CONFLICT_TRIES, Passes, defect


class DryRuns:
    """Works out what calls would do, as far as can be told without doing it."""

    def __init__(self, passes: Passes, mirror: ConsulMirror, store: Store, proxy: Proxy, candidates: Candidates,
                 applier: Applier, answers: Answers) -> None:
        self._passes, self._mirror, self._store, self._proxy = passes, mirror, store, proxy
        self._candidates, self._applier, self._answers = candidates, applier, answers

    def run(self, call: Call) -> list[Call]:
        """Answer a call; itself where it has to wait for the next turn."""
        if self._mirror.fault or self._mirror.records is None:
            self._answers.refuse([call], Unavailable(f"nothing was changed: {self._mirror.fault}"))
            return []
        try:
            self._work_out(call)
        except ProxyError as fault:
            self._answers.refuse([call], fault)
        except Conflict:
            self._mirror.hint("records", 0)
            call.lost_races += 1
            if call.lost_races <= CONFLICT_TRIES:
                return [call]
            self._answers.refuse([call], Unavailable(f"others change {call.service} all the time; ask again"))
        except CatalogError as fault:
            self._answers.refuse([call], Unavailable(f"nothing was changed: {fault}"))
        except Exception as fault:  # a defect, or a full disk: it stays this call's alone
            self._answers.refuse([call], defect(fault, call.service))
        return []

    def _work_out(self, call: Call) -> None:
        records, served, name = self._mirror.records, self._passes.served, call.service
        assert records is not None
        held, mirror = records.held.get(name), self._mirror.copy()
        stored = held if isinstance(held, Stored) else None
        release = self._passes.release_for(call, mirror)
        changes = {**self._passes.outstanding(records, retry=False), name: release}
        candidates = self._candidates.copy(self._proxy.config_check.try_out)
        try:
            verdict = candidates.choose(served, changes, mirror.catalog, mirror.addresses)
        except ProxyError as fault:
            raise ApplyFailed(str(fault)) from fault
        if name in verdict.rejected:
            raise verdict.rejected[name]
        if release is not None and (stored is None or stored.release != release):
            self._store.require_room(release, held)
        self._store.require_unchanged(name, held)
        step = self._applier.plan(served.rendered if served else None, verdict.candidate.rendered)
        now = None if release is None else Stored(release, stored.index if stored else 0, b"")
        call.compared = DryRun(served, verdict.candidate, step)
        self._answers.give(call, outcome(name, Committed(held, now), step, verdict.candidate, self._applier.health))
