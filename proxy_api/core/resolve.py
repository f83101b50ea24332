"""From releases and the catalog to what is to be served. Core."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy_api.core import operator_templates
from proxy_api.core.errors import InvalidTemplate
from proxy_api.core.follow import CatalogSnapshot, Effective, effective
from proxy_api.core.memo import Memo
from proxy_api.core.release import Release
from proxy_api.core.servers import outbound, servers_of
from proxy_api.core.state import Backend, ProxyState, Service


@dataclass(frozen=True, slots=True)
class Resolution:
    """A state, how each release came out of `follow`, and the services that could not be rendered, with the reason."""

    state: ProxyState
    effective: Mapping[str, Effective]
    broken: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Resolved:
    """What was made of a release. `service` is None where a `fault` kept it from that."""

    outcome: Effective
    service: Service | None
    fault: str


_NONE: Mapping[str, Any] = {}
_UNKNOWN = object()


class Resolver:
    """Resolves releases. The result is the same as without its memory of the last time."""

    def __init__(self, shared_binds: Sequence[str]) -> None:
        self._shared_binds = shared_binds
        self._memo: Memo[_Resolved] = Memo()

    def copy(self) -> "Resolver":
        """Another one that remembers the same."""
        other = Resolver(self._shared_binds)
        other._memo = self._memo.copy()
        return other

    def resolve(self, releases: Mapping[str, Release], catalog: CatalogSnapshot | None, before: ProxyState,
                hold: Mapping[str, Release] = _NONE, taken: Collection[tuple[str, int]] = (),
                pinned: Mapping[str, str] = _NONE) -> Resolution:
        """What the releases come to with this catalog.

        `hold` has what was served last of services that keep it for now, but for addresses that are `taken` (see
        `follow.effective`). A service whose templates fail, or that is `pinned` for a reason, is served as it was in
        `before`, or left out where it was not.
        """
        names = sorted(releases)
        resolved = self._memo.all(
            names, [_parts(releases[name], catalog, hold.get(name), taken) for name in names],
            lambda place: _resolve(releases[name := names[place]], catalog, hold.get(name), taken, self._shared_binds))
        services: dict[str, Service] = {}
        broken: dict[str, str] = {}
        for name, found in zip(names, resolved, strict=True):
            if found.service is not None and name not in pinned:
                services[name] = found.service
                continue
            broken[name] = pinned.get(name) or found.fault
            if (last := before.get(name)) is not None:
                services[name] = last
        _settle_acls(services, broken, before)
        return Resolution(ProxyState(tuple(services.values())),
                          {name: found.outcome for name, found in zip(names, resolved, strict=True)}, broken)


def _parts(release: Release, catalog: CatalogSnapshot | None, last: Release | None,
           taken: Collection[tuple[str, int]]) -> tuple[object, ...]:
    """What a release's resolution is made from. What is taken counts for nothing where nothing is held."""
    if catalog is None:
        return release, _UNKNOWN
    find = catalog.services.get
    seen = [find(a.service) for a in release.admissions]
    if catalog.renewed:
        seen.append(catalog.renewed.get(release.spec.name))  # type: ignore[arg-type]
    return (release, *seen) if last is None else (release, *seen, last, taken)


def _resolve(release: Release, catalog: CatalogSnapshot | None, last: Release | None,
             taken: Collection[tuple[str, int]], shared_binds: Sequence[str]) -> _Resolved:
    outcome = Effective(release)
    try:
        if catalog is not None:
            outcome = effective(release, catalog.services, last, taken, catalog.renewed.get(release.spec.name))
        return _Resolved(outcome, _service(outcome.release, shared_binds), "")
    except InvalidTemplate as reason:
        return _Resolved(outcome, None, str(reason))
    except Exception as reason:  # whatever one service's record makes us raise is that service's trouble alone
        return _Resolved(outcome, None, f"it cannot be rendered: {type(reason).__name__}: {reason}")


def _service(release: Release, shared_binds: Sequence[str]) -> Service:
    spec = release.spec
    if release.templates:
        return Service(spec, custom=operator_templates.render(
            release.templates, operator_templates.Recorded(release), shared_binds))
    servers, left_out = servers_of(release)
    return Service(spec, tuple(
        Backend(name, destination, (outbound(spec.name, destination.target),) if destination.target.host else servers)
        for name, destination in spec.backends()), left_out=left_out)


def resolve(releases: Mapping[str, Release], catalog: CatalogSnapshot | None, shared_binds: Sequence[str],
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
