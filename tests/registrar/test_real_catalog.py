"""consul-catalog://: nodes without an agent, in a real Consul."""

import contextlib
import secrets
import subprocess
import sys

import pytest

from deploy.local import (
    ROOT,
    ConsulServer,
    Container,
    RegistrarProcess,
    child_environment,
    free_port,
    http_get,
    run,
    wait_until,
)
from tests.consul_gate import Gate

pytestmark = pytest.mark.usefixtures("go_demo_image")
WEB = {"SERVICE_NAME": "web"}


@pytest.fixture
def label():
    """A label that keeps the registrars of parallel tests apart."""
    return {"portbook.test": secrets.token_hex(6)}


def start(consul, label, *flags, node="docker-1", ip="127.7.7.7", env=None):
    key, value = next(iter(label.items()))
    return RegistrarProcess(f"consul-catalog://{getattr(consul, 'address', consul)}", node, ip, "--only-label",
                            f"{key}={value}", *flags, http=True, env=env)


def once(consul, label, *flags, node="docker-1"):
    words = ["--node-id", node, "-ip", "127.7.7.7", "--once", "--only-label", "=".join(*label.items()), *flags]
    done = subprocess.run([sys.executable, "-m", "registrar", *words, f"consul-catalog://{consul.address}"],
                          capture_output=True, text=True, timeout=60, cwd=ROOT, env=child_environment())
    return done.returncode, done.stderr


def passing(consul, service="web"):
    return [e["Service"]["ID"] for e in consul.get_json(f"/v1/health/service/{service}?passing")]


def test_start_drain_and_end_under_a_node_of_its_own(consul, label):
    env = WEB | {"SERVICE_CHECK_HTTP": "/demo/hello", "SERVICE_CHECK_INTERVAL": "5s", "SERVICE_TAGS": "a,b",
                 "SERVICE_WEIGHT": "7"}
    consul.register("db", "10.9.9.9", 5432)
    with start(consul, label).wait_ready(), Container(labels=label, env=env) as web:
        wait_until(lambda: passing(consul), 5)
        entry = consul.instances("web")[0]
        assert (entry["Node"], entry["Address"]) == ("docker-1", "127.7.7.7")
        assert (entry["ServiceAddress"], entry["ServicePort"]) == ("127.7.7.7", web.port())
        assert entry["ServiceTags"] == ["a", "b"] and entry["ServiceWeights"]["Passing"] == 7
        assert entry["NodeMeta"]["external-node"] == "true"
        check = next(c for c in consul.get_json("/v1/health/node/docker-1") if c["ServiceID"])
        assert check["Definition"]["HTTP"] == f"http://127.7.7.7:{web.port()}/demo/hello"
        assert check["Definition"]["Interval"] == "5s" and check["Status"] == "passing"
        web.restart()
        wait_until(lambda: [i["ServicePort"] for i in consul.instances("web")] == [web.port()], 5)
        wait_until(lambda: passing(consul), 5)
        web.pause()
        wait_until(lambda: not passing(consul), 5)
        assert consul.instances("web")
        web.unpause()
        wait_until(lambda: passing(consul), 5)
        web.stop()
        wait_until(lambda: not consul.instances("web"), 5)
        assert [c["CheckID"] for c in consul.get_json("/v1/health/node/docker-1")] == ["registrar-alive"]
    assert consul.instances("db")


def test_an_unchanged_world_causes_no_write_and_many_containers_few(consul, label):
    containers = []
    try:
        for _ in range(6):
            containers.append(Container(labels=label, env=WEB).start())
        with Gate(consul.address) as proxy, \
                start(proxy.address, label, "--reconcile-interval", "0.2").wait_ready() as registrar:
            wait_until(lambda: len(consul.instances("web")) == 6, 5)
            assert len([w for w in proxy.writes() if "/txn" in w]) == 1
            reads = len(proxy.requests)
            wait_until(lambda: len(proxy.requests) > reads + 10, 10)
            assert len([w for w in proxy.writes() if "/txn" in w]) == 1
            assert registrar.output().count("event=pass ") == 1
    finally:
        for one in containers:
            one.close()


