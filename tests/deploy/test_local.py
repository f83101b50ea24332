"""The real parts themselves: each starts, does what its helper says, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from deploy import engine as engine_module
from deploy import go_demo
from deploy.local import (
    ROOT,
    ConsulServer,
    Container,
    free_ports,
    http_get,
    loopback_address,
    network,
    run,
    wait_until,
)


def test_wait_until_gives_the_value_and_names_the_last_one_when_it_fails() -> None:
    values = iter([0, 0, 7])
    assert wait_until(lambda: next(values), 5, "it is seven") == 7
    with pytest.raises(TimeoutError, match=r"still not so: pigs fly; last seen: \[\]"):
        wait_until(list, 0.02, "pigs fly")


def test_a_request_without_an_answer_is_status_zero() -> None:
    host = loopback_address()
    (port,) = free_ports(1, host)
    status, _, body = http_get(f"http://{host}:{port}/")
    assert status == 0
    assert "refused" in body


# --- processes -----------------------------------------------------------------------------------------------------


def test_a_process_is_ended_with_its_block_also_when_it_is_frozen() -> None:
    with run(["sleep", "1000"]) as process:
        process.signal(signal.SIGSTOP)
        assert process.running
    assert process.returncode == -signal.SIGTERM


def test_waiting_for_a_process_that_has_ended_fails_at_once_with_its_output() -> None:
    with (
        run(["sh", "-c", "echo no such luck; exit 3"]) as process,
        pytest.raises(RuntimeError, match=r"sh ended with 3(?s:.*)no such luck"),
    ):
        process.wait_until(lambda: False, 60)


def test_settings_of_the_developer_do_not_reach_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "elsewhere:8500")
    monkeypatch.setenv("PROXY_INSTANCE_NAME", "elsewhere")
    with run(["env"], env={"CONSUL_HTTP_TOKEN": "given"}) as process:
        assert process.wait() == 0
    assert "elsewhere" not in process.output()
    assert "CONSUL_HTTP_TOKEN=given" in process.output()


def test_children_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = (
        "import signal, sys, pathlib\n"
        "from deploy.local import run\n"
        "process = run(['sleep', '1000'], log=pathlib.Path(sys.argv[1] + '.log'))\n"
        "pathlib.Path(sys.argv[1]).write_text(str(process.pid))\n"
        "signal.pause()\n"
    )
    with run([sys.executable, "-c", script, str(note)]) as parent:
        pid = parent.wait_until(lambda: note.exists() and note.read_text(), 20, "the child runs")
        parent.kill()
    # Its entry stays until whoever adopted it has collected it; a zombie has no command line.
    gone = Path(f"/proc/{pid}/cmdline")
    wait_until(lambda: not gone.exists() or not gone.read_bytes(), 10, "the child has ended")


# --- Consul --------------------------------------------------------------------------------------------------------


def test_a_dev_consul_is_ready_quickly_and_forgets(consul: ConsulServer) -> None:
    assert consul.services() == {}
    consul.kv_put("docker-flow/go-demo/path", "/demo")
    consul.register("go-demo", "127.9.9.9", 8080, id="node-1:go-demo:8080", tags=["a"], meta={"k": "v"})
    (instance,) = wait_until(lambda: consul.instances("go-demo"), 5, "the instance is in the catalog")
    assert instance["Node"] == "proxy"
    assert (instance["ServiceAddress"], instance["ServicePort"], instance["ServiceMeta"]) == (
        "127.9.9.9",
        8080,
        {"k": "v"},
    )
    assert consul.kv() == {"docker-flow/go-demo/path": "/demo"}
    with pytest.raises(ValueError, match="no data to keep"):
        consul.restart()
    consul.restart(keep_data=False)
    assert consul.kv() == {}


def test_a_durable_consul_is_killed_and_comes_back_with_its_data(durable_consul: ConsulServer) -> None:
    consul = durable_consul
    address = consul.address
    consul.kv_put("a/b", "ä")
    consul.kill()
    assert consul.request("GET", "/v1/status/leader").status == 0
    consul.restart()
    assert consul.address == address
    assert consul.kv("a/") == {"a/b": "ä"}
    consul.restart(keep_data=False)
    assert consul.kv("a/") == {}


def test_a_frozen_consul_does_not_answer_until_thawed(consul: ConsulServer) -> None:
    consul.freeze()
    assert http_get(f"{consul.url}/v1/status/leader", timeout=0.3).status == 0
    consul.thaw()
    wait_until(lambda: consul.request("GET", "/v1/status/leader").status == 200, 10, "it answers again")


def test_a_consul_with_access_control_denies_without_the_token() -> None:
    acl = {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": "the-master-token"}}}
    with ConsulServer(config=acl, token="the-master-token") as consul:
        consul.kv_put("a", "b")
        assert consul.kv() == {"a": "b"}
        assert consul.request("GET", "/v1/kv/a", token="wrong").status == 403


def test_two_consuls_run_side_by_side(consul: ConsulServer) -> None:
    with ConsulServer(config='node_meta { rack = "7" }') as other:
        other.kv_put("only", "here")
        assert consul.kv() == {}
        assert other.get_json("/v1/agent/self")["Meta"]["rack"] == "7"


# --- containers ----------------------------------------------------------------------------------------------------


def test_go_demo_says_hello_and_names_its_instance(go_demo_image: str) -> None:
    with Container(env={"INSTANCE": "blue-1"}) as demo:
        status, headers, body = demo.get("/demo/hello")
        assert (status, headers["X-Instance"], body) == (200, "blue-1", "hello, world!\n")
        assert demo.instance == "blue-1"
        assert demo.get("/demo/person").status == 200
        assert demo.get("/demo/any/thing?x=1").status == 200
        assert demo.get("/demonstration").status == 404
        assert demo.get("/").status == 404
        assert demo.ip()
    assert demo.id


def test_go_demo_ends_at_once_when_it_is_told_to(go_demo_image: str) -> None:
    with Container() as demo:
        assert demo.get().headers["X-Instance"] == demo.instance
        demo.stop()
        state = demo.inspect()["State"]
        # 137 would be dockerd's kill after ten seconds of waiting.
        assert (state["Running"], state["ExitCode"]) == (False, 0)
        with pytest.raises(KeyError):
            demo.port()


def test_a_restarted_container_answers_on_the_port_it_then_has(go_demo_image: str) -> None:
    with Container() as demo:
        demo.restart()
        assert demo.get().status == 200


def test_containers_have_networks_labels_and_exposed_ports_of_choice(go_demo_image: str) -> None:
    labels = {"SERVICE_NAME": "other"}
    with network() as name, Container(network=name, labels=labels, exposed=["9000", "9000/udp"]) as demo:
        document = demo.inspect()
        assert document["Config"]["Labels"]["SERVICE_NAME"] == "other"
        assert {"8080/tcp", "9000/tcp", "9000/udp"} <= set(document["Config"]["ExposedPorts"])
        assert demo.ip(name)


def test_a_build_with_the_same_content_builds_nothing(engine: None) -> None:
    # Under a name of its own: another checkout may build the usual one at any time, with another content.
    mine = f"portbook/test-{secrets.token_hex(4)}"
    client = docker.from_env()
    try:
        go_demo.build(image=f"{mine}:first")
        before = client.api.inspect_image(f"{mine}:first")["Id"]
        go_demo.build(f"{mine}:second", image=f"{mine}:first")
        assert client.api.inspect_image(f"{mine}:first")["Id"] == before
        assert client.api.inspect_image(f"{mine}:second")["Id"] == before
    finally:
        for tag in ("first", "second"):
            with contextlib.suppress(ImageNotFound):
                client.api.remove_image(f"{mine}:{tag}", force=True)
        client.close()


# --- the engine ----------------------------------------------------------------------------------------------------


def test_another_user_of_the_engine_leaves_it_running_with_its_containers(go_demo_image: str) -> None:
    with Container() as demo:
        pid = engine_module.our_pid()
        command = [sys.executable, "-m", "deploy.engine", "run", "--", "docker", "inspect", demo.name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert engine_module.our_pid() == pid
        assert demo.get().status == 200


def test_the_exit_code_of_a_command_beside_the_engine_is_passed_on(engine: None) -> None:
    command = [sys.executable, "-m", "deploy.engine", "run", "--", "sh", "-c", "exit 7"]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_held_engine_is_held_until_the_command_has_ended(engine: None, number: int, tmp_path: Path) -> None:
    """A signal goes on to the command, and what it says at its end is the last thing that is said."""
    words = f"trap 'echo told; exit 3' {signal.Signals(number).name[3:]}; echo ready; while :; do sleep 0.05; done"
    command = [sys.executable, "-m", "deploy.engine", "run", "--", "sh", "-c", words]
    with run(command, log=tmp_path / "log") as holder:
        holder.wait_until(lambda: "ready" in holder.output(), 20, "the command runs")
        holder.signal(number)
        assert holder.wait(20) == 3
        assert holder.output() == "ready\ntold\n"
