"""The one door to Consul.

Values in, values out; every failure is one of `catalog.errors`. Reads and idempotent writes are repeated with jitter
for a few seconds while Consul cannot answer; a transaction is sent once, because its outcome may be unknown.
"""

from collections.abc import Mapping, Sequence

from catalog.address import Endpoint, parse_endpoints
from catalog.agent import Agent
from catalog.calls import PATIENCE_S
from catalog.catalog_reads import CatalogReads
from catalog.external_nodes import ExternalNodes
from catalog.key_values import KeyValues
from catalog.transport import Access


class ConsulClient(CatalogReads, KeyValues, Agent, ExternalNodes):
    """Consul's HTTP API as this project uses it. One per process; safe to use from several threads."""

    def __init__(self, endpoints: Sequence[Endpoint], access: Access | None = None,
                 patience_s: float = PATIENCE_S) -> None:
        super().__init__(endpoints, access or Access(), patience_s)
        self._nodes = {}
        self._left_out = set()

    @classmethod
    def from_environ(cls, address: str, environ: Mapping[str, str], patience_s: float = PATIENCE_S) -> "ConsulClient":
        """A client for `host:port` or URLs, with Consul's usual environment variables for access."""
        scheme = "https" if environ.get("CONSUL_HTTP_SSL", "").lower() in ("true", "1", "t") else "http"
        return cls(parse_endpoints(address, scheme), Access.from_environ(environ), patience_s)
