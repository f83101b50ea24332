"""What a change takes: from the catalog to the traffic, and from a call to its answer."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench import by_hand, filling
from bench.figures import Timing, point, show, show_amount, timed
from bench.filling import RECORDS, Observer
from bench.stage import Stage

BURST = 32
_LEAST_MS = 0.5
BY_RUNTIME, BY_RELOAD = "Portbook, instance change", "Portbook, new service"
TIMES = "time per change (ms)"


def served(stage: Stage) -> None:
    """From the write to the catalog, or the commit of a call, to the right instance's answer."""
    raw, ports = stage.raw, stage.origin.ports
    floor = _wake_up(stage)
    one, other = ports[3], ports[4]
    for name, follow in (("moves", "all"), ("returns", "restarts"), ("grows", "all")):
        raw.register(stage.instance(name, 0, one))
        stage.call("reconfigure", serviceName=name, servicePath=f"/{name}/", follow=follow)
    moved: dict[str, list[float]] = {"moves": [], "returns": []}
    grown, asked = [], []
    for turn in range(stage.turns):
        place = (other, one)[turn % 2]
        for name, times in moved.items():
            raw.register(stage.instance(name, 0, place))
            began = time.perf_counter()
            times.append(1000 * (stage.client.first(f"/{name}/", place) - began))
        fresh = ports[10 + turn]
        raw.register(stage.instance("grows", 1, fresh))
        began = time.perf_counter()
        grown.append(1000 * (stage.client.first("/grows/", fresh) - began))
        raw.deregister(stage.instance("grows", 1))
        stage.client.only("/grows/", {one})
    for turn in range(stage.turns):
        fresh = ports[30 + turn]
        raw.register(stage.instance("returns", 1 + turn, fresh))
        observer = Observer(stage.consul, f"/v1/kv/{RECORDS}returns/route")
        caller = threading.Thread(target=stage.try_call, args=("reconfigure",),
                                  kwargs={"serviceName": "returns", "servicePath": "/returns/"})
        caller.start()
        answered = stage.client.first("/returns/", fresh)
        asked.append(1000 * (answered - observer.woke()) + floor.median)
        caller.join()
    goal = 3.0 if stage.services == 1000 else None
    for what, times, wanted in (("an instance moved in the catalog (follow=all) -> served", moved["moves"], goal),
                                ("an instance joined in the catalog (follow=all) -> served", grown, goal),
                                ("a container came back elsewhere (follow=restarts) -> served", moved["returns"], None),
                                ("an instance admitted by a call: commit -> served", asked, goal)):
        took = Timing(tuple(times))
        if floor.median < _LEAST_MS:
            # In a small catalog, who waits may hear of a write before who wrote it.
            show_amount(what, took.median, f"median {took.median:.1f} ms, p95 {took.p95:.1f}; the wake-up takes too "
                                           "little to be divided by")
        else:
            show(what, took, "a blocking query's wake-up", floor, wanted)


def _wake_up(stage: Stage) -> Timing:
    """From the return of a write to a waiting reader's answer, at a Consul that nothing else waits at."""
    with filling.consul_like(stage.services) as (consul, raw):
        times = []
        for turn in range(max(15, stage.turns)):
            observer = Observer(consul, "/v1/catalog/services")
            time.sleep(0.02)  # the query is to be waiting when the write comes
            raw.register(stage.instance("floor", 0, stage.origin.ports[turn]))
            began = time.perf_counter()
            times.append(1000 * (observer.woke() - began))
    return Timing(tuple(times))


