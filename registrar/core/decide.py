"""What is to be written, from what runs and what is registered: the one decision of every pass. Pure."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Protocol

from catalog.model import META_CONTAINER
from registrar.core.adoption import adopted_by_id
from registrar.core.drains import Drains
from registrar.core.endpoints import Node
from registrar.core.metadata import Fault
from registrar.core.outcome import Draft
from registrar.core.ownership_conflicts import Here, OwnershipConflicts
from registrar.core.plan import plan, settle
from registrar.core.registered import Registered
from registrar.core.registration import Registration, settled_with, without_check
from registrar.core.running import Running
from registrar.core.services import Offer, Skip, is_left_out
from registrar.core.shared_ports import once_per_node
from registrar.core.wishes import Wishes

NO_SCRIPTS = "no agent runs scripts here (enable_script_checks is off): registered without the check"
NO_AGENT = ("no agent runs scripts or gRPC checks for an external node, nor does consul-esm, which takes http, https "
            "and tcp: registered without the check")


MARGIN_S = 2.0  # beside two intervals of a registrar that has the same one
WHOSE = ("it carries this node id, and no container that this registrar looks after: it stays until no other registrar "
         "has answered for it")


class Rules(Protocol):
    """What the operator wants, as far as a pass depends on it; `settings.Settings` has it all."""

    @property
    def adopt_host(self) -> tuple[str, ...]: ...
    @property
    def drain(self) -> str: ...
    @property
    def deregister(self) -> str: ...
    @property
    def scheme(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision is made from. `conflicts` are those with another registrar of this name, `refused_checks` the
    fingerprints of the registrations whose checks no agent has run.
    """

    owner: str
    running: Running
    registered: Registered
    drains: Drains
    conflicts: OwnershipConflicts
    here: Here
    refused_checks: Set[str]

    def why_leaving(self, one: Registration) -> str:
        """Why a service is to be out of rotation although its container runs, "" where it is not."""
        return self.drains.reason(self.running.containers[one.container], self.registered.reason(one.id))


def decide(offers: Sequence[Offer], now: Situation, rules: Rules) -> Draft:
    """The writes that make Consul hold what the containers bring, and what became of the rest."""
    offered = [one for offer in offers for one in offer.registrations]
    wanted = [with_accepted_check(one, now.refused_checks) for one in offered]
    services = now.registered.services
    if rules.adopt_host:
        services = {**services, **adopted_by_id(services, wanted, now.owner)}
    wanted, doubles = once_per_node(wanted, lambda one: bool(now.why_leaving(one)))
    settled = settle(wanted, services, now.owner)
    staying, holds, draining = _without_draining(
        [settled_with(one, services.get(one.id)) for one in settled.registrations], now, rules)
    claims = now.conflicts.claims(now.registered.owned(now.owner), now.registered.questions,
                                  {one.id for one in staying}, now.here)
    contested = {**now.conflicts.contested, **dict.fromkeys(claims.waiting, "")}
    found = plan(staying, services, now.owner, _kept(now.running, rules), holds, now.registered.maintenance, contested)
    return Draft(
        plan=replace(found, ask=tuple((key, now.here.now) for key in claims.ask), answer=claims.answer),
        registrations=staying,
        skips=tuple(sorted((*(skip for offer in offers for skip in offer.skips), *doubles, *draining))),
        faults=(*(fault for offer in offers for fault in offer.faults), *settled.faults,
                *refused_check_faults(offered, now.refused_checks, rules.scheme)),
        doubts=(*doubts_of(now), *(f"{key}: {WHOSE}" for key in sorted(claims.waiting))),
        conflicts=tuple(f"{key}: {why}" for key, why in sorted(now.conflicts.contested.items())),
        holds=tuple(sorted(holds.items())),
    )


def here_of(running: Running, node: Node, wishes: Wishes, now: float) -> Here:
    """What can be told of the containers here: those looked after, and those that run and are left out."""
    left_out = {key for key, one in running.containers.items() if is_left_out(one, wishes)}
    return Here(frozenset(running.containers.keys() - left_out) | frozenset(running.unreadable),
                frozenset(key for key in left_out if running.containers[key].serving),
                frozenset({node.ipv4, node.ipv6}) - {""}, now, 2 * wishes.interval + MARGIN_S)


def doubts_of(now: Situation) -> tuple[str, ...]:
    """Why not all of this may be the truth."""
    return (*now.registered.doubts, *now.running.unreadable.values())


def is_sharp_drop(draft: Draft, now: Situation) -> bool:
    """Whether most of what is registered has gone, all at once and not one event after the other."""
    mine = now.registered.owned(now.owner)
    leaving = {mine[key].meta_value(META_CONTAINER) for key in draft.plan.deregister} - set(now.running.containers)
    known = {service.meta_value(META_CONTAINER) for service in mine.values()}
    return len(leaving) > 1 and 2 * len(leaving) > len(known)


def with_accepted_check(one: Registration, refused: Set[str]) -> Registration:
    """Without its check, if no agent runs it. The next start asks again."""
    return without_check(one) if one.mark in refused else one


def refused_check_faults(registrations: Iterable[Registration], refused: Set[str], scheme: str) -> tuple[Fault, ...]:
    why = NO_AGENT if scheme == "consul-catalog" else NO_SCRIPTS
    return tuple(Fault(one.container_name, "SERVICE_CHECK_…", str(dict(one.check)), why)
                 for one in registrations if one.mark in refused)


def _without_draining(wanted: Iterable[Registration], now: Situation, rules: Rules,
                      ) -> tuple[tuple[Registration, ...], dict[str, str], list[Skip]]:
    """What is wanted of containers that are to leave rotation: held where it stands, not registered anew."""
    staying, holds, skips = [], {}, []
    for one in wanted:
        reason = now.why_leaving(one)
        if reason and (one.id not in now.registered.services or rules.drain == "deregister"):
            skips.append(Skip(one.container_name, one.exposed, "draining", reason.removeprefix("registrar: ")))
            continue
        staying.append(one)
        if reason:
            holds[one.id] = reason
    return tuple(staying), holds, skips


def _kept(running: Running, rules: Rules) -> frozenset[str]:
    """Containers whose entries stay although nothing is wanted for them now."""
    failed = (one.id for one in running.containers.values() if one.failed and rules.deregister == "on-success")
    return frozenset(running.unreadable) | frozenset(failed)
