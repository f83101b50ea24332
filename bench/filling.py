"""A catalog and release records of any size, written as fast as Consul takes them, over bare connections.

The records are the ones that as many reconfigures would have left; a run asks for one of them again to be sure of it.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from catalog.codec import MAX_OPERATIONS
from catalog.model import Instance, Operation
from deploy.local import ConsulServer
from proxy_api.core import keys, requests
from proxy_api.core.keys import Keys
from proxy_api.core.release import Release, admit

INSTANCES = 3  # of each service
INSTANCES_OF_A_NODE = 300
RECORDS = "docker-flow/"
_CONNECTIONS = 4


class Raw:
    """Consul over one bare connection: what any client would need at least."""

    def __init__(self, consul: ConsulServer) -> None:
        self._connection = http.client.HTTPConnection(consul.host, consul.port, timeout=90)

    def call(self, method: str, path: str, body: object = None) -> bytes:
        return self.ask(method, path, body)[1]

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """The index and the answer."""
        self._connection.request(method, path, None if body is None else json.dumps(body))
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 400 and answer.status != 404:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")
        return int(answer.headers.get("X-Consul-Index") or 0), text

    def register(self, instance: Instance) -> None:
        """Write one instance to the catalog, new or moved."""
        self.call("PUT", "/v1/catalog/register", {
            "Node": instance.node, "SkipNodeUpdate": True, "Address": "127.0.0.1", "Service": _service(instance)})

    def close(self) -> None:
        self._connection.close()

    def deregister(self, instance: Instance) -> None:
        self.call("PUT", "/v1/catalog/deregister", {"Node": instance.node, "ServiceID": instance.id})


class Observer:
    """A blocking query of somebody else: when did it wake up?"""

    def __init__(self, consul: ConsulServer, path: str) -> None:
        self._raw, self._path = Raw(consul), path
        self._index = self._raw.ask("GET", path)[0]
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._woke = 0.0
        self._thread.start()

    def _wait(self) -> None:
        mark = "&" if "?" in self._path else "?"
        index = self._index
        while index <= self._index:
            index = self._raw.ask("GET", f"{self._path}{mark}wait=30s&index={self._index}")[0]
        self._woke = time.perf_counter()
        self._raw.close()

    def woke(self) -> float:
        """The moment, by `perf_counter`."""
        self._thread.join(60)
        if not self._woke:
            raise TimeoutError(f"{self._path} did not move")
        return self._woke


def nodes(services: int) -> int:
    """Over how many nodes the instances of so many services are spread."""
    return max(INSTANCES, services * INSTANCES // INSTANCES_OF_A_NODE)


def instance(number: int, k: int, spread: int, host: str, ports: Sequence[int], name: str = "") -> Instance:
    """The k-th instance of the service with this number; its port tells which one answered."""
    place = number * INSTANCES + k
    service = name or f"s{number}"
    node = f"bench-{place % spread}"
    return Instance(node, f"{node}:{service}-{k}:8080", service, host, ports[place % len(ports)],
                    f"container-{service}-{k}", status="passing", node_address="127.0.0.1")


def parameters(number: int) -> dict[str, str]:
    """What a service's reconfigure says. Without HAProxy's checks: 30,000 of them would be what is measured."""
    return {"serviceName": f"s{number}", "servicePath": f"/s{number}/", "skipCheck": "true"}


def fill(consul: ConsulServer, services: int, host: str, ports: Sequence[int]) -> None:
    """Nodes, instances, and the records that admit them."""
    raw, spread = Raw(consul), nodes(services)
    for n in range(spread):
        raw.call("PUT", "/v1/catalog/register", {"Node": f"bench-{n}", "Address": "127.0.0.1"})
    held = Keys(RECORDS.rstrip("/"))
    raw.call("PUT", "/v1/txn", list(held.begin("bench")))
    raw.close()
    catalog: list[dict[str, Any]] = []
    records: list[Operation] = []
    for n in range(services):
        members = [instance(n, k, spread, host, ports) for k in range(INSTANCES)]
        catalog += [{"Service": {"Verb": "set", "Node": i.node, "Service": _service(i)}} for i in members]
        asked = requests.parse_request({name: [text] for name, text in parameters(n).items()}, strict=True)
        release = Release(asked.spec, (admit(f"s{n}", "any", members),))
        # On an empty store there are no keys of 2016 to delete.
        records += [o for o in held.write(release, keys.encode(release), None) if o["KV"]["Verb"] != "delete"]
    for operations in (catalog, records):
        _send(consul, operations)


def _send(consul: ConsulServer, operations: Sequence[object]) -> None:
    batches = [operations[first:first + MAX_OPERATIONS] for first in range(0, len(operations), MAX_OPERATIONS)]

    def send(some: Iterable[Sequence[object]]) -> None:
        raw = Raw(consul)
        for batch in some:
            raw.call("PUT", "/v1/txn", batch)
        raw.close()

    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        list(threads.map(send, [batches[n::_CONNECTIONS] for n in range(_CONNECTIONS)]))


def node_paths(services: int) -> list[str]:
    """What a bulk read of the catalog asks for."""
    return [f"/v1/catalog/node/{urllib.parse.quote(f'bench-{n}')}" for n in range(nodes(services))]


def _service(instance: Instance) -> dict[str, Any]:
    return {"ID": instance.id, "Service": instance.service, "Address": instance.address, "Port": instance.port,
            "Meta": {"registrar-container": instance.container}}


@contextmanager
def consul_like(services: int) -> Iterator[tuple[ConsulServer, Raw]]:
    """A Consul with a catalog of the same size that no proxy looks at."""
    with ConsulServer() as consul:
        fill(consul, services, "127.0.0.1", range(1, 129))
        raw = Raw(consul)
        yield consul, raw
        raw.close()