def test_drain_by_hand(consul, label):
    with start(consul, label).wait_ready(), Container(labels=label, env=WEB) as web:
        wait_until(lambda: passing(consul), 5)
        words = [sys.executable, "-m", "registrar", "drain", web.name, "--node-id", "docker-1",
                 f"consul-catalog://{consul.address}"]
        subprocess.run(words, check=True, timeout=60, cwd=ROOT, env=child_environment(), capture_output=True)
        assert not passing(consul) and len(consul.instances("web")) == 1


# metadata: what is stored for consul-esm, None where it could not run it
KINDS = {
    "http": ({"HTTP": "/demo/hello", "HTTP_METHOD": "HEAD", "HEADER": "X-A: 1", "TIMEOUT": "1s"},
             {"HTTP": "http://127.7.7.7:{port}/demo/hello", "Method": "HEAD", "Header": {"X-A": ["1"]},
              "Timeout": "1s", "Interval": "5s"}),
    "https": ({"HTTPS": "/", "TLS_SKIP_VERIFY": "1"},
              {"HTTP": "https://127.7.7.7:{port}/", "TLSSkipVerify": True, "Interval": "5s"}),
    "tcp": ({"TCP": "1", "DEREGISTER_AFTER": "5m"},
            {"TCP": "127.7.7.7:{port}", "Interval": "5s", "DeregisterCriticalServiceAfter": "5m0s"}),
    "ttl": ({"TTL": "30s"}, {}),
    "script": ({"SCRIPT": "true"}, None),
    "cmd": ({"CMD": "true"}, None),
    "grpc": ({"GRPC": "1"}, None),
}


def test_checks_are_stored_as_consul_esm_runs_them_or_refused_with_a_reason_and_the_service_is_there(consul, label):
    with contextlib.ExitStack() as stack:
        for kind, (keys, _) in KINDS.items():
            env = {f"SERVICE_CHECK_{key}": value for key, value in keys.items()}
            stack.enter_context(Container(name=f"{kind}-{label['portbook.test']}", labels=label,
                                          env={"SERVICE_NAME": kind, "SERVICE_CHECK_INTERVAL": "5s"} | env))
        status, said = once(consul, label)
        assert status == 0
        for kind, (_, wanted) in KINDS.items():
            assert passing(consul, kind), kind
            port = str(consul.instances(kind)[0]["ServicePort"])
            found = [c for c in consul.get_json("/v1/health/node/docker-1") if c["ServiceName"] == kind]
            refused = [line for line in said.splitlines() if "metadata" in line and f"container={kind}-" in line]
            if wanted is None:
                assert not found and len(refused) == 1 and "consul-esm" in refused[0], kind
            else:
                kept = found[0]["Definition"] or {}
                assert {k: kept.get(k) for k in wanted} == {
                    k: v.format(port=port) if isinstance(v, str) else v for k, v in wanted.items()}, kind
                assert not refused, kind


def test_the_name_of_a_real_agents_node_is_refused(consul, label):
    with Container(labels=label, env=WEB):
        status, said = once(consul, label, node="proxy")
        assert status == 1 and "belongs to a Consul agent" in said
        assert not consul.instances("web")


def watcher(consul, *flags):
    """What looks after the nodes of others, and does nothing else."""
    http = f"{consul.host}:{free_port(consul.host)}"
    words = [sys.executable, "-m", "registrar", "watch-nodes", "--http", http, *flags,
             f"consul-catalog://{consul.address}"]
    return run(words, env={"DOCKER_HOST": "unix:///nowhere"}), http


def leased(consul, node="docker-1"):
    """The keys of the node's lease, with the sessions that hold them."""
    keys = [consul.request("GET", f"/v1/kv/registrar/alive/{node}/{half}") for half in (1, 2)]
    found = {k.json()[0]["Key"]: k.json()[0]["Session"] for k in keys if k.status == 200}
    return found if len(found) == 2 else {}


def alive(consul, node="docker-1"):
    checks = consul.get_json(f"/v1/health/node/{node}")
    return next((c["Status"] for c in checks if c["CheckID"] == "registrar-alive"), "")


