"""The numbers that /metrics shows, in a registry of their own."""

import time
from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from registrar.core.retries import Retries

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """One attribute for each metric."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.events = Counter("registrar_events", "Events of the engine", ["event"], registry=registry)
        self.passes = Counter("registrar_passes", "Comparisons made", ["kind", "result"], registry=registry)
        self.duration = Histogram("registrar_pass_seconds", "How long a comparison and its writes took", ["kind"],
                                  registry=registry, buckets=_BUCKETS)
        self.writes = Counter("registrar_writes", "Writes to Consul", ["operation", "result"], registry=registry)
        self.wanted = Gauge("registrar_wanted_services", "Services that should be in Consul", registry=registry)
        self.owned = Gauge("registrar_owned_services", "Services in Consul with our mark", registry=registry)
        self.failing = Gauge("registrar_failing_services", "Services whose last write failed", registry=registry)
        self.faults = Gauge("registrar_metadata_faults", "Metadata that breaks a rule", registry=registry)
        self.skipped = Gauge("registrar_skipped", "Ports and containers that are not registered", ["reason"],
                             registry=registry)
        self.contact = Gauge("registrar_last_contact_timestamp_seconds", "When it last answered", ["peer"],
                             registry=registry)
        self.failures = Counter("registrar_write_failures", "Writes that Consul did not take", registry=registry)
        self.retries = Counter("registrar_retries", "Writes that were tried again after a failure", registry=registry)
        self._retried, self._failed = 0, 0
        self._reasons: set[str] = set()

    def heard_from(self, *peers: str) -> None:
        for peer in peers:
            self.contact.labels(peer).set(time.time())

    def set_retries(self, retries: Retries) -> None:
        self.retries.inc(retries.repeated - self._retried)
        self.failures.inc(retries.failed_writes - self._failed)
        self._retried, self._failed = retries.repeated, retries.failed_writes

    def set_skipped(self, reasons: Iterable[str]) -> None:
        tally = Tally(reasons)
        for reason in self._reasons - set(tally):
            self.skipped.remove(reason)
        for reason, count in tally.items():
            self.skipped.labels(reason).set(count)
        self._reasons = set(tally)
