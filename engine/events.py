"""What an engine tells while it happens, as values: hints where to look, and what no inspect can say. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Everything after which an inspect may say something new; `exec_…` alone would be three events per health probe.
EVENTS = ("start", "kill", "die", "pause", "unpause", "health_status", "rename", "destroy", "connect", "disconnect",
          "oom", "update", "remove")
FILTERS = {"type": ["container", "network", "service"], "event": list(EVENTS)}


@dataclass(frozen=True, slots=True)
class Signal:
    """A container was sent a signal, at a time of the engine's clock."""

    container: str
    number: int
    at: float


@dataclass(frozen=True, slots=True)
class Exit:
    """The process of a container has ended, at a time of the engine's clock."""

    container: str
    exit_code: int
    at: float


Note = Signal | Exit  # what an event says that an inspect cannot, or only later


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a container: to its networks, if `network`; it got a signal, or it ended.

    Without a container it happened to a service of the swarm.
    """

    container: str
    network: bool = False
    note: Note | None = None
    event: str = ""  # what the engine calls it


def read_event(event: Mapping[str, Any]) -> Event | None:
    """Read one entry of `GET /events`; None where it concerns no container and no service."""
    actor = event.get("Actor") or {}
    # A change of health has the new state behind a colon.
    action = str(event.get("Action") or "").partition(":")[0]
    if event.get("Type") == "network":
        container = (actor.get("Attributes") or {}).get("container")
        return Event(str(container), network=True, event=action) if container else None
    if event.get("Type") == "service":
        return Event("", event=action)
    if not actor.get("ID"):
        return None
    return Event(str(actor["ID"]), note=_note(event, str(actor["ID"])), event=action)


def _note(event: Mapping[str, Any], container: str) -> Note | None:
    """What an event says that an inspect cannot, or only later."""
    attributes, at = (event.get("Actor") or {}).get("Attributes") or {}, int(event.get("timeNano") or 0) / 1e9
    signal, code = str(attributes.get("signal") or ""), str(attributes.get("exitCode") or "")
    if event.get("Action") == "kill" and signal.isdecimal():
        return Signal(container, int(signal), at)
    return Exit(container, int(code), at) if event.get("Action") == "die" and code.isdecimal() else None
