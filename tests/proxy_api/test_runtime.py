"""Changes without a reload: the exact commands, and what a real HAProxy has after any sequence of them."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.model import Instance
from deploy.local import ConsulServer, ProxyProcess, loopback_address, run, wait_until
from deploy.origin import Origin
from proxy_api.core import observed, runtime
from proxy_api.core.errors import ApplyFailed
from proxy_api.core.plan import Nothing, Reload, Runtime, plan
from proxy_api.core.release import Release, admit
from proxy_api.core.render import Bind, Rendered, Renderer, Surroundings
from proxy_api.core.resolve import resolve
from proxy_api.core.state import ProxyState, Server, Service
from proxy_api.haproxy.apply import Applier
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.global_config import auto_maxconn, text_environment
from tests.specs import backend_of, served, spec_of

ADD = "New server registered."
CHECK = " check inter 2s fastinter 500ms downinter 2s fall 3 rise 2"


def rendered(*services: Service, around: Surroundings | None = None) -> Rendered:
    state = ProxyState(tuple(sorted(services, key=lambda s: s.name)))
    return Renderer(text_environment())(state, around or Surroundings((Bind("*:80"),), "/s", (), "httpclose", 5))


def service(name: str, *ports: int, paths: tuple[str, ...] = (), skip_check: bool = False,
            weight: int = 1) -> Service:
    servers = tuple(Server(f"n_{number}_{port}", "127.0.0.1", port, weight=weight)
                    for number, port in enumerate(ports) if port)
    return served(spec_of(name, paths=paths or (f"/{name}",), skip_check=skip_check), servers)


CASES = [
    ("a server comes", [service("a", 1)], [service("a", 1, 2)],
     [f"add server a-be/n_1_2 127.0.0.1:2{CHECK}", "enable health a-be/n_1_2", "enable server a-be/n_1_2"]),
    ("a server comes without a check", [service("a", skip_check=True)], [service("a", 1, skip_check=True)],
     ["add server a-be/n_0_1 127.0.0.1:1", "enable server a-be/n_0_1"]),
    ("a server comes with a weight", [service("a", weight=5)], [service("a", 1, weight=5)],
     [f"add server a-be/n_0_1 127.0.0.1:1 weight 5{CHECK}", "enable health a-be/n_0_1", "enable server a-be/n_0_1"]),
    ("another weight", [service("a", 1, 2)], [service("a", 1, 2, weight=256)],
     ["set server a-be/n_0_1 weight 256", "set server a-be/n_1_2 weight 256"]),
    ("no weight any more", [service("a", 1, weight=9)], [service("a", 1)], ["set server a-be/n_0_1 weight 1"]),
    ("a server goes", [service("a", 1, 2)], [service("a", 1)], ["set server a-be/n_1_2 state maint"]),
    ("the new come before the old go", [service("a", 1)], [service("a", 2)],
     [f"add server a-be/n_0_2 127.0.0.1:2{CHECK}", "enable health a-be/n_0_2", "enable server a-be/n_0_2",
      "set server a-be/n_0_1 state maint"]),
    ("another path", [service("a", 1)], [service("a", 1, paths=("/b", "/c;x"))],
     ["add map routes-prefix.map /b 2|a-be", "add map routes-prefix.map /c\\;x 4|a-be",
      "del map routes-prefix.map /a"]),
    ("a path changes hands", [service("a", 1), service("b", 2, paths=("/x",))],
     [service("a", 1, paths=("/x",)), service("b", 2, paths=("/y",))],
     ["set map routes-prefix.map /x 2|a-be", "add map routes-prefix.map /y 2|b-be", "del map routes-prefix.map /a"]),
]


@pytest.mark.parametrize(("before", "after", "lines"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_commands(before: list[Service], after: list[Service], lines: list[str]) -> None:
    old, new = rendered(*before), rendered(*after)
    step = plan(old.config.digest, old, new)
    assert isinstance(step, Runtime)
    digest = f"set map portbook.map digest {new.config.digest}"
    under_way = "set map portbook.map digest 0"
    assert sorted(c.line for c in step.commands) == sorted([under_way, *lines, digest])
    assert step.commands[0].line == under_way, "what ends it halfway leaves it said"
    assert [c.line for c in step.commands if "server" in c.line] == [line for line in lines if "server" in line]
    assert step.commands[-1].line == digest, "what was reached is noted last"


def test_a_server_that_is_still_on_its_way_out_is_taken_back() -> None:
    old, new = rendered(service("a", 1)), rendered(service("a", 1, 2))
    step = plan(old.config.digest, old, new, [("a-be", "n_1_2")])
    assert isinstance(step, Runtime)
    assert [c.line for c in step.commands][1:4] == [
        "set server a-be/n_1_2 addr 127.0.0.1 port 2", "set server a-be/n_1_2 weight 1",
        "set server a-be/n_1_2 state ready"]


def test_an_address_and_a_weight_that_change_together() -> None:
    old, new = rendered(service("a", 1)), rendered(served(spec_of("a", paths=("/a",)),
                                                           (Server("n_0_1", "127.0.0.1", 2, weight=3),)))
    step = plan(old.config.digest, old, new)
    assert isinstance(step, Runtime)
    assert [c.line for c in step.commands][1:3] == [
        "set server a-be/n_0_1 addr 127.0.0.1 port 2", "set server a-be/n_0_1 weight 3"]


def beginning(before: list[Service], after: list[Service], silent: set[int],
              leaving: list[tuple[str, str]] | None = None) -> list[str]:
    """The commands where nobody answers at these ports, but for the note of the digest."""
    old, new = rendered(*before), rendered(*after)
    down = runtime.doubtful(runtime.arrivals(old, new), {("127.0.0.1", port) for port in silent})
    return [c.line for c in runtime.commands(old, new, leaving or [], down)][1:-1]


def test_a_new_server_that_does_not_answer_begins_as_down() -> None:
    begin = [f"set server a-be/n_1_2 {what}" for what in ("state drain", "health down", "state ready")]
    assert beginning([service("a", 1)], [service("a", 1, 2)], {2}) == [
        f"add server a-be/n_1_2 127.0.0.1:2{CHECK}", "enable health a-be/n_1_2", *begin]
    assert beginning([service("a", 1)], [service("a", 1, 2)], {2}, [("a-be", "n_1_2")]) == [
        "set server a-be/n_1_2 addr 127.0.0.1 port 2", "set server a-be/n_1_2 weight 1", *begin]
    assert beginning([service("a", 1, 2)], [served(spec_of("a", paths=("/a",)), (
        Server("n_0_1", "127.0.0.1", 1), Server("n_1_2", "127.0.0.1", 3)))], {3}) == [
        begin[0], "set server a-be/n_1_2 addr 127.0.0.1 port 3", *begin[1:]]


@pytest.mark.parametrize(("before", "after", "silent"), [
    ([service("a", 1)], [service("a", 1, 2)], {1}),  # what was there before is for HAProxy's checks to judge
    ([service("a", 1)], [service("a", 2)], {2}),  # nobody else would be left
    ([service("a")], [service("a", 1, 2)], {1, 2}),
    ([service("a", 1, skip_check=True)], [service("a", 1, 2, skip_check=True)], {2}),  # nobody would bring it up
])
def test_others_begin_as_up(before: list[Service], after: list[Service], silent: set[int]) -> None:
    assert not any("health down" in line for line in beginning(before, after, silent))


@pytest.mark.parametrize(("before", "after"), [
    ([service("a", 1)], [service("a", 1), service("b", 1)]),
    ([service("a", 1), service("b", 1)], [service("a", 1)]),
    ([service("a", 1)], [service("a", 1, skip_check=True)]),
    ([served(spec_of("a", paths=("/a",)))], [served(spec_of("a", paths=("/a",), domains=("x.com",)))]),
    ([served(spec_of("a", paths=("/a",)))], [served(spec_of("a", paths=("/a",), path_type="path_reg"))]),
    ([service("a", 1)], [served(spec_of("a", paths=("/a",)), (Server("n_0_1", "a.example", 1, True),))]),
])
def test_structure_is_a_reload(before: list[Service], after: list[Service]) -> None:
    old, new = rendered(*before), rendered(*after)
    assert isinstance(plan(old.config.digest, old, new), Reload)


def test_what_is_not_known_to_run_is_a_reload_and_what_runs_already_is_nothing() -> None:
    old, new = rendered(service("a", 1)), rendered(service("a", 1, 2))
    assert isinstance(plan("something else", old, new), Reload)
    assert isinstance(plan(None, old, new), Reload)
    assert isinstance(plan(new.config.digest, old, new), Nothing)


# --- on a real HAProxy ---------------------------------------------------------------------------------------------

class Live:
    """A HAProxy of one's own with an Applier at it."""

    def __init__(self, directory: Path) -> None:
        self.haproxy = Haproxy(str(directory))
        self.around = Surroundings((Bind(f"{loopback_address()}:18080"),), self.haproxy.runtime.path,
                                   (("connect", "1s"), ("client", "5s"), ("server", "5s")), "http-keep-alive", 5)
        self.render = Renderer(text_environment())
        self.applier = Applier(self.haproxy, drain_s=0)
        self.served: Rendered | None = None

    def bring(self, state: ProxyState) -> str:
        wanted = self.render(state, self.around)
        step = self.applier.apply(self.served, wanted, asked=True)
        self.served = wanted
        self.applier.keep(wanted)
        return type(step).__name__


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    directory = Path(tempfile.mkdtemp(prefix="pb-rt-", dir="/tmp"))
    made = Live(directory)
    first = made.render(ProxyState(), made.around)
    made.haproxy.files.write(first.config)
    made.haproxy.files.swap(first.config)
    with run(made.haproxy.master.command(), name="haproxy"):
        wait_until(lambda: made.haproxy.runtime.serving() == first.config.digest, 10, "HAProxy serves")
        yield made
    shutil.rmtree(directory)


