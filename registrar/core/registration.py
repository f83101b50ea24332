"""One service as it should stand in Consul: the value, its JSON, and the fingerprint that tells whether it does. Pure.

A check cannot be read back from Consul, so the fingerprint covers the whole definition and travels in Meta.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from catalog.model import META_CONTAINER, META_HASH, META_OWNER, AgentService

Meta = tuple[tuple[str, str], ...]
Check = tuple[tuple[str, Any], ...]  # values: text, switches, tuples of text, and headers as pairs
Weights = tuple[int, int]  # of an instance that passes, and of one that warns

OWN_MARKS = (META_OWNER, META_CONTAINER, META_HASH)


MIRROR_TTL_S = 60.0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The status of a TTL check that we report: the one asked for by CHECK_TTL, or that of Docker's health check."""

    status: str
    ttl: float
    mirror: bool = False
    output: str = ""


@dataclass(frozen=True, slots=True)
class Registration:
    """A service to be registered. `default_id` is the id it falls back to when `id` is somebody else's.

    `meta` holds our marks too. Consul does not get `container_name`, `created` and `exposed`: they serve reports and
    order.
    """

    id: str
    default_id: str
    name: str
    address: str
    port: int
    protocol: str
    tags: tuple[str, ...]
    meta: Meta
    check: Check
    container_name: str
    created: str
    exposed: str = ""  # the port inside the container, such as 8080/tcp
    heartbeats: tuple[Heartbeat, ...] = ()
    weights: Weights | None = None
    tag_override: bool = False
    shared: bool = False  # a port of this node that several containers have in common
    unsettled: bool = False  # some of its tags cannot be told yet
    tagged: tuple[tuple[str, str, int], ...] = ()  # (lan_ipv4 or lan_ipv6, address, port), where there are both

    @property
    def container(self) -> str:
        return dict(self.meta)[META_CONTAINER]

    @property
    def mark(self) -> str:
        """The fingerprint of all of it."""
        return dict(self.meta)[META_HASH]

    def body(self) -> dict[str, Any]:
        """The JSON of `PUT /v1/agent/service/register`."""
        body = _definition(self) | {"Meta": dict(self.meta)}
        # The status is no part of the definition: it changes without a new registration.
        for beat in self.heartbeats:
            check = body["Checks"][-1] if beat.mirror else body["Checks"][0] if "Checks" in body else body["Check"]
            check["Status"] = beat.status
        return body

    def stands_as(self, present: AgentService | None) -> bool:
        """Whether the agent holds this. Tags that others may change are not compared."""
        if present is not None and self.tag_override:
            present = replace(present, tags=self.tags)
        return present == self.held()

    @property
    def runs_script(self) -> bool:
        """Whether its check is of a kind that only some agents run."""
        return any(key in ("Args", "GRPC") for key, _ in self.check)

    def check_id(self, beat: Heartbeat) -> str:
        """The id of the check that a beat is for; `service:…` is Consul's own for the only one."""
        return f"docker-health:{self.id}" if beat.mirror else f"service:{self.id}"

    def held(self) -> AgentService:
        """What the agent answers once it holds this."""
        return AgentService(self.id, self.name, self.address, self.port, self.tags, self.meta)


def marked(draft: Registration, owner: str, container_id: str) -> Registration:
    """`draft` with the marks of its owner and its container, and with its fingerprint."""
    marks = {META_OWNER: owner, META_CONTAINER: container_id}
    return _fingerprinted(replace(draft, meta=tuple(sorted({**dict(draft.meta), **marks}.items()))))


def with_default_id(registration: Registration) -> Registration:
    """The same under its default id."""
    return _fingerprinted(replace(registration, id=registration.default_id))


def without_check(registration: Registration) -> Registration:
    """The same without its check."""
    return _fingerprinted(replace(registration, check=()))


def settled_with(registration: Registration, present: AgentService | None) -> Registration:
    """What to write while some of its tags cannot be told: with those that this container's entry has now, if any."""
    standing = present is not None and present.meta_value(META_CONTAINER) == registration.container
    if not (registration.unsettled and standing):
        return registration
    assert present is not None
    return _fingerprinted(replace(registration, tags=present.tags))


def with_tags(registration: Registration, tags: tuple[str, ...]) -> Registration:
    """The same with the tags that it was given by others."""
    return replace(registration, tags=tags)


def _fingerprinted(registration: Registration) -> Registration:
    meta = {k: v for k, v in registration.meta if k != META_HASH}
    definition = _definition(replace(registration, tags=()) if registration.tag_override else registration)
    text = json.dumps(definition | {"Meta": meta}, sort_keys=True)
    meta[META_HASH] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return replace(registration, meta=tuple(sorted(meta.items())))


def _definition(registration: Registration) -> dict[str, Any]:
    body: dict[str, Any] = {
        "ID": registration.id,
        "Name": registration.name,
        "Address": registration.address,
        "Port": registration.port,
        "Tags": list(registration.tags),
    }
    if registration.tagged:
        body["TaggedAddresses"] = {tag: {"Address": a, "Port": p} for tag, a, p in registration.tagged}
    if registration.weights:
        body["Weights"] = dict(zip(("Passing", "Warning"), registration.weights, strict=True))
    if registration.tag_override:
        body["EnableTagOverride"] = True
    check = {key: dict(value) if key == "Header" else value for key, value in registration.check}
    mirror = [{"CheckID": registration.check_id(beat), "Name": "Docker's health check", "TTL": f"{beat.ttl:g}s"}
              for beat in registration.heartbeats if beat.mirror]
    if registration.check and not mirror:
        body["Check"] = check
    elif mirror:
        own = [{"CheckID": f"service:{registration.id}", **check}] if check else []
        body["Checks"] = [*own, *mirror]
    return body
