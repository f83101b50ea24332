"""Counters and gauges in Prometheus' text form. Edge to prometheus_client."""

from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy_api.core.messages import Report


class Metrics:
    """Counts calls; everything else is read off the report when it is asked for."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter("portbook_calls", "Calls that change something, by what came of them.",
                              ["call", "status"], registry=self._registry)

    def count(self, call: str, status: int) -> None:
        """One call and the HTTP status of its answer."""
        self._calls.labels(call, str(status)).inc()

    def text(self, report: Report | None) -> bytes:
        """The page. Without a report nothing is known but that the proxy is not ready."""
        registry = CollectorRegistry()
        registry.register(_OfReport(report))
        return generate_latest(self._registry) + generate_latest(registry)


class _OfReport(Collector):
    def __init__(self, report: Report | None) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        report = self._report
        yield GaugeMetricFamily("portbook_ready", "Whether the wanted state is recovered and served.",
                                value=report is not None and not report.reason)
        if report is None:
            return
        yield GaugeMetricFamily("portbook_consul_up", "Whether Consul could be used at the last try.",
                                value=report.consul_answers)
        yield CounterMetricFamily("portbook_reloads", "Reloads of HAProxy.", value=report.reloads)
        yield CounterMetricFamily("portbook_runtime_changes", "Changes made over HAProxy's runtime API.",
                                  value=report.runtime_changes)
        changes = CounterMetricFamily("portbook_changes", "Changes of HAProxy, by what they took and what caused them.",
                                      labels=["change", "cause"])
        for labels, count in report.changes:
            changes.add_metric(labels, count)
        yield changes
        yield CounterMetricFamily("portbook_drifts", "Times that HAProxy was found changed by somebody else.",
                                  value=report.drifts)
        gauges = {
            "servers": "Servers of a service that HAProxy can use.",
            "down": "Servers of a service that do not answer.",
            "gone": "Admitted instances that have left the catalog.",
            "waiting": "Instances in the catalog that were not admitted.",
        }
        for field, text in gauges.items():
            family = GaugeMetricFamily(f"portbook_service_{field}", text, labels=["service"])
            for name, service in report.services:
                family.add_metric([name], getattr(service, field))
            yield family
        problem = GaugeMetricFamily("portbook_service_problem", "1 where a service is not served as recorded.",
                                    labels=["service"])
        for name, service in report.services:
            problem.add_metric([name], bool(service.problem))
        yield problem
