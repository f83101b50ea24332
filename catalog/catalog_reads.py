"""What the catalog has: services, and their instances by name, by node and as a whole."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from catalog import codec
from catalog.calls import Calls, log
from catalog.errors import CatalogDenied, CatalogRejected
from catalog.model import Instance
from catalog.paths import path
from catalog.transport import Response, decoded

# A digest of what a node answered, and what it said.
NodeAnswer = tuple[bytes, tuple[Instance, ...]]

MAX_LEFT_OUT = 1000  # nodes to tell of, each once


class CatalogReads(Calls):
    """Raises the exceptions of `errors`."""

    _nodes: dict[str, NodeAnswer]
    _left_out: set[str]  # nodes that were told of

    def instances(self, service: str) -> tuple[Instance, ...]:
        """Every instance of a service whatever its checks say, at one consistent index, by node and id."""
        def read(entries: Sequence[Mapping[str, Any]]) -> tuple[Instance, ...]:
            return tuple(sorted(codec.from_health(entry) for entry in entries))
        found: tuple[Instance, ...] = self._repeat(
            lambda: self._get(path("/v1/health/service", service), [("consistent", "1")], read))
        return found

    def all_instances(self) -> tuple[Instance, ...]:
        """The whole catalog by node and id: one request for the nodes and one for each of them.

        What a node answers word for word as it did the last time is not taken apart again.
        """
        nodes: list[str] = self._repeat(lambda: decoded(
            lambda answer: sorted(str(node["Node"]) for node in answer), self._consul.catalog.nodes()[1]))
        read: dict[str, NodeAnswer] = {}
        for node in nodes:
            try:
                read[node] = self._node(node, self._nodes.get(node))
            except CatalogRejected as fault:  # one odd name is no reason to know nothing of the others
                self._leave_out(node, fault)
        self._nodes = read
        return tuple(instance for _, instances in read.values() for instance in instances)

    def _leave_out(self, node: str, fault: CatalogRejected) -> None:
        if node not in self._left_out and len(self._left_out) < MAX_LEFT_OUT:
            self._left_out.add(node)
            log.warning("event=node-left-out node=%s reason=%s", node, fault)

    def node_instances(self, node: str) -> tuple[Instance, ...]:
        """The instances of one node; their checks are not read. A node that is gone has none."""
        return self._node(node, None)[1]

    def _node(self, node: str, known: NodeAnswer | None) -> NodeAnswer:
        def read(response: Response) -> NodeAnswer:
            digest = hashlib.blake2b(response.content, digest_size=16).digest()
            if known is not None and known[0] == digest:
                return known
            answer = json.loads(response.content)
            return digest, tuple(sorted(codec.from_node(answer))) if answer else ()
        return self._repeat(lambda: cast(NodeAnswer, self._transport.get(read, path("/v1/catalog/node", node))))

    def services(self) -> dict[str, tuple[str, ...]]:
        """The name and tags of every service. Raises CatalogDenied where not even Consul's own is visible."""
        found: dict[str, tuple[str, ...]] = self._repeat(
            lambda: decoded(self._named_services, self._consul.catalog.services()[1]))
        return found

    def wait_for_services(self, index: int) -> int:
        """Block until any service changes after `index` (0: do not block); the index to wait for next."""
        # Ten thousand names are a long answer, and nobody asked for them.
        answer, found = self._long_poll("/v1/catalog/services", [], index)
        if answer.content.strip() in (b"{}", b"null"):
            raise _nothing_shown()
        return found

    @staticmethod
    def _named_services(answer: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        # A live cluster always lists "consul" itself. A token that may read nothing is answered 200 and {}.
        if not answer:
            raise _nothing_shown()
        return {name: tuple(tags or ()) for name, tags in answer.items()}


def _nothing_shown() -> CatalogDenied:
    return CatalogDenied("Consul shows no service at all, not even its own: the token may not read services")
