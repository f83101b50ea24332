"""Ports that several containers of one node share, as a swarm's tasks do: each is registered once. Pure."""

from collections.abc import Callable, Iterable

from registrar.core.registration import Registration
from registrar.core.services import Skip


def once_per_node(wanted: Iterable[Registration], leaving: Callable[[Registration], bool],
                  ) -> tuple[list[Registration], list[Skip]]:
    """Of the tasks that share a port of this node, the one to register it for: one that stays, and the oldest."""
    kept: dict[str, Registration] = {}
    skips, alone = [], []
    for one in sorted(wanted, key=lambda r: (r.shared and leaving(r), r.created, r.container_name)):
        if not one.shared:
            alone.append(one)
            continue
        first = kept.setdefault(one.default_id, one)
        if first is not one:
            skips.append(Skip(one.container_name, one.exposed, "shared", f"port {one.port} of this node is registered "
                              f"once, for {first.container_name}"))
    return [*alone, *kept.values()], skips
