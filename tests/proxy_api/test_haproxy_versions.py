"""The whole proxy on each HAProxy that has to work, and what newer ones do otherwise."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.streams import Download, StreamOrigin
from deploy.local import ConsulServer, ProxyProcess, free_port, wait_until
from deploy.origin import Origin
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.runtime_socket import NotRunning
from tests.haproxies import PROGRAMS
from tests.load import PacedLoad

NEWER = [version for version in PROGRAMS if version != "system"]


@pytest.fixture(params=PROGRAMS)
def proxy(request: pytest.FixtureRequest, consul: ConsulServer) -> Iterator[ProxyProcess]:
    with ProxyProcess(consul.address, env={"HAPROXY_BIN": PROGRAMS[request.param]}) as running:
        yield running


@pytest.fixture(params=NEWER)
def newer(request: pytest.FixtureRequest, consul: ConsulServer) -> Iterator[ProxyProcess]:
    with ProxyProcess(consul.address, env={"HAPROXY_BIN": PROGRAMS[request.param]}) as running:
        yield running


def add(consul: ConsulServer, service: str, origin: Origin) -> None:
    consul.register(service, origin.host, origin.port, id=f"n:{service}_{origin.name}:80",
                    meta={"registrar-container": f"c-{service}-{origin.name}"})


def change(proxy: ProxyProcess, call: str = "reconfigure", **asked: str) -> str:
    answer = proxy.api(call, **asked)
    assert answer.status == 200, answer
    return str(answer.json["Change"])


def test_everything_that_changes_changes(consul: ConsulServer, proxy: ProxyProcess, a: Origin, b: Origin) -> None:
    add(consul, "x", a)
    assert change(proxy, serviceName="x", servicePath="/x") == "reload"
    assert proxy.instances("/x") == {"a"}
    add(consul, "x", b)
    assert change(proxy, serviceName="x", servicePath="/x") == "runtime"
    assert proxy.instances("/x") == {"a", "b"}
    assert change(proxy, serviceName="x", servicePath="/other") == "runtime"
    assert (proxy.instances("/other"), proxy.get("/x").status) == ({"a", "b"}, 503)
    add(consul, "y", b)
    assert change(proxy, serviceName="y", serviceDomain="acme.com", servicePath="/y") == "reload"
    assert proxy.get("/y", host="acme.com").headers["X-Instance"] == "b"
    (proxy.templates_path / "fe").write_text("acl t path_beg /t\nuse_backend t-be if t\n")
    (proxy.templates_path / "be").write_text(
        'backend t-be\n{{ range service "x" "any" }}    server {{ .Node }}_{{ .Port }} {{ .Address }}:{{ .Port }}\n'
        "{{ end }}")
    change(proxy, serviceName="t", consulTemplateFePath="fe", consulTemplateBePath="be")
    assert proxy.instances("/t") == {"a", "b"}
    for pid in proxy.haproxy_pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: proxy.get("/other").status == 200, 10, "it is started again")
    change(proxy, "remove", serviceName="y")
    assert proxy.get("/y", host="acme.com").status == 503
    wait_until(lambda: proxy.api("/ready").status == 200, 10, "all is well")
    proxy.kill9()
    proxy.wipe()
    proxy.start().wait_ready()
    assert (proxy.instances("/other"), proxy.instances("/t")) == ({"a", "b"}, {"a", "b"})


@pytest.mark.parametrize("keep_alive", [True, False])
def test_no_request_is_lost_over_reloads(
        consul: ConsulServer, proxy: ProxyProcess, a: Origin, b: Origin, keep_alive: bool) -> None:
    for origin in (a, b):
        add(consul, "x", origin)
    change(proxy, serviceName="x", servicePath="/x")
    add(consul, "y", a)
    with PacedLoad(proxy.address, proxy.port, "/x", clients=4, keep_alive=keep_alive) as load:
        for number in range(4):
            assert change(proxy, serviceName=f"y{number}", servicePath=f"/y{number}") == "reload"
            assert change(proxy, "remove", serviceName=f"y{number}") == "reload"
    assert load.sent > 20
    assert not load.lost, load.lost


def master_sockets(pid: int) -> int:
    """How many sockets the master holds."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(descriptor).startswith("socket:")
        except OSError:
            continue
    return count


