"""Where a port can be reached from other machines, or why it cannot. Pure.

The rule behind all others: no address is ever made up. What the engine does not bind is not in the catalog.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from engine.container import Binding, Container, Port
from registrar.core.grammar import is_ipv6

TAGS = {False: "lan_ipv4", True: "lan_ipv6"}
_WORDS = {False: "IPv4", True: "IPv6"}
BOTH = "both"
FAMILIES = {False: "ipv4", True: "ipv6"}
# Networks that carry swarm's own traffic; a container is not reached by its address there.
INGRESS = "ingress"
SWARM_NETWORKS = (INGRESS, "docker_gwbridge")


@dataclass(frozen=True, slots=True)
class Node:
    """This machine: the owner mark, its address in each family ("" where it has none), and which families count."""

    id: str
    ipv4: str = ""
    ipv6: str = ""
    family: str = BOTH

    def counts(self, ipv6: bool) -> bool:
        return self.family in (BOTH, FAMILIES[ipv6])

    @property
    def address(self) -> str:
        return next((a for six, a in ((False, self.ipv4), (True, self.ipv6)) if a and self.counts(six)), "")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port that lead to a port of a container."""

    address: str
    port: int
    shared: bool = False  # a port of the node that leads to every task of a swarm's service
    tagged: tuple[tuple[str, str, int], ...] = ()  # (Consul's name of the family, address, port), where there are both


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
    if not port.bindings and port.ingress:
        return _of_swarm(port, node)
    if not port.bindings:
        if not container.service_known and any(n.name == INGRESS for n in container.networks):
            return Refused("ingress", "not published, or by the swarm's ingress network, of which only a manager's "
                           "engine tells the ports: publish with mode=host, or run registrar on the managers")
        if port.asked:
            return Refused("no-host-port", "to be published, but the engine binds no host port (an internal network?)")
        return Refused("not-published", "exposed but not published")
    return _choose(port.bindings, node)


def internal(container: Container, port: Port, target: Container | None, node: Node, asked: bool,
             wanted_network: str, usual_networks: str = "") -> Endpoint | Refused:
    """The endpoint on a network of the container's own."""
    if container.joined:
        if target is None or not target.serving:
            return _target_away(container)
        return internal(target, port, None, node, asked, wanted_network, usual_networks)
    if container.network_mode == "host":
        return _on_host(port, node, asked)
    networks = [n for n in container.networks if (n.ipv4 or n.ipv6) and n.name not in SWARM_NETWORKS]
    if wanted_network:
        networks = [n for n in networks if n.name == wanted_network]
        if not networks:
            return Refused("no-network", f"the container has no address on the network {wanted_network}")
    if not networks:
        return Refused("no-network", "the container has no address on any network")
    if len(networks) > 1 and usual_networks:
        networks = [n for n in networks if re.fullmatch(usual_networks, n.name)] or networks
    if len(networks) > 1:
        names = ", ".join(n.name for n in networks)
        return Refused("networks", f"several networks ({names}): name one with SERVICE_NETWORK")
    return _both({False: (networks[0].ipv4, port.number), True: (networks[0].ipv6, port.number)}, node)


def _both(families: Mapping[bool, tuple[str, int]], node: Node) -> Endpoint | Refused:
    """The endpoint of the node's first family, with the other one beside it; keys tell whether it is IPv6."""
    found = {six: pair for six, pair in families.items() if pair[0] and node.counts(six)}
    if not found:
        return Refused("family", f"has no address of the family that --family {node.family} asks for")
    prefer_ipv6 = not node.ipv4 and bool(node.ipv6)
    address, port = found[prefer_ipv6] if prefer_ipv6 in found else found[not prefer_ipv6]
    if len(found) == 1:
        return Endpoint(address, port)
    return Endpoint(address, port, tagged=tuple((TAGS[six], *found[six]) for six in (False, True)))


def _of_swarm(port: Port, node: Node) -> Endpoint | Refused:
    """The ingress network answers on every node, IPv4 only."""
    found = _choose((Binding("0.0.0.0", port.ingress),), node)
    return replace(found, shared=True) if isinstance(found, Endpoint) else found


def _on_host(port: Port, node: Node, asked: bool) -> Endpoint | Refused:
    """Host networking binds nothing that the engine knows of: an EXPOSE in an image proves no listener.

    So somebody has to ask for the port: a key written for it, a -p on the command line, or a setting.
    """
    if not asked:
        return Refused("host-networking", "host networking: only exposed; ask for it with SERVICE_<port>_NAME")
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


def portless(node: Node) -> Endpoint | Refused:
    """The endpoint of what has no port."""
    return Endpoint(node.address, 0) if node.address else Refused("no-address", "this node's address is not known")


def _choose(bindings: tuple[Binding, ...], node: Node) -> Endpoint | Refused:
    """A binding to one address before one to all of them; each family with its own port; loopback never."""
    usable: dict[bool, list[tuple[bool, str, int]]] = {}
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
            family = _WORDS[is_ipv6(host)]
            refusals.append(Refused("no-address", f"published on {family} only, and this node has no {family} address"))
            continue
        if not node.counts(is_ipv6(address)):
            refusals.append(Refused("family", f"published on {_WORDS[is_ipv6(address)]} only, and --family "
                                    f"{node.family} is set"))
            continue
        usable.setdefault(is_ipv6(address), []).append((parsed.is_unspecified, address, binding.host_port))
    if not usable:
        return refusals[-1]
    best = {six: min(found) for six, found in usable.items()}
    # One address that was asked for says more than all of them, whatever its family.
    to_one = {six: found for six, found in best.items() if not found[0]} or best
    return _both({six: (address, port) for six, (_, address, port) in to_one.items()}, node)
