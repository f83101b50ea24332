"""What a user asked for, as values: a service, its destinations, and for each a match, a policy and a target. Core."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Http:
    """Which HTTP requests a destination takes: one of these hosts (none given: any) and one of these paths."""

    paths: tuple[str, ...] = ("/",)
    domains: tuple[str, ...] = ()
    path_type: str = ""


Match = Http


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens to a destination's requests and servers on the way."""

    skip_check: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Where a destination's requests go: the service's instances in the catalog, or one `host`. `port` is the host's;
    for the catalog's instances, which have ports of their own, it only names the backend (0: not given).
    """

    port: int = 0
    host: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """One way into a service. `index` is the number behind its parameters' names, 0 for those without one."""

    index: int = 0
    match: Match = field(default_factory=Http)
    policy: Policy = field(default_factory=Policy)
    target: Target = field(default_factory=Target)


@dataclass(frozen=True, slots=True)
class Templates:
    """The operator's own text in place of the generated one: a file with whole sections, or one for the inside of the
    shared frontend and one for the backends.
    """

    sections: str = ""
    frontend: str = ""
    backend: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A user's wish: which requests go to which service. `follow` says what becomes of it between two calls."""

    name: str
    body: tuple[Destination, ...] | Templates
    color: str = ""
    follow: str = "restarts"

    @property
    def catalog_name(self) -> str:
        """The name in the catalog: a colour is part of it (2016-04-05)."""
        return f"{self.name}-{self.color}" if self.color else self.name

    @property
    def templated(self) -> bool:
        """Whether the operator's own text takes the place of the generated one."""
        return isinstance(self.body, Templates)

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """None where templates take their place."""
        return () if isinstance(self.body, Templates) else self.body

    @property
    def uses_catalog(self) -> bool:
        """Whether instances of the catalog serve it, as far as the spec alone tells."""
        return self.templated or any(not d.target.host for d in self.destinations)

    def backends(self) -> Iterator[tuple[str, Destination]]:
        """Each destination with the name of its backend: `go-demo-be`, with a port `go-demo-be8080`, as the predecessor
        named them; with the destination's number behind it where another one has that name already.
        """
        names: set[str] = set()
        for destination in self.destinations:
            name = f"{self.name}-be{destination.target.port or ''}"
            name = name if name not in names else f"{name}_{destination.index}"
            names.add(name)
            yield name, destination
