"""Consul's key-value store, and the sessions' hold on its keys."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from catalog import codec
from catalog.calls import WAIT_S, Calls, json_of, named
from catalog.errors import CatalogUnavailable
from catalog.model import FlaggedKey, KVEntry, Listing, Operation
from catalog.paths import key_path
from catalog.transport import Response, decoded

T = TypeVar("T")


class KeyValues(Calls):
    """Raises the exceptions of `errors`."""

    def kv_get(self, key: str) -> KVEntry | None:
        """One key; None where it does not exist. A token that may not read it raises CatalogDenied."""
        entries = self._kv(key, False, codec.from_kv)[1]
        return entries[0] if entries else None

    def kv_list(self, prefix: str) -> Listing:
        """Every key below a prefix. Empty also where the token may not read it: ask an exact key to tell."""
        return Listing(*self._kv(prefix, True, codec.from_kv))

    def _kv(self, key: str, recurse: bool, decode: Callable[[Mapping[str, Any]], T]) -> tuple[int, tuple[T, ...]]:
        """The index of a read, and its items."""
        def read(response: Response) -> tuple[int, tuple[T, ...]]:
            items = [] if response.code == 404 else json.loads(response.body)
            return int(response.headers["X-Consul-Index"]), tuple(map(decode, items or ()))
        wanted = [("consistent", "1"), *([("recurse", "1")] if recurse else ())]
        found: tuple[int, tuple[T, ...]] = self._repeat(lambda: self._transport.get(read, key_path(key), wanted))
        return found

    def wait_for_kv(self, prefix: str, index: int, wait_s: float = WAIT_S) -> int:
        """Block until a key below the prefix changes after `index` (0: do not block); the index to wait for next."""
        return self._long_poll(key_path(prefix), [("keys", "1"), ("separator", "/")], index, wait_s)[1]

    def transact(self, operations: Sequence[Operation]) -> dict[str, int]:
        """Carry out at most 64 operations, all or none; the new ModifyIndex of each key written.

        Sent once. Raises Conflict when a check failed, CatalogRejected when Consul refused it for good, and
        CatalogUnavailable when the outcome is not known: read the keys again to learn it.
        """
        try:
            found: dict[str, int] = named(lambda: decoded(_indexes, self._consul.txn.put(list(operations))))
        except CatalogUnavailable:
            self._healthy = False
            raise
        return found

    def kv_acquire(self, key: str, session: str) -> bool:
        """Let a session hold a key; False where another one has it."""
        return bool(self._repeat(lambda: self._transport.put(json_of, key_path(key), [("acquire", session)])))

    def kv_holder(self, key: str) -> str:
        """The session that holds a key; "" where it does not exist, or nobody does."""
        sessions = self._kv(key, False, lambda item: str(item.get("Session") or ""))[1]
        return sessions[0] if sessions else ""

    def kv_keys(self, prefix: str) -> frozenset[str]:
        """The keys below a prefix, without their values."""
        found = self._repeat(lambda: self._transport.get(
            lambda response: [] if response.code == 404 else json.loads(response.body), key_path(prefix),
            [("keys", "1")]))
        return frozenset(found)

    def kv_flagged(self, prefix: str) -> tuple[FlaggedKey, ...]:
        """Every key below a prefix with its flags. Empty also where the token may not read it."""
        def read(item: Mapping[str, Any]) -> FlaggedKey:
            entry = codec.from_kv(item)
            return FlaggedKey(entry.key, entry.value, entry.index, int(item.get("Flags") or 0))
        return self._kv(prefix, True, read)[1]


def _indexes(answer: Mapping[str, Any]) -> dict[str, int]:
    """The new ModifyIndex of each key, of the answer to a transaction."""
    return {r["KV"]["Key"]: int(r["KV"]["ModifyIndex"]) for r in answer.get("Results") or () if r.get("KV")}
