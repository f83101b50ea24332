"""Consul's key-value store in the place of an agent, as Registrator's consulkv has it: `PREFIX/name/id` = `ip:port`.

There is no place for tags, metadata or checks, and none for an owner's mark but the number that a key carries: it is
made of the node id, so that nobody removes what another one wrote. What is about to stop is taken out, as there is
no maintenance either.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from catalog.errors import CatalogRejected, Conflict
from catalog.model import META_OWNER, AgentService, FlaggedKey, Operation
from registrar.core.grammar import join_host_port


class Store(Protocol):
    """What this needs of `catalog.consul_client.ConsulClient`."""

    def agent_self(self) -> Mapping[str, Any]: ...
    def kv_flagged(self, prefix: str) -> Sequence[FlaggedKey]: ...
    def transact(self, operations: Sequence[Operation]) -> dict[str, int]: ...


class KeyValue:
    """An agent as `shell.protocols.Agent` has it, made of the keys below `prefix`."""

    def __init__(self, store: Store, prefix: str, owner: Callable[[], str]) -> None:
        self._store, self._prefix, self._owner = store, prefix.strip("/"), owner
        self._keys: dict[str, FlaggedKey] = {}  # by service id
        self._written: dict[str, AgentService] = {}

    def agent_self(self) -> Mapping[str, Any]:
        return self._store.agent_self()

    def has_leader(self) -> bool:
        """Without one, reading would have failed already."""
        return True

    def agent_services(self) -> dict[str, AgentService]:
        self._keys, found = {}, {}
        for item in self._store.kv_flagged(f"{self._prefix}/"):
            name, sign, service_id = item.key.removeprefix(f"{self._prefix}/").partition("/")
            address, _, port = item.value.decode(errors="replace").rpartition(":")
            if sign and service_id and port.isdecimal():
                self._keys[service_id] = item
                found[service_id] = self._entry(service_id, name, address, int(port), item)
        return found

    def _entry(self, service_id: str, name: str, address: str, port: int, item: FlaggedKey) -> AgentService:
        mine = item.flags == _flags(self._owner())
        known = self._written.get(service_id)
        # The rest of what was written is not in the store: it stands as long as what is there does.
        if known and mine and item.key == self._key(known) and item.value == _value(known):
            return known
        marks = ((META_OWNER, self._owner()),) if mine else ()
        return AgentService(service_id, name, address.strip("[]"), port, (), marks)

    def agent_service(self, service_id: str) -> AgentService | None:
        return self.agent_services().get(service_id)

    def agent_checks(self) -> Mapping[str, Mapping[str, Any]]:
        return {}

    def agent_register(self, body: Mapping[str, Any], replace_checks: bool = True) -> None:
        entry = AgentService(body["ID"], body["Name"], body["Address"], body["Port"], tuple(body["Tags"]),
                             tuple(sorted(body["Meta"].items())))
        if "/" in entry.name:
            raise CatalogRejected(f"the name {entry.name!r} has a slash, which separates names from ids in the store")
        old, key, value = self._keys.get(entry.id), self._key(entry), _value(entry)
        operations: list[Operation] = []
        if old and old.key != key:
            operations.append(_delete(old))
        if not (old and (old.key, old.value, old.flags) == (key, value, _flags(self._owner()))):
            operations.append({"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode(),
                                      "Flags": _flags(self._owner())}})
        index = self._store.transact(operations).get(key, 0) if operations else old.index if old else 0
        self._keys[entry.id] = FlaggedKey(key, value, index, _flags(self._owner()))
        self._written[entry.id] = entry

    def agent_deregister(self, service_id: str) -> None:
        old = self._keys.pop(service_id, None)
        self._written.pop(service_id, None)
        if old:
            try:
                self._store.transact([_delete(old)])
            except Conflict:
                pass  # somebody has written it since: it is theirs, or the next pass sees it

    def agent_check_register(self, body: Mapping[str, Any]) -> None:
        """There are no checks."""

    def agent_check_deregister(self, check_id: str) -> None:
        """There are no checks."""

    def agent_check_update(self, check_id: str, status: str, output: str) -> None:
        """There are no checks."""

    def agent_maintenance(self, service_id: str, reason: str) -> None:
        raise CatalogRejected("the key-value store has no maintenance: stop the container, or use consul://")

    def _key(self, entry: AgentService) -> str:
        return f"{self._prefix}/{entry.name}/{entry.id}"


def _value(entry: AgentService) -> bytes:
    return join_host_port(entry.address, entry.port).encode()


def _flags(owner: str) -> int:
    return int.from_bytes(hashlib.sha256(owner.encode()).digest()[:7], "big")


def _delete(item: FlaggedKey) -> Operation:
    return {"KV": {"Verb": "delete-cas", "Key": item.key, "Index": item.index}}
