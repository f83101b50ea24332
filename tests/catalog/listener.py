"""A server of the tests' own that says what it was asked, how often it was connected to, and can hang up."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

from catalog.address import Endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Listener:
    """`answer` gets each request's bytes and gives what to say; b"" hangs up."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda request: OK,
                 tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connected = self.open = self.most = 0
        self._answer, self._tls = answer, tls
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("https" if self._tls else "http", "127.0.0.1", self.port)

    def hang_up(self) -> None:
        """Close what is open, as a server does that is restarted."""
        while self._connections:
            with contextlib.suppress(OSError), self._connections.pop() as connection:
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self.hang_up()

    def refuse(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError), self._server:
            self._server.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.connected += 1
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._connections.append(connection)
            with connection:
                while request := _request(connection):
                    self.requests.append(request)
                    answer = self._answer(request)
                    if not answer:
                        return
                    connection.sendall(answer)
        except OSError:
            pass
        finally:
            with self._lock:
                self.open -= 1


def _request(connection: socket.socket) -> bytes:
    """The bytes of one request; b"" where the peer has hung up."""
    said = b""
    while True:
        head, end, body = said.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        if end and len(body) >= int(length[1] if length else 0):
            return said
        if not (more := connection.recv(65536)):
            return b""
        said += more
