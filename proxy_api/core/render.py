"""ProxyState to configuration files: text by Jinja2, every value quoted by its type. Core.

Equal states render to equal bytes; the digest of those bytes names the configuration, stands in a map of its own, and
is what a running HAProxy is asked for to know what it serves. Beside the text stands what of it can change while
HAProxy runs: servers in their places and entries of maps. The rest is the frame, and a difference in it is a reload.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jinja2 import Environment

from proxy_api.core import backend_rules, frontend_rules, routing
from proxy_api.core.backend_rules import ServerLine
from proxy_api.core.memo import Memo
from proxy_api.core.routing import Frame, Routing
from proxy_api.core.spec import ServiceSpec
from proxy_api.core.state import Backend, ProxyState, Service
from proxy_api.core.words import quoted, word

MAIN_FILE = "haproxy.cfg"
# A map of one entry, `digest`: what the running HAProxy was last brought to, by a load or by runtime commands.
DIGEST_MAP = "portbook.map"
CHECK_INTERVAL_S = 2
CHECKS_PER_S = 2500  # more would keep a core of the proxy busy, and hit every instance from every replica


@dataclass(frozen=True, slots=True)
class Bind:
    """An address of the shared frontend: `addr:port`, the operator's options, and the certificate list if TLS."""

    address: str
    options: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the configuration needs to know beside the services: addresses, paths, limits. From the settings."""

    binds: tuple[Bind, ...]
    socket: str
    timeouts: tuple[tuple[str, str], ...]
    connection_mode: str
    hard_stop_after_s: int
    maxconn: int = 2000
    certificates: tuple[tuple[str, str], ...] = ()  # path and digest of the content
    user: str = ""
    stats_bind: str = ""
    stats_user: str = ""
    stats_pass_hash: str = ""
    stats_uri: str = "/admin?stats"
    max_old_workers: int = 20
    hosts: tuple[tuple[str, str], ...] = ()  # name and address, of the machine's hosts file

    def shared_binds(self) -> tuple[str, ...]:
        """Every address of the shared frontend, bound now or only once there is a certificate."""
        return tuple(b.address for b in self.binds)


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """A configuration: file name to text, sorted, and the digest that names it."""

    files: tuple[tuple[str, str], ...]
    digest: str

    def text(self, name: str = MAIN_FILE) -> str:
        """One file's text."""
        return dict(self.files)[name]


class BackendText(NamedTuple):
    """A generated backend as it is rendered. `frame` is its text but for the servers that can come and go."""

    name: str
    frame: str
    servers: tuple[ServerLine, ...]

    def text(self) -> str:
        """The whole section."""
        return self.frame.replace(_SERVERS, "".join([f"    {s}\n" for s in self.servers if not s.fixed]))


class ServiceText(NamedTuple):
    """The sections of one service: its generated backends, or what its templates say. `frame` is what only a reload can
    change; `checked` says how many servers HAProxy looks after, `resolves` whether it has names to look up.
    """

    name: str
    text: str
    frame: tuple[str, ...]
    backends: tuple[BackendText, ...] = ()
    custom: bool = False
    checked: int = 0
    resolves: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration and what it was made from. `head` is the text before the services' sections."""

    state: ProxyState
    routing: Routing
    around: Surroundings
    config: ConfigFiles
    check_options: str
    head: str
    services: tuple[ServiceText, ...]

    def state_digest(self) -> str:
        """A digest of what is served, the same at every replica whatever it binds and however it is set up."""
        files = {name: text for name, text in self.config.files if name.endswith(".map")}
        inserted = [line for s in self.state.services if s.custom is not None for line in s.custom.frontend]
        return digest_of({**files, MAIN_FILE: "".join([t.text for t in self.services]), "": "\n".join(inserted)})


@dataclass(frozen=True, slots=True)
class _HeadInputs:
    """Everything that the text before the services depends on."""

    around: Surroundings
    groups: tuple[Frame, ...]
    check_options: str
    inserted: tuple[tuple[str, tuple[str, ...]], ...]
    resolves: bool


# Where the servers stand in the frame of a backend; no value that is quoted or checked holds it.
_SERVERS = "\0"


