"""A configuration brought to HAProxy by commands or a reload, verified, and kept as it is. Shell.

Servers that left are taken out of rotation at once and deleted when their last connection is gone (2.6 keeps idle ones
to a server for as long as the server does; until then it stays, without traffic, or until the next reload). A command
that fails, or a look that finds something else than was applied, becomes a reload; if even that fails, HAProxy is
brought back to what it ran before.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from proxy_api.core import observed, runtime
from proxy_api.core.errors import ApplyFailed, ProxyError
from proxy_api.core.messages import Change
from proxy_api.core.observed import Health, MasterView, Names
from proxy_api.core.plan import Nothing, Plan, Reload, Runtime, plan
from proxy_api.core.render import ConfigFiles, Rendered
from proxy_api.core.runtime import NotApplied
from proxy_api.haproxy import tcp_probe
from proxy_api.haproxy.protocols import Proxy
from proxy_api.haproxy.tcp_probe import Address

log = logging.getLogger("proxy-api")

MAX_BACKOFF_S = 30.0
VERIFY_S = 2.0  # how often everything that HAProxy has is compared
VERIFY_REST = 50.0  # or as many times what comparing takes, where that is more: 30,000 servers are a long list
TOLD_S = 600.0  # how long it shows that somebody else had changed it


@dataclass(frozen=True, slots=True)
class Trouble:
    """That what is wanted is not served: why, how often in a row, and when (monotonic) to try again."""

    reason: str = ""
    failures: int = 0
    again_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Interference:
    """What somebody else had done to HAProxy, for people, and when (monotonic)."""

    reason: str = ""
    at: float = 0.0


class Applier:
    """Applies what is wanted; remembers what failed, what HAProxy was found to have, and who is on his way out."""

    def __init__(self, proxy: Proxy, drain_s: float,
                 silent: Callable[[Iterable[Address]], Collection[Address]] = tcp_probe.silent) -> None:
        self._proxy, self._drain_s, self._silent = proxy, drain_s, silent
        self._leaving: dict[tuple[str, str], float] = {}
        self._verify_at = 0.0
        self._master: MasterView | None = None
        self._interference = Interference()
        self._trouble = Trouble()
        self.health = Health()
        self.drifts = 0
        self.changes: Counter[tuple[str, str]] = Counter()

    @property
    def fault(self) -> str:
        """Why what is wanted is not served, "" where it is."""
        return self._trouble.reason

    @property
    def reloads(self) -> int:
        """How often HAProxy was reloaded."""
        return sum(count for (change, _), count in self.changes.items() if change == "reload")

    def plan(self, before: Rendered | None, wanted: Rendered) -> Plan:
        """What `apply` would do now."""
        return plan(self._proxy.runtime.serving(), before, wanted, self._leaving)

    def apply(self, before: Rendered | None, wanted: Rendered, asked: bool) -> Plan | None:
        """Bring HAProxy from `before` to `wanted`; None where it is too early to try again. Raises ApplyFailed.

        When it raises, HAProxy runs what it ran and the disk says so too, or else HAProxy says of itself that it does
        not, and the next try is a reload.
        """
        running = self._proxy.runtime.serving()
        if running is not None and before is not None and running != before.config.digest and not self.fault:
            self._drifted([_found_serving(running, before)])
            if not self._proxy.files.is_whole(wanted.config.digest):
                self._proxy.files.discard(wanted.config.digest)
        step = plan(running, before, wanted, self._leaving)
        if not isinstance(step, Nothing) and not asked and time.monotonic() < self._trouble.again_at:
            return None
        # What HAProxy runs is the way back, whatever the disk said: the last change may have ended between the two.
        last = self._put_on_disk(wanted.config)
        last = running if running and running not in (wanted.config.digest, runtime.UNDER_WAY) else last
        if not isinstance(step, Nothing):
            step = self._carry_out(step, before, wanted, last)
            self.changes[word(step), step.cause] += 1
            log.info('event=applied change=%s digest=%s services=%d reason=%s', word(step), wanted.config.digest,
                     len(wanted.state.services), step.reason)
        self._trouble = Trouble()
        return step

    def _carry_out(self, step: Runtime | Reload, before: Rendered | None, wanted: Rendered,
                   last: str | None) -> Runtime | Reload:
        down = self._doubtful(before, wanted)
        try:
            if isinstance(step, Reload) or before is None:
                self._reload(wanted, down)
                return step
            fault = self._run(before, wanted, down)
            if not fault:
                return step
            log.warning('event=runtime-failed reason=%s', fault)
            self._reload(wanted, down)
            return Reload(f"{step.reason}; runtime commands did not do: {fault}", "failed-commands")
        except ApplyFailed:
            self._proxy.files.swap_back(last)
            if isinstance(step, Runtime) and before is not None:
                self._bring_back(before)
            raise

    def failed(self, fault: Exception) -> None:
        """Note that what is wanted is not served."""
        failures = self._trouble.failures + 1
        self._trouble = Trouble(str(fault), failures, time.monotonic() + min(MAX_BACKOFF_S, 2.0 ** failures))
        log.error('event=apply-failed reason=%s', fault)

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
            looked = self._proxy.runtime.observe(None, observed.maps_of(served))
        except NotApplied:
            return  # it does not answer: the digest, asked for at every pass, says so too
        found = [*observed.deviations(looked, served), *self._replaced()]
        self.health = observed.health(looked)
        self._verify_at = now + max(VERIFY_S, VERIFY_REST * (time.monotonic() - now))
        if not self._proxy.files.is_whole(served.config.digest):
            found.append("its configuration on disk is another")
            self._proxy.files.discard(served.config.digest)
        if found:
            self._drifted(found)
            last = self._put_on_disk(served.config)
            try:
                self._reload(served)
            except ApplyFailed:
                self._proxy.files.swap_back(last)
                raise
            self.changes["reload", "drift"] += 1

    def interference(self) -> str:
        """What somebody else had done to HAProxy lately, for people; "" where nobody had."""
        return self._interference.reason if time.monotonic() - self._interference.at < TOLD_S else ""

    def _drifted(self, found: Sequence[str]) -> None:
        self.drifts += 1
        self._interference = Interference("; ".join(found[:5]), time.monotonic())
        log.error('event=drift reason=%s action=reload', self._interference.reason)

    def _replaced(self) -> list[str]:
        """Whether the same master has another worker: what a reload that nobody here asked for brought is not known."""
        try:
            now = self._proxy.master.processes()
        except NotApplied:
            return []  # it loads itself at this moment
        last, self._master = self._master, now
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

    def _doubtful(self, before: Rendered | None, wanted: Rendered) -> Names:
        """The new servers that do not answer: they are to get no request before HAProxy's own checks say otherwise."""
        arrived = runtime.arrivals(before, wanted) if before is not None else ()
        silent = self._silent((s.address, s.port) for _, fresh in arrived for s in fresh)
        self.health = Health(
            self.health.down | {(backend.name, s.name) for backend, fresh in arrived for s in fresh
                                if (s.address, s.port) in silent}, self.health.dead)
        return runtime.doubtful(arrived, silent)

    def _still_down(self) -> Names:
        """Which servers that HAProxy's checks had found down are so now."""
        try:
            backends = sorted({backend for backend, _ in self.health.down})
            return observed.health(self._proxy.runtime.observe(backends, ())).down if backends else frozenset()
        except NotApplied:
            return frozenset()

    def _run(self, before: Rendered, wanted: Rendered, down: Names) -> str:
        """Carry out commands and read back; what is not as it was wanted, "" where nothing."""
        moved = [now for _, now in runtime.backend_changes(before, wanted) if now is not None]
        maps = runtime.changed_maps(before, wanted)
        try:
            self._proxy.runtime.execute(runtime.commands(before, wanted, self._leaving, down))
            looked = self._proxy.runtime.observe([backend.name for backend in moved], maps)
            found = observed.deviations(looked, wanted, moved, maps)
        except NotApplied as fault:
            found = (str(fault),)
        if found:
            return "; ".join(found[:5])
        end = time.monotonic() + self._drain_s
        self._leaving.update((name, end) for name in runtime.departures(before, wanted))
        for backend in moved:
            for server in backend.servers:
                self._leaving.pop((backend.name, server.name), None)
        return ""

    def _reload(self, wanted: Rendered, doubtful: Names = frozenset()) -> None:
        # The new worker takes every server for up until its checks have failed.
        down = runtime.keep_down(wanted, self._still_down() | doubtful)
        self._proxy.reloader.reload(wanted.config.digest, down)
        self._leaving.clear()  # the new worker never had them
        self._master = None
        self._replaced()
        self._verify_at = 0.0

    def _bring_back(self, before: Rendered) -> None:
        """After commands that were carried out in part: have a worker that never heard of them."""
        try:
            self._reload(before)
        except ProxyError as fault:
            log.error('event=not-brought-back reason=%s', fault)

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


def _found_serving(running: str, before: Rendered) -> str:
    if running == runtime.UNDER_WAY:
        return "it was left in the middle of a change"
    return f"it serves {running or 'a configuration of somebody else'}, not {before.config.digest}"


def word(step: Plan) -> Change:
    """A plan in one word, as answers and logs have it."""
    return "nothing" if isinstance(step, Nothing) else "runtime" if isinstance(step, Runtime) else "reload"
