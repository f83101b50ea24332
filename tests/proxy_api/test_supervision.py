"""HAProxy under supervision, reloads under load, and the end of a proxy, with real processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local import ConsulServer, ProxyProcess, http_get, run, wait_until
from deploy.origin import Origin
from proxy_api.core.observed import MasterView
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.runtime_socket import NotRunning
from tests.consul_gate import Gate
from tests.load import PacedLoad
from tests.stored import stored


@pytest.fixture(scope="module")
def origins() -> Iterator[dict[str, Origin]]:
    with Origin("a") as a, Origin("b") as b, Origin("c") as c:
        yield {"a": a, "b": b, "c": c}


@pytest.fixture
def proxy(consul: ConsulServer, origins: dict[str, Origin]) -> Iterator[ProxyProcess]:
    for origin in origins.values():
        consul.register("x", origin.host, origin.port, meta={"registrar-container": origin.name})
    with ProxyProcess(consul.address) as running:
        assert running.api("reconfigure", serviceName="x", servicePath="/x").status == 200
        yield running


def settled(haproxy: Haproxy) -> MasterView:
    """The processes once the last reload is over: the master does not answer while it loads itself anew."""
    def ask() -> MasterView | None:
        try:
            return haproxy.master.processes()
        except NotRunning:
            return None
    return wait_until(ask, 5, "the master answers")  # type: ignore[return-value]


MASTER, WORKER, BOTH = "master", "worker", "both"


def hurt(haproxy: Haproxy, which: str, number: signal.Signals) -> MasterView:
    """Signal the master, its worker, or both; what they were."""
    before = settled(haproxy)
    for name, pid in ((MASTER, before.master), (WORKER, before.worker)):
        if which in (name, BOTH):
            os.kill(pid, number)
    return before


@pytest.mark.parametrize(("number", "which"), [
    (signal.SIGKILL, MASTER), (signal.SIGKILL, WORKER),
    (signal.SIGSTOP, MASTER), (signal.SIGSTOP, WORKER), (signal.SIGSTOP, BOTH),
])
def test_a_haproxy_that_dies_or_hangs_is_replaced_with_the_same_routes_and_servers(
        consul: ConsulServer, origins: dict[str, Origin], proxy: ProxyProcess, number: signal.Signals,
        which: str) -> None:
    haproxy = Haproxy(str(proxy.configs_path))
    with Origin("d") as added:
        consul.register("x", added.host, added.port, id="d", meta={"registrar-container": "d"})
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x,/y").json["Change"] == "runtime"
        gone = consul.register("x", "127.0.0.1", 9, id="e", meta={"registrar-container": "e"})
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x,/y").json["Change"] == "runtime"
        consul.deregister(gone)
        wanted = {(o.host, o.port) for o in (*origins.values(), added)}
        wait_until(lambda: rotation(haproxy) == wanted, 5, "one came and one went at run time")
        old = set(proxy.haproxy_pids())
        hurt(haproxy, which, number)
        wait_until(lambda: not old & set(proxy.haproxy_pids()) and proxy.get("/x").status == 200, 6,
                   "another HAProxy serves, and none of the old one is left")
        proxy.wait_ready(5)
        assert rotation(haproxy) == wanted
        assert proxy.instances("/x") == proxy.instances("/y") == {"a", "b", "c", "d"}
    assert ("event=hung" in proxy.log.read_text()) is (number == signal.SIGSTOP)


def rotation(haproxy: Haproxy) -> set[tuple[str, int]]:
    """Where requests for x may go, by HAProxy's own word."""
    observed = haproxy.runtime.observe(["x-be"], [])
    return {(seen.address, seen.port) for seen in observed.servers["x-be"].values() if seen.active}


