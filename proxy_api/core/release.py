"""The release record: a ServiceSpec and exactly the instances that were admitted with it. Core.

It is what a reconfigure commits and what a recovery reads, so everything that serving needs is in it: a new proxy with
nothing on disk renders the same from it. A template's record holds the template's text and the data that it read.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from catalog.model import Instance
from proxy_api.core import stored_spec
from proxy_api.core.spec import ServiceSpec
from proxy_api.core.stored_spec import UnknownField, require_known

SCHEMA = 2
Kind = Literal["frontend", "backend", "sections"]


class UnreadableRecord(Exception):
    """A stored record that this version cannot use; the text says why."""


class NewerRecord(UnreadableRecord):
    """One that another version wrote, which knows what this one does not."""


@dataclass(frozen=True, slots=True)
class Member:
    """An admitted instance and its number among the service's servers, kept while it stays admitted."""

    number: int
    instance: Instance


@dataclass(frozen=True, slots=True)
class Admission:
    """The instances of one catalog service that may take traffic.

    `filters` is what a template asked for ("any", "passing", …); a plain route asks for "any".
    """

    service: str
    filters: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """An operator's template as it was when the release was made."""

    kind: Kind
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Release:
    """What a service's record holds. `keys` and `listing` are what its templates read from Consul."""

    spec: ServiceSpec
    admissions: tuple[Admission, ...] = ()
    templates: tuple[Template, ...] = ()
    keys: tuple[tuple[str, str | None], ...] = ()
    listing: tuple[tuple[str, tuple[str, ...]], ...] | None = None

    def members(self) -> tuple[Member, ...]:
        """All admitted instances."""
        return tuple(m for a in self.admissions for m in a.members)


def admit(service: str, filters: str, found: Iterable[Instance], previous: Admission | None = None) -> Admission:
    """Number the instances found: those admitted before keep their number, new ones get the lowest free.

    A stable number keeps a server's name, and with it its counters and its sessions, when others join or leave.
    """
    instances = sorted(found, key=lambda i: (i.node, i.id))
    before = {(m.instance.node, m.instance.id): m.number for m in previous.members} if previous else {}
    kept = [before[key] for i in instances if (key := (i.node, i.id)) in before]
    free = (n for n in range(len(instances) + len(before) + 1) if n not in set(kept))
    members = [
        Member(before[key] if (key := (i.node, i.id)) in before else next(free), i) for i in instances
    ]
    return Admission(service, filters, tuple(sorted(members, key=lambda m: m.number)))


def encode(release: Release) -> bytes:
    """The record as stored: JSON with sorted keys, so that equal releases are equal bytes."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "spec": stored_spec.to_json(release.spec),
        "admissions": [
            {"service": a.service, "filters": a.filters, "members": [_member(m) for m in a.members]}
            for a in release.admissions
        ],
    }
    if release.templates:
        data["templates"] = [{"kind": t.kind, "path": t.path, "text": t.text} for t in release.templates]
        data["keys"] = dict(release.keys)
        data["listing"] = None if release.listing is None else dict(release.listing)
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _member(member: Member) -> dict[str, Any]:
    i = member.instance
    # Left out where it is what it is without: records from before there were weights stay what they are.
    weight = {"weight": i.weight} if i.weight != 1 else {}
    return {"number": member.number, "node": i.node, "id": i.id, "service": i.service, "address": i.address,
            "port": i.port, "container": i.container, "tags": list(i.tags), "status": i.status,
            "node_address": i.node_address, **weight}


# How the spec of each schema that can be read is read.
_SPECS: Mapping[int, Callable[[Mapping[str, Any]], ServiceSpec]] = {
    1: stored_spec.from_json_1,
    2: stored_spec.from_json,
}
_FIELDS = frozenset(("schema", "spec", "admissions", "templates", "keys", "listing"))
_ADMISSION = frozenset(("service", "filters", "members"))
_MEMBER = frozenset(("number", "node", "id", "service", "address", "port", "container", "tags", "status",
                     "node_address", "weight"))
_TEMPLATE = frozenset(("kind", "path", "text"))


def decode(value: bytes) -> Release:
    """The inverse of `encode`; raises UnreadableRecord, whatever the bytes are.

    A field that this version does not know makes the whole record one: half of it would be another release.
    """
    try:
        data = json.loads(value)
        # JSON can spell half a character, which no file can hold.
        json.dumps(data, ensure_ascii=False).encode()
        if data["schema"] not in _SPECS:
            raise NewerRecord(f"the record has schema {data['schema']!r}; this version knows "
                              f"{' and '.join(map(str, sorted(_SPECS)))}")
        require_known(data, _FIELDS, "the record")
        listing = data.get("listing")
        return Release(
            spec=_SPECS[data["schema"]](data["spec"]),
            admissions=tuple(_to_admission(a) for a in data["admissions"]),
            templates=tuple(_to_template(t) for t in data.get("templates", ())),
            keys=tuple(sorted((str(k), v if v is None else str(v)) for k, v in data.get("keys", {}).items())),
            listing=None if listing is None else tuple(sorted((n, tuple(tags)) for n, tags in listing.items())),
        )
    except UnreadableRecord:
        raise
    except UnknownField as fault:
        raise NewerRecord(f"the record cannot be used: {fault}") from None
    except Exception as fault:
        raise UnreadableRecord(f"the record cannot be read: {type(fault).__name__}: {fault}") from fault


def _to_admission(data: Mapping[str, Any]) -> Admission:
    require_known(data, _ADMISSION, "an admission")
    return Admission(str(data["service"]), str(data["filters"]), tuple(_to_member(m) for m in data["members"]))


def _to_template(data: Mapping[str, Any]) -> Template:
    require_known(data, _TEMPLATE, "a template")
    return Template(_kind(data["kind"]), str(data["path"]), str(data["text"]))


def _kind(text: str) -> Kind:
    kinds: Mapping[str, Kind] = {"frontend": "frontend", "backend": "backend", "sections": "sections"}
    return kinds[text]


def _to_member(data: Mapping[str, Any]) -> Member:
    require_known(data, _MEMBER, "a member")
    return Member(int(data["number"]), Instance(
        node=str(data["node"]), id=str(data["id"]), service=str(data["service"]), address=str(data["address"]),
        port=int(data["port"]), container=str(data["container"]), tags=tuple(str(t) for t in data["tags"]),
        status=str(data["status"]), node_address=str(data["node_address"]),
        weight=max(1, int(data.get("weight", 1))),
    ))
