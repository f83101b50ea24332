"""One pass: look at the engine and at Consul, plan, write. The same for start, event, timer and retry.

A full pass reads everything. A pass after a hint inspects only the containers it names and compares with what the
last full pass saw; it goes through the same functions. Only the loop's thread may use a Reconciler.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from functools import partial

from catalog.errors import CatalogDenied, CatalogError
from catalog.model import META_CONTAINER, AgentService
from engine.container import Container
from engine.errors import EngineUnavailable, SwarmUnavailable, Unreadable
from engine.events import Exit, Signal
from engine.swarm import Services
from registrar.core.adoption import adopted, adopted_by_id
from registrar.core.drains import MAINTENANCE, Drains, is_ours
from registrar.core.endpoints import Node
from registrar.core.metadata import Fault
from registrar.core.naming import node_id_from
from registrar.core.outcome import Draft, Outcome
from registrar.core.ownership_conflicts import OwnershipConflicts
from registrar.core.plan import owned, plan, settle
from registrar.core.registration import Registration, settled_with, without_check
from registrar.core.retries import Retries
from registrar.core.services import Offer, Skip, services_of
from registrar.core.settings import Settings
from registrar.core.shared_ports import once_per_node
from registrar.core.tag_templates import nothing_yet
from registrar.core.ttl_heartbeats import TtlHeartbeats
from registrar.core.writes import Together, Writes, one_by_one
from registrar.shell.protocols import Agent, Engine, Pages

SECOND_LOOK_AFTER_S = 1.0
VERIFY_AFTER_S = 1.0
NO_LEADER = "Consul has no leader: the agent takes registrations, and the catalog shows them once there is one"
NO_SCRIPTS = "no agent runs scripts here (enable_script_checks is off): registered without the check"
NO_AGENT = ("no agent runs scripts or gRPC checks for an external node, nor does consul-esm, which takes http, https "
            "and tcp: registered without the check")


class Reconciler:
    """Keeps Consul's agent equal to the engine, for one owner."""

    def __init__(self, settings: Settings, engine: Engine, agent: Agent, addresses: Callable[[], tuple[str, str]],
                 clock: Callable[[], float], sleep: Callable[[float], object],
                 stopping: Callable[[], bool] = lambda: False, wall: Callable[[], float] = time.time,
                 together: Together | None = None, pages: Pages | None = None) -> None:
        self._settings = settings
        self._engine, self._agent = engine, agent
        self._addresses, self._sleep, self._pages = addresses, sleep, pages
        self._node = Node(settings.node_id)
        self._containers: dict[str, Container] = {}
        self._unreadable: dict[str, str] = {}
        self._swarm = Services(engine.swarm_services)
        self._present: dict[str, AgentService] | None = None
        self._offers: dict[str, tuple[Container, Container | None, Node, int, Offer]] = {}
        self._doubts: tuple[str, ...] = ()
        self._leaderless: tuple[str, ...] = ()
        self._maintained: dict[str, str] = {}
        self._notes: list[Signal | Exit] = []
        self._verify: dict[str, float] = {}  # containers that are said to have ended, and when to make sure
        self._drains = Drains(settings.drain, wall)
        self._heartbeats = TtlHeartbeats(clock)
        self._stale = False
        self._conflicts = OwnershipConflicts()
        self._scriptless: set[str] = set()
        self._clock, self._wall = clock, wall
        self.retries = Retries(clock)
        self._write_all = Writes(self.retries, together or one_by_one, stopping, agent.agent_services)

    @property
    def owner(self) -> str:
        """The node id; "" until the engine has told its name."""
        return self._node.id

    def full_pass(self) -> Outcome:
        """Look at everything, then write what differs."""
        outcome = self._apply(self._everything())
        # An agent takes registrations all the same. It is asked last, since it may take its time to say no.
        self._leaderless = () if self._agent.has_leader() else (NO_LEADER,)
        doubts = tuple(dict.fromkeys((*(d for d in outcome.draft.doubts if d != NO_LEADER), *self._leaderless)))
        return replace(outcome, draft=replace(outcome.draft, doubts=doubts))

    def note(self, notes: Iterable[Signal | Exit]) -> None:
        """Remember what containers were sent and that they ended, for the next pass."""
        self._notes.extend(notes)

    def due_in(self) -> float | None:
        """In how many seconds something is to be done without a hint; None where nothing is."""
        retry, drain = self.retries.next_due(), self._drains.next_due()
        beat = self._heartbeats.next_due()
        times = [*(at - self._clock() for at in (retry, beat, *self._verify.values()) if at is not None),
                 *([drain - self._wall()] if drain is not None else [])]
        return max(0.0, min(times)) if times else None

    def hint_pass(self, touched: Set[str] = frozenset(), rewired: Set[str] = frozenset()) -> Outcome:
        """Look at the touched containers, then write what differs, retries that are due included.

        `rewired` are containers whose networks changed. Starting and ending do that too; then a hint of its own says
        so, and asking earlier would only wait for the engine, which holds the container's lock for up to a second.
        """
        if self._present is None or self._stale:
            return self.full_pass()
        now = self._clock()
        touched = touched | self._drains.due() | {key for key, at in self._verify.items() if at <= now}
        touched |= self._heed_known()
        self._look_at(touched | {c for c in rewired if self._may_serve(c)})
        self._heed_signals()
        draft = self._draft(self._present)
        # An id given by hand may have become somebody else's since the last full pass; a default one is ours.
        if any(r.id != r.default_id for r in draft.plan.register):
            self._present = self._read_agent()
            draft = self._draft(self._present)
        return self._apply(draft)

    def preview(self) -> Draft:
        """Look at everything and plan, without writing."""
        return self._everything()

    def _everything(self) -> Draft:
        # Consul before the engine: while it is away, each retry costs one request and not a whole look.
        self._node = self._this_node()
        present = self._read_agent()
        self._look_everywhere(present)
        draft = self._draft(present)
        if self._is_sharp_drop(draft, present):
            self._sleep(SECOND_LOOK_AFTER_S)
            self._look_everywhere(present)
            draft = self._draft(present)
        self._present, self._stale = present, False
        return draft

    def withdraw(self) -> int:
        """Take out everything that carries our mark; how much that was."""
        if not self._node.id:
            self._node = self._this_node()
        mine = owned(self._agent.agent_services(), self._node.id)
        for service_id in sorted(mine):
            self._agent.agent_deregister(service_id)
        return len(mine)

    # --- looking -------------------------------------------------------------------------------------------------

    def _this_node(self) -> Node:
        owner = self._node.id
        if not owner:
            name = self._engine.engine_name()
            if not name:
                raise EngineUnavailable("the Docker engine tells no name of its own: give --node-id")
            owner = node_id_from(name)
        ipv4, ipv6 = self._addresses()
        # A node that has lost its route for a moment keeps its address: it is still registered under it.
        if not ipv4 and not ipv6:
            ipv4, ipv6 = self._node.ipv4, self._node.ipv6
        return Node(owner, ipv4, ipv6, self._settings.family)

    def _read_agent(self) -> dict[str, AgentService]:
        """What the agent holds. A token that may not read is answered with less or nothing, not with an error."""
        known = self._present
        present = self._agent.agent_services()
        present = adopted(present, self._settings.adopt_host, self._node.id)
        self._conflicts.look(owned(present, self._node.id))
        self._maintained = self._read_maintained()
        self._doubts = ()
        lost = [key for key in owned(known or {}, self._node.id) if key not in present]
        # One exact question tells "gone" (absent) from "hidden" (raises CatalogDenied, or is there after all).
        if lost and self._agent.agent_service(lost[0]) is not None:
            raise CatalogDenied(f"Consul hides {lost[0]} from the list of services: the token may not read all of them")
        if not present and known is None:
            try:
                self._agent.agent_self()
            except CatalogDenied as fault:
                self._doubts = (f"the agent shows no service at all, maybe because the token is too narrow: {fault}",)
        return present

    def _read_maintained(self) -> dict[str, str]:
        """The services that are in maintenance, and why."""
        return {key.removeprefix(MAINTENANCE): str(check.get("Notes") or "")
                for key, check in self._agent.agent_checks().items() if key.startswith(MAINTENANCE)}

    def _look_everywhere(self, present: Mapping[str, AgentService]) -> None:
        # Containers we have registered are asked for by name as well: a listing that lacks them proves nothing.
        registered = {s.meta_value(META_CONTAINER) for s in owned(present, self._node.id).values()} - {""}
        ids = self._engine.running(self._settings.only_label) | registered
        self._containers, self._unreadable = {}, {}
        self._swarm.look_again()
        self._look_at(ids)
        self._heed_signals()

    def _heed_known(self) -> frozenset[str]:
        """Heed notes on containers that are known, without asking the engine; those that have to be looked at.

        The engine holds a container's lock for a tenth of a second and more while it ends, so that an inspect would
        only tell later what the event has told. It follows all the same, once the lock is free.
        """
        unknown = []
        for note in self._notes:
            known = self._containers.get(note.container)
            if known is None or not known.serving or note.at < known.state.started:
                unknown.append(note)
            elif isinstance(note, Signal):
                self._drains.signalled(known, note)
            else:
                ended = replace(known.state, running=False, pid=0, exit_code=note.exit_code)
                self._containers[note.container] = replace(known, state=ended)
                self._verify[note.container] = self._clock() + VERIFY_AFTER_S
        self._notes = unknown
        return frozenset(note.container for note in unknown)

    def _heed_signals(self) -> None:
        for note in self._notes:
            container = self._containers.get(note.container)
            if container and isinstance(note, Signal):
                self._drains.signalled(container, note)
        self._notes = [n for n in self._notes if n.container in self._unreadable and isinstance(n, Signal)]
        self._drains.forget_all_but(self._containers)

    def _look_at(self, container_ids: Iterable[str]) -> None:
        for container_id, found in self._engine.inspect_all(sorted(container_ids)):
            self._unreadable.pop(container_id, None)
            self._verify.pop(container_id, None)
            if isinstance(found, Unreadable):
                # Unknown is not gone: whatever is registered for it stays until it can be read.
                self._unreadable[container_id] = str(found)
            elif found is None:
                self._containers.pop(container_id, None)
            else:
                self._saw(container_id, found)

    def _saw(self, container_id: str, container: Container) -> None:
        try:
            container = self._containers[container_id] = self._swarm.complete(container)
        except SwarmUnavailable as fault:
            self._unreadable[container_id] = f"container {container.name}: {fault}"
            return
        if container.joined and container.serving and self._target_of(container) is None:
            self._look_at([container.joined])

    def _may_serve(self, container_id: str) -> bool:
        known = self._containers.get(container_id)
        return container_id in self._unreadable or (known is not None and known.serving)

    def _target_of(self, container: Container) -> Container | None:
        wanted = container.joined
        if not wanted:
            return None
        found = self._containers.get(wanted)
        return found or next((c for c in self._containers.values() if c.name == wanted), None)

    # --- deciding ------------------------------------------------------------------------------------------------

    def _draft(self, present: dict[str, AgentService]) -> Draft:
        offers = [self._offer(c) for c in self._containers.values()]
        refused = self._refused_scripts(r for o in offers for r in o.registrations)
        self._offers = {key: kept for key, kept in self._offers.items() if key in self._containers}
        wanted = [self._as_scripts_allow(r) for o in offers for r in o.registrations]
        if self._settings.adopt_host:
            present.update(adopted_by_id(present, wanted, self._node.id))
        wanted, doubles = once_per_node(wanted, lambda one: self._is_leaving(one, present))
        settled = settle(wanted, present, self._node.id)
        known = [settled_with(r, present.get(r.id)) for r in settled.registrations]
        registrations, holds, drained = self._without_drained(known, present)
        return Draft(
            plan=plan(registrations, present, self._node.id, self._kept(), holds, self._maintained,
                      self._conflicts.contested),
            registrations=registrations,
            skips=tuple(sorted((*(s for o in offers for s in o.skips), *doubles, *drained))),
            faults=(*(f for o in offers for f in o.faults), *settled.faults, *refused),
            doubts=(*self._doubts, *self._unreadable.values(), *self._leaderless),
            conflicts=tuple(f"{key}: {why}" for key, why in sorted(self._conflicts.contested.items())),
            holds=tuple(sorted(holds.items())),
        )

    def _without_drained(self, wanted: Iterable[Registration], present: Mapping[str, AgentService],
                         ) -> tuple[tuple[Registration, ...], dict[str, str], list[Skip]]:
        """What is wanted of containers that are to leave rotation: held where it stands, not registered anew."""
        staying, holds, skips = [], {}, []
        for one in wanted:
            known = self._maintained.get(one.id, "") if one.id in present else ""
            reason = self._drains.reason(self._containers[one.container], known)
            if reason and (one.id not in present or self._settings.drain == "deregister"):
                skips.append(Skip(one.container_name, one.exposed, "draining", reason.removeprefix("registrar: ")))
                continue
            staying.append(one)
            if reason:
                holds[one.id] = reason
        return tuple(staying), holds, skips

    def _is_leaving(self, one: Registration, present: Mapping[str, AgentService]) -> bool:
        known = self._maintained.get(one.id, "") if one.id in present else ""
        return bool(self._drains.reason(self._containers[one.container], known))

    def _offer(self, container: Container) -> Offer:
        """What a container brings; computed again only when it, its target, this node or a page has changed."""
        target, pages = self._target_of(container), self._pages.version if self._pages else 0
        last = self._offers.get(container.id)
        if last and last[0] is container and last[1] is target and last[2:4] == (self._node, pages):
            return last[4]
        look_up = self._pages.look_up if self._pages else nothing_yet
        offer = services_of(container, target, self._node, self._settings, look_up)
        self._offers[container.id] = (container, target, self._node, pages, offer)
        return offer

    def _kept(self) -> frozenset[str]:
        """Containers whose entries stay although nothing is wanted for them now."""
        failed = (c.id for c in self._containers.values() if c.failed and self._settings.deregister == "on-success")
        return frozenset(self._unreadable) | frozenset(failed)

    def _is_sharp_drop(self, draft: Draft, present: Mapping[str, AgentService]) -> bool:
        """Most of what we have registered has gone, all at once and not one event after the other."""
        mine = owned(present, self._node.id)
        leaving = {mine[key].meta_value(META_CONTAINER) for key in draft.plan.deregister} - set(self._containers)
        known = {service.meta_value(META_CONTAINER) for service in mine.values()}
        return len(leaving) > 1 and 2 * len(leaving) > len(known)

    # --- writing -------------------------------------------------------------------------------------------------

    def _apply(self, draft: Draft) -> Outcome:
        present = self._present if self._present is not None else {}
        marks = {r.id: r.mark for r in draft.plan.register} | dict.fromkeys(draft.plan.deregister, "")
        marks |= {_hold_key(key): reason for key, reason in draft.plan.hold}
        marks |= {_hold_key(key): "" for key in draft.plan.release}
        marks |= {r.check_id(beat): beat.status for r in draft.registrations for beat in r.heartbeats}
        self.retries.forget_all_but(marks)
        held, released = self._hold(draft)
        maintained = self._other_checks() if any(r.id in present for r in draft.plan.register) else {}
        new = {r.id: r for r in draft.plan.register}
        registered = self._write_all(
            (r.id, r.mark, partial(self._register, r, maintained.get(r.id)))
            for r in draft.plan.register)
        for service_id in registered:
            present[service_id] = self._as_scripts_allow(new[service_id]).held()
            self._conflicts.wrote(present[service_id])
        deregistered = self._write_all((key, "", partial(self._agent.agent_deregister, key))
                                       for key in draft.plan.deregister)
        for service_id in deregistered:
            present.pop(service_id, None)
            self._conflicts.removed(service_id)
            self._maintained.pop(service_id, None)
        self._beat(draft.registrations, present)
        draft = replace(draft, faults=(*draft.faults, *self._refused_scripts(draft.plan.register)))
        return Outcome(draft, tuple(registered), tuple(deregistered), self.retries.failures(),
                       len(owned(present, self._node.id)), held, released)

    def _beat(self, registrations: Iterable[Registration], present: Mapping[str, AgentService]) -> None:
        """Report the checks that are ours to report."""
        due = dict(self._heartbeats.due(r for r in registrations if r.id in present))
        update = self._agent.agent_check_update
        sent = self._write_all((key, beat.status, partial(update, key, beat.status, beat.output))
                               for key, beat in due.items())
        for check_id in sent:
            self._heartbeats.sent(check_id, due[check_id])
        # Most likely the agent has lost the service: nothing that was read of it is worth anything now.
        self._stale = self._stale or len(sent) < len(due)

    def _hold(self, draft: Draft) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Put services into maintenance and take them out of ours; which ones."""
        # Before everything else: the container serves its last requests already.
        sent = self._write_all((_hold_key(key), reason, partial(self._agent.agent_maintenance, key, reason))
                               for key, reason in draft.plan.hold)
        held = [key for key, _ in draft.plan.hold if _hold_key(key) in sent]
        self._maintained.update({key: reason for key, reason in draft.plan.hold if key in held})
        if draft.plan.release:
            # An operator's maintenance may have come before ours, which then changed nothing.
            self._maintained = self._read_maintained()
        ours = [key for key in draft.plan.release if is_ours(self._maintained.get(key, ""))]
        sent = self._write_all((_hold_key(key), "", partial(self._agent.agent_maintenance, key, "")) for key in ours)
        released = [key for key in ours if _hold_key(key) in sent]
        for service_id in released:
            self._maintained.pop(service_id, None)
        return tuple(held), tuple(released)

    def _register(self, registration: Registration, maintained: tuple[str, ...] | None) -> None:
        """Register. A write that replaces the checks would end an operator's maintenance, which is one of them."""
        for check_id in maintained or ():
            self._agent.agent_check_deregister(check_id)
        try:
            self._agent.agent_register(registration.body(), replace_checks=maintained is None)
        except CatalogError as fault:
            if not (registration.runs_script and "cripts are disabled" in str(fault)):
                raise
            self._scriptless.add(registration.mark)
            degraded = self._as_scripts_allow(registration)
            self._agent.agent_register(degraded.body(), replace_checks=maintained is None)

    def _refused_scripts(self, registrations: Iterable[Registration]) -> list[Fault]:
        why = NO_AGENT if self._settings.scheme == "consul-catalog" else NO_SCRIPTS
        return [Fault(r.container_name, "SERVICE_CHECK_…", str(dict(r.check)), why)
                for r in registrations if r.mark in self._scriptless]

    def _as_scripts_allow(self, registration: Registration) -> Registration:
        """Without its check, if the agent has refused to run scripts. The next start asks it again."""
        return without_check(registration) if registration.mark in self._scriptless else registration

    def _other_checks(self) -> dict[str, tuple[str, ...]]:
        """The services that are in maintenance, and their other checks."""
        found: dict[str, list[str]] = {}
        for check_id, check in self._agent.agent_checks().items():
            found.setdefault(str(check.get("ServiceID") or ""), []).append(check_id)
        return {service: tuple(c for c in ids if c != MAINTENANCE + service)
                for service, ids in found.items() if MAINTENANCE + service in ids}


def _hold_key(service_id: str) -> str:
    return f"{service_id} (maintenance)"
