"""`proxy-api serve`: HAProxy, the writer and the API as siblings, each started again when it ends. Shell.

HAProxy has a session of its own and outlives this process; the next one adopts it. The others do not: there is one
writer. Deaths are seen through pid file descriptors, which work for an adopted process too. A HAProxy that hangs is
ended with all its workers, the draining ones too: while it stands, nobody else gets its connections. A writer that
hangs is ended as well.
"""

import contextlib
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from proxy_api.core import wire
from proxy_api.core.settings import Settings
from proxy_api.haproxy.certificates import Certificates
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.processes import environment
from proxy_api.haproxy.start_fault import StartFault
from proxy_api.supervise import start
from proxy_api.supervise.haproxy_log import HaproxyLog
from proxy_api.supervise.liveness import Pulse, Watchdog
from proxy_api.supervise.processes import Child, Forked, Process
from proxy_api.supervise.stop import stop

log = logging.getLogger("proxy-api")

TURN_S = 0.25

Prepare = Callable[[], Callable[[], None]]


class Supervisor:
    """Keeps the processes of one CONFIGS_PATH running until a signal says stop.

    `writer` and `api` import what their process needs, here, and give what it is to run: one that is started again is
    of the same version as the rest, whatever has been installed meanwhile.
    """

    def __init__(self, settings: Settings, writer: Prepare, api: Prepare) -> None:
        self._settings = settings
        self._haproxy = Haproxy(settings.configs_path, settings.haproxy_bin)
        self._proxy, self._writer, self._api = Child("haproxy"), Child("writer"), Child("api")
        self._children = (self._proxy, self._writer, self._api)
        self._forked = ((self._writer, writer), (self._api, api))
        self._writer_pulse = Pulse(os.path.join(settings.configs_path, wire.SOCKET), wire.PING)
        self._watchdog = Watchdog(self._haproxy)
        self._log = HaproxyLog(Path(settings.configs_path) / "haproxy.log")
        self._certificates = Certificates(settings.certs_path)
        self._start_fault, self._told, self._judged = StartFault(settings.configs_path), "", 0
        self._stop = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit status. Raises CannotStart."""
        lock = start.prepare(self._settings, self._haproxy)
        self._start_fault.over()
        wake, poke = os.pipe()
        os.set_blocking(poke, False)
        signal.set_wakeup_fd(poke)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._adopt()
        while not self._stop:
            self._start_due()
            self._wait(wake, self._next_start())
            self._end_hung()
            self._log.relay(once=self._proxy.failures > 0)
            self._tell_why()
        self._shut_down()
        os.close(lock)
        return 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    # --- start -----------------------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Take over the HAProxy that an earlier supervisor left running."""
        master = self._haproxy.master.remembered()
        if master is None:
            return
        try:
            self._proxy.watch(master, None)
        except ProcessLookupError:
            return
        self._watchdog.watch(master)
        log.info("event=adopted process=haproxy pid=%d digest=%s", master, self._haproxy.runtime.serving())

    def _next_start(self) -> float:
        due = [c.start_at - time.monotonic() for c in self._children if not c.pid]
        return max(0.0, min(*due, TURN_S)) if due else TURN_S

    def _start_due(self) -> None:
        if self._proxy.is_due():
            self._start_proxy()
        for child, prepare in self._forked:
            if child.is_due() and not self._stop:
                if child is self._writer:
                    self._writer_pulse.forget()
                child.start(partial(_fork, child.name, prepare))

    def _start_proxy(self) -> None:
        if left := self._haproxy.master.kill():
            # A worker that was stopped outlives its master, and would get a share of the new one's connections.
            log.warning("event=killed process=haproxy pids=%s", ",".join(map(str, left)))
        self._proxy.start(self._spawn_proxy)
        if self._proxy.pid:
            self._watchdog.watch(self._proxy.pid)
            with contextlib.suppress(OSError):
                self._haproxy.master.remember(self._proxy.pid)

    def _spawn_proxy(self) -> Process:
        with open(self._log.path, "ab") as output:
            return subprocess.Popen(self._haproxy.master.command(), stdin=subprocess.DEVNULL, stdout=output,
                                    stderr=output, start_new_session=True, env=environment())

    # --- while it runs ---------------------------------------------------------------------------------------------

    def _wait(self, wake: int, seconds: float) -> None:
        """Until a child ends, a signal comes, or the time is over."""
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        for pulse in (self._writer_pulse, *(self._watchdog.pulses if self._proxy.pid else ())):
            pulse.register(poll)
        for child in self._children:
            if child.pid:
                poll.register(child.descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        if wake in ready:
            os.read(wake, 512)
        for child in self._children:
            if child.pid and child.descriptor in ready:
                child.ended()

    def _end_hung(self) -> None:
        """End a HAProxy or a writer that does not answer any more. It is started again as if it had died."""
        if self._proxy.pid and (why := self._watchdog.hung()):
            log.error("event=hung process=haproxy pid=%d reason=%s", self._proxy.pid, why)
            self._proxy.signal(signal.SIGKILL)
            self._haproxy.master.kill()
        for pid in self._watchdog.stopped_old_workers() if self._proxy.pid else ():
            log.error("event=hung process=haproxy-old-worker pid=%d reason=%s", pid, "it is stopped; it is ended")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._writer_pulse.turn()
        # Python's threads wait for its own lock all the time.
        if self._writer.pid and (why := self._writer_pulse.hung(self._writer.pid, locks=False)):
            log.error("event=hung process=writer pid=%d reason=%s", self._writer.pid, f"it {why}")
            self._writer.signal(signal.SIGKILL)

    def _tell_why(self) -> None:
        """Say of a HAProxy that ends as soon as it is started why that is, once; and of each child when it is over."""
        for child in self._children:
            if child.recovered() and child is self._proxy:
                self._start_fault.over()
                self._log.forget()
                self._told = ""
        failures, self._judged = self._judged, self._proxy.failures
        if self._judged and self._judged != failures and (why := self._why()) and why != self._told:
            log.error("event=cannot-start process=haproxy reason=%s", why)
            self._start_fault.tell(why)
            self._told = why

    def _why(self) -> str:
        """Why HAProxy ended as soon as it was started; "" where it may just have been killed."""
        faults = start.bind_faults(self._settings, bool(self._certificates.usable()), beside_haproxy=True)
        return "; ".join(str(fault) for fault in faults if fault.name not in ("IP", "PORT")) \
            or (self._log.alerts() or self._proxy.reason if self._judged > 1 else "")

    # --- stop ------------------------------------------------------------------------------------------------------

    def _shut_down(self) -> None:
        log.info("event=stopping")
        stop(self._api, self._writer, self._proxy, self._settings.stop_timeout)
        self._haproxy.master.kill()  # workers that outlived it, because they hang
        self._log.relay(once=False)
        log.info("event=stopped")


def _fork(name: str, prepare: Prepare) -> Process:
    return Forked(name, prepare())
