"""A small HTTP server of this process, where a test or a bench needs an instance but no container."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from deploy.net import loopback_address


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """HAProxy's checks connect and reset; that is no news."""


class Origin:
    """`with Origin("a") as a:` answers every path on an address of its own, with its name in X-Instance."""

    def __init__(self, name: str, host: str | None = None, port: int = 0, delay_s: float = 0.0) -> None:
        self.name = name
        self.busy = 0  # requests under way
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                origin.busy += 1
                time.sleep(delay_s)
                origin.busy -= 1
                body = f"{name} {self.path}\n".encode()
                self.send_response(200)
                self.send_header("X-Instance", name)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server((host or loopback_address(), port), Handler)
        self.host, self.port = str(self._server.server_address[0]), int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
