"""What a template sees of the catalog: an instance and a service, with consul-template's names. Core."""

from __future__ import annotations

from dataclasses import dataclass

from gotemplate.values import Record


@dataclass(frozen=True)
class ServiceEntry(Record):
    """One instance, as `service` yields it. The names are consul-template's (dependency/health_service.go)."""

    KIND = "service"

    Node: str
    Address: str
    Port: int
    ID: str
    Name: str
    Tags: tuple[str, ...]
    NodeAddress: str = ""
    Status: str = "passing"


@dataclass(frozen=True)
class ServiceName(Record):
    """One service of the catalog, as `services` yields it (dependency/catalog_services.go)."""

    KIND = "service"

    Name: str
    Tags: tuple[str, ...]
