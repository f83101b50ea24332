"""Connections to Consul: opened with its TLS settings, and kept for the next call in urllib3's pools. Edge."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from catalog.address import UNIX, Endpoint

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


class Opener:
    """Opens connections with these TLS settings. `server_name` is in the certificate, where that is not the host's."""

    def __init__(self, ca: str | bool, client_cert: tuple[str, str] | None, server_name: str) -> None:
        self._ca, self._client_cert, self._server_name = ca, client_cert, server_name

    def open(self, endpoint: Endpoint) -> socket.socket:
        """A new connection. Raises NotConnected."""
        try:
            return self._opened(endpoint)
        except TimeoutError:
            raise NotConnected(f"no connection within {CONNECT_TIMEOUT_S:.0f} s") from None
        except (OSError, UnicodeError) as fault:  # a name that is none is a UnicodeError
            raise NotConnected(_cause(fault)) from None

    def _opened(self, endpoint: Endpoint) -> socket.socket:
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


class Pools:
    """At most `limit` connections, whatever the number of addresses and of threads; more callers wait."""

    def __init__(self, limit: int, opener: Opener) -> None:
        self._limit, self._opener = limit, opener
        self._turn = threading.Semaphore(limit)
        self._lock = threading.Lock()
        self._pools: dict[Endpoint, HTTPConnectionPool] = {}

    @contextmanager
    def to(self, endpoint: Endpoint) -> Iterator[HTTPConnectionPool]:
        """The pool of an address, for one request. What its connections raise is NotConnected or urllib3's."""
        with self._turn:
            with self._lock:
                # Those that are kept for another address make room.
                surplus = [self._pools.pop(other) for other in list(self._pools) if other != endpoint]
                pool = self._pools.setdefault(endpoint, self._pools.get(endpoint) or self._made(endpoint))
            for other in surplus:
                other.close()
            yield pool

    def _made(self, endpoint: Endpoint) -> HTTPConnectionPool:
        opener = self._opener

        class Connection(HTTPConnection):
            """One that is opened here; TLS, if there is any, is its socket's."""

            def _new_conn(self) -> socket.socket:
                return opener.open(endpoint)

        pool: Any = HTTPConnectionPool("localhost", maxsize=self._limit, block=False)
        pool.ConnectionCls = Connection
        return pool  # type: ignore[no-any-return]


def _socket(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


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
