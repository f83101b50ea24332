"""What a user does with a proxy, on a real Consul and a real HAProxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.local import ConsulServer, ProxyProcess, wait_until
from deploy.origin import Origin
from tests.stored import stored

TEN_KEYS = {
    "Status": str, "Message": str, "ServiceName": str, "ServiceColor": str, "ServicePath": list, "ServiceDomain": str,
    "ConsulTemplateFePath": str, "ConsulTemplateBePath": str, "PathType": str, "SkipCheck": bool,
}


@pytest.fixture
def proxy(consul: ConsulServer) -> Iterator[ProxyProcess]:
    with ProxyProcess(consul.address) as running:
        yield running


@pytest.fixture(scope="module")
def origins() -> Iterator[dict[str, Origin]]:
    with Origin("a") as a, Origin("b") as b, Origin("c") as c, Origin("d") as d:
        yield {"a": a, "b": b, "c": c, "d": d}


def add(consul: ConsulServer, service: str, origin: Origin, container: str | None = None) -> str:
    name = origin.name if container is None else container
    return consul.register(service, origin.host, origin.port, id=f"node:{service}_{origin.name}:8080",
                           meta={"registrar-container": f"container-{name}"})


def test_before_the_first_reconfigure_everything_is_503(proxy: ProxyProcess) -> None:
    assert proxy.get("/").status == 503
    assert proxy.get("/demo/hello").status == 503


def test_only_a_reconfigure_lets_instances_in(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    for name in "abc":
        add(consul, "go-demo", origins[name])
    assert proxy.get("/demo/hello").status == 503
    status, answer = proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    assert (status, answer["Status"], answer["Servers"], answer["Change"]) == (200, "OK", 3, "reload")
    assert proxy.instances("/demo/hello") == {"a", "b", "c"}

    add(consul, "go-demo", origins["d"])
    wait_until(lambda: _state(proxy)["go-demo"]["Waiting"] == 1, 5, "the proxy has seen the fourth instance")
    assert proxy.instances("/demo/hello") == {"a", "b", "c"}

    proxy.kill9()
    proxy.wipe()
    proxy.start().wait_ready()
    assert proxy.instances("/demo/hello") == {"a", "b", "c"}, "the new proxy serves the old one's release"

    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    assert proxy.instances("/demo/hello", requests=40) == {"a", "b", "c", "d"}


def test_the_answer_has_the_keys_of_2016_first(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    for path, parameters in (("reconfigure", {"serviceName": "go-demo", "servicePath": "/a,/b", "distribute": "true"}),
                             ("reconfigure", {}), ("remove", {"serviceName": "go-demo"}), ("remove", {})):
        _, answer = proxy.api(path, **parameters)
        assert list(answer)[:10] == list(TEN_KEYS)
        assert {key: type(answer[key]) for key in TEN_KEYS} == TEN_KEYS
        assert {"ConsulTemplatePath", "Servers", "Version", "Change", "Warnings"} <= set(answer)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_get_and_post_do_the_same(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin], method: str) -> None:
    add(consul, "go-demo", origins["a"])
    status, answer = proxy.call(method, "reconfigure", {"serviceName": "go-demo", "servicePath": "/demo"})
    assert (status, answer["ServiceName"], answer["ServicePath"]) == (200, "go-demo", ["/demo"])
    assert proxy.get("/demo").status == 200
    assert proxy.call(method, "remove", {"serviceName": "go-demo"}).status == 200
    assert proxy.get("/demo").status == 503


def test_ten_identical_reconfigures_are_one(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    answers = [proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo").json for _ in range(10)]
    assert [a["Change"] for a in answers] == ["reload"] + ["nothing"] * 9
    assert len({a["Version"] for a in answers}) == 1


def test_the_metrics_count_changes_by_what_they_took_and_why(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    def changes() -> dict[str, str]:
        lines = proxy.call("GET", "/metrics").json.splitlines()
        return dict(line.removeprefix("portbook_changes_total").split() for line in lines
                    if line.startswith("portbook_changes_total{") and 'cause="unknown"' not in line)

    add(consul, "go-demo", origins["a"])
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    assert changes() == {'{cause="services",change="reload"}': "1.0"}
    add(consul, "go-demo", origins["b"])
    for _ in range(2):
        proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/other")
    assert changes() == {'{cause="services",change="reload"}': "1.0", '{cause="servers",change="runtime"}': "1.0",
                         '{cause="routes",change="runtime"}': "1.0"}


def test_an_admitted_container_that_comes_back_on_another_port_is_followed(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    id_a = add(consul, "go-demo", origins["a"], "x")
    add(consul, "go-demo", origins["b"])
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    assert proxy.instances("/demo") == {"a", "b"}
    consul.deregister(id_a)
    wait_until(lambda: proxy.instances("/demo") == {"b"}, 5, "the instance that left is out")
    consul.register("go-demo", origins["c"].host, origins["c"].port, id=id_a,
                    meta={"registrar-container": "container-x"})
    wait_until(lambda: proxy.instances("/demo") == {"b", "c"}, 5, "the same container is followed to its new port")


def test_another_container_under_the_same_id_is_not_the_same_release(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    id_a = add(consul, "go-demo", origins["a"], "old")
    add(consul, "go-demo", origins["b"])
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    consul.register("go-demo", origins["c"].host, origins["c"].port, id=id_a,
                    meta={"registrar-container": "container-new"})
    wait_until(lambda: _state(proxy)["go-demo"]["Gone"] == 1, 5, "the proxy has seen the change")
    assert proxy.instances("/demo") == {"b"}


def test_follow_never_serves_the_record_literally(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    id_a = add(consul, "go-demo", origins["a"])
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo", follow="never")
    add(consul, "other", origins["b"])
    proxy.api("reconfigure", serviceName="other", servicePath="/other")
    consul.deregister(id_a)
    consul.deregister("node:other_b:8080")
    wait_until(lambda: _state(proxy)["other"]["Gone"] == 1, 5, "the proxy has seen both leave")
    assert proxy.instances("/demo") == {"a"}


def test_follow_all_is_the_automatic_mode(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    id_a = add(consul, "go-demo", origins["a"])
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo", follow="all")
    add(consul, "go-demo", origins["b"])
    wait_until(lambda: proxy.instances("/demo") == {"a", "b"}, 5, "a new instance gets traffic unasked")
    consul.deregister(id_a)
    wait_until(lambda: proxy.instances("/demo") == {"b"}, 5, "an old one leaves unasked")


def test_when_every_admitted_instance_is_gone_the_waiting_ones_stay_out_and_it_is_said_loudly(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    id_a = add(consul, "go-demo", origins["a"])
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    add(consul, "go-demo", origins["b"])
    consul.deregister(id_a)

    def said() -> bool:
        detail = proxy.api("/ready").json["Detail"]
        return any("every admitted instance has left" in d and "1 that were never admitted" in d for d in detail)

    wait_until(said, 5, "the readiness detail says so")
    assert "b" not in proxy.instances("/demo")
    assert 'portbook_service_gone{service="go-demo"} 1.0' in proxy.call("GET", "/metrics").json
    wait_until(lambda: "every admitted instance has left" in proxy.log.read_text(), 5, "the log says so")


def test_a_service_is_not_emptied_on_the_word_of_one_read(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    status, answer = proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo", serviceColor="green")
    assert status == 409
    assert "go-demo-green" in answer["Message"]
    assert "remove" in answer["Message"]
    assert proxy.instances("/demo") == {"a"}


def test_a_new_service_without_instances_is_taken_with_a_warning(proxy: ProxyProcess) -> None:
    status, answer = proxy.api("reconfigure", serviceName="nobody", servicePath="/nobody")
    assert (status, answer["Servers"]) == (200, 0)
    assert "no instance of nobody" in answer["Warnings"][0]
    assert proxy.get("/nobody").status == 503


def test_blue_green(consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo-blue", origins["a"])
    add(consul, "go-demo-green", origins["b"])
    proxy.api("reconfigure", serviceName="go-demo", serviceColor="blue", servicePath="/demo")
    assert proxy.instances("/demo") == {"a"}
    proxy.api("reconfigure", serviceName="go-demo", serviceColor="green", servicePath="/demo")
    assert proxy.instances("/demo") == {"b"}
    assert stored(consul)["docker-flow/go-demo/color"] == "green"
    proxy.kill9()
    proxy.wipe()
    proxy.start().wait_ready()
    assert proxy.instances("/demo") == {"b"}


def test_removing_a_service_leaves_its_neighbours_alone(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    names = {"go-demo": "a", "go-demo-db": "b", "go-demo2": "c"}
    for service, origin in names.items():
        add(consul, service, origins[origin])
        proxy.api("reconfigure", serviceName=service, servicePath=f"/{service}/x")
    before = stored(consul)
    consul.kv_put("docker-flow/service/go-demo", "swarm")
    consul.kv_put("docker-flow/service/go-demo2", "swarm")
    assert proxy.api("remove", serviceName="go-demo").status == 200
    after = stored(consul)
    assert after.pop("docker-flow/service/go-demo2") == "swarm"
    assert after == {key: value for key, value in before.items() if not key.startswith("docker-flow/go-demo/")}
    assert proxy.get("/go-demo/x").status == 503
    assert proxy.instances("/go-demo-db/x") == {"b"}
    assert proxy.instances("/go-demo2/x") == {"c"}


def test_removing_what_is_not_there_is_told_and_changes_nothing(consul: ConsulServer, proxy: ProxyProcess) -> None:
    """Listeners of the predecessor repeat for minutes what is answered with an error."""
    before = stored(consul)
    status, answer = proxy.api("remove", serviceName="go-demo")
    said = "go-demo is not configured at this proxy; nothing was removed"
    assert (status, answer["Status"], answer["Message"], answer["Warnings"]) == (200, "OK", said, [said])
    for look in ({"strict": "true"}, {"dryRun": "true"}):
        status, answer = proxy.api("remove", serviceName="go-demo", **look)
        assert (status, answer["Status"], answer["Message"]) == (404, "NOK", said)
    assert stored(consul) == before


def test_the_keys_of_2016_are_written_as_they_were(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo-blue", origins["a"])
    proxy.api("reconfigure", serviceName="go-demo", serviceColor="blue", servicePath="/a,/b", serviceDomain="x.com",
              pathType="path_beg", skipCheck="true")
    found = {k.removeprefix("docker-flow/go-demo/"): v for k, v in consul.kv("docker-flow/go-demo/").items()}
    record = json.loads(found.pop("route"))
    assert record["schema"] == 2
    assert found == {"path": "/a,/b", "color": "blue", "domain": "x.com", "pathtype": "path_beg", "skipcheck": "true",
                     "consultemplatefepath": "", "consultemplatebepath": ""}


def test_a_service_of_2016_is_taken_over_with_the_instances_of_now(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo-blue", origins["a"])
    for key, value in (("path", "/demo"), ("color", "blue"), ("domain", ""), ("pathtype", ""), ("skipcheck", "false"),
                       ("consultemplatefepath", ""), ("consultemplatebepath", "")):
        consul.kv_put(f"docker-flow/go-demo/{key}", value)
    consul.kv_put("docker-flow/bad/path", "/x y")
    consul.kv_put("docker-flow/later/path", "/later")
    with ProxyProcess(consul.address) as proxy:
        assert proxy.instances("/demo") == {"a"}
        assert "docker-flow/go-demo/route" in stored(consul)
        add(consul, "go-demo-blue", origins["b"])
        detail = proxy.api("/ready").json["Detail"]
        assert any(d.startswith("bad: ") and "servicePath" in d for d in detail), "one bad record is named, not fatal"
        add(consul, "later", origins["c"])
        wait_until(lambda: proxy.instances("/later") == {"c"}, 5, "one without instances is taken over later")
        assert proxy.instances("/demo") == {"a"}, "and from then on it is on demand"
        assert proxy.api("remove", serviceName="bad").status == 200, "an unreadable record can be removed"


def test_two_instance_names_on_one_consul_are_apart(consul: ConsulServer, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    with ProxyProcess(consul.address, "blue") as blue, ProxyProcess(consul.address, "blue-2") as other:
        blue.api("reconfigure", serviceName="go-demo", servicePath="/demo")
        assert blue.get("/demo").status == 200
        assert other.get("/demo").status == 503
        assert _state(other) == {}
        other.api("reconfigure", serviceName="go-demo", servicePath="/other")
        blue.api("remove", serviceName="go-demo")
        assert other.get("/other").status == 200
        assert [k for k in consul.kv("blue/") if "go-demo" in k] == []


def test_replicas_converge_on_one_call_and_show_the_same_digest(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    with ProxyProcess(consul.address) as one, ProxyProcess(consul.address) as two:
        status, answer = one.api("reconfigure", serviceName="go-demo", servicePath="/demo", distribute="true")
        assert (status, answer["Distribute"]) == (200, True)
        wait_until(lambda: two.get("/demo").status == 200, 5, "the other replica serves it too")
        wait_until(lambda: _state(one) == _state(two), 5, "and says so")
        two.api("remove", serviceName="go-demo")
        wait_until(lambda: one.get("/demo").status == 503, 5, "and forgets it with it")


def test_fifty_parallel_reconfigures_of_different_services_all_hold(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    names = [f"service-{n}" for n in range(50)]
    for name in names:
        add(consul, name, origins["a"])
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(
            lambda name: proxy.api("reconfigure", serviceName=name, servicePath=f"/{name}/"), names))
    assert {status for status, _ in answers} == {200}
    assert {proxy.get(f"/{name}/").status for name in names} == {200}
    assert set(_state(proxy)) == set(names)
    reloads = next(line for line in proxy.call("GET", "/metrics").json.splitlines()
                   if line.startswith("portbook_reloads_total "))
    assert float(reloads.split()[1]) < 30, "changes that wait together share a reload"
    proxy.kill9()
    proxy.wipe()
    proxy.start().wait_ready()
    assert {proxy.get(f"/{name}/").status for name in names} == {200}


def test_parallel_reconfigures_at_two_replicas_of_one_service_end_in_one_of_them_everywhere(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    with ProxyProcess(consul.address) as one, ProxyProcess(consul.address) as two, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(
            lambda n: (one, two)[n % 2].api("reconfigure", serviceName="go-demo", servicePath=f"/path-{n}"), range(8)))
        assert {status for status, _ in answers} == {200}
        wait_until(lambda: _state(one) == _state(two), 5, "the replicas agree")
        served = [n for n in range(8) if one.get(f"/path-{n}").status == 200]
        assert len(served) == 1
        assert [n for n in range(8) if two.get(f"/path-{n}").status == 200] == served


def test_a_route_to_a_host_outside_the_catalog(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    a = origins["a"]
    status, answer = proxy.api("reconfigure", serviceName="ext", servicePath="/ext", outboundHostname=a.host,
                               port=a.port)
    assert (status, answer["Servers"]) == (200, 1)
    assert proxy.instances("/ext") == {"a"}
    status, _ = proxy.api("reconfigure", serviceName="gone", servicePath="/gone",
                          outboundHostname="no.such.host.invalid", port=80)
    assert status == 200, "a name that does not resolve stops neither this nor the other services"
    assert proxy.get("/gone").status == 503
    assert proxy.instances("/ext") == {"a"}


def test_a_path_that_haproxy_refuses_is_400_with_its_words_and_hurts_nobody(
        consul: ConsulServer, proxy: ProxyProcess, origins: dict[str, Origin]) -> None:
    add(consul, "go-demo", origins["a"])
    add(consul, "bad", origins["b"])
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    before = stored(consul)
    status, answer = proxy.api("reconfigure", serviceName="bad", servicePath="^/(x", pathType="path_reg")
    assert status == 400
    assert "HAProxy:" in answer["Message"]
    assert str(proxy.configs_path) not in answer["Message"]
    assert stored(consul) == before
    assert proxy.instances("/demo") == {"a"}
    assert proxy.api("reconfigure", serviceName="bad", servicePath="/bad").status == 200


def test_other_endpoints(proxy: ProxyProcess) -> None:
    assert proxy.api("ping").json["Status"] == "OK"
    assert proxy.api("/v1/test").json["Status"] == "OK"
    assert proxy.api("/ready").json == {"Status": "OK", "Message": "", "Detail": []}
    for path in ("/", "/v1/docker-flow-proxy", "/v1/docker-flow-proxy/config", "/v1/docker-flow-proxy/certs"):
        status, answer = proxy.api(path)
        assert (status, answer["Status"]) == (404, "NOK")


def _state(proxy: ProxyProcess) -> dict[str, dict[str, object]]:
    return dict(proxy.api("state").json["Services"])


def test_destinations_of_one_service_have_backends_of_their_own_and_come_back(
        consul: ConsulServer, origins: dict[str, Origin]) -> None:
    """Two expressions of one service went both to the first one's backend."""
    add(consul, "go-demo", origins["a"])
    asked = {"serviceName": "go-demo", "servicePath.1": "^/one", "pathType.1": "path_reg", "servicePath.2": "^/two",
             "pathType.2": "path_reg", "port.2": str(origins["b"].port), "outboundHostname.2": origins["b"].host,
             "servicePath.3": "/three", "port.3": str(origins["c"].port), "outboundHostname.3": origins["c"].host}
    where = {"/one": {"a"}, "/two": {"b"}, "/three": {"c"}}
    with ProxyProcess(consul.address) as proxy:
        assert proxy.api("reconfigure", **asked).status == 200
        assert {path: proxy.instances(path) for path in where} == where
        add(consul, "go-demo", origins["c"])
        answer = proxy.api("reconfigure", **asked)
        assert (answer.status, answer.json["Change"]) == (200, "runtime"), "an instance more, in one backend of three"
        assert proxy.instances("/one") == {"a", "c"}
        assert {path: proxy.instances(path) for path in ("/two", "/three")} == {"/two": {"b"}, "/three": {"c"}}
        configuration = (proxy.configs_path / "current" / "haproxy.cfg").read_text()
        assert all(f"\nbackend {name}\n" in configuration
                   for name in ("go-demo-be", f"go-demo-be{origins['b'].port}", f"go-demo-be{origins['c'].port}"))
    with ProxyProcess(consul.address) as proxy:
        assert {path: proxy.instances(path) for path in where} == {**where, "/one": {"a", "c"}}
