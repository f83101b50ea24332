"""From an admitted instance to a server of HAProxy's. Core."""

import ipaddress
import re
from functools import lru_cache

from proxy_api.core import grammar
from proxy_api.core.release import Member, Release
from proxy_api.core.spec import Target
from proxy_api.core.state import Server

MAX_WEIGHT = 256  # of HAProxy's servers; Consul's go to 65535


def servers_of(release: Release) -> tuple[tuple[Server, ...], tuple[str, ...]]:
    """The servers of a release's instances, and the instances that no request can be sent to, each with the reason."""
    servers: list[Server] = []
    left_out: list[str] = []
    members = release.members()
    heaviest = max((member.instance.weight for member in members), default=1)
    for member in members:
        if (found := server_of(member, heaviest)) is None:
            i = member.instance
            left_out.append(f"{i.id} at {i.address!r}:{i.port} is no address to send to")
        else:
            servers.append(found)
    return tuple(servers), tuple(left_out)


def outbound(service: str, target: Target) -> Server:
    """The server of a destination that is not in the catalog."""
    return Server(f"{service}_0_{target.port}", target.host, target.port, _is_name(target.host))


def server_of(member: Member, heaviest: int) -> Server | None:
    """The server of an instance, named `<Node>_<number>_<Port>` as in 2016; None where its address is none.

    `heaviest` is the highest weight among the instances of the service.
    """
    i = member.instance
    address, is_name = _address(i.address)
    if not address or not 1 <= i.port <= 65535:
        return None
    return Server(f"{_node(i.node)}_{member.number}_{i.port}", address, i.port, is_name, scaled(i.weight, heaviest))


def scaled(weight: int, heaviest: int) -> int:
    """Consul's weight as HAProxy's: the same, unless a service's heaviest is more than HAProxy has."""
    return weight if heaviest <= MAX_WEIGHT else max(1, round(weight * MAX_WEIGHT / heaviest))


# Nodes are few beside the services that run on them.
@lru_cache(4096)
def _address(text: str) -> tuple[str, bool]:
    """An address as HAProxy takes it and whether it is a name to look up; "" where it is none."""
    try:
        # HAProxy's check ends without a word at some names that are none (`a..b`); the grammar is stricter than it.
        address = "" if text.startswith("[") else grammar.hostname(text.removesuffix("."))
    except ValueError:
        return "", False
    return address, _is_name(address)


@lru_cache(4096)
def _node(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.:_-]", "_", name)[:100] or "node"


def _is_name(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return True
    return False
