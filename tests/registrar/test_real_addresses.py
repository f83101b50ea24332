"""Reference (d) on the real engine: every row that it can produce here, seen in a real Consul after one pass."""

import contextlib
import secrets
import socket
import subprocess
import sys
from datetime import UTC, datetime

import docker
import pytest

from deploy.local import ROOT, Container, child_environment, free_port, network, wait_until
from registrar.network.node_addresses import guess

pytestmark = pytest.mark.usefixtures("go_demo_image")
NODE_IP = "127.7.7.7"
RUN = secrets.token_hex(4)
IMAGE = "portbook/go-demo:latest"
LABEL = {"portbook.test": RUN}


def registrar(consul, *flags):
    """One pass over the containers of this file; its exit status and output."""
    words = [sys.executable, "-m", "registrar", "--node-id", "n1", "-ip", NODE_IP, *flags,
             "--only-label", f"portbook.test={RUN}", f"consul://{consul.address}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=ROOT, env=child_environment())
    return done.returncode, done.stdout + done.stderr


def registered(consul, name):
    """exposed port -> address:port, of the agent's services for a container."""
    found = consul.get_json("/v1/agent/services")
    return {key.removeprefix(f"n1:{name}:"): f"{s['Address']}:{s['Port']}" for key, s in found.items()
            if key.startswith(f"n1:{name}:")}


@contextlib.contextmanager
def raw_container(name, host_config, **config):
    """A container as the API makes it, for what the SDK refuses to ask."""
    client = docker.APIClient(version="auto")
    made = client.create_container_from_config(
        {"Image": IMAGE, "Labels": LABEL, "HostConfig": host_config, **config}, name=name)["Id"]
    try:
        client.start(made)
        yield client.inspect_container(made)
    finally:
        client.remove_container(made, force=True)
        client.close()


def free_run(count):
    """So many free ports one after the other; the first of them."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("0.0.0.0", port)))
            return first


def between_restarts(document):
    """Restarting, and for six seconds more: the engine doubles the pause, from 100 ms, after each restart."""
    ended = datetime.fromisoformat(document["State"]["FinishedAt"][:19] + "+00:00")
    pause = 0.1 * 2 ** document["RestartCount"]
    return document["State"]["Restarting"] and pause - (datetime.now(UTC) - ended).total_seconds() > 6


@pytest.fixture(scope="module")
def rows(go_demo_image, module_consul):
    """All containers at once, one pass in each mode: what is registered, and what a dry run says."""
    eth0 = guess(2) or "172.17.0.1"  # an address of this machine that is not loopback
    six = guess(10)
    ports = {key: free_port() for key in ("lo", "all", "own", "six", "sixown", "host")}
    client = docker.APIClient(version="auto")
    names = {}
    inner = f"pb-in-{RUN}"
    client.create_network(inner, internal=True)
    with contextlib.ExitStack() as stack:
        stack.callback(client.close)
        stack.callback(client.remove_network, inner)
        mine = stack.enter_context(network())

        def run(key, waits=False, **changes):
            one = Container(name=f"{key}-{RUN}", labels=LABEL | changes.pop("labels", {}), **changes)
            one._waits = waits and one._waits
            names[key] = stack.enter_context(one)
            return one

        # First of all, so that the pause between its restarts has grown to seconds when we look.
        loop = stack.enter_context(raw_container(
            f"loop-{RUN}", {"NetworkMode": "host", "RestartPolicy": {"Name": "always"}},
            Entrypoint=["/bin/sh", "-c", "exit 1"], Env=["SERVICE_8080_NAME=loop"]))["Id"]
        run("plain")
        run("exposed", ports={})
        run("mynet", network=mine)
        run("none", network="none")
        run("inner", network=inner, ports={8080: None})
        run("loopback", ports={8080: ("127.0.0.1", ports["lo"])})
        run("many", ports={8080: [("127.0.0.1", ports["lo"] + 1), ports["all"], (eth0, ports["own"])]})
        run("six", ports={8080: ("::", ports["six"])})
        run("udp", ports={"53/udp": None, 53: None})
        first = free_run(3)
        run("range", ports={7000 + n: first + n for n in range(3)}, env={
            "SERVICE_7000-7002_NAME": "span", "SERVICE_7001_NAME": "middle", "SERVICE_7002-7002_TCP_IGNORE": "true"})
        ports["range"] = first
        if six:
            run("sixown", ports={8080: (six, ports["sixown"])})
        run("named", ports={}, env={"SERVICE_PORT": "9000", "SERVICE_IP": "10.1.2.3", "SERVICE_8080_IGNORE": "1"})
        run("hostbare", network="host", env={"PORT": str(free_port())})
        run("hostasked", network="host", env={"PORT": str(free_port()), "SERVICE_9999_NAME": "asked"},
            exposed=["9999", "8888"])
        pod = run("pod", waits=True)
        run("joined", network=f"container:{pod.name}", ports={}, env={"PORT": "9000"})
        run("lonely", network=f"container:{names['exposed'].name}", ports={}, env={"PORT": "9000"})
        stopped = run("stopped")
        stopped.kill()
        run("restarting", image=go_demo_image, command=["x"])
        two = run("two", ports={}, network=mine)
        client.connect_container_to_network(two.id, "bridge")
        run("chosen", ports={}, network=mine, labels={"SERVICE_NETWORK": mine})
        client.connect_container_to_network(names["chosen"].id, "bridge")
        stack.enter_context(raw_container(
            f"published-{RUN}", {"NetworkMode": "host", "PortBindings": {"18401/tcp": [{"HostPort": "18400"}]}},
            ExposedPorts={"18401/tcp": {}}, Env=[f"PORT={free_port()}"]))
        image_id = client.inspect_image(IMAGE)["Id"]
        run("byid", image=image_id, ports={8080: None})
        wait_until(lambda: between_restarts(client.inspect_container(loop)), 60)
        status, said = registrar(module_consul, "--once")
        assert status == 0, said
        outside = {key: registered(module_consul, f"{key}-{RUN}") for key in [*names, "published", "loop"]}
        _, dry = registrar(module_consul, "--dry-run")
        status, said = registrar(module_consul, "--once", "-internal")
        assert status == 0, said
        inside = {key: registered(module_consul, f"{key}-{RUN}") for key in [*names, "published", "loop"]}
        yield {"outside": outside, "inside": inside, "dry": dry, "names": names, "ports": ports, "mine": mine,
               "inner": inner, "own": eth0, "consul": module_consul}


def expect(rows, key):
    """What a container has to be registered as, with the ports that the engine really gave it."""
    c, ports = rows["names"].get(key), rows["ports"]
    at_node = {"8080": f"{NODE_IP}:{c.port()}"} if key in ("plain", "mynet", "pod", "byid") else {}
    return {
        "many": {"8080": f"{rows['own']}:{ports['own']}"},
        "six": {"8080": f"{guess(10)}:{ports['six']}"} if guess(10) else {},
        "udp": {"53": f"{NODE_IP}:{c.port(53)}", "53:udp": f"{NODE_IP}:{c.port('53/udp')}"} if key == "udp" else {},
        "hostasked": {"9999": f"{NODE_IP}:9999"},
        "sixown": {"8080": f"{guess(10)}:{ports['sixown']}"} if guess(10) else {},
        "range": {f"{7000 + n}": f"{NODE_IP}:{ports['range'] + n}" for n in range(2)},
        "named": {"9000": "10.1.2.3:9000"},
        "published": {"18401": f"{NODE_IP}:18401"},
        "joined": {"8080": f"{NODE_IP}:{rows['names']['pod'].port()}"},
    }.get(key, at_node)


@pytest.mark.parametrize("key", [
    "plain", "exposed", "mynet", "none", "inner", "loopback", "many", "six", "sixown", "range", "named",
    "udp", "hostbare", "hostasked", "published", "pod", "joined", "lonely", "stopped", "loop", "two", "byid"])
def test_published_mode(rows, key):
    assert rows["outside"].get(key, {}) == expect(rows, key)


@pytest.mark.parametrize("key", ["plain", "exposed", "mynet", "inner", "pod", "joined", "chosen"])
def test_internal_mode_registers_the_containers_own_address(rows, key):
    names = rows["names"]
    address = {"inner": lambda: names[key].ip(rows["inner"]), "chosen": lambda: names[key].ip(rows["mine"]),
               "joined": lambda: names["pod"].ip()}.get(key, lambda: names[key].ip())()
    assert rows["inside"][key] == {"8080": f"{address}:8080"}


@pytest.mark.parametrize("key", ["none", "two", "stopped", "hostbare"])
def test_internal_mode_guesses_nothing(rows, key):
    assert rows["inside"][key] == {}


def test_a_container_that_was_started_by_an_image_id_is_named_after_the_image(rows):
    assert any(i["ServiceID"] == f"n1:byid-{RUN}:8080" for i in rows["consul"].instances("go-demo"))


def test_keys_for_ranges_and_single_ports_of_one_container(rows):
    names = {s["ServiceID"].rpartition(":")[2]: s["ServiceName"] for name in ("span-7000", "middle", "go-demo-7002")
             for s in rows["consul"].instances(name) if f":range-{RUN}:" in s["ServiceID"]}
    assert names == {"7000": "span-7000", "7001": "middle"}


def test_one_family_only(rows):
    _, said = registrar(rows["consul"], "--dry-run", "--family", "ipv4")
    assert f"n1:plain-{RUN}:8080" in said
    line = next(line for line in said.splitlines() if f" six-{RUN} " in line)
    assert line.startswith("skip") and ("--family ipv4 is set" in line or "no IPv6 address" in line)


@pytest.mark.parametrize(("key", "why"), [
    ("exposed", "exposed but not published"),
    ("none", "the container has no network"),
    ("inner", "the engine binds no host port"),
    ("loopback", "published on loopback only"),
    ("hostbare", "host networking: only exposed"),
    ("lonely", "does not publish it"),
])
def test_a_dry_run_says_why_a_port_is_not_registered(rows, key, why):
    line = next(line for line in rows["dry"].splitlines() if f" {key}-{RUN} " in line)
    assert line.startswith("skip") and why in line
