"""What an inspect document says, and when a container counts as serving."""

import pytest

from engine.container import from_inspect
from tests.registrar.documents import container, document

STATES = {
    "a running container serves": ({}, True),
    "a paused one has its process and its ports, and stays": ({"Paused": True}, True),
    "a restarting one says Running too, but has no process": ({"Restarting": True, "Pid": 0}, False),
    "one that runs without a process is on its way in or out": ({"Pid": 0}, False),
    "an exited one does not serve": ({"Running": False, "Pid": 0}, False),
}


@pytest.mark.parametrize(("state", "serving"), STATES.values(), ids=STATES)
def test_serving(state, serving):
    assert container(state=state).serving is serving


ENDS = {
    "exit code 0 is success": (0, False),
    "exit code 1 is a failure": (1, True),
    "exit code 127 is a failure": (127, True),
    "128 and more means ended by a signal": (137, False),
}


@pytest.mark.parametrize(("code", "failed"), ENDS.values(), ids=ENDS)
def test_failed(code, failed):
    assert container(state={"Running": False, "Pid": 0, "ExitCode": code}).failed is failed


def test_a_bare_variable_without_a_value_is_no_entry():
    bare = document()
    bare["Config"]["Env"] = ["SERVICE_NAME", "SERVICE_TAGS=a=b"]
    assert from_inspect(bare).env == (("SERVICE_TAGS", "a=b"),)


def test_ports_that_make_no_sense_are_dropped_and_the_rest_stays():
    bindings = [("0.0.0.0", 0), ("nonsense", 1), ("0.0.0.0", 70000), ("", 32768)]
    odd = container(ports={"8080/tcp": bindings, "x/tcp": None})
    assert [(str(p), [(b.host_ip, b.host_port) for b in p.bindings]) for p in odd.ports] == [
        ("8080/tcp", [("0.0.0.0", 32768)])]


@pytest.mark.parametrize("broken", [{}, {"Id": "x"}, {"Id": "x", "Name": None, "State": {}, "Config": {}}])
def test_what_is_no_inspect_document_is_refused(broken):
    with pytest.raises(ValueError, match="inspect document"):
        from_inspect(broken)


def test_empty_sections_are_as_good_as_missing_ones():
    bare = {"Id": "x", "Name": "/y", "State": {}, "Config": {"Env": None, "Labels": None, "ExposedPorts": None},
            "HostConfig": None, "NetworkSettings": {"Ports": None, "Networks": None}}
    assert from_inspect(bare).ports == () and not from_inspect(bare).serving
