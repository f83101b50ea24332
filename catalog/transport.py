"""One HTTP conversation with Consul: time-outs, the token in a header, several addresses, statuses as exceptions.

It has the shape that python-consul2 expects of its HTTP client (get, put, delete, post with a callback) and stands in
for the library's own, which has no time-outs, follows HTTP_PROXY and lets environment variables beat arguments
(reference/dependencies.md 1.3). What the answers mean is `consul_client`'s business.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from catalog.address import Endpoint
from catalog.errors import CatalogDenied, CatalogRejected, CatalogUnavailable, Conflict

MAX_CONNECTIONS = 4  # per process (design section 5)
CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 10.0
# A long poll is silent for a minute, so only the kernel can tell a Consul that is cut off from one that has no news:
# a probe after 5 s of silence and every 2 s, and the connection is given up after 10 s without an answer to one.
_KEEP_ALIVE = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000),
)

Params = Sequence[tuple[str, Any]] | Mapping[str, Any] | None


class Response(NamedTuple):
    """An answer in the shape that python-consul2's callbacks take apart."""

    code: int
    headers: Mapping[str, str]
    body: str
    content: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """How to be let in. Never printed: it holds secrets."""

    token: str = ""
    token_file: str = ""
    basic_auth: str = ""
    ca: str | bool = True
    client_cert: tuple[str, str] | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Access":
        """Consul's own environment variables, as its command line reads them."""
        verify = environ.get("CONSUL_HTTP_SSL_VERIFY", "true").lower() not in ("false", "0", "f")
        cert, key = environ.get("CONSUL_CLIENT_CERT", ""), environ.get("CONSUL_CLIENT_KEY", "")
        return cls(
            token=environ.get("CONSUL_HTTP_TOKEN", ""),
            token_file=environ.get("CONSUL_HTTP_TOKEN_FILE", ""),
            basic_auth=environ.get("CONSUL_HTTP_AUTH", ""),
            ca=(environ.get("CONSUL_CACERT") or True) if verify else False,
            client_cert=(cert, key) if cert and key else None,
        )


class TokenSource:
    """The token to send now; a token file is read again when it changes, so that a token can be rotated."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._seen: tuple[int, int, int] | None = None
        self._token = access.token

    def __call__(self) -> str:
        path = self._access.token_file
        if not path:
            return self._token
        try:
            stat = os.stat(path)
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if mark != self._seen:
                with open(path, encoding="utf-8") as file:
                    self._token = file.read().strip()
                self._seen = mark
        except (OSError, UnicodeDecodeError) as fault:
            # A file that is being replaced may be away for a moment: the last token stays good until then.
            if self._seen is None:
                raise CatalogDenied(f"the token file {path} cannot be read: {fault}") from None
        return self._token


class _Adapter(HTTPAdapter):
    """requests' own, with connections that notice a peer that is cut off."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, socket_options=_KEEP_ALIVE, **more)


