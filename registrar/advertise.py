"""The addresses under which this node is known to others: given by hand, or those of the default route."""

import socket
from ipaddress import ip_address

from registrar.grammar import is_ip, is_ipv6

# A datagram socket that is "connected" sends nothing; it only asks the kernel which source address the route has.
# Both targets are reserved for documentation, so they are reached by the default route alone.
_BEYOND = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8::1"}


class NoAddress(Exception):
    """Nobody said how this node is reached, and it cannot be guessed."""


def node_addresses(ip: str, ip6: str) -> tuple[str, str]:
    """IPv4 and IPv6 address of this node, "" where it has none. A host name given by hand counts as IPv4."""
    if ip and is_ip(ip) and is_ipv6(ip):
        return "", ip
    return ip or guess(socket.AF_INET), ip6 or guess(socket.AF_INET6)


def guess(family: socket.AddressFamily) -> str:
    """The address of the interface with the default route; "" where there is none that others could use."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_BEYOND[family], 9))
            found = str(probe.getsockname()[0])
    except OSError:
        return ""
    address = ip_address(found.partition("%")[0])
    return "" if address.is_loopback or address.is_link_local or address.is_unspecified else found


def require_address(ip: str, ip6: str) -> None:
    """Refuse to go on without an address that is worth registering."""
    if not any(node_addresses(ip, ip6)):
        raise NoAddress("this node's address is not known: no default route, or only a loopback address. Give -ip")