@pytest.mark.parametrize("which", [MASTER, WORKER])
@pytest.mark.parametrize("change", ["runtime", "reload"])
def test_a_change_while_haproxy_hangs_is_whole_or_not_at_all(
        proxy: ProxyProcess, consul: ConsulServer, which: str, change: str) -> None:
    """Whoever waits is told the truth; of whoever gives up nothing half is left; nobody's change is lost."""
    def one(path: str) -> dict[str, str]:
        return {"serviceName": "x" if change == "runtime" else "y", "servicePath": path}

    consul.register("y", "127.0.0.1", 9)
    hurt(Haproxy(str(proxy.configs_path)), which, signal.SIGSTOP)
    with ThreadPoolExecutor(3) as pool:
        gave_up = pool.submit(proxy.call, "GET", "reconfigure", one("/gave-up"), timeout=0.3)
        waits = pool.submit(proxy.api, "reconfigure", **one("/waits"))
        other = pool.submit(proxy.api, "reconfigure", serviceName="z", servicePath="/z")
        assert gave_up.result(60).status in (0, 200), "a master is not needed for every change"
        statuses = waits.result(60).status, other.result(60).status
    assert statuses == (200, 200), "it waits for the replacement"
    proxy.wait_ready(5)
    key, routes = f"docker-flow/{one('')['serviceName']}/path", Haproxy(str(proxy.configs_path)).files.current

    def agree() -> bool:
        entries = (routes / "routes-prefix.map").read_text()
        return {path for path in ("/gave-up", "/waits") if f"{path} " in entries} == {stored(consul)[key]}

    wait_until(agree, 10, "record and HAProxy agree on one of the two")


def test_a_hang_shows_in_ready_until_it_is_over(proxy: ProxyProcess) -> None:
    hurt(Haproxy(str(proxy.configs_path)), WORKER, signal.SIGSTOP)
    status, answer = proxy.api("/ready")
    assert (status, answer["Message"]) == (503, "HAProxy does not answer; it is being started again")
    proxy.wait_ready(10)


def test_a_worker_left_stopped_by_its_dead_master_gets_no_share_of_the_connections(proxy: ProxyProcess) -> None:
    haproxy = Haproxy(str(proxy.configs_path))
    before = hurt(haproxy, WORKER, signal.SIGSTOP)
    os.kill(before.master, signal.SIGKILL)
    wait_until(lambda: before.worker not in proxy.haproxy_pids() and proxy.get("/x").status == 200, 6, "it is gone")


def test_killing_the_api_costs_no_request_and_its_successor_adopts_the_haproxy(proxy: ProxyProcess) -> None:
    haproxy = Haproxy(str(proxy.configs_path))
    before = settled(haproxy)
    with PacedLoad(proxy.address, proxy.port, "/x", clients=4) as load:
        for pid in proxy.named("writer", "api"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: proxy.api("ping").status == 200, 10, "the API is started again")
        proxy.wait_ready(10)
    assert (load.lost, load.sent > 20) == ({}, True)
    assert settled(haproxy) == before, "neither restarted nor reloaded"
    assert proxy.api("reconfigure", serviceName="x", servicePath="/x").json["Change"] == "nothing"


def test_killing_the_supervisor_costs_no_request_and_the_next_one_adopts(proxy: ProxyProcess) -> None:
    haproxy = Haproxy(str(proxy.configs_path))
    before = settled(haproxy)
    with PacedLoad(proxy.address, proxy.port, "/x", clients=4) as load:
        proxy.process.kill()
        wait_until(lambda: set(proxy.pids()) == set(proxy.haproxy_pids()), 10, "the API ends, HAProxy does not")
        proxy.start().wait_ready(15)
    assert (load.lost, load.sent > 20) == ({}, True)
    assert settled(haproxy) == before
    os.kill(before.master, signal.SIGKILL)
    wait_until(lambda: before.worker not in proxy.haproxy_pids() and proxy.get("/x").status == 200, 2,
               "an adopted HAProxy is watched like any other")


@pytest.mark.parametrize("note", [None, "", "1\n", "999999999\n"])
def test_a_haproxy_whose_pid_is_not_known_is_adopted_all_the_same(proxy: ProxyProcess, note: str | None) -> None:
    haproxy = Haproxy(str(proxy.configs_path))
    before = settled(haproxy)
    running = proxy.haproxy_pids()
    proxy.process.kill()
    wait_until(lambda: set(proxy.pids()) == set(running), 30, "the API ends, HAProxy does not")
    file = proxy.configs_path / "haproxy.pid"
    if note is None:
        file.unlink()
    else:
        file.write_text(note)
    assert haproxy.master.remembered() == before.master
    proxy.start().wait_ready(15)
    assert proxy.haproxy_pids() == running, "no second HAProxy beside it"
    assert settled(haproxy) == before


