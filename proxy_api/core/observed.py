"""What a running HAProxy says that it has, and whether that is what was wanted. Core."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proxy_api.core.backend_rules import ServerLine
from proxy_api.core.render import DIGEST_MAP, BackendText, Rendered

# servers, as backend and name
Names = frozenset[tuple[str, str]]
# map file -> key -> value
Maps = Mapping[str, Mapping[str, str]]


def maps_of(rendered: Rendered, names: Collection[str] | None = None) -> dict[str, dict[str, str]]:
    """The maps, or those named, as key and value."""
    return {name: dict(line.split(" ", 1) for line in text.splitlines())
            for name, text in rendered.config.files
            if name.endswith(".map") and name != DIGEST_MAP and (names is None or name in names)}


class Seen(NamedTuple):
    """A server as HAProxy has it. `active`: nobody keeps traffic from it; `checked`: HAProxy looks after it itself, and
    `up` is what it found.
    """

    address: str
    port: int
    active: bool
    weight: int
    checked: bool
    up: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """What HAProxy says it has: backend -> server, and map file -> key -> value."""

    servers: Mapping[str, Mapping[str, Seen]]
    maps: Maps


@dataclass(frozen=True, slots=True)
class MasterView:
    """What the master says of itself (`show proc`): its pid, the current worker's pid, and failed reloads so far."""

    master: int
    worker: int
    failed: int


def deviations(observed: Observed, wanted: Rendered, backends: Iterable[BackendText] | None = None,
               maps: Collection[str] | None = None) -> tuple[str, ...]:
    """How what HAProxy has differs from what is wanted, for people; nothing where it does not.

    Of all backends and maps, or of those given. A server out of rotation that nobody wants is no difference: it is
    about to be deleted. A server by name is HAProxy's to resolve.
    """
    found = []
    for backend in backends_of(wanted) if backends is None else backends:
        here, servers = observed.servers.get(backend.name, {}), servers_of(backend)
        for name, server in servers.items():
            if name not in here:
                found.append(f"{backend.name} lacks {name}")
            elif not server.fixed and (wrong := _wrong(here[name], server)):
                found.append(f"{backend.name}/{name} {wrong}")
        found += [f"{backend.name} has {name}" for name in here if name not in servers and here[name].active]
    for file, entries in maps_of(wanted, maps).items():
        if observed.maps.get(file, {}) != entries:
            found.append(f"{file} has other entries")
    return tuple(found)


def backends_of(rendered: Rendered) -> Iterable[BackendText]:
    """Every generated backend."""
    return (backend for service in rendered.services for backend in service.backends)


def _wrong(seen: Seen, server: ServerLine) -> str:
    if seen.checked != server.checked:
        return "is checked" if seen.checked else "is not checked"
    if not seen.active:
        return "is out of rotation"
    if (seen.address, seen.port) != (server.address, server.port):
        return f"is at {seen.address}:{seen.port}"
    return f"has weight {seen.weight}" if seen.weight != server.weight else ""


@dataclass(frozen=True, slots=True)
class Health:
    """The servers that HAProxy cannot use, and the backends that have servers and none that it can."""

    down: Names = frozenset()
    dead: frozenset[str] = frozenset()


def health(observed: Observed) -> Health:
    """What HAProxy's checks have found."""
    down = frozenset((backend, name) for backend, servers in observed.servers.items()
                     for name, seen in servers.items() if seen.active and seen.checked and not seen.up)
    dead = frozenset(backend for backend, servers in observed.servers.items()
                     if any(s.active for s in servers.values())
                     and all(not s.active or (s.checked and not s.up) for s in servers.values()))
    return Health(down, dead)


def servers_of(backend: BackendText) -> dict[str, ServerLine]:
    """Its servers by name."""
    return {server.name: server for server in backend.servers}
