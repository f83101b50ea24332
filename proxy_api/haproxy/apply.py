"""A configuration brought to HAProxy by commands or a reload, verified, and kept as it is. Shell.

Servers that left are taken out of rotation at once and deleted when their last connection is gone (2.6 keeps idle ones
to a server for as long as the server does; until then it stays, without traffic, or until the next reload). A command
that fails, or a look that finds something else than was applied, becomes a reload.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from proxy_api.core import runtime
from proxy_api.core.errors import ApplyFailed
from proxy_api.core.plan import Nothing, Plan, Reload, Runtime, plan
from proxy_api.core.render import ConfigFiles, Rendered
from proxy_api.core.runtime import Command, MasterView, NotApplied, Observed
from proxy_api.haproxy import tcp_probe
from proxy_api.haproxy.tcp_probe import Address

log = logging.getLogger("proxy-api")

MAX_BACKOFF_S = 30.0
VERIFY_S = 10.0  # how often everything that HAProxy has is compared
VERIFY_REST = 50.0  # or as many times what comparing takes, where that is more: 30,000 servers are a long list
TOLD_S = 600.0  # how long it shows that somebody else had changed it


class Files(Protocol):
    """The configurations on disk. Raises OSError where they cannot be written."""

    def write(self, config: ConfigFiles) -> object: ...
    def swap(self, config: ConfigFiles) -> str | None: ...
    def swap_back(self, digest: str | None) -> None: ...
    def flush(self) -> None: ...
    def is_whole(self, digest: str) -> bool: ...
    def discard(self, digest: str) -> None: ...
    def current_digest(self) -> str | None: ...
    def serves_something(self) -> bool: ...


class Check(Protocol):
    """HAProxy's judgement of a configuration. Raises ConfigRejected."""

    def check(self, config: ConfigFiles) -> None: ...
    def try_out(self, config: ConfigFiles) -> None: ...


class RuntimeApi(Protocol):
    """What the running worker is told and asked. `execute` and `observe` raise NotApplied."""

    def serving(self) -> str | None: ...
    def execute(self, commands: Iterable[Command]) -> None: ...
    def observe(self, backends: Iterable[str] | None, maps: Iterable[str]) -> Observed: ...


class Processes(Protocol):
    """The master's view. Raises NotApplied."""

    def processes(self) -> MasterView: ...


class Reloader(Protocol):
    """The hand-over to a new worker. Raises ApplyFailed."""

    def reload(self, digest: str, first: Iterable[Command] = ()) -> None: ...


class Proxy(Protocol):
    """HAProxy, as it is changed."""

    @property
    def files(self) -> Files: ...
    @property
    def config_check(self) -> Check: ...
    @property
    def runtime(self) -> RuntimeApi: ...
    @property
    def master(self) -> Processes: ...
    @property
    def reloader(self) -> Reloader: ...


