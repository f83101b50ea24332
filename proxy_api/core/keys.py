"""Which key of Consul's key-value store holds what, and what a listing of them says. Core.

`<instance>/<service>/route` is the release record; beside it stand the keys of 2016. `<instance>/.portbook` is a
marker: an exact key tells "nothing there" from "not allowed to see", which a listing does not. It is written once and
bears the name of Consul's history. `<instance>/.commit` moves with every commit and tells its index.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from catalog import codec
from catalog.model import KVEntry, Operation
from proxy_api.core import release, stored_spec
from proxy_api.core.errors import InvalidRequest, TooLarge
from proxy_api.core.memo import Memo
from proxy_api.core.release import SCHEMA, NewerRecord, Release, UnreadableRecord
from proxy_api.core.spec import ServiceSpec

_ROUTE = "route"
_LEAVES = (_ROUTE, *stored_spec.LEGACY_KEYS)
# Since August 2016 the predecessor kept `<instance>/service/<name>` = "swarm" as well, and never deleted it.
_SWARM_FOLDER, _SWARM_VALUE = "service", b"swarm"


@dataclass(frozen=True, slots=True)
class Stored:
    """A service's record as it is in Consul. `index` is the record's ModifyIndex, its version."""

    release: Release
    index: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Legacy:
    """A service that only the keys of 2016 know; `guard` is the index of its `path` key."""

    spec: ServiceSpec
    guard_key: str
    guard_index: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A service whose keys this version cannot use. It can be removed like any other, and replaced unless a `newer`
    version wrote it: that one knows what it says. `value` is the record's, None where there is none.
    """

    reason: str
    guard_key: str
    guard_index: int
    value: bytes | None = None
    newer: bool = False


Held = Stored | Legacy | Unreadable


@dataclass(frozen=True, slots=True)
class Records:
    """What a listing of `<instance>/` says, by service.

    `mark` is the marker's ModifyIndex, 0 where there is none; `history` is what it was called when it was first
    written: another name means that Consul lost what stood here.
    """

    mark: int
    history: str
    held: Mapping[str, Held]


