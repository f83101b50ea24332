"""Reference (d): addresses and ports, row by row, on documents in the shape that the engine gives."""

from dataclasses import replace

import pytest

from engine.container import Network
from registrar.core.endpoints import Node
from registrar.core.services import services_of
from tests.registrar.documents import NODE, WILD, container, settings

DUAL = Node("n1", "10.0.0.5", "fd00::5")
V6 = Node("n1", "", "fd00::5")
TASK = {"networks": {"ingress": "10.0.0.4"}, "name": "app.1.abc"}
MANY = {"8080/tcp": [("192.0.2.2", 18083), (WILD, 18082), ("::", 18082), ("127.0.0.1", 18081)]}

# title: (container, node, flags, what is registered)
ROWS = {
    "published on the default bridge":
        ({"ports": {"8080/tcp": [(WILD, 32775), ("::", 32775)]}}, NODE, (), ["10.0.0.5:32775"]),
    "IPv4 and IPv6 ports differ: the IPv4 address has the IPv4 port":
        ({"ports": {"8080/tcp": [("::", 32785), (WILD, 32786)]}}, DUAL, (), ["10.0.0.5:32786"]),
    "and the IPv6 address has the IPv6 port":
        ({"ports": {"8080/tcp": [(WILD, 32786), ("::", 32785)]}}, V6, (), ["fd00::5:32785"]),
    "exposed only": ({"ports": {"8080/tcp": None}}, NODE, (), []),
    "exposed only, internal": ({"ports": {"8080/tcp": None}}, NODE, ("-internal",), ["172.17.0.2:8080"]),
    "published on a network of one's own": (
        {"ports": {"8080/tcp": [(WILD, 32779)]}, "mode": "net1", "networks": {"net1": "172.19.0.2"}}, NODE, (),
        ["10.0.0.5:32779"]),
    "host networking, exposed by the image": ({"exposed": ["8080/tcp"], "mode": "host"}, NODE, (), []),
    "host networking, asked for by port": (
        {"exposed": ["8080/tcp", "8081/tcp"], "mode": "host", "env": {"SERVICE_8080_NAME": "web"}}, NODE, (),
        ["10.0.0.5:8080"]),
    "host networking, the only port, asked for by name": (
        {"exposed": ["8080/tcp"], "mode": "host", "env": {"SERVICE_NAME": "web"}}, NODE, (), ["10.0.0.5:8080"]),
    "host networking, every exposed port as in Registrator": (
        {"exposed": ["8080/tcp", "8081/tcp"], "mode": "host"}, NODE, ("--host-ports", "all"),
        ["10.0.0.5:8080", "10.0.0.5:8081"]),
    "host networking, internal mode": (
        {"exposed": ["8080/tcp"], "mode": "host", "env": {"SERVICE_NAME": "web"}, "networks": {"host": ""}}, NODE,
        ("-internal",), ["10.0.0.5:8080"]),
    "host networking with -p 18400:18401: docker discards 18400": (
        {"exposed": ["18401/tcp"], "asked": ["18401/tcp"], "mode": "host"}, NODE, (), ["10.0.0.5:18401"]),
    "no network": ({"exposed": ["8080/tcp"], "mode": "none", "networks": {"none": ""}}, NODE, (), []),
    "no network, internal": (
        {"exposed": ["8080/tcp"], "mode": "none", "networks": {"none": ""}}, NODE, ("-internal",), []),
    "an internal network publishes nothing, whatever was asked": (
        {"exposed": ["8080/tcp"], "asked": ["8080/tcp"], "mode": "in", "networks": {"in": "172.21.0.2"}}, NODE, (), []),
    "an internal network in internal mode": (
        {"exposed": ["8080/tcp"], "asked": ["8080/tcp"], "mode": "in", "networks": {"in": "172.21.0.2"}}, NODE,
        ("-internal",), ["172.21.0.2:8080"]),
    "exited": ({"exposed": ["8080/tcp"], "state": {"Running": False, "Pid": 0}}, NODE, (), []),
    "restarting": ({"exposed": ["8080/tcp"], "state": {"Restarting": True, "Pid": 0}}, NODE, (), []),
    "created, under host networking": (
        {"exposed": ["8080/tcp"], "mode": "host", "env": {"SERVICE_NAME": "w"}, "state": {"Running": False, "Pid": 0}},
        NODE, (), []),
    "an address of its own before all addresses, loopback never": ({"ports": MANY}, NODE, (), ["192.0.2.2:18083"]),
    "loopback alone": ({"ports": {"8080/tcp": [("127.0.0.1", 18081)]}}, NODE, (), []),
    "IPv6 loopback alone": ({"ports": {"8080/tcp": [("::1", 18081)]}}, DUAL, (), []),
    "all IPv6 addresses, and the node has one": ({"ports": {"8080/tcp": [("::", 18081)]}}, DUAL, (), ["fd00::5:18081"]),
    "all IPv6 addresses, and the node has none": ({"ports": {"8080/tcp": [("::", 18081)]}}, NODE, (), []),
    "all IPv4 addresses, and the node has IPv6 only": ({"ports": {"8080/tcp": [(WILD, 18081)]}}, V6, (), []),
    "one IPv6 address": ({"ports": {"8080/tcp": [("fd00::2", 18081)]}}, NODE, (), ["fd00::2:18081"]),
    "a range asked for is the one port that was bound": (
        {"ports": {"8080/tcp": [(WILD, 18200)]}, "asked": ["8080/tcp"]}, NODE, (), ["10.0.0.5:18200"]),
    "three ports are three services": (
        {"ports": {f"{7000 + i}/tcp": [(WILD, 18100 + i)] for i in range(3)}}, NODE, (),
        ["10.0.0.5:18100", "10.0.0.5:18101", "10.0.0.5:18102"]),
    "two networks, internal: no guess": (
        {"ports": {"8080/tcp": None}, "networks": {"a": "172.18.0.2", "b": "172.19.0.2"}}, NODE, ("-internal",), []),
    "two networks, internal, one named": (
        {"ports": {"8080/tcp": None}, "networks": {"a": "172.18.0.2", "b": "172.19.0.2"},
         "labels": {"SERVICE_NETWORK": "b"}}, NODE, ("-internal",), ["172.19.0.2:8080"]),
    "an unknown network named": (
        {"ports": {"8080/tcp": None}, "labels": {"SERVICE_NETWORK": "b"}}, NODE, ("-internal",), []),
    "IPv6 only, internal": (
        {"ports": {"8080/tcp": None}, "networks": {"a": "fd00::9"}}, NODE, ("-internal",), ["fd00::9:8080"]),
    "a swarm task's host-mode port": ({"ports": {"80/tcp": [(WILD, 18501)]}, **TASK}, NODE, (), ["10.0.0.5:18501"]),
    "a swarm task's ingress address is nobody's": ({"ports": {"80/tcp": None}, **TASK}, NODE, ("-internal",), []),
    "a swarm task on an overlay network, not published": (
        {"ports": {"80/tcp": None}, "networks": {"proxy": "10.0.1.3"}}, NODE, (), []),
    "a swarm task on an overlay network, internal": (
        {"ports": {"80/tcp": None}, "networks": {"proxy": "10.0.1.3", "ingress": "10.0.0.4"}}, NODE, ("-internal",),
        ["10.0.1.3:80"]),
    "the address from a label": (
        {"ports": {"8080/tcp": [(WILD, 1)]}, "labels": {"ip": "10.9.9.9/24"}}, NODE, ("-useIpFromLabel", "ip"),
        ["10.9.9.9:1"]),
    "the address from a label beats internal": (
        {"ports": {"8080/tcp": None}, "labels": {"ip": "10.9.9.9"}}, NODE, ("-useIpFromLabel", "ip", "-internal"),
        ["10.9.9.9:8080"]),
    "a label that is no address is not used": (
        {"ports": {"8080/tcp": [(WILD, 1)]}, "labels": {"ip": "300.1.1.1"}}, NODE, ("-useIpFromLabel", "ip"),
        ["10.0.0.5:1"]),
    "a loopback label is not used": (
        {"ports": {"8080/tcp": [(WILD, 1)]}, "labels": {"ip": "127.0.0.1"}}, NODE, ("-useIpFromLabel", "ip"),
        ["10.0.0.5:1"]),
}


