"""What a proxy says and refuses at its start, what it logs, and how soon it is gone after SIGTERM."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local import ConsulServer, ProxyProcess, wait_until
from deploy.origin import Origin
from deploy.process import ROOT, child_environment
from tests.instances import add

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (DEBUG|INFO|WARNING|ERROR|CRITICAL) event=\S+( \S.*)?")


def logged(proxy: ProxyProcess, event: str) -> list[str]:
    return [line for line in proxy.log.read_text().splitlines() if f" event={event}" in line]


@contextlib.contextmanager
def listening(host: str, port: int, shared: bool = False) -> Iterator[None]:
    with socket.socket() as taken:
        if shared:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((host, port))
        taken.listen()
        yield


# --- what cannot be bound --------------------------------------------------------------------------------------------


def test_what_cannot_be_bound_is_named_all_of_it_with_its_setting(consul: ConsulServer) -> None:
    proxy = ProxyProcess(consul.address)
    proxy.env |= {"STATS_PORT": f"{proxy.address}:{proxy.tls_port}", "BIND_PORTS": "192.0.2.1:8000"}
    try:
        with (listening(proxy.address, proxy.api_port), listening(proxy.address, proxy.port),
              listening(proxy.address, proxy.tls_port)):
            proxy.start()
            assert proxy.process.wait(20) == 1
        said = proxy.log.read_text()
        for setting, port in (("PORT", proxy.api_port), ("DEFAULT_PORTS", proxy.port), ("STATS_PORT", proxy.tls_port)):
            assert f"{setting}: {proxy.address}:{port} cannot be bound: Address already in use; " in said
        assert "BIND_PORTS: 192.0.2.1:8000 cannot be bound: Cannot assign requested address; " in said
        assert proxy.pids() == []
    finally:
        proxy.close()


def test_an_address_of_the_api_that_is_not_ours_is_named(consul: ConsulServer) -> None:
    proxy = ProxyProcess(consul.address, env={"IP": "192.0.2.1"})
    try:
        proxy.start()
        assert proxy.process.wait(20) == 1
        assert f"IP: 192.0.2.1:{proxy.api_port} cannot be bound" in proxy.log.read_text()
    finally:
        proxy.close()


def test_a_port_that_another_haproxy_would_share_is_taken(consul: ConsulServer) -> None:
    """The kernel would let it, and split the connections at random."""
    proxy = ProxyProcess(consul.address)
    try:
        with listening(proxy.address, proxy.port, shared=True):
            proxy.start()
            assert proxy.process.wait(20) == 1
        assert f"DEFAULT_PORTS: {proxy.address}:{proxy.port} cannot be bound" in proxy.log.read_text()
    finally:
        proxy.close()


def test_a_port_below_1024_without_the_right_is_named() -> None:
    """In a network of its own, whose lowest port for everybody is the kernel's default."""
    with tempfile.TemporaryDirectory(prefix="pb-", dir="/tmp") as folder:
        environ = child_environment({"CONFIGS_PATH": folder, "DEFAULT_PORTS": "80", "PORT": "81"})
        found = subprocess.run(
            ["unshare", "--net", "setpriv", "--bounding-set", "-net_bind_service", sys.executable, "-m", "proxy_api",
             "serve"], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 1, found.stderr
    assert "DEFAULT_PORTS: *:80 cannot be bound: Permission denied; " in found.stderr
    assert "PORT: 0.0.0.0:81 cannot be bound: Permission denied; " in found.stderr


def test_a_port_that_is_free_in_a_moment_is_waited_for(consul: ConsulServer) -> None:
    """As after a supervisor that was killed: its API ends a moment later."""
    proxy = ProxyProcess(consul.address)
    try:
        with listening(proxy.address, proxy.api_port):
            proxy.start()
            wait_until(lambda: "event=waiting" in proxy.log.read_text(), 10, "it has seen that the port is taken")
        proxy.wait_ready()
    finally:
        proxy.close()


def test_what_an_adopted_haproxy_has_is_not_taken(consul: ConsulServer) -> None:
    with ProxyProcess(consul.address) as proxy:
        running = proxy.haproxy_pids()
        proxy.process.kill()
        proxy.start().wait_ready()
        assert proxy.haproxy_pids() == running


def test_a_port_that_is_taken_meanwhile_shows_in_ready_and_once_in_the_log(
        consul: ConsulServer, tmp_path: Path) -> None:
    program, tries = tmp_path / "haproxy", tmp_path / "tries"
    program.write_text(f'#!/bin/sh\ncase "$1" in -W) echo >> {tries};; esac\nexec {shutil.which("haproxy")} "$@"\n')
    program.chmod(0o755)
    with ProxyProcess(consul.address, env={"HAPROXY_BIN": str(program)}) as proxy:
        program.rename(tmp_path / "away")
        os.kill(proxy.haproxy_pids()[0], signal.SIGKILL)
        wait_until(lambda: "event=not-started process=haproxy" in proxy.log.read_text(), 10, "nobody listens")
        with listening(proxy.address, proxy.port):
            tries.write_text("")
            (tmp_path / "away").rename(program)
            wait_until(lambda: tries.read_text().count("\n") >= 5, 40, "it is tried again and again")
            status, answer = proxy.api("/ready")
            assert status == 503
            assert (f"DEFAULT_PORTS: {proxy.address}:{proxy.port} cannot be bound: Address already in use"
                    in answer["Message"])
        proxy.wait_ready(20)
        wait_until(lambda: logged(proxy, "recovered process=haproxy"), 20, "the end of it is told")
        assert len([line for line in logged(proxy, "cannot-start") if "cannot be bound" in line]) == 1
        alerts = [re.sub("^.*text=", "", line) for line in logged(proxy, "haproxy-says")]
        assert len(alerts) == len(set(alerts)) > 0
        assert all(" ERROR " in line for line in logged(proxy, "haproxy-says") if "cannot bind" in line)
        assert len(logged(proxy, "ended process=haproxy")) <= 3, "killed, not started, and one end of another kind"


# --- the log ---------------------------------------------------------------------------------------------------------


def test_every_line_has_the_one_form_and_the_first_says_what_was_started(consul: ConsulServer) -> None:
    with ProxyProcess(consul.address, env={"CONSUL_HTTP_TOKEN": "geheim", "LISTENER_ADDRESS": "listener"}) as proxy:
        proxy.api("reconfigure", serviceName="x\nevent=forged\u2028", servicePath="/x")
        proxy.api("reconfigure", serviceName="y", servicePath="/y")
        for pid in proxy.named("writer"):
            os.kill(pid, signal.SIGKILL)
        with (proxy.configs_path / "haproxy.log").open("a") as file:
            file.write("[ALERT]    (1) : sendmsg()/writev() failed\n[WARNING]  (1) : careful\n[NOTICE]   (1) : x\n")
        wait_until(lambda: "text=careful" in proxy.log.read_text(), 10, "what HAProxy wrote is passed on")
        for pid in proxy.named("api"):  # gunicorn says so itself
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: len(logged(proxy, "started process=api")) == 2, 20, "it is started again")
        proxy.stop()
        lines = proxy.log.read_text().splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    said = [line.partition(" ")[2] for line in lines]
    assert 'ERROR event=haproxy-says text="sendmsg()/writev() failed"' in said
    assert "WARNING event=haproxy-says text=careful" in said
    assert not any("text=x" in line for line in said)
    first = lines[0]
    assert "event=starting version=" in first
    for part in ("instance=docker-flow", f"api={proxy.address}:{proxy.api_port}", f"ports={proxy.address}:{proxy.port}",
                 f"consul={consul.address}", f"configs={proxy.configs_path}"):
        assert part in first
    assert any("event=setting-ignored name=LISTENER_ADDRESS" in line and "WARNING" in line for line in lines)
    assert not any("geheim" in line for line in lines)
    assert [line for line in lines[lines.index(next(line for line in lines if "event=stopping" in line)):]
            if "event=ended" in line and " INFO " not in line] == [], "an end that was asked for is no warning"


