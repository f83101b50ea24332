"""ProxyState: everything the proxy is to serve, as one value. Built from releases and the catalog. Core."""

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from catalog.model import Instance
from proxy_api.core import grammar, operator_templates
from proxy_api.core.errors import InvalidTemplate
from proxy_api.core.follow import Catalog, Effective, effective
from proxy_api.core.release import Member, Release
from proxy_api.core.route import RouteSpec
from proxy_api.core.sections import Custom

MAX_WEIGHT = 256  # of HAProxy's servers; Consul's go to 65535


@dataclass(frozen=True, slots=True)
class Server:
    """One member of a backend. `resolve` says that the address is a name, to be looked up by HAProxy. `weight` is
    HAProxy's, 1 to 256.
    """

    name: str
    address: str
    port: int
    resolve: bool = False
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """One service as it is served: a generated backend, or what its templates say."""

    spec: RouteSpec
    servers: tuple[Server, ...] = ()
    custom: Custom | None = None
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.service

    def by_name(self) -> dict[str, Server]:
        """The servers by their names in the backend."""
        return {server.name: server for server in self.servers}


@dataclass(frozen=True, slots=True)
class ProxyState:
    """All services, by name. Equal states render to equal bytes."""

    services: tuple[Service, ...] = ()

    def get(self, name: str) -> Service | None:
        """A service by its name."""
        place = bisect_left(self.services, name, key=lambda s: s.name)
        return self.services[place] if self.services[place:place + 1] and self.services[place].name == name else None


# One service that differs between two states, as it was and as it is; None where it is not there.
Pair = tuple[Service | None, Service | None]


def changes(before: ProxyState, after: ProxyState) -> tuple[Pair, ...]:
    """How two states differ, by name. A service that is the very same value in both costs next to nothing."""
    old, new = before.services, after.services
    if len(old) == len(new):
        pairs = [(a, b) for a, b in zip(old, new, strict=True) if a is not b]
        if all(a.name == b.name for a, b in pairs):
            return tuple((a, b) for a, b in pairs if a != b)
    was, now = {s.name: s for s in old}, {s.name: s for s in new}
    return tuple((was.get(name), now.get(name)) for name in sorted(was.keys() | now.keys())
                 if was.get(name) is not now.get(name) and was.get(name) != now.get(name))


@dataclass(frozen=True, slots=True)
class Resolution:
    """A state, how each release came out of `follow`, and the services that could not be rendered, with the reason."""

    state: ProxyState
    effective: Mapping[str, Effective]
    broken: Mapping[str, str]


_NONE: Mapping[str, Any] = {}


class Resolver:
    """Resolves releases; what did not change since the last time is the very same value again.

    A service is worked out anew only where its release or its part of the catalog is another, so that one instance's
    change costs little among ten thousand services. The result is the same as without that memory.
    """

    def __init__(self, shared_binds: Sequence[str]) -> None:
        self._shared_binds = shared_binds
        self._known: dict[str, _Worked] = {}
        self._outcomes: dict[str, Effective] = {}

    def resolve(self, releases: Mapping[str, Release], catalog: Catalog | None, before: ProxyState,
                hold: Mapping[str, Release] = _NONE, taken: Collection[tuple[str, int]] = (),
                pinned: Mapping[str, str] = _NONE) -> Resolution:
        """What the releases come to with this catalog.

        `hold` has what was served last of services that keep it for now, but for addresses that are `taken` (see
        `follow.effective`). A service whose templates fail, or that is `pinned` for a reason, is served as it was in
        `before`, or left out where it was not.
        """
        known = self._known
        fresh = {name: self._work(release, catalog, hold.get(name), taken, known.get(name))
                 for name, release in releases.items()
                 if (worked := known.get(name)) is None or worked.release is not release or worked.moved(catalog)
                 or name in hold}
        if len(known) != len(releases) or not fresh.keys() <= known.keys():
            known = {name: fresh.get(name) or known[name] for name in sorted(releases)}
        elif fresh:
            known = {**known, **fresh}
        if known is not self._known:
            self._known, self._outcomes = known, {name: worked.outcome for name, worked in known.items()}
        services: dict[str, Service] = {}
        broken: dict[str, str] = {}
        for name, worked in known.items():
            if worked.service is not None and name not in pinned:
                services[name] = worked.service
                continue
            broken[name] = pinned.get(name) or worked.fault
            if (last := before.get(name)) is not None:
                services[name] = last
        _settle_acls(services, broken, before)
        return Resolution(ProxyState(tuple(services.values())), self._outcomes, broken)

    def _work(self, release: Release, catalog: Catalog | None, last: Release | None,
              taken: Collection[tuple[str, int]], known: "_Worked | None") -> "_Worked":
        services = tuple(a.service for a in release.admissions)
        seen = None if catalog is None else tuple(map(catalog.get, services))
        outcome = effective(release, catalog, last, taken)
        service, fault = None, ""
        try:
            service = _service(outcome.release, self._shared_binds)
        except InvalidTemplate as reason:
            fault = str(reason)
        except Exception as reason:  # whatever one service's record makes us raise is that service's trouble alone
            fault = f"it cannot be rendered: {type(reason).__name__}: {reason}"
        if known is not None and known.service == service:
            service = known.service
        return _Worked(release, services, seen, outcome, service, fault)


