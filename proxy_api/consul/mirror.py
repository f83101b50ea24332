"""What is known of Consul: the records and the catalog, each as a whole, and what is wrong with either. Shell.

A read that fails leaves what was known as it was, and is repeated. Used by the writer's thread alone, but for `hint`
and `followed`.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Literal, Protocol

from catalog.errors import CatalogError
from catalog.model import Instance
from proxy_api.consul.catalog_poller import CatalogPoller, Followed, Reading
from proxy_api.consul.recovery import RecordStore, Recovery
from proxy_api.core import admission
from proxy_api.core.follow import CatalogSnapshot
from proxy_api.core.keys import Legacy, Records, Stored
from proxy_api.core.release import Release, Template
from proxy_api.core.spec import ServiceSpec

log = logging.getLogger("proxy-api")

Part = Literal["records", "catalog"]

LIST_S = 60.0  # how often the records are listed although nothing said that they moved
MAX_DELAY_S = 1.0  # how long calls may keep a read waiting
MAX_PROMPT = 4  # services that follow everything are read at once, up to this many; more are read in bulk


class Store(RecordStore, Protocol):
    """Consul, as one proxy instance uses it. Raises the exceptions of `catalog.errors`."""

    def is_news(self, index: int) -> bool: ...
    def addresses(self) -> frozenset[tuple[str, int]]: ...
    def instances(self, service: str) -> Sequence[Instance]: ...
    def services(self) -> Mapping[str, Sequence[str]]: ...
    def key(self, name: str) -> str | None: ...
    def catalog(self, services: Sequence[str]) -> Mapping[str, Sequence[Instance]]: ...


class TemplateFiles(Protocol):
    """The operator's template files."""

    def read(self, spec: ServiceSpec) -> tuple[Template, ...]: ...