class Applier:
    """Applies what is wanted; remembers what failed, and which servers are on their way out."""

    def __init__(self, proxy: Proxy, drain_s: float,
                 silent: Callable[[Iterable[Address]], Collection[Address]] = tcp_probe.silent) -> None:
        self._proxy, self._drain_s, self._silent = proxy, drain_s, silent
        self._faults = 0
        self._again_at = 0.0
        self._verify_at = 0.0
        self._leaving: dict[tuple[str, str], float] = {}
        self._down: runtime.Names = frozenset()  # by HAProxy's checks, when all was compared last
        self._processes: MasterView | None = None
        self._strange, self._strange_at = "", 0.0
        self.fault = ""
        self.drifts = 0
        self.reloads = 0
        self.runtime_changes = 0
        self.changes: Counter[tuple[str, str]] = Counter()

    def plan(self, before: Rendered | None, wanted: Rendered) -> Plan:
        """What `apply` would do now."""
        return plan(self._proxy.runtime.serving(), before, wanted, self._leaving)

    def apply(self, before: Rendered | None, wanted: Rendered, asked: bool) -> Plan | None:
        """Bring HAProxy from `before` to `wanted`; None where it is too early to try again. Raises ApplyFailed.

        When it raises, HAProxy runs what it ran, and the disk says so too.
        """
        running = self._proxy.runtime.serving()
        if running is not None and before is not None and running != before.config.digest and not self._faults:
            self._drifted([f"it serves {running or 'a configuration of somebody else'}, not {before.config.digest}"])
            if not self._proxy.files.is_whole(wanted.config.digest):
                self._proxy.files.discard(wanted.config.digest)
        step = plan(running, before, wanted, self._leaving)
        if not isinstance(step, Nothing) and not asked and time.monotonic() < self._again_at:
            return None
        # What HAProxy runs is the way back, whatever the disk said: the last change may have ended between the two.
        last = self._put_on_disk(wanted.config)
        last = running if running and running != wanted.config.digest else last
        doubtful = self._doubtful(before, wanted) if not isinstance(step, Nothing) else frozenset()
        if isinstance(step, Runtime) and before is not None:
            step = self._run(step, before, wanted, doubtful)
        if isinstance(step, Reload):
            self._reload(wanted, last, doubtful)
        if not isinstance(step, Nothing):
            self.changes[word(step), step.cause] += 1
            log.info('event=applied change=%s digest=%s services=%d reason="%s"', word(step), wanted.config.digest,
                     len(wanted.state.services), step.reason)
        self.fault, self._faults = "", 0
        return step

    def failed(self, fault: Exception) -> None:
        """Note that what is wanted is not served."""
        self.fault = str(fault)
        self._faults += 1
        self._again_at = time.monotonic() + min(MAX_BACKOFF_S, 2.0 ** self._faults)
        log.error('event=apply-failed reason="%s"', fault)

    def keep(self, served: Rendered) -> None:
        """What there is to do while nothing changes: delete servers that are done, and put right what drifted.

        Raises ApplyFailed.
        """
        self._delete_done()
        now = time.monotonic()
        if now < self._verify_at:
            return
        with contextlib.suppress(OSError):  # a disk that is full or gone shows at the next change
            self._proxy.files.flush()
        try:
            observed = self._proxy.runtime.observe(None, runtime.maps_of(served))
        except NotApplied:
            return  # it does not answer: the digest, asked for at every pass, says so too
        found = [*runtime.deviations(observed, served), *self._replaced()]
        self._down = runtime.found_down(observed)
        self._verify_at = now + max(VERIFY_S, VERIFY_REST * (time.monotonic() - now))
        if not self._proxy.files.is_whole(served.config.digest):
            found.append("its configuration on disk is another")
            self._proxy.files.discard(served.config.digest)
        if found:
            self._drifted(found)
            self._reload(served, self._put_on_disk(served.config))
            self.changes["reload", "drift"] += 1

    def strange(self) -> str:
        """What somebody else had done to HAProxy lately, for people; "" where nobody had."""
        return self._strange if time.monotonic() - self._strange_at < TOLD_S else ""

    def _drifted(self, found: Sequence[str]) -> None:
        self.drifts += 1
        self._strange, self._strange_at = "; ".join(found[:5]), time.monotonic()
        log.error('event=drift reason="%s" action=reload', self._strange)

    def _replaced(self) -> list[str]:
        """Whether the same master has another worker: what a reload that nobody here asked for brought is not known."""
        try:
            now = self._proxy.master.processes()
        except NotApplied:
            return []  # it loads itself at this moment
        last, self._processes = self._processes, now
        if last is None or last.master != now.master or last.worker == now.worker:
            return []
        return [f"worker {last.worker} was replaced by {now.worker} in a reload by somebody else"]

    # --- the ways --------------------------------------------------------------------------------------------------

    def _put_on_disk(self, config: ConfigFiles) -> str | None:
        """Make a configuration the one that a start would use; the digest of the one before."""
        try:
            files = self._proxy.files
            files.write(config)
            return files.swap(config) if files.current_digest() != config.digest else config.digest
        except OSError as fault:
            raise ApplyFailed(f"the configuration cannot be written: {fault.strerror}") from None

    def _doubtful(self, before: Rendered | None, wanted: Rendered) -> runtime.Names:
        """The new servers that do not answer: they are to get no request before HAProxy's own checks say otherwise."""
        arrived = runtime.arrivals(before, wanted) if before is not None else ()
        return runtime.doubtful(arrived, self._silent(
            (s.address, s.port) for backend, fresh in arrived if len(backend.servers) > 1 for s in fresh))

    def _still_down(self) -> runtime.Names:
        """Which servers that HAProxy's checks had found down are so now."""
        try:
            backends = sorted({backend for backend, _ in self._down})
            return self._down and runtime.found_down(self._proxy.runtime.observe(backends, ()))
        except NotApplied:
            return frozenset()

    def _run(self, step: Runtime, before: Rendered, wanted: Rendered, doubtful: runtime.Names) -> Plan:
        """Carry out commands and read back; a reload where that is not what was wanted."""
        moved = [now for _, now in runtime.backend_changes(before, wanted) if now is not None]
        maps = runtime.changed_maps(before, wanted)
        try:
            self._proxy.runtime.execute(runtime.commands(before, wanted, self._leaving, doubtful) if doubtful
                                else step.commands)
            observed = self._proxy.runtime.observe([backend.name for backend in moved], maps)
            found = runtime.deviations(observed, wanted, moved, maps)
        except NotApplied as fault:
            found = (str(fault),)
        if found:
            log.warning('event=runtime-failed reason="%s"', "; ".join(found[:5]))
            return Reload(f"{step.reason}; runtime commands did not do: {found[0]}", "failed-commands")
        end = time.monotonic() + self._drain_s
        self._leaving.update((name, end) for name in runtime.departures(before, wanted))
        for backend in moved:
            for server in backend.servers:
                self._leaving.pop((backend.name, server.name), None)
        self.runtime_changes += 1
        return step

    def _reload(self, wanted: Rendered, last: str | None, doubtful: runtime.Names = frozenset()) -> None:
        # The new worker takes every server for up until its checks have failed.
        down = runtime.keep_down(wanted, self._still_down() | doubtful)
        try:
            self._proxy.reloader.reload(wanted.config.digest, down)
        except ApplyFailed:
            self._proxy.files.swap_back(last)
            raise
        self._leaving.clear()  # the new worker never had them
        self._processes = None
        self._replaced()
        self._verify_at = 0.0
        self.reloads += 1

    def _delete_done(self) -> None:
        for (backend, name), end in list(self._leaving.items()):
            try:
                if time.monotonic() > end:
                    self._proxy.runtime.execute([runtime.cut(backend, name)])
                self._proxy.runtime.execute([runtime.delete(backend, name)])
            except NotApplied as fault:
                if "No such server" not in str(fault):  # as after a start of another HAProxy
                    continue  # it still has sessions
            del self._leaving[backend, name]


def word(step: Plan) -> str:
    """A plan in one word, as answers and logs have it."""
    return "nothing" if isinstance(step, Nothing) else "runtime" if isinstance(step, Runtime) else "reload"
