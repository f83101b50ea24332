"""A pass: what calls ask for and what Consul says, checked, committed and applied together. Shell.

Start-up, recovery, a call and a hint all run the same pass: read what is not known, decide, let HAProxy check, commit,
apply. Changes that arrive together share one reload.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from catalog.errors import CatalogError, CatalogRejected, CatalogUnavailable, Conflict
from proxy_api.consul.mirror import ConsulMirror, Store
from proxy_api.core import bisect
from proxy_api.core.bisect import Candidate, Changes
from proxy_api.core.errors import ApplyFailed, NewerThanThis, ProxyError, Refused, Unavailable, UnknownService
from proxy_api.core.keys import Held, Records, Stored, Unreadable
from proxy_api.core.outstanding import NOT_APPLIED_S, Refusals, after_check, outstanding, refusal
from proxy_api.core.release import Release
from proxy_api.core.render import Surroundings
from proxy_api.haproxy.apply import Applier
from proxy_api.haproxy.protocols import Proxy
from proxy_api.writer.calls import Answers, Call, one_per_service
from proxy_api.writer.candidate import Candidates
from proxy_api.writer.outcomes import Committed, outcome

log = logging.getLogger("proxy-api")

CONFLICT_TRIES = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """A call with the release it comes to; None for a removal."""

    call: Call
    release: Release | None


class Passes:
    """Owns what is served. Used by the writer's thread alone; `served` and `refusals` are replaced, never changed."""

    def __init__(self, mirror: ConsulMirror, store: Store, proxy: Proxy, around: Callable[[], Surroundings],
                 candidates: Candidates, applier: Applier, answers: Answers) -> None:
        self._mirror, self._store, self._proxy, self._around = mirror, store, proxy, around
        self._candidates, self._applier, self._answers = candidates, applier, answers
        self._suspects: tuple[frozenset[str], ...] = ()  # batches that HAProxy did not take, in parts to try again
        self._again: list[Call] = []
        self.refusals: Refusals = {}
        self.served: Candidate | None = None

    def run(self, calls: Sequence[Call]) -> list[Call]:
        """One pass over everything that waits, dry runs excepted; the calls that have to wait for the next."""
        moved = self._refresh(calls)
        if self._mirror.fault:
            self._answers.refuse(calls, Unavailable(f"nothing was changed: {self._mirror.fault}"))
            calls = []
        if self._mirror.records is None:
            return []
        batch, later = one_per_service(calls)
        if self._suspects:  # one part of it at a time, so that who spoils it stands alone in the end
            later += [call for call in batch if call.service not in self._suspects[0]]
            batch = [call for call in batch if call.service in self._suspects[0]]
        asked = {call.service: found for call in batch if (found := self._prepare(call)) is not None}
        waiting = self._settle(asked, self._mirror.records) if asked or moved or self._has_work() else []
        waiting += self._again
        self._again = []
        return [*waiting, *later]

    def _refresh(self, calls: Sequence[Call]) -> bool:
        """Read what moved, unless calls wait that read what they need themselves; whether anything did."""
        if calls and not self._mirror.fault and not self._mirror.is_urgent():
            return False
        return self._mirror.refresh(self.served.releases if self.served else {})

    def _has_work(self) -> bool:
        """Whether there is something to do although nobody asked and Consul did not move."""
        if self.served is None or self._candidates.holding() or self._applier.fault or self._suspects:
            return True
        records = self._mirror.records
        if records and outstanding(records.held, self.served.releases, self.refusals, time.monotonic(), retry=True):
            return True
        return (self._around() != self.served.rendered.around
                or self._proxy.runtime.serving() != self.served.rendered.config.digest)

    # --- deciding --------------------------------------------------------------------------------------------------

    def release_for(self, call: Call, mirror: ConsulMirror) -> Release | None:
        """What a call comes to, None for a removal. Raises ProxyError and CatalogError."""
        assert mirror.records is not None
        held = mirror.records.held.get(call.service)
        if call.spec is None:
            if held is None:
                self._store.require_unchanged(call.service, None)
                raise UnknownService(f"{call.service} is not configured at this proxy; nothing was removed")
            return None
        if isinstance(held, Unreadable) and held.newer:
            raise NewerThanThis(f"{held.reason}: upgrade this proxy, or remove {call.service} first")
        return mirror.admit(call.spec, held.release if isinstance(held, Stored) else None)

    def _prepare(self, call: Call) -> Asked | None:
        """A call with what it comes to; None where it has failed already."""
        if self._mirror.fault:  # it failed for the call before
            self._answers.refuse([call], Unavailable(f"nothing was changed: {self._mirror.fault}"))
            return None
        try:
            return Asked(call, self.release_for(call, self._mirror))
        except ProxyError as fault:
            self._answers.refuse([call], fault)
        except Conflict:
            self._lost_race(call)
        except CatalogRejected as fault:  # what this one asks for; others are not
            self._answers.refuse([call], Refused(f"Consul refuses what {call.service} needs: {fault}"))
        except CatalogError as fault:
            self._mirror.failed(fault)
            self._answers.refuse([call], Unavailable(f"nothing was changed: {fault}"))
        except Exception as fault:  # a defect that this one service brings out is its trouble alone
            self._answers.refuse([call], defect(fault, call.service))
        return None

    def outstanding(self, records: Records, retry: bool) -> dict[str, Release | None]:
        """What the records say that is not served yet; of a batch that HAProxy did not take, the part that is tried."""
        found = outstanding(records.held, self.served.releases if self.served else {}, self.refusals, time.monotonic(),
                            retry)
        return {name: r for name, r in found.items() if name in self._suspects[0]} if self._suspects else found

    # --- changing --------------------------------------------------------------------------------------------------

    def _settle(self, asked: Mapping[str, Asked], records: Records) -> list[Call]:
        """Check, commit and apply: what is asked and whatever else Consul says. The calls that have to wait."""
        told = self.outstanding(records, retry=not asked)
        changes = {**told, **{name: one.release for name, one in asked.items()}}
        try:
            verdict = self._choose(changes)
        except ProxyError as fault:
            # Not one service's fault: a change is not to blame for what is wrong with the whole.
            self._answers.refuse([one.call for one in asked.values()], ApplyFailed(str(fault)))
            self._applier.failed(fault)
            return []
        for name in sorted(verdict.rejected.keys() & asked.keys()):
            self._answers.refuse([asked[name].call], verdict.rejected[name])
        self.refusals = after_check(self.refusals, told, asked.keys(), verdict.rejected, time.monotonic())
        good = {name: one for name, one in asked.items() if name not in verdict.rejected}
        committed = self._commit(good, records)
        tried = {name: release for name, release in changes.items()
                 if name not in verdict.rejected and (name not in good or name in committed)}
        try:
            candidate = verdict.candidate if len(committed) == len(good) else self._without_the_lost(tried, committed)
            step = self._applier.apply(self.served.rendered if self.served else None, candidate.rendered,
                                       asked=bool(committed) or bool(self._suspects))
        except ProxyError as fault:
            return self._not_applied(fault, {name: (good[name].call, made) for name, made in committed.items()}, tried)
        if step is not None:
            self.served = candidate
            self._suspects = self._suspects[1:]
            for name, made in committed.items():
                self._answers.give(good[name].call, outcome(name, made, step, candidate, self._applier.health))
        return []

    def _choose(self, changes: Changes) -> bisect.Verdict:
        return self._candidates.choose(self.served, changes, self._mirror.catalog, self._mirror.addresses)

    def _without_the_lost(self, tried: Changes, committed: Mapping[str, Committed]) -> Candidate:
        """What is to be served where some of what was accepted could not be committed. Raises ProxyError."""
        second = self._choose(tried)
        if lost := second.rejected.keys() & committed.keys():
            raise ApplyFailed(f"{', '.join(sorted(lost))}: {second.rejected[min(lost)]}")
        return second.candidate

    def _not_applied(self, fault: ProxyError, committed: Mapping[str, tuple[Call, Committed]],
                     tried: Changes) -> list[Call]:
        """HAProxy did not take it. Put the records back, and find out whose fault it is by trying less at once."""
        self._applier.failed(fault)
        self._roll_back({name: made for name, (_, made) in committed.items()})
        calls = [call for call, _ in committed.values()]
        self._suspects = (*bisect.halves(tried), *self._suspects[1:])
        if len(tried) > 1:
            return calls
        self._answers.refuse(calls, fault)
        if not calls:
            again_at = time.monotonic() + NOT_APPLIED_S
            self.refusals = {**self.refusals, **{n: refusal(release, fault, again_at) for n, release in tried.items()}}
        return []

    def _commit(self, asked: Mapping[str, Asked], records: Records) -> dict[str, Committed]:
        """Write what was accepted to Consul; what holds from now on."""
        held = dict(records.held)
        committed: dict[str, Committed] = {}
        for name, one in asked.items():
            try:
                made = committed[name] = self._write(name, one.release, held.get(name))
            except Conflict:
                self._lost_race(one.call)
            except ProxyError as fault:
                self._answers.refuse([one.call], fault)
            except CatalogRejected as fault:
                self._answers.refuse([one.call], Refused(f"Consul refuses the record of {name}: {fault}"))
            except CatalogError as fault:
                self._mirror.failed(fault)
                self._answers.refuse([one.call], Unavailable(_uncommitted(fault)))
            except Exception as fault:
                self._mirror.hint("records", 0)  # what became of it is not known
                self._answers.refuse([one.call], defect(fault, name))
            else:
                if made.now is None:
                    del held[name]
                else:
                    held[name] = made.now
        self._mirror.commit(replace(records, held=held))
        return committed

    def _lost_race(self, call: Call) -> None:
        """Somebody changed this service since it was read: read again, and let the call try again after that."""
        self._mirror.hint("records", 0)
        call.lost_races += 1
        if call.lost_races <= CONFLICT_TRIES:
            self._again.append(call)
        else:
            self._answers.refuse([call], Unavailable(
                f"others changed {call.service} {CONFLICT_TRIES} times meanwhile; ask again"))

    def _write(self, name: str, release: Release | None, before: Held | None) -> Committed:
        if release is None:
            assert before is not None
            self._store.remove(name, before)
            return Committed(before, None)
        if isinstance(before, Stored) and before.release == release:
            self._store.require_unchanged(name, before)  # an answer of "nothing" is a promise about now too
            return Committed(before, before)
        return Committed(before, self._store.write(release, before))

    def _roll_back(self, committed: Mapping[str, Committed]) -> None:
        """Put the records back that HAProxy did not take, unless somebody changed them since."""
        for name, made in committed.items():
            if made.before is made.now:
                continue
            try:
                self._store.undo(name, made.before, made.now)
            except CatalogError as fault:
                log.error('event=rollback-failed service=%s reason=%s', name, fault)
        self._mirror.hint("records", 0)

    def failed(self, fault: Exception, calls: Iterable[Call]) -> None:
        """A defect ended a pass: nothing that it was about to do is known to be done."""
        self._mirror.hint("records", 0)
        self._applier.failed(fault)
        self._again = []
        self._answers.refuse(self._answers.without(calls), ProxyError(f"internal error: {type(fault).__name__}"))


def defect(fault: Exception, service: str) -> ProxyError:
    """A defect of ours, told as one."""
    log.error("event=defect service=%s", service, exc_info=fault)
    return ProxyError(f"internal error: {type(fault).__name__}")


def _uncommitted(fault: CatalogError) -> str:
    if isinstance(fault, CatalogUnavailable):
        return f"whether Consul took the change is not known, and it is not served until Consul says so: {fault}"
    return f"nothing was changed: {fault}"
