"""Connections to Consul: opened with its TLS settings, kept for the next call, never more than a few at once. Edge."""

import os
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from catalog.address import UNIX, Endpoint
from catalog.conversation import Conversation

CONNECT_TIMEOUT_S = 2.0
# A long poll is silent for a minute, so only the kernel can tell a Consul that is cut off from one that has no news:
# a probe after 5 s of silence and every 2 s, and the connection is given up after 10 s without an answer to one.
_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000),
)


class NotConnected(Exception):
    """No connection was made, so nothing was sent. The text is a short cause."""


class Connections:
    """At most `limit` connections, whatever the number of addresses and of threads; more callers wait."""

    def __init__(self, limit: int, ca: str | bool, client_cert: tuple[str, str] | None, server_name: str = "") -> None:
        self._ca, self._client_cert, self._limit = ca, client_cert, limit
        self._server_name = server_name  # in the certificate, where it is not the host's
        self._turn = threading.Semaphore(limit)
        self._lock = threading.Lock()
        self._busy = 0
        self._idle: list[tuple[Endpoint, Conversation]] = []
        weakref.finalize(self, _close, self._idle)

    @contextmanager
    def to(self, endpoint: Endpoint) -> Iterator[Conversation]:
        """A connection for one request. Raises NotConnected."""
        with self._turn:
            with self._lock:
                self._busy += 1
            kept: list[tuple[Endpoint, Conversation]] = []
            try:
                conversation = self._kept(endpoint) or self._opened(endpoint)
                try:
                    yield conversation
                finally:
                    if conversation.reusable:
                        kept.append((endpoint, conversation))
                    else:
                        conversation.close()
            finally:
                with self._lock:
                    self._busy -= 1
                    self._idle += kept

    def _kept(self, endpoint: Endpoint) -> Conversation | None:
        """Of those that are still open, the one that was used last."""
        while True:
            with self._lock:
                place = next((n for n in reversed(range(len(self._idle))) if self._idle[n][0] == endpoint), None)
                if place is None:
                    return None
                _, conversation = self._idle.pop(place)
            if conversation.is_open:
                return conversation
            conversation.close()

    def _opened(self, endpoint: Endpoint) -> Conversation:
        with self._lock:
            # Those that are kept for another address make room.
            surplus = [self._idle.pop(0) for _ in range(self._busy + len(self._idle) - self._limit)]
        _close(surplus)
        try:
            return Conversation(self._connection(endpoint))
        except TimeoutError:
            raise NotConnected(f"no connection within {CONNECT_TIMEOUT_S:.0f} s") from None
        except (OSError, UnicodeError) as fault:  # a name that is none is a UnicodeError
            raise NotConnected(_cause(fault)) from None

    def _connection(self, endpoint: Endpoint) -> socket.socket:
        if endpoint.scheme == UNIX:
            return _socket(endpoint.host)
        # The files are read for each connection: they may have been renewed since the last one.
        context = self._tls() if endpoint.scheme == "https" else None
        connection = socket.create_connection((endpoint.host, endpoint.port), CONNECT_TIMEOUT_S)
        try:
            for option in _OPTIONS:
                connection.setsockopt(*option)
            name = self._server_name or endpoint.host
            return context.wrap_socket(connection, server_hostname=name) if context else connection
        except BaseException:
            connection.close()
            raise

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        if isinstance(self._ca, str):
            with _naming(self._ca):
                context.load_verify_locations(**{"capath" if os.path.isdir(self._ca) else "cafile": self._ca})
        elif self._ca:
            context.load_default_certs()
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self._client_cert:
            certificate, key = self._client_cert
            with _naming(f"{certificate} or {key}"):
                # Without the last one, OpenSSL would ask at the terminal for the passphrase of a key that has one.
                context.load_cert_chain(certificate, key, password=lambda: "")
        return context


def _socket(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _close(connections: Sequence[tuple[Endpoint, Conversation]]) -> None:
    for _, conversation in connections:
        conversation.close()


@contextmanager
def _naming(files: str) -> Iterator[None]:
    """OpenSSL's complaints do not say which file they are about."""
    try:
        yield
    except OSError as fault:
        raise NotConnected(f"{files} cannot be used: {fault.strerror or fault}") from None


def _cause(fault: OSError | UnicodeError) -> str:
    if isinstance(fault, ssl.SSLError):
        detail = getattr(fault, "verify_message", "") or fault.reason or ""
        return f"TLS could not be agreed on (certificate, CA or protocol): {detail}".removesuffix(": ")
    if isinstance(fault, socket.gaierror | UnicodeError):
        return "the name does not resolve"
    if isinstance(fault, ConnectionRefusedError):
        return "connection refused"
    return fault.strerror or type(fault).__name__
