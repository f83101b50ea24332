"""Processes that are to run for ever: HAProxy, and functions of this program in processes of their own. Edge."""

import contextlib
import ctypes
import gc
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Protocol

log = logging.getLogger("proxy-api")

YOUNG_S = 5.0
MAX_PAUSE_S = 5.0
_HANDLED = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


class Process(Protocol):
    """A process that is ours to wait for."""

    pid: int

    def wait(self) -> int: ...


class Forked:
    """`run` in a process of its own that ends with this one, with what has been imported here already.

    Only for a process without other threads. Raises OSError.
    """

    def __init__(self, name: str, run: Callable[[], object]) -> None:
        gc.freeze()  # a collection in the child would touch, and so copy, all that is shared
        parent = os.getpid()
        # A signal that finds the child with our handlers would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            self.pid = os.fork()
            if not self.pid:
                _live(name, run, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)

    def wait(self) -> int:
        """Its exit status; negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _live(name: str, run: Callable[[], object], parent: int) -> None:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        os.setsid()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the parent's lock above all
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_NAME, name.encode())
        # It must not outlive its parent: a second writer would come with the next one.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:
            run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("event=process-failed process=%s", name)
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)


class Child:
    """A process under watch: ours by birth, or adopted. What happens to it again and again is told once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0
        self.descriptor = -1
        self.process: Process | None = None
        self.failures = 0
        self.start_at = 0.0
        self.reason = ""  # of the last failure
        self._started = 0.0

    def start(self, start: Callable[[], Process]) -> None:
        """Start it; where that fails it is due again later."""
        try:
            process = start()
        except (OSError, ImportError, subprocess.SubprocessError) as fault:
            # No memory, no process to be had, a program that is being replaced: nobody is to be left without whoever
            # starts them again.
            self._again(young=True)
            if self._is_news(str(fault)):
                log.error("event=not-started process=%s reason=%s", self.name, fault)
            return
        self.watch(process.pid, process)
        if self.failures <= 1:
            log.info("event=started process=%s pid=%d", self.name, process.pid)

    def watch(self, pid: int, process: Process | None) -> None:
        """Take a running process under watch. Raises ProcessLookupError when it is gone already."""
        self.descriptor = os.pidfd_open(pid)
        self.pid, self.process, self._started = pid, process, time.monotonic()

    def is_due(self) -> bool:
        """Whether it is to be started now."""
        return not self.pid and time.monotonic() >= self.start_at

    def ended(self, asked: bool = False) -> None:
        """Note the end, `asked` for or not, and when the next start is due: at once, unless it ended young."""
        status = self.process.wait() if self.process else "unknown"
        os.close(self.descriptor)
        lived = time.monotonic() - self._started
        self._again(young=lived < YOUNG_S)
        if self._is_news(f"it ends with {status} as soon as it is started") or not self.failures:
            log.log(logging.INFO if asked else logging.WARNING, "event=ended process=%s pid=%d status=%s lived=%.1fs",
                    self.name, self.pid, status, lived)
        self.pid, self.descriptor, self.process = 0, -1, None

    def recovered(self) -> bool:
        """Whether it lives again, after it did not; true once."""
        if not self.pid or not self.failures or time.monotonic() - self._started < YOUNG_S:
            return False
        log.info("event=recovered process=%s pid=%d failures=%d", self.name, self.pid, self.failures)
        self.failures, self.reason = 0, ""
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.descriptor, number)

    def kill(self) -> None:
        """End it at once, with what it has started itself where it is ours: each of ours has a group of its own."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.signal(signal.SIGKILL)

    def _is_news(self, reason: str) -> bool:
        told, self.reason = self.reason, reason
        return told != reason

    def _again(self, young: bool) -> None:
        self.failures = self.failures + 1 if young else 0
        # The exponent is bounded: after a day of failures 2 ** failures would be no float any more.
        pause = min(MAX_PAUSE_S, 0.1 * 2 ** min(self.failures - 1, 10)) if self.failures > 1 else 0.0
        self.start_at = time.monotonic() + pause


def wait_for(children: Iterable[Child], seconds: float) -> None:
    """Until every one of them, told to end, has ended, or the time is over."""
    end = time.monotonic() + seconds
    while (running := {c.descriptor: c for c in children if c.pid}) and (left := end - time.monotonic()) > 0:
        poll = select.poll()
        for descriptor in running:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(left * 1000):
            running[descriptor].ended(asked=True)