def calls(stage: Stage) -> None:
    """From a reconfigure to its answer."""
    floor = _read_and_write(stage)
    stage.again(1)
    least = "a catalog read + a KV write"
    show("reconfigure, nothing changed", timed(lambda _: stage.again(1), stage.turns), least, floor)
    show("reconfigure, another path", timed(lambda n: _path(stage, n), stage.turns), least, floor)
    _path(stage, -1)
    more: list[float] = []
    less: list[float] = []
    for turn in range(stage.turns):
        joined = stage.instance("s2", 10 + turn)
        stage.raw.register(joined)
        more += timed(lambda _: stage.again(2), 1).times_ms
        stage.raw.deregister(joined)
        less += timed(lambda _: stage.again(2), 1).times_ms
    show("reconfigure, one more instance", Timing(tuple(more)), least, floor, 2.0)
    show("reconfigure, one instance less", Timing(tuple(less)), least, floor, 2.0)
    point(TIMES, BY_RUNTIME, stage.services, Timing(tuple(more)).median)
    _new_services(stage)


def _path(stage: Stage, turn: int) -> None:
    extra = "" if turn < 0 else f"{turn}/"
    stage.call("reconfigure", **(filling.parameters(1) | {"servicePath": f"/s1/{extra}"}))


def _read_and_write(stage: Stage) -> Timing:
    value = base64.b64encode(b"x" * 1000).decode()

    def read_and_write(turn: int) -> None:
        stage.raw.call("GET", "/v1/health/service/s1?consistent=1")
        stage.raw.call("PUT", "/v1/txn", [{"KV": {"Verb": "set", "Key": "bench/key", "Value": f"{turn:04d}{value}"}}])

    return timed(read_and_write, max(15, stage.turns))


def _new_services(stage: Stage) -> None:
    with by_hand.copy_of(stage.proxy) as hand:
        hand.start()

        def check_and_reload(_: int) -> None:
            hand.check()
            hand.reload()

        # Turn by turn, so that what else the machine does weighs on both.
        new: list[float] = []
        gone: list[float] = []
        least: list[float] = []
        for _ in range(stage.turns):
            name = stage.new_service()
            new += timed(lambda _, n=name: _add(stage, n), 1).times_ms  # type: ignore[misc]
            least += timed(check_and_reload, 1).times_ms
            gone += timed(lambda _, n=name: stage.call("remove", serviceName=n), 1).times_ms  # type: ignore[misc]
        names = [stage.new_service() for _ in range(BURST)]
        with ThreadPoolExecutor(BURST) as threads:
            burst = timed(lambda _: list(threads.map(lambda n: _add(stage, n), names)), 1)
            list(threads.map(lambda n: stage.call("remove", serviceName=n), names))
    floor, floor_name = Timing(tuple(least)), "haproxy -c + reload by hand"
    show("reconfigure, a new service", Timing(tuple(new)), floor_name, floor, 1.3)
    show("remove, a whole service", Timing(tuple(gone)), floor_name, floor)
    show(f"{BURST} new services, asked for at once", burst, floor_name, floor)
    point(TIMES, BY_RELOAD, stage.services, Timing(tuple(new)).median)


def _add(stage: Stage, name: str) -> None:
    stage.call("reconfigure", serviceName=name, servicePath=f"/{name}/")


def work(stage: Stage) -> None:
    """What ten equal calls cost beside one."""
    name = stage.new_service()
    before = stage.counts()
    writes = 0
    seen = _indices(stage)
    for turn in range(10):
        answer = stage.call("reconfigure", serviceName=name, servicePath=f"/{name}/")
        if answer["Change"] != ("nothing" if turn else "reload"):
            raise RuntimeError(f"call {turn + 1} of ten equal ones was answered {answer}")
        now = _indices(stage)
        writes += now != seen
        seen = now
    reloads, runtime = (now - then for now, then in zip(stage.counts(), before, strict=True))
    show_amount("ten equal reconfigures of a new service", reloads + runtime + writes,
                f"{reloads} reload, {runtime} runtime changes, {writes} transaction in Consul", goal=2)
    stage.call("remove", serviceName=name)


def _indices(stage: Stage) -> list[tuple[str, int]]:
    listing = json.loads(stage.raw.call("GET", f"/v1/kv/{RECORDS}?recurse") or "[]")
    return sorted((entry["Key"], entry["ModifyIndex"]) for entry in listing)
