"""Consul and Docker failing in every way, the registrar beside them: afterwards the catalog is right again."""

import contextlib
import ctypes
import os
import secrets
import signal
import threading
import time

import pytest

from deploy.local import ConsulServer, Container, RegistrarProcess, free_port, loopback_address, wait_until
from tests.consul_gate import Gate
from tests.registrar.later import look_again
from tests.registrar.socket_relay import BadNews, SocketRelay

pytestmark = pytest.mark.usefixtures("go_demo_image")
WEB = {"SERVICE_NAME": "web"}


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags, **more):
    key, value = next(iter(label.items()))
    return RegistrarProcess(getattr(consul, "address", consul), "n1", "127.7.7.7", "--only-label", f"{key}={value}",
                            *flags, http=True, **more)


def ports(consul, service="web"):
    return sorted(i["ServicePort"] for i in consul.instances(service))


def unready(registrar, what=""):
    """The reasons why /ready answers 503, once `what` is among them."""
    reply = registrar.get("/ready")
    reasons = reply.json()["reasons"] if reply.status == 503 else {}
    return reasons if any(reason.startswith(what) for reason in reasons) else None


def test_consul_away_at_start_and_later_is_survived_and_ready_says_so(label):
    host = loopback_address()
    port = free_port(host)
    with Container(labels=label, env=WEB) as web, start(f"{host}:{port}", label) as registrar:
        wait_until(lambda: unready(registrar, "consul"), 10)
        assert registrar.get("/health").status == 200
        look_again(registrar, "failed", times=4)
        with ConsulServer(host=host, port=port) as consul:
            wait_until(lambda: ports(consul) == [web.port()], 4)
            registrar.wait_ready(5)
            consul.kill()
            web.restart()
            with Container(labels=label, env=WEB) as other:
                wait_until(lambda: unready(registrar, "consul"), 10)
                # A dev server remembers nothing: all of it comes back, with what happened meanwhile.
                consul.restart(keep_data=False)
                wait_until(lambda: ports(consul) == sorted([web.port(), other.port()]), 4)
        lines = registrar.output().splitlines()
        assert sum("event=trouble " in line and "what=consul" in line for line in lines) <= 4
        assert any("event=trouble-over" in line and "what=consul" in line for line in lines)


def test_a_consul_that_lost_its_data_between_two_passes_is_filled_again_at_the_next_one(label, consul):
    with start(consul, label, "--reconcile-interval", "1").wait_ready(), Container(labels=label, env=WEB) as web:
        wait_until(lambda: ports(consul) == [web.port()], 5)
        consul.restart(keep_data=False)
        wait_until(lambda: ports(consul) == [web.port()], 4)


def test_a_consul_that_kept_its_data_is_not_written_to(label, durable_consul):
    with Gate(durable_consul.address) as proxy, \
            start(proxy.address, label, "--reconcile-interval", "0.5").wait_ready() as registrar, \
            Container(labels=label, env=WEB) as web:
        wait_until(lambda: ports(durable_consul) == [web.port()], 5)
        writes = proxy.writes()
        durable_consul.restart()
        wait_until(lambda: ports(durable_consul) == [web.port()], 10)
        look_again(registrar, times=3)
        assert proxy.writes() == writes


