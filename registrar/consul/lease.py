"""The lease of an external node, renewed by its registrar for as long as that lives.

Consul 1.8 has no check that turns critical by itself on a node without an agent. So each registrar holds keys by
sessions of 10 s, and `watch_nodes` takes a node out of rotation whose keys are gone. Consul ends such a session 20 s
after its last renewal. There are two of them, renewed in turn: whenever a registrar dies, one of the two has had its
last renewal a turn or more before, so that its end is never a full 20 s away.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from catalog.errors import CatalogError
from registrar.consul.external_node import NODE_META
from registrar.status.journal import Journal
from registrar.status.lasting import LastingThread

PREFIX = "registrar/alive/"
HALVES = ("/1", "/2")
TTL = "10s"
TURN_S = 3.0
RETRY_S = 1.0


# What Consul 1.21.5 refuses in a key, and what it, 1.21.6 or a client on the way takes for a step in a path.
_ODD = re.compile(r"[^A-Za-z0-9_,./?&-]|\.(?=\.)|(?<![^/])\.(?![^/])|/(?=/)|^/|/$")
_ESCAPED = re.compile(r"(?:=[0-9A-F]{2})+")


def keys_of(node: str) -> tuple[str, ...]:
    """The keys that a living registrar of this node holds. What a key cannot hold of a name stands there as =HEX."""
    name = _ODD.sub(lambda odd: "".join(f"={byte:02X}" for byte in odd[0].encode()), node)
    return tuple(f"{PREFIX}{name}{half}" for half in HALVES)


def _node_of(key: str) -> str:
    name = key.removeprefix(PREFIX).removesuffix(HALVES[0])
    return _ESCAPED.sub(lambda escaped: bytes.fromhex(escaped[0].replace("=", "")).decode(errors="replace"), name)


def holders(keys: frozenset[str]) -> frozenset[str]:
    """The nodes that hold their whole lease, of the keys below the prefix."""
    nodes = {_node_of(key) for key in keys if key.endswith(HALVES[0])}
    return frozenset(node for node in nodes if keys.issuperset(keys_of(node)))


class Leases(Protocol):
    """What this needs of `catalog.consul_client.ConsulClient`."""

    def session_create(self, node: str, name: str, ttl: str) -> str: ...
    def session_renew(self, session: str) -> bool: ...
    def kv_acquire(self, key: str, session: str) -> bool: ...
    def kv_holder(self, key: str) -> str: ...
    def nodes_with(self, meta: Mapping[str, str]) -> Sequence[str]: ...


class Lease(LastingThread):
    """Holds this node's lease, in a thread of its own: a pass may take longer."""

    def __init__(self, consul: Leases, node: Callable[[], str], journal: Journal) -> None:
        super().__init__("lease", journal)
        self._consul, self._node = consul, node
        self._sessions: dict[str, str] = {}  # by key; the one renewed longest ago is the first
        self._lost = threading.Event()

    def work(self) -> None:
        while True:
            pause = RETRY_S
            try:
                if self.turn():
                    pause = TURN_S
                self._journal.over("lease")
                self.works()
            except CatalogError as fault:
                self._journal.trouble("lease", str(fault))
            self._lost.wait(pause)

    def lost(self) -> None:
        """Take it again at once: somebody has seen that it is gone."""
        self._lost.set()

    def turn(self) -> bool:
        """Renew what was renewed longest ago, and take what is not held; whether all of it is held now."""
        node = self._node()
        if self._lost.is_set():
            self._lost.clear()
            self._sessions.clear()
        if len(self._sessions) == len(HALVES):
            key, session = next(iter(self._sessions.items()))
            del self._sessions[key]
            self._keep(node, key, session)
        elif node and node in self._consul.nodes_with({"managed-by": NODE_META["managed-by"]}):
            # The node is made with the first service.
            for key in keys_of(node):
                if key not in self._sessions:
                    # A predecessor's is taken over: nobody notices that this node's registrar was restarted.
                    self._keep(node, key, self._consul.kv_holder(key))
        return len(self._sessions) == len(HALVES)

    def _keep(self, node: str, key: str, session: str) -> None:
        if not (session and self._consul.session_renew(session)):
            session = self._consul.session_create(node, f"registrar {node}", TTL)
            if not self._consul.kv_acquire(key, session):
                return
        self._sessions[key] = session
