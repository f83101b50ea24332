"""The catalog is read beside the calls: neither waits for the other, and an older look never undoes a newer one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from deploy.local import ConsulServer, ProxyProcess, wait_until
from deploy.origin import Origin
from tests.consul_gate import Gate

MANY = tuple(f"m{n}" for n in range(6))  # enough for one bulk reading instead of a request for each


@pytest.fixture(scope="module")
def origins() -> Iterator[dict[str, Origin]]:
    with Origin("a") as a, Origin("b") as b:
        yield {"a": a, "b": b}


class Reading:
    """Holds the answer of the next bulk reading, once Consul has given it, until `release`."""

    def __init__(self, gate: Gate) -> None:
        self.held, self._go = threading.Event(), threading.Event()
        self._gate = gate
        gate.after = self._after

    def _after(self, method: str, path: str, status: int) -> None:
        if path.startswith("/v1/catalog/node/"):
            self.held.set()
            self._go.wait(20)

    def release(self) -> None:
        self._gate.after = lambda method, path, status: None
        self._go.set()


def configured(consul: ConsulServer, proxy: ProxyProcess, a: Origin) -> None:
    for name in MANY:
        consul.register(name, a.host, a.port, id=f"{name}-a", meta={"registrar-container": f"{name}-a"})
        assert proxy.api("reconfigure", serviceName=name, servicePath=f"/{name}/").status == 200


def test_a_call_does_not_wait_for_a_reading(consul: ConsulServer, origins: dict[str, Origin]) -> None:
    a, b = origins["a"], origins["b"]
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as proxy:
        configured(consul, proxy, a)
        reading = Reading(gate)
        consul.register("m0", b.host, b.port, id="m0-b", meta={"registrar-container": "m0-b"})
        assert reading.held.wait(10), "the catalog is being read"
        assert proxy.api("reconfigure", serviceName="m0", servicePath="/m0/").status == 200
        assert proxy.instances("/m0/") == {"a", "b"}
        # That look at the catalog, taken before: what the call saw is not undone by it.
        consul.register("m1", b.host, b.port, id="m1-a", meta={"registrar-container": "m1-a"})
        reading.release()
        wait_until(lambda: proxy.instances("/m1/") == {"b"}, 10, "what is read next is followed")
        assert proxy.instances("/m0/") == {"a", "b"}


def test_an_older_reading_does_not_undo_what_a_call_saw(consul: ConsulServer, origins: dict[str, Origin]) -> None:
    a, b = origins["a"], origins["b"]
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as proxy:
        configured(consul, proxy, a)
        reading = Reading(gate)
        consul.register("other", a.host, a.port)
        assert reading.held.wait(10), "a reading has the catalog as it is without the new instance"
        consul.register("m0", b.host, b.port, id="m0-b", meta={"registrar-container": "m0-b"})
        assert proxy.api("reconfigure", serviceName="m0", servicePath="/m0/").json["Servers"] == 2
        passes = gate.requests.count("GET /v1/catalog/nodes")
        lost: list[set[str]] = []

        def read_again() -> bool:
            if (seen := proxy.instances("/m0/", requests=4)) != {"a", "b"}:
                lost.append(seen)
            return gate.requests.count("GET /v1/catalog/nodes") > passes

        reading.release()
        wait_until(read_again, 10, "the catalog is read once more, because a call had seen something newer")
        assert not lost


def test_a_few_services_that_follow_everything_are_read_without_the_rest(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    a, b = origins["a"], origins["b"]
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as proxy:
        configured(consul, proxy, a)
        consul.register("f", a.host, a.port, id="f-a")
        assert proxy.api("reconfigure", serviceName="f", servicePath="/f/", follow="all").status == 200
        reading = Reading(gate)
        consul.register("other", a.host, a.port)
        assert reading.held.wait(10)
        reading.release()
        reading = Reading(gate)
        consul.register("f", b.host, b.port, id="f-b")
        wait_until(lambda: proxy.instances("/f/") == {"a", "b"}, 10, "it is followed")
        reading.release()
