"""A Docker engine for demo, tests and bench: the one that answers already, or one started here for as long as needed.

An engine that others run is used and never stopped. Otherwise dockerd is started as root on the default socket, with
its data in /var/lib/portbook-engine, and the last of its users stops it: each user holds a shared lock, which the
kernel drops even for a killed process, and whoever can turn its own into an exclusive one was the last.

    python -m deploy.engine run -- COMMAND...    holds an engine while the command runs
    python -m deploy.engine start                starts one and leaves it (until `stop`)
    python -m deploy.engine stop                 stops the one that was started so, unless somebody uses it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from deploy.waiting import wait_until

# One for the machine, not for the checkout: there is one default socket. Root's own, as starting takes root anyway.
STATE = Path("/run/portbook-engine")
DATA = Path("/var/lib/portbook-engine")  # not in a checkout: one may go while the engine serves another
START_DEADLINE = 60.0
STOP_DEADLINE = 30.0


class EngineUnavailable(Exception):
    """No Docker engine answers and none can be started here; the text says what to do."""


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """Holds a running engine: the one that answers, or one of ours, which the last holder stops."""
    users = _join()
    try:
        yield
    finally:
        if users is not None:
            _leave(users)


def keep() -> None:
    """Lets our engine run on when its last user leaves, until stop()."""
    if our_pid() is not None:
        (STATE / "kept").touch()


def stop() -> str:
    """Ends what keep() asked for; returns what came of it as a sentence."""
    if our_pid() is None:
        return "no engine of ours is running"
    (STATE / "kept").unlink(missing_ok=True)
    with _exclusive():
        users = _open(STATE / "users")
        fcntl.flock(users, fcntl.LOCK_SH)
    _leave(users)
    return "it is in use; its last user stops it" if our_pid() is not None else "stopped"


def answers() -> bool:
    """Whether the engine that DOCKER_HOST or the default socket names answers."""
    if not os.environ.get("DOCKER_HOST") and not listens("/var/run/docker.sock"):
        return False  # the library would leave its socket unclosed
    try:
        client = docker.from_env(timeout=5)
    except (DockerException, RequestException):
        return False
    try:
        return bool(client.ping())
    except (APIError, DockerException, RequestException):
        return False
    finally:
        client.close()


def listens(path: str) -> bool:
    """Whether anything answers at a socket's path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


# --- who uses it ---------------------------------------------------------------------------------------------------


def _join() -> int | None:
    """Makes sure that an engine runs. Returns our share in it, or None for an engine that is not ours to stop."""
    if "DOCKER_HOST" in os.environ or os.geteuid() != 0:
        if answers():
            return None
        where = os.environ.get("DOCKER_HOST", "the default socket")
        raise EngineUnavailable(
            f"no Docker engine answers at {where}: start it, or run this as root without DOCKER_HOST"
        )
    with _exclusive():
        if our_pid() is None:
            if answers():
                return None
            _start()
        elif not answers():
            # Ours, but it hangs, or somebody killed a part of it.
            _stop_process()
            _start()
        users = _open(STATE / "users")
        fcntl.flock(users, fcntl.LOCK_SH)
        return users


def _leave(users: int) -> None:
    with _exclusive():
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            last = True
        except BlockingIOError:
            last = False
        finally:
            os.close(users)
        if last and not (STATE / "kept").exists():
            _remove_containers()
            _stop_process()


