"""One HTTP conversation with Consul: time-outs, the token in a header, several addresses, statuses as exceptions.

It has the shape that python-consul2 expects of its HTTP client (get, put, delete, post with a callback) and stands in
for the library's own, which has no time-outs, follows HTTP_PROXY and lets environment variables beat arguments
(reference/dependencies.md 1.3). What the answers mean is `consul_client`'s business.
"""

import base64
import http.client
import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import RemoteDisconnected
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from urllib3.exceptions import HTTPError, IncompleteRead, ReadTimeoutError
from urllib3.util import Timeout

from catalog.address import UNIX, Endpoint, verifies
from catalog.connections import CONNECT_TIMEOUT_S, NotConnected, Opener, Pools
from catalog.errors import CatalogDenied, CatalogError, CatalogRejected, CatalogUnavailable, Conflict
from catalog.paths import Path

MAX_CONNECTIONS = 4  # per process (design section 5)
READ_TIMEOUT_S = 4.0  # of one request, whatever the number of addresses; long polls say how long they take
MIN_TIMEOUT_S = 0.2

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
    server_name: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Access":
        """Consul's own environment variables, as its command line reads them."""
        cert, key = environ.get("CONSUL_CLIENT_CERT", ""), environ.get("CONSUL_CLIENT_KEY", "")
        return cls(
            token=environ.get("CONSUL_HTTP_TOKEN", ""),
            token_file=environ.get("CONSUL_HTTP_TOKEN_FILE", ""),
            basic_auth=environ.get("CONSUL_HTTP_AUTH", ""),
            ca=(environ.get("CONSUL_CACERT") or environ.get("CONSUL_CAPATH") or True) if verifies(environ) else False,
            client_cert=(cert, key) if cert and key else None,
            server_name=environ.get("CONSUL_TLS_SERVER_NAME", ""),
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
            return _sendable(self._token)
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
        return _sendable(self._token)


def _sendable(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise CatalogDenied("the token holds characters that no token has: is it the right text, or the right file?")
    return token


class Transport:
    """python-consul2's HTTP client, ours. Safe to use from several threads.

    Raises CatalogUnavailable, CatalogDenied, CatalogRejected or Conflict; a 404 goes to the callback.
    """

    def __init__(self, endpoints: Sequence[Endpoint], access: Access) -> None:
        self._endpoints = tuple(endpoints)
        self._working = 0
        self._token = TokenSource(access)
        self._basic = base64.b64encode(access.basic_auth.encode()).decode()
        self._pools = Pools(MAX_CONNECTIONS, Opener(access.ca, access.client_cert, access.server_name))

    def get(self, callback: Callable[[Response], Any], path: str, params: Params = None, headers: Any = None,
            timeout: float = READ_TIMEOUT_S) -> Any:
        return decoded(callback, self.request("GET", path, params, timeout=timeout))

    def put(self, callback: Callable[[Response], Any], path: str, params: Params = None, data: str | bytes = "",
            headers: Any = None) -> Any:
        return decoded(callback, self.request("PUT", path, params, data))

    def delete(self, callback: Callable[[Response], Any], path: str, params: Params = None, data: str | bytes = "",
               headers: Any = None) -> Any:
        return decoded(callback, self.request("DELETE", path, params, data))

    def post(self, callback: Callable[[Response], Any], path: str, params: Params = None, headers: Any = None,
             data: str | bytes = "") -> Any:
        return decoded(callback, self.request("POST", path, params, data))

    def request(self, method: str, path: str, params: Params = None, data: str | bytes = "",
                timeout: float = READ_TIMEOUT_S) -> Response:
        """One request, tried at each address in turn, beginning with the one that answered last, for `timeout` seconds
        altogether.

        A write moves on to the next address only where the last one did nothing: a write that was sent may have been
        carried out, and is not sent twice from here.
        """
        until = time.monotonic() + timeout
        target = (path if isinstance(path, Path) else quote(path, safe="/:")) + _query(params)
        body = data.encode() if isinstance(data, str) else data
        faults: list[str] = []
        first = self._working
        for turn in range(len(self._endpoints)):
            position = (first + turn) % len(self._endpoints)
            # Each address that is left gets its share of the time, the last one all of it.
            left = until - time.monotonic()
            share = left / (len(self._endpoints) - turn) if timeout <= READ_TIMEOUT_S else left
            if left <= 0:
                break
            endpoint = self._endpoints[position]
            try:
                headers = self._headers(endpoint)
                with self._pools.to(endpoint) as pool:
                    answer = pool.urlopen(
                        method, target, body or None, headers, retries=False, redirect=False, assert_same_host=False,
                        timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=max(share, MIN_TIMEOUT_S)))
                content = answer.data
            except NotConnected as fault:
                faults.append(f"{endpoint.url}: {fault}")
            except (OSError, HTTPError) as fault:
                faults.append(f"{endpoint.url}: {_plain(fault)}")
                if method != "GET":
                    break
            else:
                text = content.decode("utf-8", "replace")
                try:
                    found = _judge(Response(answer.status, answer.headers, text, content), endpoint, method, path)
                except CatalogUnavailable as fault:
                    # This one has no leader, or no room: another may. A write may have been carried out all the same.
                    faults.append(str(fault))
                    if method != "GET" and not _has_refused(text):
                        break
                    continue
                self._working = position
                return found
        raise CatalogUnavailable("; ".join(faults))

    def _headers(self, endpoint: Endpoint) -> dict[str, str]:
        host = "localhost" if endpoint.scheme == UNIX else endpoint.url.partition("://")[2]
        headers = {"Host": host, "User-Agent": "portbook"}
        if token := self._token():
            headers["X-Consul-Token"] = token
        if self._basic:
            headers["Authorization"] = f"Basic {self._basic}"
        return headers


def decoded(read: Callable[[Any], Any], answer: Any) -> Any:
    """What `read` makes of an answer. Where that is other than an answer is, it is Consul's fault and not ours: raises
    CatalogUnavailable. This alone is to say so; whatever else raises is a defect.
    """
    try:
        return read(answer)
    except CatalogError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as fault:
        raise CatalogUnavailable(f"Consul's answer could not be read: {type(fault).__name__}") from fault


def _has_refused(text: str) -> bool:
    """Whether an answer of 5xx says that nothing was done."""
    return "No cluster leader" in text or "rate limit" in text.lower()


def _query(params: Params) -> str:
    pairs = params.items() if isinstance(params, Mapping) else params or ()
    given = [(name, value) for name, value in pairs if value is not None]
    return f"?{urlencode(given)}" if given else ""


def _plain(fault: BaseException) -> str:
    """A short cause. urllib3 wraps what the connection raised."""
    causes = [fault, *(arg for arg in fault.args if isinstance(arg, BaseException))]
    if isinstance(fault, ReadTimeoutError) or any(isinstance(cause, TimeoutError) for cause in causes):
        return "no answer in time"
    for cause in causes[::-1]:
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or cause.strerror}"
        if isinstance(cause, RemoteDisconnected):
            return "connection closed without an answer"
        if isinstance(cause, IncompleteRead | http.client.IncompleteRead):
            return "connection closed in the middle of an answer"
        if isinstance(cause, http.client.HTTPException):
            return "its answer is not HTTP"
        if isinstance(cause, ConnectionResetError):
            return "connection reset"
        if isinstance(cause, OSError):
            return cause.strerror or type(cause).__name__
    return "its answer is not HTTP"


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
    # Consul 1.21.5 says of a key's name that it does not take it in a 500, later ones in a 400.
    if (code == 429 or code >= 500) and "invalid key name" not in said:
        raise CatalogUnavailable(text)
    raise CatalogRejected(text)
