"""What Consul holds: read, and written as a plan says. The only one that asks the agent."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from catalog.errors import CatalogDenied, CatalogError
from catalog.model import AgentService
from registrar.core.decide import with_accepted_check
from registrar.core.drains import MAINTENANCE, is_ours
from registrar.core.outcome import Draft, Written
from registrar.core.ownership_conflicts import QUESTION, question, questions
from registrar.core.plan import Plan
from registrar.core.registered import Registered
from registrar.core.registration import Registration
from registrar.core.retries import Retries
from registrar.core.ttl_heartbeats import TtlHeartbeats, by_check
from registrar.core.writes import Together, Writes, hold_key, question_key
from registrar.shell.protocols import Agent

NO_LEADER = "Consul has no leader: the agent takes registrations, and the catalog shows them once there is one"


class Registry:
    """Consul's agent, or what stands in its place. `refused_checks` are the fingerprints of the registrations whose
    checks it would not run: they are registered without.
    """

    def __init__(self, agent: Agent, retries: Retries, together: Together, stopping: Callable[[], bool],
                 clock: Callable[[], float]) -> None:
        self._agent, self._clock = agent, clock
        self._write_all = Writes(retries, together, stopping, agent.agent_services)
        self._heartbeats = TtlHeartbeats()
        self.refused_checks: set[str] = set()

    # --- reading -------------------------------------------------------------------------------------------------

    def read(self, owner: str, known: Registered | None) -> Registered:
        """What the agent holds now. A token that may not read is answered with less or nothing, not with an error.

        Raises CatalogDenied where entries of `known` are hidden.
        """
        services = self._agent.agent_services()
        maintenance = self._maintenance()
        lost = [key for key in (known.owned(owner) if known else ()) if key not in services]
        # One exact question tells "gone" (absent) from "hidden" (raises CatalogDenied, or is there after all).
        if lost and self._agent.agent_service(lost[0]) is not None:
            raise CatalogDenied(f"Consul hides {lost[0]} from the list of services: the token may not read all of them")
        doubts: tuple[str, ...] = ()
        if not services and known is None:
            try:
                self._agent.agent_self()
            except CatalogDenied as fault:
                doubts = (f"the agent shows no service at all, maybe because the token is too narrow: {fault}",)
        return Registered(services, maintenance, doubts, questions(self._agent.agent_checks()))

    def ask_for_leader(self, registered: Registered) -> Registered:
        """With a doubt where there is no leader, which may take its time to be said."""
        doubts = tuple(doubt for doubt in registered.doubts if doubt != NO_LEADER)
        return replace(registered, doubts=doubts if self._agent.has_leader() else (*doubts, NO_LEADER))

    def _maintenance(self) -> dict[str, str]:
        """The services that are in maintenance, and why."""
        return {key.removeprefix(MAINTENANCE): str(check.get("Notes") or "")
                for key, check in self._agent.agent_checks().items() if key.startswith(MAINTENANCE)}

    def _checks_beside_maintenance(self) -> dict[str, tuple[str, ...]]:
        """The services that are in maintenance, and their other checks."""
        found: dict[str, list[str]] = {}
        for check_id, check in self._agent.agent_checks().items():
            found.setdefault(str(check.get("ServiceID") or ""), []).append(check_id)
        return {service: tuple(c for c in ids if c != MAINTENANCE + service)
                for service, ids in found.items() if MAINTENANCE + service in ids}

    # --- writing -------------------------------------------------------------------------------------------------

    def write(self, draft: Draft, registered: Registered) -> tuple[Written, Registered]:
        """Carry out a plan and report the heartbeats that are due; what Consul took, and what it holds then."""
        plan = draft.plan
        # Before everything else: the container serves its last requests already.
        held, registered = self._hold(plan.hold, registered)
        released, registered = self._release(plan.release, registered)
        made, registered = self._register(plan.register, registered)
        gone = self._write_all((key, "", partial(self._agent.agent_deregister, key)) for key in plan.deregister)
        asked, registered = self._ask_and_answer(plan, registered.without(gone))
        return Written(made, gone, held, released, asked), self._beat(draft.registrations, registered)

    def _ask_and_answer(self, plan: Plan, registered: Registered) -> tuple[tuple[str, ...], Registered]:
        sent = self._write_all((question_key(key), "ask", partial(self._agent.agent_check_register, question(key, at)))
                               for key, at in plan.ask)
        since = {key: at for key, at in plan.ask if question_key(key) in sent}
        sent = self._write_all((question_key(key), "", partial(self._agent.agent_check_deregister, QUESTION + key))
                               for key in plan.answer)
        return tuple(since), registered.asked(since, (key for key in plan.answer if question_key(key) in sent))

    def _hold(self, wanted: Sequence[tuple[str, str]], registered: Registered) -> tuple[tuple[str, ...], Registered]:
        sent = self._write_all((hold_key(key), why, partial(self._agent.agent_maintenance, key, why))
                               for key, why in wanted)
        reasons = {key: why for key, why in wanted if hold_key(key) in sent}
        return tuple(reasons), _doubted(registered, len(sent) < len(wanted)).held(reasons)

    def _release(self, wanted: Sequence[str], registered: Registered) -> tuple[tuple[str, ...], Registered]:
        if not wanted:
            return (), registered
        # An operator's maintenance may have come before ours, which then changed nothing.
        registered = replace(registered, maintenance=self._maintenance())
        ours = [key for key in wanted if is_ours(registered.maintenance.get(key, ""))]
        sent = self._write_all((hold_key(key), "", partial(self._agent.agent_maintenance, key, "")) for key in ours)
        released = tuple(key for key in ours if hold_key(key) in sent)
        return released, _doubted(registered, len(released) < len(ours)).released(released)

    def _register(self, wanted: Sequence[Registration], registered: Registered) -> tuple[tuple[str, ...], Registered]:
        maintained = self._checks_beside_maintenance() if any(r.id in registered.services for r in wanted) else {}
        sent = self._write_all((r.id, r.mark, partial(self._register_one, r, maintained.get(r.id))) for r in wanted)
        entries = {r.id: with_accepted_check(r, self.refused_checks).held() for r in wanted}
        return sent, registered.with_services(entries[key] for key in sent)

    def _register_one(self, one: Registration, other_checks: tuple[str, ...] | None) -> None:
        """A write that replaces the checks would end an operator's maintenance, which is one of them."""
        for check_id in other_checks or ():
            self._agent.agent_check_deregister(check_id)
        try:
            self._agent.agent_register(one.body(), replace_checks=other_checks is None)
        except CatalogError as fault:
            if not (one.runs_script and "cripts are disabled" in str(fault)):
                raise
            self.refused_checks.add(one.mark)
            degraded = with_accepted_check(one, self.refused_checks)
            self._agent.agent_register(degraded.body(), replace_checks=other_checks is None)

    def _beat(self, registrations: Iterable[Registration], registered: Registered) -> Registered:
        """Report the checks that are ours to report."""
        wanted = by_check(r for r in registrations if r.id in registered.services)
        due = self._heartbeats.due(wanted, self._clock())
        update = self._agent.agent_check_update
        sent = self._write_all((key, beat.status, partial(update, key, beat.status, beat.output))
                               for key, beat in due.items())
        self._heartbeats = self._heartbeats.sent(wanted, sent, self._clock())
        return _doubted(registered, len(sent) < len(due))

    def next_due(self) -> float | None:
        """When the next heartbeat is due, by the clock; None where there is none."""
        return self._heartbeats.next_due()

    def withdraw(self, owner: str, is_ours: Callable[[AgentService], bool]) -> int:
        """Take out everything that carries this owner's mark and is no other registrar's; how much that was."""
        found = Registered(self._agent.agent_services(), {}).owned(owner)
        mine = sorted(key for key, entry in found.items() if is_ours(entry))
        for service_id in mine:
            self._agent.agent_deregister(service_id)
        return len(mine)


def _doubted(registered: Registered, failed: bool) -> Registered:
    """What is to be read again, if something failed that needs the agent to have the service: it may have lost it."""
    return replace(registered, stale=True) if failed else registered