class Transport:
    """python-consul2's HTTP client, ours. Safe to use from several threads.

    Raises CatalogUnavailable, CatalogDenied, CatalogRejected or Conflict; a 404 goes to the callback.
    """

    def __init__(self, endpoints: Sequence[Endpoint], access: Access) -> None:
        self._endpoints = tuple(endpoints)
        self._working = 0
        self._token = TokenSource(access)
        self._session = requests.Session()
        self._session.trust_env = False  # HTTP_PROXY and ~/.netrc are not for this conversation
        self._session.verify = access.ca
        self._session.cert = access.client_cert
        if access.basic_auth:
            user, _, password = access.basic_auth.partition(":")
            self._session.auth = (user, password)
        adapter = _Adapter(pool_connections=len(endpoints), pool_maxsize=MAX_CONNECTIONS, pool_block=True)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def get(self, callback: Callable[[Response], Any], path: str, params: Params = None, headers: Any = None,
            timeout: float = READ_TIMEOUT_S) -> Any:
        return callback(self.request("GET", path, params, timeout=timeout))

    def put(self, callback: Callable[[Response], Any], path: str, params: Params = None, data: str | bytes = "",
            headers: Any = None) -> Any:
        return callback(self.request("PUT", path, params, data))

    def delete(self, callback: Callable[[Response], Any], path: str, params: Params = None, data: str | bytes = "",
               headers: Any = None) -> Any:
        return callback(self.request("DELETE", path, params, data))

    def post(self, callback: Callable[[Response], Any], path: str, params: Params = None, headers: Any = None,
             data: str | bytes = "") -> Any:
        return callback(self.request("POST", path, params, data))

    def request(self, method: str, path: str, params: Params = None, data: str | bytes = "",
                timeout: float = READ_TIMEOUT_S) -> Response:
        """One request, tried at each address in turn, beginning with the one that answered last.

        Only a connection that could not be made moves on to the next address for a write: a write that was sent may
        have been carried out, and is not sent twice from here.
        """
        faults: list[str] = []
        first = self._working
        for turn in range(len(self._endpoints)):
            position = (first + turn) % len(self._endpoints)
            endpoint = self._endpoints[position]
            try:
                answer = self._send(endpoint, method, path, params, data, timeout)
            except requests.exceptions.ConnectTimeout:
                faults.append(f"{endpoint.url}: no connection within {CONNECT_TIMEOUT_S:.0f} s")
            except OSError as fault:
                # requests' exceptions are OSErrors, and for a missing CA or certificate file it raises a bare one.
                faults.append(f"{endpoint.url}: {_plain(fault)}")
                if method != "GET" and not _never_sent(fault):
                    break
            else:
                self._working = position
                return _judge(answer, endpoint, method, path)
        raise CatalogUnavailable("; ".join(faults))

    def _send(self, endpoint: Endpoint, method: str, path: str, params: Params, data: str | bytes,
              timeout: float) -> Response:
        token = self._token()
        answer = self._session.request(
            method,
            endpoint.url + quote(path, safe="/:"),
            params=params,
            data=data.encode() if isinstance(data, str) else data,
            headers={"X-Consul-Token": token} if token else {},
            timeout=(CONNECT_TIMEOUT_S, timeout),
            allow_redirects=False,
        )
        answer.encoding = "utf-8"
        return Response(answer.status_code, answer.headers, answer.text, answer.content)


def _never_sent(fault: OSError) -> bool:
    return "NewConnectionError" in repr(fault) or isinstance(fault, requests.exceptions.SSLError)


def _plain(fault: OSError) -> str:
    """A short cause without the URL that requests puts into its texts."""
    text = repr(fault)
    if not isinstance(fault, requests.exceptions.RequestException):
        return str(fault)  # it names the file
    if isinstance(fault, requests.exceptions.SSLError):
        return "TLS could not be agreed on (certificate, CA or protocol)"
    if isinstance(fault, requests.exceptions.Timeout):
        return "no answer in time"
    for sign, meaning in (("refused", "connection refused"), ("Name or service", "the name does not resolve"),
                          ("resolve", "the name does not resolve"), ("reset", "connection reset"),
                          ("RemoteDisconnected", "connection closed without an answer")):
        if sign in text:
            return meaning
    return type(fault).__name__


def _judge(answer: Response, endpoint: Endpoint, method: str, path: str) -> Response:
    code = answer.code
    if code < 300 or code == 404:
        return answer
    said = " ".join(answer.body.split())[:500]
    text = f"{endpoint.url} answered {code} to {method} {path}: {said}"
    # Consul hides some refusals in a 500 (an agent that forwards a server's 403).
    if code in (401, 403) or "Permission denied" in said or "ACL not found" in said:
        raise CatalogDenied(text)
    if code == 409:
        raise Conflict(text)
    if code == 429 or code >= 500 or code < 400:
        raise CatalogUnavailable(text)
    raise CatalogRejected(text)
