"""How the proxy stands, put together for people, probes and metrics. Pure but for the log lines."""

import logging
from collections.abc import Mapping

from proxy_api.core.bisect import Judged
from proxy_api.core.keys import Records, Stored
from proxy_api.core.messages import Report, ServiceReport

log = logging.getLogger("proxy-api")


def starting(reason: str) -> Report:
    """Before the first pass."""
    return Report(f"starting: {reason}")


def build(records: Records | None, served: Judged | None, recovered: bool, problems: Mapping[str, str],
          consul_fault: str, apply_fault: str, on_disk: bool, reloads: int, runtime_changes: int,
          changes: Mapping[tuple[str, str], int], drifts: int, strange: str) -> Report:
    """The report of now. `recovered` says that both the records and the catalog have been read since the start."""
    services = _services(records, served, problems)
    notes = [note for name, service in services for note in _notes(name, service)]
    if consul_fault and recovered:
        notes.insert(0, f"Consul cannot be used, the last state is served and changes are refused: {consul_fault}")
    if strange:
        notes.insert(0, f"somebody else had changed HAProxy, and it was put right: {strange}")
    return Report(
        reason=_reason(served, recovered, consul_fault, apply_fault, on_disk),
        digest=served.rendered.config.digest if served else "",
        services=services,
        notes=tuple(notes),
        reloads=reloads,
        runtime_changes=runtime_changes,
        changes=tuple(sorted(changes.items())),
        drifts=drifts,
        consul_answers=not consul_fault,
    )


def _reason(served: Judged | None, recovered: bool, consul_fault: str, apply_fault: str, on_disk: bool) -> str:
    if not recovered and consul_fault:
        what = ("the releases are served as they were admitted" if served is not None
                else "the last good configuration from disk is served" if on_disk else "nothing is served")
        return f"the state is not recovered, {what}: {consul_fault}"
    if apply_fault:
        return f"HAProxy does not serve the wanted state: {apply_fault}"
    return "" if served is not None else "the state is not recovered yet"


def _services(records: Records | None, served: Judged | None,
              problems: Mapping[str, str]) -> tuple[tuple[str, ServiceReport], ...]:
    held = records.held if records else {}
    found = []
    for name in sorted({*held, *problems, *(served.releases if served else ())}):
        record = held.get(name)
        outcome = served.resolution.effective.get(name) if served else None
        service = served.rendered.state.get(name) if served else None
        broken = served.resolution.broken.get(name, "") if served else ""
        found.append((name, ServiceReport(
            version=record.index if isinstance(record, Stored) else 0,
            servers=len(outcome.release.members()) if outcome and (service is None or service.custom)
            else len(service.servers) if service else 0,
            gone=len(outcome.gone) if outcome else 0,
            waiting=len(outcome.waiting) if outcome else 0,
            held=outcome.held if outcome else False,
            problem=problems.get(name) or broken,
        )))
    return tuple(found)


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
            log.warning('event=not-ready reason="%s"', after.reason)
        else:
            log.info("event=ready digest=%s services=%d", after.digest, len(after.services))
    for note in sorted(set(after.notes) - set(before.notes)):
        log.warning('event=trouble-begins note="%s"', note)
    for note in sorted(set(before.notes) - set(after.notes)):
        log.info('event=trouble-ends note="%s"', note)