class Keys:
    """The keys of one proxy instance."""

    def __init__(self, instance: str) -> None:
        self.prefix = f"{instance}/"
        self.marker = f"{instance}/.portbook"
        self.commit = f"{instance}/.commit"
        self._held: Memo[Held] = Memo()

    def route(self, service: str) -> str:
        """The key of a service's record."""
        return f"{self.prefix}{service}/{_ROUTE}"

    def parse(self, entries: Iterable[KVEntry]) -> Records:
        """Sort a listing into records, services of 2016, and what cannot be read.

        Keys that are the same as in the last listing give the very same values.
        """
        leaves: dict[str, dict[str, KVEntry]] = {}
        mark, history = 0, ""
        for entry in entries:
            service, _, leaf = entry.key.removeprefix(self.prefix).partition("/")
            if leaf in _LEAVES:
                leaves.setdefault(service, {})[leaf] = entry
            elif entry.key == self.marker:
                mark, history = entry.index, _history(entry.value)
        # The presence of `path` marks a known service of 2016 (reference/proxy-api.md 5.1).
        services = sorted(service for service, found in leaves.items() if _ROUTE in found or "path" in found)
        held = self._held.all(
            services, [(leaves[s][_ROUTE],) if _ROUTE in leaves[s] else tuple(leaves[s].values()) for s in services],
            lambda place: _held(services[place], leaves[services[place]]))
        return Records(mark, history, dict(zip(services, held, strict=True)))

    def begin(self, nonce: str) -> tuple[Operation, ...]:
        """Write the marker where there is none: a history of Consul's begins."""
        return (codec.kv_cas(self.marker, json.dumps({"schema": SCHEMA, "history": nonce}).encode(), 0),)

    def in_history(self, mark: int, nonce: str) -> tuple[Operation, ...]:
        """What every commit begins with: the marker is the one that was read, so that nothing is added to a Consul that
        lost its data meanwhile. `nonce` makes the value of the other key another, else Consul would not move it.
        """
        return codec.kv_check(self.marker, mark), codec.kv_set(self.commit, nonce.encode())

    def unchanged(self, service: str, current: Held | None) -> tuple[Operation, ...]:
        """Checks that what was read of a service is what there is."""
        if current is None:
            return tuple(codec.kv_check_absent(f"{self.prefix}{service}/{leaf}") for leaf in (_ROUTE, "path"))
        if isinstance(current, Stored):
            return (codec.kv_check(self.route(service), current.index),)
        return (codec.kv_check(current.guard_key, current.guard_index),)

    def write(self, made: Release, value: bytes, current: Held | None) -> tuple[Operation, ...]:
        """Write a record if it is still what was read, and the keys of 2016 with it."""
        service = made.spec.name
        index = current.index if isinstance(current, Stored) else 0
        if isinstance(current, Unreadable) and current.guard_key == self.route(service):
            index = current.guard_index
        texts = stored_spec.to_legacy(made.spec)
        return (
            codec.kv_cas(self.route(service), value, index),
            *(codec.kv_set(f"{self.prefix}{service}/{leaf}", texts[leaf].encode()) if leaf in texts
              else codec.kv_delete(f"{self.prefix}{service}/{leaf}") for leaf in stored_spec.LEGACY_KEYS),
        )

    def take_over(self, made: Release, value: bytes, old: Legacy) -> tuple[Operation, ...]:
        """Put a record beside keys of 2016, if neither has moved."""
        return (codec.kv_check(old.guard_key, old.guard_index),
                codec.kv_cas(self.route(made.spec.name), value, 0))

    def remove(self, service: str, current: Held, swarm_value: bytes | None) -> tuple[Operation, ...]:
        """Delete exactly a service's own keys, if they have not moved."""
        folder = f"{self.prefix}{service}/"
        key, index = ((folder + _ROUTE, current.index) if isinstance(current, Stored)
                      else (current.guard_key, current.guard_index))
        # Of a service called like a leaf, that key would be the leaf of a service called `service`.
        left_behind = swarm_value == _SWARM_VALUE and service not in _LEAVES
        old = [codec.kv_delete(self.swarm(service))] if left_behind else []
        return (codec.kv_check(key, index), *(codec.kv_delete(folder + leaf) for leaf in _LEAVES), *old)

    def restore(self, service: str, before: Unreadable, now: Stored | None) -> tuple[Operation, ...]:
        """Put back what stood there, to the byte, if nobody changed it since."""
        assert before.value is not None
        return (codec.kv_cas(before.guard_key, before.value, now.index if now else 0),)

    def undo(self, service: str, before: Legacy, now: Stored) -> tuple[Operation, ...]:
        """Take a record away again and leave the keys of 2016 as they were, if nobody changed it since."""
        texts = stored_spec.to_legacy(before.spec)
        return (codec.kv_check(self.route(service), now.index), codec.kv_delete(self.route(service)),
                *(codec.kv_set(f"{self.prefix}{service}/{leaf}", text.encode()) for leaf, text in texts.items()))

    def swarm(self, service: str) -> str:
        """The key that the predecessor left behind in August 2016 and later."""
        return f"{self.prefix}{_SWARM_FOLDER}/{service}"


def encode(made: Release) -> bytes:
    """The record's bytes; raises TooLarge where Consul would refuse them."""
    value = release.encode(made)
    if len(value) > codec.MAX_VALUE_BYTES:
        raise TooLarge(f"the release of {made.spec.name} has {len(value)} bytes with its templates and instances; "
                       f"Consul takes at most {codec.MAX_VALUE_BYTES} in one key")
    return value


def _history(value: bytes) -> str:
    try:
        return str(json.loads(value)["history"])
    except (ValueError, KeyError, TypeError):
        return ""


def _held(service: str, found: Mapping[str, KVEntry]) -> Held:
    guard = found.get(_ROUTE) or found["path"]
    try:
        return _stored(service, guard) if _ROUTE in found else _legacy(service, found, guard)
    except (UnreadableRecord, InvalidRequest) as fault:
        return Unreadable(str(fault), guard.key, guard.index, guard.value if _ROUTE in found else None,
                          isinstance(fault, NewerRecord))


def _stored(service: str, entry: KVEntry) -> Stored:
    made = release.decode(entry.value)
    if made.spec.name != service:
        raise UnreadableRecord(f"the record is of {made.spec.name}")
    return Stored(made, entry.index, entry.value)


def _legacy(service: str, found: Mapping[str, KVEntry], guard: KVEntry) -> Legacy:
    texts = {leaf: entry.value.decode(errors="replace") for leaf, entry in found.items()}
    return Legacy(stored_spec.from_legacy(service, texts), guard.key, guard.index)
