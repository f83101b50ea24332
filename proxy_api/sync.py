"""The one path from stored releases to a running proxy. Shell.

One thread writes. A pass takes everything that is waiting (calls, hints that Consul moved, the clock), so that changes
which arrive together share one reload. Start-up, recovery, a call and a hint all run the same pass: read what is not
known, decide, let HAProxy check, commit, apply. What a failed read leaves unknown stays as it was.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from catalog.errors import CatalogError, CatalogUnavailable, Conflict
from catalog.model import Instance
from proxy_api import accept, admission, reports, routing, state
from proxy_api.accept import Judged, Verdict
from proxy_api.errors import ApplyFailed, ProxyError, Unavailable, UnknownService
from proxy_api.follow import effective
from proxy_api.jobs import Job, Outcome
from proxy_api.keys import Held, Legacy, Records, Stored
from proxy_api.plan import Nothing, Plan, Runtime, needs_check, plan
from proxy_api.release import Release, Template
from proxy_api.render import ConfigFiles, Rendered, Surroundings
from proxy_api.route import RouteSpec
from proxy_api.state import ProxyState

log = logging.getLogger("proxy-api")

TICK_S = 2.0  # how often what HAProxy serves is compared with what it should
RETRY_S = 0.5  # while Consul is away; after its return all is converged within 2 s
MAX_BACKOFF_S = 30.0  # between attempts to apply what HAProxy does not take
HOLD_S = 30.0  # how long a service keeps its last servers after the catalog lost all of them
CALL_TIMEOUT_S = 120.0
CONFLICT_TRIES = 20


class Store(Protocol):
    """Consul, as one proxy instance uses it. Raises the exceptions of `catalog.errors`."""

    def load(self) -> Records: ...
    def mark(self) -> None: ...
    def write(self, release: Release, current: Held | None) -> Stored: ...
    def take_over(self, release: Release, old: Legacy) -> Stored: ...
    def remove(self, service: str, current: Held) -> None: ...
    def undo(self, service: str, before: Held | None, now: Stored | None) -> None: ...
    def instances(self, service: str) -> Sequence[Instance]: ...
    def services(self) -> Mapping[str, Sequence[str]]: ...
    def key(self, name: str) -> str | None: ...
    def catalog(self, plain: Sequence[str], with_status: Sequence[str]) -> dict[str, Sequence[Instance]]: ...


class Proxy(Protocol):
    """HAProxy, as it is changed."""

    def check(self, config: ConfigFiles) -> None: ...
    def write(self, config: ConfigFiles) -> object: ...
    def swap(self, config: ConfigFiles) -> str | None: ...
    def swap_back(self, digest: str | None) -> None: ...
    def serving(self) -> str | None: ...
    def current_digest(self) -> str | None: ...
    def reload(self, digest: str) -> None: ...


class Files(Protocol):
    """The operator's template files."""

    def read(self, spec: RouteSpec) -> tuple[Template, ...]: ...


