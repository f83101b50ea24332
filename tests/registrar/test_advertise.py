"""The addresses of this machine as the kernel has them: of an interface made for the test, and of its default route."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from deploy.local import ROOT, child_environment

# In a network of its own, so that it may be changed: interfaces with addresses and without, joined to each other.
NETWORK = """
    ip link set lo up
    ip link add web0 type veth peer name web0.7
    ip addr add 10.77.0.5/24 dev web0
    ip addr add fd77::5/64 dev web0 nodad
    ip link add bare0 type bridge
    ip link set web0 up
    ip link set bare0 up
    ip addr add 10.78.0.5/24 dev web0.7
    ip link set web0.7 up
"""
ROUTE = "ip route add default via 10.77.0.1\nip -6 route add default via fd77::1 dev web0\n"


def inside(setup, *words, code=None):
    """Run registrar, or a piece of Python, in a network namespace that `setup` has furnished."""
    isolated = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "registrar", *words]
    script = f"set -e\n{textwrap.dedent(setup)}\nexec \"$@\""
    return subprocess.run([*isolated, "sh", "-c", script, "sh", *command], capture_output=True, text=True, timeout=60,
                          cwd=ROOT, env=child_environment({"DOCKER_HOST": "unix:///nowhere/docker.sock"}))


def addresses(setup, ip="", ip6=""):
    code = ("import json; from registrar.network.node_addresses import node_addresses; "
            f"print(json.dumps(node_addresses({ip!r}, {ip6!r})))")
    done = inside(setup, code=code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("setup", "ip", "ip6", "expected"), [
    (NETWORK, "web0", "", ["10.77.0.5", "fd77::5"]),
    (NETWORK, "web0", "fd00::9", ["10.77.0.5", "fd00::9"]),
    (NETWORK, "web0.7", "", ["10.78.0.5", ""]),
    (NETWORK, "bare0", "", ["", ""]),
    (NETWORK, "lo", "", ["", ""]),
    (NETWORK, "10.1.1.1", "", ["10.1.1.1", ""]),
    (NETWORK, "fd00::1", "", ["", "fd00::1"]),
    (NETWORK, "", "", ["", ""]),
    (NETWORK + ROUTE, "", "", ["10.77.0.5", "fd77::5"]),
])
def test_the_addresses_of_a_node(setup, ip, ip6, expected):
    assert addresses(setup, ip, ip6) == expected


@pytest.mark.parametrize(("words", "said"), [
    (["-ip", "web9"], "-ip web9: no interface of this machine has that name, and it does not resolve"),
    (["-ip", "bare0"], "the interface bare0 has no address for others. Give -ip"),
    (["-ip", "web0.7", "--family", "ipv6"], "the interface web0.7 has no address for others in the family ipv6. Give "
     "-ip6"),
    ([], "no default route"),
    (["-ip", "a b"], "give an IP address or a host name, or the name of an interface"),
    (["-ip", "0.0.0.0"], "not a wildcard"),
])
def test_what_leads_to_no_address_is_refused_at_start(words, said):
    done = inside(NETWORK, *words, "consul://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr
