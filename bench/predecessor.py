"""The same changes the predecessor's way: one file with a chain of ACLs, `haproxy -c`, a new process with `-sf`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from bench import throughput
from bench.figures import Timing, point, show_amount, timed
from bench.quick_origin import QuickOrigin
from deploy.local import Process, child_environment, http_get, loopback_address, run
from tests.load import PacedLoad

SERIES = "predecessor's way, new service"
_PORT = 8000
# The head of its haproxy.cfg of 2016 (timeouts included).
_HEAD = """\
defaults
    mode http
    balance roundrobin
    option dontlognull
    option dontlog-normal
    option http-server-close
    option forwardfor
    option redispatch
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout queue 30s
    timeout http-request 5s
    timeout http-keep-alive 15s
frontend services
    bind {address}:{port}
    mode http
"""


class ChainProxy:
    """HAProxy with one file, replaced by a new process at every change."""

    def __init__(self, services: int, origin: QuickOrigin) -> None:
        self.address, self.port, self._origin = loopback_address(), _PORT, origin
        self._directory = Path(tempfile.mkdtemp(prefix="pb-chain-", dir="/tmp"))
        self._file = self._directory / "haproxy.cfg"
        self._names = [f"s{n}" for n in range(services)]
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        try:
            self._write()
            self._start()
            self._wait(self._names[-1])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._processes:
            if process.running:
                process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def add(self, name: str) -> None:
        """One more service, until it is served."""
        self._names.append(name)
        self._write()
        subprocess.run(["haproxy", "-c", "-f", str(self._file)], check=True, capture_output=True,
                       env=child_environment())
        self._start()
        self._wait(name)

    @property
    def pid(self) -> int:
        return self._processes[-1].pid

    def _start(self) -> None:
        old = ["-sf", str(self.pid)] if self._processes else []
        log = self._directory / "log"
        self._processes.append(run(["haproxy", "-f", self._file, *old], name="haproxy-chain", log=log))

    def _wait(self, name: str) -> None:
        until = time.perf_counter() + 120
        while http_get(f"http://{self.address}:{self.port}/{name}/").status != 200:
            if time.perf_counter() > until or not self._processes[-1].running:
                raise RuntimeError(f"/{name}/ is not served\n{self._processes[-1].tail()}")
            time.sleep(0.002)

    def _write(self) -> None:
        ports = self._origin.ports
        text = [_HEAD.format(address=self.address, port=self.port)]
        text += [f"    acl url_{name} path_beg /{name}/\n    use_backend {name}-be if url_{name}\n"
                 for name in self._names]
        for n, name in enumerate(self._names):
            text.append(f"backend {name}-be\n    mode http\n")
            text += [f"    server {name}_{k} {self._origin.host}:{ports[(3 * n + k) % len(ports)]}\n"
                     for k in range(3)]
        self._file.write_text("".join(text))


def compared(services: int, origin: QuickOrigin) -> None:
    """Time of a change, requests lost, and requests/s through the last route."""
    turns = 10 if services <= 1000 else 2
    with ChainProxy(services, origin) as proxy:
        fastest = throughput.run(proxy.address, proxy.port, f"/s{services - 1}/", [proxy.pid])
        times = timed(lambda n: proxy.add(f"fresh-{n}"), turns)
        with (PacedLoad(proxy.address, proxy.port, "/s0/", clients=4, pause_s=0.02, keep_alive=False) as single,
              PacedLoad(proxy.address, proxy.port, "/s0/", clients=8, pause_s=0.02) as kept):
            for n in range(turns):
                proxy.add(f"more-{n}")
    show_amount("predecessor's way: a new service", times.median, _ms(times))
    for name, load in (("one connection a request", single), ("keep-alive", kept)):
        gone = sum(load.lost.values())
        show_amount(f"predecessor's way: requests lost over {turns} changes, {name}", gone,
                    f"{gone} of {load.sent}{f': {dict(load.lost)}' if gone else ''}")
    show_amount("predecessor's way: requests/s through the last route", fastest.rate,
                f"{fastest.rate:,.0f} /s, 99th percentile {fastest.p99_ms:.1f} ms, {fastest.cpu_us:,.0f} µs of "
                "processor time each")
    point(throughput.RATES, throughput.CHAIN, services, fastest.rate)
    point("time per change (ms)", SERIES, services, times.median)


def _ms(times: Timing) -> str:
    return f"median {times.median:,.0f} ms, p95 {times.p95:,.0f}"
