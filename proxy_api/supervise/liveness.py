"""Whether HAProxy and the writer still answer: their sockets asked all the time, without ever waiting for them. Edge.

Silence alone is no proof. A worker under full load answers late, a master that loads ten thousand services not for
seconds, and a socket whose places somebody holds never. So silence counts as a hang at once only where the process is
seen to be stopped, gone or waiting for a lock; otherwise it takes very long.
"""

import re
import select
import socket
import time
from pathlib import Path

from proxy_api.haproxy.control import Haproxy

EVERY_S = 0.5
SILENT_S = 1.0  # of a process that can be seen not to run
SILENT_LONG_S = 60.0  # of any other that answered before; a first load takes as long as it takes
_AGAIN_S = 0.1
_PATIENCE_S = 0.5


class Pulse:
    """One socket, asked again and again. `silent_s` is for how long nothing has answered.

    It adds up what was waited for, not what the clock says: of a machine that slept nothing follows.
    """

    def __init__(self, path: str, command: bytes) -> None:
        self._path, self._command = path, command
        self._connection: socket.socket | None = None
        self._since = self._due = 0.0
        self._read = b""
        self.forget()

    def forget(self) -> None:
        """Another process is behind it from now on."""
        self._drop()
        self.silent_s, self.text, self.answered = 0.0, "", False

    def register(self, poll: select.poll) -> None:
        """Have an answer wake who polls."""
        if self._connection is not None:
            poll.register(self._connection, select.POLLIN)

    def turn(self) -> None:
        """Take what has come, give up on what takes too long, and ask again when it is time."""
        now = time.monotonic()
        if self._connection is None:
            if now >= self._due:
                self._ask(now)
            return
        try:
            while chunk := self._connection.recv(65536):
                self._read += chunk
            self._answer(now) if self._read else self._silence(now, _AGAIN_S)
        except BlockingIOError:
            # The longer it is silent, the longer each question waits: who answers late is not dead.
            if now - self._since >= (patience := max(_PATIENCE_S, self.silent_s)):
                self._silence(now, patience)
        except ConnectionError:
            self._silence(now, _AGAIN_S)

    def hung(self, pid: int, locks: bool) -> str:
        """Why the process that is to answer (0: not known) counts as hung; "" where it does not. `locks` says whether
        one that is seen to wait for a lock does.
        """
        if pid and self.silent_s >= SILENT_S and (how := _standing(pid, locks)):
            return f"{pid} {how}"
        return f"has not answered for {SILENT_LONG_S:.0f} s" if self.answered and self.silent_s >= SILENT_LONG_S else ""

    def _ask(self, now: float) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(self._path)
            connection.sendall(self._command)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # nobody listens, or more have asked already than there is room for
            connection.close()
            self._silence(now, _AGAIN_S)
        else:
            self._connection, self._since = connection, now

    def _answer(self, now: float) -> None:
        self.text = self._read.decode(errors="replace")
        self.silent_s, self.answered = 0.0, True
        self._due = now + EVERY_S
        self._drop()

    def _silence(self, now: float, waited: float) -> None:
        self.silent_s += waited
        self._due = now + _AGAIN_S
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._read = None, b""


class Watchdog:
    """The pulses of master and worker, and the workers that reloads replaced."""

    def __init__(self, haproxy: Haproxy) -> None:
        self._haproxy = haproxy
        self._stopped_since: dict[int, float] = {}  # old workers
        self._master = Pulse(haproxy.master.socket, b"show proc\n")
        self._worker = Pulse(haproxy.runtime.path, b"show version\n")
        self.pulses = (self._master, self._worker)
        self._pid = 0

    def watch(self, master: int) -> None:
        """Take another HAProxy under watch."""
        self._pid = master
        for pulse in self.pulses:
            pulse.forget()

    def hung(self) -> str:
        """Why the HAProxy has to be replaced; "" where it need not. Asks for what there is to ask."""
        for pulse in self.pulses:
            pulse.turn()
        worker = re.search(r"^(\d+)\s+worker", self._master.text, re.MULTILINE)
        for name, pulse, pid in (("master", self._master, self._pid),
                                 ("worker", self._worker, int(worker[1]) if worker else 0)):
            if why := pulse.hung(pid, locks=True):
                return f"its {name} {why}"
        return ""


    def stopped_old_workers(self) -> list[int]:
        """Workers that a reload replaced and that are stopped: from HAProxy 3 on such a one keeps its share of the
        connections that come in, and nobody answers them.
        """
        _, _, old = self._master.text.partition("# old workers")
        pids = [int(pid) for pid in re.findall(r"^(\d+)\s+worker", old, re.MULTILINE)]
        now = time.monotonic()
        stopped = [pid for pid in pids if _standing(pid, locks=False) == _STOPPED and self._haproxy.master.owns(pid)]
        self._stopped_since = {pid: self._stopped_since.get(pid, now) for pid in stopped}
        return [pid for pid, since in self._stopped_since.items() if now - since >= SILENT_S]


_STOPPED = "is stopped"


def _standing(pid: int, locks: bool) -> str:
    """How a process can be seen not to run; "" where it cannot."""
    folder = Path(f"/proc/{pid}")
    try:
        # The name, in parentheses, may hold blanks and parentheses itself.
        state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "is gone"
    if state in "Tt":
        return _STOPPED
    if state in "ZXx":
        return "has ended"
    try:
        return "waits for a lock" if locks and (folder / "wchan").read_text().startswith("futex") else ""
    except OSError:
        return ""
