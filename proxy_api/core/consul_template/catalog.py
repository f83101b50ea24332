"""The functions that read the catalog: how a query is written, and what its answer looks like to a template. Core.

Answers are put into consul-template's order (services by node and ID, tags by name) so that the same catalog
gives the same text, and each question is asked once, so that one render sees one state of things.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from gotemplate.faults import Unfit
from gotemplate.functions import Function, Want
from gotemplate.values import Value, shorten
from proxy_api.core.consul_template.catalog_text import guard
from proxy_api.core.consul_template.entries import ServiceEntry, ServiceName

MAX_QUERIES = 5000  # a loop may compute names to ask for, and a question may cost a round trip

_STATUSES = ("passing", "warning", "critical")
# service(.tag) as in consul-template's dependency/health_service.go and dependencies.go, without @dc, ~near, ?ns=
_SERVICE = re.compile(r"(?:(?P<tag>[A-Za-z0-9_=:.-]+)\.)?(?P<name>[A-Za-z0-9_-]+)")

_Answer = TypeVar("_Answer")


class Data(Protocol):
    """Where a template's data comes from."""

    def service(self, name: str, filters: str | None) -> Sequence[ServiceEntry]:
        """The instances whose status fits: None for passing, "any", or statuses with commas between them."""

    def services(self) -> Sequence[tuple[str, tuple[str, ...]]]:
        """The name and the tags of every service."""

    def key(self, name: str) -> str | None:
        """The value of a key, or None where there is none."""


class Catalog:
    """One render's view of the data."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._answers: dict[tuple[str, ...], object] = {}

    def functions(self) -> Mapping[str, Function]:
        return {
            "service": Function(self._service, (), Want.TEXT),
            "services": Function(self._services, (), Want.TEXT),
            "key": Function(self._key, (Want.TEXT,)),
            "keyOrDefault": Function(self._key_or_default, (Want.TEXT, Want.TEXT)),
            "keyExists": Function(self._key_exists, (Want.TEXT,)),
        }

    def _service(self, query: str = "", filters: str = "", *more: str) -> Value:
        if more:
            raise Unfit("wants a name and at most one list of statuses")
        if not query:
            return ()  # consul-template's own answer
        tag, name = _read_query(query)
        wanted = _read_filters(filters)
        return self._ask(("service", name, wanted or "", tag), lambda: self._find_instances(name, wanted, tag))

    def _find_instances(self, name: str, filters: str | None, tag: str) -> tuple[ServiceEntry, ...]:
        found = (_present(entry) for entry in self._data.service(name, filters) if _has_tag(entry, tag))
        return tuple(sorted(found, key=lambda entry: (entry.Node, entry.ID)))

    def _services(self, *datacenter: str) -> Value:
        if any(datacenter):
            raise Unfit("another datacenter cannot be asked")
        return self._ask(("services",), self._list_services)

    def _list_services(self) -> tuple[ServiceName, ...]:
        found = (ServiceName(guard(name), _guard_tags(tags)) for name, tags in self._data.services())
        return tuple(sorted(found, key=lambda service: service.Name))

    def _key(self, name: str) -> Value:
        if not name:
            return ""  # consul-template's own answer
        value = self._look_up(name)
        if value is None:
            raise Unfit(f"there is no key {shorten(name)}")
        return value

    def _key_or_default(self, name: str, default: str) -> Value:
        return (self._look_up(name) if name else None) or default  # an empty value counts as none

    def _key_exists(self, name: str) -> Value:
        return bool(name) and self._look_up(name) is not None

    def _look_up(self, name: str) -> str | None:
        if "@" in name:
            raise Unfit(f"{shorten(name)} asks another datacenter, which is not supported")
        value = self._ask(("key", name), lambda: self._data.key(name))
        if value is not None and "\0" in value:
            raise Unfit(f"the value of {shorten(name)} holds a NUL")
        return value

    def _ask(self, question: tuple[str, ...], find: Callable[[], _Answer]) -> _Answer:
        if question not in self._answers:
            if len(self._answers) == MAX_QUERIES:
                raise Unfit(f"more than {MAX_QUERIES} different questions to the catalog")
            self._answers[question] = find()
        answer: _Answer = self._answers[question]  # type: ignore[assignment]  # the question fixes the type
        return answer


def _read_query(query: str) -> tuple[str, str]:
    if "@" in query:
        raise Unfit(f"{shorten(query)} asks another datacenter, which is not supported")
    found = _SERVICE.fullmatch(query)
    if not found:
        raise Unfit(f"{shorten(query)} is not of the form name or tag.name")
    return found["tag"] or "", found["name"]


def _read_filters(filters: str) -> str | None:
    """The statuses asked for, each once and in a fixed order; None if none are named, which means passing."""
    named = {part.strip() for part in filters.split(",")} - {""}
    for name in sorted(named):
        if name not in ("any", *_STATUSES):
            raise Unfit(f"unknown status {shorten(name)}; it can be any, passing, warning or critical")
    if "any" in named and len(named) > 1:
        raise Unfit("the status any stands alone")
    return ",".join(name for name in ("any", *_STATUSES) if name in named) or None


def _has_tag(entry: ServiceEntry, tag: str) -> bool:
    """Consul compares tags without regard to case (agent/consul/state/catalog.go, serviceTagFilter)."""
    return not tag or tag.lower() in (candidate.lower() for candidate in entry.Tags)


def _present(entry: ServiceEntry) -> ServiceEntry:
    return replace(
        entry,
        Node=guard(entry.Node),
        Address=guard(entry.Address),
        ID=guard(entry.ID),
        Name=guard(entry.Name),
        Tags=_guard_tags(entry.Tags),
        NodeAddress=guard(entry.NodeAddress),
        Status=guard(entry.Status),
    )


def _guard_tags(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(guard(tag) for tag in sorted(tags))