def test_a_haproxy_that_cannot_be_started_is_tried_again(consul: ConsulServer, tmp_path: Path) -> None:
    program = tmp_path / "haproxy"
    shutil.copy(shutil.which("haproxy") or "", program)
    with ProxyProcess(consul.address, env={"HAPROXY_BIN": str(program)}) as proxy:
        program.rename(tmp_path / "away")
        os.kill(proxy.haproxy_pids()[0], signal.SIGKILL)
        wait_until(lambda: "event=not-started process=haproxy" in proxy.log.read_text(), 5, "it is told")
        assert proxy.process.running
        assert proxy.api("ping").status == 200
        (tmp_path / "away").rename(program)
        proxy.wait_ready(10)


@pytest.mark.parametrize(("setting", "reloads"), [("HARD_STOP_AFTER", 1), ("MAX_OLD_WORKERS", 2)])
def test_workers_that_reloads_replaced_are_bounded_in_time_and_number(
        consul: ConsulServer, setting: str, reloads: int) -> None:
    with Origin("slow", delay_s=60) as slow, ThreadPoolExecutor(1) as pool:
        consul.register("slow", slow.host, slow.port)
        with ProxyProcess(consul.address, env={setting: "1", "TIMEOUT_SERVER": "90"}) as proxy:
            proxy.api("reconfigure", serviceName="slow", servicePath="/slow")
            haproxy = Haproxy(str(proxy.configs_path))
            old = settled(haproxy).worker
            pending = pool.submit(proxy.get, "/slow")
            wait_until(lambda: slow.busy, 5, "a request is under way")
            for number in range(reloads):
                assert old in proxy.haproxy_pids(), "it finishes what it has"
                assert proxy.api("reconfigure", serviceName=f"y{number}", servicePath="/y").json["Change"] == "reload"
            wait_until(lambda: old not in proxy.haproxy_pids(), 20, "it is ended")
            assert pending.result(20).status != 200
            assert proxy.get("/nothing").status == 503, "another one serves"


def test_a_writer_that_cannot_work_is_started_again_and_the_api_says_so(proxy: ProxyProcess) -> None:
    """A lock that cannot be opened is such a case. A call is refused, and a ping does not notice."""
    lock = proxy.configs_path / "writer.lock"
    lock.unlink()
    lock.mkdir()
    for pid in proxy.named("writer"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: proxy.log.read_text().count("event=process-failed process=writer") >= 2, 15, "it is tried again")
    assert proxy.api("ping").status == 200
    refused = proxy.api("reconfigure", serviceName="x", servicePath="/x")
    assert (refused.status, refused.json["Message"]) == (
        503, "the writer is being started; nothing was changed, ask again")
    assert (proxy.api("/ready").status, proxy.api("state").status) == (503, 503)
    page = http_get(f"{proxy.api_url}/metrics").body
    assert "portbook_ready 0.0" in page and "portbook_reloads" not in page
    assert proxy.instances("/x") == {"a", "b", "c"}
    lock.rmdir()
    proxy.wait_ready(20)
    assert proxy.api("reconfigure", serviceName="x", servicePath="/x").json["Change"] == "nothing"


def test_a_writer_that_hangs_is_replaced_and_holds_up_no_ping(proxy: ProxyProcess) -> None:
    [writer] = proxy.named("writer")
    os.kill(writer, signal.SIGSTOP)
    assert proxy.api("ping").status == 200
    assert proxy.api("reconfigure", serviceName="x y").status == 400
    wait_until(lambda: writer not in proxy.named("writer"), 4, "it is ended")
    assert proxy.api("reconfigure", serviceName="x", servicePath="/x").json["Change"] == "nothing"
    assert proxy.instances("/x") == {"a", "b", "c"}


def test_a_stopped_writer_that_outlives_its_supervisor_is_ended_by_the_next_one(proxy: ProxyProcess) -> None:
    [writer] = proxy.named("writer")
    os.kill(writer, signal.SIGSTOP)
    proxy.process.kill()
    wait_until(lambda: not proxy.named("api"), 10, "the API has ended")
    assert proxy.named("writer") == [writer]
    proxy.start().wait_ready(20)
    assert writer not in proxy.named("writer")


