"""A second Docker engine for what must not happen to the one that others use: a swarm, a restart, a kill -9.

It has a network namespace of its own, so it has its own docker0 and its own published ports, and nothing it does to
iptables reaches the machine's. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from deploy import go_demo
from deploy.engine import listens
from deploy.process import Process
from deploy.waiting import wait_until

START_DEADLINE = 60.0
ADDRESS = "10.213.0.2"  # in its own network, for a swarm to be advertised at
PREFIX = "pb-engine"
OLDEST = "1.24"  # given, so that making a client asks nothing


class OwnEngine:
    """`with OwnEngine() as engine:` has a client of it at `engine.client` and its DOCKER_HOST at `engine.host`.

    `flags` are more of dockerd's own.
    """

    def __init__(self, *flags: str) -> None:
        _sweep()
        self._flags = flags
        self.name = f"{PREFIX}-{os.getpid()}-{secrets.token_hex(3)}"
        self.directory = Path(tempfile.gettempdir()) / self.name
        self.host = f"unix://{self.directory}/docker.sock"
        self.log = self.directory / "dockerd.log"
        self.process: Process | None = None
        self.client: Any = None

    def start(self) -> Self:
        """Starts it, on the data that it left if it ran before, and waits until it answers."""
        (self.directory / "daemon.json").write_text("{}\n")
        (self.directory / "pid").unlink(missing_ok=True)
        # A zombie that nobody reaps would be taken for a containerd that runs.
        (self.directory / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        self.process = Process(
            # Not `ip netns exec`, which hides the control groups.
            ["nsenter", f"--net=/var/run/netns/{self.name}", "dockerd",
             "--config-file", self.directory / "daemon.json", "--data-root", self.directory / "data",
             "--exec-root", self.directory / "exec", "--pidfile", self.directory / "pid", "--host", self.host,
             *self._flags],
            env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"}, log=self.log, name="dockerd")
        self.process.wait_until(self._answers, START_DEADLINE, "the second engine answers")
        self.client = docker.APIClient(base_url=self.host, version="auto", timeout=60)
        return self

    def stop(self) -> None:
        """Ends the engine as a service manager would, and with it its containers."""
        self._disconnect()
        if self.process is not None:
            self.process.stop(60)

    def kill(self) -> None:
        """kill -9 of dockerd, and so of its containerd; the containers run on until it starts again."""
        self._disconnect()
        if self.process is not None:
            child = (self.directory / "exec/containerd/containerd.pid").read_text()
            self.process.kill()
            wait_until(lambda: _has_ended(child), 20, "containerd has ended with its dockerd")

    def build(self) -> str:
        """Puts the go-demo image into it."""
        return go_demo.build(host=self.host)

    def __enter__(self) -> Self:
        try:
            self.directory.mkdir(mode=0o700)
            _run("ip", "netns", "add", self.name)
            for words in ("ip link set lo up", "ip link add eth0 type veth peer name eth1",
                          f"ip addr add {ADDRESS}/24 dev eth0", "ip link set eth0 up", "ip link set eth1 up"):
                _run("nsenter", f"--net=/var/run/netns/{self.name}", *words.split())
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        if self.client is not None:
            with contextlib.suppress(DockerException, RequestException):
                if self.client.info()["Swarm"]["LocalNodeState"] != "inactive":
                    self.client.leave_swarm(force=True)
                for container in self.client.containers(all=True, quiet=True):
                    self.client.remove_container(container["Id"], force=True, v=True)
        self.stop()
        _remove(self.name)

    def _answers(self) -> bool:
        if not listens(self.host.removeprefix("unix://")):
            return False  # the library would leave its socket unclosed
        client = docker.APIClient(base_url=self.host, version=OLDEST, timeout=5)
        try:
            return bool(client.ping())
        except (DockerException, RequestException):
            return False
        finally:
            client.close()

    def _disconnect(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None


def _has_ended(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _remove(name: str) -> None:
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    directory = Path(tempfile.gettempdir()) / name
    # Networks of a swarm leave theirs, and so does an engine that was killed.
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in reversed([mount for mount in mounts if mount.startswith(f"{directory}/")]):
        subprocess.run(["umount", "--lazy", path], capture_output=True, check=False)

    def gone() -> bool:
        shutil.rmtree(directory, ignore_errors=True)
        return not directory.exists()

    wait_until(gone, 20, f"{directory} can be removed")


def _sweep() -> None:
    """Removes what runs that were killed have left; their engines ended with them."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*-*"):
        owner = directory.name.split("-")[2]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            _remove(directory.name)
