"""What an image may have the agent run: nothing, unless --image-scripts says so."""

import contextlib
import secrets
import subprocess
import sys

import docker
import pytest

from deploy.local import ROOT, ConsulServer, Container, child_environment
from registrar.core.services import services_of
from tests.registrar.documents import NODE, WILD, container, settings

SCRIPT = {"SERVICE_CHECK_SCRIPT": "true", "SERVICE_CHECK_TCP": "yes"}
RUN = "/bin/sh"
# title: (flags, what the container has, what of that the image has; the check, the keys that are reported)
CASES = {
    "a container's own": ((), {"env": SCRIPT}, {}, "Args", []),
    "an image's variable": ((), {"env": SCRIPT}, {"Env": ["SERVICE_CHECK_SCRIPT=true"]}, "TCP", ["CHECK_SCRIPT"]),
    "an image's label": ((), {"labels": SCRIPT}, {"Labels": SCRIPT}, "TCP", ["CHECK_SCRIPT"]),
    "an image's command for one port": (
        (), {"env": {"SERVICE_80_CHECK_CMD": "x"}}, {"Env": ["SERVICE_80_CHECK_CMD=x"]}, None, ["80_CHECK_CMD"]),
    "an image's, with another value in the container": (
        (), {"labels": SCRIPT}, {"Labels": {"SERVICE_CHECK_SCRIPT": "false"}}, "Args", []),
    "a label of the container beside the image's variable": (
        (), {"labels": SCRIPT, "env": SCRIPT}, {"Env": ["SERVICE_CHECK_SCRIPT=true"]}, "Args", []),
    "an image's, and the switch is on": (("--image-scripts",), {"labels": SCRIPT}, {"Labels": SCRIPT}, "Args", []),
    "an image that is not told of": ((), {"labels": SCRIPT}, None, "TCP", ["CHECK_SCRIPT"]),
}


@pytest.mark.parametrize(("flags", "has", "image", "kind", "reported"), CASES.values(), ids=CASES)
def test_whose_script_it_is_decides(flags, has, image, kind, reported):
    one = container(ports={"80/tcp": [(WILD, 1)]}, image_config=image, **has)
    found = services_of(one, None, NODE, settings(*flags))
    kinds = {key for key, _ in found.registrations[0].check} & {"Args", "TCP"}
    assert kinds == ({kind} if kind else set())
    told = [fault for fault in found.faults if "--image-scripts" in fault.rule]
    assert [fault.key.removeprefix("SERVICE_") for fault in told] == reported


@pytest.fixture
def image(go_demo_image):
    """The name of an image whose label asks for a script."""
    client, name = docker.APIClient(version="auto"), f"portbook-test/scripted:{secrets.token_hex(6)}"
    made = client.create_container(go_demo_image)["Id"]
    client.commit(made, *name.split(":"), changes=['LABEL SERVICE_CHECK_SCRIPT="true"'])
    client.remove_container(made)
    yield name
    client.remove_image(name, force=True)
    client.close()


def test_a_real_images_script_does_not_come_to_the_agent_and_a_containers_own_does(image):
    label = {"portbook.test": secrets.token_hex(6)}
    with contextlib.ExitStack() as stack:
        consul = stack.enter_context(ConsulServer(config={"enable_script_checks": True}))
        theirs = stack.enter_context(Container(image=image, labels=label, env={"SERVICE_NAME": "theirs"}))
        own = stack.enter_context(Container(image=image, labels={**label, "SERVICE_CHECK_SCRIPT": "exit 0"},
                                            env={"SERVICE_NAME": "own"}))

        def checks(*flags):
            done = subprocess.run(
                [sys.executable, "-m", "registrar", "--once", "--node-id", "n1", "-ip", "127.7.7.7", "--only-label",
                 "=".join(*label.items()), *flags, f"consul://{consul.address}"], capture_output=True, text=True,
                timeout=60, cwd=ROOT, env=child_environment())
            assert done.returncode == 0, done.stderr
            return {check["ServiceName"] for check in consul.get_json("/v1/agent/checks").values()}, done.stderr

        names, said = checks()
        assert names == {"own"} and f"container={theirs.name} key=SERVICE_CHECK_SCRIPT" in said
        assert f"container={own.name} key" not in said
        assert checks("--image-scripts")[0] == {"own", "theirs"}
