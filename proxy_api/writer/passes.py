"""The one path from stored releases to a running proxy. Shell.

One thread writes. A pass takes everything that is waiting (calls, hints that Consul moved, the clock), so that changes
which arrive together share one reload. Start-up, recovery, a call and a hint all run the same pass: read what is not
known, decide, let HAProxy check, commit, apply.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from catalog.errors import CatalogError, CatalogUnavailable, Conflict
from proxy_api.consul.mirror import Files, History, Known, Moved, Store
from proxy_api.core import admission, bisect, difference, routing
from proxy_api.core.bisect import Judged, Verdict
from proxy_api.core.errors import ApplyFailed, ProxyError, Unavailable, UnknownService
from proxy_api.core.keys import Held, Records, Stored
from proxy_api.core.messages import CALL_TIMEOUT_S, DryRun, Job, Outcome, Report
from proxy_api.core.plan import Plan
from proxy_api.core.release import Release
from proxy_api.core.render import Renderer, Surroundings
from proxy_api.core.spec import ServiceSpec
from proxy_api.haproxy.apply import Applier, Proxy, word
from proxy_api.writer import status
from proxy_api.writer.candidate import Court

log = logging.getLogger("proxy-api")

TICK_S = 2.0  # how often what HAProxy serves is compared with what it should
QUIET_S = 0.3  # without a call, before there is time for what nobody waits for
BUSY_S = 5.0  # how long calls may put that off
RETRY_S = 0.5  # while Consul is away; after its return all is converged within 2 s
NOT_ACCEPTED_S = 30.0  # before a record that was refused is tried again
NOT_APPLIED_S = 600.0  # the same for one that HAProxy accepted and could not load: a failed load is a risk for all
CONFLICT_TRIES = 50


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A job with the release it comes to; None for a removal."""

    job: Job
    release: Release | None


@dataclass(frozen=True, slots=True)
class _Committed:
    """What a commit replaced, and what stands now (None for a removal)."""

    before: Held | None
    now: Stored | None


@dataclass(frozen=True, slots=True)
class _Refused:
    """A record that cannot be served, why, and when to try it again although it is the same."""

    release: Release | None
    reason: str
    again_at: float


def _refusal(release: Release | None, fault: Exception, seconds: float) -> _Refused:
    return _Refused(release, f"its record in Consul is not served: {fault}", time.monotonic() + seconds)


