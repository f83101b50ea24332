"""The addresses that the settings have this proxy listen on. Core."""

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from proxy_api.core.errors import Fault

FRONTEND = ("DEFAULT_PORTS", "BIND_PORTS")  # one of HAProxy's frontends has the addresses of both
_ELSEWHERE = frozenset(("transparent", "interface", "namespace"))  # bind options that make it another address
_ANY = ("", "0.0.0.0", "::")
_RIGHT = {
    errno.EADDRINUSE: "end what listens there, or give another port",
    errno.EADDRNOTAVAIL: "give an address of this host",
    errno.EACCES: "give a port from 1024 on, or the right to lower ones (root, or CAP_NET_BIND_SERVICE)",
}


@dataclass(frozen=True, slots=True)
class Listener:
    """`addr:port`, the setting that asks for it, HAProxy's options, and whether it waits for a certificate."""

    setting: str
    address: str
    options: str = ""
    tls: bool = False

    @property
    def host(self) -> str:
        """Without brackets; "" for every address of IPv4."""
        return self.address.rpartition(":")[0].strip("[]").removeprefix("*")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def plain(self) -> bool:
        """Whether it can be tried without HAProxy's options."""
        return not _ELSEWHERE & set(self.options.split())

    def overlaps(self, other: "Listener") -> bool:
        """Whether not both can be had, by what they say: names are not looked up."""
        return self.port == other.port and (self.host == other.host or self.host in _ANY or other.host in _ANY)


def clashes(listeners: Iterable[Listener]) -> Iterator[Fault]:
    """The addresses that are asked for twice."""
    for one, other in combinations(listeners, 2):
        if one.overlaps(other) and not {one.setting, other.setting} <= set(FRONTEND):
            yield Fault(one.setting, f"{one.address} is also in {other.setting} ({other.address})",
                        "give each an address or a port of its own")


def not_bound(listener: Listener, number: int, why: str) -> Fault:
    """What is wrong where binding failed with this error number."""
    name = "IP" if listener.setting == "PORT" and number == errno.EADDRNOTAVAIL else listener.setting
    return Fault(name, f"{listener.address} cannot be bound: {why}", _RIGHT.get(number, "give another address"))
