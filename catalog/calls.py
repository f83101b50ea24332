"""How Consul is asked: repeated where that is safe, everything that it or the library raises by one of our names.

The only importer of `consul` (python-consul2).
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import consul
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from catalog.address import Endpoint
from catalog.errors import CatalogRejected, CatalogUnavailable
from catalog.transport import READ_TIMEOUT_S, Access, Response, Transport

log = logging.getLogger("catalog")

T = TypeVar("T")

PATIENCE_S = 5.0  # a leader election takes 2 to 10 s; reads and idempotent writes wait this long for it
HANGS_S = 1.5
WAIT_S = 55  # one long poll; Consul adds up to a sixteenth of it as jitter


class Calls:
    """Calls of one process to Consul; safe to use from several threads."""

    def __init__(self, endpoints: Sequence[Endpoint], access: Access, patience_s: float) -> None:
        _refuse_other_library()
        self._transport = Transport(endpoints, access)
        self._consul = _Library(self._transport)
        self._patience_s = patience_s
        self._healthy = False  # until it has answered once: a start without Consul is told at once

    def _get(self, path: str, params: list[tuple[str, Any]], read: Callable[[Any], Any] = lambda answer: answer) -> Any:
        return self._transport.get(lambda response: read(json_of(response)), path, params)

    def _long_poll(self, path: str, params: list[tuple[str, Any]], index: int,
                   wait_s: float = WAIT_S) -> tuple[Response, int]:
        # An index of 0 or below would mean "do not wait" at best; never send one. A wait of 0 is Consul's 5 minutes.
        waiting = [("index", index), ("wait", f"{max(1, round(1000 * wait_s))}ms")] if index > 0 else []
        timeout = wait_s * 17 / 16 + 5 if waiting else READ_TIMEOUT_S
        answer, found = named(
            lambda: self._transport.get(_with_index, path, [*params, *waiting], timeout=timeout))
        # An index that went backwards belongs to another history (a restored or emptied Consul): start over.
        return answer, (found if found >= index else 0)

    def _repeat(self, call: Callable[[], T]) -> T:
        """Make a call that is safe to repeat, with patience only while Consul is believed to be well. One that hangs is
        not asked again: whoever calls has waited long enough.
        """
        began = time.monotonic()
        try:
            result = named(call)
        except CatalogUnavailable:
            if not (self._healthy and self._patience_s) or time.monotonic() - began > HANGS_S:
                self._healthy = False
                raise
            result = self._patiently(call)
        self._healthy = True
        return result

    def _patiently(self, call: Callable[[], T]) -> T:
        """Once more at once, as the fault may be that of a single connection; then again and again for a while."""
        retrying = Retrying(
            stop=stop_after_delay(self._patience_s),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            retry=retry_if_exception_type(CatalogUnavailable),
            reraise=True,
        )
        try:
            return retrying(lambda: named(call))
        except CatalogUnavailable:
            self._healthy = False
            raise


def named(call: Callable[[], T]) -> T:
    """What the library raises, as one of our own exceptions."""
    try:
        return call()
    except consul.ConsulException as fault:
        raise CatalogRejected(str(fault)) from None


class _Library:
    """python-consul2's endpoints over our transport.

    Its own `Consul` object is not built: the constructor lets CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN beat its
    arguments. An endpoint needs only these four attributes of it. The transport adds the token.
    """

    consistency = "default"
    dc = None
    token = None

    def __init__(self, transport: Transport) -> None:
        self.http = transport
        self.agent = consul.Consul.Agent(self)
        self.catalog = consul.Consul.Catalog(self)
        self.kv = consul.Consul.KV(self)
        self.txn = consul.Consul.Txn(self)


def whole(response: Response) -> Response:
    """An answer as it is."""
    return response


def json_of(response: Response) -> Any:
    """The JSON of an answer."""
    return json.loads(response.body)


def _with_index(response: Response) -> tuple[Response, int]:
    # A key that does not exist answers 404 with an index, and can be waited for.
    return response, int(response.headers["X-Consul-Index"])


def _refuse_other_library() -> None:
    """py-consul installs the same module name and sends tokens in URLs (reference/dependencies.md 1.4)."""
    try:
        version("python-consul2")
    except PackageNotFoundError:
        raise RuntimeError("the module 'consul' is not python-consul2's: uninstall py-consul, "
                           "then install python-consul2") from None