class ConsulMirror:
    """`records` and `catalog` are None until they were read once."""

    def __init__(self, store: Store, files: TemplateFiles, recovery: Recovery, shared_binds: Sequence[str],
                 ready: Callable[[], None]) -> None:
        self._store, self._files, self._recovery, self._shared_binds = store, files, recovery, shared_binds
        self._hints = {0}
        self._read_at = 0.0
        self._listed_at = 0.0
        self._seen_by_calls: dict[str, float] = {}  # services that a call read, and when
        self._followed: tuple[Records | None, Followed] = None, Followed()
        self._addresses: tuple[int, frozenset[tuple[str, int]]] = -1, frozenset()
        self._record_fault, self._catalog_fault = "Consul has not been asked yet", ""
        self._poller = CatalogPoller(store.catalog, self._renewed, self.followed, ready)
        self.records: Records | None = None
        self.catalog: CatalogSnapshot | None = None
        self._not_served: Mapping[str, str] = {}
        self._not_renewed: Mapping[str, str] = {}

    @property
    def fault(self) -> str:
        """What Consul's last answer lacked, "" where nothing."""
        return self._record_fault or self._catalog_fault

    @property
    def problems(self) -> dict[str, str]:
        """The services whose keys are not served, and those that are not as the catalog would have them."""
        return {**self._not_renewed, **self._not_served}

    def hint(self, what: Part, index: int) -> None:
        """Something moved, at this index; 0 where anything may have. From any thread."""
        if what == "catalog":
            self._poller.hint()
        else:
            self._hints.add(index)

    def pending(self) -> bool:
        """Whether there is something to take in now, Consul willing."""
        return not self._record_fault and (self._poller.waiting() or bool(self._hints and not self._catalog_fault))

    def is_urgent(self) -> bool:
        """Whether to read before the next call: the records are known to be stale, or hints have waited long enough."""
        return 0 in self._hints or time.monotonic() - self._read_at > MAX_DELAY_S

    def failed(self, fault: CatalogError) -> None:
        """A call to Consul failed: nothing that is known can be taken for current."""
        self.hint("records", 0)
        self.hint("catalog", 0)
        self._trouble(str(fault))
        self._record_fault = str(fault)

    def _trouble(self, fault: str) -> None:
        if fault != self.fault:
            log.warning('event=consul-trouble reason=%s', fault)

    def refresh(self, served: Mapping[str, Release]) -> bool:
        """Read what may have moved; whether anything did. `served` is what to give back to a Consul that lost it."""
        before = self.records, self.catalog
        self._read_at = time.monotonic()
        hints, self._hints = self._hints, set()
        try:
            if any(map(self._store.is_news, hints)) or self._read_at - self._listed_at > LIST_S:
                self._read_records(served)
                self._listed_at = self._read_at
            if self.catalog is None:
                self._read_catalog()
        except CatalogError as fault:
            self.failed(fault)
        except Exception as fault:  # a defect must not lose the hints that were taken, and is not Consul's
            log.exception("event=defect in=reading-records")
            self._hints |= {0}
            self._record_fault = f"internal error: {type(fault).__name__} in reading the records"
        else:
            if self._record_fault and served:
                log.info("event=consul-answers")
            self._record_fault = ""
        for reading in self._poller.take():
            self._take(reading)
        return self.records is not before[0] or self.catalog is not before[1]

    # --- records ---------------------------------------------------------------------------------------------------

    def _read_records(self, served: Mapping[str, Release]) -> None:
        before = self.followed()
        self.records, self._not_served = self._recovery.read(self.records, served, self.admit)
        if self.followed() != before:
            self._poller.hint()

    def commit(self, records: Records) -> None:
        """Note that these are the records now, as they were just written."""
        templates = self.followed().templates
        self.records = records
        if self.followed().templates != templates:
            self._poller.hint()  # of what they read, no index tells

    # --- the catalog -----------------------------------------------------------------------------------------------

    def _read_catalog(self) -> None:
        """The first reading, which the first configuration waits for; the poller goes on from there."""
        followed = self.followed()
        self._poller.forget()  # what moves from now on is read again
        self.catalog = CatalogSnapshot(1, dict(self._store.catalog((*followed.prompt, *followed.plain))))
        threading.Thread(target=self._poller.run, name="catalog-poller", daemon=True).start()
        if followed.templates:
            self._poller.hint()

    def _take(self, reading: Reading) -> None:
        """Take in what was read of the catalog meanwhile."""
        if reading.fault:
            self._trouble(reading.fault)
            self._catalog_fault = reading.fault
            return
        if reading.whole:
            self._catalog_fault = ""
        if self.catalog is None:
            return
        known = self.catalog.services
        # What a call read after the reading began is not older than it. Which of the two is newer, the next one tells.
        self._seen_by_calls = own = {name: at for name, at in self._seen_by_calls.items() if at >= reading.began}
        if own and reading.whole:
            self._poller.hint()
        found = {name: instances for name, instances in reading.found.items() if name not in own}
        news = {name: instances for name, instances in found.items() if known.get(name) is not instances}
        gone = [name for name in known if name not in reading.found and name not in own] if reading.whole else []
        renewed = reading.renewed if reading.whole else self.catalog.renewed
        if reading.whole:
            # What cannot be admitted anew stays as it was, and is told.
            renewed = {**{name: r for name, r in self.catalog.renewed.items() if name in reading.broken}, **renewed}
            self._not_renewed = {name: f"its templates cannot follow the catalog, so it stays as it was: {why}"
                                 for name, why in reading.broken.items()}
        if news or gone or renewed != self.catalog.renewed:
            services = {name: instances for name, instances in known.items() if name not in gone} if gone else known
            self.catalog = CatalogSnapshot(self.catalog.sequence + 1, {**services, **news}, renewed)
        if news and self.records and any(isinstance(held, Legacy) for held in self.records.held.values()):
            self.hint("records", 0)  # what waits for its first instance may have it now

    def addresses(self) -> frozenset[tuple[str, int]]:
        """Every address and port that the catalog has of anybody, read once for each snapshot; of what is followed,
        where the rest is not known.
        """
        sequence = self.catalog.sequence if self.catalog else 0
        if self._addresses[0] != sequence:
            try:
                self._addresses = sequence, self._store.addresses()
            except CatalogError:
                found = self.catalog.services.values() if self.catalog else ()
                return frozenset((i.address, i.port) for instances in found for i in instances)
        return self._addresses[1]

    def followed(self) -> Followed:
        """What to read of the catalog. From any thread."""
        records, found = self._followed
        if records is not self.records:
            records = self.records
            found = _followed(records)
            self._followed = records, found
        return found

    # --- the source of an admission: what it sees of a service is newer than what was known of it ------------------

    def admit(self, spec: ServiceSpec, previous: Release | None) -> Release:
        """A release of what the catalog has now. Raises ProxyError and CatalogError."""
        templates = self._files.read(spec) if spec.templated else ()
        return admission.make_release(spec, templates, self, previous, self._shared_binds)

    def _renewed(self, release: Release) -> Release:
        """A release of templates as it would be admitted now; in the poller's thread. Raises ProxyError."""
        return admission.renewed(release, self._store, self._shared_binds)

    def instances(self, service: str) -> Sequence[Instance]:
        found = self._store.instances(service)
        if self.catalog is not None:
            self.catalog = replace(self.catalog, sequence=self.catalog.sequence + 1,
                                   services={**self.catalog.services, service: found})
            self._seen_by_calls[service] = time.monotonic()
        return found

    def services(self) -> Mapping[str, Sequence[str]]:
        return self._store.services()

    def key(self, name: str) -> str | None:
        return self._store.key(name)

    def copy(self) -> "ConsulMirror":
        """The same knowledge for a dry run: what is seen of the catalog with it is not remembered here."""
        other = copy(self)
        other._seen_by_calls = dict(self._seen_by_calls)
        return other


def _followed(records: Records | None) -> Followed:
    plain: set[str] = set()
    everything: set[str] = set()
    templates: list[Release] = []
    for held in (records.held if records else {}).values():
        if not isinstance(held, Stored) or held.release.spec.follow == "never":
            continue
        release = held.release
        if release.spec.follow == "all" and release.templates:
            templates.append(release)
            continue
        kind = everything if release.spec.follow == "all" else plain
        kind.update(a.service for a in release.admissions)
    prompt = everything if len(everything) <= MAX_PROMPT else set()
    return Followed(tuple(sorted(prompt)), tuple(sorted((plain | everything) - prompt)), tuple(templates))

