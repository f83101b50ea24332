"""Between the API's process and the writer's: calls over a Unix socket, a connection for each. Edge.

Both ends are one program of one version, and only its user may open the socket: what goes over is pickled.
"""

import logging
import os
import pickle
import socket
import socketserver
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from proxy_api.core.errors import ProxyError, Unavailable
from proxy_api.core.messages import CALL_TIMEOUT_S, Outcome, Report
from proxy_api.core.spec import ServiceSpec

log = logging.getLogger("proxy-api")

START_S = 5.0  # how long a change waits for a writer that is being started
REPORT_S = 5.0
CHANGE_S = CALL_TIMEOUT_S + 10  # the writer itself gives up first, and says why
_POLL_S = 0.02

Calls = Mapping[str, Callable[..., object]]


def path_of(configs_path: str) -> str:
    """Where the writer of a CONFIGS_PATH listens."""
    return os.path.join(configs_path, "writer.sock")


def request(name: str, *arguments: object) -> bytes:
    """A call as it goes over the socket; the end of the stream ends it."""
    return pickle.dumps((name, *arguments))


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers `calls`, each in a thread of its own. Raises OSError where the socket cannot be had."""

    daemon_threads = False  # so that the end of it waits for answers that are on their way
    request_queue_size = 128  # more than the API has threads

    def __init__(self, configs_path: str, calls: Calls) -> None:
        self.calls = calls
        path = path_of(configs_path)
        Path(path).unlink(missing_ok=True)  # of one that was killed; who is here holds the writer's lock
        super().__init__(path, _Call)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may be gone; what was asked for is done all the same."""
        log.debug("event=call-broken", exc_info=True)


class _Call(socketserver.StreamRequestHandler):
    server: Server
    timeout = REPORT_S  # for a caller that neither asks nor listens

    def handle(self) -> None:
        name, *arguments = pickle.load(self.rfile)
        self.wfile.write(_answer(self.server.calls[name], arguments))


def _answer(call: Callable[..., object], arguments: list[object]) -> bytes:
    try:
        return pickle.dumps((0, call(*arguments)))
    except ProxyError as fault:
        return pickle.dumps((fault.status, str(fault)))
    except Exception as fault:
        log.exception("event=defect")
        return pickle.dumps((ProxyError.status, f"internal error: {type(fault).__name__}"))


class Refused(ProxyError):
    """The writer's refusal, with its text and status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Link:
    """The writer, asked from another process. Raises ProxyError; Unavailable where there is no answer."""

    def __init__(self, configs_path: str) -> None:
        self._path = path_of(configs_path)

    def change(self, service: str, spec: ServiceSpec | None, dry_run: bool) -> Outcome:
        """Make a change, or only work it out, and wait for what came of it."""
        with self._connected(START_S, "; nothing was changed, ask again") as connection:
            found: Outcome = _ask(connection, CHANGE_S, "; what became of the change shows in the state",
                                  request("change", service, spec, dry_run))
            return found

    def report(self, whole: bool) -> Report:
        """How the proxy stands; `whole` with each service."""
        with self._connected(0.0, "") as connection:
            found: Report = _ask(connection, REPORT_S, "", request("report", whole))
            return found

    def _connected(self, patience_s: float, consequence: str) -> socket.socket:
        until = time.monotonic() + patience_s
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(REPORT_S)
            try:
                connection.connect(self._path)
                return connection
            except OSError as fault:
                connection.close()
                if time.monotonic() >= until:
                    why = "does not answer" if isinstance(fault, BlockingIOError) else "is being started"
                    raise Unavailable(f"the writer {why}{consequence}") from None
            time.sleep(_POLL_S)


def _ask(connection: socket.socket, patience_s: float, consequence: str, question: bytes) -> Any:
    try:
        connection.settimeout(patience_s)
        connection.sendall(question)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            status, answer = pickle.load(file)
    except TimeoutError:
        raise Unavailable(f"the writer has not answered for {patience_s:g} s{consequence}") from None
    except (OSError, EOFError, pickle.UnpicklingError):
        raise Unavailable(f"the writer ended meanwhile{consequence}") from None
    if status:
        raise Refused(status, str(answer))
    return answer
