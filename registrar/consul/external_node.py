"""The catalog API in the place of an agent: this node as an external node of Consul's, for hosts without an agent.

It answers and takes what an agent does, so that the passes need not know; many writes go in transactions. Nobody
runs checks here: http and tcp checks are stored in the form that consul-esm runs, ttl checks and Docker's health are
reported by registrar itself, scripts and gRPC are refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from catalog.codec import MAX_OPERATIONS
from catalog.errors import CatalogError, CatalogRejected, CatalogUnavailable, Conflict, NotRegistered
from catalog.model import AgentService, Operation
from registrar.core.drains import MAINTENANCE

NODE_META = {"external-node": "true", "external-probe": "false", "managed-by": "registrar"}
ALIVE = "registrar-alive"  # the node's own check
_DEFINITION = ("HTTP", "TCP", "Header", "Method", "TLSSkipVerify", "Interval", "Timeout",
               "DeregisterCriticalServiceAfter")


class Catalog(Protocol):
    """What this needs of `catalog.consul_client.ConsulClient`."""

    def agent_self(self) -> Mapping[str, Any]: ...
    def node_services(self, node: str) -> dict[str, AgentService] | None: ...
    def node_checks(self, node: str) -> Sequence[Mapping[str, Any]]: ...
    def transact(self, operations: Sequence[Operation]) -> dict[str, int]: ...


class ExternalNode:
    """An agent as `shell.protocols.Agent` has it, made of the catalog's node `name`."""

    def __init__(self, catalog: Catalog, name: Callable[[], str], address: Callable[[], str]) -> None:
        self._catalog, self._name_of, self._address_of = catalog, name, address
        self._names: dict[str, str] = {}  # of services, by id: a service is removed by both
        self._checks: dict[str, Mapping[str, Any]] = {}
        self._known = False  # whether the node is there
        self._batch: list[list[Operation]] | None = None

    # --- reading -------------------------------------------------------------------------------------------------

    def agent_self(self) -> Mapping[str, Any]:
        return self._catalog.agent_self()

    def has_leader(self) -> bool:
        """Without one, reading would have failed already."""
        return True

    def agent_services(self) -> dict[str, AgentService]:
        """One read of the node. A node that a real agent owns is refused: that agent would delete what it finds."""
        name = self._name_of()
        if not name:
            return {}
        checks = self._catalog.node_checks(name)
        if any(check.get("CheckID") == "serfHealth" for check in checks):
            raise CatalogRejected(f"the node {name} in the catalog belongs to a Consul agent, which would remove what "
                                  "is registered there: use consul:// with that agent, or another --node-id")
        found = self._catalog.node_services(name)
        self._known = found is not None and any(check.get("CheckID") == ALIVE for check in checks)
        self._checks = {str(check["CheckID"]): check for check in checks}
        self._names = {key: service.name for key, service in (found or {}).items()}
        return found or {}

    def agent_service(self, service_id: str) -> AgentService | None:
        return (self._catalog.node_services(self._name_of()) or {}).get(service_id)

    def agent_checks(self) -> Mapping[str, Mapping[str, Any]]:
        """As `agent_services` has read them, with what was written since."""
        return self._checks

    # --- writing -------------------------------------------------------------------------------------------------

    def together(self, writes: Sequence[Callable[[], None]]) -> list[CatalogError | None]:
        """Many writes in few transactions; what came of each."""
        groups: list[list[Operation]] = []
        faults: list[CatalogError | None] = []
        for write in writes:
            self._batch = []
            try:
                write()
                faults.append(None)
            except CatalogError as fault:
                faults.append(fault)
            groups.append([operation for part in self._batch for operation in part])
            self._batch = None
        for chunk in _chunks(groups):
            for position, refused in self._commit(chunk, groups):
                faults[position] = faults[position] or refused
        return faults

    def _commit(self, chunk: Sequence[int], groups: Sequence[list[Operation]],
                ) -> Sequence[tuple[int, CatalogError | None]]:
        try:
            self._catalog.transact([operation for position in chunk for operation in groups[position]])
        except CatalogUnavailable as fault:
            self._known = False
            return [(position, fault) for position in chunk]
        except (CatalogRejected, Conflict) as fault:
            self._known = False
            if len(chunk) == 1:
                return [(chunk[0], fault)]
            # All or none: each by itself tells which one is to blame.
            return [result for position in chunk for result in self._commit([position], groups)]
        except CatalogError as fault:
            return [(position, fault) for position in chunk]
        return []

    def agent_register(self, body: Mapping[str, Any], replace_checks: bool = True) -> None:
        checks = [c for c in (body.get("Check"), *(body.get("Checks") or ())) if c]
        if any("Args" in check or "GRPC" in check for check in checks):
            raise CatalogRejected("scripts are disabled: nobody runs scripts or gRPC checks for an external node")
        service = {k: v for k, v in body.items() if k not in ("Check", "Checks", "Name")} | {"Service": body["Name"]}
        wanted = [self._check(body, check) for check in checks]
        ids = {check["CheckID"] for check in wanted}
        stale = [c for c in self._checks.values() if c.get("ServiceID") == body["ID"] and c["CheckID"] not in ids
                 and not str(c["CheckID"]).startswith(MAINTENANCE)]
        self._names[body["ID"]] = body["Name"]
        self._send([
            *self._node(),
            {"Service": {"Verb": "set", "Node": self._name_of(), "Service": service}},
            *(self._set(check) for check in wanted),
            *(self._delete(str(check["CheckID"])) for check in stale if replace_checks),
        ])

    def _check(self, body: Mapping[str, Any], check: Mapping[str, Any]) -> dict[str, Any]:
        check_id = str(check.get("CheckID") or f"service:{body['ID']}")
        # What somebody has found out about it stays true over a change of the service.
        known = self._checks.get(check_id, {}).get("Status")
        made = {"Node": self._name_of(), "CheckID": check_id,
                "Name": check.get("Name") or f"Service '{body['Name']}' check",
                "Status": check.get("Status") or known or "passing", "ServiceID": body["ID"],
                "ServiceName": body["Name"]}
        definition = {key: dict(value) if key == "Header" else value
                      for key, value in check.items() if key in _DEFINITION}
        return made | ({"Definition": definition} if "HTTP" in definition or "TCP" in definition else {})

    def agent_deregister(self, service_id: str) -> None:
        name = self._names.get(service_id, "")  # kept until the next reading: the write may fail, and be repeated
        if not name:
            return
        self._checks = {key: c for key, c in self._checks.items() if c.get("ServiceID") != service_id}
        self._send([{"Service": {"Verb": "delete", "Node": self._name_of(),
                                 "Service": {"ID": service_id, "Service": name}}}])

    def agent_check_register(self, body: Mapping[str, Any]) -> None:
        service_id = str(body["ServiceID"])
        if service_id not in self._names:
            raise NotRegistered(f"the catalog has no service {service_id} on this node")
        self._send([self._set({"Node": self._name_of(), "CheckID": body["ID"], "Name": body["Name"],
                               "Status": body["Status"], "Notes": body["Notes"], "ServiceID": service_id,
                               "ServiceName": self._names[service_id]})])

    def agent_check_deregister(self, check_id: str) -> None:
        self._send([self._delete(check_id)])

    def agent_check_update(self, check_id: str, status: str, output: str) -> None:
        known = self._checks.get(check_id)
        if known is None:
            raise NotRegistered(f"the catalog has no check {check_id}")
        if (known.get("Status"), known.get("Output")) != (status, output):
            kept = {k: known.get(k, "") for k in ("Node", "CheckID", "Name", "Notes", "ServiceID", "ServiceName")}
            self._send([self._set({**kept, "Status": status, "Output": output})])

    def agent_maintenance(self, service_id: str, reason: str) -> None:
        check_id = MAINTENANCE + service_id
        if service_id not in self._names:
            raise NotRegistered(f"the catalog has no service {service_id} on this node")
        if reason and check_id not in self._checks:
            self._send([self._set({
                "Node": self._name_of(), "CheckID": check_id, "Name": "Service Maintenance Mode", "Status": "critical",
                "Notes": reason, "ServiceID": service_id, "ServiceName": self._names[service_id]})])
        elif not reason and check_id in self._checks:
            self._send([self._delete(check_id)])

    def _node(self) -> list[Operation]:
        if self._known:
            return []
        self._known = True  # or else the commit says that it is not
        name = self._name_of()
        check = {"Node": name, "CheckID": ALIVE, "Name": "the registrar of this node", "Status": "passing"}
        return [{"Node": {"Verb": "set", "Node": {"Node": name, "Address": self._address_of(), "Meta": NODE_META}}},
                {"Check": {"Verb": "set", "Check": check}}]

    def _set(self, check: Mapping[str, Any]) -> Operation:
        self._checks = {**self._checks, str(check["CheckID"]): check}
        return {"Check": {"Verb": "set", "Check": dict(check)}}

    def _delete(self, check_id: str) -> Operation:
        self._checks = {key: check for key, check in self._checks.items() if key != check_id}
        return {"Check": {"Verb": "delete", "Check": {"Node": self._name_of(), "CheckID": check_id}}}

    def _send(self, operations: list[Operation]) -> None:
        if self._batch is not None:
            self._batch.append(operations)
            return
        self._catalog.transact(operations)


def _chunks(groups: Sequence[Sequence[Operation]]) -> list[list[int]]:
    """Positions of the groups, as many together as fit one transaction."""
    chunks: list[list[int]] = []
    size = MAX_OPERATIONS
    for position, group in enumerate(groups):
        if not group:
            continue
        if size + len(group) > MAX_OPERATIONS:
            chunks.append([])
            size = 0
        chunks[-1].append(position)
        size += len(group)
    return chunks
