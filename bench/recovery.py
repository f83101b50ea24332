"""A proxy that comes back with nothing on its disk, and what it weighs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from bench import by_hand, filling
from bench.figures import Timing, show, show_amount, timed, trouble
from bench.filling import RECORDS
from bench.stage import Stage
from deploy.local import http_get

TURNS = 5
SAMPLES = 500
MEMORY_GOAL_MB = 150.0
CONNECTIONS_GOAL = 4
AT_MOST_S = 2.0


def recovery(stage: Stage) -> None:
    """From the start of the process to /ready and the right answer, after kill -9 and an emptied disk."""
    with by_hand.copy_of(stage.proxy) as hand:
        paths = filling.node_paths(stage.services)

        def least(_: int) -> None:
            stage.raw.call("GET", f"/v1/kv/{RECORDS}?recurse")
            for path in paths:
                stage.raw.call("GET", path)
            hand.start()

        floor: list[float] = []
        for _ in range(TURNS):
            floor += timed(least, 1).times_ms
            hand.stop()
    times: list[float] = []
    for _ in range(TURNS):
        stage.proxy.kill9()
        stage.proxy.wipe()
        times += timed(lambda _: _recover(stage), 1).times_ms
    stage.certify()
    _all_right(stage)
    # Below, the start of a Python program is nearly all of it.
    show("recovery on an empty disk", Timing(tuple(times)), "records + catalog + HAProxy's start", Timing(tuple(floor)),
         1.5 if stage.services >= 1000 else None)
    took = statistics.median(times) / 1000
    show_amount("recovery on an empty disk, seconds", took, f"{took:.2f} s",
                AT_MOST_S if stage.services == 1000 else None)


def _recover(stage: Stage) -> None:
    last = stage.services - 1
    stage.proxy.start()
    until = time.perf_counter() + 120
    while http_get(f"{stage.proxy.api_url}/ready").status != 200:
        if not stage.proxy.process.running or time.perf_counter() > until:
            raise RuntimeError(f"the proxy does not come back\n{stage.proxy.tail()}")
        time.sleep(0.005)
    if not stage.right(last):
        raise RuntimeError(f"after the recovery /s{last}/ is not answered by its own instances")


def _all_right(stage: Stage) -> None:
    asked = range(0, stage.services, max(1, stage.services // SAMPLES))
    wrong = [n for n in asked if not stage.right(n)]
    show_amount("routes answered wrongly after it", len(wrong), f"{len(wrong)} of {len(asked)}", goal=0)
    if wrong:
        trouble(f"after the recovery not answered by their own instances: {', '.join(f's{n}' for n in wrong[:10])}")


def memory(stage: Stage) -> None:
    """Of proxy-api (supervisor, writer, and both of gunicorn's processes), of HAProxy; and connections to Consul."""
    haproxy = stage.proxy.haproxy_pids()
    api = [pid for pid in stage.proxy.pids() if pid not in haproxy]
    goal = MEMORY_GOAL_MB if stage.services == 5000 else None
    whole = sum(_kb(pid, "smaps_rollup", "Pss") for pid in api) / 1024
    each = " + ".join(f"{_kb(pid, 'status', 'VmRSS') / 1024:.0f}" for pid in api)
    show_amount("memory of proxy-api, shared pages counted once", whole,
                f"{whole:.0f} MB (supervisor, writer and gunicorn; resident by themselves {each} MB)", goal)
    weights = [_kb(pid, "status", "VmRSS") / 1024 for pid in haproxy]
    show_amount("memory of HAProxy, resident", sum(weights),
                f"{' + '.join(f'{mb:.0f}' for mb in weights)} MB (its master, then its workers)")
    connections = _connections(api, stage.consul.port)
    show_amount("connections of proxy-api to Consul", connections, f"{connections}", CONNECTIONS_GOAL)


def _kb(pid: int, file: str, field: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise KeyError(f"/proc/{pid}/{file} has no {field}")


def _connections(pids: list[int], port: int) -> int:
    """Established TCP connections of these processes to this port (proc(5), /proc/net/tcp)."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(str(descriptor.readlink()))
            except OSError:
                continue  # closed meanwhile
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[2].rpartition(":")[2], 16) == port and row[3] == "01" and f"socket:[{row[9]}]" in sockets
               for row in rows)
