"""registrar's figures: from an event of the engine to the catalog, many containers at once, and what idling costs.

The engine needs a third of a second to start a container; what is measured begins when it tells of it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import statistics
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker

from bench.figures import Timing, section, show, show_amount, timed
from deploy import go_demo
from deploy.engine import engine
from deploy.local import ConsulServer, RegistrarProcess, wait_until
from tests.consul_gate import Gate

TURNS = 50
MANY = 100
IDLE_S = 60
LABEL = {"portbook.bench": secrets.token_hex(6)}


class Raw:
    """Consul over one bare connection: what any client would need at least."""

    def __init__(self, consul: ConsulServer) -> None:
        self._connection = http.client.HTTPConnection(consul.host, consul.port, timeout=30)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        self._connection.request(method, path, None if body is None else json.dumps(body))
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def register(self, name: str, port: int = 8080) -> None:
        body = {"ID": f"raw:{name}:{port}", "Name": "raw", "Address": "127.0.0.1", "Port": port, "Tags": ["a"],
                "Meta": {"registrar-owner": "raw", "registrar-container": "c" * 64}}
        status, said = self.call("PUT", "/v1/agent/service/register?replace-existing-checks=true", body)
        if status != 200:
            raise RuntimeError(f"{status} {said[:200]!r}")

    def has(self, service_id: str) -> bool:
        return self.call("GET", f"/v1/agent/service/{urllib.parse.quote(service_id)}")[0] == 200

    def wait_for(self, service_id: str, there: bool) -> float:
        """When it was there, or gone, by `perf_counter`."""
        until = time.perf_counter() + 20
        while time.perf_counter() < until:
            if self.has(service_id) is there:
                return time.perf_counter()
            time.sleep(0.0005)
        raise TimeoutError(f"{service_id} is {'not there' if there else 'still there'} after 20 s")

    def in_maintenance(self, service_id: str) -> bool:
        return f"_service_maintenance:{service_id}" in json.loads(self.call("GET", "/v1/agent/checks")[1])

    def count(self, service: str) -> int:
        return sum(s["Service"] == service for s in json.loads(self.call("GET", "/v1/agent/services")[1]).values())


class Events:
    """When the engine's events arrived here, by what happened to which container."""

    def __init__(self) -> None:
        self._client = docker.APIClient(version="auto")
        wanted = {"type": "container", "label": "=".join(*LABEL.items())}
        self._stream = self._client.events(decode=True, filters=wanted)
        self._arrived: dict[tuple[str, str], float] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(Exception):  # it is closed while it is read
            for event in self._stream:
                self._arrived[event["Actor"]["ID"], event["Action"]] = time.perf_counter()

    def arrival(self, container: str, action: str) -> float:
        wait_until(lambda: (container, action) in self._arrived, 20)
        return self._arrived[container, action]

    def close(self) -> None:
        self._stream.close()
        self._client.close()


def main() -> None:
    """Print the figures."""
    with engine(), contextlib.ExitStack() as stack:
        go_demo.build()
        client = docker.APIClient(version="auto", timeout=120)
        stack.callback(client.close)
        consul = stack.enter_context(ConsulServer())
        raw, proxy = Raw(consul), stack.enter_context(Gate(consul.address))
        only = ("--only-label", "=".join(*LABEL.items()))
        section("registrar")
        floor = timed(lambda n: raw.register(f"c{n}"), TURNS)
        made = stack.enter_context(_containers(client, MANY))
        with RegistrarProcess(consul.address, "bench", "127.7.7.7", *only, http=True).wait_ready():
            _one_by_one(client, raw, made[0], floor)
            _burst(client, raw, made)
        _start_with_many(consul, raw, only)
        with RegistrarProcess(proxy.address, "bench", "127.7.7.7", *only, http=True).wait_ready() as registrar:
            _idle(registrar, proxy)


@contextlib.contextmanager
def _containers(client: Any, number: int) -> Iterator[list[tuple[str, str]]]:
    """So many containers that wait to be started: (id, name)."""
    made: list[tuple[str, str]] = []
    try:
        for n in range(number):
            name = f"bench-{next(iter(LABEL.values()))}-{n}"
            made.append((client.create_container_from_config({
                "Image": go_demo.IMAGE, "Labels": LABEL, "Env": ["SERVICE_NAME=bench"],
                "ExposedPorts": {"8080/tcp": {}},
                "HostConfig": {"PortBindings": {"8080/tcp": [{}]}}}, name=name)["Id"], name))
        yield made
    finally:
        for container, _ in made:
            client.remove_container(container, force=True)


