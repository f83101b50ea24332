"""A Consul in memory, as `catalog.consul_client.ConsulClient` shows it: keys with indexes, transactions, a catalog.

It fails on command: `before` is called with the name of every call, and `after` once the call has had its effect; what
they raise, the caller gets.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence
from typing import Any

from catalog.errors import Conflict
from catalog.model import Instance, KVEntry, Listing, Operation


def nothing(name: str) -> None:
    """No fault."""


class FakeConsul:
    """Safe to use from several threads, as the client is."""

    def __init__(self) -> None:
        self.keys: dict[str, KVEntry] = {}
        self.catalog: list[Instance] = []
        self.index = 1
        self.conflicts = 0  # transactions that somebody else was quicker than
        self.before: Callable[[str], None] = nothing
        self.after: Callable[[str], None] = nothing
        self._lock = threading.RLock()

    def value(self, key: str) -> bytes | None:
        """What a key holds."""
        return self.keys[key].value if key in self.keys else None

    def put(self, key: str, value: bytes) -> None:
        """Somebody else writes a key."""
        with self._lock:
            self.index += 1
            self.keys[key] = KVEntry(key, value, self.index)

    # --- what the client has -----------------------------------------------------------------------------------------

    def kv_get(self, key: str) -> KVEntry | None:
        return self._call("kv_get", lambda: self.keys.get(key))

    def kv_list(self, prefix: str) -> Listing:
        return self._call("kv_list", lambda: Listing(self.index, tuple(
            entry for key, entry in sorted(self.keys.items()) if key.startswith(prefix))))

    def transact(self, operations: Sequence[Operation]) -> dict[str, int]:
        return self._call("transact", lambda: self._transact(operations))

    def services(self) -> dict[str, tuple[str, ...]]:
        return self._call("services", lambda: {"consul": (), **{i.service: () for i in self.catalog}})

    def instances(self, service: str) -> tuple[Instance, ...]:
        return self._call("instances", lambda: tuple(sorted(i for i in self.catalog if i.service == service)))

    def all_instances(self) -> tuple[Instance, ...]:
        return self._call("all_instances", lambda: tuple(sorted(self.catalog)))

    def _call(self, name: str, do: Callable[[], Any]) -> Any:
        self.before(name)
        with self._lock:
            found = do()
        self.after(name)
        return found

    def _transact(self, operations: Sequence[Operation]) -> dict[str, int]:
        asked = [operation["KV"] for operation in operations]
        for one in asked:
            entry, verb = self.keys.get(one["Key"]), one["Verb"]
            index = entry.index if entry else 0
            if (verb in ("cas", "check-index") and index != one["Index"]) or (verb == "check-not-exists" and entry):
                self.conflicts += 1
                raise Conflict(f"{verb} of {one['Key']}: {index} is not {one.get('Index', 'absent')}")
        self.index += 1
        written: dict[str, int] = {}
        for one in asked:
            key = one["Key"]
            if one["Verb"] in ("cas", "set"):
                self.keys[key] = KVEntry(key, base64.b64decode(one["Value"]), self.index)
            elif one["Verb"] == "delete":
                self.keys.pop(key, None)
            if key in self.keys and one["Verb"] != "delete":
                written[key] = self.keys[key].index
        return written