class Sync:
    """Owns what is served, and the thread that changes it."""

    def __init__(self, store: Store, proxy: Proxy, files: Files, around: Callable[[], Surroundings],
                 render: Renderer, history: History,
                 unbindable: Callable[[Iterable[tuple[str, int, int]]], str], drain_s: float) -> None:
        self._store, self._proxy, self._around = store, proxy, around
        self._calls: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._known = Known(store, files, history, proxy.files.serves_something, around().shared_binds(),
                            lambda: self._calls.put(None))
        self._court = Court(self._known, proxy, around, render, unbindable)
        self._applier = Applier(proxy, drain_s)
        self._answers: list[tuple[Job, Outcome | ProxyError]] = []
        self._served: Judged | None = None
        self._refused: dict[str, _Refused] = {}
        self._again: list[Job] = []
        self._chunk = 0  # how many records to take at once after HAProxy did not take more; 0: all
        self._untended = True
        self._stop = False
        self._taking, self._ended = threading.Lock(), False
        self._reported: Report | None = None
        self._logged = status.starting(self._known.fault)

    # --- from other threads ----------------------------------------------------------------------------------------

    def change(self, service: str, spec: ServiceSpec | None, dry_run: bool = False) -> Outcome:
        """Make a change, or only work it out, and wait for what came of it. Raises ProxyError."""
        job = Job(service, spec, dry_run)
        with self._taking:
            if self._ended:
                raise _stopping()
            self._calls.put(job)
        try:
            outcome = job.result.result(CALL_TIMEOUT_S)
        except TimeoutError:
            raise Unavailable("the dry run is still waiting for its turn; it changes nothing" if dry_run else
                              "the change is still waiting for its turn; what becomes of it shows in the state") \
                from None
        # What a dry run compared is all that is served; who asked wants to see the difference.
        return replace(outcome, dry_run=None, shown=difference.shown(outcome.dry_run)) if outcome.dry_run else outcome

    def hint(self, what: Moved, index: int) -> None:
        """Something in Consul moved, at this index (0: anything may have)."""
        self._known.hint(what, index)
        if what == "records":
            self._calls.put(None)

    def stop(self) -> None:
        """Let the current pass end, and refuse what is still waiting. From a signal's handler too: it takes no lock."""
        self._stop = True
        self._calls.put(None)

    # --- the writer's thread ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Pass after pass until `stop`."""
        waiting: list[Job] = []
        tended = called = time.monotonic()
        while not self._stop:
            jobs = self._collect(0.0 if waiting or self._known.pending() else self._patience())
            waiting += jobs
            try:
                waiting = self._pass(waiting)
            except Exception as fault:  # a defect of ours must not end the only writer
                log.exception("event=pass-failed")
                self._known.hint("records", 0)
                self._applier.failed(fault)
                self._again = []
                answered = {job for job, _ in self._answers}
                self._refuse([job for job in waiting if job not in answered],
                             ProxyError(f"internal error: {type(fault).__name__}"))
                waiting = []
            self._reported = None
            self._untended = True
            self._deliver()
            now = time.monotonic()
            if jobs or waiting or self._calls.qsize():
                called = now
            if now > max(called, tended) + QUIET_S or now > tended + BUSY_S:
                self._tend()
                tended = time.monotonic()
        with self._taking:
            self._ended = True
        self._refuse(waiting + self._collect(0.0), _stopping())
        self._deliver()

    def _patience(self) -> float:
        """How long to wait for something to do."""
        return QUIET_S if self._untended else RETRY_S if self._known.fault else TICK_S

    def _tend(self) -> None:
        """What there is to do while nobody waits."""
        self._untended = False
        if self._served is not None:
            try:
                self._applier.keep(self._served.rendered)
            except ProxyError as fault:
                self._applier.failed(fault)
            self._reported = None
        before, self._logged = self._logged, self.report()
        status.log_difference(before, self._logged)

    def _collect(self, wait: float) -> list[Job]:
        jobs = []
        try:
            item = self._calls.get(timeout=wait) if wait else self._calls.get_nowait()
            while True:
                if item is not None:
                    jobs.append(item)
                item = self._calls.get_nowait()
        except queue.Empty:
            return jobs

    def _pass(self, jobs: list[Job]) -> list[Job]:
        """One pass over everything that waits; the jobs that have to wait for the next."""
        # A call reads what it needs itself; what else moved can wait until the calls that wait have been answered.
        moved = False
        if all(job.dry_run for job in jobs) or self._known.fault or self._known.urgent():
            moved = self._known.read(self._served.releases if self._served else {})
        if self._known.fault:
            self._refuse(jobs, Unavailable(f"nothing was changed: {self._known.fault}"))
            jobs = []
        if self._known.records is None:
            return []
        dry, jobs = [job for job in jobs if job.dry_run], [job for job in jobs if not job.dry_run]
        batch, later = _one_per_service(jobs)
        wanted = {job.service: found for job in batch if (found := self._prepare(job)) is not None}
        again = self._settle(wanted, self._known.records) if wanted or moved or self._drifted() else []
        again += self._again
        self._again = []
        if dry:  # one in a pass, so that a change waits for no more than one of them
            again += self._dry_run(dry[0])
        return [*again, *later, *dry[1:]]

    def _drifted(self) -> bool:
        """Whether there is something to do although nobody asked and Consul did not move."""
        if self._served is None or self._court.holding() or self._applier.fault or self._chunk:
            return True
        if self._known.records and self._told(self._served.releases, self._known.records, alone=True):
            return True
        return (self._around() != self._served.rendered.around
                or self._proxy.runtime.serving() != self._served.rendered.config.digest)

    # --- deciding --------------------------------------------------------------------------------------------------

    def _prepare(self, job: Job) -> _Wanted | None:
        """What a job asks for, as a release; None where it has failed already."""
        assert self._known.records is not None
        held = self._known.records.held.get(job.service)
        try:
            if job.spec is not None:
                return _Wanted(job, self._known.make(job.spec, held.release if isinstance(held, Stored) else None))
            if held is not None:
                return _Wanted(job, None)
            self._known.confirm()
            raise _not_there(job.service)
        except ProxyError as fault:
            self._refuse([job], fault)
        except Conflict:
            self._lost_race(job)
        except CatalogError as fault:
            self._known.failed(fault)
            self._refuse([job], Unavailable(f"nothing was changed: {fault}"))
        return None

    def _dry_run(self, job: Job) -> list[Job]:
        """Work out what a change would do, as far as can be told without making it; the job if it has to wait.

        It goes the way of `_settle`, on copies of all that remembers.
        """
        try:
            self._answers.append((job, self._work_out(job)))
        except ProxyError as fault:
            self._refuse([job], fault)
        except Conflict:
            self._lost_race(job)
        except CatalogError as fault:
            self._refuse([job], Unavailable(f"nothing was changed: {fault}"))
        except Exception as fault:  # a defect, or a full disk: it stays this call's alone
            log.exception("event=dry-run-failed")
            self._refuse([job], ProxyError(f"internal error: {type(fault).__name__}"))
        again, self._again = self._again, []
        return again

    def _work_out(self, job: Job) -> Outcome:
        records, served, name = self._known.records, self._served, job.service
        assert records is not None
        held, known = records.held.get(name), self._known.aside()
        stored = held if isinstance(held, Stored) else None
        if job.spec is None and held is None:
            known.confirm()
            raise _not_there(name)
        release = None if job.spec is None else known.make(job.spec, stored.release if stored else None)
        serving = dict(served.releases) if served else {}
        changes = {**self._told(serving, records, alone=False), name: release}
        court = self._court.aside(known)
        try:
            verdict = bisect.accept(serving, changes, court.judge, court.moved)
        except ProxyError as fault:
            raise ApplyFailed(str(fault)) from fault
        if name in verdict.rejected:
            raise verdict.rejected[name]
        if release is not None and (stored is None or stored.release != release):
            known.weigh(release, held)
        known.confirm()
        step = self._applier.plan(served.rendered if served else None, verdict.judged.rendered)
        now = None if release is None else Stored(release, stored.index if stored else 0, b"")
        return replace(_outcome(name, _Committed(held, now), step, verdict.judged),
                       dry_run=DryRun(served, verdict.judged, step))

    # --- changing --------------------------------------------------------------------------------------------------

    def _settle(self, wanted: Mapping[str, _Wanted], records: Records) -> list[Job]:
        """Check, commit and apply: the jobs' changes and whatever else Consul says. The jobs that have to wait."""
        serving = dict(self._served.releases) if self._served else {}
        told = self._told(serving, records, alone=not wanted)
        changes = {**told, **{name: w.release for name, w in wanted.items()}}
        try:
            verdict = bisect.accept(serving, changes, self._court.judge, self._court.moved)
        except ProxyError as fault:
            # Not one service's fault: a change is not to blame for what is wrong with the whole.
            self._refuse([w.job for w in wanted.values()], ApplyFailed(str(fault)))
            self._applier.failed(fault)
            return []
        self._note(verdict, wanted, told)
        good = {name: w for name, w in wanted.items() if name not in verdict.rejected}
        committed = self._commit(good, records)
        judged = verdict.judged
        try:
            if len(committed) < len(good):
                kept = {n: r for n, r in changes.items()
                        if n not in verdict.rejected and (n in committed or n not in good)}
                second = bisect.accept(serving, kept, self._court.judge, self._court.moved)
                if lost := second.rejected.keys() & committed.keys():
                    raise ApplyFailed(f"{', '.join(sorted(lost))}: {second.rejected[min(lost)]}")
                judged = second.judged
            step = self._applier.apply(self._served.rendered if self._served else None, judged.rendered,
                                       asked=bool(committed) or self._chunk > 0)
        except ProxyError as fault:
            return self._not_applied(fault, {n: (good[n].job, made) for n, made in committed.items()}, told)
        if step is not None:
            self._served = self._court.served = judged
            if self._chunk and not wanted:
                self._chunk = 0 if len(told) < self._chunk else self._chunk * 2
            for name, made in committed.items():
                self._answers.append((good[name].job, _outcome(name, made, step, judged)))
        return []

    def _not_applied(self, fault: ProxyError, committed: Mapping[str, tuple[Job, _Committed]],
                     told: bisect.Changes) -> list[Job]:
        """HAProxy did not take it. Put the records back, and find out whose fault it is by trying each by itself."""
        self._applier.failed(fault)
        self._roll_back({name: made for name, (_, made) in committed.items()})
        jobs = [job for job, _ in committed.values()]
        if len(jobs) > 1:
            for job in jobs:
                job.alone = True
            return jobs
        self._refuse(jobs, fault)
        if len(told) > 1:
            self._chunk = len(told) // 2
        elif not jobs:
            for name, release in told.items():
                self._refused[name] = _refusal(release, fault, NOT_APPLIED_S)
        return []

    def _told(self, serving: bisect.Releases, records: Records, alone: bool) -> dict[str, Release | None]:
        """How the records differ from what is served, but for what was refused before and is still the same.

        After HAProxy did not take several at once, half as many, until the one that it does not take is known.
        """
        held = records.held
        told: dict[str, Release | None] = {
            n: s.release for n, s in held.items()
            if isinstance(s, Stored) and (last := serving.get(n)) is not s.release and last != s.release}
        told.update({n: None for n in serving if not isinstance(held.get(n), Stored)})
        now = time.monotonic()
        fresh = {n: r for n, r in told.items()
                 if n not in self._refused or self._refused[n].release != r
                 or (alone and now > self._refused[n].again_at)}
        if self._chunk:
            return dict(list(fresh.items())[:self._chunk]) if alone else {}
        return fresh

    def _note(self, verdict: Verdict, wanted: Mapping[str, _Wanted], told: bisect.Changes) -> None:
        """Tell those whose change was refused; remember the records that cannot be served, whom nobody asked about."""
        for name in sorted(verdict.rejected.keys() & wanted.keys()):
            self._refuse([wanted[name].job], verdict.rejected[name])
        self._refused = {name: why for name, why in self._refused.items() if name not in told and name not in wanted}
        self._refused.update((name, _refusal(told[name], fault, NOT_ACCEPTED_S))
                             for name, fault in verdict.rejected.items() if name in told and name not in wanted)

    def _commit(self, wanted: Mapping[str, _Wanted], records: Records) -> dict[str, _Committed]:
        """Write what was accepted to Consul; what holds from now on."""
        held = dict(records.held)
        committed: dict[str, _Committed] = {}
        waiting = list(wanted.items())
        while waiting:
            name, want = waiting.pop(0)
            job = want.job
            try:
                made = committed[name] = self._write(name, want.release, held.get(name))
            except Conflict:
                self._lost_race(job)
                self._again += [later.job for _, later in waiting]  # their turn would be lost for the same reason
                break
            except ProxyError as fault:
                self._refuse([job], fault)
            except CatalogError as fault:
                self._known.failed(fault)
                self._refuse([job], Unavailable(_uncommitted(fault)))
            else:
                if made.now is None:
                    del held[name]
                else:
                    held[name] = made.now
        self._known.records = replace(records, held=held)
        self._known.committed(made.now.release for made in committed.values() if made.now is not None)
        return committed

    def _lost_race(self, job: Job) -> None:
        """Somebody committed since the records were read: read again, and let the job try again after that."""
        self._known.hint("records", 0)
        job.lost_races += 1
        if job.lost_races <= CONFLICT_TRIES:
            self._again.append(job)
        else:
            self._refuse([job], Unavailable(f"others changed the records {CONFLICT_TRIES} times meanwhile; ask again"))

    def _write(self, name: str, release: Release | None, before: Held | None) -> _Committed:
        if release is None:
            assert before is not None
            self._store.remove(name, before)
            return _Committed(before, None)
        if isinstance(before, Stored) and before.release == release:
            self._known.confirm()  # an answer of "nothing" is a promise too: that this is what holds now
            return _Committed(before, before)
        return _Committed(before, self._store.write(release, before))

    def _roll_back(self, committed: Mapping[str, _Committed]) -> None:
        """Put the records back that HAProxy did not take, unless somebody changed them since."""
        for name, made in committed.items():
            if made.before is made.now:
                continue
            try:
                self._store.undo(name, made.before, made.now)
            except CatalogError as fault:
                log.error('event=rollback-failed service=%s reason="%s"', name, fault)
        self._known.hint("records", 0)

    # --- telling ---------------------------------------------------------------------------------------------------

    def _refuse(self, jobs: Sequence[Job], fault: ProxyError) -> None:
        self._answers.extend((job, fault) for job in jobs)

    def report(self) -> Report:
        """How the proxy stands. From any thread; made when it is asked for, and again only after a pass."""
        made = self._reported
        if made is None:
            self._reported = made = self._make_report()
        return made

    def _make_report(self) -> Report:
        known = self._known
        return status.build(
            records=known.records, served=self._served, recovered=known.catalog is not None,
            problems={**known.problems, **{name: refused.reason for name, refused in self._refused.items()}},
            consul_fault=known.fault, apply_fault=self._applier.fault,
            on_disk=self._proxy.files.serves_something(), reloads=self._applier.reloads,
            runtime_changes=self._applier.runtime_changes, changes=dict(self._applier.changes),
            drifts=self._applier.drifts, strange=self._applier.strange(),
        )

    def _deliver(self) -> None:
        """Let the callers have their answers. By now the report says the same."""
        answers, self._answers = self._answers, []
        for job, answer in answers:
            if isinstance(answer, Outcome):
                job.result.set_result(answer)
            else:
                job.result.set_exception(answer)


