"""The values of the catalog that both programs speak about. No rule lives here."""

from dataclasses import dataclass
from typing import Any

# The marks by which a registration is known to be a registrar's (design section 3).
META_OWNER = "registrar-owner"
META_CONTAINER = "registrar-container"
META_HASH = "registrar-hash"


@dataclass(frozen=True, slots=True, order=True)
class Instance:
    """One address and port that offers a service, as the catalog has it.

    `address` is the service's own address, or the node's where the service has none. `container` is the id of the
    Docker container behind it, "" where the registration does not say. `status` is the worst of its checks:
    passing, warning, critical or maintenance; "" where the checks were not read. `weight` is Consul's for an instance
    that passes, 1 to 65535.
    """

    node: str
    id: str
    service: str
    address: str
    port: int
    container: str = ""
    tags: tuple[str, ...] = ()
    status: str = ""
    node_address: str = ""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class KVEntry:
    """A key of Consul's key-value store; `index` is its ModifyIndex, what a check-and-set compares with."""

    key: str
    value: bytes
    index: int


@dataclass(frozen=True, slots=True)
class FlaggedKey:
    """A key with the number that its writer gave it."""

    key: str
    value: bytes
    index: int
    flags: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a recursive read found, and the index it was read at."""

    index: int
    entries: tuple[KVEntry, ...]


@dataclass(frozen=True, slots=True)
class AgentService:
    """A service as a Consul agent holds it (`GET /v1/agent/services`)."""

    id: str
    name: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: tuple[tuple[str, str], ...]

    def meta_value(self, key: str) -> str:
        """The value of a metadata key, "" where it is absent."""
        return dict(self.meta).get(key, "")


# One operation of a transaction, in Consul's own JSON shape.
Operation = dict[str, dict[str, Any]]
