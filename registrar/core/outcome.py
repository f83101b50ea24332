"""What a pass found out, and what came of it: the values between loop, log, metrics and reports. Pure."""

from dataclasses import dataclass, replace

from registrar.core.metadata import Fault
from registrar.core.plan import Plan
from registrar.core.registration import Registration
from registrar.core.services import Skip


@dataclass(frozen=True, slots=True)
class Draft:
    """What a pass found out, before anything is written."""

    plan: Plan
    registrations: tuple[Registration, ...] = ()
    skips: tuple[Skip, ...] = ()
    faults: tuple[Fault, ...] = ()
    doubts: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()  # what another registrar with our node id does
    holds: tuple[tuple[str, str], ...] = ()  # services to be out of rotation, and the reason


@dataclass(frozen=True, slots=True)
class Written:
    """The ids of the services that Consul took a write for."""

    registered: tuple[str, ...]
    deregistered: tuple[str, ...]
    held: tuple[str, ...]
    released: tuple[str, ...]
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a pass. `failed` are the writes that Consul did not take, with its reason."""

    draft: Draft
    registered: tuple[str, ...]
    deregistered: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    owned: int
    held: tuple[str, ...] = ()
    released: tuple[str, ...] = ()

    def without_done_writes(self) -> "Outcome":
        """With a plan of what is still to come: the draft was made before its writes."""
        plan, done = self.draft.plan, {*self.registered, *self.deregistered}
        rest = replace(plan, register=tuple(one for one in plan.register if one.id not in done),
                       deregister=tuple(key for key in plan.deregister if key not in done))
        return replace(self, draft=replace(self.draft, plan=rest))
