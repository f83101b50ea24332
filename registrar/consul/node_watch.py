"""Watches the leases of external nodes: takes the nodes of dead registrars out of rotation, and later out of Consul.

Every registrar that writes to the catalog does this for the others; `registrar watch-nodes` does only this.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from catalog.errors import CatalogError
from catalog.model import Operation
from registrar.consul.external_node import ALIVE, NODE_META
from registrar.consul.lease import PREFIX, holders, keys_of
from registrar.core.lost_nodes import LostNodes
from registrar.status.journal import Journal
from registrar.status.lasting import LastingThread

IDLE_S = 10.0  # a node that never had a lease changes no key
PAUSE_S = 0.2  # many changes at once are one look, and as many watchers do not all write the same
STUCK_AFTER_S = 60.0
GONE = "the registrar of this node does not renew its lease"


class Nodes(Protocol):
    """What this needs of `catalog.consul_client.ConsulClient`."""

    def wait_for_kv(self, prefix: str, index: int, wait_s: float) -> int: ...
    def kv_keys(self, prefix: str) -> frozenset[str]: ...
    def kv_holder(self, key: str) -> str: ...
    def nodes_with(self, meta: Mapping[str, str]) -> Sequence[str]: ...
    def node_checks(self, node: str, check_id: str = "") -> Sequence[Mapping[str, Any]]: ...
    def transact(self, operations: Sequence[Operation]) -> dict[str, int]: ...
    def forget_node(self, node: str) -> None: ...


class NodeWatch(LastingThread):
    """Looks after all external nodes; `node` is the own one, if there is one, and `lost` is told when its lease is."""

    def __init__(self, consul: Nodes, remove_after_s: float, journal: Journal,
                 node: Callable[[], str] = lambda: "", lost: Callable[[], None] = lambda: None) -> None:
        super().__init__("watch-nodes", journal)
        self._consul = consul
        self._node, self._lost = node, lost
        self._lost_nodes = LostNodes(remove_after_s)
        self._turned = time.monotonic()
        self.has_looked = False

    @property
    def ill(self) -> str:
        """Why it does not turn; Consul being away is no reason for that."""
        stuck = time.monotonic() - self._turned > STUCK_AFTER_S
        return super().ill or ("nothing has been looked at for minutes" if stuck else "")

    def work(self) -> None:
        pause, index = threading.Event(), 0
        while True:
            self._turned = time.monotonic()
            try:
                due = self._lost_nodes.due_in(time.monotonic())
                index = self._consul.wait_for_kv(PREFIX, index, IDLE_S if due is None else min(IDLE_S, due))
                self.look(time.monotonic())
                self._journal.over("watch-nodes")
                self.works()
            except CatalogError as fault:
                self._journal.trouble("watch-nodes", str(fault))
                index = 0
                pause.wait(1)
            pause.wait(PAUSE_S)

    def look(self, now: float) -> None:
        """See who has lost or regained a lease, and say so in the catalog."""
        own = self._node()
        nodes = frozenset(self._consul.nodes_with({"managed-by": NODE_META["managed-by"]}))
        leased = holders(self._consul.kv_keys(PREFIX))
        if own in nodes and own in leased:
            self._report(own, "passing")  # whatever somebody has said of it
        elif own in nodes:
            self._lost()
        verdict = self._lost_nodes.look(now, nodes - {own}, leased)
        if verdict.lost:
            time.sleep(random.uniform(0, PAUSE_S))
        for node in verdict.lost:
            if self._has_lost(node):
                self._report(node, "critical")
                self._journal.warn("node-lost", node=node, why=GONE)
            self._lost_nodes.mark_reported(node)
        for node in verdict.back:
            self._report(node, "passing")
            self._lost_nodes.mark_returned(node)
            self._journal.info("node-back", node=node)
        for node in verdict.remove:
            if self._has_lost(node):
                self._consul.forget_node(node)
                self._journal.warn("node-removed", node=node, why=GONE)
        self.has_looked = True

    def _has_lost(self, node: str) -> bool:
        # A token that may not read the keys is shown none of them; only an exact question is refused.
        return not all(self._consul.kv_holder(key) for key in keys_of(node))

    def _report(self, node: str, status: str) -> None:
        known = [c for c in self._consul.node_checks(node, ALIVE) if c.get("CheckID") == ALIVE]
        if known and known[0].get("Status") != status:
            self._consul.transact([{"Check": {"Verb": "set", "Check": {
                "Node": node, "CheckID": ALIVE, "Name": known[0].get("Name"), "Status": status,
                "Output": GONE if status == "critical" else ""}}}])
