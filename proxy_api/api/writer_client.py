"""The writer, asked from the API's process over its socket. Edge."""

import os
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from proxy_api.core import wire
from proxy_api.core.errors import Unavailable
from proxy_api.core.messages import ANSWER_S, Outcome, Report
from proxy_api.core.spec import ServiceSpec

T = TypeVar("T")

CONNECT_S = 3.0  # how long a change waits for a writer that is being started, or for a place in its queue
REPORT_S = 5.0
_POLL_S = 0.02


class WriterClient:
    """Raises ProxyError; Unavailable where there is no answer."""

    def __init__(self, configs_path: str) -> None:
        self._path = os.path.join(configs_path, wire.SOCKET)

    def change(self, service: str, spec: ServiceSpec | None, dry_run: bool) -> Outcome:
        """Make a change, or only work it out, and wait for what came of it. Answers within ANSWER_S."""
        end = time.monotonic() + ANSWER_S
        with self._connected(CONNECT_S, "; nothing was changed, ask again") as connection:
            # The writer itself gives up first, and says why.
            return _ask(connection, end - time.monotonic() - 0.5, "; what became of the change shows in the state",
                        wire.change(service, spec, dry_run), wire.to_outcome)

    def report(self, whole: bool) -> Report:
        """How the proxy stands; `whole` with each service."""
        with self._connected(0.0, "") as connection:
            return _ask(connection, REPORT_S, "", wire.report(whole), wire.to_report)

    def _connected(self, patience_s: float, consequence: str) -> socket.socket:
        until = time.monotonic() + patience_s
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(max(_POLL_S, patience_s or REPORT_S))
            try:
                connection.connect(self._path)
                return connection
            except OSError as fault:
                connection.close()
                if time.monotonic() >= until:
                    why = "does not answer" if isinstance(fault, BlockingIOError) else "is being started"
                    raise Unavailable(f"the writer {why}{consequence}") from None
            time.sleep(_POLL_S)


def _ask(connection: socket.socket, patience_s: float, consequence: str, question: bytes,
         read: Callable[[bytes], T]) -> T:
    end = time.monotonic() + patience_s
    try:
        connection.settimeout(patience_s)
        connection.sendall(question)
        connection.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while not answer.endswith(b"\n"):
            connection.settimeout(max(0.001, end - time.monotonic()))
            chunk = connection.recv(1 << 20)
            if not chunk:
                raise ConnectionResetError("closed by the writer")
            answer += chunk
        return read(bytes(answer))
    except TimeoutError:
        raise Unavailable(f"the writer has not answered for {patience_s:.0f} s{consequence}") from None
    except (OSError, ValueError, KeyError):
        raise Unavailable(f"the writer ended meanwhile{consequence}") from None
