"""HAProxy from outside: its configuration on disk, its check, its two sockets. Edge.

A configuration is a directory named by its digest below `config/`; the link `current` says which one counts, and is
swapped in one step. The one before stays, for the way back. Everything a running HAProxy is believed to serve is asked
of it: the digest is its description.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from proxy_api.errors import ApplyFailed, ConfigRejected
from proxy_api.render import DIGEST_MAP, MAIN_FILE, ConfigFiles, digest_of
from proxy_api.runtime import Command, NotApplied, Observed, Processes, Seen

CHECK_TIMEOUT_S = 60
RELOAD_TIMEOUT_S = 30
SOCKET_TIMEOUT_S = 5
LOOK_TIMEOUT_S = 1  # for a question that is asked all the time: a HAProxy that hangs must not hang who asks
_POLL_S = 0.005
_HAND_OVER_S = 0.2
# All that HAProxy gets of the environment: a template may refer to it, and ours holds tokens.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
# `show servers state`, version 1 (management guide 9.3): admin states that keep new traffic away, and the port's place.
_OUT_OF_ROTATION = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20
_PORT_FIELD = 18
_STOPPED = "0"
_CHECK_ENABLED = 0x04


class NotRunning(NotApplied):
    """Nothing answers at HAProxy's socket."""


class Refused(NotApplied):
    """A runtime command did not do what it was to do; the text has the command and HAProxy's answer."""


