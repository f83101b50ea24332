"""An HTTP gate between a program and Consul: it counts requests, spoils answers, and stops at an exact step."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from deploy.local import loopback_address


class Held(Exception):
    """Raised by a hook to cut the connection without an answer."""


class Gate:
    """`with Gate("127.0.0.1:8500") as gate:` forwards to Consul.

    `before(method, path)` runs before a request is passed on, `after(method, path, status)` before its answer is
    returned. A hook may block, or raise Held. `answer(method, path)` may give (status, body) instead of Consul's.
    `requests` are those made so far, such as "GET /v1/agent/self".
    """

    def __init__(self, target: str) -> None:
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.after: Callable[[str, str, int], None] = lambda method, path, status: None
        self.answer: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
        self.requests: list[str] = []
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                gate.requests.append(f"{self.command} {self.path}")
                try:
                    gate.before(self.command, self.path)
                    own = gate.answer(self.command, self.path)
                    status, headers, text = (own[0], [], own[1].encode()) if own else self._ask(body)
                    gate.after(self.command, self.path, status)
                except (Held, OSError):
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers:
                    if name.lower().startswith("x-consul") or name.lower() == "content-type":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection(target, timeout=120)
                headers = {name: value for name, value in self.headers.items()
                           if name.lower() in ("x-consul-token", "content-type")}
                try:
                    connection.request(self.command, self.path, body or None, headers)
                    answer = connection.getresponse()
                    return answer.status, answer.getheaders(), answer.read()
                finally:
                    connection.close()

            do_GET = do_PUT = do_DELETE = do_POST = _forward

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server((loopback_address(), 0), Handler)
        self.address = "{}:{}".format(*self._server.server_address[:2])

    def writes(self) -> list[str]:
        return [request for request in self.requests if not request.startswith("GET ")]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
