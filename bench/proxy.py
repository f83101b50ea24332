"""proxy-api's figures: reconfigure and recovery at several sizes, requests lost, memory."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figures import Timing, show, timed
from deploy.local import ConsulServer, ProxyProcess, http_get, run, wait_until
from deploy.origin import Origin
from proxy_api.haproxy import Haproxy
from tests.load import PacedLoad

TURNS = 15
NODE = "bench-node"


class Raw:
    """Consul over one bare connection: what any client would need at least."""

    def __init__(self, consul: ConsulServer) -> None:
        self._connection = http.client.HTTPConnection(consul.host, consul.port, timeout=30)

    def call(self, method: str, path: str, body: object = None) -> bytes:
        self._connection.request(method, path, None if body is None else json.dumps(body))
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 400 and answer.status != 404:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")
        return text


def main(sizes: tuple[int, ...] = (10, 1000)) -> None:
    """Print the figures for each number of services, three instances to each."""
    for services in sizes:
        with ConsulServer() as consul, Origin("a") as origin, ProxyProcess(consul.address) as proxy:
            print(f"\nproxy-api, {services} services with 3 instances each")
            raw = Raw(consul)
            _fill(raw, services, origin)
            _configure(proxy, services)
            _changes(consul, raw, proxy, origin, services)
            _load(proxy)
            _recovery(raw, proxy)
            _memory(proxy)


def _fill(raw: Raw, services: int, origin: Origin) -> None:
    raw.call("PUT", "/v1/catalog/register", {"Node": NODE, "Address": "127.0.0.1"})
    operations = [
        {"Service": {"Verb": "set", "Node": NODE, "Service": {
            "ID": f"s{n}-{k}", "Service": f"s{n}", "Address": origin.host, "Port": origin.port,
            "Meta": {"registrar-container": f"c{n}-{k}"}}}}
        for n in range(services) for k in range(3)
    ]
    for first in range(0, len(operations), 64):
        raw.call("PUT", "/v1/txn", operations[first:first + 64])


def _configure(proxy: ProxyProcess, services: int) -> None:
    def ask(n: int) -> None:
        status, answer = proxy.api("reconfigure", serviceName=f"s{n}", servicePath=f"/s{n}/")
        if status != 200:
            raise RuntimeError(str(answer))

    took = timed(lambda _: list(ThreadPoolExecutor(32).map(ask, range(services))), 1)
    print(f"{'all of them configured, 32 calls at a time':58} {took.median / 1000:6.1f} s", flush=True)


def _changes(consul: ConsulServer, raw: Raw, proxy: ProxyProcess, origin: Origin, services: int) -> None:
    record = base64.b64encode(b"x" * 1000).decode()

    def read_and_write(turn: int) -> None:
        raw.call("GET", "/v1/health/service/s1?consistent=1")
        raw.call("PUT", "/v1/txn", [{"KV": {"Verb": "set", "Key": "bench/key", "Value": f"{turn:04d}{record}"}}])

    floor = timed(read_and_write, TURNS)
    show("reconfigure, nothing changed", timed(lambda _: _call(proxy, "s1", "/s1/"), TURNS), "read + write", floor)
    show("reconfigure, another path", timed(lambda n: _call(proxy, "s1", f"/s1/{n}/"), TURNS), "read + write", floor)
    times: list[float] = []
    for turn in range(TURNS):
        consul.register("s2", origin.host, origin.port, id=f"extra-{turn}")
        times += timed(lambda _: _call(proxy, "s2", "/s2/"), 1).times_ms
    show("reconfigure, one more instance", Timing(tuple(times)), "read + write", floor, 2.0)
    for turn in range(TURNS):
        consul.register(f"new-{turn}", origin.host, origin.port)
    show("reconfigure, a new service", timed(lambda n: _call(proxy, f"new-{n}", f"/new-{n}/"), TURNS),
         "haproxy -c + reload by hand", _reload_by_hand(proxy), 1.3)


def _call(proxy: ProxyProcess, service: str, path: str) -> None:
    status, answer = proxy.api("reconfigure", serviceName=service, servicePath=path)
    if status != 200:
        raise RuntimeError(str(answer))


def _reload_by_hand(proxy: ProxyProcess) -> Timing:
    """The same configuration, checked and reloaded in a HAProxy of its own."""
    directory = Path(tempfile.mkdtemp(prefix="pb-bench-", dir="/tmp"))
    try:
        copy = directory / "config" / "x"
        shutil.copytree(Haproxy(str(proxy.configs_path)).current, copy)
        main_file = copy / "haproxy.cfg"
        text = main_file.read_text().replace(str(proxy.configs_path), str(directory))
        main_file.write_text(text.replace(f"{proxy.address}:{proxy.port}", f"{proxy.address}:{proxy.tls_port}"))
        (directory / "current").symlink_to(copy)
        haproxy = Haproxy(str(directory))
        digest = (copy / "portbook.map").read_text().split()[1]
        with run(haproxy.command(), name="haproxy-by-hand"):
            wait_until(lambda: haproxy.serving() == digest, 20, "it serves")

            def reload(_: int) -> None:
                subprocess.run(["haproxy", "-c", "-f", str(main_file)], check=True, capture_output=True)
                haproxy.reload(digest)

            return timed(reload, TURNS)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _load(proxy: ProxyProcess) -> None:
    """Requests lost over 200 changes, half of them reloads, under paced clients."""
    with (PacedLoad(proxy.address, proxy.port, "/s1/14/", clients=8, pause_s=0.02) as kept,
          PacedLoad(proxy.address, proxy.port, "/s1/14/", clients=2, pause_s=0.02, keep_alive=False) as single):
        for turn in range(200):
            _call(proxy, f"empty-{turn // 2 % 20}", f"/empty-{turn}")
    lost = sum(kept.lost.values()) + sum(single.lost.values())
    print(f"{'requests lost over 200 changes':58} {lost:6d} of {kept.sent + single.sent} (goal 0)", flush=True)


def _recovery(raw: Raw, proxy: ProxyProcess) -> None:
    haproxy = Haproxy(str(proxy.configs_path))

    def floor(_: int) -> None:
        raw.call("GET", "/v1/kv/docker-flow/?recurse")
        raw.call("GET", f"/v1/catalog/node/{NODE}")
        subprocess.run(["haproxy", "-c", "-f", str(haproxy.current / "haproxy.cfg")], check=True, capture_output=True)

    least = timed(floor, 5)

    def recover(_: int) -> None:
        proxy.start().wait_ready()
        if http_get(proxy.url + "/s1/14/").status != 200:
            raise RuntimeError("the recovered proxy does not serve")

    times: list[float] = []
    for _ in range(5):
        proxy.kill9()
        proxy.wipe()
        times += timed(recover, 1).times_ms
    show("recovery on an empty disk, two processes' start included", Timing(tuple(times)),
         "records + catalog + HAProxy's parsing", least, 1.5)


def _memory(proxy: ProxyProcess) -> None:
    for pid in proxy.pids():
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        print(f"{'resident memory of ' + status['Name'].strip():58} {int(status['VmRSS'].split()[0]) / 1024:6.0f} MB")