@pytest.mark.parametrize(("changes", "node", "flags", "expected"), ROWS.values(), ids=ROWS)
def test_endpoint(changes, node, flags, expected):
    offer = services_of(container(**changes), None, node, settings(*flags))
    assert [f"{r.address}:{r.port}" for r in offer.registrations] == expected
    # Nothing is left out in silence.
    assert offer.registrations or offer.skips


TARGET = {"id": "t" * 64, "name": "pod", "ports": {"8080/tcp": [(WILD, 32000)]}}
JOINED = {"exposed": ["8080/tcp"], "mode": "container:" + "t" * 64, "networks": {}}
SHARED = {
    "the target publishes the port": (TARGET, (), ["10.0.0.5:32000"]),
    "the target publishes it on loopback": ({**TARGET, "ports": {"8080/tcp": [("127.0.0.1", 1)]}}, (), []),
    "the target publishes another port": ({**TARGET, "ports": {"9090/tcp": [(WILD, 1)]}}, (), []),
    "the target has ended": ({**TARGET, "state": {"Running": False, "Pid": 0}}, (), []),
    "the target is on the host's network, which needs a wish": (
        {**TARGET, "mode": "host", "ports": {}}, ("--host-ports", "all"), ["10.0.0.5:8080"]),
    "internal mode: the target's own address": (TARGET, ("-internal",), ["172.17.0.2:8080"]),
    "internal mode, and the target has ended": (
        {**TARGET, "state": {"Running": False, "Pid": 0}}, ("-internal",), []),
}


