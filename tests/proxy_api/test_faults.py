"""Consul away, hung, emptied or denying; a disk that is full; kill -9 at every step of a change."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from deploy.local import Answer, ConsulServer, ProxyProcess, wait_until
from deploy.origin import Origin
from tests.consul_gate import Gate, Held
from tests.instances import add
from tests.stored import stored


def test_consul_started_ten_seconds_after_the_proxy(a: Origin) -> None:
    consul = ConsulServer()
    proxy = ProxyProcess(consul.address)
    try:
        proxy.start().wait_api()
        # Ten seconds of an absent Consul: every look at /ready says why, and a change is refused.
        for _ in range(10):
            status, answer = proxy.api("/ready")
            assert status == 503
            assert any(why in answer["Message"] for why in ("connection refused", "not been asked", "being started"))
            status, answer = proxy.api("reconfigure", serviceName="x", servicePath="/x")
            assert (status, answer["Status"]) == (503, "NOK")
            threading.Event().wait(1.0)
        assert proxy.get("/").status == 503
        consul.start()
        proxy.wait_ready(4)
        add(consul, "x", a)
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x").status == 200
        assert proxy.instances("/x") == {"a"}
    finally:
        proxy.close()
        consul.close()


def test_consul_away_later_serves_on_refuses_changes_and_converges_after(a: Origin, b: Origin) -> None:
    with ConsulServer(dev=False) as consul, ProxyProcess(consul.address) as proxy:
        add(consul, "x", a)
        proxy.api("reconfigure", serviceName="x", servicePath="/x", follow="all")
        consul.kill()
        status, answer = proxy.api("reconfigure", serviceName="x", servicePath="/y")
        assert status == 503
        assert "connection refused" in answer["Message"]
        assert proxy.instances("/x") == {"a"}
        ready = proxy.api("/ready")
        assert ready.status == 200, "what was recovered is still served"
        assert any("Consul cannot be used" in d for d in ready.json["Detail"])
        consul.start()
        add(consul, "x", b)
        wait_until(lambda: proxy.instances("/x") == {"a", "b"}, 4, "it follows again")
        wait_until(lambda: proxy.api("/ready").json["Detail"] == [], 4, "the trouble is over")


def test_a_start_without_consul_serves_the_last_good_configuration_from_disk(a: Origin) -> None:
    with ConsulServer(dev=False) as consul:
        proxy = ProxyProcess(consul.address)
        with proxy:
            add(consul, "x", a)
            proxy.api("reconfigure", serviceName="x", servicePath="/x")
            consul.kill()
            proxy.kill9()
            proxy.start().wait_api()
            wait_until(lambda: proxy.instances("/x") == {"a"}, 5, "the disk's configuration is served")
            status, answer = wait_until(
                lambda: "disk" in (r := proxy.api("/ready")).json["Message"] and r, 5, "/ready says what is served")
            assert status == 503
            assert "last good configuration from disk" in answer["Message"]
            consul.start()
            proxy.wait_ready(5)
            assert proxy.instances("/x") == {"a"}


@pytest.mark.parametrize(("torn", "how"), [(1, "cut off"), (2, "cut off"), (1, "gone")])
def test_a_configuration_that_a_loss_of_power_left_unfinished_is_not_started(a: Origin, torn: int, how: str) -> None:
    with ConsulServer(dev=False) as consul, ProxyProcess(consul.address) as proxy:
        for name in ("x", "y"):
            add(consul, name, a)
            assert proxy.api("reconfigure", serviceName=name, servicePath=f"/{name}").status == 200
        proxy.kill9()
        consul.kill()
        kept = sorted((proxy.configs_path / "config").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for directory in kept[:torn]:
            if how == "gone":
                shutil.rmtree(directory)
                continue
            (directory / "haproxy.cfg").write_text((directory / "haproxy.cfg").read_text()[:-40])
        proxy.start().wait_api()
        wait_until(lambda: proxy.get("/x").status == (200 if torn < len(kept) else 503), 10, "the last whole one")
        assert proxy.get("/y").status == 503
        consul.start()
        proxy.wait_ready(30)
        assert proxy.instances("/y") == proxy.instances("/x") == {"a"}


def test_a_hung_consul_blocks_neither_traffic_nor_the_probes(consul: ConsulServer, a: Origin) -> None:
    with ProxyProcess(consul.address) as proxy, ThreadPoolExecutor(1) as pool:
        add(consul, "x", a)
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        consul.freeze()
        try:
            pending = pool.submit(proxy.api, "reconfigure", serviceName="x", servicePath="/y")
            for _ in range(5):
                assert proxy.api("ping").status == 200
                assert proxy.instances("/x", requests=3) == {"a"}
            status, answer = pending.result(60)
            assert (status, answer["Status"]) == (503, "NOK")
        finally:
            consul.thaw()
        wait_until(lambda: proxy.api("reconfigure", serviceName="x", servicePath="/y").status == 200, 20,
                   "changes are taken again")


def test_a_consul_that_lost_its_data_gets_the_records_back(a: Origin) -> None:
    with ConsulServer() as consul, ProxyProcess(consul.address) as proxy:
        add(consul, "x", a)
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        consul.restart(keep_data=False)
        wait_until(lambda: "docker-flow/x/route" in stored(consul), 5, "the record is written again")
        assert proxy.instances("/x") == {"a"}, "an emptied catalog does not empty the backend at once"
        add(consul, "x", a)
        wait_until(lambda: proxy.api("/ready").json["Detail"] == [], 5, "and all is well")
        assert proxy.instances("/x") == {"a"}


ACL = {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": "root-secret"}}}


def new_token(consul: ConsulServer, rules: str) -> str:
    policy = consul.request("PUT", "/v1/acl/policy", {"Name": f"p{abs(hash(rules))}", "Rules": rules})
    assert policy.status == 200, policy.body
    made = consul.request("PUT", "/v1/acl/token", {"Policies": [{"ID": policy.json()["ID"]}]})
    assert made.status == 200, made.body
    return str(made.json()["SecretID"])


def test_a_token_that_may_not_read_is_denied_not_empty(a: Origin) -> None:
    with ConsulServer(config=ACL, token="root-secret") as consul:
        consul.register("x", a.host, a.port, meta={"registrar-container": "c"})
        good = new_token(consul, 'key_prefix "docker-flow/" {policy="write"} service_prefix "" {policy="read"} '
                              'node_prefix "" {policy="read"}')
        kv_only = new_token(consul, 'key_prefix "docker-flow/" {policy="write"}')
        nothing = new_token(consul, 'key_prefix "elsewhere/" {policy="write"}')
        with ProxyProcess(consul.address, env={"CONSUL_HTTP_TOKEN": good}) as proxy:
            assert proxy.api("reconfigure", serviceName="x", servicePath="/x").status == 200
            for token in (kv_only, nothing):
                other = ProxyProcess(consul.address, env={"CONSUL_HTTP_TOKEN": token})
                try:
                    other.start().wait_api()
                    status, answer = wait_until(
                        lambda other=other: any(w in (r := other.api("/ready")).json["Message"]
                                                for w in ("the token may not", "Permission denied")) and r,
                        10, "the reason names the refusal")
                    assert status == 503
                    assert token not in answer["Message"]
                    assert token not in other.log.read_text()
                finally:
                    other.close()
            assert proxy.instances("/x") == {"a"}


def test_a_token_file_is_read_again_when_it_changes(a: Origin, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with ConsulServer(config=ACL, token="root-secret") as consul:
        consul.register("x", a.host, a.port, meta={"registrar-container": "c"})
        file = tmp_path / "token"
        file.write_text("not-a-token")
        proxy = ProxyProcess(consul.address, env={"CONSUL_HTTP_TOKEN_FILE": str(file)})
        try:
            proxy.start().wait_api()
            wait_until(lambda: "ACL not found" in proxy.api("/ready").json["Message"], 10, "it is refused")
            file.write_text("root-secret\n")
            proxy.wait_ready(5)
        finally:
            proxy.close()


def test_a_record_written_by_others_that_cannot_be_served_hurts_nobody(consul: ConsulServer, a: Origin) -> None:
    with ProxyProcess(consul.address) as proxy:
        add(consul, "x", a)
        add(consul, "y", a)
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        proxy.api("reconfigure", serviceName="y", servicePath="/y")
        good = stored(consul)["docker-flow/y/route"]
        consul.kv_put("docker-flow/y/route", good.replace('"path_type":""', '"path_type":"path_reg"')
                      .replace('"/y"', '"^/(y"'))
        wait_until(lambda: any(d.startswith("y: ") for d in proxy.api("/ready").json["Detail"]), 5, "it is reported")
        assert proxy.instances("/y") == {"a"}, "the last good release of it goes on"
        consul.kv_put("docker-flow/z/route", "no json")
        wait_until(lambda: any(d.startswith("z: ") for d in proxy.api("/ready").json["Detail"]), 5, "it is reported")
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x2").status == 200
        proxy.kill9()
        proxy.wipe()
        proxy.start().wait_ready()
        assert proxy.instances("/x2") == {"a"}, "recovery leaves the bad ones out, not the good ones"
        assert proxy.get("/y").status == 503
        assert proxy.api("reconfigure", serviceName="z", servicePath="/z").status == 200
        assert proxy.api("reconfigure", serviceName="y", servicePath="/y").status == 200


class Killer:
    """Kills a proxy, or those of its processes that are named, when its transaction reaches the gate, once."""

    def __init__(self, proxy: ProxyProcess, *names: str) -> None:
        self.proxy, self.names, self.done = proxy, names, threading.Event()

    def before_commit(self, method: str, path: str) -> None:
        if path == "/v1/txn" and not self.done.is_set():
            self._kill()

    def after_commit(self, method: str, path: str, status: int) -> None:
        if path == "/v1/txn" and not self.done.is_set():
            self._kill()

    def _kill(self) -> None:
        if self.names:
            for pid in self.proxy.named(*self.names):
                os.kill(pid, signal.SIGKILL)
        else:
            self.proxy.kill9()
        self.done.set()
        raise Held


@pytest.mark.parametrize("step", ["before_commit", "after_commit"])
def test_a_call_whose_writer_dies_is_told_so_and_the_next_one_goes_on_from_consul(
        consul: ConsulServer, a: Origin, b: Origin, step: str) -> None:
    add(consul, "x", a)
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as proxy:
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        add(consul, "x", b)
        killer = Killer(proxy, "writer")
        if step == "before_commit":
            gate.before = killer.before_commit
        else:
            gate.after = killer.after_commit
        answer = proxy.api("reconfigure", serviceName="x", servicePath="/x")
        assert (answer.status, answer.json["Message"]) == (
            503, "the writer ended meanwhile; what became of the change shows in the state")
        proxy.wait_ready()
        assert proxy.instances("/x") == ({"a"} if step == "before_commit" else {"a", "b"})
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x").status == 200
        assert proxy.instances("/x") == {"a", "b"}


@pytest.mark.parametrize(("step", "expected"), [("before_commit", "old"), ("after_commit", "new")])
@pytest.mark.parametrize("wiped", [False, True])
def test_kill_9_around_the_commit_leaves_old_or_new(
        consul: ConsulServer, a: Origin, b: Origin, step: str, expected: str, wiped: bool) -> None:
    add(consul, "x", a)
    add(consul, "y-green", b)
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as proxy:
        proxy.api("reconfigure", serviceName="x", servicePath="/old")
        add(consul, "x", b)
        killer = Killer(proxy)
        if step == "before_commit":
            gate.before = killer.before_commit
        else:
            gate.after = killer.after_commit
        # The API may outlive the writer by long enough to say what has happened.
        told = proxy.api("reconfigure", serviceName="x", servicePath="/new").status
        assert told in (0, 503), "nobody was told of success"
        assert killer.done.wait(10)
        if wiped:
            proxy.wipe()
        proxy.start().wait_ready()
        seen = proxy.instances("/old"), proxy.instances("/new")
        assert seen == ({"a"}, set()) if expected == "old" else seen == (set(), {"a", "b"})
        path = stored(consul)["docker-flow/x/path"]
        assert path == f"/{expected}", "record and the keys of 2016 agree"


@pytest.mark.parametrize("wiped", [False, True])
def test_kill_9_after_the_change_is_applied_leaves_the_new(consul: ConsulServer, a: Origin, wiped: bool) -> None:
    add(consul, "x", a)
    with ProxyProcess(consul.address) as proxy, ThreadPoolExecutor(1) as pool:
        proxy.api("reconfigure", serviceName="x", servicePath="/old")
        pending = pool.submit(proxy.api, "reconfigure", serviceName="x", servicePath="/new")
        wait_until(lambda: proxy.get("/new").status == 200, 10, "HAProxy serves the change")
        proxy.kill9()
        pending.result(10)  # answered or not: both are the truth
        if wiped:
            proxy.wipe()
        proxy.start().wait_ready()
        assert (proxy.instances("/old"), proxy.instances("/new")) == (set(), {"a"})


def test_kill_9_after_the_answer_loses_nothing(consul: ConsulServer, a: Origin) -> None:
    with ProxyProcess(consul.address) as proxy:
        add(consul, "x", a)
        for n in range(5):
            assert proxy.api("reconfigure", serviceName="x", servicePath=f"/{n}").status == 200
            proxy.kill9()
            proxy.wipe()
            proxy.start().wait_ready()
            assert [proxy.get(f"/{k}").status for k in range(n + 1)] == [503] * n + [200]


def test_a_lost_answer_to_the_commit_is_looked_up(consul: ConsulServer, a: Origin) -> None:
    """Consul commits and the connection breaks: the caller is told the truth, which is that it holds."""
    add(consul, "x", a)
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as proxy:
        lost = threading.Event()

        def lose(method: str, path: str, status: int) -> None:
            if path == "/v1/txn" and not lost.is_set():
                lost.set()
                raise Held

        gate.after = lose
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x").status == 200
        assert lost.is_set()
        assert proxy.instances("/x") == {"a"}


@pytest.mark.parametrize(
    ("status", "body"), [(500, "No cluster leader"), (429, "slow down"), (200, "<html>"), (403, "")])
def test_a_consul_that_answers_nonsense_changes_nothing(
        consul: ConsulServer, a: Origin, status: int, body: str) -> None:
    add(consul, "x", a)
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as proxy:
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x").status == 200
        gate.answer = lambda method, path: (status, body)
        seen = proxy.api("reconfigure", serviceName="x", servicePath="/y")
        assert seen.status == 503
        assert proxy.instances("/x") == {"a"}
        gate.answer = lambda method, path: None
        wait_until(lambda: proxy.api("reconfigure", serviceName="x", servicePath="/y").status == 200, 10,
                   "it works again")


def test_a_lost_race_is_run_again(consul: ConsulServer, a: Origin) -> None:
    """Another replica commits between our read and our write."""
    add(consul, "x", a)
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as one, ProxyProcess(consul.address) as two:
        one.api("reconfigure", serviceName="x", servicePath="/first")
        raced: list[Future[Answer]] = []

        def race(method: str, path: str) -> None:
            if path == "/v1/txn" and not raced:
                with ThreadPoolExecutor(1) as pool:
                    raced.append(pool.submit(two.api, "reconfigure", serviceName="x", servicePath="/two"))

        gate.before = race
        assert one.api("reconfigure", serviceName="x", servicePath="/one").status == 200
        assert raced[0].result().status == 200
        assert one.instances("/one") == {"a"}
        wait_until(lambda: two.instances("/one") == {"a"}, 5, "both end with the later one")
        assert two.get("/two").status == 503
