"""What the reconcile loop needs of the outside world: an engine, a Consul agent, web pages; how an engine fails. Pure.

`docker_source.DockerSource` and `catalog.consul_client.ConsulClient` fit these; so do the fakes of the tests.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from catalog.model import AgentService
from registrar.container import Container
from registrar.drains import End, Signal
from registrar.swarm import SwarmService
from registrar.tag_templates import Page


class EngineUnavailable(Exception):
    """The engine could not be asked: which containers run is unknown, not "none"."""


class Unreadable(Exception):
    """The engine answers, but not about this one container."""

    def __init__(self, container_id: str, reason: str) -> None:
        super().__init__(f"container {container_id[:12]} cannot be inspected: {reason}")
        self.container_id = container_id


@dataclass(frozen=True, slots=True)
class Happening:
    """Something happened to a container: to its networks, if `network`; it got a signal, or it ended.

    Without a container it happened to a service of the swarm.
    """

    container: str
    network: bool = False
    note: Signal | End | None = None
    event: str = ""  # what the engine calls it


class Engine(Protocol):
    """Where containers come from."""

    def engine_name(self) -> str: ...
    def running(self, labels: Sequence[str]) -> frozenset[str]: ...
    def inspect(self, container_id: str) -> Container | None: ...
    def inspect_all(self, container_ids: Sequence[str]) -> Iterable[tuple[str, Container | Unreadable | None]]: ...
    def swarm_services(self) -> Mapping[str, SwarmService] | None: ...


class Pages(Protocol):
    """The web pages that tag templates ask for; `version` counts their changes."""

    @property
    def version(self) -> int: ...
    def look_up(self, url: str) -> Page: ...


class Agent(Protocol):
    """Where registrations go."""

    def agent_self(self) -> Mapping[str, Any]: ...
    def has_leader(self) -> bool: ...
    def agent_services(self) -> dict[str, AgentService]: ...
    def agent_service(self, service_id: str) -> AgentService | None: ...
    def agent_checks(self) -> Mapping[str, Mapping[str, Any]]: ...
    def agent_register(self, body: Mapping[str, Any], replace_checks: bool = True) -> None: ...
    def agent_deregister(self, service_id: str) -> None: ...
    def agent_check_deregister(self, check_id: str) -> None: ...
    def agent_check_update(self, check_id: str, status: str, output: str) -> None: ...
    def agent_maintenance(self, service_id: str, reason: str) -> None: ...
