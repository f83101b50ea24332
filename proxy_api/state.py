"""ProxyState: everything the proxy is to serve, as one value. Built from releases and the catalog. Core."""

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy_api import custom, grammar
from proxy_api.errors import InvalidTemplate
from proxy_api.follow import Catalog, Effective, effective
from proxy_api.release import Member, Release
from proxy_api.route import RouteSpec
from proxy_api.sections import Custom


@dataclass(frozen=True, slots=True)
class Server:
    """One member of a backend. `resolve` says that the address is a name, to be looked up by HAProxy."""

    name: str
    address: str
    port: int
    resolve: bool = False


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


@dataclass(frozen=True, slots=True)
class ProxyState:
    """All services, by name. Equal states render to equal bytes."""

    services: tuple[Service, ...] = ()

    def get(self, name: str) -> Service | None:
        """A service by its name."""
        place = bisect_left(self.services, name, key=lambda s: s.name)
        return self.services[place] if self.services[place:place + 1] and self.services[place].name == name else None


@dataclass(frozen=True, slots=True)
class Resolution:
    """A state, how each release came out of `follow`, and the services that could not be rendered, with the reason."""

    state: ProxyState
    effective: Mapping[str, Effective]
    broken: Mapping[str, str]


def resolve(releases: Mapping[str, Release], catalog: Catalog | None, hold: Iterable[str],
            shared_binds: Sequence[str], before: ProxyState) -> Resolution:
    """What the releases come to with this catalog.

    `hold` names services that keep their last servers for now (see `follow.effective`). A service whose templates fail
    is served as it was in `before`, or left out where it was not.
    """
    held = frozenset(hold)
    outcomes: dict[str, Effective] = {}
    broken: dict[str, str] = {}
    services: dict[str, Service] = {}
    acls: dict[str, str] = {}
    fell_back = set()
    for name in sorted(releases):
        outcomes[name] = effective(releases[name], catalog, name in held)
        try:
            services[name] = _service(outcomes[name].release, shared_binds)
        except InvalidTemplate as fault:
            broken[name] = str(fault)
            fell_back.add(name)
            if (last := before.get(name)) is not None:
                services[name] = last
    # Who had an ACL's name before keeps it: a newcomer must not break what is in place.
    for name in sorted(services, key=lambda n: (n not in fell_back, not _had_acls(services[n], before), n)):
        try:
            _claim_acls(services[name], acls)
        except InvalidTemplate as fault:
            broken[name] = broken.get(name, str(fault))
            if (last := before.get(name)) is None:
                del services[name]
            else:
                services[name] = last
    return Resolution(ProxyState(tuple(services[name] for name in sorted(services))), outcomes, broken)


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
        return Service(spec, custom=custom.render(release.templates, custom.Recorded(release), shared_binds))
    if spec.outbound:
        server = Server(f"{spec.service}_0_{spec.port}", spec.outbound, spec.port, _is_name(spec.outbound))
        return Service(spec, (server,))
    servers: list[Server] = []
    left_out: list[str] = []
    for member in release.members():
        found = server_of(member)
        if found is None:
            i = member.instance
            left_out.append(f"{i.id} at {i.address!r}:{i.port} is no address to send to")
        else:
            servers.append(found)
    return Service(spec, tuple(servers), left_out=tuple(left_out))


def server_of(member: Member) -> Server | None:
    """The server line of an instance, named `<Node>_<number>_<Port>` as in 2016; None where its address is none."""
    i = member.instance
    try:
        # HAProxy's check ends without a word at some names that are none (`a..b`); the grammar is stricter than it.
        address = "" if i.address.startswith("[") else grammar.hostname(i.address.removesuffix("."))
    except ValueError:
        return None
    if not address or not 1 <= i.port <= 65535:
        return None
    node = re.sub(r"[^A-Za-z0-9.:_-]", "_", i.node)[:100] or "node"
    return Server(f"{node}_{member.number}_{i.port}", address, i.port, _is_name(address))


def _is_name(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return True
    return False
