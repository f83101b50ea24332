"""What stands in a generated backend: its rules, and its servers' lines. Core."""

from collections.abc import Mapping
from typing import NamedTuple

from proxy_api.core.state import Backend, Server
from proxy_api.core.words import word


class ServerLine(NamedTuple):
    """A server as it is rendered. Name, address, port and weight can change while HAProxy runs, `options` cannot.

    One that is `fixed` cannot come or go then either: HAProxy takes no name to be looked up from its socket.
    """

    name: str
    address: str
    port: int
    weight: int
    options: tuple[str, ...] = ()
    fixed: bool = False

    @property
    def checked(self) -> bool:
        """Whether HAProxy looks after it itself."""
        return "check" in self.options

    @property
    def endpoint(self) -> str:
        """Address and port as HAProxy reads them."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def weight_words(self) -> tuple[str, ...]:
        """Nothing for HAProxy's default of 1."""
        return ("weight", str(self.weight)) if self.weight != 1 else ()

    def __str__(self) -> str:
        return " ".join(("server", word(self.name), self.endpoint, *self.weight_words, *self.options))


_NOTHING: tuple[str, ...] = ()
_CHECK = ("check",)
# Not `libc`: a DNS server that does not answer would cost every check, reload and start 20 s for each name.
_LOOKUP = ("resolvers", "system", "init-addr", "last,none")


def server_line(server: Server, backend: Backend, addresses: Mapping[str, str]) -> ServerLine:
    """A server of a backend. A name among `addresses` is not looked up: HAProxy would ask DNS alone."""
    check = _NOTHING if backend.destination.policy.skip_check else _CHECK
    address = addresses.get(server.address.lower(), "") if server.resolve else server.address
    return ServerLine(server.name, address or server.address, server.port, server.weight,
                      check if address else check + _LOOKUP, not address)


def rules(backend: Backend) -> tuple[str, ...]:
    """The lines before the servers."""
    return ()
