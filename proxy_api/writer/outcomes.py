"""What to tell a caller of a change that is made, or could be. Pure."""

from dataclasses import dataclass

from proxy_api.core import admission, routing
from proxy_api.core.bisect import Candidate
from proxy_api.core.keys import Held, Stored
from proxy_api.core.messages import Outcome
from proxy_api.core.observed import Health
from proxy_api.core.plan import Plan
from proxy_api.core.release import Release
from proxy_api.core.state import Service
from proxy_api.haproxy.apply import word


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit replaced, and what stands now (None for a removal)."""

    before: Held | None
    now: Stored | None


def outcome(name: str, made: Committed, step: Plan, candidate: Candidate, health: Health) -> Outcome:
    """The answer about one service of a candidate that was brought to HAProxy by `step`."""
    if made.now is None:
        return Outcome(0, 0, word(step), step.reason)
    release, service = made.now.release, candidate.rendered.state.get(name)
    usable, down = usable_servers(service, release, health)
    warnings = (*admission.empty_warning(release), *routing.shadow_warnings(candidate.rendered.routing, name))
    if service is not None:
        warnings += service.left_out + (service.custom.warnings if service.custom else ())
    if down:
        warnings += (no_answer(usable, down),)
    return Outcome(usable, made.now.index, word(step), step.reason, warnings)


def usable_servers(service: Service | None, release: Release, health: Health) -> tuple[int, int]:
    """How many servers of a service HAProxy can use, and how many it cannot. A server of several backends is one."""
    if service is None or service.custom is not None:
        count = len(release.members())
        names = {s.name for s in service.custom.sections} if service is not None and service.custom else set()
        return (0, count) if names and names <= health.dead else (count, 0)
    down = {server for backend in service.backends for server in backend.servers
            if (backend.name, server.name) in health.down}
    servers = service.servers
    return len(servers) - len(down), len(down)


def no_answer(usable: int, down: int) -> str:
    """That servers of a service do not answer, for people."""
    if usable:
        return f"{down} of {usable + down} servers do not answer, and get no requests until they do"
    return f"none of {down} servers answers: requests get 503 until one does"