@pytest.mark.parametrize(("target", "flags", "expected"), SHARED.values(), ids=SHARED)
def test_a_container_in_anothers_network(target, flags, expected):
    offer = services_of(container(**JOINED), container(**target), NODE, settings(*flags))
    assert [f"{r.address}:{r.port}" for r in offer.registrations] == expected


def test_a_container_in_the_network_of_one_that_is_gone():
    offer = services_of(container(**JOINED), None, NODE, settings())
    assert not offer.registrations and offer.skips[0].code == "not-running"


BOTH_FAMILIES = {
    "each family with its own port": (
        DUAL, {"8080/tcp": [(WILD, 32786), ("::", 32785)]}, "10.0.0.5", 32786,
        {"lan_ipv4": {"Address": "10.0.0.5", "Port": 32786}, "lan_ipv6": {"Address": "fd00::5", "Port": 32785}}),
    "one family only on the node": (NODE, {"8080/tcp": [(WILD, 1), ("::", 2)]}, "10.0.0.5", 1, None),
    "one family only in the binding": (DUAL, {"8080/tcp": [("::", 2)]}, "fd00::5", 2, None),
    "bound to one address: the other family's wildcard is not meant": (
        DUAL, {"8080/tcp": [("10.9.9.9", 1), ("::", 2)]}, "10.9.9.9", 1, None),
    "bound to one address in each": (
        DUAL, {"8080/tcp": [("10.9.9.9", 1), ("fd00::9", 2)]}, "10.9.9.9", 1,
        {"lan_ipv4": {"Address": "10.9.9.9", "Port": 1}, "lan_ipv6": {"Address": "fd00::9", "Port": 2}}),
    "a node that has IPv6 only": (Node("n1", "", "fd00::5"), {"8080/tcp": [(WILD, 1), ("::", 2)]}, "fd00::5", 2, None),
}


