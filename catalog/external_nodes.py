"""Nodes of the catalog that no agent looks after, and the sessions that stand for their life."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from catalog import codec
from catalog.calls import Calls, json_of, whole
from catalog.model import AgentService
from catalog.paths import path


class ExternalNodes(Calls):
    """Raises the exceptions of `errors`."""

    def node_services(self, node: str) -> dict[str, AgentService] | None:
        """The services of a node of the catalog, by id; None where there is no such node."""
        def read(answer: Mapping[str, Any] | None) -> dict[str, AgentService] | None:
            return codec.from_agent(answer["Services"] or {}) if answer else None
        found: dict[str, AgentService] | None = self._repeat(
            lambda: self._get(path("/v1/catalog/node", node), [("consistent", "1")], read))
        return found

    def node_checks(self, node: str, check_id: str = "") -> Sequence[Mapping[str, Any]]:
        """The checks of a node and of its services, or the one of them with this id, in Consul's JSON."""
        only = [("filter", f"CheckID == {json.dumps(check_id)}")] if check_id else []
        answer: Sequence[Mapping[str, Any]] = self._repeat(
            lambda: self._get(path("/v1/health/node", node), [("consistent", "1"), *only]))
        return answer or ()

    def nodes_with(self, meta: Mapping[str, str]) -> tuple[str, ...]:
        """The names of the nodes that carry this metadata."""
        wanted = [("node-meta", f"{key}:{value}") for key, value in sorted(meta.items())]
        found: tuple[str, ...] = self._repeat(lambda: self._get(
            "/v1/catalog/nodes", wanted, lambda answer: tuple(str(item["Node"]) for item in answer)))
        return found

    def forget_node(self, node: str) -> None:
        """Take a node out of the catalog, with all its services and checks."""
        body = json.dumps({"Node": node})

        def send() -> None:
            self._transport.put(whole, "/v1/catalog/deregister", None, body)
        self._repeat(send)

    def session_create(self, node: str, name: str, ttl: str) -> str:
        """A session that ends by itself unless it is renewed, together with the keys that it holds; its id.

        It hangs on no check: an external node has no serfHealth, which is the default.
        """
        body = json.dumps({"Node": node, "Name": name, "TTL": ttl, "LockDelay": "0s", "Behavior": "delete",
                           "Checks": []})

        def send() -> str:
            return str(self._transport.put(lambda answer: json_of(answer)["ID"], "/v1/session/create", None, body))
        return self._repeat(send)

    def session_renew(self, session: str) -> bool:
        """Whether the session is still there; if so it lives for another TTL."""
        return bool(self._repeat(lambda: self._transport.put(
            lambda response: response.code != 404, path("/v1/session/renew", session))))