class Sync:
    """Owns what is known, what is served, and the thread that changes either."""

    def __init__(self, store: Store, proxy: Proxy, files: Files, around: Callable[[], Surroundings],
                 render: Callable[[ProxyState, Surroundings], Rendered]) -> None:
        self._store, self._proxy, self._files = store, proxy, files
        self._around, self._render = around, render
        self._shared_binds = around().shared_binds()
        self._calls: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._records: Records | None = None
        self._catalog: dict[str, Sequence[Instance]] | None = None
        self._moved = {"records", "catalog"}
        self._served: Judged | None = None
        self._problems: dict[str, str] = {}
        self._refused: dict[str, tuple[Release | None, str]] = {}
        self._answers: list[tuple[Job, Outcome | ProxyError]] = []
        self._dirty = True
        self._consul_fault = "Consul has not been asked yet"
        self._apply_fault = ""
        self._apply_faults = 0
        self._apply_again_at = 0.0
        self._empty_since: dict[str, float] = {}
        self._reloads = 0
        self._stopping = threading.Event()
        self.report = reports.starting(self._consul_fault)

    # --- from other threads ----------------------------------------------------------------------------------------

    def change(self, service: str, spec: RouteSpec | None) -> Outcome:
        """Make a change and wait for what came of it. Raises ProxyError."""
        job = Job(service, spec)
        self._calls.put(job)
        try:
            return job.result.result(CALL_TIMEOUT_S)
        except TimeoutError:
            raise Unavailable("the change is still waiting for its turn; what becomes of it shows in the state") \
                from None

    def hint(self, what: str) -> None:
        """Something in Consul may have moved: "records" or "catalog"."""
        self._moved.add(what)
        self._calls.put(None)

    def stop(self) -> None:
        """Let the current pass end, and refuse what is still waiting."""
        self._stopping.set()
        self._calls.put(None)

    # --- the writer's thread ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Pass after pass until `stop`."""
        waiting: list[Job] = []
        while not self._stopping.is_set():
            waiting += self._collect(0.0 if waiting else self._pause())
            try:
                waiting = self._pass(waiting)
            except Exception as fault:  # a defect of ours must not end the only writer
                log.exception("event=pass-failed")
                answered = {job for job, _ in self._answers}
                self._refuse([job for job in waiting if job not in answered],
                             ProxyError(f"internal error: {type(fault).__name__}"))
                waiting = []
            self._tell()
            self._deliver()
        self._refuse(waiting + self._collect(0.0), Unavailable("proxy-api is stopping; nothing was changed"))
        self._deliver()

    def _pause(self) -> float:
        return RETRY_S if self._consul_fault else TICK_S

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
        self._read()
        if self._records is None or (self._consul_fault and jobs):
            self._refuse(jobs, Unavailable(f"nothing was changed: {self._consul_fault}"))
            jobs = []
        if self._records is None:
            return []
        batch, later = _one_per_service(jobs)
        made = {job.service: (job, outcome) for job in batch if (outcome := self._prepare(job)) is not None}
        again = []
        if made or self._needed():
            self._dirty = False
            again = self._settle({name: (job, result[0]) for name, (job, result) in made.items()})
        return [*again, *later]

    def _needed(self) -> bool:
        """Whether there is anything to decide without a call: something was read, is held back, or drifted."""
        if self._dirty or self._empty_since or self._apply_fault or self._served is None:
            return True
        return (self._around() != self._served.rendered.around
                or self._proxy.serving() != self._served.rendered.config.digest)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            if "records" in self._moved or self._records is None:
                self._moved.discard("records")
                self._read_records()
            if "catalog" in self._moved or self._catalog is None:
                self._moved.discard("catalog")
                self._read_catalog()
        except CatalogError as fault:
            self._consul_failed(fault)
        else:
            if self._consul_fault and self._served is not None:
                log.info("event=consul-answers")
            self._consul_fault = ""

    def _consul_failed(self, fault: CatalogError) -> None:
        self._moved |= {"records", "catalog"}
        if str(fault) != self._consul_fault:
            log.warning('event=consul-trouble reason="%s"', fault)
        self._consul_fault = str(fault)

    def _read_records(self) -> None:
        self._dirty = True
        records = self._store.load()
        if not records.marked:
            self._restore()
            self._store.mark()
            records = self._store.load()
        self._problems = {}
        taken_over = False
        for name, held in records.held.items():
            if isinstance(held, Legacy):
                taken_over = self._take_over(name, held) or taken_over
            elif not isinstance(held, Stored):
                self._problems[name] = held.reason
        before = self._followed()
        self._records = self._store.load() if taken_over else records
        if self._followed() != before:
            self._moved.add("catalog")

    def _restore(self) -> None:
        """Consul answers, but the marker that every proxy writes is gone: it lost its data. Give it ours back.

        Each key is written only if it does not exist, so replicas that do the same do not disturb each other.
        """
        if self._records is None or self._served is None:
            return
        log.error("event=consul-lost-its-data services=%d action=restore", len(self._served.releases))
        for release in self._served.releases.values():
            try:
                self._store.write(release, None)
            except Conflict:
                continue

    def _take_over(self, name: str, old: Legacy) -> bool:
        """Give a service that only the keys of 2016 know its record, admitting the instances of now."""
        try:
            release = self._make(old.spec, None)
            if admission.empty_warning(release):
                self._problems[name] = "known from 2016, and the catalog has no instance of it yet"
                return False
            self._store.take_over(release, old)
        except (ProxyError, Conflict) as fault:
            self._problems[name] = f"known from 2016, and could not be taken over: {fault}"
            return False
        log.info("event=taken-over service=%s servers=%d", name, len(release.members()))
        return True

    def _read_catalog(self) -> None:
        self._dirty = True
        plain, with_status = self._followed()
        self._catalog = self._store.catalog(plain, with_status)
        if any("known from 2016" in problem for problem in self._problems.values()):
            self._moved.add("records")

    def _followed(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The catalog services to watch: those read plainly, and those whose checks a template asks about."""
        plain: set[str] = set()
        with_status: set[str] = set()
        for stored in (self._records.stored() if self._records else {}).values():
            spec = stored.release.spec
            names = {a.service for a in stored.release.admissions} if spec.follow != "never" else set()
            (with_status if spec.follow == "all" and spec.templated else plain).update(names)
        return tuple(sorted(plain - with_status)), tuple(sorted(with_status))

    # --- deciding --------------------------------------------------------------------------------------------------

    def _prepare(self, job: Job) -> tuple[Release | None] | None:
        """The release a job asks for, (None,) for a removal; None where it has failed already."""
        assert self._records is not None
        held = self._records.held.get(job.service)
        try:
            if job.spec is None:
                if held is None:
                    raise UnknownService(f"{job.service} is not configured at this proxy; nothing was removed")
                return (None,)
            return (self._make(job.spec, held.release if isinstance(held, Stored) else None),)
        except ProxyError as fault:
            self._refuse([job], fault)
        except CatalogError as fault:
            self._consul_failed(fault)
            self._refuse([job], Unavailable(f"nothing was changed: {fault}"))
        return None

    def _make(self, spec: RouteSpec, previous: Release | None) -> Release:
        return admission.make_release(spec, self._files.read(spec) if spec.templated else (), _Fresh(self), previous,
                                      self._shared_binds)

    def _judge(self, releases: accept.Releases) -> Judged:
        """Resolve, render and, where HAProxy has to have its say, check. Raises ConfigRejected."""
        held = self._hold(releases)
        resolution = state.resolve(releases, self._catalog, held, self._shared_binds,
                                   self._served.rendered.state if self._served else ProxyState())
        rendered = self._render(resolution.state, self._around())
        if needs_check(self._served.rendered if self._served else None, rendered):
            self._proxy.check(rendered.config)
        return Judged(releases, resolution, rendered)

    def _hold(self, releases: accept.Releases) -> tuple[str, ...]:
        """The services that keep their last servers for a while, because the catalog lost all of them at once."""
        now = time.monotonic()
        empty = set()
        for name, release in releases.items():
            outcome = effective(release, self._catalog)
            if outcome.gone and not outcome.release.members():
                empty.add(name)
                self._empty_since.setdefault(name, now)
        self._empty_since = {n: since for n, since in self._empty_since.items() if n in empty or n not in releases}
        return tuple(sorted(n for n in empty if now - self._empty_since[n] < HOLD_S))

    # --- changing --------------------------------------------------------------------------------------------------

    def _settle(self, wanted: Mapping[str, tuple[Job, Release | None]]) -> list[Job]:
        """Check, commit and apply: the jobs' changes and whatever else Consul says. Jobs that lost a race come back."""
        assert self._records is not None
        stored = {name: s.release for name, s in self._records.stored().items()}
        serving = dict(self._served.releases) if self._served else {}
        told: dict[str, Release | None] = {n: r for n, r in stored.items() if serving.get(n) != r}
        told.update({n: None for n in serving if n not in stored})
        if not wanted and told and all(n in self._refused and self._refused[n][0] == r for n, r in told.items()):
            told = {}  # refused before, and nothing else has changed since
        changes = {**told, **{name: release for name, (_, release) in wanted.items()}}
        try:
            verdict = accept.accept(serving, changes, self._judge)
        except ProxyError as fault:
            self._refuse([job for job, _ in wanted.values()], fault)
            self._apply_failed(fault)
            return []
        self._note(verdict, wanted, told)
        good = {name: job for name, (job, _) in wanted.items() if name not in verdict.rejected}
        for name in verdict.rejected.keys() & wanted.keys():
            self._refuse([wanted[name][0]], verdict.rejected[name])
        committed, again = self._commit({name: (job, wanted[name][1]) for name, job in good.items()})
        judged = verdict.judged
        if len(committed) < len(good):
            kept = {n: r for n, r in changes.items() if n not in verdict.rejected and (n in committed or n not in good)}
            judged = accept.accept(serving, kept, self._judge).judged
        try:
            step = self._apply(judged.rendered, bool(committed))
        except ProxyError as fault:
            self._roll_back(committed)
            self._refuse([good[name] for name in committed], fault)
            self._apply_failed(fault)
            return again
        if step is None:
            return again
        self._served = judged
        for name, (version, _, _) in committed.items():
            self._answers.append((good[name], self._outcome(name, version, step, judged, wanted[name][1])))
        return again

    def _note(self, verdict: Verdict, wanted: Mapping[str, object], told: accept.Changes) -> None:
        """Remember the records in Consul that cannot be served, and why; nobody waits for an answer about them."""
        if told or wanted:
            self._refused = {name: (told[name], f"its record in Consul is not served: {fault}")
                             for name, fault in verdict.rejected.items() if name in told and name not in wanted}

    def _commit(self, wanted: Mapping[str, tuple[Job, Release | None]]) -> \
            tuple[dict[str, tuple[int, Held | None, Stored | None]], list[Job]]:
        """Write what was accepted to Consul. What holds from now on: service -> version, record before, record now."""
        assert self._records is not None
        held = dict(self._records.held)
        committed: dict[str, tuple[int, Held | None, Stored | None]] = {}
        again = []
        for name, (job, release) in wanted.items():
            before = held.get(name)
            try:
                if release is None:
                    assert before is not None
                    self._store.remove(name, before)
                    del held[name]
                    committed[name] = (0, before, None)
                elif isinstance(before, Stored) and before.release == release:
                    committed[name] = (before.index, before, before)
                else:
                    held[name] = now = self._store.write(release, before)
                    committed[name] = (now.index, before, now)
            except Conflict:
                again += self._lost_race(job)
            except (ProxyError, CatalogError) as fault:
                self._moved.add("records")
                self._refuse([job], fault if isinstance(fault, ProxyError) else Unavailable(_uncommitted(fault)))
        self._records = Records(True, held)
        return committed, again

    def _lost_race(self, job: Job) -> list[Job]:
        self._moved.add("records")
        job.lost_races += 1
        if job.lost_races <= CONFLICT_TRIES:
            return [job]
        self._refuse([job], Unavailable(f"others changed {job.service} {CONFLICT_TRIES} times meanwhile; ask again"))
        return []

    def _apply(self, rendered: Rendered, asked: bool) -> Plan | None:
        """Bring HAProxy to a configuration; None where it is not yet time to try again. Raises ApplyFailed."""
        config = rendered.config
        step = plan(self._proxy.serving(), self._served.rendered if self._served else None, rendered)
        if not isinstance(step, Nothing) and not asked and time.monotonic() < self._apply_again_at:
            return None
        try:
            self._proxy.write(config)
            before = self._proxy.swap(config) if self._proxy.current_digest() != config.digest else config.digest
        except OSError as fault:
            raise ApplyFailed(f"the configuration cannot be written: {fault.strerror}") from None
        if not isinstance(step, Nothing):
            try:
                self._proxy.reload(config.digest)
            except ApplyFailed:
                self._proxy.swap_back(before)
                raise
            self._reloads += 1
            log.info('event=applied change=%s digest=%s services=%d reason="%s"', _word(step), config.digest,
                     len(rendered.state.services), step.reason)
        self._apply_fault, self._apply_faults = "", 0
        return step

    def _apply_failed(self, fault: ProxyError) -> None:
        self._apply_fault = str(fault)
        self._apply_faults += 1
        self._apply_again_at = time.monotonic() + min(MAX_BACKOFF_S, 2.0 ** self._apply_faults)
        log.error('event=apply-failed reason="%s"', fault)

    def _roll_back(self, committed: Mapping[str, tuple[int, Held | None, Stored | None]]) -> None:
        """Put the records back that HAProxy did not take, unless somebody changed them since."""
        for name, (_, before, now) in committed.items():
            if before is now:
                continue
            try:
                self._store.undo(name, before, now)
            except CatalogError as fault:
                log.error('event=rollback-failed service=%s reason="%s"', name, fault)
        self._moved.add("records")

    # --- telling ---------------------------------------------------------------------------------------------------

    def _outcome(self, name: str, version: int, step: Plan, judged: Judged, release: Release | None) -> Outcome:
        if release is None:
            return Outcome(0, version, _word(step), step.reason)
        service = judged.rendered.state.get(name)
        warnings = (*admission.empty_warning(release), *routing.shadow_warnings(judged.rendered.routing, name))
        if service is not None:
            warnings += service.left_out + (service.custom.warnings if service.custom else ())
        servers = len(release.members()) if release.templates or service is None else len(service.servers)
        return Outcome(servers, version, _word(step), step.reason, warnings)

    def _refuse(self, jobs: Sequence[Job], fault: ProxyError) -> None:
        self._answers.extend((job, fault) for job in jobs)

    def _deliver(self) -> None:
        """Let the callers have their answers. By now the report says the same."""
        answers, self._answers = self._answers, []
        for job, answer in answers:
            if isinstance(answer, Outcome):
                job.result.set_result(answer)
            else:
                job.result.set_exception(answer)

    def _tell(self) -> None:
        """Make the report that other threads read."""
        before = self.report
        problems = {**self._problems, **{name: reason for name, (_, reason) in self._refused.items()}}
        self.report = reports.build(self._records, self._served, self._catalog is not None, problems,
                                    self._consul_fault, self._apply_fault, self._proxy.current_digest() is not None, self._reloads)
        reports.log_difference(before, self.report)


class _Fresh:
    """Reads for an admission; what it sees of a service is newer than what was known of it."""

    def __init__(self, sync: Sync) -> None:
        self._sync = sync

    def instances(self, service: str) -> Sequence[Instance]:
        found = self._sync._store.instances(service)
        if self._sync._catalog is not None:
            self._sync._catalog[service] = found
        if not found:
            self._sync._store.services()  # raises CatalogDenied where an empty answer would mean "not allowed"
        return found

    def services(self) -> Mapping[str, Sequence[str]]:
        return self._sync._store.services()

    def key(self, name: str) -> str | None:
        return self._sync._store.key(name)


def _one_per_service(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """The first job of each service, and the rest: what two callers want of one service happens in turn."""
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.service, job)
    return list(first.values()), [job for job in jobs if first[job.service] is not job]


def _uncommitted(fault: CatalogError) -> str:
    if isinstance(fault, CatalogUnavailable):
        return f"whether Consul took the change is not known, and it is not served until Consul says so: {fault}"
    return f"nothing was changed: {fault}"


def _word(step: Plan) -> str:
    return "nothing" if isinstance(step, Nothing) else "runtime" if isinstance(step, Runtime) else "reload"
