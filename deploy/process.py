"""Child processes that are ended by their pid, also when the process that started them is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from deploy.waiting import wait_until

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent

# What a developer has set for his own Consul or proxy must not leak into the parts that a test starts.
_NOT_INHERITED = ("CONSUL_", "REGISTRAR_", "PROXY_", "API_TOKEN", "STATS_", "DEFAULT_PORTS", "BIND_PORTS")

# The kernel sends the "parent died" signal when the *thread* that started the child ends; so one thread, which
# lives as long as the process, starts them all.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


class Process:
    """A running program with its output in a log file. Leaving the `with` block ends it.

    `outlive=True` is for what must go on after this process has ended; all else gets SIGTERM when it dies.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        name: str | None = None,
        cwd: Path | None = None,
        outlive: bool = False,
    ) -> None:
        self.argv = [str(word) for word in argv]
        self.name = name or Path(self.argv[0]).name
        self.log = log or _log_file(self.name)
        self._log_is_ours = log is None
        self._last_output = ""
        self.environment = child_environment(env)
        program = shutil.which(self.argv[0], path=self.environment["PATH"])
        if program is None:
            raise FileNotFoundError(f"there is no {self.argv[0]} here; run: make install")
        # setpriv sets the flag in the child itself and is replaced by the program, so the pid stays.
        bound = [] if outlive else ["setpriv", "--pdeathsig", "TERM", "--"]
        with self.log.open("ab") as output:
            self._popen = _starter.submit(
                subprocess.Popen,
                [*bound, program, *self.argv[1:]],
                env=self.environment,
                cwd=cwd or ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A Ctrl-C is for us; we end the children in our order.
                start_new_session=True,
            ).result()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._popen.poll()

    @property
    def running(self) -> bool:
        return self.returncode is None

    def signal(self, number: int) -> None:
        """Sends a signal, if it still runs; with SIGSTOP and SIGCONT it can be frozen for a while."""
        self._popen.send_signal(number)

    def wait(self, deadline_s: float = 10.0) -> int:
        """Waits for its end and returns the exit code."""
        try:
            return self._popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} still runs after {deadline_s:g} s\n{self.tail()}") from None

    def terminate(self, deadline_s: float = 10.0) -> int:
        """SIGTERM, then waits; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def kill(self) -> int:
        """kill -9."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def stop(self, deadline_s: float = 10.0) -> None:
        """Ends it in any case: politely, and by force when that takes too long."""
        if not self.running:
            return
        self.signal(signal.SIGCONT)
        try:
            self.terminate(deadline_s)
        except TimeoutError:
            self.kill()

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else self._last_output

    def tail(self, lines: int = 30) -> str:
        """The end of its output, for messages."""
        return f"--- the end of {self.log}:\n" + "\n".join(self.output()[-20000:].splitlines()[-lines:])

    def wait_until(self, predicate: Callable[[], T], deadline_s: float = 10.0, what: str = "it is ready") -> T:
        """Like waiting.wait_until, but gives up at once when the process has ended, and shows its log."""

        def check() -> T:
            if not self.running:
                raise RuntimeError(f"{self.name} ended with {self.returncode}; waited until {what}\n{self.tail()}")
            return predicate()

        try:
            return wait_until(check, deadline_s, what)
        except TimeoutError as error:
            raise TimeoutError(f"{self.name}: {error}\n{self.tail()}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self.stop()
        # A log that nobody asked for stays only when something went wrong.
        if self._log_is_ours and kind is None:
            self._last_output = self.output()
            self.log.unlink(missing_ok=True)


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    name: str | None = None,
    cwd: Path | None = None,
    outlive: bool = False,
) -> Process:
    """Starts a long-running program: `with run(["haproxy", ...]) as process:`."""
    return Process(argv, env=env, log=log, name=name, cwd=cwd, outlive=outlive)


def started_at(pid: int) -> str:
    """A process's start time in clock ticks, which tells it from a later one with the same pid; "" where none runs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings meant for other instances of our programs, plus `extra`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    # Debian keeps haproxy in /usr/sbin, which is not on an ordinary user's PATH.
    inherited["PATH"] = inherited.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    inherited["PYTHONUNBUFFERED"] = "1"
    return inherited | dict(extra or {})


def _log_file(name: str) -> Path:
    descriptor, path = tempfile.mkstemp(prefix=f"portbook-{name}-", suffix=".log")
    os.close(descriptor)
    return Path(path)
