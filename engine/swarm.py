"""What a swarm's service says of its tasks: labels and ports of the ingress network, which no container shows. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.container import Container, Port
from engine.errors import SwarmUnavailable

SERVICE_LABEL = "com.docker.swarm.service.id"


@dataclass(frozen=True, slots=True)
class SwarmService:
    """One service: `ingress` holds (port in the container, protocol, port of every node of the swarm)."""

    id: str
    labels: tuple[tuple[str, str], ...] = ()
    ingress: tuple[tuple[int, str, int], ...] = ()


def service_of(container: Container) -> str:
    """The id of the service that a container is a task of, "" if it is none."""
    return container.label(SERVICE_LABEL)


def from_service(document: Mapping[str, Any]) -> SwarmService:
    """Read one entry of `GET /services`."""
    spec, ports = document.get("Spec") or {}, (document.get("Endpoint") or {}).get("Ports") or ()
    return SwarmService(
        id=str(document.get("ID") or ""),
        labels=tuple(sorted((spec.get("Labels") or {}).items())),
        ingress=tuple(sorted(
            (int(port["TargetPort"]), str(port.get("Protocol") or "tcp"), int(port["PublishedPort"]))
            for port in ports if port.get("PublishMode", "ingress") == "ingress" and port.get("PublishedPort"))),
    )


def with_service(container: Container, service: SwarmService) -> Container:
    """The task with its service's labels, which its own beat, and with the ports that lead to it from every node."""
    ports = {(port.number, port.protocol): port for port in container.ports}
    for number, protocol, published in service.ingress:
        port = ports.get((number, protocol), Port(number, protocol))
        ports[number, protocol] = replace(port, asked=True, ingress=published)
    labels = {**dict(service.labels), **dict(container.labels)}
    return replace(container, labels=tuple(sorted(labels.items())), ports=tuple(sorted(ports.values())),
                   service_known=True)


class Services:
    """What is known of the swarm's services. `ask` is asked once for each look at everything, and for a new service.

    A service that was removed, or of which the swarm cannot tell any more, is as it was last while it has tasks.
    """

    def __init__(self, ask: Callable[[], Mapping[str, SwarmService] | None]) -> None:
        self._ask = ask
        self._known: dict[str, SwarmService] = {}
        self._used: set[str] = set()
        self._asked = False
        self._tells = True  # whether this engine is a manager that may be asked
        self._fault: SwarmUnavailable | None = None

    def look_again(self) -> None:
        """Ask anew when next something is to be known."""
        self._known = {key: service for key, service in self._known.items() if key in self._used}
        self._used, self._asked = set(), False

    def complete(self, container: Container) -> Container:
        """A task with what its service says, as far as this engine tells. Raises SwarmUnavailable where it should."""
        wanted = service_of(container)
        if not wanted:
            return container
        self._used.add(wanted)
        if not self._asked or (wanted not in self._known and self._tells and not self._fault):
            self._read()
        if wanted not in self._known and self._fault:
            raise self._fault
        return with_service(container, self._known[wanted]) if wanted in self._known else container

    def _read(self) -> None:
        self._asked, self._fault = True, None
        try:
            found = self._ask()
        except SwarmUnavailable as fault:
            self._fault = fault
            return
        self._tells = found is not None
        self._known.update(found or {})
