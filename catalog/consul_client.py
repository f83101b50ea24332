"""The one door to Consul, and the only importer of `consul` (python-consul2).

Values in, values out; every failure is one of `catalog.errors`. Reads and idempotent writes are repeated with jitter
for a few seconds while Consul cannot answer; a transaction is sent once, because its outcome may be unknown.
"""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar, cast

import consul
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from catalog import codec
from catalog.address import Endpoint, parse_endpoints
from catalog.errors import CatalogDenied, CatalogRejected, CatalogUnavailable, NotRegistered
from catalog.model import AgentService, FlaggedKey, Instance, KVEntry, Listing, Operation
from catalog.paths import key_path, path
from catalog.transport import READ_TIMEOUT_S, Access, Response, Transport, decoded

log = logging.getLogger("catalog")

T = TypeVar("T")
# A digest of what a node answered, and what it said.
_NodeAnswer = tuple[bytes, tuple[Instance, ...]]

PATIENCE_S = 5.0  # a leader election takes 2 to 10 s; reads and idempotent writes wait this long for it
HANGS_S = 1.5
LEADER_WITHIN_S = 1.0
# What Consul up to 1.10 says of a check or a service that its agent does not have, with status 500.
_UNKNOWN = ("Unknown check", "Unknown service", "does not have associated TTL", '" does not exist')
MAX_LEFT_OUT = 1000  # nodes to tell of, each once
WAIT_S = 55  # one long poll; Consul adds up to a sixteenth of it as jitter


