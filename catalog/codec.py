"""Consul's JSON turned into the values of `model`, and operations of a transaction built. Pure.

Field names are Consul's HTTP API of 1.8 (catalog, health, agent, kv, txn).
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from catalog.model import META_CONTAINER, AgentService, Instance, KVEntry, Operation

# What Consul takes at most: bytes of a value and of a whole transaction (kv_max_value_size, txn_max_req_len), and
# operations of a transaction.
MAX_VALUE_BYTES = 512 * 1024
MAX_OPERATIONS = 64

# Worst first: a service is as bad as its worst check.
_STATUS_ORDER = ("maintenance", "critical", "warning", "passing")


def status_of(checks: Iterable[Mapping[str, Any]]) -> str:
    """The worst status among a service's checks; no check at all counts as passing, as Consul has it."""
    found = {
        "maintenance" if str(c.get("CheckID", "")).startswith(("_node_maintenance", "_service_maintenance"))
        else str(c.get("Status", "critical"))
        for c in checks
    }
    return next((s for s in _STATUS_ORDER if s in found), "passing")


def from_health(entry: Mapping[str, Any]) -> Instance:
    """An item of `GET /v1/health/service/NAME`."""
    node, service = entry["Node"], entry["Service"]
    return _instance(node["Node"], node.get("Address") or "", service, service["Service"],
                     status_of(entry.get("Checks") or ()))


def from_node(answer: Mapping[str, Any]) -> tuple[Instance, ...]:
    """Every service of `GET /v1/catalog/node/NODE`; checks are not part of that answer."""
    node = answer["Node"]
    return tuple(
        _instance(node["Node"], node.get("Address") or "", service, service["Service"], "")
        for service in (answer.get("Services") or {}).values()
    )


def _instance(node: str, node_address: str, service: Mapping[str, Any], name: str, status: str) -> Instance:
    return Instance(
        node=node,
        id=service["ID"],
        service=name,
        # An empty service address means the node's own (Consul, "Catalog Register Entity").
        address=service.get("Address") or node_address,
        port=_port(service),
        container=(service.get("Meta") or {}).get(META_CONTAINER, ""),
        tags=tuple(service.get("Tags") or ()),
        status=status,
        node_address=node_address,
        weight=max(1, int((service.get("Weights") or {}).get("Passing") or 1)),
    )


def _port(service: Mapping[str, Any]) -> int:
    """A service's port; of several (Consul 1.22, `Ports`), the default one. 0 where it has none."""
    if port := int(service.get("Port") or 0):
        return port
    ports = service.get("Ports") or ()
    return next((int(p["Port"]) for p in ports if p.get("Default")), 0)


def from_agent(services: Mapping[str, Mapping[str, Any]]) -> dict[str, AgentService]:
    """The answer of `GET /v1/agent/services`, by service id."""
    return {
        key: AgentService(
            id=s["ID"],
            name=s["Service"],
            address=s.get("Address") or "",
            port=int(s.get("Port") or 0),
            tags=tuple(s.get("Tags") or ()),
            meta=tuple(sorted((s.get("Meta") or {}).items())),
        )
        for key, s in services.items()
    }


def from_kv(item: Mapping[str, Any]) -> KVEntry:
    """An item of `GET /v1/kv/…`."""
    return KVEntry(item["Key"], base64.b64decode(item.get("Value") or ""), int(item["ModifyIndex"]))


def kv_cas(key: str, value: bytes, index: int) -> Operation:
    """Write a key if its ModifyIndex is still `index`; 0 means that it must not exist."""
    return {"KV": {"Verb": "cas", "Key": key, "Value": base64.b64encode(value).decode(), "Index": index}}


def kv_set(key: str, value: bytes) -> Operation:
    """Write a key whatever it holds."""
    return {"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode()}}


def kv_check(key: str, index: int) -> Operation:
    """Let the transaction fail unless the key's ModifyIndex is `index`."""
    return {"KV": {"Verb": "check-index", "Key": key, "Index": index}}


def kv_check_absent(key: str) -> Operation:
    """Let the transaction fail if the key exists."""
    return {"KV": {"Verb": "check-not-exists", "Key": key}}


def kv_delete(key: str) -> Operation:
    """Delete one key, whether it exists or not."""
    return {"KV": {"Verb": "delete", "Key": key}}
