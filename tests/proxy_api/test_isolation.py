"""One bad service, one odd catalog entry, one narrow answer: nobody else is hurt, and nothing promised is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from deploy.local import ConsulServer, ProxyProcess, wait_until
from deploy.origin import Origin
from tests.consul_gate import Gate
from tests.proxy_api.test_faults import ACL, new_token
from tests.stored import stored


@pytest.fixture(scope="module")
def origins() -> Iterator[dict[str, Origin]]:
    with Origin("a") as a, Origin("b") as b, Origin("c") as c:
        yield {"a": a, "b": b, "c": c}


def add(consul: ConsulServer, service: str, origin: Origin, id: str = "") -> str:
    return consul.register(service, origin.host, origin.port, id=id or f"n:{service}_{origin.name}:8080",
                           meta={"registrar-container": f"c-{origin.name}"})


def test_an_answer_of_nothing_is_about_now_not_about_what_was_read_last(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    """A replica whose long poll is late is asked for what it believes to be so already."""
    add(consul, "x", origins["a"])
    with Gate(consul.address) as gate, ProxyProcess(gate.address) as late, ProxyProcess(consul.address) as other:
        late.api("reconfigure", serviceName="x", servicePath="/one")
        hold = threading.Event()
        gate.after = lambda method, path, status: "index=" in path and hold.wait(20) and None
        try:
            assert other.api("reconfigure", serviceName="x", servicePath="/two").status == 200
            assert other.api("reconfigure", serviceName="new", servicePath="/new").status == 200
            assert late.api("reconfigure", serviceName="x", servicePath="/one").json["Change"] != "nothing"
            assert late.api("remove", serviceName="new").status == 200
        finally:
            hold.set()
        for proxy in (late, other):
            wait_until(lambda proxy=proxy: proxy.instances("/one") == {"a"}, 5, "both serve what was asked last")
            assert proxy.get("/two").status == 503
            assert proxy.get("/new").status == 503


def test_an_odd_catalog_entry_spoils_only_the_service_that_follows_it(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    add(consul, "t", origins["a"], "good")
    add(consul, "y", origins["b"])
    with ProxyProcess(consul.address) as proxy:
        (proxy.templates_path / "fe").write_text("acl t path_beg /t\nuse_backend t-be if t\n")
        (proxy.templates_path / "be").write_text(
            'backend t-be\n{{ range service "t" "any" }} server {{ .ID }} {{ .Address }}:{{ .Port }}\n{{ end }}')
        assert proxy.api("reconfigure", serviceName="t", consulTemplateFePath="fe", consulTemplateBePath="be",
                         follow="all").status == 200
        proxy.api("reconfigure", serviceName="y", servicePath="/y")
        add(consul, "t", origins["c"], "bad/id")
        wait_until(lambda: any(d.startswith("t: ") for d in proxy.api("/ready").json["Detail"]), 5, "it is reported")
        assert proxy.instances("/t") == {"a"}, "it is served as it was"
        assert proxy.api("reconfigure", serviceName="y", servicePath="/y2").status == 200
        assert proxy.instances("/y2") == {"b"}
        assert proxy.api("/ready").status == 200
        consul.deregister("bad/id")
        wait_until(lambda: proxy.api("/ready").json["Detail"] == [], 5, "all is well again")


def test_a_record_that_no_file_can_hold_is_that_services_trouble(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    add(consul, "x", origins["a"])
    with ProxyProcess(consul.address) as proxy:
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        record = json.loads(consul.kv("docker-flow/")["docker-flow/x/route"])
        record["spec"] |= {"service": "t", "paths": [], "template": "t.cfg"}
        record["templates"] = [{"kind": "sections", "path": "t.cfg", "text": "backend t # \ud800"}]
        record |= {"keys": {}, "listing": None}
        consul.kv_put("docker-flow/t/route", json.dumps(record))
        wait_until(lambda: any(d.startswith("t: ") for d in proxy.api("/ready").json["Detail"]), 5, "it is reported")
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x2").status == 200
        proxy.kill9()
        proxy.wipe()
        proxy.start().wait_ready()
        assert proxy.instances("/x2") == {"a"}


def test_what_was_served_last_is_held_when_the_catalog_is_emptied(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    first = add(consul, "x", origins["a"])
    with ProxyProcess(consul.address) as proxy:
        proxy.api("reconfigure", serviceName="x", servicePath="/x", follow="all")
        second = add(consul, "x", origins["b"])
        consul.deregister(first)
        wait_until(lambda: proxy.instances("/x") == {"b"}, 5, "it has followed")
        consul.deregister(second)
        wait_until(lambda: "x: every admitted" in str(proxy.api("/ready").json["Detail"]), 5, "it has seen the end")
        assert proxy.instances("/x") == {"b"}


def test_an_address_that_another_service_has_now_gets_no_traffic(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    a = origins["a"]
    id_a = add(consul, "x", a)
    with ProxyProcess(consul.address) as proxy:
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        consul.register("private", a.host, a.port, id="private", meta={"registrar-container": "other"})
        consul.deregister(id_a)
        wait_until(lambda: proxy.instances("/x") == set(), 5, "the address is another's now")
        proxy.kill9()
        proxy.wipe()
        proxy.start().wait_ready()
        assert proxy.instances("/x") == set(), "nor after a failover"


def test_a_consul_that_never_heard_of_us_is_not_believed_by_a_disk_that_did(origins: dict[str, Origin]) -> None:
    with ConsulServer() as consul:
        proxy = ProxyProcess(consul.address)
        with proxy:
            add(consul, "x", origins["a"])
            proxy.api("reconfigure", serviceName="x", servicePath="/x")
            proxy.kill9()
            consul.restart(keep_data=False)
            proxy.start().wait_api()
            wait_until(lambda: "Consul has no record" in proxy.api("/ready").json["Message"], 10, "it says so")
            assert proxy.api("/ready").status == 503
            assert proxy.instances("/x") == {"a"}
            assert proxy.api("reconfigure", serviceName="y", servicePath="/y").status == 503
            assert stored(consul) == {}
            proxy.kill9()
            proxy.wipe()
            proxy.start().wait_ready()
            assert proxy.get("/x").status == 503, "an empty disk starts anew"


def test_a_replica_that_starts_first_on_an_emptied_consul_wipes_nobody(origins: dict[str, Origin]) -> None:
    with ConsulServer() as consul, Gate(consul.address) as gate, ProxyProcess(gate.address) as first:
        add(consul, "x", origins["a"])
        first.api("reconfigure", serviceName="x", servicePath="/x")
        away = threading.Event()
        gate.answer = lambda method, path: None if away.is_set() else (500, "No cluster leader")
        consul.restart(keep_data=False)
        with ProxyProcess(consul.address) as second:
            add(consul, "x", origins["a"])
            away.set()
            wait_until(lambda: "docker-flow/x/route" in stored(consul), 10, "the one that remembers gives it back")
            assert first.instances("/x") == {"a"}
            wait_until(lambda: second.instances("/x") == {"a"}, 5, "and the other takes it")


def test_a_token_that_was_narrowed_empties_nothing(origins: dict[str, Origin]) -> None:
    with ConsulServer(config=ACL, token="root-secret") as consul:
        for service, origin in (("x", "a"), ("y", "b")):
            add(consul, service, origins[origin])
        file_token = new_token(consul, 'key_prefix "docker-flow/" {policy="write"} '
                                       'service_prefix "" {policy="read"} node_prefix "" {policy="read"}')
        narrow_keys = new_token(consul, 'key "docker-flow/.portbook" {policy="write"} key_prefix "docker-flow/x/" '
                                        '{policy="write"} service_prefix "" {policy="read"} '
                                        'node_prefix "" {policy="read"}')
        no_nodes = new_token(consul, 'key_prefix "docker-flow/" {policy="write"} service_prefix "" {policy="read"}')
        proxy = ProxyProcess(consul.address)
        file = proxy.directory / "token"
        file.write_text(file_token)
        proxy.env["CONSUL_HTTP_TOKEN_FILE"] = str(file)
        with proxy:
            for service in ("x", "y"):
                assert proxy.api("reconfigure", serviceName=service, servicePath=f"/{service}").status == 200
            for token in (narrow_keys, no_nodes):
                file.write_text(token)
                consul.kv_put("docker-flow/x/nudge", token)
                add(consul, "nudge", origins["c"])
                consul.deregister("n:nudge_c:8080")
                wait_until(lambda: "Consul cannot be used" in str(proxy.api("/ready").json["Detail"]), 10, "told")
                assert (proxy.instances("/x"), proxy.instances("/y")) == ({"a"}, {"b"})
                assert token not in proxy.log.read_text()
                file.write_text(file_token)
                wait_until(lambda: proxy.api("/ready").json["Detail"] == [], 10, "well again")


def test_nodes_with_odd_names_refuse_nobodys_change_and_no_recovery(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    """Each made every reading by node fail, and with it every change and every recovery of the whole proxy."""
    for number, node in enumerate(("x//y", "a/.", "..", "a\nb", "a b", "%2f")):
        consul.put("/v1/catalog/register", {"Node": node, "Address": "10.0.0.1", "Service": {
            "ID": f"odd{number}", "Service": "odd", "Port": 1000 + number}})
    many = [f"m{n}" for n in range(6)]  # enough to be read by node
    for name in many:
        add(consul, name, origins["a"])
    with ProxyProcess(consul.address) as proxy:
        for name in many:
            assert proxy.api("reconfigure", serviceName=name, servicePath=f"/{name}/").status == 200
        assert proxy.api("reconfigure", serviceName="odd", servicePath="/odd", skipCheck="true").json["Servers"] == 6
        proxy.kill9()
        proxy.wipe()
        proxy.start().wait_ready()
        assert all(proxy.instances(f"/{name}/", requests=2) == {"a"} for name in many)
        consul.deregister(f"n:{many[0]}_a:8080")
        add(consul, many[0], origins["b"], id=f"n:{many[0]}_b:8080")
        assert proxy.api("reconfigure", serviceName=many[0], servicePath=f"/{many[0]}/").status == 200
        assert proxy.instances(f"/{many[0]}/") == {"b"}