class Renderer:
    """Renders states; the text of what did not change is taken from the last time."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._services: Memo[ServiceText] = Memo()
        self._hosts: tuple[tuple[str, str], ...] = ()
        self._addresses: Mapping[str, str] = {}
        self._routes: Memo[tuple[Routing, Mapping[str, str]]] = Memo()
        self._heads: Memo[str] = Memo()

    def copy(self) -> "Renderer":
        """Another one that remembers the same."""
        other = Renderer(self._environment)
        other._services, other._routes, other._heads = self._services.copy(), self._routes.copy(), self._heads.copy()
        other._hosts, other._addresses = self._hosts, self._addresses
        return other

    def __call__(self, state: ProxyState, around: Surroundings) -> Rendered:
        """The whole configuration of a state."""
        specs = tuple([s.spec for s in state.services])
        routes, maps = self._routes.get(specs, lambda: _arranged(specs))
        services = state.services
        if around.hosts != self._hosts:
            self._hosts, self._addresses, self._services = around.hosts, dict(around.hosts), Memo()
        texts = tuple(self._services.all([spec.name for spec in specs], services,
                                         lambda place: self._service(services[place])))
        checks = check_options(sum([text.checked for text in texts]))
        inputs = _HeadInputs(around, routes.frontends[0].frames(), checks,
                             tuple([(s.name, s.custom.frontend) for s in state.services if s.custom is not None]),
                             True in [text.resolves for text in texts])
        head = self._heads.get(inputs, lambda: self._head(inputs))
        # Generated backends first, then what templates say.
        text = "".join([head, *[t.text for t in texts if not t.custom], *[t.text for t in texts if t.custom]])
        files: dict[str, str] = {MAIN_FILE: text, **maps}
        if around.certificates:
            # The comment makes it another configuration when a file has other content under the same name.
            files["certificates.crt-list"] = "".join(f"# {digest}\n{path}\n" for path, digest in around.certificates)
        digest = digest_of(files)
        files[DIGEST_MAP] = routing.map_text((("digest", digest),))
        return Rendered(state, routes, around, ConfigFiles(tuple(sorted(files.items())), digest), checks, head, texts)

    def _head(self, inputs: _HeadInputs) -> str:
        around = inputs.around
        return self._environment.get_template("haproxy.cfg.j2").render(
            around=around, check_options=inputs.check_options, resolves=inputs.resolves, digest_map=DIGEST_MAP,
            frontend=routing.SHARED, rules=frontend_rules.rules(inputs.groups, inputs.inserted),
            binds=[b for b in around.binds if not b.tls or around.certificates],
        )

    def _service(self, service: Service) -> ServiceText:
        if service.custom is not None:
            text = self._environment.get_template("sections.cfg.j2").render(
                service=service.name, sections=service.custom.sections)
            return ServiceText(service.name, text, (text,), custom=True)
        backends = tuple(self._backend(backend) for backend in service.backends)
        servers = [server for backend in backends for server in backend.servers]
        return ServiceText(
            service.name, "".join(backend.text() for backend in backends),
            tuple(part for backend in backends for part in (backend.name, backend.frame)), backends,
            checked=sum(server.checked for server in servers), resolves=any(server.fixed for server in servers))

    def _backend(self, backend: Backend) -> BackendText:
        servers = tuple(backend_rules.server_line(server, backend, self._addresses) for server in backend.servers)
        rules = (*backend_rules.rules(backend), *(str(server) for server in servers if server.fixed))
        frame = self._environment.get_template("backend.cfg.j2").render(
            name=backend.name, rules=rules, servers=_SERVERS)
        return BackendText(backend.name, frame, servers)


def _arranged(specs: tuple[ServiceSpec, ...]) -> tuple[Routing, Mapping[str, str]]:
    routes = routing.build(specs)
    return routes, routing.maps_of(routes)


def check_options(servers: int) -> str:
    """How the servers are checked: every 2 s, and half as often with every doubling of their number beyond 5,000.

    A server that stops answering is tried again after half a second whatever the interval.
    """
    seconds = CHECK_INTERVAL_S
    while servers > CHECKS_PER_S * seconds:
        seconds *= 2
    return f"inter {seconds}s fastinter 500ms downinter {seconds}s fall 3 rise 2"


def digest_of(files: Mapping[str, str]) -> str:
    """The name of a configuration: a digest of its files, but for the map that holds the digest itself."""
    whole = hashlib.sha256()
    for name in sorted(files):
        if name != DIGEST_MAP:
            whole.update(f"{name}\0{len(files[name])}\0{files[name]}".encode())
    return whole.hexdigest()[:16]


def render(state: ProxyState, around: Surroundings, environment: Environment) -> Rendered:
    """The whole configuration of a state, without a memory of another."""
    return Renderer(environment)(state, around)


def build_environment(environment: Environment) -> Environment:
    """Give a Jinja2 environment the filters that quote for HAProxy."""
    environment.filters["quoted"] = quoted
    environment.filters["word"] = word
    return environment
