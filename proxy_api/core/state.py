"""ProxyState: everything the proxy is to serve, as one value. Core."""

from bisect import bisect_left
from dataclasses import dataclass

from proxy_api.core.sections import Custom
from proxy_api.core.spec import Destination, ServiceSpec


@dataclass(frozen=True, slots=True)
class Server:
    """One member of a backend. `resolve` says that the address is a name, to be looked up by HAProxy. `weight` is
    HAProxy's, 1 to 256.
    """

    name: str
    address: str
    port: int
    resolve: bool = False
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Backend:
    """One destination as it is served: HAProxy's pool for it."""

    name: str
    destination: Destination
    servers: tuple[Server, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """One service as it is served: its backends, or what its templates say. `left_out` are the instances that no
    request can be sent to, each with the reason.
    """

    spec: ServiceSpec
    backends: tuple[Backend, ...] = ()
    custom: Custom | None = None
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def servers(self) -> tuple[Server, ...]:
        """Every server once, in however many backends it is."""
        if len(self.backends) == 1:
            return self.backends[0].servers
        return tuple(dict.fromkeys(server for backend in self.backends for server in backend.servers))


@dataclass(frozen=True, slots=True)
class ProxyState:
    """All services, by name. Equal states render to equal bytes."""

    services: tuple[Service, ...] = ()

    def get(self, name: str) -> Service | None:
        """A service by its name."""
        place = bisect_left(self.services, name, key=lambda s: s.name)
        return self.services[place] if self.services[place:place + 1] and self.services[place].name == name else None
