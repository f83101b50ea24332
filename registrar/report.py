"""A plan in words, for --dry-run: what would be written, what stands already, and why the rest is not there. Pure."""

from collections.abc import Iterator

from registrar.outcome import Draft
from registrar.registration import Registration


def render(draft: Draft) -> str:
    """One line for each service, and for each port that is none."""
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
    for fault in draft.faults:
        yield f"fault      {fault.container} {fault.key}={fault.value!r}: {fault.rule}"
    for doubt in draft.doubts:
        yield f"doubt      {doubt}"
    yield f"{len(draft.plan.register)} to register, {len(draft.plan.deregister)} to remove; nothing was written"


def _described(registration: Registration) -> str:
    tags = f" tags={','.join(registration.tags)}" if registration.tags else ""
    check = f" check={' '.join(f'{k}={v}' for k, v in registration.check)}" if registration.check else ""
    return f"{registration.id} name={registration.name} address={registration.address}:{registration.port}{tags}{check}"
