"""What is in the catalog, what is to be, and why the rest is not: as lines, as a table and as JSON. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from registrar.core.grammar import join_host_port
from registrar.core.outcome import Draft
from registrar.core.registration import Registration

NOTHING_FAILED: Mapping[str, str] = MappingProxyType({})

# What a row says of its port.
REGISTERED, REGISTER, HELD, FAILED, SKIPPED, REMOVE = (
    "registered", "register", "held", "failed", "skipped", "remove")


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A port of a container and what becomes of it; `code` is the kind of reason where it is skipped."""

    container: str
    port: str
    state: str
    service: str = ""
    id: str = ""
    address: str = ""
    reason: str = ""
    code: str = ""


def rows(draft: Draft, failed: Mapping[str, str] = NOTHING_FAILED) -> tuple[Row, ...]:
    """One row for each port of each container, and for each entry that is to go; `failed` writes have their reason."""
    new, holds = {registration.id for registration in draft.plan.register}, dict(draft.holds)
    found = []
    for one in draft.registrations:
        state, reason = (REGISTER, "") if one.id in new else (REGISTERED, "")
        if one.id in holds:
            state, reason = HELD, holds[one.id]
        if one.id in failed:
            state, reason = FAILED, failed[one.id]
        found.append(Row(one.container_name, one.exposed, state, one.name, one.id,
                         join_host_port(one.address, one.port), reason))
    found += [Row(s.container, s.port, SKIPPED, reason=s.reason, code=s.code) for s in draft.skips]
    found += [Row("", "", REMOVE, id=key, reason=failed.get(key, "")) for key in draft.plan.deregister]
    return tuple(sorted(found))


def as_json(draft: Draft, failed: Mapping[str, str] = NOTHING_FAILED) -> str:
    """All of it, containers by name; keys with nothing to say are left out."""
    containers: dict[str, list[dict[str, str]]] = {}
    for row in rows(draft, failed):
        if row.state != REMOVE:
            containers.setdefault(row.container, []).append(_filled(
                port=row.port, state=row.state, service=row.service, id=row.id, address=row.address,
                reason=row.reason, code=row.code))
    document: dict[str, Any] = {
        "containers": [{"name": name, "ports": ports} for name, ports in sorted(containers.items())],
        "register": sorted(r.id for r in draft.plan.register),
        "remove": list(draft.plan.deregister),
        "metadata": [_filled(container=f.container, key=f.key, value=f.value, rule=f.rule) for f in draft.faults],
        "doubts": list(draft.doubts),
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _filled(**fields: str) -> dict[str, str]:
    return {key: value for key, value in fields.items() if value}


def table(draft: Draft) -> str:
    """The same for eyes: columns, then what is wrong with metadata, then a summary."""
    lines = [("CONTAINER", "PORT", "STATE", "SERVICE", "ADDRESS", "ID OR REASON")]
    for row in rows(draft):
        last = row.reason if row.state == SKIPPED else f"{row.id} ({row.reason})" if row.reason else row.id
        lines.append((row.container or "-", row.port or "-", row.state, row.service or "-", row.address or "-", last))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    text = ["  ".join((*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[5]))
            for line in lines]
    return "\n".join((*text, *_remarks(draft))) + "\n"


def render(draft: Draft) -> str:
    """For --dry-run: one line for each service, and for each port that is none."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    new = {registration.id for registration in draft.plan.register}
    for registration in draft.registrations:
        yield f"{'register  ' if registration.id in new else 'unchanged '} {_described(registration)}"
    for service_id, reason in draft.holds:
        yield f"hold       {service_id}: {reason}"
    for service_id in draft.plan.deregister:
        yield f"remove     {service_id}"
    for skip in draft.skips:
        yield f"skip       {skip.container}{' ' + skip.port if skip.port else ''}: {skip.reason}"
    yield from _remarks(draft)


def _remarks(draft: Draft) -> Iterator[str]:
    for fault in draft.faults:
        yield f"fault      {fault.container} {fault.key}={fault.value!r}: {fault.rule}"
    for doubt in draft.doubts:
        yield f"doubt      {doubt}"
    yield f"{len(draft.plan.register)} to register, {len(draft.plan.deregister)} to remove; nothing was written"


def _described(registration: Registration) -> str:
    tags = f" tags={','.join(registration.tags)}" if registration.tags else ""
    check = f" check={' '.join(f'{k}={v}' for k, v in registration.check)}" if registration.check else ""
    return f"{registration.id} name={registration.name} address={registration.address}:{registration.port}{tags}{check}"
