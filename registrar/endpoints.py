"""Where a port can be reached from other machines, or why it cannot. Pure.

The rule behind all others: no address is ever made up. What the engine does not bind is not in the catalog.
"""

from dataclasses import dataclass
from ipaddress import ip_address

from registrar.container import Binding, Container, Network, Port
from registrar.grammar import is_ipv6

# Networks that carry swarm's own traffic; a container is not reached by its address there.
SWARM_NETWORKS = ("ingress", "docker_gwbridge")


@dataclass(frozen=True, slots=True)
class Node:
    """This machine: the owner mark, and its address in each family ("" where it has none)."""

    id: str
    ipv4: str = ""
    ipv6: str = ""

    @property
    def address(self) -> str:
        return self.ipv4 or self.ipv6


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port that lead to a port of a container."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Refused:
    """No endpoint: the kind of reason, and the reason in words."""

    code: str
    reason: str


def published(container: Container, port: Port, target: Container | None, node: Node,
              asked: bool) -> Endpoint | Refused:
    """The endpoint on this node. `target` is the container whose network is shared, `asked` see `_on_host`."""
    if container.joined:
        return _of_target(container, port, target, node, asked)
    if container.network_mode == "host":
        return _on_host(port, node, asked)
    if container.network_mode == "none":
        return Refused("no-network", "the container has no network")
    if not port.bindings:
        if port.asked:
            return Refused("no-host-port", "to be published, but the engine binds no host port (an internal network?)")
        return Refused("not-published", "exposed but not published")
    return _choose(port.bindings, node)


def internal(container: Container, port: Port, target: Container | None, node: Node, asked: bool,
             wanted_network: str) -> Endpoint | Refused:
    """The endpoint on a network of the container's own."""
    if container.joined:
        if target is None or not target.serving:
            return _target_away(container)
        return internal(target, port, None, node, asked, wanted_network)
    if container.network_mode == "host":
        return _on_host(port, node, asked)
    networks = [n for n in container.networks if (n.ipv4 or n.ipv6) and n.name not in SWARM_NETWORKS]
    if wanted_network:
        networks = [n for n in networks if n.name == wanted_network]
        if not networks:
            return Refused("no-network", f"the container has no address on the network {wanted_network}")
    if not networks:
        return Refused("no-network", "the container has no address on any network")
    if len(networks) > 1:
        names = ", ".join(n.name for n in networks)
        return Refused("networks", f"several networks ({names}): name one with SERVICE_NETWORK")
    return Endpoint(_address(networks[0], node), port.number)


def _address(network: Network, node: Node) -> str:
    prefer_ipv6 = not node.ipv4 and node.ipv6
    return (network.ipv6 or network.ipv4) if prefer_ipv6 else (network.ipv4 or network.ipv6)


def _on_host(port: Port, node: Node, asked: bool) -> Endpoint | Refused:
    """Host networking binds nothing that the engine knows of: an EXPOSE in an image proves no listener.

    So somebody has to ask for the port: a key written for it, a -p on the command line, or a setting.
    """
    if not asked:
        return Refused("host-networking", f"host networking: only exposed; ask for it with SERVICE_{port.number}_NAME")
    if not node.address:
        return Refused("no-address", "host networking, and this node's address is not known")
    return Endpoint(node.address, port.number)


def _of_target(container: Container, port: Port, target: Container | None, node: Node,
               asked: bool) -> Endpoint | Refused:
    if target is None or not target.serving:
        return _target_away(container)
    if target.network_mode == "host":
        return _on_host(port, node, asked)
    shared = target.port(port.number, port.protocol)
    if shared is None or not shared.bindings:
        return Refused("not-published", f"shares the network of container {target.name}, which does not publish it")
    return _choose(shared.bindings, node)


def _target_away(container: Container) -> Refused:
    return Refused("not-running", f"shares the network of container {container.joined[:12]}, which does not run")


def _choose(bindings: tuple[Binding, ...], node: Node) -> Endpoint | Refused:
    """A binding to one address before one to all of them; each family with its own port; loopback never."""
    usable: list[tuple[bool, bool, str, int]] = []
    refusals = []
    for binding in bindings:
        host = binding.host_ip
        parsed = ip_address(host)
        if parsed.is_loopback or parsed.is_link_local:
            refusals.append(Refused("loopback", "published on loopback only" if parsed.is_loopback
                                    else "published on a link-local address only"))
            continue
        address = host
        if parsed.is_unspecified:
            address = node.ipv6 if is_ipv6(host) else node.ipv4
        if not address:
            family = "IPv6" if is_ipv6(host) else "IPv4"
            refusals.append(Refused("no-address", f"published on {family} only, and this node has no {family} address"))
            continue
        second_family = is_ipv6(host) == bool(node.ipv4)
        usable.append((parsed.is_unspecified, second_family, address, binding.host_port))
    if not usable:
        return refusals[-1]
    _, _, address, port = min(usable)
    return Endpoint(address, port)
