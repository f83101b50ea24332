"""A proxy before a real Consul that counts requests and can spoil the answers."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from deploy.local import free_port, loopback_address


class ConsulProxy:
    """`with ConsulProxy(consul.address) as proxy:`; `proxy.spoil(method, path)` gives what to do instead.

    It returns None to pass the request on, (status, body) to answer so, or seconds to wait before passing it on.
    """

    def __init__(self, target: str) -> None:
        self.requests = []
        self.spoil = lambda method, path: None
        host = loopback_address()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.requests.append((self.command, self.path))
                verdict = proxy.spoil(self.command, self.path)
                if isinstance(verdict, tuple):
                    self.answer(verdict[0], verdict[1].encode())
                    return
                if verdict:
                    time.sleep(verdict)
                upstream = http.client.HTTPConnection(target, timeout=20)
                try:
                    upstream.request(self.command, self.path, body, {"Content-Type": "application/json"})
                    reply = upstream.getresponse()
                    self.answer(reply.status, reply.read())
                finally:
                    upstream.close()

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = handle_any

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer((host, free_port(host)), Handler)
        self._server.daemon_threads = True
        self.address = f"{host}:{self._server.server_port}"

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.requests if method != "GET"]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
