"""What is asked of the engine."""

import re
import secrets
import subprocess
import sys

import docker
import pytest

from deploy.local import ROOT, Container, RegistrarProcess, child_environment, wait_until
from tests.registrar.socket_relay import SocketRelay

pytestmark = pytest.mark.usefixtures("go_demo_image")
# What a read-only socket proxy lets through that allows listing, inspecting, events, info and version.
ALLOWED = re.compile(rb"GET (?:/v[\d.]+)?/(?:containers/json|containers/[0-9a-f]+/json|events|info|version)(?:\?\S*)?")


class Listening(SocketRelay):
    """A relay that remembers what was asked."""

    def __init__(self, path):
        super().__init__(path)
        self.asked = []

    def _copy_up(self, client, engine):
        relay = self

        class Ear:
            def recv(self, size):
                data = client.recv(size)
                relay.asked.extend(line.rpartition(b" ")[0] for line in data.split(b"\r\n")
                                   if line.endswith(b" HTTP/1.1"))
                return data
        super()._copy_up(Ear(), engine)


def test_the_engine_is_only_asked_what_a_read_only_proxy_allows(consul, tmp_path):
    label = {"portbook.test": secrets.token_hex(6)}
    path = tmp_path / "docker.sock"
    with Listening(path) as relay:
        words = ["registrar", "-ip", "127.7.7.7", "--only-label", "=".join(*label.items()), "--health", "mirror",
                 "--reconcile-interval", "0.5", f"consul://{consul.address}"]
        with RegistrarProcess(consul.address, "n1", "127.7.7.7", *words[3:-1], http=True,
                              env={"DOCKER_HOST": f"unix://{path}"}).wait_ready(), \
                Container(labels=label, env={"SERVICE_NAME": "web"}) as web:
            wait_until(lambda: consul.instances("web"), 5)
            web.restart()
            wait_until(lambda: [i["ServicePort"] for i in consul.instances("web")] == [web.port()], 5)
            web.stop()
            wait_until(lambda: not consul.instances("web"), 5)
        subprocess.run([sys.executable, "-m", "registrar", "--once", *words[1:]], check=True, timeout=60, cwd=ROOT,
                       env=child_environment({"DOCKER_HOST": f"unix://{path}"}), capture_output=True)
    assert relay.asked and [line for line in relay.asked if not ALLOWED.fullmatch(line)] == []


def test_a_container_out_of_memory_is_said_and_counted(consul, tmp_path):
    client = docker.APIClient(version="auto", timeout=60)
    greedy = client.create_container(
        "portbook/go-demo:latest", entrypoint=["/bin/sh", "-c", "x=aaaaaaaa; while :; do x=$x$x; done"],
        host_config=client.create_host_config(mem_limit="6m", memswap_limit="6m"))["Id"]
    try:
        with RegistrarProcess(consul.address, "n1", "127.7.7.7", "--only-label", "none=such", http=True) as process:
            process.wait_ready()
            client.start(greedy)
            process.wait_until(lambda: f"event=event action=oom container={greedy[:12]}" in process.output(), 20)
            assert 'registrar_events_total{event="oom"}' in process.get("/metrics").body
    finally:
        client.remove_container(greedy, force=True)
        client.close()