def _one_by_one(client: Any, raw: Raw, container: tuple[str, str], floor: Timing) -> None:
    container_id, name = container
    service, starts, drains, ends = f"bench:{name}:8080", [], [], []
    for _ in range(TURNS):
        events = Events()
        client.start(container_id)
        there = raw.wait_for(service, True)
        starts.append(1000 * (there - events.arrival(container_id, "start")))
        stopping = threading.Thread(target=client.stop, args=(container_id,))
        stopping.start()
        while not raw.in_maintenance(service) and raw.has(service):
            time.sleep(0.0005)
        out = time.perf_counter()
        gone = raw.wait_for(service, False)
        stopping.join()
        drains.append(1000 * (out - events.arrival(container_id, "kill")))
        ends.append(1000 * (gone - events.arrival(container_id, "die")))
        events.close()
    show("start event -> in the catalog", Timing(tuple(starts)), "one raw registration", floor)
    above = statistics.median(starts) - floor.median
    show_amount("start event -> in the catalog, above one raw registration", above, f"{above:.1f} ms", 5)
    show("end event -> out of the catalog", Timing(tuple(ends)), "one raw registration", floor)
    show("stop signal -> out of rotation", Timing(tuple(drains)), "one raw registration", floor)


def _burst(client: Any, raw: Raw, made: Sequence[tuple[str, str]]) -> None:
    began = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: docker.APIClient(version="auto", timeout=120).start(one[0]), made))
    started = time.perf_counter()
    wait_until(lambda: raw.count("bench") == len(made), 60)
    took, after = 1000 * (started - began), 1000 * (time.perf_counter() - started)
    show_amount(f"{len(made)} containers in a burst, last start returned -> all in the catalog", after,
                f"{after:.0f} ms, after {took / 1000:.1f} s of the engine's")


def _start_with_many(consul: ConsulServer, raw: Raw, only: Sequence[str]) -> None:
    floors, passes, wholes = [], [], []
    for turn in range(3):
        for service in json.loads(raw.call("GET", "/v1/agent/services")[1]):
            raw.call("PUT", f"/v1/agent/service/deregister/{urllib.parse.quote(service)}")
        began = time.perf_counter()
        for n in range(MANY):
            raw.register(f"many-{turn}-{n}", n + 1)
        floors.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        with RegistrarProcess(consul.address, "bench", "127.7.7.7", *only, http=True) as registrar:
            wait_until(lambda: raw.count("bench") == MANY, 60)
            wholes.append(1000 * (time.perf_counter() - began))
            registrar.wait_ready()
            passes.append(float(re.findall(r"event=pass kind=full .*ms=(\d+)", registrar.output())[0]))
    show(f"{MANY} running containers -> all registered", Timing(tuple(passes)), f"{MANY} raw registrations",
         Timing(tuple(floors)), 1.2)
    show(f"{MANY} running containers, from the start of the process", Timing(tuple(wholes)),
         f"{MANY} raw registrations", Timing(tuple(floors)))


def _idle(registrar: RegistrarProcess, proxy: Gate) -> None:
    reads, cpu = len(proxy.requests), _cpu_s(registrar.pid)
    written = len(proxy.writes())
    time.sleep(IDLE_S)
    status = open(f"/proc/{registrar.pid}/status").read()  # noqa: SIM115
    resident = int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
    writes = len(proxy.writes()) - written
    cpu, reads = _cpu_s(registrar.pid) - cpu, len(proxy.requests) - reads - writes
    idle = f"idle over {IDLE_S} s with {MANY} containers"
    show_amount(f"{idle}: resident memory", resident, f"{resident:.1f} MB", 40)
    show_amount(f"{idle}: processor time", cpu, f"{cpu:.2f} s")
    show_amount(f"{idle}: writes to Consul", writes, f"{writes} writes, {reads} reads", 0)


def _cpu_s(pid: int) -> float:
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()  # noqa: SIM115
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
