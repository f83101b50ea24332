"""How long the API takes to answer a ping, all the time, asked by a process that does nothing else.

Each ping is followed by one to a server that is idle, in a process of its own: what the machine makes of both shows in
the second as well.

`python -m bench.pings HOST PORT` asks until its input ends, and prints what each pair took (ms).
"""

from __future__ import annotations

import http.client
import multiprocessing
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Self

from bench.figures import show_amount
from bench.filling import parameters
from bench.stage import Stage
from deploy.local import ProxyProcess, http_get

EVERY_S = 0.01
GOAL_MS = 50.0
PATH = "/v1/docker-flow-proxy/ping"
TIMES = 5


@dataclass(frozen=True, slots=True)
class Pings:
    """What pings of the API took, and those of an idle server beside them; ms, sorted."""

    took_ms: tuple[float, ...]
    floor_ms: tuple[float, ...]

    @property
    def slowest_of_100(self) -> float:
        return _of_100(self.took_ms)

    def __str__(self) -> str:
        return (f"slowest of {len(self.took_ms)}: {self.took_ms[-1]:.0f} ms, of 100: {self.slowest_of_100:.0f}, median "
                f"{median(self.took_ms):.1f}; an idle server beside it: {self.floor_ms[-1]:.0f}, "
                f"{_of_100(self.floor_ms):.0f} and {median(self.floor_ms):.1f} ms")


def _of_100(times: tuple[float, ...]) -> float:
    return times[int(len(times) * 0.99)]


class Pinger:
    """Asks for as long as the block runs; `pings` then has what came of it."""

    def __init__(self, host: str, port: int) -> None:
        self._words = [sys.executable, "-m", "bench.pings", host, str(port)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._words, cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        text = self._process.communicate(timeout=90)[0]
        rows = [tuple(map(float, line.split())) for line in text.splitlines()]
        self.pings = Pings(tuple(sorted(row[0] for row in rows)), tuple(sorted(row[1] for row in rows)))


def meanwhile(stage: Stage) -> None:
    """Pings during each kind of work, without other load."""
    turn = iter(range(1000))

    def instance() -> None:
        stage.raw.register(stage.instance("s2", 20 + next(turn)))
        stage.again(2)

    def service() -> None:
        name = stage.new_service()
        stage.call("reconfigure", serviceName=name, servicePath=f"/{name}/")
        stage.call("remove", serviceName=name)

    def catalog() -> None:
        for _ in range(5):
            stage.raw.register(stage.instance("s3", 100 + next(turn)))
            time.sleep(0.1)

    def pages() -> None:
        for path in ("/v1/docker-flow-proxy/state", "/metrics", "/ready"):
            http_get(stage.proxy.api_url + path, timeout=60)

    _during("an instance joins", stage, instance)
    _during("a service comes and goes", stage, service)
    _during("the catalog moves", stage, catalog)
    _during("/state, /metrics and /ready are asked for", stage, pages)
    with ProxyProcess(stage.consul.address) as replica:
        replica.wait_ready(120)

        def commit() -> None:
            changed = parameters(5) | {"servicePath": f"/s5/,/replica-{next(turn)}/"}
            answer = replica.call("GET", "reconfigure", changed, timeout=150)
            if answer.status != 200:
                raise RuntimeError(f"the replica answered {answer.status}")
            time.sleep(0.5)

        _during("another replica changes something", stage, commit)
    stage.again(5)


def _during(what: str, stage: Stage, work: Callable[[], None]) -> None:
    with Pinger(stage.proxy.address, stage.proxy.api_port) as pinger:
        for _ in range(TIMES):
            work()
        time.sleep(1)  # what the work leaves to be done later
    show_amount(f"ping while {what}", pinger.pings.took_ms[-1], str(pinger.pings), GOAL_MS)


def _ask(host: str, port: int) -> None:
    idle, answering = multiprocessing.Pipe()
    multiprocessing.Process(target=_answer, args=(answering,), daemon=True).start()
    floor_port: int = idle.recv()
    print("asking", flush=True)
    rows = []
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        rows.append((_ping(host, port), _ping("127.0.0.1", floor_port)))
    print("\n".join(f"{took:.3f} {floor:.3f}" for took, floor in rows))


def _ping(host: str, port: int) -> float:
    began = time.perf_counter()
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request("GET", PATH)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return 1000 * (time.perf_counter() - began) if answer.status == 200 else float("inf")


def _answer(port: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        port.send(server.server_address[1])
        server.serve_forever()


if __name__ == "__main__":
    _ask(sys.argv[1], int(sys.argv[2]))
