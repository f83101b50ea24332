"""What to write to Consul so that it holds what is wanted: a comparison of values. Pure.

Only entries that carry this owner's mark are ever changed; whatever else the agent holds is somebody else's.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType

from catalog.model import META_CONTAINER, AgentService
from registrar.core.drains import is_ours
from registrar.core.metadata import Fault
from registrar.core.registered import is_owned, owned
from registrar.core.registration import Registration, with_default_id, with_tags

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Plan:
    """Writes that make Consul hold what is wanted: registrations first, so that a rename leaves no gap."""

    register: tuple[Registration, ...] = ()
    deregister: tuple[str, ...] = ()
    hold: tuple[tuple[str, str], ...] = ()  # to be put into maintenance, and the reason
    release: tuple[str, ...] = ()
    ask: tuple[tuple[str, float], ...] = ()  # whose entry it is: the service, and the time
    answer: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.register or self.deregister or self.hold or self.release or self.ask or self.answer)


@dataclass(frozen=True, slots=True)
class Settled:
    """Registrations with an id each of their own, and what had to give way for that."""

    registrations: tuple[Registration, ...]
    faults: tuple[Fault, ...] = ()


def settle(wanted: Iterable[Registration], present: Mapping[str, AgentService], owner: str) -> Settled:
    """Give every registration an id that no other has: neither another wanted one nor a foreign entry.

    A custom id (SERVICE_ID) that is taken gives way to the default one. Among equals the oldest container wins, so
    that the answer does not depend on the order of a listing.
    """
    taken = {key: "an entry of another owner" for key, service in present.items() if not is_owned(service, owner)}
    settled, faults = [], []
    # Default ids first: they are nobody's choice and must not lose to somebody's.
    for one in sorted(wanted, key=lambda r: (r.id != r.default_id, r.created, r.default_id)):
        choice = one
        if one.id in taken and one.id != one.default_id:
            choice = with_default_id(one)
            faults.append(Fault(one.container_name, "SERVICE_ID", one.id,
                                f"the id is taken by {taken[one.id]}: registered as {one.default_id}"))
        if choice.id in taken:
            faults.append(Fault(one.container_name, "id", choice.id,
                                f"not registered: the id is taken by {taken[choice.id]}"))
            continue
        taken[choice.id] = f"container {one.container_name}"
        settled.append(choice)
    return Settled(tuple(settled), tuple(faults))


def plan(wanted: Iterable[Registration], present: Mapping[str, AgentService], owner: str,
         keep: Set[str] = frozenset(), holds: Mapping[str, str] = _NOTHING,
         maintained: Mapping[str, str] = _NOTHING, contested: Mapping[str, str] = _NOTHING) -> Plan:
    """Compare what is wanted with what the agent holds. Entries of the containers in `keep` stay as they are.

    `holds` are the services to be out of rotation, `maintained` those that are in maintenance, each with its reason.
    A maintenance of somebody else's stays, and is enough for us too. `contested` entries are not written at all.
    """
    mine = owned(present, owner)
    by_id = {r.id: r for r in wanted if r.id in mine or r.id not in present}
    return Plan(
        register=tuple(_as_tagged(r, mine.get(key)) for key, r in sorted(by_id.items())
                       if key not in contested and not r.stands_as(mine.get(key))),
        deregister=tuple(
            key for key, service in sorted(mine.items())
            if key not in by_id and key not in contested and service.meta_value(META_CONTAINER) not in keep
        ),
        hold=tuple((key, reason) for key, reason in sorted(holds.items()) if key in by_id and key not in maintained),
        release=tuple(key for key, reason in sorted(maintained.items())
                      if key in by_id and key not in holds and is_ours(reason)),
    )


def _as_tagged(registration: Registration, present: AgentService | None) -> Registration:
    """With the tags that others gave it, where they may."""
    return with_tags(registration, present.tags) if present and registration.tag_override else registration
