"""What is known of Consul: the records, the catalog, and what is wrong with either. Shell.

A read that fails leaves what was known as it was, and is repeated. Used by the writer's thread alone, but for `hint`
and `followed`.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Literal, Protocol

from catalog.errors import CatalogError, CatalogUnavailable, Conflict
from catalog.model import Instance
from proxy_api.consul.catalog_poller import Feed, Followed, Reading
from proxy_api.core import admission
from proxy_api.core.errors import ProxyError
from proxy_api.core.keys import Held, Legacy, Records, Stored
from proxy_api.core.release import Release, Template
from proxy_api.core.spec import ServiceSpec

log = logging.getLogger("proxy-api")

Moved = Literal["records", "catalog"]

LIST_S = 60.0  # how often the records are listed although nothing said that they moved
MAX_DELAY_S = 1.0  # how long calls may keep a read waiting
RESTORE_TRIES = 50
MAX_PROMPT = 4  # services that follow everything are read at once, up to this many; more are read in bulk


class Store(Protocol):
    """Consul, as one proxy instance uses it. Raises the exceptions of `catalog.errors`."""

    def load(self) -> Records: ...
    def news(self, index: int) -> bool: ...
    def mark(self) -> None: ...
    def write(self, release: Release, current: Held | None) -> Stored: ...
    def weigh(self, release: Release, current: Held | None) -> None: ...
    def take_over(self, release: Release, old: Legacy) -> Stored: ...
    def remove(self, service: str, current: Held) -> None: ...
    def undo(self, service: str, before: Held | None, now: Stored | None) -> None: ...
    def confirm(self) -> None: ...
    def require_gone(self, service: str) -> None: ...
    def addresses(self) -> frozenset[tuple[str, int]]: ...
    def visible(self, service: str) -> Sequence[Instance]: ...
    def services(self) -> Mapping[str, Sequence[str]]: ...
    def key(self, name: str) -> str | None: ...
    def catalog(self, plain: Sequence[str], with_status: Sequence[str]) -> Mapping[str, Sequence[Instance]]: ...


class Files(Protocol):
    """The operator's template files."""

    def read(self, spec: ServiceSpec) -> tuple[Template, ...]: ...


class History(Protocol):
    """The name of Consul's history that the disk belongs to."""

    def read(self) -> str: ...
    def write(self, name: str) -> None: ...


