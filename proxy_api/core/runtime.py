"""What changes without a reload: commands of HAProxy's runtime API, and whether what it then has is right. Core.

Servers of generated backends and entries of maps change this way (2.6 management guide, 9.3); everything else is
structure. A command states the answer that means success, because on the socket an error is only text.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proxy_api.core.render import DIGEST_MAP, Rendered, endpoint, weight_words
from proxy_api.core.state import Server, Service, changes

MAX_COMMANDS = 2000  # beyond, a reload is quicker (measured: about 10,000 commands/s against 0.1 to 0.5 s)


class NotApplied(Exception):
    """HAProxy does not answer, or a command did not do what it was to do. The text says which."""


@dataclass(frozen=True, slots=True)
class Command:
    """A line for the socket, and what its answer has to contain; "" for an answer that has to be empty."""

    line: str
    ok: str = ""


# servers, as backend and name
Names = frozenset[tuple[str, str]]
# map file -> key -> value
Maps = Mapping[str, Mapping[str, str]]


def changed_maps(before: Rendered, wanted: Rendered) -> tuple[str, ...]:
    """The maps of `wanted` that are others than before."""
    same = dict(before.config.files)
    return tuple(name for name, text in wanted.config.files
                 if name.endswith(".map") and name != DIGEST_MAP and same.get(name) != text)


def maps_of(rendered: Rendered, names: Collection[str] | None = None) -> dict[str, dict[str, str]]:
    """The maps, or those named, as key and value."""
    return {name: dict(line.split(" ", 1) for line in text.splitlines())
            for name, text in rendered.config.files
            if name.endswith(".map") and name != DIGEST_MAP and (names is None or name in names)}


def arrivals(before: Rendered, wanted: Rendered) -> tuple[tuple[Service, tuple[Server, ...]], ...]:
    """The services with servers that HAProxy is to check and that are new or elsewhere now, with these servers.

    HAProxy sends requests to such a server before it has checked it.
    """
    found = []
    for was, now in changes(before.state, wanted.state):
        if now is None or now.custom is not None or now.spec.skip_check:
            continue
        here = {(s.name, s.address, s.port) for s in was.servers} if was is not None else set()
        fresh = tuple(s for s in now.servers if not s.resolve and (s.name, s.address, s.port) not in here)
        if fresh:
            found.append((now, fresh))
    return tuple(found)


def doubtful(arrived: Iterable[tuple[Service, tuple[Server, ...]]], silent: Collection[tuple[str, int]]) -> Names:
    """Which arrivals are to begin as down, as their address is silent. Not where nobody else would be left: then
    HAProxy's retries are all that there is.
    """
    found: set[tuple[str, str]] = set()
    for service, fresh in arrived:
        down = [s for s in fresh if (s.address, s.port) in silent]
        if len(down) < len(service.servers):
            found.update((service.spec.backend, s.name) for s in down)
    return frozenset(found)


def commands(before: Rendered, wanted: Rendered, leaving: Iterable[tuple[str, str]],
             down: Names = frozenset()) -> tuple[Command, ...]:
    """The commands from one configuration to another of the same structure, in an order that never lacks a server:
    what is new first, then the maps, then what goes. `leaving` are servers that are out of rotation but not deleted
    yet; `down` are those that get no request before HAProxy's checks have found them up.
    """
    left = frozenset(leaving)
    come: list[Command] = []
    go: list[Command] = []
    for was, now in changes(before.state, wanted.state):
        if was is None or now is None:
            continue  # of another structure, or without a section
        backend, here, there = now.spec.backend, was.by_name(), now.by_name()
        checks = "" if now.spec.skip_check else f" check {wanted.check_options}"
        for name, server in sorted(there.items()):
            if name not in here:
                come += _enter(backend, server, checks, (backend, name) in left, (backend, name) in down)
            elif here[name] != server:
                come += _change(backend, here[name], server, (backend, name) in down)
        go += [take_out(backend, name) for name in sorted(here.keys() - there.keys())]
    names = changed_maps(before, wanted)
    digest = Command(f"set map {DIGEST_MAP} digest {wanted.config.digest}")
    return (*come, *_map_commands(maps_of(before, names), maps_of(wanted, names)), *go, digest)


def _enter(backend: str, server: Server, checks: str, known: bool, down: bool) -> tuple[Command, ...]:
    name = f"{backend}/{server.name}"
    # Whatever leaves maintenance is up; only while it drains can it be down and get nothing on its way there.
    begin = (_state(name, "drain"), start_down(backend, server.name), _state(name, "ready"))
    if known:
        return (_move(backend, server), _weigh(backend, server), *(begin if down else begin[-1:]))
    # default-server is not inherited by a server that is added (reference/haproxy-engineering.md section 3).
    words = " ".join((endpoint(server), *weight_words(server)))
    added = Command(f"add server {name} {words}{checks}", "New server registered.")
    return (added, *([Command(f"enable health {name}")] if checks else []),
            *(begin if down else [Command(f"enable server {name}")]))


def _change(backend: str, before: Server, server: Server, down: bool) -> Iterable[Command]:
    name = f"{backend}/{server.name}"
    if down:
        yield _state(name, "drain")
    if (before.address, before.port) != (server.address, server.port):
        yield _move(backend, server)
    if before.weight != server.weight:
        yield _weigh(backend, server)
    if down:
        yield start_down(backend, server.name)
        yield _state(name, "ready")


def _state(name: str, state: str) -> Command:
    return Command(f"set server {name} state {state}")


def start_down(backend: str, name: str) -> Command:
    """No requests until HAProxy's checks find it up."""
    return Command(f"set server {backend}/{name} health down")


