"""What Registrator left behind: told by the form of its ids, and taken over only from hosts that were named. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from catalog.model import META_OWNER, AgentService
from registrar.core.registration import Registration

_ID = re.compile(r"(?P<host>.*?):[a-zA-Z0-9][a-zA-Z0-9_.-]+:[0-9]+(?::udp)?")


def adopted(present: Mapping[str, AgentService], hosts: Iterable[str], owner: str) -> dict[str, AgentService]:
    """`present`, the leftovers of these hosts with our mark; what carries any mark is nobody's leftover."""
    named = frozenset(hosts)

    def is_leftover(entry: AgentService) -> bool:
        match = _ID.fullmatch(entry.id)
        return match is not None and match["host"] in named and not entry.meta_value(META_OWNER)
    return {key: _as_ours(entry, owner) if named and is_leftover(entry) else entry for key, entry in present.items()}


def adopted_by_id(present: Mapping[str, AgentService], wanted: Iterable[Registration],
                  owner: str) -> dict[str, AgentService]:
    """The entries without a mark that are exactly what a container here asks for: its SERVICE_ID, name, endpoint."""
    found = {}
    for one in wanted:
        entry = present.get(one.id)
        if entry and not entry.meta_value(META_OWNER) \
                and (entry.name, entry.address, entry.port) == (one.name, one.address, one.port):
            found[one.id] = _as_ours(entry, owner)
    return found


def _as_ours(entry: AgentService, owner: str) -> AgentService:
    return replace(entry, meta=tuple(sorted((*entry.meta, (META_OWNER, owner)))))
