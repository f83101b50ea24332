"""The one thread that changes anything: pass after pass over what was asked and what moved. Shell."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable

from proxy_api.consul.mirror import ConsulMirror, Part, Store, TemplateFiles
from proxy_api.consul.recovery import Lineage, Recovery
from proxy_api.core.errors import ProxyError, Unavailable
from proxy_api.core.messages import ANSWER_S, Outcome, Report
from proxy_api.core.render import Renderer, Surroundings
from proxy_api.core.spec import ServiceSpec
from proxy_api.haproxy.apply import Applier
from proxy_api.haproxy.protocols import Proxy
from proxy_api.writer import status
from proxy_api.writer.calls import Answers, Call
from proxy_api.writer.candidate import Candidates
from proxy_api.writer.dry_runs import DryRuns
from proxy_api.writer.passes import Passes
from proxy_api.writer.status import Standing

log = logging.getLogger("proxy-api")

CALL_S = ANSWER_S - 1.0  # how long a caller waits here: less than it does for the writer's answer
TICK_S = 2.0  # how often what HAProxy serves is compared with what it should
QUIET_S = 0.3  # without a call, before there is time for what nobody waits for
BUSY_S = 5.0  # how long calls may put that off
RETRY_S = 0.5  # while Consul is away; after its return all is converged within 2 s


class Writer:
    """Takes calls from any thread, and changes what is served in one."""

    def __init__(self, store: Store, proxy: Proxy, files: TemplateFiles, around: Callable[[], Surroundings],
                 render: Renderer, lineage: Lineage,
                 unbindable: Callable[[Iterable[tuple[str, int, int]]], str], drain_s: float) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._proxy = proxy
        self._mirror = ConsulMirror(store, files, Recovery(store, lineage, proxy.files.serves_something),
                                    around().shared_binds(), lambda: self._calls.put(None))
        self._applier, self._answers = Applier(proxy, drain_s), Answers()
        candidates = Candidates(proxy.config_check.check, around, render, unbindable)
        self._passes = Passes(self._mirror, store, proxy, around, candidates, self._applier, self._answers)
        self._dry_runs = DryRuns(self._passes, self._mirror, store, proxy, candidates, self._applier, self._answers)
        self._stop = False
        self._taking, self._ended = threading.Lock(), False
        self._published: tuple[Standing, Report | None] = Standing(), status.starting(self._mirror.fault)
        self._logged = status.starting(self._mirror.fault)

    # --- from other threads ----------------------------------------------------------------------------------------

    def change(self, service: str, spec: ServiceSpec | None, dry_run: bool = False) -> Outcome:
        """Make a change, or only work it out, and wait for what came of it. Raises ProxyError."""
        call = Call(service, spec, dry_run)
        with self._taking:
            if self._ended:
                raise _stopping()
            self._calls.put(call)
        try:
            return call.wait(CALL_S)
        except TimeoutError:
            raise Unavailable("the dry run is still waiting for its turn; it changes nothing" if dry_run else
                              "the change is still under way; what becomes of it shows in the state") from None

    def hint(self, what: Part, index: int) -> None:
        """Something in Consul moved, at this index (0: anything may have)."""
        self._mirror.hint(what, index)
        if what == "records":
            self._calls.put(None)

    def stop(self) -> None:
        """Let the current pass end, and refuse what is still waiting. From a signal's handler too: it takes no lock."""
        self._stop = True
        self._calls.put(None)

    def report(self) -> Report:
        """How the proxy stood at the end of the last pass; made when it is asked for, once."""
        standing, made = self._published
        if made is None:
            made = status.report(standing)
            if self._published[0] is standing:
                self._published = standing, made
        return made

    # --- the writer's thread ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Pass after pass until `stop`."""
        waiting: list[Call] = []
        tended = called = time.monotonic()
        untended = True
        while not self._stop:
            patience = QUIET_S if untended else RETRY_S if self._mirror.fault else TICK_S
            calls = self._collect(0.0 if waiting or self._mirror.pending() else patience)
            waiting = self._turn([*waiting, *calls])
            untended = True
            now = time.monotonic()
            if calls or waiting or self._calls.qsize():
                called = now
            if now > max(called, tended) + QUIET_S or now > tended + BUSY_S:
                self._tend()
                tended, untended = time.monotonic(), False
        with self._taking:
            self._ended = True
        self._answers.refuse(waiting + self._collect(0.0), _stopping())
        self._answers.deliver()

    def _turn(self, calls: list[Call]) -> list[Call]:
        """A pass and at most one dry run, so that a change waits for no more than one; the calls that have to wait."""
        dry = [call for call in calls if call.dry_run]
        try:
            waiting = self._passes.run([call for call in calls if not call.dry_run])
            for call in dry[:1]:
                waiting += self._dry_runs.run(call)
            waiting += dry[1:]
        except Exception as fault:  # a defect of ours must not end the only writer
            log.exception("event=defect in=pass")
            self._passes.failed(fault, calls)
            waiting = []
        # By the time that callers have their answers, the state says the same.
        self._publish()
        self._answers.deliver()
        return waiting

    def _tend(self) -> None:
        """What there is to do while nobody waits."""
        if self._passes.served is not None:
            try:
                self._applier.keep(self._passes.served.rendered)
            except ProxyError as fault:
                self._applier.failed(fault)
            self._publish()
        before, self._logged = self._logged, self.report()
        status.log_difference(before, self._logged)

    def _publish(self) -> None:
        mirror, applier = self._mirror, self._applier
        refused = {name: refused.reason for name, refused in self._passes.refusals.items()}
        self._published = Standing(
            records=mirror.records, served=self._passes.served, recovered=mirror.catalog is not None,
            problems={**mirror.problems, **refused}, consul_fault=mirror.fault, apply_fault=applier.fault,
            serves_from_disk=self._proxy.files.serves_something() if self._passes.served is None else True,
            health=applier.health, changes=dict(applier.changes), drifts=applier.drifts,
            interference=applier.interference()), None

    def _collect(self, wait: float) -> list[Call]:
        calls = []
        try:
            item = self._calls.get(timeout=wait) if wait else self._calls.get_nowait()
            while True:
                if item is not None:
                    calls.append(item)
                item = self._calls.get_nowait()
        except queue.Empty:
            return calls


def _stopping() -> Unavailable:
    return Unavailable("proxy-api is stopping; nothing was changed")