def test_told_to_stop_all_at_once_it_finishes_the_change_that_is_being_made(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    """As a service manager that signals every process does."""
    consul.register("x", origins["a"].host, origins["a"].port)
    asked, on = threading.Event(), threading.Event()

    def hold(method: str, path: str) -> None:
        if path == "/v1/txn":
            asked.set()
            on.wait(10)

    with Gate(consul.address) as gate, ProxyProcess(gate.address) as proxy, ThreadPoolExecutor() as threads:
        gate.before = hold
        call = threads.submit(proxy.api, "reconfigure", serviceName="x", servicePath="/x")
        assert asked.wait(10)
        for pid in [*proxy.named("writer", "api"), proxy.process.pid]:
            os.kill(pid, signal.SIGTERM)
        on.set()
        assert (call.result(20).status, proxy.process.wait(20)) == (200, 0)
        assert proxy.log.read_text().count("event=applied") >= 1


def test_a_request_line_without_end_is_cut_off(proxy: ProxyProcess) -> None:
    sent = 0
    with (socket.create_connection((proxy.address, proxy.api_port), timeout=10) as connection,
          contextlib.suppress(OSError)):
        connection.sendall(b"GET /")
        while sent < 64 * 2**20:
            connection.sendall(b"a" * 65536)
            sent += 65536
    assert sent < 16 * 2**20, "some megabytes are in the kernel's buffers"
    assert proxy.api("ping").status == 200


def test_a_second_proxy_in_the_same_directory_is_refused(consul: ConsulServer, proxy: ProxyProcess) -> None:
    # Never started as such: its kill9 would end the first one too, as they share the directory.
    other = ProxyProcess(consul.address, configs_path=proxy.configs_path)
    try:
        with run([sys.executable, "-m", "proxy_api", "serve"], env=other.env) as second:
            assert second.wait(10) == 2
            assert "in use by another proxy-api" in second.output()
    finally:
        shutil.rmtree(other.directory)
    assert proxy.get("/x").status == 200


def test_sigterm_drains_and_stops(consul: ConsulServer) -> None:
    with Origin("slow", delay_s=1.5) as slow:
        consul.register("slow", slow.host, slow.port)
        with ProxyProcess(consul.address) as proxy:
            proxy.api("reconfigure", serviceName="slow", servicePath="/slow")
            with PacedLoad(proxy.address, proxy.port, "/slow", clients=1) as load:
                wait_until(lambda: slow.busy, 5, "a request is under way")
                proxy.process.terminate()
                proxy.process.wait(20)
                assert proxy.process.returncode == 0
                assert proxy.pids() == []
                assert http_get(proxy.url + "/slow").status == 0, "nobody listens any more"
                load.stop()
            assert load.answered_by["slow"] >= 1, "the request that was under way got its answer"


def test_fifty_changes_under_paced_keep_alive_load_lose_no_request(consul: ConsulServer, proxy: ProxyProcess) -> None:
    with (PacedLoad(proxy.address, proxy.port, "/x", clients=8, pause_s=0.02) as kept,
          PacedLoad(proxy.address, proxy.port, "/x", clients=2, pause_s=0.02, keep_alive=False) as single):
        changes = Counter(
            proxy.api("reconfigure", serviceName=f"other-{n // 2}", servicePath=f"/other-{n}").json["Change"]
            for n in range(50))
    assert changes == {"reload": 25, "runtime": 25}, "a new service is a reload, another path of it is not"
    assert (kept.lost, single.lost) == ({}, {})
    assert kept.sent > 500
    assert set(kept.answered_by) == {"a", "b", "c"}


def test_a_haproxy_that_somebody_reloaded_behind_our_back_is_put_right(proxy: ProxyProcess) -> None:
    haproxy = Haproxy(str(proxy.configs_path))
    wanted = haproxy.runtime.serving()
    file = haproxy.files.current / "portbook.map"
    own = file.read_text()
    file.write_text("digest 0000000000000000\n")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(haproxy.master.socket)
        connection.sendall(b"reload\n")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(100)
    wait_until(lambda: "event=drift" in proxy.log.read_text(), 20, "it is told")
    wait_until(lambda: (file.read_text(), haproxy.runtime.serving()) == (own, wanted), 20,
               "the wanted one is loaded again")
    proxy.wait_ready(10)
    assert proxy.instances("/x") == {"a", "b", "c"}


def test_a_reload_that_fails_is_rolled_back(proxy: ProxyProcess, consul: ConsulServer) -> None:
    """A template that binds a socket in no directory passes HAProxy's check and fails at the reload."""
    bind_in_template(proxy, "unix@/no/such/directory/socket")
    before = stored(consul)
    status, answer = proxy.api("reconfigure", serviceName="t", consulTemplatePath="t.cfg")
    assert status == 500
    assert "HAProxy" in answer["Message"]
    assert stored(consul) == before
    wait_until(lambda: proxy.instances("/x") == {"a", "b", "c"}, 5, "the old state is served")
    assert proxy.api("reconfigure", serviceName="x", servicePath="/x2").status == 200
    assert proxy.instances("/x2") == {"a", "b", "c"}
    proxy.wait_ready(5)


def bind_in_template(proxy: ProxyProcess, address: str) -> None:
    (proxy.templates_path / "t.cfg").write_text(
        f"frontend t\n bind {address}\n default_backend t\nbackend t\n server s 127.0.0.1:1\n")


def test_an_address_that_is_taken_is_found_out_before_the_reload(proxy: ProxyProcess, consul: ConsulServer) -> None:
    with Origin("squatter") as squatter, ThreadPoolExecutor(6) as pool:
        bind_in_template(proxy, f"{squatter.host}:{squatter.port}")
        before = settled(Haproxy(str(proxy.configs_path)))
        bad = pool.submit(proxy.api, "reconfigure", serviceName="t", consulTemplatePath="t.cfg")
        others = [pool.submit(proxy.api, "reconfigure", serviceName="x", servicePath=f"/x{n}") for n in range(4)]
        status, answer = bad.result(30)
        assert status == 400
        assert f"{squatter.host}:{squatter.port} cannot be bound" in answer["Message"]
        assert {job.result(30).status for job in others} == {200}
        assert settled(Haproxy(str(proxy.configs_path))) == before, "no reload was tried"


def test_at_a_failover_a_service_that_cannot_bind_hurts_no_other(proxy: ProxyProcess) -> None:
    with Origin("free") as free:
        address = f"{free.host}:{free.port}"
    bind_in_template(proxy, address)
    assert proxy.api("reconfigure", serviceName="t", consulTemplatePath="t.cfg").status == 200
    proxy.kill9()
    proxy.wipe()
    with Origin("squatter", free.host, free.port):
        proxy.start().wait_ready(15)
        assert proxy.instances("/x") == {"a", "b", "c"}
        assert any(d.startswith("t: ") and "cannot be bound" in d for d in proxy.api("/ready").json["Detail"])
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x2").status == 200


def test_at_a_failover_a_service_that_fails_the_load_is_found_and_left_out(proxy: ProxyProcess) -> None:
    directory = proxy.directory / "sockets"
    directory.mkdir()
    directory.chmod(0o777)
    bind_in_template(proxy, f"unix@{directory}/s")
    assert proxy.api("reconfigure", serviceName="t", consulTemplatePath="t.cfg").status == 200
    proxy.kill9()
    proxy.wipe()
    shutil.rmtree(directory)
    proxy.start().wait_ready(40)
    assert proxy.instances("/x") == {"a", "b", "c"}
    assert any(d.startswith("t: ") for d in proxy.api("/ready").json["Detail"])


def test_a_full_or_read_only_disk_refuses_the_change_and_serves_on(proxy: ProxyProcess, consul: ConsulServer) -> None:
    before = stored(consul)
    store = proxy.configs_path / "config"
    store.rename(proxy.configs_path / "moved")
    store.write_text("a file where the directory should be")  # root writes through permissions, so this stands in
    try:
        status, answer = proxy.api("reconfigure", serviceName="x", servicePath="/y")
        assert (status, answer["Status"]) == (500, "NOK")
        assert stored(consul) == before
        assert proxy.instances("/x") == {"a", "b", "c"}
    finally:
        store.unlink()  # the writer makes the directory anew, the current configuration in it
    wait_until(lambda: proxy.api("reconfigure", serviceName="x", servicePath="/y").status == 200, 10, "it works again")


def test_an_api_open_to_all_warns_and_a_token_closes_it(consul: ConsulServer, tmp_path) -> None:  # type: ignore[no-untyped-def]
    secret = "s3cret-token-of-the-test"
    (tmp_path / "dfp_api_token").write_text(secret + "\n")
    env = {"SECRETS_PATH": str(tmp_path), "IP": "0.0.0.0"}
    with ProxyProcess(consul.address, env=env) as proxy:
        assert "event=open-api" not in proxy.log.read_text()
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": secret}):
            status, answer = proxy.call("GET", "reconfigure", {"serviceName": "x", "servicePath": "/x"}, headers)
            assert (status, answer["Status"]) == (401, "NOK")
            assert proxy.call("GET", "remove", {"serviceName": "x"}, headers).status == 401
        assert proxy.api("ping").status == 200
        good = {"Authorization": f"Bearer {secret}"}
        assert proxy.call("POST", "reconfigure", {"serviceName": "x", "servicePath": "/x"}, good).status == 200
        assert secret not in proxy.log.read_text()
    with ProxyProcess(consul.address, env={"IP": "0.0.0.0"}) as proxy:
        assert "event=open-api" in proxy.log.read_text()


def test_the_statistics_page_is_apart_and_its_password_in_no_file(consul: ConsulServer) -> None:
    proxy = ProxyProcess(consul.address)
    port = proxy.tls_port
    proxy.env |= {"STATS_PORT": f"{proxy.address}:{port}", "STATS_USER": "ops", "STATS_PASS": "pa'ss word#1"}
    with proxy:
        url = f"http://{proxy.address}:{port}/admin?stats"
        assert http_get(url).status == 401
        assert http_get(url, {"Authorization": "Basic b3BzOnBhJ3NzIHdvcmQjMQ=="}).status == 200
        assert proxy.get("/admin?stats").status == 503
        for file in proxy.configs_path.rglob("*"):
            if file.is_file():
                assert b"ss word#1" not in file.read_bytes()
                assert file.stat().st_mode & 0o077 == 0


def test_usage_errors_name_every_setting_and_exit_2(consul: ConsulServer) -> None:
    proxy = ProxyProcess(consul.address, env={"PORT": "80800", "DEFAULT_PORTS": "x:y", "CONSUL_ADDRESS": "ftp://h"})
    try:
        proxy.start()
        proxy.process.wait(10)
        assert proxy.process.returncode == 2
        text = proxy.log.read_text()
        assert all(name in text for name in ("PORT: ", "DEFAULT_PORTS: ", "CONSUL_ADDRESS: "))
    finally:
        proxy.close()


@pytest.mark.parametrize("text", ["", "\n", " \n"])
@pytest.mark.parametrize("how", ["API_TOKEN_FILE", "SECRETS_PATH"])
def test_an_empty_file_for_the_token_is_no_open_api(consul: ConsulServer, tmp_path: Path, how: str, text: str) -> None:
    file = tmp_path / "dfp_api_token"
    file.write_text(text)
    proxy = ProxyProcess(consul.address, env={how: str(file if how == "API_TOKEN_FILE" else tmp_path)})
    try:
        proxy.start()
        proxy.process.wait(10)
        assert proxy.process.returncode == 2
        assert f"API_TOKEN: {file} is empty" in proxy.log.read_text()
    finally:
        proxy.close()


def test_a_tls_port_is_bound_once_there_is_a_certificate(consul: ConsulServer, origins: dict[str, Origin]) -> None:
    import ssl
    import subprocess
    from urllib.request import Request, urlopen

    consul.register("x", origins["a"].host, origins["a"].port)
    proxy = ProxyProcess(consul.address, tls=True)
    with proxy:
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        (proxy.certs_path / "broken.pem").write_text("no certificate")
        assert http_get(f"http://{proxy.address}:{proxy.tls_port}/x").status == 0, "nothing listens there in the clear"
        key, cert = proxy.directory / "k.pem", proxy.directory / "c.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=acme.com", "-addext", "subjectAltName=DNS:acme.com",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        (proxy.certs_path / "acme.pem").write_text(cert.read_text() + key.read_text())
        context = ssl.create_default_context(cafile=str(cert))
        context.check_hostname = False

        def served() -> bool:
            request = Request(f"https://{proxy.address}:{proxy.tls_port}/x", headers={"Host": "acme.com"})
            with urlopen(request, timeout=5, context=context) as answer:
                return bool(answer.status == 200)

        wait_until(served, 8, "the certificate is served")

        def given() -> bytes:
            return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((proxy.address, proxy.tls_port)))

        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=renewed.acme.com", "-keyout", key, "-out", cert], check=True, capture_output=True)
        (proxy.certs_path / "acme.pem").write_text(cert.read_text() + key.read_text())
        wait_until(lambda: b"renewed.acme.com" in given(), 8, "renewed under the same name")
        # A name that HAProxy's list cannot hold ends no change.
        for name in ("my site.pem", "a[b].pem", "a#b.pem", "a\nb.pem"):
            (proxy.certs_path / name).write_text(cert.read_text() + key.read_text())
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x,/x2").status == 200
        threading.Event().wait(3)
        assert proxy.api("/ready").status == 200
        assert proxy.log.read_text().count("my site.pem") == 1, "told once"
        assert proxy.get("/x").status == 200