def _stopping() -> Unavailable:
    return Unavailable("proxy-api is stopping; nothing was changed")


def _not_there(service: str) -> UnknownService:
    return UnknownService(f"{service} is not configured at this proxy; nothing was removed")


def _outcome(name: str, made: _Committed, step: Plan, judged: Judged) -> Outcome:
    if made.now is None:
        return Outcome(0, 0, word(step), step.reason)
    release = made.now.release
    service = judged.rendered.state.get(name)
    warnings = (*admission.empty_warning(release), *routing.shadow_warnings(judged.rendered.routing, name))
    if service is not None:
        warnings += service.left_out + (service.custom.warnings if service.custom else ())
    servers = len(release.members()) if release.templates or service is None else len(service.servers)
    return Outcome(servers, made.now.index, word(step), step.reason, warnings)


def _one_per_service(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """The first job of each service, and the rest: what two callers want of one service happens in turn.

    A job that HAProxy did not take together with others has a pass to itself.
    """
    alone = next((job for job in jobs if job.alone), None)
    if alone is not None:
        return [alone], [job for job in jobs if job is not alone]
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.service, job)
    return list(first.values()), [job for job in jobs if first[job.service] is not job]


def _uncommitted(fault: CatalogError) -> str:
    if isinstance(fault, CatalogUnavailable):
        return f"whether Consul took the change is not known, and it is not served until Consul says so: {fault}"
    return f"nothing was changed: {fault}"
