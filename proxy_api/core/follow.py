"""What a release becomes between two calls: which of its admitted instances serve now, and where. Core.

This is the rule of "on demand": an instance that was never admitted gets no traffic under `never` and `restarts`, not
even when every admitted one is gone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from catalog.model import Instance
from proxy_api.core.release import Admission, Member, Release, admit

# What the catalog has, by service name. A service that was looked for and has no instance maps to ().
Catalog = Mapping[str, Sequence[Instance]]


@dataclass(frozen=True, slots=True)
class Renewed:
    """A release of templates as it was, and admitted anew: what they read of services, keys and checks only their own
    rendering tells.
    """

    before: Release
    now: Release


@dataclass(frozen=True, slots=True)
class CatalogSnapshot:
    """What was read of the catalog, all at once. `sequence` grows with every reading that says anything new."""

    sequence: int
    services: Catalog
    renewed: Mapping[str, Renewed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Effective:
    """A release as it is to be served now. `gone` are admitted instances that are out; `waiting` were never in."""

    release: Release
    gone: tuple[Instance, ...] = ()
    waiting: tuple[Instance, ...] = ()
    held: bool = False


def effective(release: Release, catalog: Catalog | None, last: Release | None = None,
              taken: Collection[tuple[str, int]] = (), renewed: Renewed | None = None) -> Effective:
    """Apply the release's `follow` rule to what the catalog has; `catalog` None means that it is not known. `renewed`
    has it admitted anew, where it follows everything and was.

    `last` is what was served of it until now, for a release that may keep it when it would be left without any server,
    but for those whose address (`taken`) the catalog has of somebody now: an emptied answer may be Consul's trouble,
    and HAProxy's own checks know better whether a server is there.
    """
    mode = release.spec.follow
    if mode == "never" or catalog is None or not release.spec.uses_catalog:
        return Effective(release)
    if renewed is not None and renewed.before == release:
        result = renewed.now
    else:
        admissions = tuple(_follow(a, catalog[a.service], mode) if a.service in catalog else a
                           for a in release.admissions)
        result = release if admissions == release.admissions else replace(release, admissions=admissions)
    serving = {_identity(m.instance) for m in result.members()}
    gone = tuple(m.instance for m in release.members() if _identity(m.instance) not in serving)
    if last is not None and not serving:
        kept = tuple(
            replace(a, members=tuple(m for m in a.members if (m.instance.address, m.instance.port) not in taken))
            for a in last.admissions
        )
        return Effective(replace(release, admissions=kept), gone, _waiting(release, catalog), held=True)
    return Effective(result, gone, _waiting(result, catalog) if mode == "restarts" else ())


def _follow(admission: Admission, found: Sequence[Instance], mode: str) -> Admission:
    if mode == "all":
        wanted = [i for i in found if _asked_for(i, admission.filters)]
        return admit(admission.service, admission.filters, wanted)
    by_id = {_identity(i): i for i in found}
    members = []
    for member in admission.members:
        now = by_id.get(_identity(member.instance))
        if now is not None and _same_release(member.instance, now):
            # Status and tags stay as admitted: following is about where the container is, not what it says.
            there = now.address, now.port, now.node_address
            same = there == (member.instance.address, member.instance.port, member.instance.node_address)
            members.append(member if same else Member(member.number, replace(
                member.instance, address=now.address, port=now.port, node_address=now.node_address)))
    return replace(admission, members=tuple(members))


def _identity(instance: Instance) -> tuple[str, str]:
    return instance.node, instance.id


def _same_release(admitted: Instance, now: Instance) -> bool:
    """The same container, wherever it listens now. Without a container id, only the very same address will do:
    an id alone is a name that a new release's container may have taken over."""
    if admitted.container:
        return admitted.container == now.container
    return (admitted.address, admitted.port) == (now.address, now.port)


def _asked_for(instance: Instance, filters: str) -> bool:
    return filters == "any" or not instance.status or instance.status in filters.split(",")


def _waiting(release: Release, catalog: Catalog) -> tuple[Instance, ...]:
    """Instances in the catalog that were not admitted."""
    admitted = {(a.service, *_identity(m.instance), m.instance.container) for a in release.admissions
                for m in a.members}
    names = dict.fromkeys(a.service for a in release.admissions)
    return tuple(i for name in names for i in catalog.get(name, ())
                 if (name, *_identity(i), i.container) not in admitted)
