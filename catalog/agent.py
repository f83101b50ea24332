"""Consul's agent: what it has registered, and what it is told."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from catalog import codec
from catalog.calls import Calls, json_of, whole
from catalog.errors import CatalogUnavailable, NotRegistered
from catalog.model import AgentService
from catalog.paths import path
from catalog.transport import Response, decoded

LEADER_WITHIN_S = 1.0
# What Consul up to 1.10 says of a check or a service that its agent does not have, with status 500.
_UNKNOWN = ("Unknown check", "Unknown service", "does not have associated TTL", '" does not exist')


class Agent(Calls):
    """Raises the exceptions of `errors`."""

    def agent_self(self) -> Mapping[str, Any]:
        """The agent's own description. Raises CatalogDenied with a token that may not read the agent."""
        answer: Mapping[str, Any] = self._repeat(lambda: self._consul.agent.self())
        return answer

    def has_leader(self) -> bool:
        """Whether the cluster has one. An agent that is asked while it reaches no server says no."""
        try:
            return bool(self._transport.get(json_of, "/v1/status/leader", timeout=LEADER_WITHIN_S))
        except CatalogUnavailable:
            return False

    def agent_services(self) -> dict[str, AgentService]:
        """The services that the agent holds, by id. Empty also where the token may read none."""
        found: dict[str, AgentService] = self._repeat(
            lambda: decoded(codec.from_agent, self._consul.agent.services()))
        return found

    def agent_checks(self) -> Mapping[str, Mapping[str, Any]]:
        """The checks that the agent holds, by check id, in Consul's JSON."""
        answer: Mapping[str, Mapping[str, Any]] = self._repeat(lambda: self._consul.agent.checks())
        return answer

    def agent_service(self, service_id: str) -> AgentService | None:
        """One service of the agent, None where there is none. A token that may not read it raises CatalogDenied."""
        def read(response: Response) -> AgentService | None:
            return None if response.code == 404 else codec.from_agent({"": json.loads(response.body)})[""]
        answer: AgentService | None = self._repeat(
            lambda: self._transport.get(read, path("/v1/agent/service", service_id)))
        return answer

    def agent_register(self, body: Mapping[str, Any], replace_checks: bool = True) -> None:
        """Register a service with the agent; `body` is Consul's JSON. Checks it does not name are removed.

        Without `replace_checks` they stay, and so does the maintenance mode that an operator set: it is one of them.
        python-consul2 has no weights, no tagged addresses, one check only and drops a port of 0, hence the bare call.
        """
        params = [("replace-existing-checks", "true")] if replace_checks else []

        def send() -> None:
            self._transport.put(whole, "/v1/agent/service/register", params, json.dumps(body, sort_keys=True))
        self._repeat(send)

    def agent_check_register(self, body: Mapping[str, Any]) -> None:
        """Put a check beside those that a service has; `body` is Consul's JSON. Raises NotRegistered without it."""
        self._agent_put("/v1/agent/check/register", (), json.dumps(body, sort_keys=True))

    def agent_check_deregister(self, check_id: str) -> None:
        """Take a check out of the agent. One that is not there is no error."""
        with contextlib.suppress(NotRegistered):
            self._agent_put(path("/v1/agent/check/deregister", check_id))

    def agent_deregister(self, service_id: str) -> None:
        """Take a service out of the agent. One that is not there is no error."""
        with contextlib.suppress(NotRegistered):
            self._agent_put(path("/v1/agent/service/deregister", service_id))

    def agent_check_update(self, check_id: str, status: str, output: str) -> None:
        """Report the status of a TTL check. Raises NotRegistered where the agent does not have it."""
        self._agent_put(path("/v1/agent/check/update", check_id), (), json.dumps({"Status": status, "Output": output}))

    def agent_maintenance(self, service_id: str, reason: str) -> None:
        """Put a service into maintenance for this reason, or end its maintenance where the reason is empty.

        Raises NotRegistered where the agent does not have it.
        """
        wanted = [("enable", "true" if reason else "false"), *([("reason", reason)] if reason else ())]
        self._agent_put(path("/v1/agent/service/maintenance", service_id), wanted)

    def _agent_put(self, path: str, params: Sequence[tuple[str, str]] = (), body: str = "") -> None:
        """A write about what the agent should have. For what it does not have, Consul says 500 up to 1.10, and 404."""
        def read(response: Response) -> None:
            if response.code == 404:
                raise NotRegistered(f"Consul answered 404: {' '.join(response.body.split())[:500]}")
        try:
            self._repeat(lambda: self._transport.put(read, path, list(params), body))
        except CatalogUnavailable as fault:
            if any(sign in str(fault) for sign in _UNKNOWN):
                raise NotRegistered(str(fault)) from None
            raise
