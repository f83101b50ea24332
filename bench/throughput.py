"""Requests a second and their times through many routes, beside a hand-written configuration that has one."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import by_hand
from bench.figures import point, show_rate, trouble
from bench.stage import Stage

RATES = "requests/s through so many routes"
OURS, CHAIN = "Portbook", "predecessor's way, the last route"
SECONDS = 3
PAIRS = 5
CONNECTIONS = 32
_SCRIPT = """\
done = function(summary, latency)
    local faults = summary.errors
    local file = io.open("%s", "w")
    file:write(string.format('{"requests": %%d, "us": %%d, "p99_us": %%d, "lost": %%d}', summary.requests,
        summary.duration, latency:percentile(99), faults.connect + faults.read + faults.write + faults.status
        + faults.timeout))
    file:close()
end
"""
_ONE_ROUTE = """\
global
    stats socket {{directory}}/haproxy.sock mode 600 level admin expose-fd listeners
{user}
defaults
    mode http
    option forwardfor
    option idle-close-on-response
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend services
    bind {{address}}:{{port}}
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    use_backend one if {{{{ path_beg {path} }}}}
backend one
    balance roundrobin
{servers}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the load generator: what came through, and what the proxy spent on it."""

    rate: float
    p99_ms: float
    cpu_us: float
    lost: int


def compared(stage: Stage) -> None:
    """The two in turn, several times, so that drift weighs on both."""
    # One of the many: several would be several pools of connections to servers, and measure those.
    path = f"/s{stage.services - 1}/"
    servers = "\n".join(f"    server s{k} {stage.origin.host}:{stage.origin.ports[k]}" for k in range(3))
    user = "    user haproxy\n    group haproxy" if os.getuid() == 0 else ""
    with by_hand.written(_ONE_ROUTE.format(user=user, path=path, servers=servers)) as hand:
        ours, theirs = [], []
        for turn in range(PAIRS):
            if turn % 2:
                ours.append(run(stage.proxy.address, stage.proxy.port, path, stage.proxy.haproxy_pids()))
            theirs.append(run(hand.address, hand.port, path, [hand.worker()]))
            if not turn % 2:
                ours.append(run(stage.proxy.address, stage.proxy.port, path, stage.proxy.haproxy_pids()))
    routes = f"{stage.services:,} route{'s' if stage.services > 1 else ''}"
    floor = "one route written by hand"
    show_rate(f"requests/s through {routes}", [r.rate for r in ours], "/s", floor, [r.rate for r in theirs],
              0.97, at_least=True)
    show_rate(f"99th percentile through {routes}", [r.p99_ms for r in ours], "ms", floor, [r.p99_ms for r in theirs])
    show_rate(f"HAProxy's processor time for a request through {routes}", [r.cpu_us for r in ours], "µs", floor,
              [r.cpu_us for r in theirs])
    point(RATES, OURS, stage.services, sorted(r.rate for r in ours)[PAIRS // 2])
    if gone := sum(r.lost for r in (*ours, *theirs)):
        trouble(f"{gone} requests of the throughput runs were not answered with 200")


def run(address: str, port: int, path: str, pids: Sequence[int], seconds: int = SECONDS) -> Run:
    """wrk with one thread; the processor time is that of these processes."""
    with tempfile.TemporaryDirectory(prefix="pb-wrk-") as directory:
        result = Path(directory) / "result.json"
        script = Path(directory) / "result.lua"
        script.write_text(_SCRIPT % result)
        before = _cpu_s(pids)
        subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", script,
                        f"http://{address}:{port}{path}"], check=True, capture_output=True)
        spent = _cpu_s(pids) - before
        found = json.loads(result.read_text())
    done = max(1, found["requests"])
    return Run(1e6 * found["requests"] / found["us"], found["p99_us"] / 1000, 1e6 * spent / done, found["lost"])


def _cpu_s(pids: Sequence[int]) -> float:
    spent = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # a worker that a reload replaced, and that has ended
        spent += int(fields[11]) + int(fields[12])
    return spent / os.sysconf("SC_CLK_TCK")