@contextlib.contextmanager
def _exclusive() -> Iterator[None]:
    """One process at a time starts, joins or stops."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    lock = _open(STATE / "lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open(path: Path) -> int:
    # Python opens with O_CLOEXEC, so no child process carries a lock on.
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


# --- the process ---------------------------------------------------------------------------------------------------


def _start() -> None:
    dockerd = shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if dockerd is None:
        raise EngineUnavailable("no Docker engine answers and there is no dockerd here; run: make install")
    _forget_stale_pidfile()
    DATA.mkdir(parents=True, exist_ok=True)
    # Not the machine's daemon.json: it may set what is set here, which dockerd refuses.
    config = STATE / "daemon.json"
    config.write_text("{}\n")
    log = STATE / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [dockerd, "--config-file", str(config), "--data-root", str(DATA)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (STATE / "kept").unlink(missing_ok=True)
    (STATE / "pid").write_text(f"{process.pid} {_started_at(process.pid)}\n")

    def up() -> bool:
        if process.poll() is not None:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise EngineUnavailable(f"dockerd ended with {process.returncode}; the end of {log}:\n{tail}")
        return answers()

    try:
        wait_until(up, START_DEADLINE, f"dockerd answers (its log: {log})")
    except BaseException:
        _stop_process()
        raise
    # From a run that was killed together with its engine.
    _remove_containers()
    # It is meant to outlive this process, so nobody here waits for it; Popen would warn about that.
    process.returncode = 0


def _stop_process() -> None:
    pid = our_pid()
    if pid is not None:
        # Its containerd, which would stay behind if dockerd had to be killed.
        family = {child: _started_at(child) for child in [pid, *_children(pid)]}
        os.kill(pid, signal.SIGTERM)
        if not _gone(pid, family[pid], STOP_DEADLINE):
            for member, started in family.items():
                if _started_at(member) == started:
                    os.kill(member, signal.SIGKILL)
            _gone(pid, family[pid], STOP_DEADLINE)
    (STATE / "pid").unlink(missing_ok=True)


def _gone(pid: int, started: str, deadline_s: float) -> bool:
    until = time.monotonic() + deadline_s
    while _started_at(pid) == started:
        if time.monotonic() > until:
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # a zombie still has its entry, when it was this process that started it
        time.sleep(0.02)
    return True


def our_pid() -> int | None:
    """The pid of the dockerd that one of us started, if that very process still runs."""
    try:
        pid, started = (STATE / "pid").read_text().split()
    except (FileNotFoundError, PermissionError, ValueError):
        return None
    return int(pid) if _started_at(int(pid)) == started else None


def _started_at(pid: int) -> str:
    """A process's start time in clock ticks, which tells it from a later one with the same pid; '' for none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found


def _forget_stale_pidfile() -> None:
    """dockerd refuses to start when its pid file names any living process, even one that merely got that number."""
    pidfile = Path("/var/run/docker.pid")
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid = int(pidfile.read_text())
        command = Path(f"/proc/{pid}/comm")
        if not command.exists() or command.read_text().strip() != "dockerd":
            pidfile.unlink()


def _remove_containers() -> None:
    """Empties our own engine, so that a stop is quick and nothing comes back with the next start."""
    client: Any = docker.from_env(timeout=60)
    try:
        for container in client.api.containers(all=True):
            client.api.remove_container(container["Id"], force=True, v=True)
        client.networks.prune()
    except (APIError, DockerException, RequestException) as error:
        print(f"engine: left-over containers could not be removed: {error}", file=sys.stderr)
    finally:
        client.close()


# --- the command line ----------------------------------------------------------------------------------------------


def _run(command: list[str]) -> int:
    with engine():
        process = subprocess.Popen(command)

        def pass_on(number: int, _frame: object) -> None:
            process.send_signal(number)

        # Ctrl-C reaches the command by itself; the handlers only keep us here until it has ended.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, pass_on)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
            signal.signal(signal.SIGHUP, pass_on)
        returncode = process.wait()
    return returncode if returncode >= 0 else 128 - returncode


def main(arguments: list[str]) -> int:
    match arguments:
        case ["run", "--", *command] if command:
            return _run(command)
        case ["start"]:
            with engine():
                keep()
            ours = our_pid() is not None
            print("an engine of ours is running" if ours else "an engine runs already; it is used as it is")
            return 0
        case ["stop"]:
            print(stop())
            return 0
    print("usage: python -m deploy.engine start | stop | run -- COMMAND...", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EngineUnavailable as unavailable:
        sys.exit(f"engine: {unavailable}")
