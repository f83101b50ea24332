"""The second engine: apart from the first one, and gone without a trace."""

import subprocess
from pathlib import Path

import docker

from deploy.own_engine import OwnEngine


def test_it_has_a_network_of_its_own_survives_a_kill_and_leaves_nothing(engine):
    first = docker.APIClient(version="auto")
    try:
        before = {n["Id"] for n in first.networks()}
        with OwnEngine() as own:
            image = own.build()
            made = own.client.create_container(image, name="only-here")["Id"]
            own.client.start(made)
            assert made not in {c["Id"] for c in first.containers(all=True)}
            own.kill()
            own.start()
            assert [c["Id"] for c in own.client.containers(all=True)] == [made]
        assert {n["Id"] for n in first.networks()} >= before and first.ping()
    finally:
        first.close()
    assert not own.directory.exists() and str(own.directory) not in Path("/proc/mounts").read_text()
    assert own.name not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
