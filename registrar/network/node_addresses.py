"""The addresses under which this node is known to others: given by hand, an interface's, or the default route's."""

import fcntl
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

from registrar.core.grammar import is_ip, is_ipv6

# A datagram socket that is "connected" sends nothing; it only asks the kernel which source address the route has.
# Both targets are reserved for documentation, so they are reached by the default route alone.
_BEYOND = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8::1"}
_SIOCGIFADDR = 0x8915  # netdevice(7)
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")
_SHORT_LIVED = 0x01 | 0x08 | 0x20 | 0x40  # temporary, failed, deprecated, tentative: linux/if_addr.h


class NoAddress(Exception):
    """Nobody said how this node is reached, and it cannot be guessed; or what was said leads nowhere."""


def node_addresses(ip: str, ip6: str) -> tuple[str, str]:
    """IPv4 and IPv6 address of this node, "" where it has none.

    `ip` may name an interface, which gives both; a host name counts as IPv4.
    """
    if ip and is_interface(ip):
        ipv4, ipv6 = interface_addresses(ip)
        return ipv4, ip6 or ipv6
    if ip and is_ip(ip) and is_ipv6(ip):
        return "", ip
    return ip or guess(socket.AF_INET), ip6 or guess(socket.AF_INET6)


def is_interface(name: str) -> bool:
    return not is_ip(name) and any(name == known for _, known in socket.if_nameindex())


def interface_addresses(name: str) -> tuple[str, str]:
    """The first IPv4 and the first lasting IPv6 address of an interface; "" where it has none for others."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            answer = fcntl.ioctl(asked, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        ipv4 = socket.inet_ntoa(answer[20:24])
    except OSError:
        ipv4 = ""
    try:
        rows = [line.split() for line in _IPV6_ADDRESSES.read_text().splitlines()]
    except OSError:
        rows = []
    ipv6 = [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])) for row in rows
            if row[5] == name and not int(row[4], 16) & _SHORT_LIVED]
    return _usable(ipv4), next(filter(None, map(_usable, ipv6)), "")


def guess(family: socket.AddressFamily) -> str:
    """The address of the interface with the default route; "" where there is none that others could use."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_BEYOND[family], 9))
            found = str(probe.getsockname()[0])
    except OSError:
        return ""
    return _usable(found)


def _usable(found: str) -> str:
    if not found:
        return ""
    address = ip_address(found.partition("%")[0])
    return "" if address.is_loopback or address.is_link_local or address.is_unspecified else found


def require_address(ip: str, ip6: str, family: str) -> None:
    """Refuse to go on without an address that is worth registering."""
    if ip and not is_ip(ip) and not is_interface(ip):
        try:
            socket.getaddrinfo(ip, None)
        except OSError:
            raise NoAddress(f"-ip {ip}: no interface of this machine has that name, and it does not resolve "
                            "as a host's: give an address, a host name or an interface") from None
    ipv4, ipv6 = node_addresses(ip, ip6)
    if not {"ipv4": ipv4, "ipv6": ipv6}.get(family, ipv4 or ipv6):
        where = f"the interface {ip} has no address for others" if ip else \
            "this node's address is not known: no default route, or only a loopback address"
        raise NoAddress(f"{where}{'' if family == 'both' else f' in the family {family}'}. Give -ip"
                        f"{'6' if family == 'ipv6' else ''}")