class ConsulClient:
    """Consul's HTTP API as this project uses it. One per process; safe to use from several threads."""

    def __init__(self, endpoints: Sequence[Endpoint], access: Access | None = None,
                 patience_s: float = PATIENCE_S) -> None:
        _refuse_other_library()
        self._transport = Transport(endpoints, access or Access())
        self._consul = _Library(self._transport)
        self._patience_s = patience_s
        self._nodes: dict[str, _NodeAnswer] = {}
        self._left_out: set[str] = set()  # nodes that were told of
        self._healthy = False  # until it has answered once: a start without Consul is told at once

    @classmethod
    def from_environ(cls, address: str, environ: Mapping[str, str], patience_s: float = PATIENCE_S) -> "ConsulClient":
        """A client for `host:port` or URLs, with Consul's usual environment variables for access."""
        scheme = "https" if environ.get("CONSUL_HTTP_SSL", "").lower() in ("true", "1", "t") else "http"
        return cls(parse_endpoints(address, scheme), Access.from_environ(environ), patience_s)

    # --- the catalog ---------------------------------------------------------------------------------------------

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
        read: dict[str, _NodeAnswer] = {}
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

    def _node(self, node: str, known: _NodeAnswer | None) -> _NodeAnswer:
        def read(response: Response) -> _NodeAnswer:
            digest = hashlib.blake2b(response.content, digest_size=16).digest()
            if known is not None and known[0] == digest:
                return known
            answer = json.loads(response.content)
            return digest, tuple(sorted(codec.from_node(answer))) if answer else ()
        return self._repeat(lambda: cast(_NodeAnswer, self._transport.get(read, path("/v1/catalog/node", node))))

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

    # --- the key-value store -------------------------------------------------------------------------------------

    def kv_get(self, key: str) -> KVEntry | None:
        """One key; None where it does not exist. A token that may not read it raises CatalogDenied."""
        entries = self._kv(key, False, codec.from_kv)[1]
        return entries[0] if entries else None

    def kv_list(self, prefix: str) -> Listing:
        """Every key below a prefix. Empty also where the token may not read it: ask an exact key to tell."""
        return Listing(*self._kv(prefix, True, codec.from_kv))

    def _kv(self, key: str, recurse: bool, decode: Callable[[Mapping[str, Any]], T]) -> tuple[int, tuple[T, ...]]:
        """The index of a read, and its items."""
        def read(response: Response) -> tuple[int, tuple[T, ...]]:
            items = [] if response.code == 404 else json.loads(response.body)
            return int(response.headers["X-Consul-Index"]), tuple(map(decode, items or ()))
        wanted = [("consistent", "1"), *([("recurse", "1")] if recurse else ())]
        found: tuple[int, tuple[T, ...]] = self._repeat(lambda: self._transport.get(read, key_path(key), wanted))
        return found

    def wait_for_kv(self, prefix: str, index: int, wait_s: float = WAIT_S) -> int:
        """Block until a key below the prefix changes after `index` (0: do not block); the index to wait for next."""
        return self._long_poll(key_path(prefix), [("keys", "1"), ("separator", "/")], index, wait_s)[1]

    def transact(self, operations: Sequence[Operation]) -> dict[str, int]:
        """Carry out at most 64 operations, all or none; the new ModifyIndex of each key written.

        Sent once. Raises Conflict when a check failed, CatalogRejected when Consul refused it for good, and
        CatalogUnavailable when the outcome is not known: read the keys again to learn it.
        """
        try:
            found: dict[str, int] = _named(lambda: decoded(_indexes, self._consul.txn.put(list(operations))))
        except CatalogUnavailable:
            self._healthy = False
            raise
        return found

    # --- the agent -----------------------------------------------------------------------------------------------

    def agent_self(self) -> Mapping[str, Any]:
        """The agent's own description. Raises CatalogDenied with a token that may not read the agent."""
        answer: Mapping[str, Any] = self._repeat(lambda: self._consul.agent.self())
        return answer

    def has_leader(self) -> bool:
        """Whether the cluster has one. An agent that is asked while it reaches no server says no."""
        try:
            return bool(self._transport.get(_json, "/v1/status/leader", timeout=LEADER_WITHIN_S))
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
            self._transport.put(_answer, "/v1/agent/service/register", params, json.dumps(body, sort_keys=True))
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

    # --- external nodes: what no agent looks after --------------------------------------------------------------------

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
            self._transport.put(_answer, "/v1/catalog/deregister", None, body)
        self._repeat(send)

    def session_create(self, node: str, name: str, ttl: str) -> str:
        """A session that ends by itself unless it is renewed, together with the keys that it holds; its id.

        It hangs on no check: an external node has no serfHealth, which is the default.
        """
        body = json.dumps({"Node": node, "Name": name, "TTL": ttl, "LockDelay": "0s", "Behavior": "delete",
                           "Checks": []})
        answer: str = self._repeat(lambda: self._transport.put(_json, "/v1/session/create", None, body)["ID"])
        return answer

    def session_renew(self, session: str) -> bool:
        """Whether the session is still there; if so it lives for another TTL."""
        return bool(self._repeat(lambda: self._transport.put(
            lambda response: response.code != 404, path("/v1/session/renew", session))))

    def kv_acquire(self, key: str, session: str) -> bool:
        """Let a session hold a key; False where another one has it."""
        return bool(self._repeat(lambda: self._transport.put(_json, key_path(key), [("acquire", session)])))

    def kv_holder(self, key: str) -> str:
        """The session that holds a key; "" where it does not exist, or nobody does."""
        sessions = self._kv(key, False, lambda item: str(item.get("Session") or ""))[1]
        return sessions[0] if sessions else ""

    def kv_keys(self, prefix: str) -> frozenset[str]:
        """The keys below a prefix, without their values."""
        found = self._repeat(lambda: self._transport.get(
            lambda response: [] if response.code == 404 else json.loads(response.body), key_path(prefix),
            [("keys", "1")]))
        return frozenset(found)

    def kv_flagged(self, prefix: str) -> tuple[FlaggedKey, ...]:
        """Every key below a prefix with its flags. Empty also where the token may not read it."""
        def read(item: Mapping[str, Any]) -> FlaggedKey:
            entry = codec.from_kv(item)
            return FlaggedKey(entry.key, entry.value, entry.index, int(item.get("Flags") or 0))
        return self._kv(prefix, True, read)[1]

    # --- how a call is made --------------------------------------------------------------------------------------

    def _get(self, path: str, params: list[tuple[str, Any]], read: Callable[[Any], Any] = lambda answer: answer) -> Any:
        return self._transport.get(lambda response: read(_json(response)), path, params)

    def _long_poll(self, path: str, params: list[tuple[str, Any]], index: int,
                   wait_s: float = WAIT_S) -> tuple[Response, int]:
        # An index of 0 or below would mean "do not wait" at best; never send one. A wait of 0 is Consul's 5 minutes.
        waiting = [("index", index), ("wait", f"{max(1, round(1000 * wait_s))}ms")] if index > 0 else []
        timeout = wait_s * 17 / 16 + 5 if waiting else READ_TIMEOUT_S
        answer, found = _named(
            lambda: self._transport.get(_with_index, path, [*params, *waiting], timeout=timeout))
        # An index that went backwards belongs to another history (a restored or emptied Consul): start over.
        return answer, (found if found >= index else 0)

    def _repeat(self, call: Callable[[], T]) -> T:
        """Make a call that is safe to repeat, with patience only while Consul is believed to be well. One that hangs is
        not asked again: whoever calls has waited long enough.
        """
        began = time.monotonic()
        try:
            result = _named(call)
        except CatalogUnavailable:
            if not (self._healthy and self._patience_s) or time.monotonic() - began > HANGS_S:
                self._healthy = False
                raise
            result = self._patiently(call)
        self._healthy = True
        return result

    def _patiently(self, call: Callable[[], T]) -> T:
        """Once more at once, as the fault may be that of a single connection; then again and again for a while."""
        retrying = Retrying(
            stop=stop_after_delay(self._patience_s),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            retry=retry_if_exception_type(CatalogUnavailable),
            reraise=True,
        )
        try:
            return retrying(lambda: _named(call))
        except CatalogUnavailable:
            self._healthy = False
            raise


