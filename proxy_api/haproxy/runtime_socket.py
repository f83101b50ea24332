"""The sockets of a running HAProxy: commands in, answers out. Edge.

Everything a running HAProxy is believed to serve is asked of it: the digest is its description.
"""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator

from proxy_api.core.observed import Observed, Seen
from proxy_api.core.render import DIGEST_MAP
from proxy_api.core.runtime import Command, NotApplied

SOCKET_TIMEOUT_S = 5
LOOK_TIMEOUT_S = 1  # for a question that is asked all the time: a HAProxy that hangs must not hang who asks
_POLL_S = 0.005
_HAND_OVER_S = 0.2
# `show servers state`, version 1 (management guide 9.3): admin states that keep new traffic away, and the port's place.
_OUT_OF_ROTATION = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20
_PORT_FIELD = 18
_STOPPED = "0"
_CHECK_ENABLED = 0x04


class NotRunning(NotApplied):
    """Nothing answers at HAProxy's socket."""


class Refused(NotApplied):
    """A runtime command did not do what it was to do; the text has the command and HAProxy's answer."""


class RuntimeSocket:
    """The runtime API of the worker behind one socket."""

    def __init__(self, path: str) -> None:
        self.path = path

    def serving(self) -> str | None:
        """The digest that the running worker was last brought to, "" where it has none; None where none answers.

        While a reload hands the socket over, nobody may answer for a moment: that is no reason to believe it gone.
        """
        for _ in until(_HAND_OVER_S):
            with contextlib.suppress(NotRunning):
                answer = ask(self.path, f"get map {DIGEST_MAP} digest", LOOK_TIMEOUT_S)
                found = re.search(r'value="([0-9a-f]+)"', answer)
                return found[1] if found else ""
            time.sleep(_POLL_S)
        return None

    def ask(self, command: str) -> str:
        """A command to the worker's runtime API, and its answer; raises NotRunning."""
        return ask(self.path, command)

    def execute(self, commands: Iterable[Command]) -> None:
        """Carry out runtime commands in order, over one connection; raises Refused at the first that fails."""
        with self._session() as send:
            for command in commands:
                answer = send(command.line).strip()
                if (command.ok not in answer) if command.ok else answer:
                    raise Refused(f"{command.line!r} was answered {answer[:300]!r}")

    def observe(self, backends: Iterable[str] | None, maps: Iterable[str]) -> Observed:
        """What the worker has: the servers of these backends (None: of all) and the entries of these maps."""
        servers: dict[str, dict[str, Seen]] = {}
        with self._session() as send:
            for backend in [""] if backends is None else backends:
                for line in send(f"show servers state {backend}".strip()).splitlines()[2:]:
                    field = line.split()
                    if len(field) > _PORT_FIELD:
                        servers.setdefault(field[1], {})[field[3]] = _seen(field)
            found = {}
            for name in maps:
                entries = (line.split(" ", 2) for line in send(f"show map {name}").splitlines() if line)
                found[name] = {entry[1]: entry[2] for entry in entries if len(entry) == 3}
        return Observed(servers, found)

    @contextlib.contextmanager
    def _session(self) -> Iterator[Callable[[str], str]]:
        """A connection that takes one command after another. Raises NotRunning, also where it breaks."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(SOCKET_TIMEOUT_S)
                connection.connect(self.path)

                def send(command: str) -> str:
                    connection.sendall(command.encode() + b"\n")
                    answer = bytearray()
                    while not answer.endswith(b"\n> "):
                        chunk = connection.recv(65536)
                        if not chunk:
                            raise ConnectionResetError("closed by HAProxy")
                        answer += chunk
                    return answer[:-3].decode(errors="replace")

                send("prompt")
                yield send
        except OSError as fault:
            raise NotRunning(f"{self.path}: {fault}") from None


def _seen(field: list[str]) -> Seen:
    """A line of `show servers state`, version 1 (management guide 9.3)."""
    checked = bool(int(field[13]) & _CHECK_ENABLED)
    # One that HAProxy's own checks found down is in rotation: they bring it back. Without checks nobody does.
    active = not int(field[6]) & _OUT_OF_ROTATION and (checked or field[5] != _STOPPED)
    return Seen(field[4], int(field[_PORT_FIELD]), active, int(field[7]), checked, field[5] != _STOPPED)


def until(seconds: float) -> Iterator[float]:
    """The seconds that are left, again and again, until none are."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield left


def ask(path: str, command: str, timeout: float = SOCKET_TIMEOUT_S) -> str:
    """One command over a connection of its own, and the whole answer. Raises NotRunning."""
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
