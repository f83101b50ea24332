"""Where Consul is: addresses parsed, never trimmed by character set. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from catalog.errors import InvalidAddress

DEFAULT_PORT = 8500
UNIX = "unix"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of Consul's HTTP API. Of a unix socket, `host` is its path."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        if self.scheme == UNIX:
            return f"unix://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def verifies(environ: Mapping[str, str]) -> bool:
    """Whether certificates are to be verified, as Consul's own command line reads its environment."""
    return environ.get("CONSUL_HTTP_SSL_VERIFY", "true").lower() not in ("false", "0", "f")


def parse_endpoints(text: str, default_scheme: str = "http") -> tuple[Endpoint, ...]:
    """`host:port` or a URL, several separated by commas; `unix:///path` is a socket.

    >>> [e.url for e in parse_endpoints("server1:8500,https://[::1]:8501")]
    ['http://server1:8500', 'https://[::1]:8501']

    Raises InvalidAddress with the item and what would be right.
    """
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        raise InvalidAddress("no address of Consul: give host:port or a URL, several separated by commas")
    return tuple(_parse(item, default_scheme) for item in items)


def _parse(item: str, default_scheme: str) -> Endpoint:
    if item.startswith("unix:"):
        return _parse_path(item)
    wanted = "give host:port, http://host:port, https://host:port or unix:///path"
    try:
        parts = urlsplit(item if "://" in item else f"{default_scheme}://{item}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidAddress(f"an address of Consul has a bad port or host: {wanted}") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidAddress("an address of Consul carries a user or password: give them in CONSUL_HTTP_AUTH")
    if parts.scheme.lower() not in ("http", "https"):
        raise InvalidAddress(f"{item!r} has the scheme {parts.scheme!r}: {wanted}")
    if not host or any(c.isspace() or not c.isprintable() for c in item):
        raise InvalidAddress(f"{item!r} names no host: {wanted}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidAddress(f"{item!r} has a path: {wanted}")
    return Endpoint(parts.scheme.lower(), host, DEFAULT_PORT if port is None else port)


def _parse_path(item: str) -> Endpoint:
    path = item.removeprefix("unix://")
    # The kernel takes 107 bytes.
    if not path.startswith("/") or path.endswith("/") or not path.isprintable() or len(path.encode()) > 107:
        raise InvalidAddress(f"{item!r} is no address of a socket: give unix:///path, at most 107 bytes long")
    return Endpoint(UNIX, path, 0)
