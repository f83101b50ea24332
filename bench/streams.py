"""Connections that outlive every change: a download that takes the whole run, and a WebSocket that never rests."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import re
import secrets
import socket
import socketserver
import struct
import threading
import time
from typing import Self

from deploy.local import loopback_address

_CHUNK = 1024
_PACE_S = 0.02
_ECHO_TEXT = 0x81  # one whole text message (RFC 6455, 5.2)
_MASKED = 0x80
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class StreamOrigin:
    """`/download` sends pieces of a known sequence until it is told to end; `/echo` is a WebSocket that answers."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.sent = 0
        origin = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    request = b""
                    while not request.endswith(b"\r\n\r\n"):
                        line = self.rfile.readline()
                        if not line:
                            return  # a check that connects and goes
                        request += line
                    if b"upgrade: websocket" in request.lower():
                        origin._echo(self.connection, request)
                    else:
                        origin._download(self.connection)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server((loopback_address(), 0), Handler)
        self.host, self.port = str(self._server.server_address[0]), int(self._server.server_address[1])

    def _download(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        n = 0
        while not self.end.wait(_PACE_S):
            connection.sendall(b"%x\r\n%b\r\n" % (_CHUNK, piece(n)))
            n += 1
        self.sent = n
        connection.sendall(b"0\r\n\r\n")

    @staticmethod
    def _echo(connection: socket.socket, request: bytes) -> None:
        key = re.findall(rb"(?i)^sec-websocket-key: *(\S+)", request, re.MULTILINE)[0]
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # HAProxy compares it too
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                           b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept)
        while frame := _read_frame(connection):
            connection.sendall(bytes((_ECHO_TEXT, len(frame))) + frame)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.end.set()
        self._server.shutdown()
        self._server.server_close()


class Download:
    """Reads `/download` as it comes and compares every byte."""

    def __init__(self, address: str, port: int, path: str) -> None:
        self._target, self._path = (address, port), path
        self.received = 0
        self.fault = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        connection = http.client.HTTPConnection(*self._target, timeout=30)
        try:
            connection.request("GET", self._path)
            answer = connection.getresponse()
            if answer.status != 200:
                self.fault = f"status {answer.status}"
            while not self.fault and (found := answer.read(_CHUNK)):
                if found != piece(self.received):
                    self.fault = f"piece {self.received} has other bytes"
                self.received += 1
        except (OSError, http.client.HTTPException) as error:
            self.fault = f"{type(error).__name__} after {time.monotonic() - began:.0f} s"
        finally:
            connection.close()

    def finish(self, sent: StreamOrigin) -> str:
        """What went wrong, "" when it is byte for byte what was sent."""
        sent.end.set()
        self._thread.join(40)
        return self.fault or ("" if self.received == sent.sent else f"{self.received} of {sent.sent} pieces")


class WebSocket:
    """Sends a message every so often on one connection, and wants it back."""

    def __init__(self, address: str, port: int, path: str) -> None:
        self._target, self._path = (address, port), path
        self.echoed = 0
        self.fault = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            with socket.create_connection(self._target, 10) as connection:
                connection.sendall((
                    f"GET {self._path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyEhIQ==\r\n\r\n").encode())
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    got = connection.recv(1)
                    if not got:
                        break
                    head += got
                if b" 101 " not in head.partition(b"\r\n")[0]:
                    self.fault = f"the upgrade was answered {head[:100]!r}"
                while not self.fault and not self._stop.wait(_PACE_S):
                    message = f"message {self.echoed}".encode()
                    mask = secrets.token_bytes(4)
                    connection.sendall(bytes((_ECHO_TEXT, _MASKED | len(message))) + mask + _mask(message, mask))
                    if (back := _read_frame(connection)) != message:
                        self.fault = f"{back!r} came back for {message!r} after {time.monotonic() - began:.0f} s"
                    self.echoed += 1
        except OSError as error:
            self.fault = f"{type(error).__name__} after {time.monotonic() - began:.0f} s"

    def finish(self) -> str:
        """What went wrong, "" when every message came back."""
        self._stop.set()
        self._thread.join(15)
        return self.fault or ("" if self.echoed else "not one message came back")


def piece(n: int) -> bytes:
    """The n-th piece of the download: no two are alike."""
    return struct.pack(">Q", n) * (_CHUNK // 8)


def _read_frame(connection: socket.socket) -> bytes:
    """The text of a small frame; b"" at the end of the connection."""
    head = _exactly(connection, 2)
    if len(head) < 2:
        return b""
    length = head[1] & ~_MASKED
    mask = _exactly(connection, 4) if head[1] & _MASKED else bytes(4)
    return _mask(_exactly(connection, length), mask)


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        got = connection.recv(length - len(found))
        if not got:
            break
        found += got
    return found


def _mask(text: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[n % 4] for n, byte in enumerate(text))
