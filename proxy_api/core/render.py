"""ProxyState to configuration files: text by Jinja2, every value quoted by its type. Core.

Equal states render to equal bytes; the digest of those bytes names the configuration, stands in a map of its own, and
is what a running HAProxy is asked for to know what it serves.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment

from proxy_api.core import routing
from proxy_api.core.route import RouteSpec
from proxy_api.core.routing import Frame, Routing
from proxy_api.core.state import ProxyState, Server, Service

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


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration and what it was made from."""

    state: ProxyState
    routing: Routing
    around: Surroundings
    config: ConfigFiles
    check_options: str


@dataclass(frozen=True, slots=True)
class _Body:
    """The sections of one service, and what the head of the configuration needs to know of it."""

    text: str
    custom: bool
    resolves: bool
    checked: int


@dataclass(frozen=True, slots=True)
class _HeadInputs:
    """Everything that the text before the backends depends on."""

    around: Surroundings
    groups: tuple[Frame, ...]
    check_options: str
    customs: tuple[Service, ...]
    resolves: bool


class Renderer:
    """Renders states; the text of what did not change is taken from the last time."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._state = ProxyState()
        self._bodies: list[_Body] = []
        self._routing: tuple[tuple[RouteSpec, ...], Routing, Mapping[str, str]] | None = None
        self._last_head: tuple[_HeadInputs, str] | None = None

    def __call__(self, state: ProxyState, around: Surroundings) -> Rendered:
        """The whole configuration of a state."""
        routes, maps = self._routes(tuple([s.spec for s in state.services]))
        self._bodies = bodies = self._render_bodies(state)
        self._state = state
        # Generated backends first, then what templates say.
        generated = [body.text for body in bodies if not body.custom]
        customs = [(service, body.text) for service, body in zip(state.services, bodies, strict=True) if body.custom]
        checks = check_options(sum([body.checked for body in bodies]))
        head = self._head(_HeadInputs(around, tuple(g.frame() for g in routes.groups), checks,
                                      tuple(service for service, _ in customs),
                                      True in [body.resolves for body in bodies]))
        text = "".join([head, *generated, *(text for _, text in customs)])
        files: dict[str, str] = {MAIN_FILE: text, **maps}
        if around.certificates:
            # The comment makes it another configuration when a file has other content under the same name.
            files["certificates.crt-list"] = "".join(f"# {digest}\n{path}\n" for path, digest in around.certificates)
        digest = digest_of(files)
        files[DIGEST_MAP] = routing.map_text((("digest", digest),))
        return Rendered(state, routes, around, ConfigFiles(tuple(sorted(files.items())), digest), checks)

    def _head(self, inputs: "_HeadInputs") -> str:
        if self._last_head is None or self._last_head[0] != inputs:
            around = inputs.around
            self._last_head = inputs, self._environment.get_template("haproxy.cfg.j2").render(
                around=around, groups=inputs.groups, customs=inputs.customs, check_options=inputs.check_options,
                resolves=inputs.resolves, digest_map=DIGEST_MAP,
                binds=[b for b in around.binds if not b.tls or around.certificates],
            )
        return self._last_head[1]

    def _routes(self, specs: tuple[RouteSpec, ...]) -> tuple[Routing, Mapping[str, str]]:
        if self._routing is None or self._routing[0] != specs:
            routes = routing.build(specs)
            self._routing = specs, routes, routing.maps_of(routes)
        return self._routing[1], self._routing[2]

    def _render_bodies(self, state: ProxyState) -> list[_Body]:
        """The sections of each service, in the order of the services."""
        if len(state.services) == len(self._bodies):
            bodies = list(self._bodies)
            moved = [(n, now) for n, (was, now) in enumerate(zip(self._state.services, state.services, strict=True))
                     if was is not now]
            if all(self._state.services[n].name == now.name for n, now in moved):
                for n, now in moved:
                    bodies[n] = self._body(now)
                return bodies
        known = {id(service): body for service, body in zip(self._state.services, self._bodies, strict=True)}
        return [known.get(id(service)) or self._body(service) for service in state.services]

    def _body(self, service: Service) -> _Body:
        return _Body(self._environment.get_template("backend.cfg.j2").render(service=service),
                     service.custom is not None, any(server.resolve for server in service.servers),
                     0 if service.spec.skip_check else len(service.servers))


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
    environment.filters["server_line"] = server_line
    environment.filters["word"] = word
    return environment


def quoted(text: Any) -> str:
    """A word in strong quotes, in which nothing is special to HAProxy (manual, 2.2)."""
    return "'" + str(text).replace("'", "'\\''") + "'"


def word(text: Any) -> str:
    """A word that needs no quotes; anything else is a mistake of ours, and is not written."""
    plain = str(text)
    if not plain or any(not "!" <= c <= "~" or c in "\"'\\#" for c in plain):
        raise ValueError(f"{plain!r} is no plain word of a configuration")
    return plain


def endpoint(server: Server) -> str:
    """Address and port as HAProxy reads them."""
    host = f"[{server.address}]" if ":" in server.address else server.address
    return f"{word(host)}:{server.port}"


def weight_words(server: Server) -> tuple[str, ...]:
    """A server's weight, where it is not HAProxy's default of 1."""
    return ("weight", str(server.weight)) if server.weight != 1 else ()


def server_line(server: Server, check: bool) -> str:
    """The arguments of a `server` line."""
    parts = [word(server.name), endpoint(server), *weight_words(server)]
    if check:
        parts.append("check")
    if server.resolve:
        # Not `libc`: a DNS server that does not answer would cost every check, reload and start 20 s for each name.
        parts.append("resolvers system init-addr last,none")
    return " ".join(parts)