def test_a_dead_node_leaves_rotation_within_20_s_and_is_removed_later_by_a_peer_or_by_a_mere_watcher(label):
    other = {"portbook.test": secrets.token_hex(6)}
    after = ("--remove-after", "4")
    with ConsulServer() as one, ConsulServer() as two, Gate(one.address) as way, Gate(two.address) as other_way, \
            Container(labels=label, env=WEB), start(one, other, *after, node="docker-2").wait_ready():
        watching, http = watcher(two, *after)
        with watching:
            wait_until(lambda: http_get(f"http://{http}/ready").status == 200, 10)
            with start(way, label).wait_ready() as first, start(other_way, label).wait_ready() as second:
                for gate, consul in ((way, one), (other_way, two)):
                    wait_until(lambda consul=consul: passing(consul) and leased(consul), 5)
                    # From then on one half of it is always older than the other.
                    wait_until(lambda gate=gate: any("/session/renew/" in w for w in gate.writes()), 5)
                first.kill()
                second.kill()
            wait_until(lambda: not passing(one) and not passing(two), 20)
            for consul in (one, two):
                wait_until(lambda consul=consul: "docker-1" not in [
                    n["Node"] for n in consul.get_json("/v1/catalog/nodes")], 10)
                assert not consul.instances("web")
            assert watching.running and http_get(f"http://{http}/health").status == 200
            # It is none of a watcher's business what has no registrar.
            assert {n["Node"] for n in two.get_json("/v1/catalog/nodes")} == {"proxy"}
        with start(one, label).wait_ready():
            wait_until(lambda: passing(one), 5)


def test_a_registrar_that_is_killed_and_started_again_keeps_its_lease(consul, label):
    watching, _ = watcher(consul)
    with watching, Container(labels=label, env=WEB):
        with start(consul, label).wait_ready() as first:
            before = wait_until(lambda: leased(consul), 5)
            index = consul.get_json("/v1/health/node/docker-1")
            first.kill()
        with start(consul, label).wait_ready():
            session = consul.get_json("/v1/session/node/docker-1")
            wait_until(lambda: leased(consul) == before, 5)
            consul.kv_put("registrar/alive/other", "")  # wakes the watcher
            assert consul.get_json("/v1/health/node/docker-1") == index
            assert len(session) == 2


def test_a_lease_that_is_taken_away_from_the_living_is_theirs_again_at_once(consul, label):
    watching, _ = watcher(consul)
    with watching, start(consul, label).wait_ready() as registrar, Container(labels=label, env=WEB):
        before = wait_until(lambda: leased(consul), 5)
        for _ in range(3):
            consul.request("DELETE", "/v1/kv/registrar/alive/docker-1/1")
            for session in leased(consul).values():
                consul.put(f"/v1/session/destroy/{session}")
            wait_until(lambda: leased(consul), 5)
        assert leased(consul) != before
        wait_until(lambda: alive(consul) == "passing" and passing(consul), 5)
        # And if somebody says otherwise.
        consul.put("/v1/catalog/register", {
            "Node": "docker-1", "SkipNodeUpdate": True,
            "Check": {"Node": "docker-1", "CheckID": "registrar-alive", "Name": "x", "Status": "critical"}})
        wait_until(lambda: alive(consul) == "passing", 15)
        assert registrar.running


def test_a_watcher_that_may_not_read_the_leases_takes_nobody_for_dead(label):
    config = {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": "root", "agent_master": "am"}}}
    with ConsulServer(config=config, token="root") as consul, Container(labels=label, env=WEB):
        rules = 'node_prefix "" { policy = "write" } service_prefix "" { policy = "write" }'
        wait_until(lambda: consul.request("PUT", "/v1/acl/policy", {"Name": "r", "Rules": rules}).status == 200, 10)
        token = consul.request("PUT", "/v1/acl/token", {"Policies": [{"Name": "r"}]}).json()["SecretID"]
        with start(consul, label, env={"CONSUL_HTTP_TOKEN": "root"}).wait_ready():
            wait_until(lambda: leased(consul), 5)
            words = [sys.executable, "-m", "registrar", "watch-nodes", "--remove-after", "0.1",
                     f"consul-catalog://{consul.address}"]
            with run(words, env={"CONSUL_HTTP_TOKEN": token}) as watching:
                wait_until(lambda: "what=watch-nodes" in watching.output(), 10)
                assert "Permission denied" in watching.output()
                assert passing(consul) and token not in watching.output()
