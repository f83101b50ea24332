"""What is known of Consul: the records, the catalog, and what is wrong with either. Shell.

A read that fails leaves what was known as it was, and is repeated. Used by the writer's thread alone, but for `hint`.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from catalog.errors import CatalogError, Conflict
from catalog.model import Instance
from proxy_api import admission
from proxy_api.errors import ProxyError
from proxy_api.keys import Held, Legacy, Records, Stored
from proxy_api.release import Release, Template
from proxy_api.route import RouteSpec

log = logging.getLogger("proxy-api")


class Store(Protocol):
    """Consul, as one proxy instance uses it. Raises the exceptions of `catalog.errors`."""

    def load(self) -> Records: ...
    def mark(self) -> None: ...
    def write(self, release: Release, current: Held | None) -> Stored: ...
    def take_over(self, release: Release, old: Legacy) -> Stored: ...
    def remove(self, service: str, current: Held) -> None: ...
    def undo(self, service: str, before: Held | None, now: Stored | None) -> None: ...
    def instances(self, service: str) -> Sequence[Instance]: ...
    def services(self) -> Mapping[str, Sequence[str]]: ...
    def key(self, name: str) -> str | None: ...
    def catalog(self, plain: Sequence[str], with_status: Sequence[str]) -> dict[str, Sequence[Instance]]: ...


class Files(Protocol):
    """The operator's template files."""

    def read(self, spec: RouteSpec) -> tuple[Template, ...]: ...


class Known:
    """`records` and `catalog` are None until they were read once; `fault` is what Consul's last answer lacked."""

    def __init__(self, store: Store, files: Files, shared_binds: Sequence[str]) -> None:
        self._store, self._files, self._shared_binds = store, files, shared_binds
        self._moved = {"records", "catalog"}
        self.records: Records | None = None
        self.catalog: dict[str, Sequence[Instance]] | None = None
        self.problems: dict[str, str] = {}
        self.fault = "Consul has not been asked yet"

    def hint(self, what: str) -> None:
        """Something may have moved: "records" or "catalog". From any thread."""
        self._moved.add(what)

    def failed(self, fault: CatalogError) -> None:
        """A call to Consul failed: nothing that is known can be taken for current."""
        self._moved.update(("records", "catalog"))
        if str(fault) != self.fault:
            log.warning('event=consul-trouble reason="%s"', fault)
        self.fault = str(fault)

    def read(self, served: Mapping[str, Release]) -> bool:
        """Read what may have moved; whether anything did. `served` is what to give back to a Consul that lost it."""
        before = self.records, self.catalog and dict(self.catalog)
        try:
            if "records" in self._moved:
                self._moved.discard("records")
                self._read_records(served)
            if "catalog" in self._moved:
                self._moved.discard("catalog")
                self._read_catalog()
        except CatalogError as fault:
            self.failed(fault)
        else:
            if self.fault and served:
                log.info("event=consul-answers")
            self.fault = ""
        return (self.records, self.catalog) != before

    def make(self, spec: RouteSpec, previous: Release | None) -> Release:
        """A release of what the catalog has now. Raises ProxyError and CatalogError."""
        templates = self._files.read(spec) if spec.templated else ()
        return admission.make_release(spec, templates, self, previous, self._shared_binds)

    # --- the source of an admission: what it sees of a service is newer than what was known of it ------------------

    def instances(self, service: str) -> Sequence[Instance]:
        found = self._store.instances(service)
        if self.catalog is not None:
            self.catalog[service] = found
        if not found:
            self._store.services()  # raises CatalogDenied where an empty answer would mean "not allowed"
        return found

    def services(self) -> Mapping[str, Sequence[str]]:
        return self._store.services()

    def key(self, name: str) -> str | None:
        return self._store.key(name)

    # --- records ---------------------------------------------------------------------------------------------------

    def _read_records(self, served: Mapping[str, Release]) -> None:
        records = self._store.load()
        if not records.marked:
            if self.records is not None:
                self._restore(served)
            self._store.mark()
            records = self._store.load()
        self.problems = {}
        taken_over = [self._take_over(name, held) for name, held in records.held.items() if isinstance(held, Legacy)]
        self.problems.update((name, held.reason) for name, held in records.held.items()
                             if not isinstance(held, Stored | Legacy))
        before = self._followed()
        self.records = self._store.load() if any(taken_over) else records
        if self._followed() != before:
            self._moved.add("catalog")

    def _restore(self, served: Mapping[str, Release]) -> None:
        """Consul answers, but the marker that every proxy writes is gone: it lost its data. Give it ours back.

        Each key is written only if it does not exist, so replicas that do the same do not disturb each other.
        """
        log.error("event=consul-lost-its-data services=%d action=restore", len(served))
        for release in served.values():
            try:
                self._store.write(release, None)
            except Conflict:
                continue

    def _take_over(self, name: str, old: Legacy) -> bool:
        """Give a service that only the keys of 2016 know its record, admitting the instances of now."""
        try:
            release = self.make(old.spec, None)
            if admission.empty_warning(release):
                self.problems[name] = "known from 2016, and the catalog has no instance of it yet"
                return False
            self._store.take_over(release, old)
        except (ProxyError, Conflict) as fault:
            self.problems[name] = f"known from 2016, and could not be taken over: {fault}"
            return False
        log.info("event=taken-over service=%s servers=%d", name, len(release.members()))
        return True

    # --- catalog ---------------------------------------------------------------------------------------------------

    def _read_catalog(self) -> None:
        self.catalog = self._store.catalog(*self._followed())
        if self.records and any(isinstance(held, Legacy) for held in self.records.held.values()):
            self._moved.add("records")  # what waits for its first instance may have it now

    def _followed(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The catalog services to watch: those read plainly, and those whose checks a template asks about."""
        plain: set[str] = set()
        with_status: set[str] = set()
        for stored in (self.records.stored() if self.records else {}).values():
            spec = stored.release.spec
            names = {a.service for a in stored.release.admissions} if spec.follow != "never" else set()
            (with_status if spec.follow == "all" and spec.templated else plain).update(names)
        return tuple(sorted(plain - with_status)), tuple(sorted(with_status))
