"""/health, /ready, /metrics and /containers over HTTP, in threads of their own."""

import json
import socket
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from registrar.core.grammar import is_ipv6
from registrar.status.journal import Journal, described
from registrar.status.lasting import LastingThread

PATHS = ["/containers", "/health", "/metrics", "/ready"]
Answer = tuple[int, str, bytes]


class StatusServer(ThreadingHTTPServer):
    """Answers what `health`, `ready` and the registry say at that moment."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], ill: Callable[[], Mapping[str, str]],
                 unready: Callable[[], Mapping[str, str]], registry: CollectorRegistry,
                 containers: Callable[[], str | None], journal: Journal) -> None:
        self._journal = journal
        self._ill, self._unready, self._registry, self._containers = ill, unready, registry, containers
        self.address_family = socket.AF_INET6 if is_ipv6(address[0]) else socket.AF_INET
        super().__init__(address, _Handler)

    def start(self) -> None:
        self._thread = _Answering(self, self._journal)
        self._thread.start()

    def service_actions(self) -> None:
        self._thread.works()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked has gone, which is no news; or a defect of ours."""
        fault = sys.exception()
        if fault is not None and not isinstance(fault, OSError):
            self._journal.error("http-failed", why=described(fault))

    def safe_answer(self, path: str) -> Answer:
        """The answer, also where it cannot be made."""
        try:
            return self.answer(path)
        except Exception as fault:
            self._journal.error("http-failed", path=path, why=described(fault))
            return 500, "application/json", _json({"status": "failed", "reasons": {"defect": described(fault)}})

    def answer(self, path: str) -> Answer:
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path == "/health":
            ill = dict(self._ill())
            said: dict[str, object] = {"status": "stuck", "reasons": ill} if ill else {"status": "ok"}
            return (503 if ill else 200), "application/json", _json(said)
        if path == "/ready":
            reasons = dict(self._unready())
            body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
            return (503 if reasons else 200), "application/json", _json(body)
        if path == "/containers":
            text = self._containers()
            body = {"status": "not ready", "reasons": dict(self._unready())}
            return (503, "application/json", _json(body)) if text is None else (200, "application/json", text.encode())
        return 404, "application/json", _json({"status": "not found", "paths": PATHS})


class _Answering(LastingThread):
    """Takes the connections."""

    def __init__(self, server: StatusServer, journal: Journal) -> None:
        super().__init__("http", journal)
        self._server = server

    def work(self) -> None:
        self._server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    server_version = "registrar"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        assert isinstance(self.server, StatusServer)
        status, kind, body = self.server.safe_answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged; they come every few seconds from a monitor."""


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"