@pytest.mark.parametrize(("node", "ports", "address", "port", "tagged"), BOTH_FAMILIES.values(), ids=BOTH_FAMILIES)
def test_both_families(node, ports, address, port, tagged):
    one = services_of(container(ports=ports), None, node, settings()).registrations[0]
    assert (one.address, one.port, one.body().get("TaggedAddresses")) == (address, port, tagged)


def test_a_container_with_both_families_on_its_network_in_internal_mode():
    made = replace(container(exposed=["80/tcp"]), networks=(Network("net", "172.18.0.2", "fd01::2"),))
    one = services_of(made, None, DUAL, settings("-internal")).registrations[0]
    assert one.address == "172.18.0.2" and one.body()["TaggedAddresses"]["lan_ipv6"] == {
        "Address": "fd01::2", "Port": 80}


EACH = {"8080/tcp": [(WILD, 1), ("::", 2)]}
# title: (--family, bindings, what is registered, or the kind of reason)
FAMILIES = {
    "IPv4 only": ("ipv4", EACH, "10.0.0.5:1"),
    "IPv6 only": ("ipv6", EACH, "fd00::5:2"),
    "bound in the other one": ("ipv6", {"8080/tcp": [(WILD, 1)]}, "family"),
    "bound to one address of the other one": ("ipv4", {"8080/tcp": [("fd00::9", 1)]}, "family"),
    "bound to one address of it": ("ipv6", {"8080/tcp": [("10.9.9.9", 1), ("fd00::9", 2)]}, "fd00::9:2"),
}


@pytest.mark.parametrize(("family", "ports", "expected"), FAMILIES.values(), ids=FAMILIES)
def test_one_family_only(family, ports, expected):
    found = services_of(container(ports=ports), None, replace(DUAL, family=family), settings())
    assert [f"{r.address}:{r.port}" for r in found.registrations] + [s.code for s in found.skips] == [expected]
    assert not any(r.tagged for r in found.registrations)


@pytest.mark.parametrize(("family", "expected"), [("ipv4", "10.0.0.5"), ("ipv6", "fd00::5")])
def test_one_family_only_under_host_networking_and_without_a_port(family, expected):
    for changes in ({"ports": {}, "mode": "host", "env": {"SERVICE_PORT": "80"}},
                    {"ports": {}, "env": {"SERVICE_PORT": "0"}}):
        found = services_of(container(**changes), None, replace(DUAL, family=family), settings())
        assert [r.address for r in found.registrations] == [expected]


@pytest.mark.parametrize(("address", "family", "expected"), [
    ("172.18.0.2", "ipv4", "172.18.0.2"), ("fd01::2", "ipv6", "fd01::2"), ("172.18.0.2", "ipv6", ""),
    ("fd01::2", "ipv4", "")])
def test_one_family_only_in_internal_mode(address, family, expected):
    made = container(exposed=["80/tcp"], networks={"a": address})
    found = services_of(made, None, replace(DUAL, family=family), settings("-internal"))
    assert [r.address for r in found.registrations] == ([expected] if expected else [])
    assert expected or [s.code for s in found.skips] == ["family"]


TWO_NETWORKS = {"front": "172.18.0.2", "back_1": "172.19.0.2", "ingress": "10.0.0.4"}


@pytest.mark.parametrize(("flags", "env", "address"), [
    (("--network", "front"), {}, "172.18.0.2"),
    (("--network", "back_.*"), {}, "172.19.0.2"),
    (("--network", "back_.*"), {"SERVICE_NETWORK": "front"}, "172.18.0.2"),
    (("--network", "none"), {}, None),
    (("--network", "ingress"), {}, None),
    ((), {}, None),
])
def test_the_network_of_internal_mode(flags, env, address):
    made = container(exposed=["80/tcp"], networks=TWO_NETWORKS, env=env)
    found = services_of(made, None, DUAL, settings("-internal", *flags))
    assert [r.address for r in found.registrations] == ([address] if address else [])
    assert address or [s.code for s in found.skips] == ["networks"]