def _named(call: Callable[[], T]) -> T:
    """What the library raises, as one of our own exceptions."""
    try:
        return call()
    except consul.ConsulException as fault:
        raise CatalogRejected(str(fault)) from None


def _indexes(answer: Mapping[str, Any]) -> dict[str, int]:
    """The new ModifyIndex of each key, of the answer to a transaction."""
    return {r["KV"]["Key"]: int(r["KV"]["ModifyIndex"]) for r in answer.get("Results") or () if r.get("KV")}


class _Library:
    """python-consul2's endpoints over our transport.

    Its own `Consul` object is not built: the constructor lets CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN beat its
    arguments. An endpoint needs only these four attributes of it. The transport adds the token.
    """

    consistency = "default"
    dc = None
    token = None

    def __init__(self, transport: Transport) -> None:
        self.http = transport
        self.agent = consul.Consul.Agent(self)
        self.catalog = consul.Consul.Catalog(self)
        self.kv = consul.Consul.KV(self)
        self.txn = consul.Consul.Txn(self)


def _nothing_shown() -> CatalogDenied:
    return CatalogDenied("Consul shows no service at all, not even its own: the token may not read services")


def _answer(response: Response) -> Response:
    return response


def _json(response: Response) -> Any:
    return json.loads(response.body)


def _with_index(response: Response) -> tuple[Response, int]:
    # A key that does not exist answers 404 with an index, and can be waited for.
    return response, int(response.headers["X-Consul-Index"])


def _refuse_other_library() -> None:
    """py-consul installs the same module name and sends tokens in URLs (reference/dependencies.md 1.4)."""
    try:
        version("python-consul2")
    except PackageNotFoundError:
        raise RuntimeError("the module 'consul' is not python-consul2's: uninstall py-consul, "
                           "then install python-consul2") from None
