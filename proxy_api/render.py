"""ProxyState to configuration files: text by Jinja2, every value quoted by its type. Core.

Equal states render to equal bytes; the digest of those bytes names the configuration, is written into it, and is what
a running HAProxy is asked for to know what it serves.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment

from proxy_api import routing
from proxy_api.routing import Routing
from proxy_api.state import ProxyState, Server

MAIN_FILE = "haproxy.cfg"
_DIGEST_MARK = "@digest@"


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
    certificates: tuple[str, ...] = ()
    user: str = ""
    stats_bind: str = ""
    stats_user: str = ""
    stats_pass_hash: str = ""
    stats_uri: str = "/admin?stats"

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


def render(state: ProxyState, around: Surroundings, environment: Environment) -> Rendered:
    """The whole configuration of a state."""
    routes = routing.build(s.spec for s in state.services)
    text = environment.get_template("haproxy.cfg.j2").render(
        state=state, around=around, routing=routes, digest=_DIGEST_MARK,
        binds=[b for b in around.binds if not b.tls or around.certificates],
        resolves=any(s.resolve for service in state.services for s in service.servers),
    )
    files: dict[str, str] = {MAIN_FILE: text, **routing.maps_of(routes)}
    if around.certificates:
        files["certificates.crt-list"] = "".join(f"{path}\n" for path in around.certificates)
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    files[MAIN_FILE] = text.replace(_DIGEST_MARK, digest)
    return Rendered(state, routes, around, ConfigFiles(tuple(sorted(files.items())), digest))


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


def server_line(server: Server, check: bool) -> str:
    """The arguments of a `server` line."""
    host = f"[{server.address}]" if ":" in server.address else server.address
    parts = [word(server.name), f"{word(host)}:{server.port}"]
    if check:
        parts.append("check")
    if server.resolve:
        # A name that does not resolve must not keep everything else from starting.
        parts.append("resolvers system init-addr last,libc,none")
    return " ".join(parts)