@pytest.mark.parametrize("keep_data", [True, False], ids=["its data kept", "its data lost"])
def test_after_a_killed_consul_is_back_only_what_changed_is_written_and_the_rest_is_left_alone(
        label, durable_consul, keep_data):
    consul, taken = durable_consul, []
    consul.register("db", "10.9.9.9", 5432)
    consul.register("other", "10.9.9.9", 80, meta={"registrar-owner": "n9", "registrar-container": "x"})
    with Gate(consul.address) as gate, Container(labels=label, env=WEB) as moves, \
            Container(labels=label, env=WEB) as ends, Container(labels=label, env=WEB) as stays, \
            start(gate.address, label).wait_ready() as registrar:
        wait_until(lambda: len(ports(consul)) == 3, 5)
        for one in (moves, stays):
            consul.put(f"/v1/agent/service/maintenance/n1:{one.name}:8080?enable=true&reason=disk")
        before = gate.writes()
        consul.kill()
        gate.after = lambda method, path, status: method == "PUT" and status == 200 and taken.append(path)
        moves.restart()
        ends.kill()
        with Container(labels=label, env=WEB) as new:
            wait_until(lambda: unready(registrar, "consul"), 10)
            consul.restart(keep_data=keep_data)
            wait_until(lambda: ports(consul) == sorted(one.port() for one in (moves, stays, new)), 4)
            registrar.wait_ready(5)
            held = {c["CheckID"].split(":")[2] for c in consul.get_json("/v1/agent/checks").values()}
            strangers = [len(consul.instances(name)) for name in ("db", "other")]
            assert sum("/register" in path for path in taken) == (2 if keep_data else 3)
            assert sum("/deregister/" in path for path in taken) == (1 if keep_data else 0)
            assert held == ({moves.name, stays.name} if keep_data else set())
            assert strangers == ([1, 1] if keep_data else [0, 0])
            assert len(gate.writes()) <= len(before) + 12  # tried in vain: no more than there were changes


def test_an_unchanged_world_causes_no_write_whatever_the_interval(label, consul):
    with Container(labels=label, env=WEB | {"SERVICE_CHECK_TCP": "1", "SERVICE_TAGS": "b,a"}) as web, \
            Gate(consul.address) as proxy, \
            start(proxy.address, label, "--reconcile-interval", "0.2", "-resync", "1").wait_ready() as registrar:
        wait_until(lambda: ports(consul) == [web.port()], 5)
        assert len(proxy.writes()) == 1
        index = consul.instances("web")[0]["ModifyIndex"]
        reads = len(proxy.requests)
        wait_until(lambda: len(proxy.requests) > reads + 8, 10)
        assert len(proxy.writes()) == 1
        assert consul.instances("web")[0]["ModifyIndex"] == index
        assert registrar.output().count("event=pass ") == 1


def slowly(method, path):
    time.sleep(0.5)


