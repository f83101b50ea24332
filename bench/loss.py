"""Requests lost while the proxy is changed again and again, under clients of every kind."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from bench.figures import show_amount, trouble
from bench.pings import GOAL_MS, Pinger
from bench.stage import Stage
from bench.streams import Download, StreamOrigin, WebSocket
from deploy.local import wait_until
from tests.load import PacedLoad

CHANGES = 200
AT_MOST_S = 600.0  # where a change takes seconds, there are fewer of them, and the figure says how many


class H2Load:
    """curl as an h2 client over TLS: it reuses its connection until it is told to make another (GOAWAY)."""

    def __init__(self, address: str, port: int, path: str, *, clients: int, rate: int) -> None:
        self._url = f"https://{address}:{port}{path}?n=[1-1000000]"
        self._clients, self._rate = clients, rate
        self._directory = tempfile.TemporaryDirectory(prefix="pb-h2-")
        self.sent = self.connections = 0
        self.lost: Counter[str] = Counter()
        self.answered_by: Counter[str] = Counter()

    def __enter__(self) -> Self:
        told = "%{http_code} %{http_version} %{num_connects} %{exitcode} %header{x-instance}\\n"
        words = ["stdbuf", "-oL", "setpriv", "--pdeathsig", "TERM", "curl", "-sk", "--http2", "--rate",
                 f"{self._rate}/s", "--max-time", "20", "-o", "/dev/null", "-w", told, self._url]
        self._files = [Path(self._directory.name) / str(n) for n in range(self._clients)]
        self._running = []
        for file in self._files:
            with file.open("wb") as output:
                self._running.append(subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT))
        return self

    def reports(self) -> int:
        """How many requests have come to an end so far."""
        return sum(len(file.read_text().splitlines()) for file in self._files)

    def __exit__(self, *_: object) -> None:
        for client in self._running:
            if client.poll() is not None:
                self.lost[f"curl ended with {client.returncode}"] += 1
            client.terminate()
            client.wait(20)
        for line in (line for file in self._files for line in file.read_text().splitlines()):
            status, version, connects, fault, instance = [*line.split(" "), "", "", "", ""][:5]
            self.sent += 1
            self.connections += int(connects or 0)
            self.answered_by[instance] += 1
            if (status, version, fault) != ("200", "2", "0"):
                self.lost[f"status {status}, HTTP/{version}, curl's {fault}"] += 1
        self._directory.cleanup()


def lost(stage: Stage) -> None:
    """The changes, four in turn: an instance joins, a service comes, the instance leaves, the service goes."""
    proxy = stage.proxy
    ours = {str(port) for port in _live(stage)}
    with StreamOrigin() as origin, ExitStack() as loads:
        stage.raw.register(replace(stage.instance("stream", 0, origin.port), address=origin.host))
        stage.call("reconfigure", serviceName="stream", servicePath="/stream/")
        wait_until(lambda: proxy.get("/live/").status == 200, 10, "the loaded service answers")
        kinds: dict[str, PacedLoad | H2Load] = {
            "keep-alive": PacedLoad(proxy.address, proxy.port, "/live/", clients=8, pause_s=0.02),
            "one connection a request": PacedLoad(proxy.address, proxy.port, "/live/", clients=4, pause_s=0.02,
                                                  keep_alive=False),
            "h2 over TLS": H2Load(proxy.address, proxy.tls_port, "/live/", clients=4, rate=25),
        }
        download = Download(proxy.address, proxy.port, "/stream/download")
        socket = WebSocket(proxy.address, proxy.port, "/stream/echo")
        for load in kinds.values():
            loads.enter_context(load)
        pinger = loads.enter_context(Pinger(proxy.address, proxy.api_port))
        before, began = stage.counts(), time.perf_counter()
        changes = _change(stage)
        took = time.perf_counter() - began
        reloads, runtime = (now - then for now, then in zip(stage.counts(), before, strict=True))
        loads.close()
        faults = {"a download that takes the whole run": (download.finish(origin), f"{download.received} kB"),
                  "a WebSocket": (socket.finish(), f"{socket.echoed} messages")}
    suffix = f"{changes} changes in {took:.0f} s, {reloads} of them reloads and {runtime} at run time"
    for kind, load in kinds.items():
        gone = sum(load.lost.values())
        said = f": {dict(load.lost)}" if gone else ""
        show_amount(f"requests lost, {kind}", gone, f"{gone} of {load.sent}{said}; {suffix}", goal=0)
        if wrong := {name: n for name, n in load.answered_by.items() if name and name not in ours}:
            trouble(f"{kind}: answered by instances of others: {wrong}")
        if gone:
            trouble(f"requests lost, {kind}: {dict(load.lost)} of {load.sent}")
    for what, (fault, amount) in faults.items():
        show_amount(f"broken: {what}", int(bool(fault)), f"{amount} through all of it{'; ' + fault if fault else ''}",
                    goal=0)
        if fault:
            trouble(f"{what}: {fault}")
    show_amount("ping meanwhile, slowest of 100", pinger.pings.slowest_of_100, str(pinger.pings), GOAL_MS)


def _live(stage: Stage) -> list[int]:
    """The loaded service with two instances that stay, and the ports that may ever answer for it."""
    ports = list(stage.origin.ports[60:64])
    for k in range(2):
        stage.raw.register(stage.instance("live", k, ports[k]))
    stage.call("reconfigure", serviceName="live", servicePath="/live/")
    return ports


def _change(stage: Stage) -> int:
    """An instance more and less of the loaded service itself, and services that come and go beside it: how many."""
    until = time.perf_counter() + AT_MOST_S
    ports = stage.origin.ports[60:64]
    joins = stage.instance("live", 2, ports[2])
    name = ""
    for turn in range(CHANGES):
        if turn % 4 == 0 and time.perf_counter() > until:
            return turn
        match turn % 4:
            case 0:
                stage.raw.register(joins)
                stage.call("reconfigure", serviceName="live", servicePath="/live/")
            case 1:
                name = stage.new_service()
                stage.call("reconfigure", serviceName=name, servicePath=f"/{name}/")
            case 2:
                stage.raw.deregister(joins)
                stage.call("reconfigure", serviceName="live", servicePath="/live/")
            case _:
                stage.call("remove", serviceName=name)
    return CHANGES
