"""How the proxy stands, put together for people, probes and metrics. Pure but for the log lines."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy_api.core.bisect import Candidate
from proxy_api.core.keys import Records, Stored
from proxy_api.core.messages import Report, ServiceReport
from proxy_api.core.observed import Health
from proxy_api.writer.outcomes import no_answer, usable_servers

log = logging.getLogger("proxy-api")


@dataclass(frozen=True, slots=True)
class Standing:
    """All that a report is made from, as it is at the end of a pass. Nothing of it is changed afterwards, so a report
    can be made of it in any thread at any time.

    `recovered` says that both the records and the catalog have been read since the start.
    """

    records: Records | None = None
    served: Candidate | None = None
    recovered: bool = False
    problems: Mapping[str, str] = field(default_factory=dict)
    consul_fault: str = ""
    apply_fault: str = ""
    serves_from_disk: bool = False
    health: Health = field(default_factory=Health)
    changes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    drifts: int = 0
    interference: str = ""


def starting(reason: str) -> Report:
    """Before the first pass."""
    return Report(f"starting: {reason}")


def report(now: Standing) -> Report:
    """The report of a standing."""
    services = _services(now)
    notes = [note for name, service in services for note in _notes(name, service)]
    if now.consul_fault and now.recovered:
        notes.insert(0, f"Consul cannot be used, the last state is served and changes are refused: {now.consul_fault}")
    if now.interference:
        notes.insert(0, f"somebody else had changed HAProxy, and it was put right: {now.interference}")
    return Report(
        reason=_reason(now),
        digest=now.served.rendered.config.digest if now.served else "",
        state_digest=now.served.rendered.state_digest() if now.served else "",
        services=services,
        notes=tuple(notes),
        reloads=_count(now, "reload"),
        runtime_changes=_count(now, "runtime"),
        changes=tuple(sorted(now.changes.items())),
        drifts=now.drifts,
        consul_answers=not now.consul_fault,
    )


def _count(now: Standing, how: str) -> int:
    return sum(count for (change, _), count in now.changes.items() if change == how)


def _reason(now: Standing) -> str:
    if not now.recovered and now.consul_fault:
        what = ("the releases are served as they were admitted" if now.served is not None
                else "the last good configuration from disk is served" if now.serves_from_disk
                else "nothing is served")
        return f"the state is not recovered, {what}: {now.consul_fault}"
    if now.apply_fault:
        return f"HAProxy does not serve the wanted state: {now.apply_fault}"
    return "" if now.served is not None else "the state is not recovered yet"


def _services(now: Standing) -> tuple[tuple[str, ServiceReport], ...]:
    held = now.records.held if now.records else {}
    names = sorted({*held, *now.problems, *(now.served.releases if now.served else ())})
    return tuple((name, _service(name, now, held.get(name))) for name in names)


def _service(name: str, now: Standing, record: object) -> ServiceReport:
    version = record.index if isinstance(record, Stored) else 0
    served = now.served
    outcome = served.resolution.effective.get(name) if served else None
    if served is None or outcome is None:
        return ServiceReport(version, problem=now.problems.get(name, ""))
    usable, down = usable_servers(served.rendered.state.get(name), outcome.release, now.health)
    problem = now.problems.get(name) or served.resolution.broken.get(name, "")
    if not problem and down and not usable:
        problem = no_answer(usable, down)
    return ServiceReport(version, usable, down, len(outcome.gone), len(outcome.waiting), outcome.held, problem)


def _notes(name: str, service: ServiceReport) -> list[str]:
    notes = [f"{name}: {service.problem}"] if service.problem else []
    if service.gone and (service.held or not service.servers):
        rest = f"; {service.waiting} that were never admitted wait for a reconfigure" if service.waiting else ""
        notes.append(f"{name}: every admitted instance has left the catalog{rest}")
    return notes


def log_difference(before: Report, after: Report) -> None:
    """One line for each thing that began or ended."""
    if before.reason != after.reason:
        if after.reason:
            log.warning('event=not-ready reason=%s', after.reason)
        else:
            log.info("event=ready digest=%s services=%d", after.digest, len(after.services))
    for note in sorted(set(after.notes) - set(before.notes)):
        log.warning('event=trouble-begins note=%s', note)
    for note in sorted(set(before.notes) - set(after.notes)):
        log.info('event=trouble-ends note=%s', note)