def test_what_haproxy_wrote_before_a_start_is_not_told_again(consul: ConsulServer) -> None:
    with ProxyProcess(consul.address) as proxy:
        haproxy_log = proxy.configs_path / "haproxy.log"
        with haproxy_log.open("a") as file:
            file.write("[ALERT]    (1) : first\n")
        wait_until(lambda: any("text=first" in line for line in logged(proxy, "haproxy-says")), 10, "it is passed on")
        proxy.process.kill()
        proxy.start().wait_ready()
        with haproxy_log.open("a") as file:
            file.write("[ALERT]    (1) : sec")
            file.flush()
            file.write("ond\n")
        wait_until(lambda: any("text=second" in line for line in logged(proxy, "haproxy-says")), 10, "what is new is")
        assert len([line for line in logged(proxy, "haproxy-says") if "text=first" in line]) == 1


def test_a_setting_of_the_predecessor_that_closed_something_refuses_the_start(consul: ConsulServer) -> None:
    proxy = ProxyProcess(consul.address, env={"USERS": "admin:geheim", "PORT": "x"})
    try:
        proxy.start()
        assert proxy.process.wait(20) == 2
        said = proxy.log.read_text()
        assert "USERS: the predecessor has this, this version does not" in said
        assert "PORT: 'x' is not a number" in said, "all faults at once"
        assert "geheim" not in said
    finally:
        proxy.close()


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["dfp_api_token", "API_TOKEN_FILE", "API_TOKEN"])
def test_a_blank_or_a_byte_order_mark_around_a_token_locks_nobody_out(
        consul: ConsulServer, tmp_path: Path, how: str) -> None:
    file = tmp_path / "dfp_api_token"
    file.write_text("\ufeff schl\u00fcssel \r\n", encoding="utf-8")
    env = {"dfp_api_token": {"SECRETS_PATH": str(tmp_path)}, "API_TOKEN_FILE": {"API_TOKEN_FILE": f" {file} "},
           "API_TOKEN": {"API_TOKEN": " schl\u00fcssel\t"}}[how]
    with ProxyProcess(consul.address, env=env) as proxy:
        asked = "Bearer schl\u00fcssel".encode().decode("latin-1")
        call = ("POST", "reconfigure", {"serviceName": "x", "servicePath": "/x"})
        assert proxy.call(*call, {"Authorization": asked}).status == 200
        assert proxy.call(*call, {"Authorization": f"{asked} "}).status == 200
        assert proxy.call(*call, {"Authorization": asked[:-1]}).status == 401


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hung", ["nothing", "consul", "consul and a call", "writer", "api", "haproxy", "all"])
def test_a_stop_ends_everything_within_ten_seconds(hung: str) -> None:
    """That is what Docker gives it. A request that takes longer is cut off."""
    with ConsulServer() as consul, Origin("slow", delay_s=40) as slow, ThreadPoolExecutor() as pool:
        add(consul, "slow", slow)
        proxy = ProxyProcess(consul.address, env={"TIMEOUT_SERVER": "90"})
        try:
            proxy.start().wait_ready()
            assert proxy.api("reconfigure", serviceName="slow", servicePath="/slow").status == 200
            pool.submit(proxy.get, "/slow")
            wait_until(lambda: slow.busy, 10, "a request is under way")
            if hung.startswith("consul"):
                consul.freeze()
            call = pool.submit(proxy.api, "reconfigure", serviceName="slow", servicePath="/slow2") \
                if hung == "consul and a call" else None
            names = {"writer": ["writer"], "api": ["api"], "haproxy": ["haproxy"], "all": ["writer", "api", "haproxy"]}
            if call:
                assert proxy.api("ping").status == 200
            for pid in proxy.named(*names.get(hung, [])) if hung in names else []:
                os.kill(pid, signal.SIGSTOP)
            proxy.process.signal(signal.SIGTERM)
            assert proxy.process.wait(10) == 0
            assert proxy.pids() == []
            if call:
                assert call.result(1).status in (503, 0), "it is answered, or cut off"
        finally:
            consul.thaw()
            proxy.close()
