"""`proxy-api serve`: HAProxy, the writer and the API as siblings, each started again when it ends. Shell.

HAProxy has a session of its own and outlives this process; the next one adopts it. The others do not: there is one
writer. Deaths are seen through pid file descriptors, which work for an adopted process too. A HAProxy that hangs is
ended with all its workers, the draining ones too: while it stands, nobody else gets its connections. A writer that
hangs is ended as well.
"""

import contextlib
import fcntl
import logging
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from proxy_api.core import render, wire
from proxy_api.core.settings import Settings
from proxy_api.core.state import ProxyState
from proxy_api.haproxy.certificates import Certificates
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.global_config import Around, bootstrap, text_environment
from proxy_api.haproxy.hosts_file import HostsFile
from proxy_api.haproxy.processes import environment
from proxy_api.supervise.liveness import Pulse, Watchdog
from proxy_api.supervise.processes import Child, Forked, Process

log = logging.getLogger("proxy-api")

FLOOR = (2, 6)
KILL_AFTER_S = 5.0
API_GRACE_S = 35.0
WRITER_GRACE_S = 2.0
TURN_S = 0.25

Prepare = Callable[[], Callable[[], None]]


class CannotStart(Exception):
    """Something that the operator has to put right first; the text says what."""


class Supervisor:
    """Keeps the processes of one CONFIGS_PATH running until a signal says stop.

    `writer` and `api` import what their process needs, here, and give what it is to run: one that is started again is
    of the same version as the rest, whatever has been installed meanwhile.
    """

    def __init__(self, settings: Settings, writer: Prepare, api: Prepare) -> None:
        self._settings = settings
        self._base = Path(settings.configs_path)
        self._haproxy = Haproxy(settings.configs_path, settings.haproxy_bin)
        self._proxy, self._writer, self._api = Child("haproxy"), Child("writer"), Child("api")
        self._children = (self._proxy, self._writer, self._api)
        self._forked = ((self._writer, writer), (self._api, api))
        self._writer_pulse = Pulse(os.path.join(settings.configs_path, wire.SOCKET), wire.PING)
        self._watchdog = Watchdog(self._haproxy)
        self._log = self._base / "haproxy.log"
        self._log_read = 0
        self._stop = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit status. Raises CannotStart."""
        lock = self._prepare()
        wake, poke = os.pipe()
        os.set_blocking(poke, False)
        signal.set_wakeup_fd(poke)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._adopt()
        while not self._stop:
            self._start_due()
            self._wait(wake, self._children, self._next_start())
            self._end_hung()
            self._relay_log()
        self._shut_down(wake)
        os.close(lock)
        return 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    # --- start -----------------------------------------------------------------------------------------------------

    def _prepare(self) -> int:
        """Directory, lock, version, and a configuration to start with. The lock's descriptor."""
        os.umask(0o077)  # what is written here, by us or a child, is for this user alone
        try:
            self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._base / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as fault:
            raise CannotStart(f"CONFIGS_PATH: {self._base} cannot be used: {fault.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"CONFIGS_PATH: {self._base} is in use by another proxy-api; give each its own") from None
        _require_version(self._settings.haproxy_bin)
        around = Around(bootstrap(self._settings, self._haproxy.runtime.path), Certificates(self._settings.certs_path),
                        HostsFile())
        self._haproxy.files.mend()
        if self._haproxy.files.current_digest() is None:
            empty = render.render(ProxyState(), around(), text_environment())
            try:
                self._haproxy.files.write(empty.config)
                self._haproxy.files.swap(empty.config)
            except OSError as fault:
                raise CannotStart(f"CONFIGS_PATH: {self._base} cannot be written: {fault.strerror}") from None
        return lock

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
                _start(child, partial(_fork, child.name, prepare))

    def _start_proxy(self) -> None:
        if left := self._haproxy.master.kill():
            # A worker that was stopped outlives its master, and would get a share of the new one's connections.
            log.warning("event=killed process=haproxy pids=%s", ",".join(map(str, left)))
        _start(self._proxy, self._spawn_proxy)
        if self._proxy.pid:
            self._watchdog.watch(self._proxy.pid)
            with contextlib.suppress(OSError):
                self._haproxy.master.remember(self._proxy.pid)

    def _spawn_proxy(self) -> Process:
        with open(self._log, "ab") as output:
            return subprocess.Popen(self._haproxy.master.command(), stdin=subprocess.DEVNULL, stdout=output,
                                    stderr=output, start_new_session=True, env=environment())

    # --- while it runs ---------------------------------------------------------------------------------------------

    def _wait(self, wake: int, children: Sequence[Child], seconds: float) -> None:
        """Until a child ends, a signal comes, or the time is over."""
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        if not self._stop:
            for pulse in (self._writer_pulse, *(self._watchdog.pulses if self._proxy.pid else ())):
                pulse.register(poll)
        for child in children:
            if child.pid:
                poll.register(child.descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        if wake in ready:
            os.read(wake, 512)
        for child in children:
            if child.pid and child.descriptor in ready:
                child.ended()

    def _end_hung(self) -> None:
        """End a HAProxy or a writer that does not answer any more. It is started again as if it had died."""
        if self._proxy.pid and (why := self._watchdog.hung()):
            log.error('event=hung process=haproxy pid=%d reason="%s"', self._proxy.pid, why)
            self._proxy.signal(signal.SIGKILL)
            self._haproxy.master.kill()
        self._writer_pulse.turn()
        # Python's threads wait for its own lock all the time.
        if self._writer.pid and (why := self._writer_pulse.hung(self._writer.pid, locks=False)):
            log.error('event=hung process=writer pid=%d reason="it %s"', self._writer.pid, why)
            self._writer.signal(signal.SIGKILL)

    def _relay_log(self) -> None:
        """Pass on what HAProxy wrote. It writes to a file, because a pipe would end with us."""
        try:
            with open(self._log, "rb+") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(min(self._log_read, size))
                for line in file.read().decode(errors="replace").splitlines():
                    # Of a reload it tells every proxy that stopped; the rest of its notices is as routine.
                    if not line.startswith("[NOTICE]") and " stopped (cumulated conns:" not in line:
                        log.info("event=haproxy-says line=%r", line)
                self._log_read = size
                if size > 1024 * 1024:
                    file.truncate(0)
                    self._log_read = 0
        except OSError:
            return

    # --- stop ------------------------------------------------------------------------------------------------------

    def _shut_down(self, wake: int) -> None:
        """The API first: no more changes. The writer has nothing to do then but what it found by itself, which can be
        cut off. HAProxy stops listening and finishes what it has.
        """
        log.info("event=stopping")
        self._end(self._api, signal.SIGTERM, API_GRACE_S, wake)
        self._end(self._writer, signal.SIGTERM, WRITER_GRACE_S, wake)
        self._end(self._proxy, signal.SIGUSR1, self._settings.drain_timeout, wake)
        self._relay_log()
        log.info("event=stopped")

    def _end(self, child: Child, gentle: signal.Signals, seconds: float, wake: int) -> None:
        firmly = [(signal.SIGTERM, KILL_AFTER_S)] if gentle != signal.SIGTERM else []
        for number, patience in ((gentle, seconds), *firmly, (signal.SIGKILL, KILL_AFTER_S)):
            child.signal(number)
            end = time.monotonic() + patience
            while child.pid and (left := end - time.monotonic()) > 0:
                self._wait(wake, [child], left)
            if not child.pid:
                return
            log.warning("event=slow-to-end process=%s pid=%d signal=%s", child.name, child.pid, number.name)


def _fork(name: str, prepare: Prepare) -> Process:
    return Forked(name, prepare())


def _start(child: Child, start: Callable[[], Process]) -> None:
    try:
        process = start()
    except (OSError, ImportError, subprocess.SubprocessError) as fault:
        # No memory, no process to be had, a program that is being replaced: nobody is to be left without whoever
        # starts them again.
        child.not_started(fault)
        return
    child.watch(process.pid, process)
    log.info("event=started process=%s pid=%d", child.name, process.pid)


def _require_version(program: str) -> None:
    try:
        text = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=True,
                              env=environment()).stdout
    except (OSError, subprocess.SubprocessError) as fault:
        raise CannotStart(f"HAPROXY_BIN: {program} cannot be run: {fault}; install HAProxy 2.6 or later") from None
    found = re.search(r"version (\d+)\.(\d+)", text)
    if not found or (int(found[1]), int(found[2])) < FLOOR:
        raise CannotStart(f"HAPROXY_BIN: {program} is not HAProxy 2.6 or later")
