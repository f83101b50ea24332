"""From what runs to what is wanted: Nothing, Runtime commands, or a Reload with its reason. Core."""

from dataclasses import dataclass, replace

from proxy_api.render import Rendered
from proxy_api.state import ProxyState


@dataclass(frozen=True, slots=True)
class Nothing:
    """What runs is what is wanted."""

    reason: str = "nothing changed"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Commands for the runtime API, in order; each must succeed."""

    commands: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """A new worker with the whole configuration; the reason is for people."""

    reason: str


Plan = Nothing | Runtime | Reload


def plan(running: str | None, before: Rendered | None, wanted: Rendered) -> Plan:
    """What it takes to serve `wanted`.

    `running` is the digest that HAProxy says it serves, None where it does not answer; `before` is what this program
    applied last, None where it has not yet. Every change is a reload so far.
    """
    if running == wanted.config.digest:
        return Nothing()
    if before is None or before.config.digest != running:
        return Reload("HAProxy serves something else than was applied last")
    return Reload(_difference(before.state, wanted.state) or "settings, certificates or texts of the proxy changed")


def needs_check(before: Rendered | None, wanted: Rendered) -> bool:
    """Whether HAProxy has to judge the text: not where only generated servers differ from an accepted one."""
    return before is None or _outline(before) != _outline(wanted)


def _outline(rendered: Rendered) -> object:
    services = tuple(replace(s, servers=tuple(server for server in s.servers if server.resolve), left_out=())
                     for s in rendered.state.services)
    return services, rendered.around


def _difference(before: ProxyState, after: ProxyState) -> str:
    old, new = {s.name: s for s in before.services}, {s.name: s for s in after.services}
    parts = [f"{name} added" for name in sorted(new.keys() - old.keys())]
    parts += [f"{name} removed" for name in sorted(old.keys() - new.keys())]
    for name in sorted(old.keys() & new.keys()):
        if old[name].servers != new[name].servers:
            parts.append(f"{name}: servers changed from {len(old[name].servers)} to {len(new[name].servers)}")
        if old[name].spec != new[name].spec:
            parts.append(f"{name}: route changed")
        if old[name].custom != new[name].custom:
            parts.append(f"{name}: rendered templates changed")
    shown = parts[:5]
    return ", ".join(shown) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")
