"""The lease of an external node: renewed by its registrar, and watched by those of the other nodes.

Consul 1.8 has no check that turns critical by itself on a node without an agent. So each registrar holds a session
(10 s; Consul gives it 20) that owns a key; when it is gone, the other registrars say so at the node's own check, which
takes all its services out of rotation, and remove the node after a longer while.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from catalog.errors import CatalogError
from catalog.model import Operation
from registrar.external_node import ALIVE, NODE_META
from registrar.journal import Journal

PREFIX = "registrar/alive/"
TTL = "10s"
TURN_S = 1.5
NEW_FOR_S = 2.0  # a node that has just been made gets its lease a turn later
GONE = "the registrar of this node does not renew its lease"


class Leases(Protocol):
    """What this needs of `catalog.consul_client.ConsulClient`."""

    def session_create(self, node: str, name: str, ttl: str) -> str: ...
    def session_renew(self, session: str) -> bool: ...
    def kv_acquire(self, key: str, session: str) -> bool: ...
    def kv_keys(self, prefix: str) -> frozenset[str]: ...
    def nodes_with(self, meta: Mapping[str, str]) -> Sequence[str]: ...
    def node_checks(self, node: str) -> Sequence[Mapping[str, Any]]: ...
    def transact(self, operations: Sequence[Operation]) -> dict[str, int]: ...
    def forget_node(self, node: str) -> None: ...


class Lease(threading.Thread):
    """Holds this node's lease and looks after the others', in a thread of its own: a pass may take longer."""

    def __init__(self, consul: Leases, node: Callable[[], str], remove_after_s: float, journal: Journal) -> None:
        super().__init__(name="lease", daemon=True)
        self._consul, self._node, self._remove_after_s, self._journal = consul, node, remove_after_s, journal
        self._session = ""
        self._held = False
        self._missing: dict[str, float] = {}
        self._told: set[str] = set()

    def run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                if self._node():
                    self.turn(time.monotonic())
                self._journal.over("lease")
            except CatalogError as fault:
                self._journal.trouble("lease", str(fault))
            pause.wait(TURN_S)

    def turn(self, now: float) -> None:
        """Renew the lease, and see who has lost theirs."""
        node = self._node()
        peers = self._consul.nodes_with({"managed-by": NODE_META["managed-by"]})
        if node in peers:  # it is made with the first service
            self._renew(node)
        leased = self._consul.kv_keys(PREFIX)
        missing = [peer for peer in peers if peer != node and PREFIX + peer not in leased]
        self._missing = {peer: self._missing.get(peer, now) for peer in missing}
        self._told &= set(missing)
        for peer, since in self._missing.items():
            if now - since > self._remove_after_s:
                self._consul.forget_node(peer)
                self._journal.warn("node-removed", node=peer, why=GONE)
            elif now - since >= NEW_FOR_S and peer not in self._told:
                self._report(peer, "critical")
                self._told.add(peer)
                self._journal.warn("node-lost", node=peer, why=GONE)

    def _renew(self, node: str) -> None:
        if not (self._session and self._consul.session_renew(self._session)):
            self._session, self._held = self._consul.session_create(node, f"registrar {node}", TTL), False
        if not self._held:
            # The session of a predecessor may still hold it, for 20 s at most.
            self._held = self._consul.kv_acquire(PREFIX + node, self._session)
            self._report(node, "passing")

    def _report(self, node: str, status: str) -> None:
        known = [c for c in self._consul.node_checks(node) if c.get("CheckID") == ALIVE]
        if known and known[0].get("Status") != status:
            self._consul.transact([{"Check": {"Verb": "set", "Check": {
                "Node": node, "CheckID": ALIVE, "Name": known[0].get("Name"), "Status": status,
                "Output": GONE if status == "critical" else ""}}}])
