"""What is asked of the engine, and tasks of its swarm mode."""

import contextlib
import fcntl
import re
import secrets
import subprocess
import sys

import docker
import pytest
from docker.errors import APIError

from deploy.local import ROOT, Container, RegistrarProcess, child_environment, free_port, wait_until
from registrar.advertise import guess
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


def test_a_swarm_task_with_a_port_of_its_host_is_registered_and_one_of_the_ingress_is_not(consul):
    label = {"portbook.test": secrets.token_hex(6)}
    client = docker.APIClient(version="auto", timeout=60)
    port, name = free_port(), f"pb-{secrets.token_hex(4)}"
    with open("/tmp/portbook-swarm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ours = client.info()["Swarm"]["LocalNodeState"] == "inactive"
        if ours:
            client.init_swarm(advertise_addr=guess(2) or "127.0.0.1", listen_addr=f"127.0.0.1:{free_port()}")
        try:
            spec = docker.types.ContainerSpec("portbook/go-demo:latest", env=["SERVICE_NAME=web"], labels=label)
            ports = docker.types.EndpointSpec(ports=[
                {"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": port, "PublishMode": "host"},
                {"Protocol": "tcp", "TargetPort": 9090, "PublishedPort": free_port(), "PublishMode": "ingress"}])
            service = client.create_service(docker.types.TaskTemplate(spec), name=name, endpoint_spec=ports)["ID"]
            try:
                key, value = next(iter(label.items()))
                with RegistrarProcess(consul.address, "n1", "127.7.7.7", "--only-label", f"{key}={value}",
                                      http=True).wait_ready() as registrar:
                    entry = wait_until(lambda: consul.instances("web"), 30)[0]
                    assert (entry["ServiceAddress"], entry["ServicePort"]) == ("127.7.7.7", port)
                    assert re.fullmatch(rf"n1:{name}\.1\.\w+:8080", entry["ServiceID"])
                    assert "9090" not in registrar.get("/containers").json()["register"]
                    client.remove_service(service)
                    service = ""
                    wait_until(lambda: not consul.instances("web"), 30)
            finally:
                if service:
                    client.remove_service(service)
        finally:
            if ours:
                client.leave_swarm(force=True)
                with contextlib.suppress(APIError):  # unless somebody else's container is on it
                    client.remove_network("docker_gwbridge")
            client.close()