names = st.sampled_from("abc")
paths = st.lists(st.sampled_from(("/", "/x", "/x/y", "/z;1")), min_size=1, unique=True).map(tuple)
specs = st.builds(spec_of, names, paths=paths, domains=st.sampled_from(((), ("x.com",))), skip_check=st.booleans())
servers = st.lists(st.builds(lambda n, p, w: Server(f"n_{n}_{p}", "127.0.0.1", p, weight=w), st.integers(0, 3),
                             st.integers(1, 2), st.sampled_from((1, 1, 7, 256))),
                   max_size=4, unique_by=lambda s: s.name).map(tuple)
states = st.dictionaries(names, st.tuples(specs, servers), max_size=3).map(
    lambda found: ProxyState(tuple(served(replace(spec, name=name), has)
                                   for name, (spec, has) in sorted(found.items()))))


@given(st.lists(states, min_size=1, max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_sequence_haproxy_has_exactly_what_was_wanted(live: Live, sequence: list[ProxyState]) -> None:
    for state in sequence:
        live.bring(state)
        assert live.served is not None
        looked = live.haproxy.runtime.observe(None, observed.maps_of(live.served))
        assert observed.deviations(looked, live.served) == ()
        here = {backend: {name for name, seen in found.items() if seen.active}
                for backend, found in looked.servers.items()}
        wanted = {backend_of(s.spec): {server.name for server in s.servers} for s in state.services if s.servers}
        assert {backend: found for backend, found in here.items() if found} == wanted
        assert {(backend_of(s.spec), server.name): server.weight for s in state.services for server in s.servers} == {
            (backend, name): seen.weight for backend, found in looked.servers.items()
            for name, seen in found.items() if seen.active}
        assert live.haproxy.runtime.serving() == live.served.config.digest == live.haproxy.files.current_digest()


def test_servers_come_and_go_without_a_reload(live: Live) -> None:
    live.bring(ProxyState((service("m", 1),)))
    before = live.haproxy.master.processes()
    for ports in ((1, 2), (2,), (), (1, 2, 3), (0, 2)):
        assert live.bring(ProxyState((service("m", *ports),))) == "Runtime"
        here = live.haproxy.runtime.observe(["m-be"], []).servers.get("m-be", {})
        assert {seen.port for seen in here.values()} == {port for port in ports if port}, "what left is deleted"
    assert live.haproxy.master.processes() == before


def test_a_command_that_fails_becomes_a_reload(live: Live) -> None:
    live.bring(ProxyState((service("m", 1),)))
    assert live.served is not None
    live.haproxy.runtime.execute([runtime.Command("add server m-be/n_1_2 127.0.0.9:9", "New server")])
    reloads = live.applier.reloads
    assert live.bring(ProxyState((service("m", 1, 2),))) == "Reload"
    assert live.applier.reloads == reloads + 1
    assert live.haproxy.runtime.observe(["m-be"], []).servers["m-be"]["n_1_2"] [:5] == ("127.0.0.1", 2, True, 1, True)


M1 = "m-be/n_0_1"


@pytest.mark.parametrize(("commands", "told"), [
    ([f"set server {M1} state maint"], f"{M1} is out of rotation"),
    ([f"set server {M1} state drain"], f"{M1} is out of rotation"),
    ([f"set server {M1} weight 0"], f"{M1} has weight 0"),
    ([f"disable health {M1}"], f"{M1} is not checked"),
    (["set server u-be/n_0_1 health down"], "u-be/n_0_1 is out of rotation"),
    ([f"set server {M1} state maint", f"del server {M1}"], "m-be lacks n_0_1"),
    ([f"set server {M1} addr 127.0.0.9 port 9"], f"{M1} is at 127.0.0.9:9"),
    (["add server m-be/other 127.0.0.1:9", "enable server m-be/other"], "m-be has other"),
    (["set map routes-prefix.map /m 2|u-be"], "routes-prefix.map has other entries"),
    (["clear map routes-prefix.map"], "routes-prefix.map has other entries"),
])
def test_what_somebody_changes_over_the_socket_is_found_and_put_right(
        live: Live, commands: list[str], told: str) -> None:
    live.bring(ProxyState((service("m", 1), service("u", 1, skip_check=True))))
    assert live.served is not None
    for line in commands:
        live.haproxy.runtime.ask(line)
    found = observed.deviations(live.haproxy.runtime.observe(None, observed.maps_of(live.served)), live.served)
    assert found == (told,)
    fresh = Applier(live.haproxy, drain_s=0)
    fresh.keep(live.served)
    assert observed.deviations(live.haproxy.runtime.observe(None, observed.maps_of(live.served)), live.served) == ()
    assert (fresh.drifts, fresh.interference()) == (1, told)


def ups(live: Live) -> dict[int, bool]:
    """Of m's servers, by port: whether HAProxy sends them requests."""
    looked = live.haproxy.runtime.observe(["m-be"], [])
    return {seen.port: seen.up and seen.active for seen in looked.servers["m-be"].values()}


def test_only_who_answers_gets_requests_from_the_start(live: Live) -> None:
    with Origin("a", "127.0.0.1") as a, Origin("b", "127.0.0.1") as b:
        live.bring(ProxyState((service("m", a.port),)))
        assert live.bring(ProxyState((service("m", a.port, 1, b.port),))) == "Runtime"
        assert ups(live) == {a.port: True, 1: False, b.port: True}
        assert live.bring(ProxyState((service("m", a.port, 1, b.port, 2), service("n", a.port, 1)))) == "Reload"
        assert ups(live)[2] is False, "an arrival like any other"
        wait_until(lambda: ups(live) == {a.port: True, 1: False, b.port: True, 2: False}, 20, "both are checked")
        assert live.served is not None
        fresh = Applier(live.haproxy, drain_s=0)
        fresh.keep(live.served)
        again = live.render(ProxyState((service("m", a.port, 1, b.port, 2),)), live.around)
        fresh.apply(live.served, again, asked=True)
        live.served = again
        assert fresh.reloads == 1
        assert ups(live) == {a.port: True, 1: False, b.port: True, 2: False}, "a reload forgets nothing"


def test_what_is_left_alone_is_no_drift(live: Live) -> None:
    live.bring(ProxyState((service("m", 1), service("u", 1, skip_check=True))))
    assert live.served is not None
    live.haproxy.runtime.ask(f"set server {M1} health down")
    before, fresh = live.haproxy.master.processes(), Applier(live.haproxy, drain_s=0)
    fresh.keep(live.served)
    assert (fresh.drifts, fresh.interference()) == (0, "")
    assert live.haproxy.master.processes() == before, "its checks bring it back"


# --- through the whole proxy ---------------------------------------------------------------------------------------

@pytest.fixture
def proxy(consul: ConsulServer) -> Iterator[ProxyProcess]:
    with ProxyProcess(consul.address) as running:
        yield running


@pytest.mark.parametrize(("consuls", "haproxys"), [
    ((1, 1), (1, 1)), ((1, 256), (1, 256)), ((5, 10), (5, 10)), ((1, 512), (1, 256)), ((256, 512), (128, 256)),
    ((1, 65535), (1, 256)), ((65535, 65535), (256, 256)),
])
def test_consuls_weights_in_haproxys_range(consuls: tuple[int, ...], haproxys: tuple[int, ...]) -> None:
    found = [Instance("n", str(number), "a", "10.0.0.1", 80 + number, weight=w) for number, w in enumerate(consuls)]
    release = Release(spec_of("a", paths=("/a",)), (admit("a", "any", found),))
    made = resolve({"a": release}, None, (), ProxyState()).state.services[0]
    assert tuple(server.weight for server in made.servers) == haproxys


def test_weights_are_admitted_like_the_instances_and_change_without_a_reload(
        consul: ConsulServer, proxy: ProxyProcess) -> None:
    with Origin("light") as light, Origin("heavy") as heavy:
        def weigh(light_weight: int, heavy_weight: int) -> None:
            for origin, weight in ((light, light_weight), (heavy, heavy_weight)):
                consul.register("x", origin.host, origin.port, id=origin.name, weight=weight,
                                meta={"registrar-container": origin.name})

        def shares() -> Counter[str]:
            return Counter(str(proxy.get("/x").headers["X-Instance"]) for _ in range(40))

        weigh(1, 3)
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        assert shares() == {"light": 10, "heavy": 30}
        weigh(1, 1)
        consul.register("other", "127.0.0.1", 9)
        proxy.api("reconfigure", serviceName="other", servicePath="/other")
        assert shares() == {"light": 10, "heavy": 30}, "nobody asked for the new weights"
        answer = proxy.api("reconfigure", serviceName="x", servicePath="/x").json
        assert (answer["Change"], shares()) == ("runtime", {"light": 20, "heavy": 20})
        weigh(4, 1)
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x", follow="all").json["Change"] == "runtime"
        assert shares() == {"light": 32, "heavy": 8}
        weigh(1, 65535)
        wait_until(lambda: shares() == {"heavy": 40}, 5, "followed without a call")
        proxy.kill9()
        proxy.wipe()
        proxy.start().wait_ready()
        assert shares() == {"heavy": 40}


def test_a_request_under_way_at_a_server_that_leaves_is_finished(consul: ConsulServer, proxy: ProxyProcess) -> None:
    with Origin("slow", delay_s=1.5) as slow, Origin("quick") as quick, ThreadPoolExecutor(1) as pool:
        ids = {o.name: consul.register("x", o.host, o.port, id=o.name, meta={"registrar-container": o.name})
               for o in (slow,)}
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        consul.register("x", quick.host, quick.port, id="quick", meta={"registrar-container": "quick"})
        pending = pool.submit(proxy.get, "/x")
        wait_until(lambda: slow.busy, 5, "a request is under way")
        consul.deregister(ids["slow"])
        assert proxy.api("reconfigure", serviceName="x", servicePath="/x").json["Change"] == "runtime"
        assert proxy.instances("/x", requests=10) == {"quick"}
        reply = pending.result(10)
        assert (reply.status, reply.headers["X-Instance"]) == (200, "slow")


@pytest.mark.parametrize("what", ["a command", "a reload", "a file"])
def test_what_somebody_does_to_haproxy_is_told_and_put_right(
        consul: ConsulServer, proxy: ProxyProcess, what: str) -> None:
    with Origin("a") as a:
        consul.register("x", a.host, a.port)
        proxy.api("reconfigure", serviceName="x", servicePath="/x")
        assert "portbook_drifts_total 0.0" in str(proxy.api("/metrics").json)
        haproxy = Haproxy(str(proxy.configs_path))
        file = haproxy.files.current / "haproxy.cfg"
        own = file.read_text()
        if what == "a command":
            haproxy.runtime.execute([runtime.take_out("x-be", f"proxy_0_{a.port}")])
        else:
            file.write_text(own.replace("backend x-be\n", "backend x-be\n    http-request return status 503\n"))
        if what == "a reload":
            with suppress(ApplyFailed):  # the file itself is noticed, and may be put right in that very moment
                haproxy.reloader.reload(haproxy.runtime.serving() or "")
            file.write_text(own)
        wait_until(lambda: "portbook_drifts_total 0.0" not in str(proxy.api("/metrics").json), 30, "it is noticed")
        wait_until(lambda: proxy.get("/x").status == 200, 5, "it is put right")
        proxy.wait_ready(5)
        assert file.read_text() == own
        assert "event=drift" in proxy.log.read_text()
        assert any("somebody else had changed HAProxy" in d for d in proxy.api("/ready").json["Detail"])


def test_more_servers_than_open_files_are_served_all_the_same() -> None:
    directory = Path(tempfile.mkdtemp(prefix="pb-rt-", dir="/tmp"))
    try:
        haproxy = Haproxy(str(directory))
        around = Surroundings((Bind(f"{loopback_address()}:18080"),), haproxy.runtime.path,
                              (("connect", "1s"), ("client", "5s"), ("server", "5s")), "http-keep-alive", 5,
                              maxconn=auto_maxconn(300))
        config = rendered(service("a", *range(1000, 1400)), around=around).config
        haproxy.files.write(config)
        haproxy.files.swap(config)
        with run(["prlimit", "--nofile=300:300", *haproxy.master.command()], name="haproxy"):
            wait_until(lambda: haproxy.runtime.serving() == config.digest, 10, "HAProxy serves")
            assert "Maxconn: 120\n" in haproxy.runtime.ask("show info")
    finally:
        shutil.rmtree(directory)
