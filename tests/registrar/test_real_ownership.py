"""Whose entries they are, on the real engine and a real Consul: leftovers, rivals, and both address families."""

import secrets

import pytest

from deploy.local import Container, RegistrarProcess, wait_until

pytestmark = pytest.mark.usefixtures("go_demo_image")
WEB = {"SERVICE_NAME": "web"}


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags, node="n1", ip="127.7.7.7"):
    key, value = next(iter(label.items()))
    return RegistrarProcess(consul.address, node, ip, "--only-label", f"{key}={value}", *flags, http=True)


def ids(consul, service="web"):
    return [i["ServiceID"] for i in consul.instances(service)]


def test_registrators_leftovers_are_taken_over(consul, label):
    with Container(labels=label, env=WEB) as web:
        consul.register("web", "127.7.7.7", web.port(), id=f"bfdfeaf59e92:{web.name}:8080")
        consul.register("old", "127.7.7.7", 1, id="bfdfeaf59e92:gone:1")
        consul.register("db", "127.7.7.7", 1, id="ffffffffffff:db:1")
        with start(consul, label, "--adopt-host", "bfdfeaf59e92").wait_ready():
            wait_until(lambda: ids(consul) == [f"n1:{web.name}:8080"], 5)
            assert set(consul.services()) == {"web", "db"}


def test_two_registrars_with_one_node_id_are_told_and_do_not_fight(consul):
    one, other = {"node": secrets.token_hex(6)}, {"node": secrets.token_hex(6)}
    with Container(labels=one, env=WEB) as a, Container(labels=other, env={"SERVICE_NAME": "api"}) as b, \
            start(consul, one, "--reconcile-interval", "0.3") as first, \
            start(consul, other, "--reconcile-interval", "0.3") as second:
        def reported():
            replies = [r.get("/ready") for r in (first, second)]
            return any(r.status == 503 and "node-id" in r.json()["reasons"] for r in replies)
        wait_until(reported, 15)
        wait_until(lambda: ids(consul) == [f"n1:{a.name}:8080"] and ids(consul, "api") == [f"n1:{b.name}:8080"], 10)
        writes = [first.output().count("event=pass "), second.output().count("event=pass ")]
        wait_until(lambda: "same node id" in first.output() + second.output(), 5)
        index = [consul.instances(s)[0]["ModifyIndex"] for s in ("web", "api")]
        passes = [r.get("/metrics").body for r in (first, second)]
        wait_until(lambda: all(r.get("/metrics").body != seen for r, seen in zip((first, second), passes, strict=True)),
                   5)
        assert [consul.instances(s)[0]["ModifyIndex"] for s in ("web", "api")] == index
        assert [first.output().count("event=pass "), second.output().count("event=pass ")] == writes


def test_both_address_families_are_in_the_catalog_each_with_its_own_port(consul, label):
    with start(consul, label, "--ip6", "fd00::7").wait_ready(), Container(labels=label, env=WEB) as web:
        wait_until(lambda: ids(consul), 5)
        bound = {("lan_ipv6" if ":" in b["HostIp"] else "lan_ipv4"): int(b["HostPort"])
                 for b in web.inspect()["NetworkSettings"]["Ports"]["8080/tcp"]}
        entry = consul.instances("web")[0]
        tagged = entry["ServiceTaggedAddresses"]
        assert entry["ServicePort"] == bound["lan_ipv4"]
        if len(bound) == 2:
            assert {key: (tagged[key]["Address"], tagged[key]["Port"]) for key in bound} == {
                "lan_ipv4": ("127.7.7.7", bound["lan_ipv4"]), "lan_ipv6": ("fd00::7", bound["lan_ipv6"])}