SPOILT = {
    "answers 500": lambda method, path: (500, "rpc error: No cluster leader"),
    "answers 429": lambda method, path: (429, "Your IP is issuing too many requests"),
    "answers garbage": lambda method, path: (200, "<html>not json"),
    "is slow": slowly,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_consul_in_trouble_deregisters_nothing_and_is_caught_up_with(label, consul, spoil):
    with Gate(consul.address) as proxy, Container(labels=label, env=WEB) as web, \
            start(proxy.address, label, "--reconcile-interval", "0.5").wait_ready():
        wait_until(lambda: ports(consul) == [web.port()], 5)
        proxy.answer = spoil
        with Container(labels=label, env=WEB) as other:
            asked = len(proxy.requests)
            wait_until(lambda: len(proxy.requests) > asked + 2, 10)
            assert web.port() in ports(consul)
            proxy.answer = lambda method, path: None
            wait_until(lambda: ports(consul) == sorted([web.port(), other.port()]), 4)
            # One for each container, and what was tried meanwhile: at most one in half a second.
            assert len(proxy.writes()) <= 8
        wait_until(lambda: ports(consul) == [web.port()], 4)


def test_one_service_that_consul_refuses_does_not_hold_up_another_and_is_retried(label, consul):
    with Gate(consul.address) as proxy, start(proxy.address, label).wait_ready() as registrar:
        refused = []

        def spoil(method, path):
            if path.startswith("/v1/agent/service/register") and len(refused) < 3:
                refused.append(path)
                return (400, "Invalid service")
            return None

        proxy.answer = spoil
        with Container(labels=label, env=WEB) as web:
            wait_until(lambda: refused, 5)
            wait_until(lambda: unready(registrar, "write n1:"), 5)
            wait_until(lambda: ports(consul) == [web.port()], 10)
            registrar.wait_ready(5)
            assert len(refused) == 3


def test_a_token_that_is_refused_or_emptied_changes_nothing_and_a_rotated_file_is_read_again(label, tmp_path):
    config = {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": "root", "agent_master": "am"}}}
    with ConsulServer(config=config, token="root") as consul:
        narrow_rules = 'node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }'
        rules = narrow_rules + ' service_prefix "" { policy = "write" }'
        wait_until(lambda: consul.request("PUT", "/v1/acl/policy", {"Name": "r", "Rules": rules}).status == 200, 10)
        consul.put("/v1/acl/policy", {"Name": "narrow", "Rules": narrow_rules})

        def token(policy):
            reply = consul.request("PUT", "/v1/acl/token", {"Policies": [{"Name": policy}]})
            return reply.json()["SecretID"]

        good, narrow = token("r"), token("narrow")
        file = tmp_path / "token"
        file.write_text(good)
        env = {"CONSUL_HTTP_TOKEN_FILE": str(file)}
        with start(consul, label, "--reconcile-interval", "0.5", env=env) as registrar, \
                Container(labels=label, env=WEB) as web:
            wait_until(lambda: ports(consul) == [web.port()], 10)
            index = consul.instances("web")[0]["ModifyIndex"]
            for bad in (narrow, secrets.token_hex(8)):
                file.write_text(bad)  # the narrow one makes Consul answer 200 and {}
                wait_until(lambda: unready(registrar), 10)
                look_again(registrar, "failed")
                assert ports(consul) == [web.port()]
                file.write_text(good)
                registrar.wait_ready(10)
            assert consul.instances("web")[0]["ModifyIndex"] == index
            assert not any(secret in registrar.output() for secret in (good, narrow))


def test_many_containers_started_and_removed_in_a_burst_while_it_starts(label, consul):
    burst = [Container(labels=label, env=WEB) for _ in range(10)]
    for one in burst:
        one._waits = False
    try:
        for one in burst[:3]:
            one.start()
        with start(consul, label, "--reconcile-interval", "60") as registrar:
            for one in burst[3:]:
                one.start()
            for one in burst[::2]:
                one.remove()
            registrar.wait_ready()
            wait_until(lambda: ports(consul) == sorted(one.port() for one in burst[1::2]), 5)
            for one in burst:
                one.remove()
            wait_until(lambda: ports(consul) == [], 5)
    finally:
        for one in burst:
            one.close()


def test_an_engine_that_cannot_be_reached_is_waited_for_and_keeps_what_is_registered(label, consul, tmp_path):
    """The engine's socket comes late, goes away and comes back: a relay stands before it, as others use the engine."""
    relay = tmp_path / "docker.sock"
    env = {"DOCKER_HOST": f"unix://{relay}"}
    with start(consul, label, "--reconcile-interval", "1", env=env) as registrar, \
            Container(labels=label, env=WEB) as web:
        reasons = wait_until(lambda: unready(registrar, "docker"), 10)
        assert "no such socket" in reasons["docker"]
        with SocketRelay(relay) as first:
            wait_until(lambda: ports(consul) == [web.port()], 6)
            registrar.wait_ready(5)
            first.cut()
            wait_until(lambda: unready(registrar), 5)
            look_again(registrar, "failed")
            assert ports(consul) == [web.port()]
            web.restart()
        with SocketRelay(relay) as second:
            wait_until(lambda: ports(consul) == [web.port()], 6)
            # A stream that hangs says nothing, and nothing says that it hangs: the next pass notices what happened.
            second.mute_streams()
            web.restart()
            wait_until(lambda: ports(consul) == [web.port()], 6)


def test_events_that_come_late_some_twice_and_in_any_order_lead_to_the_same_catalog(label, consul, tmp_path):
    relay, containers = tmp_path / "docker.sock", [Container(labels=label, env=WEB) for _ in range(6)]
    try:
        with BadNews(relay) as news, start(consul, label, "--reconcile-interval", "60",
                                           env={"DOCKER_HOST": f"unix://{relay}"}).wait_ready():
            first, second, third, fourth, fifth = (one.start() for one in containers[:5])
            first.restart()
            second.kill()
            third.rename(f"renamed-{third.name}")
            fourth.pause()
            fourth.unpause()
            fifth.kill()
            fifth.start()

            alive = [first, third, fourth, fifth]

            def right():
                found = {i["ServiceID"].split(":")[1]: i["ServicePort"] for i in consul.instances("web")}
                return found == {one.name: one.port() for one in alive}

            wait_until(right, 10)
            # When all has been told, of an end before the last start too, it is right still.
            news.told()
            alive.append(containers[5].start())
            wait_until(right, 10)
            wait_until(lambda: len(consul.get_json("/v1/health/service/web?passing")) == 5, 10)
            for one in containers:
                one.remove()
            wait_until(lambda: not consul.instances("web"), 10)
    finally:
        for one in containers:
            one.close()


def test_a_frozen_consul_does_not_keep_it_from_ending_at_once(label, consul):
    with Gate(consul.address) as gate, \
            start(gate.address, label, "--reconcile-interval", "0.3").wait_ready() as registrar:
        consul.freeze()
        asked = len(gate.requests)
        wait_until(lambda: len(gate.requests) > asked, 10)
        began = time.monotonic()
        registrar.signal(signal.SIGTERM)
        assert registrar.wait(5) == 0 and time.monotonic() - began < 5
        consul.thaw()


def test_a_consul_that_freezes_during_a_burst_does_not_keep_it_from_ending_at_once(label, consul):
    held = threading.Event()

    def hold(method, path):
        if method == "PUT":
            held.wait(60)

    with contextlib.ExitStack() as stack, Gate(consul.address) as gate:
        stack.callback(held.set)
        gate.before = hold
        for _ in range(6):
            stack.enter_context(Container(labels=label, env=WEB))
        registrar = stack.enter_context(start(gate, label))
        wait_until(lambda: len(gate.writes()) > 1, 10, "more than one write is held")
        registrar.signal(signal.SIGTERM)
        assert registrar.wait(5) == 0


def test_a_signal_ends_it_whichever_thread_the_kernel_gives_it_to(label, consul):
    with start(consul, label).wait_ready() as registrar:
        threads = [int(name) for name in os.listdir(f"/proc/{registrar.pid}/task")]
        other = next(thread for thread in sorted(threads, reverse=True) if thread != registrar.pid)
        assert ctypes.CDLL(None).tgkill(registrar.pid, other, signal.SIGTERM) == 0
        assert registrar.wait(5) == 0


def test_an_agent_that_has_lost_a_service_gets_it_again_with_the_next_heartbeat_whatever_its_version(consul, label):
    key, value = next(iter(label.items()))
    with Gate(consul.address) as gate, Container(labels=label, env=WEB | {"SERVICE_CHECK_TTL": "2s"}) as web:
        # Consul 1.8 says 500 to such a heartbeat, as the gate does not change; later ones say 404.
        gate.answer = lambda method, path: (404, f'Unknown check ID "service:n1:{web.name}:8080"') \
            if "/check/update/" in path and not consul.instances("web") else None
        with RegistrarProcess(gate.address, "n1", "127.7.7.7", "--only-label", f"{key}={value}",
                              "--reconcile-interval", "3600", http=True) as registrar:
            registrar.wait_ready()
            wait_until(lambda: consul.instances("web"), 10)
            for _ in range(2):
                consul.put(f"/v1/agent/service/deregister/n1:{web.name}:8080")
                wait_until(lambda: consul.instances("web"), 20)
                gate.answer = lambda method, path: None