class Known:
    """`records` and `catalog` are None until they were read once."""

    def __init__(self, store: Store, files: Files, history: History, serves_something: Callable[[], bool],
                 shared_binds: Sequence[str], ready: Callable[[], None]) -> None:
        self._history, self._serves_something = history, serves_something
        self._store, self._files, self._shared_binds = store, files, shared_binds
        self._moved = {0}
        self._read_at = 0.0
        self._listed_at = 0.0
        self._own: dict[str, float] = {}  # services that a call read, and when
        self._followed: tuple[Records | None, Followed] = None, Followed()
        self._fault, self._catalog_fault = "Consul has not been asked yet", ""
        self._feed = Feed(store.catalog, self.followed, ready)
        self.records: Records | None = None
        self.catalog: dict[str, Sequence[Instance]] | None = None
        self.problems: dict[str, str] = {}

    @property
    def fault(self) -> str:
        """What Consul's last answer lacked, "" where nothing."""
        return self._fault or self._catalog_fault

    def hint(self, what: Moved, index: int) -> None:
        """Something moved, at this index; 0 where anything may have. From any thread."""
        if what == "catalog":
            self._feed.moved()
        else:
            self._moved.add(index)

    def pending(self) -> bool:
        """Whether there is something to take in now, Consul willing."""
        return not self._fault and (self._feed.waiting() or bool(self._moved and not self._catalog_fault))

    def urgent(self) -> bool:
        """Whether to read before the next call: the records are known to be stale, or hints have waited long enough."""
        return 0 in self._moved or time.monotonic() - self._read_at > MAX_DELAY_S

    def failed(self, fault: CatalogError) -> None:
        """A call to Consul failed: nothing that is known can be taken for current."""
        self.hint("records", 0)
        self.hint("catalog", 0)
        self._tell(fault)
        self._fault = str(fault)

    def _tell(self, fault: CatalogError) -> None:
        if str(fault) != self.fault:
            log.warning('event=consul-trouble reason="%s"', fault)

    def read(self, served: Mapping[str, Release]) -> bool:
        """Read what may have moved; whether anything did. `served` is what to give back to a Consul that lost it."""
        before, moved = self.records, False
        self._read_at = time.monotonic()
        try:
            news = any(self._store.news(index) for index in self._take())
            if news or self._read_at - self._listed_at > LIST_S:
                self._read_records(served)
                self._listed_at = self._read_at
            if self.catalog is None:
                followed = self.followed()
                self._feed.forget()  # what moved until now is in what is read next
                self.catalog = dict(self._store.catalog((*followed.prompt, *followed.plain), followed.with_status))
                moved = True
                # What moved meanwhile has been noted, and is read again.
                threading.Thread(target=self._feed.run, name="feed", daemon=True).start()
        except CatalogError as fault:
            self.failed(fault)
        except Exception as fault:  # a defect must not lose the hints that were taken
            self.failed(CatalogUnavailable(f"internal error: {type(fault).__name__}: {fault}"))
            log.exception("event=read-failed")
        else:
            if self._fault and served:
                log.info("event=consul-answers")
            self._fault = ""
        moved |= self._take_readings()
        return moved or self.records is not before

    def _take(self) -> set[int]:
        taken, self._moved = self._moved, set()
        return taken

    def confirm(self) -> None:
        """Raise Conflict if what is known of the records is not current."""
        self._store.confirm()

    def taken(self) -> frozenset[tuple[str, int]]:
        """Every address and port that the catalog has of anybody; of what is followed, where the rest is not known."""
        try:
            return self._store.addresses()
        except CatalogError:
            return frozenset((i.address, i.port) for found in (self.catalog or {}).values() for i in found)

    def aside(self) -> "Known":
        """The same knowledge for a dry run: what is seen of the catalog with it is not remembered here."""
        other = copy(self)
        other.catalog = None if self.catalog is None else dict(self.catalog)
        other._own = dict(self._own)
        return other

    def committed(self, releases: Iterable[Release]) -> None:
        """Note that these are records now: of some the checks are to be read from now on, of which no index tells."""
        if any(_asks_checks(release.spec) for release in releases):
            self._feed.moved()

    def weigh(self, release: Release, current: Held | None) -> None:
        """Raise what writing this release would, as far as that can be told without writing."""
        self._store.weigh(release, current)

    def make(self, spec: ServiceSpec, previous: Release | None) -> Release:
        """A release of what the catalog has now. Raises ProxyError and CatalogError."""
        templates = self._files.read(spec) if spec.templated else ()
        return admission.make_release(spec, templates, self, previous, self._shared_binds)

    # --- the source of an admission: what it sees of a service is newer than what was known of it ------------------

    def instances(self, service: str) -> Sequence[Instance]:
        found = self._store.visible(service)
        if self.catalog is not None:
            self.catalog[service] = found
            self._own[service] = time.monotonic()
        return found

    def services(self) -> Mapping[str, Sequence[str]]:
        return self._store.services()

    def key(self, name: str) -> str | None:
        return self._store.key(name)

    # --- records ---------------------------------------------------------------------------------------------------

    def _read_records(self, served: Mapping[str, Release]) -> None:
        records = self._store.load()
        if self.records is not None and records.history != self.records.history:
            records = self._restore(served, records)
        elif self.records is None:
            self._require_history(records)
        for name in self.records.held.keys() - records.held.keys() if self.records else ():
            self._store.require_gone(name)
        if not records.mark:
            with contextlib.suppress(Conflict):
                self._store.mark()
            records = self._store.load()
        self.problems = {}
        taken_over = [self._take_over(name, held) for name, held in records.held.items() if isinstance(held, Legacy)]
        self.problems.update((name, held.reason) for name, held in records.held.items()
                             if not isinstance(held, Stored | Legacy))
        if records.history != self._history.read():
            self._history.write(records.history)
        before = self.followed()
        self.records = self._store.load() if any(taken_over) else records
        if self.followed() != before:
            self.hint("catalog", 0)

    def _require_history(self, records: Records) -> None:
        """Raise where this disk knows of services that Consul, at our start, has never heard of."""
        ours = self._history.read()
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
            missing = [release for name, release in served.items() if name not in records.held]
            try:
                for release in missing:
                    self._store.write(release, None)
            except Conflict:
                records = self._store.load()  # another replica is at it too
            else:
                return self._store.load()
        raise CatalogUnavailable("what Consul lost could not be given back yet: others write at the same time")

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

    def _take_readings(self) -> bool:
        """Take in what was read of the catalog meanwhile; whether it says anything new."""
        moved = False
        for reading in self._feed.take():
            if reading.fault is not None:
                self._tell(reading.fault)
                self._catalog_fault = str(reading.fault)
            elif self.catalog is not None:
                if reading.whole:
                    self._catalog_fault = ""
                moved |= self._merge(reading, self.catalog)
        return moved

    def _merge(self, reading: Reading, known: dict[str, Sequence[Instance]]) -> bool:
        # What a call read after the reading began is not older than it. Which of the two is newer, the next one tells.
        self._own = own = {name: at for name, at in self._own.items() if at >= reading.began}
        found = {name: instances for name, instances in reading.found.items() if name not in own}
        if own and reading.whole:
            self._feed.moved()
        if reading.whole:
            gone = [name for name in known if name not in reading.found and name not in own]
            for name in gone:
                del known[name]
        news = {name: instances for name, instances in found.items() if known.get(name) is not instances}
        known.update(news)
        if news and self.records and any(isinstance(held, Legacy) for held in self.records.held.values()):
            self.hint("records", 0)  # what waits for its first instance may have it now
        return bool(news)

    def followed(self) -> Followed:
        """The catalog services to read. From any thread."""
        records, found = self._followed
        if records is not self.records:
            records = self.records
            found = _followed(records)
            self._followed = records, found
        return found


def _asks_checks(spec: ServiceSpec) -> bool:
    return spec.follow == "all" and spec.templated


def _followed(records: Records | None) -> Followed:
    plain: set[str] = set()
    everything: set[str] = set()
    with_status: set[str] = set()
    for held in (records.held if records else {}).values():
        if isinstance(held, Stored) and (spec := held.release.spec).follow != "never":
            kind = plain if spec.follow != "all" else with_status if _asks_checks(spec) else everything
            kind.update(a.service for a in held.release.admissions)
    everything -= with_status
    prompt = everything if len(everything) <= MAX_PROMPT else set()
    return Followed(tuple(sorted(prompt)), tuple(sorted((plain | everything) - prompt - with_status)),
                    tuple(sorted(with_status)))
