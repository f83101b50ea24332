"""What changes without a reload: commands of HAProxy's runtime API. Core.

Servers of generated backends and entries of maps change this way (2.6 management guide, 9.3); everything else is
structure. A command states the answer that means success, because on the socket an error is only text.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from proxy_api.core.backend_rules import ServerLine
from proxy_api.core.memo import changes
from proxy_api.core.observed import Maps, Names, backends_of, maps_of, servers_of
from proxy_api.core.render import DIGEST_MAP, MAIN_FILE, BackendText, Rendered, ServiceText

# What the map of the digest says while commands are carried out. Whatever ends them halfway, our own death included,
# HAProxy says of itself from then on that it has neither the old configuration nor the new one.
UNDER_WAY = "0"
MAX_COMMANDS = 2000  # beyond, a reload is quicker (measured: about 10,000 commands/s against 0.1 to 0.5 s)


class NotApplied(Exception):
    """HAProxy does not answer, or a command did not do what it was to do. The text says which."""


@dataclass(frozen=True, slots=True)
class Command:
    """A line for the socket, and what its answer has to contain; "" for an answer that has to be empty."""

    line: str
    ok: str = ""




def changed_maps(before: Rendered, wanted: Rendered) -> tuple[str, ...]:
    """The maps of `wanted` that are others than before."""
    same = dict(before.config.files)
    return tuple(name for name, text in wanted.config.files
                 if name.endswith(".map") and name != DIGEST_MAP and same.get(name) != text)


def backend_changes(before: Rendered, wanted: Rendered) -> tuple[tuple[BackendText | None, BackendText | None], ...]:
    """The generated backends that differ, as they were and as they are; None where there is none."""
    return tuple(pair for was, now in changes(before.services, wanted.services)
                 for pair in changes(_by_name(was.backends if was else ()), _by_name(now.backends if now else ())))


def _by_name(backends: Iterable[BackendText]) -> tuple[BackendText, ...]:
    return tuple(sorted(backends, key=lambda b: b.name))


def arrivals(before: Rendered, wanted: Rendered) -> tuple[tuple[BackendText, tuple[ServerLine, ...]], ...]:
    """The backends with servers that HAProxy is to check and that are new or elsewhere now, with these servers.

    HAProxy sends requests to such a server before it has checked it.
    """
    found = []
    for was, now in backend_changes(before, wanted):
        here = {(s.name, s.address, s.port) for s in was.servers} if was is not None else set()
        fresh = tuple(s for s in (now.servers if now is not None else ())
                      if s.checked and not s.fixed and (s.name, s.address, s.port) not in here)
        if now is not None and fresh:
            found.append((now, fresh))
    return tuple(found)


def doubtful(arrived: Iterable[tuple[BackendText, tuple[ServerLine, ...]]],
             silent: Collection[tuple[str, int]]) -> Names:
    """Which arrivals are to begin as down, as their address is silent. Not where nobody else would be left: then
    HAProxy's retries are all that there is.
    """
    found: set[tuple[str, str]] = set()
    for backend, fresh in arrived:
        down = [s for s in fresh if (s.address, s.port) in silent]
        if len(down) < len(backend.servers):
            found.update((backend.name, s.name) for s in down)
    return frozenset(found)


def departures(before: Rendered, wanted: Rendered) -> Names:
    """The servers that are there before and not after, of backends that stay."""
    return frozenset((now.name, name) for was, now in backend_changes(before, wanted)
                     if was is not None and now is not None
                     for name in servers_of(was).keys() - servers_of(now).keys())


def commands(before: Rendered, wanted: Rendered, leaving: Iterable[tuple[str, str]],
             down: Names = frozenset()) -> tuple[Command, ...]:
    """The commands from one configuration to another of the same structure, in an order that never lacks a server:
    what is new first, then the maps, then what goes. `leaving` are servers that are out of rotation but not deleted
    yet; `down` are those that get no request before HAProxy's checks have found them up.
    """
    left = frozenset(leaving)
    come: list[Command] = []
    go: list[Command] = []
    for was, now in backend_changes(before, wanted):
        if was is None or now is None:
            continue  # of another structure
        backend, here, there = now.name, servers_of(was), servers_of(now)
        for name, server in sorted(there.items()):
            if name not in here:
                come += _enter(backend, server, wanted.check_options, (backend, name) in left, (backend, name) in down)
            elif here[name] != server:
                come += _change(backend, here[name], server, (backend, name) in down)
        go += [take_out(backend, name) for name in sorted(here.keys() - there.keys())]
    names = changed_maps(before, wanted)
    return (_note(UNDER_WAY), *come, *_map_commands(maps_of(before, names), maps_of(wanted, names)), *go,
            _note(wanted.config.digest))


def _note(digest: str) -> Command:
    return Command(f"set map {DIGEST_MAP} digest {digest}")


def _enter(backend: str, server: ServerLine, check_options: str, known: bool, down: bool) -> tuple[Command, ...]:
    name = f"{backend}/{server.name}"
    # Whatever leaves maintenance is up; only while it drains can it be down and get nothing on its way there.
    begin = (_state(name, "drain"), start_down(backend, server.name), _state(name, "ready"))
    if known:
        return (_move(backend, server), _weigh(backend, server), *(begin if down else begin[-1:]))
    # default-server is not inherited by a server that is added (reference/haproxy-engineering.md section 3).
    words = " ".join((server.endpoint, *server.weight_words, *server.options,
                      *((check_options,) if server.checked else ())))
    added = Command(f"add server {name} {words}", "New server registered.")
    return (added, *([Command(f"enable health {name}")] if server.checked else []),
            *(begin if down else [Command(f"enable server {name}")]))


def _change(backend: str, before: ServerLine, server: ServerLine, down: bool) -> Iterable[Command]:
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


def _weigh(backend: str, server: ServerLine) -> Command:
    return Command(f"set server {backend}/{server.name} weight {server.weight}")


def _move(backend: str, server: ServerLine) -> Command:
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


def same_structure(before: Rendered, wanted: Rendered) -> bool:
    """Whether two configurations differ in nothing but what commands can change.

    It goes by what is rendered: whatever is not a server's place or a map's entry is structure, known here or not.
    """
    return (before.head == wanted.head
            and _other_files(before) == _other_files(wanted)
            and all(was is not None and now is not None and was.frame == now.frame and _options_stay(was, now)
                    for was, now in changes(before.services, wanted.services)))


def _other_files(rendered: Rendered) -> list[tuple[str, str]]:
    """The files beside the main one, of a map only the name: its entries can be changed."""
    return [(name, "" if name.endswith(".map") else text) for name, text in rendered.config.files if name != MAIN_FILE]


def _options_stay(was: ServiceText, now: ServiceText) -> bool:
    """Whether every server that is in both has the options that it had."""
    had = {(b.name, s.name): s.options for b in was.backends for s in b.servers}
    return all(had.get((b.name, s.name), s.options) == s.options for b in now.backends for s in b.servers)


def keep_down(wanted: Rendered, down: Names) -> tuple[Command, ...]:
    """The commands to a new worker, that takes every server for up, about those that are not."""
    names = {backend for backend, _ in down}
    return tuple(start_down(b.name, server.name) for b in backends_of(wanted) if b.name in names
                 for server in b.servers if server.checked and (b.name, server.name) in down)