class Haproxy:
    """The HAProxy of one CONFIGS_PATH, whoever started it."""

    def __init__(self, configs_path: str, program: str = "haproxy") -> None:
        self._base = Path(configs_path)
        self._program = program
        self.socket = str(self._base / "haproxy.sock")
        self.master_socket = str(self._base / "master.sock")
        self.current = self._base / "current"
        self._store = self._base / "config"
        self._flushed: str | None = None

    # --- configuration on disk -----------------------------------------------------------------------------------

    def command(self) -> list[str]:
        """The command line that serves what `current` points to."""
        return [self._program, "-W", "-S", f"{self.master_socket},mode,600", "-f", str(self.current / MAIN_FILE)]

    def write(self, config: ConfigFiles) -> Path:
        """Put a configuration on disk, complete or not at all; nothing uses it yet. Raises OSError."""
        target = self._store / config.digest
        if target.is_dir():
            return target
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._store / f".{config.digest}.{os.getpid()}"
        _fill(partial, config)
        partial.rename(target)
        return target

    def check(self, config: ConfigFiles) -> None:
        """Let HAProxy judge a configuration where it lies; raises ConfigRejected with its alert lines."""
        directory = self.write(config)
        try:
            self._judge(directory)
        except ConfigRejected:
            if config.digest != self.current_digest():
                shutil.rmtree(directory, ignore_errors=True)
            raise

    def try_out(self, config: ConfigFiles) -> None:
        """The same as `check`, on a copy that is gone afterwards."""
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        candidate = self._store / f".try.{os.getpid()}"
        try:
            _fill(candidate, config)
            self._judge(candidate)
        finally:
            shutil.rmtree(candidate, ignore_errors=True)

    def _judge(self, directory: Path) -> None:
        try:
            result = subprocess.run(
                [self._program, "-c", "-f", str(directory / MAIN_FILE)], stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=CHECK_TIMEOUT_S, check=False,
                env=environment())
        except (OSError, subprocess.TimeoutExpired) as fault:
            raise ApplyFailed(f"HAProxy's check could not be run: {fault}") from None
        if result.returncode:
            raise ConfigRejected(_alerts(result.stderr, str(directory)))

    def swap(self, config: ConfigFiles) -> str | None:
        """Make a written configuration the current one; the digest of the one before, None where there was none."""
        before = self.current_digest()
        self._link(config.digest)
        self._prune({config.digest, before})
        return before

    def swap_back(self, digest: str | None) -> None:
        """Undo a swap."""
        if digest is not None and (self._store / digest).is_dir():
            self._link(digest)

    def flush(self) -> None:
        """Have the disk itself hold the current configuration, for a loss of power. Raises OSError.

        Not part of a change: that would wait for the disk. What a loss of power left unfinished is found by `mend`.
        """
        digest = self.current_digest()
        if digest is not None and digest != self._flushed:
            for path in (*(self._store / digest).iterdir(), self._store / digest, self._store, self._base):
                _sync(path)
            self._flushed = digest

    def mend(self) -> None:
        """See to it that the current configuration is a whole one, if any is: the last that is, else none."""
        kept = sorted(self._store.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
        current = self.current_digest()
        for digest in [current, *(path.name for path in kept)] if current else []:
            if digest and self.is_whole(digest):
                if digest != current:
                    self._link(digest)
                return
        self.current.unlink(missing_ok=True)

    def is_whole(self, digest: str) -> bool:
        """Whether a configuration lies on the disk as it was written."""
        try:
            files = {path.name: path.read_text(encoding="utf-8") for path in (self._store / digest).iterdir()}
        except (OSError, UnicodeDecodeError):
            return False
        return digest_of(files) == digest and digest in files.get(DIGEST_MAP, "")

    def discard(self, digest: str) -> None:
        """Remove a configuration, to be written anew."""
        shutil.rmtree(self._store / digest, ignore_errors=True)

    def current_digest(self) -> str | None:
        """The digest of the configuration that a start would use."""
        try:
            target = Path(os.readlink(self.current))
        except OSError:
            return None
        return target.name if (self._base / target / MAIN_FILE).is_file() else None

    def _tell(self, commands: Iterable[Command]) -> None:
        """Commands without which it goes as well."""
        if commands:
            with contextlib.suppress(NotApplied):
                self.execute(commands)

    def _accepts(self, worker: int) -> bool:
        """Whether a worker that is being replaced still takes connections: it does for some milliseconds more."""
        with contextlib.suppress(NotRunning):
            return "Stopping: 0" in _ask(self.master_socket, f"@!{worker} show info")
        return False

    def serves_something(self) -> bool:
        """Whether the current configuration has a backend: the one that a first start makes for itself has none."""
        try:
            return "\nbackend " in (self.current / MAIN_FILE).read_text(encoding="utf-8")
        except OSError:
            return False

    def _link(self, digest: str) -> None:
        fresh = self._base / f".current.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        fresh.symlink_to(Path("config") / digest)
        fresh.replace(self.current)

    def _prune(self, keep: set[str | None]) -> None:
        for directory in self._store.iterdir():
            if directory.name not in keep and directory.name != self._flushed:
                shutil.rmtree(directory, ignore_errors=True)

    def remember(self, master: int) -> None:
        """Note the pid of the master, for a successor of whoever started it. Raises OSError."""
        fresh = self._base / f".haproxy.pid.{os.getpid()}"
        fresh.write_text(f"{master}\n")
        fresh.replace(self._base / "haproxy.pid")

    def remembered(self) -> int | None:
        """The pid of a master that runs with this configuration, whoever started it; None where there is none.

        The pid that was noted, or else, where the note is lost, the one that the list of processes shows: a second
        HAProxy beside one that runs would share its connections with another configuration. The master's socket would
        not do: it is closed for a moment while the master loads itself anew.
        """
        try:
            noted = int((self._base / "haproxy.pid").read_text())
        except (OSError, ValueError):
            noted = 0
        if noted and self._is_ours(noted):
            return noted
        found = self._processes()
        # Workers have the master's command line; only the master's parent is none of them.
        return min((pid for pid in found if _parent(pid) not in found), default=None)

    def kill(self) -> list[int]:
        """End whatever process of this HAProxy there is, at once; their pids."""
        found = sorted(self._processes())
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return found

    def _processes(self) -> set[int]:
        """Master and workers, by the list of processes."""
        return {pid for path in Path("/proc").glob("[0-9]*") if self._is_ours(pid := int(path.name))}

    def _is_ours(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        start = os.fsencode(self.master_socket) + b","
        return any(flag == b"-S" and word.startswith(start) for flag, word in itertools.pairwise(words))

    # --- the running process -------------------------------------------------------------------------------------

    def serving(self) -> str | None:
        """The digest that the running worker was last brought to, "" where it has none; None where none answers.

        While a reload hands the socket over, nobody may answer for a moment: that is no reason to believe it gone.
        """
        for _ in _until(_HAND_OVER_S):
            with contextlib.suppress(NotRunning):
                answer = _ask(self.socket, f"get map {DIGEST_MAP} digest", LOOK_TIMEOUT_S)
                found = re.search(r'value="([0-9a-f]+)"', answer)
                return found[1] if found else ""
            time.sleep(_POLL_S)
        return None

    def processes(self) -> Processes:
        """The master's view; raises NotRunning."""
        text = _ask(self.master_socket, "show proc", LOOK_TIMEOUT_S)
        master = re.search(r"^(\d+)\s+master\s+(\d+)?\s*(?:\[failed: (\d+)\])?", text, re.MULTILINE)
        worker = re.search(r"^(\d+)\s+worker", text, re.MULTILINE)
        if not master or not worker:
            raise NotRunning(self.master_socket)
        return Processes(int(master[1]), int(worker[1]), int(master[3] or 0))

    def runtime(self, command: str) -> str:
        """A command to the worker's runtime API, and its answer; raises NotRunning."""
        return _ask(self.socket, command)

    def execute(self, commands: Iterable[Command]) -> None:
        """Carry out runtime commands in order, over one connection; raises Refused at the first that fails."""
        with self._session() as ask:
            for command in commands:
                answer = ask(command.line).strip()
                if (command.ok not in answer) if command.ok else answer:
                    raise Refused(f"{command.line!r} was answered {answer[:300]!r}")

    def observe(self, backends: Iterable[str] | None, maps: Iterable[str]) -> Observed:
        """What the worker has: the servers of these backends (None: of all) and the entries of these maps."""
        servers: dict[str, dict[str, Seen]] = {}
        with self._session() as ask:
            for backend in [""] if backends is None else backends:
                for line in ask(f"show servers state {backend}".strip()).splitlines()[2:]:
                    field = line.split()
                    if len(field) > _PORT_FIELD:
                        servers.setdefault(field[1], {})[field[3]] = _seen(field)
            found = {}
            for name in maps:
                entries = (line.split(" ", 2) for line in ask(f"show map {name}").splitlines() if line)
                found[name] = {entry[1]: entry[2] for entry in entries if len(entry) == 3}
        return Observed(servers, found)

    @contextlib.contextmanager
    def _session(self) -> Iterator[Callable[[str], str]]:
        """A connection that takes one command after another. Raises NotRunning, also where it breaks."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(SOCKET_TIMEOUT_S)
                connection.connect(self.socket)

                def ask(command: str) -> str:
                    connection.sendall(command.encode() + b"\n")
                    answer = bytearray()
                    while not answer.endswith(b"\n> "):
                        chunk = connection.recv(65536)
                        if not chunk:
                            raise ConnectionResetError("closed by HAProxy")
                        answer += chunk
                    return answer[:-3].decode(errors="replace")

                ask("prompt")
                yield ask
        except OSError as fault:
            raise NotRunning(f"{self.socket}: {fault}") from None

    def reload(self, digest: str, first: Iterable[Command] = ()) -> None:
        """Let a new worker take over with the current configuration, and wait until it serves `digest`.

        It gets the commands of `first` as soon as it answers: it takes connections already, and the master is slow to
        speak of it.

        2.6 answers `reload` before the outcome: another worker with the new digest, or a higher count of failed
        reloads, is the outcome. Where no HAProxy runs, the supervisor is about to start it with the current
        configuration, and the wait is for that. Raises ApplyFailed.
        """
        before: Processes | None = None
        absent = False
        another = bool(first) and self.serving() != digest
        for left in _until(RELOAD_TIMEOUT_S):
            try:
                if another and before is not None and self.serving() == digest:
                    self._tell(first)
                    another, first = False, ()
                now = self.processes()
                if before is None:
                    if absent and self.serving() == digest:
                        self._tell(first)
                        return  # started with it, or reloaded by itself, while nobody answered
                    before = now
                    _ask(self.master_socket, "reload")
                elif now.failed > before.failed:
                    raise ApplyFailed("HAProxy could not start a worker with the new configuration; its log says why")
                elif now.worker != before.worker and self.serving() == digest:
                    self._tell(first)
                    first = ()
                    if not self._accepts(before.worker):
                        return
            except NotRunning:
                absent = True
            time.sleep(min(_POLL_S, left))
        raise ApplyFailed(f"HAProxy did not serve the new configuration within {RELOAD_TIMEOUT_S} s")


def _seen(field: list[str]) -> Seen:
    """A line of `show servers state`, version 1 (management guide 9.3)."""
    checked = bool(int(field[13]) & _CHECK_ENABLED)
    # One that HAProxy's own checks found down is in rotation: they bring it back. Without checks nobody does.
    active = not int(field[6]) & _OUT_OF_ROTATION and (checked or field[5] != _STOPPED)
    return Seen(field[4], int(field[_PORT_FIELD]), active, int(field[7]), checked, field[5] != _STOPPED)


def _parent(pid: int) -> int:
    try:
        # The name, in parentheses, may hold blanks and parentheses itself.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def environment() -> dict[str, str]:
    """The environment that HAProxy runs in."""
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}


def _until(seconds: float) -> Iterator[float]:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield left


def _ask(path: str, command: str, timeout: float = SOCKET_TIMEOUT_S) -> str:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            # 2.6's master socket keeps a connection open for as long as its other side may still write.
            connection.shutdown(socket.SHUT_WR)
            chunks = []
            while chunk := connection.recv(65536):
                chunks.append(chunk)
    except OSError as fault:
        raise NotRunning(f"{path}: {fault}") from None
    return b"".join(chunks).decode(errors="replace")


def _alerts(stderr: str, directory: str) -> str:
    """HAProxy's own words, without the path of the candidate."""
    lines = [line.replace(directory + "/", "") for line in stderr.splitlines() if "[ALERT]" in line]
    lines = [re.sub(r"^\[ALERT\]\s+\(\d+\) : ", "", line) for line in lines]
    lines = [line for line in lines if "Fatal errors found" not in line and "Error(s) found" not in line] or lines
    return "HAProxy: " + "; ".join(lines[:10]) if lines else f"HAProxy refused it: {stderr.strip()[-500:]}"


def _fill(directory: Path, config: ConfigFiles) -> None:
    """Write a configuration's files into a new directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    for name, text in config.files:
        with open(os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w",
                  encoding="utf-8") as file:
            file.write(text)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
