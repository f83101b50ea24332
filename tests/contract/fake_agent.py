"""A Consul agent in memory that behaves as `catalog.consul_client.ConsulClient` does before a real one: the contract
tests say so of both. It fails where it is told to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from catalog.errors import CatalogDenied, CatalogError, CatalogRejected, CatalogUnavailable, NotRegistered
from catalog.model import AgentService

MAINTENANCE = "_service_maintenance:"


class FakeAgent:
    """Services and checks by id, and every write in order, the heartbeats apart.

    `refuse` maps service ids to the fault of their writes; `away`, `denied` (a token without rights), `no_scripts` and
    `leader` are what they say. `before` is called ahead of every question, with what is asked and of which service; it
    may raise.
    """

    def __init__(self) -> None:
        self.services: dict[str, AgentService] = {}
        self.checks: dict[str, dict[str, Any]] = {}
        self.writes: list[tuple[str, str]] = []
        self.heartbeats: list[tuple[str, str]] = []
        self.refuse: dict[str, CatalogError] = {}
        self.away = self.denied = self.no_scripts = False
        self.leader = True
        self.before: Callable[[str, str], None] = lambda question, of: None

    @property
    def notes(self) -> dict[str, str]:
        """The reasons of what is in maintenance, by the ids of the checks that say so."""
        return {key: check["Notes"] for key, check in self.checks.items() if key.startswith(MAINTENANCE)}

    def lose(self, service_id: str) -> None:
        """Be without a service, as an agent is that was restarted without its data."""
        self.services.pop(service_id, None)
        self.checks = {key: check for key, check in self.checks.items() if check["ServiceID"] != service_id}

    # --- what the shell asks -----------------------------------------------------------------------------------------

    def agent_self(self) -> Mapping[str, Any]:
        self._ask("self")
        if self.denied:
            raise CatalogDenied("Permission denied")
        return {}

    def has_leader(self) -> bool:
        return self.leader and not self.away

    def agent_services(self) -> dict[str, AgentService]:
        self._ask("services")
        return {} if self.denied else dict(self.services)

    def agent_service(self, service_id: str) -> AgentService | None:
        self._ask("service", service_id)
        if self.denied and service_id in self.services:
            raise CatalogDenied("Permission denied")
        return self.services.get(service_id)

    def agent_checks(self) -> Mapping[str, Mapping[str, Any]]:
        self._ask("checks")
        return {} if self.denied else {key: dict(check) for key, check in self.checks.items()}

    def agent_register(self, body: Mapping[str, Any], replace_checks: bool = True) -> None:
        self._write("register", body["ID"])
        if not body["Name"]:
            raise CatalogRejected("400 Missing service name")
        named = [check for check in (body.get("Check"), *body.get("Checks", ())) if check]
        if self.no_scripts and any("Args" in check for check in named):
            raise CatalogRejected("400 Scripts are disabled on this agent")
        if replace_checks:
            self.checks = {key: check for key, check in self.checks.items() if check["ServiceID"] != body["ID"]}
        for check in named:
            key = check.get("CheckID") or f"service:{body['ID']}"
            self.checks[key] = {"ServiceID": body["ID"], "Status": check.get("Status", "critical"), "Notes": "",
                                "Output": "", "Type": "ttl" if "TTL" in check else "other"}
        self.services[body["ID"]] = AgentService(body["ID"], body["Name"], body["Address"], body["Port"],
                                                 tuple(body["Tags"]), tuple(sorted(body["Meta"].items())))

    def agent_deregister(self, service_id: str) -> None:
        self._write("deregister", service_id)
        self.lose(service_id)

    def agent_check_deregister(self, check_id: str) -> None:
        self._ask("check-deregister", check_id)
        self.checks.pop(check_id, None)

    def agent_check_register(self, body: Mapping[str, Any]) -> None:
        self._ask("check-register", body["ID"])
        if body["ServiceID"] not in self.services:
            raise NotRegistered(f"404 Unknown service {body['ServiceID']}")
        self.checks[body["ID"]] = {"ServiceID": body["ServiceID"], "Status": body["Status"], "Output": "",
                                   "Notes": body["Notes"], "Type": "ttl"}

    def agent_check_update(self, check_id: str, status: str, output: str) -> None:
        self._ask("check-update", check_id)
        if self.checks.get(check_id, {}).get("Type") != "ttl":
            raise NotRegistered("500 does not have associated TTL")
        self.checks[check_id] |= {"Status": status, "Output": output}
        self.heartbeats.append((check_id, status))

    def agent_maintenance(self, service_id: str, reason: str) -> None:
        self._write("hold" if reason else "release", service_id)
        if service_id not in self.services:
            raise NotRegistered(f"404 Unknown service {service_id}")
        if reason:
            self.checks.setdefault(MAINTENANCE + service_id, {
                "ServiceID": service_id, "Status": "critical", "Notes": reason, "Output": "", "Type": "maintenance"})
        else:
            self.checks.pop(MAINTENANCE + service_id, None)

    def _ask(self, question: str, of: str = "") -> None:
        self.before(question, of)
        if self.away:
            raise CatalogUnavailable("away")

    def _write(self, operation: str, service_id: str) -> None:
        self._ask(operation, service_id)
        self.writes.append((operation, service_id))
        if service_id in self.refuse:
            raise self.refuse[service_id]
