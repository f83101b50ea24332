"""The state of one proxy instance in Consul: releases in the key-value store, instances in the catalog. Edge.

A commit is one transaction, check-and-set against the record that was read: it holds only if nobody changed that
service since. Changes of different services do not get in each other's way. A write's answer may be lost: `_commit`
then asks Consul what became of it.
"""

import contextlib
import json
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catalog import codec
from catalog.consul_client import ConsulClient
from catalog.errors import CatalogDenied, CatalogRejected, CatalogUnavailable
from catalog.model import Instance, Operation
from proxy_api.core import keys
from proxy_api.core.errors import TooLarge
from proxy_api.core.keys import Held, Keys, Legacy, Records, Stored, Unreadable
from proxy_api.core.release import Release

# Up to this many services are read one by one, with their checks; more are read in bulk, by node.
_FEW = 4
_REMEMBERED = 1000  # of our own commits


@dataclass(frozen=True, slots=True)
class _Read:
    """Where the last listing was taken: the marker's index, and the listing's."""

    mark: int = 0
    index: int = 0


class Store:
    """Reads and writes for one PROXY_INSTANCE_NAME. Raises the exceptions of `catalog.errors`."""

    def __init__(self, client: ConsulClient, instance: str) -> None:
        self._client = client
        self._keys = Keys(instance)
        self._read = _Read()
        self._committed: deque[int] = deque(maxlen=_REMEMBERED)

    # --- what was asked for --------------------------------------------------------------------------------------

    def load(self) -> Records:
        """Every record. Raises CatalogDenied where the token may not read: a listing would be silently empty."""
        marker = self._client.kv_get(self._keys.marker)
        listing = self._client.kv_list(self._keys.prefix)
        records = self._keys.parse(listing.entries)
        # The marker is read first: seen by its exact key but not in the listing, the listing is not the truth.
        if marker is not None and not records.mark:
            raise CatalogUnavailable(f"Consul lists nothing below {self._keys.prefix}, but the marker is there")
        self._read = _Read(records.mark, listing.index)
        return records

    def require_gone(self, service: str) -> None:
        """Raise where a service is missing from a listing only because the listing was not all there is."""
        if self._client.kv_get(self._keys.route(service)) is not None:
            raise CatalogUnavailable(f"Consul's listing below {self._keys.prefix} lacks {service}, whose key is there")

    def is_news(self, index: int) -> bool:
        """Whether something at this index may not be known: neither read by `load` nor committed here. 0 always is."""
        return index == 0 or (index > self._read.index and index not in self._committed)

    def begin_history(self) -> None:
        """Write the marker where there is none; raises Conflict when somebody else did."""
        self._client.transact(self._keys.begin(secrets.token_hex(8)))

    def require_unchanged(self, service: str, current: Held | None) -> None:
        """Raise Conflict if a service's record is another than was read."""
        self._client.transact((codec.kv_check(self._keys.marker, self._read.mark),
                               *self._keys.unchanged(service, current)))

    def write(self, release: Release, current: Held | None) -> Stored:
        """Commit a release against the version that was read; raises Conflict when it is another by now."""
        value = keys.encode(release)
        return self._commit(release, value, self._keys.write(release, value, current))

    def require_room(self, release: Release, current: Held | None) -> None:
        """Write nothing; raise TooLarge where `write` would."""
        self._whole(self._keys.write(release, keys.encode(release), current))

    def take_over(self, release: Release, old: Legacy) -> Stored:
        """Give a service of 2016 its record."""
        value = keys.encode(release)
        return self._commit(release, value, self._keys.take_over(release, value, old))

    def remove(self, service: str, current: Held) -> None:
        """Delete a service's keys; raises Conflict when its record is another by now."""
        swarm = self._client.kv_get(self._keys.swarm(service))
        try:
            self._transact(self._keys.remove(service, current, swarm.value if swarm else None))
        except CatalogUnavailable:
            guard = self._keys.route(service) if isinstance(current, Stored) else current.guard_key
            if self._client.kv_get(guard) is not None:
                raise

    def undo(self, service: str, before: Held | None, now: Stored | None) -> None:
        """Put back what stood before a commit that did not come to be served; raises Conflict when others moved on."""
        if isinstance(before, Stored):
            self.write(before.release, now)
        elif isinstance(before, Unreadable) and before.value is not None:
            self._transact(self._keys.restore(service, before, now))
        elif isinstance(before, Legacy) and now is not None:
            self._transact(self._keys.undo(service, before, now))
        elif now is not None:
            self.remove(service, now)

    def _commit(self, release: Release, value: bytes, operations: Sequence[Operation]) -> Stored:
        key = self._keys.route(release.spec.name)
        try:
            return Stored(release, self._transact(operations)[key], value)
        except CatalogUnavailable:
            entry = self._client.kv_get(key)
            if entry is not None and entry.value == value:
                return Stored(release, entry.index, value)
            raise

    def _transact(self, operations: Sequence[Operation]) -> Mapping[str, int]:
        done = self._client.transact(self._whole(operations))
        self._committed.append(done[self._keys.commit])
        return done

    def _whole(self, operations: Sequence[Operation]) -> tuple[Operation, ...]:
        """A commit's transaction."""
        whole = (*self._keys.in_history(self._read.mark, secrets.token_hex(8)), *operations)
        if (size := len(json.dumps(whole))) > codec.MAX_VALUE_BYTES:
            raise TooLarge(f"the release with its templates and instances makes a transaction of {size} bytes; "
                           f"Consul takes at most {codec.MAX_VALUE_BYTES}")
        return whole

    # --- the catalog ---------------------------------------------------------------------------------------------

    def services(self) -> Mapping[str, Sequence[str]]:
        """Every service's tags, by name."""
        return self._client.services()

    def key(self, name: str) -> str | None:
        """The text of any key, for templates."""
        entry = self._client.kv_get(name)
        return None if entry is None else entry.value.decode(errors="replace")

    def addresses(self) -> frozenset[tuple[str, int]]:
        """Every address and port in the whole catalog."""
        return frozenset((i.address, i.port) for i in self._client.all_instances())

    def catalog(self, services: Sequence[str]) -> dict[str, Sequence[Instance]]:
        """The instances of these services."""
        listed = self._client.services()  # raises CatalogDenied where an empty answer would mean "not allowed"
        found: dict[str, Sequence[Instance]] = {}
        if len(services) <= _FEW:
            for name in services:
                with contextlib.suppress(CatalogRejected):  # a name that no service has: nothing is known of it
                    found[name] = self._client.instances(name)
        else:
            bulk: dict[str, list[Instance]] = {name: [] for name in services}
            for instance in self._client.all_instances():
                if instance.service in bulk:
                    bulk[instance.service].append(instance)
            found.update((name, tuple(instances)) for name, instances in bulk.items())
        for name in [name for name, instances in found.items() if not instances and name in listed]:
            found[name] = self.instances(name)
        return found

    def instances(self, service: str) -> Sequence[Instance]:
        """The instances of one service; raises CatalogDenied where it is listed and none of them may be seen."""
        found = self._client.instances(service)
        if not found and service in self._client.services():
            # Between the two reads the last one may have gone, or the first one come.
            found = self._client.instances(service)
            if not found and service in self._client.services():
                raise CatalogDenied(f"Consul lists {service} and shows no instance of it: "
                                    "the token may not read its nodes")
        return found

    # --- hints that something moved --------------------------------------------------------------------------------

    def wait_for_records(self, index: int) -> int:
        """Block until a key of this proxy changes; the index to wait for next."""
        return self._client.wait_for_kv(self._keys.prefix, index)

    def wait_for_catalog(self, index: int) -> int:
        """Block until any service changes; the index to wait for next."""
        return self._client.wait_for_services(index)
