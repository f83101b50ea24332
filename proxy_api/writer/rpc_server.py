"""The writer's end of the socket that the API asks: a connection for each call. Edge.

Only the user of the program may open the socket. What comes over it is a line of JSON, and so is what goes back.
"""

import logging
import socketserver
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from proxy_api.core import wire
from proxy_api.core.errors import ProxyError
from proxy_api.core.messages import Outcome, Report
from proxy_api.core.spec import ServiceSpec

log = logging.getLogger("proxy-api")

SILENT_S = 5.0
MAX_BYTES = 16 * 1024 * 1024  # of a question; a release does not fit into Consul long before


class Calls(Protocol):
    """Who answers. Raises ProxyError."""

    def change(self, service: str, spec: ServiceSpec | None, dry_run: bool) -> Outcome: ...
    def report(self, whole: bool) -> Report: ...


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers, each call in a thread of its own. Raises OSError where the socket cannot be had."""

    daemon_threads = False  # so that the end of it waits for answers that are on their way
    request_queue_size = 128  # more than the API has threads

    def __init__(self, configs_path: str, calls: Calls) -> None:
        self.calls = calls
        path = Path(configs_path) / wire.SOCKET
        path.unlink(missing_ok=True)  # of one that was killed; who is here holds the writer's lock
        super().__init__(str(path), _Call)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may be gone; what was asked for is done all the same."""
        log.debug("event=call-broken", exc_info=True)


class _Call(socketserver.StreamRequestHandler):
    server: Server
    timeout = SILENT_S  # for a caller that neither asks nor listens

    def handle(self) -> None:
        self.wfile.write(_answer(self.server.calls, self.rfile.readline(MAX_BYTES)))


def _answer(calls: Calls, line: bytes) -> bytes:
    def whatever() -> bytes:
        asked = wire.question(line)
        if asked["call"] == "ping":
            return wire.pong()
        if asked["call"] == "report":
            return wire.reported(calls.report(asked["whole"]))
        return wire.outcome(calls.change(asked["service"], asked["spec"], asked["dry_run"]))
    return _guarded(whatever)


def _guarded(call: Callable[[], bytes]) -> bytes:
    try:
        return call()
    except ProxyError as fault:
        return wire.refusal(fault)
    except Exception as fault:
        log.exception("event=defect")
        return wire.refusal(ProxyError(f"internal error: {type(fault).__name__}"))
