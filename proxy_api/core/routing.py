"""Which request goes to which backend: maps and, for what a map cannot express, ACLs. Core.

Order (design section 6): paths below /.well-known/ first, whatever their host; then an exact host, a wildcard host, no
host; within one host the longest path, an exact path before a prefix of the same length; the name breaks ties. A
regular expression, a suffix, a part or a directory counts by its own length against the prefix that a map found.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy_api.core.spec import ServiceSpec

SHARED = "services"  # the frontend that all HTTP services share
WELL_KNOWN = "/.well-known/"
_ACL_MATCH = {"path_dir": "dir", "path_end": "end", "path_sub": "sub", "path_reg": "reg"}


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One way into a backend: a host ("" for any, "*.x" for those below x), a path type, a path."""

    service: str
    backend: str
    host: str
    path_type: str
    path: str

    @property
    def well_known(self) -> bool:
        return self.path.startswith(WELL_KNOWN) and self.path_type not in _ACL_MATCH


@dataclass(frozen=True, slots=True)
class Acl:
    """A path that needs an ACL: tried after the map of its level, and only against shorter matches."""

    name: str
    match: str
    pattern: str
    hosts: tuple[str, ...]
    length: int
    backend: str


@dataclass(frozen=True, slots=True)
class Level:
    """One host class, looked up with one key. `labels` is the depth of a wildcard, 0 for the other two."""

    kind: str  # exact, wildcard, any
    labels: int
    acls: tuple[Acl, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """One pass over the host classes, with its own pair of maps. The first group that finds a backend wins."""

    name: str
    levels: tuple[Level, ...]
    prefixes: tuple[tuple[str, str], ...]
    exact: tuple[tuple[str, str], ...]

    def frame(self) -> "Frame":
        """The rules of the group, without what its maps hold."""
        return Frame(self.name, self.levels, bool(self.prefixes), bool(self.exact))


@dataclass(frozen=True, slots=True)
class Frame:
    """A group as the frontend's rules know it: its levels, and which of the maps there are."""

    name: str
    levels: tuple[Level, ...]
    prefixes: bool
    exact: bool

    @property
    def by_host(self) -> bool:
        """Whether the host of a request matters at all."""
        return any(level.kind != "any" for level in self.levels)


@dataclass(frozen=True, slots=True)
class Frontend:
    """Where requests come in, and all that it needs to choose a backend."""

    name: str
    groups: tuple[Group, ...]

    def frames(self) -> tuple[Frame, ...]:
        """The groups as the rules know them."""
        return tuple(group.frame() for group in self.groups)


@dataclass(frozen=True, slots=True)
class Routing:
    """Which request goes where; `shadowed` are entries that another one hides."""

    frontends: tuple[Frontend, ...]
    shadowed: tuple[tuple[Entry, Entry], ...]


def entries_of(spec: ServiceSpec) -> tuple[Entry, ...]:
    """Every way in that a service's destinations ask for."""
    return tuple(
        Entry(spec.name, backend, host, destination.match.path_type or "path_beg", path)
        for backend, destination in spec.backends()
        for host in tuple(d.lower() for d in destination.match.domains) or ("",)
        for path in destination.match.paths
    )


def build(specs: Iterable[ServiceSpec]) -> Routing:
    """Arrange the routes of all services."""
    chosen: dict[tuple[str, str, str], Entry] = {}
    shadowed = []
    for entry in sorted(e for spec in specs for e in entries_of(spec)):
        first = chosen.setdefault((entry.host, entry.path_type, entry.path), entry)
        if first.backend != entry.backend:
            shadowed.append((entry, first))
    entries = tuple(chosen.values())
    groups = (
        _group("well-known", [e for e in entries if e.well_known]),
        _group("routes", [e for e in entries if not e.well_known]),
    )
    return Routing((Frontend(SHARED, tuple(g for g in groups if g.levels)),), tuple(shadowed))


def _group(name: str, entries: Sequence[Entry]) -> Group:
    by_level: dict[tuple[int, int], list[Entry]] = {}
    for entry in entries:
        by_level.setdefault(_rank(entry.host), []).append(entry)
    levels = tuple(_level(rank, by_level[rank]) for rank in sorted(by_level))
    return Group(
        name,
        levels,
        prefixes=_map(entries, "path_beg", with_length=True),
        exact=_map(entries, "path", with_length=False),
    )


def _rank(host: str) -> tuple[int, int]:
    """Sorts exact hosts first, then wildcards from the most to the fewest labels, then no host."""
    if host.startswith("*."):
        return 1, -len(host[2:].split("."))
    return (0, 0) if host else (2, 0)


def _map(entries: Iterable[Entry], path_type: str, with_length: bool) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(
        (e.host + e.path, f"{len(e.path)}|{e.backend}" if with_length else e.backend)
        for e in entries if e.path_type == path_type
    ))


def _level(rank: tuple[int, int], entries: Sequence[Entry]) -> Level:
    kind = ("exact", "wildcard", "any")[rank[0]]
    grouped: dict[tuple[int, str, str, str, str], list[str]] = {}
    for e in entries:
        if e.path_type in _ACL_MATCH:
            grouped.setdefault((-len(e.path), e.service, e.backend, e.path_type, e.path), []).append(e.host)
    acls = []
    for number, ((length, _, backend, path_type, path), hosts) in enumerate(sorted(grouped.items())):
        bare = tuple(sorted(h.removeprefix("*.") for h in hosts if h))
        acls.append(Acl(f"pb:{kind}{-rank[1] or ''}:{number}", _ACL_MATCH[path_type], path, bare, -length, backend))
    return Level(kind, -rank[1], tuple(acls))


def map_text(pairs: Iterable[tuple[str, str]]) -> str:
    """A map file of HAProxy: a key and a value to a line."""
    return "".join(f"{key} {value}\n" for key, value in pairs)


def shadow_warnings(routing: Routing, service: str) -> tuple[str, ...]:
    """What to tell the caller about paths that a service and another one both ask for, whichever of them has them."""
    lost = tuple(
        f"{entry.path} on {entry.host or 'any host'} goes to {_called(winner, entry)}, whose name comes first"
        for entry, winner in routing.shadowed if entry.service == service
    )
    won = tuple(
        f"{entry.path} on {entry.host or 'any host'} is asked for by {entry.service} too, which gets none of it: "
        "its name comes later"
        for entry, winner in routing.shadowed if winner.service == service != entry.service
    )
    return (*lost, *won)


def _called(winner: Entry, entry: Entry) -> str:
    """What to call who gets a path: between two destinations of one service, the backend."""
    return winner.backend if winner.service == entry.service else winner.service


def maps_of(routing: Routing) -> Mapping[str, str]:
    """The map files by name. An empty one is not referred to by any rule, so HAProxy would not know it."""
    pairs = {f"{g.name}-{kind}.map": entries for frontend in routing.frontends for g in frontend.groups
             for kind, entries in (("path", g.exact), ("prefix", g.prefixes))}
    return {name: map_text(entries) for name, entries in pairs.items() if entries}