def _weigh(backend: str, server: Server) -> Command:
    return Command(f"set server {backend}/{server.name} weight {server.weight}")


def _move(backend: str, server: Server) -> Command:
    # "IP changed from ..", "port changed from ..", or "no need to change the addr ..".
    return Command(f"set server {backend}/{server.name} addr {server.address} port {server.port}", "change")


def take_out(backend: str, name: str) -> Command:
    """No more traffic; requests under way finish."""
    return _state(f"{backend}/{name}", "maint")


def delete(backend: str, name: str) -> Command:
    """Remove a server that is out of rotation; refused while it has sessions."""
    return Command(f"del server {backend}/{name}", "Server deleted.")


def cut(backend: str, name: str) -> Command:
    """End the sessions that a server still has."""
    return Command(f"shutdown sessions server {backend}/{name}")


def _map_commands(old: Maps, new: Maps) -> Iterable[Command]:
    for file in sorted(new):
        before, after = old.get(file, {}), new[file]
        for key in sorted(after):
            if key not in before:
                yield Command(f"add map {file} {_escaped(key)} {_escaped(after[key])}")
            elif before[key] != after[key]:
                yield Command(f"set map {file} {_escaped(key)} {_escaped(after[key])}")
        for key in sorted(before.keys() - after.keys()):
            yield Command(f"del map {file} {_escaped(key)}")


def _escaped(word: str) -> str:
    # A semicolon ends a command, and a backslash escapes; neither a blank nor a quote gets into a map.
    return word.replace("\\", "\\\\").replace(";", "\\;")


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


def deviations(observed: Observed, wanted: Rendered, services: Iterable[Service] | None = None,
               maps: Collection[str] | None = None) -> tuple[str, ...]:
    """How what HAProxy has differs from what is wanted, for people; nothing where it does not.

    Of all services and maps, or of those given. A server out of rotation that nobody wants is no difference: it is
    about to be deleted. A server by name is HAProxy's to resolve.
    """
    found = []
    for service in wanted.state.services if services is None else services:
        if service.custom is not None:
            continue
        backend, servers = service.spec.backend, service.by_name()
        here = observed.servers.get(backend, {})
        for name, server in servers.items():
            if name not in here:
                found.append(f"{backend} lacks {name}")
            elif server.resolve:
                continue
            elif wrong := _wrong(here[name], server, not service.spec.skip_check):
                found.append(f"{backend}/{name} {wrong}")
        found += [f"{backend} has {name}" for name in here if name not in servers and here[name].active]
    for file, entries in maps_of(wanted, maps).items():
        if observed.maps.get(file, {}) != entries:
            found.append(f"{file} has other entries")
    return tuple(found)


def _wrong(seen: Seen, server: Server, checked: bool) -> str:
    if seen.checked != checked:
        return "is checked" if seen.checked else "is not checked"
    if not seen.active:
        return "is out of rotation"
    if (seen.address, seen.port) != (server.address, server.port):
        return f"is at {seen.address}:{seen.port}"
    return f"has weight {seen.weight}" if seen.weight != server.weight else ""


def found_down(observed: Observed) -> Names:
    """The servers that HAProxy's checks have found down."""
    return frozenset((backend, name) for backend, servers in observed.servers.items()
                     for name, seen in servers.items() if seen.active and seen.checked and not seen.up)


def keep_down(wanted: Rendered, down: Names) -> tuple[Command, ...]:
    """The commands to a new worker, that takes every server for up, about those that are not."""
    backends = {backend for backend, _ in down}
    return tuple(start_down(s.spec.backend, server.name) for s in wanted.state.services if s.spec.backend in backends
                 if s.custom is None and not s.spec.skip_check
                 for server in s.servers if (s.spec.backend, server.name) in down)


def same_structure(before: Rendered, wanted: Rendered) -> bool:
    """Whether two configurations differ in nothing that only a reload can change."""
    return (before.around == wanted.around and before.check_options == wanted.check_options
            and [g.frame() for g in before.routing.groups] == [g.frame() for g in wanted.routing.groups]
            and all(was is not None and now is not None and _structure(was) == _structure(now)
                    for was, now in changes(before.state, wanted.state)))


def _structure(service: Service) -> object:
    if service.custom is not None:
        return service.custom
    return service.spec.backend, service.spec.skip_check, tuple(s for s in service.servers if s.resolve)