def test_reloads_leave_no_connections_in_the_master(consul: ConsulServer, newer: ProxyProcess, a: Origin) -> None:
    """A worker that was gone already was asked through it, and each such question stayed there for good."""
    haproxy = Haproxy(str(newer.configs_path))
    add(consul, "x", a)
    change(newer, serviceName="x", servicePath="/x")

    def settled() -> int | None:
        try:
            return haproxy.master.processes().master
        except NotRunning:
            return None

    master = wait_until(settled, 10, "the master answers")
    before = master_sockets(master)
    gone = haproxy.master.processes().worker
    for number in range(10):
        assert change(newer, serviceName=f"y{number}", servicePath=f"/y{number}") == "reload"
    assert not haproxy.master.owns(gone)
    wait_until(lambda: master_sockets(master) <= before + 3, 10, "what was asked is closed again")
    assert wait_until(settled, 10, "it answers as ever") == master


def test_an_old_worker_that_is_stopped_keeps_nobodys_connections(
        consul: ConsulServer, newer: ProxyProcess, a: Origin) -> None:
    """From HAProxy 3 on it went on getting its share of them, and the state was green."""
    haproxy = Haproxy(str(newer.configs_path))
    add(consul, "x", a)
    with StreamOrigin() as streams:
        consul.register("long", streams.host, streams.port, id="long")
        change(newer, serviceName="x", servicePath="/x")
        change(newer, serviceName="long", servicePath="/download")
        download = Download(newer.address, newer.port, "/download")
        wait_until(lambda: download.received, 10, "it is on its way")
        worker = haproxy.master.processes().worker
        os.kill(worker, signal.SIGSTOP)
        try:
            newer.api("reconfigure", serviceName="y", servicePath="/y")
            wait_until(lambda: "process=haproxy-old-worker" in newer.log.read_text() or not haproxy.master.owns(worker),
                       20, "it is told, and ended")
            wait_until(lambda: not haproxy.master.owns(worker), 10, "it is gone")
        finally:
            if haproxy.master.owns(worker):
                os.kill(worker, signal.SIGKILL)
        wait_until(lambda: newer.api("/ready").status == 200, 10, "all is well")
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with socket.create_connection((newer.address, newer.port), timeout=5) as connection:
                connection.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
        streams.end.set()


def test_one_name_for_a_frontend_and_a_backend_is_told_and_refused_where_it_cannot_be(
        consul: ConsulServer, proxy: ProxyProcess, a: Origin) -> None:
    """A template that works today must not come as a surprise on the day of an upgrade."""
    add(consul, "x", a)
    change(proxy, serviceName="x", servicePath="/x")
    port = free_port(proxy.address)
    (proxy.templates_path / "t").write_text(
        f"frontend t\n    bind {proxy.address}:{port}\n    default_backend t\nbackend t\n"
        f"    server s {a.host}:{a.port}\n")
    answer = proxy.api("reconfigure", serviceName="t", consulTemplatePath="t")
    if answer.status == 200:
        assert answer.json["Warnings"] == [
            "a frontend and a backend are both called t, which HAProxy refuses from 3.3 on: rename one"]
    else:
        assert answer.status == 400
        assert "backend 't' has the same name as frontend 't'" in answer.json["Message"]
        assert "rename" in answer.json["Message"]
    assert proxy.instances("/x") == {"a"}
    (proxy.templates_path / "t").write_text(f"backend t of mine\n    server s {a.host}:{a.port}\n")
    answer = proxy.api("reconfigure", serviceName="t", consulTemplatePath="t")
    assert answer.status == 200
    assert answer.json["Warnings"] == [
        "the words 'of mine' behind 'backend t' mean nothing and are left out: newer HAProxies refuse them"]
