"""From what runs to what is wanted: Nothing, Runtime commands, or a Reload with its reason. Core."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from proxy_api.core import runtime
from proxy_api.core.memo import changes
from proxy_api.core.render import Rendered
from proxy_api.core.runtime import Command

Cause = Literal["services", "templates", "routes", "servers", "surroundings", "failed-commands", "drift", "unknown"]
# What brings a change about, in one word for metrics. Of several, the one that comes first here.
CAUSES: dict[Cause, str] = {
    "services": "services were added or removed",
    "templates": "what templates render is another",
    "routes": "a known service's route is another",
    "servers": "only servers came, went or moved",
    "surroundings": "settings or certificates are others",
    "failed-commands": "runtime commands did not do what they should",
    "drift": "somebody changed HAProxy behind proxy-api's back",
    "unknown": "HAProxy served something that this process had not applied, as after a start",
}


@dataclass(frozen=True, slots=True)
class Nothing:
    """What runs is what is wanted."""

    reason: str = "nothing changed"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Commands for the runtime API, in order; each must succeed."""

    commands: tuple[Command, ...]
    reason: str
    cause: Cause = "servers"


@dataclass(frozen=True, slots=True)
class Reload:
    """A new worker with the whole configuration; the reason is for people."""

    reason: str
    cause: Cause = "unknown"


Plan = Nothing | Runtime | Reload


def plan(running: str | None, before: Rendered | None, wanted: Rendered,
         leaving: Iterable[tuple[str, str]] = ()) -> Plan:
    """What it takes to serve `wanted`.

    `running` is the digest that HAProxy says it serves, None where it does not answer; `before` is what this program
    applied last, None where it has not yet; `leaving` are servers out of rotation that are not deleted yet.
    """
    if running == wanted.config.digest:
        return Nothing()
    if before is None or before.config.digest != running:
        return Reload("HAProxy serves something else than was applied last")
    reason, cause = _difference(before, wanted)
    if needs_check(before, wanted):
        return Reload(reason, cause)
    commands = runtime.commands(before, wanted, leaving)
    if len(commands) > runtime.MAX_COMMANDS:
        return Reload(f"{reason}: {len(commands)} commands, a reload is quicker", cause)
    return Runtime(commands, reason, cause)


def needs_check(before: Rendered | None, wanted: Rendered) -> bool:
    """Whether HAProxy has to judge the text: not where only servers and map entries differ from an accepted one."""
    return before is None or not runtime.same_structure(before, wanted)


def _difference(before: Rendered, after: Rendered) -> tuple[str, Cause]:
    """How two configurations differ, for people, and in one word."""
    pairs = changes(before.state.services, after.state.services)
    parts: list[tuple[str, Cause]] = [(f"{now.name} added", "services") for was, now in pairs
                                      if was is None and now is not None]
    parts += [(f"{was.name} removed", "services") for was, now in pairs if was is not None and now is None]
    for was, now in pairs:
        if was is None or now is None:
            continue
        if was.servers != now.servers:
            parts.append((f"{now.name}: servers changed from {len(was.servers)} to {len(now.servers)}", "servers"))
        if was.spec != now.spec:
            parts.append((f"{now.name}: route changed", "routes"))
        if was.custom != now.custom:
            parts.append((f"{now.name}: rendered templates changed", "templates"))
    if before.check_options != after.check_options:
        parts.insert(0, (f"servers are now checked with {after.check_options!r}", "servers"))
    if not parts:
        return "settings, certificates or texts of the proxy changed", "surroundings"
    more = f" and {len(parts) - 5} more" if len(parts) > 5 else ""
    return ", ".join(text for text, _ in parts[:5]) + more, min((cause for _, cause in parts), key=list(CAUSES).index)
