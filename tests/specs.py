"""Specs and services with one destination, by keyword: what most tests are about."""

from __future__ import annotations

from proxy_api.core.sections import Custom
from proxy_api.core.spec import Destination, Http, Policy, ServiceSpec, Target, Templates
from proxy_api.core.state import Backend, Server, Service


def spec_of(name: str, *, color: str = "", paths: tuple[str, ...] = ("/",), domains: tuple[str, ...] = (),
         path_type: str = "", skip_check: bool = False, follow: str = "restarts", port: int = 0,
         host: str = "") -> ServiceSpec:
    """A service with one destination."""
    return ServiceSpec(name, (Destination(0, Http(paths, domains, path_type), Policy(skip_check), Target(port, host)),),
                       color, follow)


def templated(name: str, sections: str = "", frontend: str = "", backend: str = "", *,
              follow: str = "restarts") -> ServiceSpec:
    """A service of the operator's own text."""
    return ServiceSpec(name, Templates(sections, frontend, backend), follow=follow)


def served(asked: ServiceSpec, servers: tuple[Server, ...] = (), custom: Custom | None = None,
           left_out: tuple[str, ...] = ()) -> Service:
    """The service with these servers in each of its backends."""
    return Service(asked, tuple(Backend(name, destination, servers) for name, destination in asked.backends()), custom,
                   left_out)


def backend_of(asked: ServiceSpec) -> str:
    """The name of its one backend."""
    (name, _), = asked.backends()
    return name