@dataclass(frozen=True, slots=True)
class _Worked:
    """What was made of a release, and what it was made from. `service` is None where a `fault` kept it from that."""

    release: Release
    services: tuple[str, ...]
    seen: tuple[Sequence[Instance] | None, ...] | None
    outcome: Effective
    service: Service | None
    fault: str

    def moved(self, catalog: Catalog | None) -> bool:
        """Whether it has to be made again for this catalog: not where its part is the very same as it was."""
        if self.outcome.held or catalog is None or self.seen is None:
            return self.outcome.held or (catalog is None) != (self.seen is None)
        return tuple(map(catalog.get, self.services)) != self.seen


def resolve(releases: Mapping[str, Release], catalog: Catalog | None, shared_binds: Sequence[str],
            before: ProxyState) -> Resolution:
    """`Resolver.resolve` without a memory of another time."""
    return Resolver(shared_binds).resolve(releases, catalog, before)


def _settle_acls(services: dict[str, Service], broken: dict[str, str], before: ProxyState) -> None:
    """Who had an ACL's name before keeps it: a newcomer must not break what is in place."""
    owners: dict[str, str] = {}
    named = [name for name, service in services.items() if service.custom is not None]
    for name in sorted(named, key=lambda n: (n not in broken, not _had_acls(services[n], before), n)):
        try:
            _claim_acls(services[name], owners)
        except InvalidTemplate as fault:
            broken[name] = broken.get(name, str(fault))
            if (last := before.get(name)) is None:
                del services[name]
            else:
                services[name] = last


def _had_acls(service: Service, before: ProxyState) -> bool:
    last = before.get(service.name)
    names = service.custom.acl_names() if service.custom else frozenset()
    return last is not None and names <= (last.custom.acl_names() if last.custom else frozenset())


def _claim_acls(service: Service, owners: dict[str, str]) -> None:
    """Two ACLs of one name in one frontend are joined by OR: a template's could widen its neighbour's."""
    if service.custom is None:
        return
    for acl in sorted(service.custom.acl_names()):
        if acl in owners:
            raise InvalidTemplate(f"the acl {acl!r} is defined by a template of {owners[acl]} already: rename one")
    owners.update(dict.fromkeys(service.custom.acl_names(), service.name))


def _service(release: Release, shared_binds: Sequence[str]) -> Service:
    spec = release.spec
    if release.templates:
        return Service(spec, custom=operator_templates.render(
            release.templates, operator_templates.Recorded(release), shared_binds))
    if spec.outbound:
        server = Server(f"{spec.service}_0_{spec.port}", spec.outbound, spec.port, _is_name(spec.outbound))
        return Service(spec, (server,))
    servers: list[Server] = []
    left_out: list[str] = []
    heaviest = max((member.instance.weight for member in release.members()), default=1)
    for member in release.members():
        found = server_of(member, heaviest)
        if found is None:
            i = member.instance
            left_out.append(f"{i.id} at {i.address!r}:{i.port} is no address to send to")
        else:
            servers.append(found)
    return Service(spec, tuple(servers), left_out=tuple(left_out))


def scaled(weight: int, heaviest: int) -> int:
    """Consul's weight as HAProxy's: the same, unless a service's heaviest is more than HAProxy has."""
    return weight if heaviest <= MAX_WEIGHT else max(1, round(weight * MAX_WEIGHT / heaviest))


def server_of(member: Member, heaviest: int) -> Server | None:
    """The server line of an instance, named `<Node>_<number>_<Port>` as in 2016; None where its address is none.

    `heaviest` is the highest weight among the instances of the service.
    """
    i = member.instance
    address, is_name = _address(i.address)
    if not address or not 1 <= i.port <= 65535:
        return None
    return Server(f"{_node(i.node)}_{member.number}_{i.port}", address, i.port, is_name,
                  scaled(i.weight, heaviest))


# Nodes are few beside the services that run on them.
@lru_cache(4096)
def _address(text: str) -> tuple[str, bool]:
    """An address as HAProxy takes it and whether it is a name to look up; "" where it is none."""
    try:
        # HAProxy's check ends without a word at some names that are none (`a..b`); the grammar is stricter than it.
        address = "" if text.startswith("[") else grammar.hostname(text.removesuffix("."))
    except ValueError:
        return "", False
    return address, _is_name(address)


@lru_cache(4096)
def _node(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.:_-]", "_", name)[:100] or "node"


def _is_name(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return True
    return False
