"""The records read whole, and put right where Consul or a predecessor left them otherwise. Shell.

A Consul that lost its data gets it back from who still serves it; services that only the keys of 2016 know get records.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from catalog.errors import CatalogUnavailable, Conflict
from proxy_api.core import admission
from proxy_api.core.errors import ProxyError
from proxy_api.core.keys import Held, Legacy, Records, Stored
from proxy_api.core.release import Release
from proxy_api.core.spec import ServiceSpec

log = logging.getLogger("proxy-api")

RESTORE_TRIES = 50

Admit = Callable[[ServiceSpec, Release | None], Release]


class RecordStore(Protocol):
    """The records in Consul. Raises the exceptions of `catalog.errors`."""

    def load(self) -> Records: ...
    def begin_history(self) -> None: ...
    def require_gone(self, service: str) -> None: ...
    def require_unchanged(self, service: str, current: Held | None) -> None: ...
    def require_room(self, release: Release, current: Held | None) -> None: ...
    def write(self, release: Release, current: Held | None) -> Stored: ...
    def take_over(self, release: Release, old: Legacy) -> Stored: ...
    def remove(self, service: str, current: Held) -> None: ...
    def undo(self, service: str, before: Held | None, now: Stored | None) -> None: ...


class Lineage(Protocol):
    """The name of Consul's history that the disk belongs to."""

    def read(self) -> str: ...
    def write(self, name: str) -> None: ...


class Recovery:
    """Reads the records. `serves_something` says whether the disk has a configuration with services."""

    def __init__(self, store: RecordStore, lineage: Lineage, serves_something: Callable[[], bool]) -> None:
        self._store, self._lineage, self._serves_something = store, lineage, serves_something

    def read(self, known: Records | None, served: Mapping[str, Release],
             admit: Admit) -> tuple[Records, Mapping[str, str]]:
        """The records, and the services whose keys are not served, each with the reason. Raises CatalogError.

        `known` is what was read last, `served` what to give back to a Consul that lost it.
        """
        records = self._store.load()
        if known is not None and records.history != known.history:
            records = self._restore(served, records)
        elif known is None:
            self._require_history(records)
        for name in known.held.keys() - records.held.keys() if known else ():
            self._store.require_gone(name)
        if not records.mark:
            with contextlib.suppress(Conflict):
                self._store.begin_history()
            records = self._store.load()
        problems = {name: held.reason for name, held in records.held.items() if not isinstance(held, Stored | Legacy)}
        old = {name: held for name, held in records.held.items() if isinstance(held, Legacy)}
        told = {name: self._take_over(name, held, admit) for name, held in old.items()}
        if records.history != self._lineage.read():
            self._lineage.write(records.history)
        problems.update((name, why) for name, why in told.items() if why)
        return (self._store.load() if "" in told.values() else records), problems

    def _require_history(self, records: Records) -> None:
        """Raise where this disk knows of services that Consul, at our start, has never heard of."""
        ours = self._lineage.read()
        if ours and ours != records.history and not records.held and self._serves_something():
            raise CatalogUnavailable(
                "Consul has no record of this instance, but this proxy's disk has: either Consul lost its data "
                "(restore it, or let another replica give it back), or the disk is a leftover (empty CONFIGS_PATH "
                "to start anew)")

    def _restore(self, served: Mapping[str, Release], records: Records) -> Records:
        """Consul answers, but what stood here has another history or none: it lost its data. Give it ours back.

        Each record is written only if it does not exist, so replicas that do the same do not disturb each other.
        """
        log.error("event=consul-lost-its-data services=%d action=restore", len(served))
        for _ in range(RESTORE_TRIES):
            try:
                if not records.mark:
                    self._store.begin_history()
                    records = self._store.load()
                for release in [release for name, release in served.items() if name not in records.held]:
                    self._store.write(release, None)
            except Conflict:
                records = self._store.load()  # another replica is at it too
            else:
                return self._store.load()
        raise CatalogUnavailable("what Consul lost could not be given back yet: others write at the same time")

    def _take_over(self, name: str, old: Legacy, admit: Admit) -> str:
        """Give a service that only the keys of 2016 know its record, admitting the instances of now; "" or why not."""
        try:
            release = admit(old.spec, None)
            if admission.empty_warning(release):
                return "known from 2016, and the catalog has no instance of it yet"
            self._store.take_over(release, old)
        except (ProxyError, Conflict) as fault:
            return f"known from 2016, and could not be taken over: {fault}"
        log.info("event=taken-over service=%s servers=%d", name, len(release.members()))
        return ""
