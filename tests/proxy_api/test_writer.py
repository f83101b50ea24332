"""The writer between a Consul and an HAProxy in memory: whatever fails at whatever step, what is said is what is so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from catalog.errors import CatalogUnavailable, Conflict
from catalog.model import Instance
from deploy.local import wait_until
from proxy_api.consul.store import Store
from proxy_api.core import runtime
from proxy_api.core.errors import ProxyError
from proxy_api.core.keys import Keys
from proxy_api.core.messages import Outcome
from proxy_api.core.release import Template, decode
from proxy_api.core.render import DIGEST_MAP, Bind, Renderer, Surroundings, render
from proxy_api.core.spec import ServiceSpec
from proxy_api.core.state import ProxyState
from proxy_api.haproxy.global_config import text_environment
from proxy_api.writer import writer
from proxy_api.writer.writer import Writer
from tests.contract.fake_consul import FakeConsul, nothing
from tests.contract.fake_haproxy import FakeHaproxy
from tests.specs import spec_of, templated

AROUND = Surroundings((Bind("*:80"),), "/tmp/pb.sock", (), "httpclose", 5)
KEYS = Keys("docker-flow")
ENVIRONMENT = text_environment()


class NoFiles:
    """The operator has one template."""

    def read(self, spec: ServiceSpec) -> tuple[Template, ...]:
        return (Template("sections", "t", 'backend t-be\n{{ range service "x" "any" }}    server {{ .ID }} '
                                          '{{ .Address }}:{{ .Port }}\n{{ end }}# {{ key "color" }}\n'),)


class NoLineage:
    """A disk that has never seen any."""

    def read(self) -> str:
        return ""

    def write(self, name: str) -> None:
        pass


class World:
    """A writer with all that it talks to."""

    def __init__(self, consul: FakeConsul | None = None, around: Surroundings = AROUND) -> None:
        self.consul, self.haproxy = consul or FakeConsul(), FakeHaproxy()
        empty = render(ProxyState(), around, ENVIRONMENT).config
        self.haproxy.write(empty)
        self.haproxy.swap(empty)
        self.haproxy.load(empty.digest)
        self.writer = Writer(Store(self.consul, "docker-flow"), self.haproxy, NoFiles(),  # type: ignore[arg-type]
                             lambda: around, Renderer(ENVIRONMENT), NoLineage(), lambda wanted: "", 0)
        self._thread = threading.Thread(target=self.writer.run, daemon=True)
        self._thread.start()
        wait_until(lambda: not self.writer.report().reason, 10, "it has started")

    def close(self) -> None:
        self.writer.stop()
        self._thread.join(10)

    def add(self, service: str, number: int) -> None:
        """An instance, at an address of its own."""
        self.consul.catalog = [i for i in self.consul.catalog if (i.service, i.id) != (service, f"{service}{number}")]
        self.consul.catalog.append(Instance("n", f"{service}{number}", service, "127.0.0.1",
                                            1000 * (1 + "xy".index(service)) + number, f"c{number}", status="passing"))
        self.consul.index += 1

    def change(self, service: str, spec: ServiceSpec | None) -> Outcome | ProxyError:
        try:
            return self.writer.change(service, spec)
        except ProxyError as fault:
            return fault

    def recorded(self) -> dict[str, frozenset[int]]:
        """The ports that each service's record admits."""
        found = {}
        for key, entry in self.consul.keys.items():
            if key.endswith("/route"):
                release = decode(entry.value)
                found[release.spec.name] = frozenset(m.instance.port for m in release.members())
        return found

    def served(self) -> dict[str, frozenset[int]]:
        """The ports that HAProxy sends each service's requests to, by its own word."""
        return {backend.removesuffix("-be"): frozenset(seen.port for seen in servers.values() if seen.active)
                for backend, servers in self.haproxy.servers.items()}

    def has(self) -> tuple[object, ...]:
        """What HAProxy has, servers that get no requests apart."""
        return _rotation(self.haproxy), {name: m for name, m in self.haproxy.maps.items() if name != DIGEST_MAP}

    def would_have(self) -> tuple[object, ...]:
        """The same, if it had just loaded what the disk says."""
        fresh = FakeHaproxy()
        fresh.disk, fresh.current = self.haproxy.disk, self.haproxy.current
        assert fresh.current is not None
        fresh.load(fresh.current)
        return _rotation(fresh), {name: m for name, m in fresh.maps.items() if name != DIGEST_MAP}

    def is_ready(self) -> bool:
        return not self.writer.report().reason and self.haproxy.serving() != runtime.UNDER_WAY


def _rotation(haproxy: FakeHaproxy) -> dict[str, set[tuple[str, int, int]]]:
    return {backend: {(seen.address, seen.port, seen.weight) for seen in servers.values() if seen.active}
            for backend, servers in haproxy.servers.items()}


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.add("x", 1)
    made.add("y", 1)
    assert isinstance(made.change("x", spec_of("x", paths=("/x",))), Outcome)
    yield made
    made.close()


FAULTS = ("none", "write", "check", "observe", "reload", "reload twice", "reload thrice", *(
    f"command:{n}" for n in range(7)), *(f"command:{n} and reload" for n in range(7)), *(
    f"command:{n} and reload twice" for n in range(7)),
    "observe and reload twice", "instances away", "commit away", "answer lost", "conflict", "list away")
KINDS = ("a server comes", "a server goes", "another path", "a service comes", "a service goes")


def inject(world: World, fault: str) -> None:
    """Have the next of its kind fail."""
    names = fault.split(" and ")
    for name in names:
        what, _, times = name.partition(" ")
        if what in ("write", "check", "observe", "reload") or what.startswith("command:"):
            world.haproxy.faults += [what] * {"": 1, "twice": 2, "thrice": 3}[times]
    once = {"instances away": ("instances", "before"), "commit away": ("transact", "before"),
            "answer lost": ("transact", "after"), "list away": ("kv_list", "before")}
    if fault in once or fault == "conflict":
        call, when = once.get(fault, ("transact", "before"))

        def fail(name: str) -> None:
            if name == call:
                setattr(world.consul, when, nothing)
                if fault == "conflict":
                    raise Conflict("somebody was first")
                raise CatalogUnavailable("told to be away")
        setattr(world.consul, when, fail)


def ask(world: World, kind: str) -> Outcome | ProxyError:
    x = spec_of("x", paths=("/x",))
    if kind == "a server comes":
        world.add("x", 2)
        return world.change("x", x)
    if kind == "a server goes":
        world.add("x", 2)
        world.change("x", x)
        world.consul.catalog = [i for i in world.consul.catalog if i.id != "x1"]
        return world.change("x", x)
    if kind == "another path":
        return world.change("x", spec_of("x", paths=("/z",)))
    if kind == "a service comes":
        return world.change("y", spec_of("y", paths=("/y",)))
    return world.change("x", None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_what_is_said_is_what_is_so(world: World, kind: str, fault: str) -> None:
    """A 200 is in Consul and in HAProxy; anything else has changed neither, or /ready says that it is not so."""
    inject(world, fault)
    answer = ask(world, kind)
    world.consul.before = world.consul.after = nothing
    if isinstance(answer, Outcome):
        assert world.served() == world.recorded()
        assert world.is_ready()
    world.haproxy.faults.clear()
    # As soon as it is said that all is well, it is: nothing is left of what was done halfway.
    wait_until(world.is_ready, 10, "it is well again")
    assert world.has() == world.would_have()
    wait_until(lambda: world.served() == world.recorded(), 10, "what holds is served")
    # The next change is made whatever was left behind, and brings all of it together.
    world.add("y", 1)
    wait_until(lambda: isinstance(world.change("y", spec_of("y", paths=("/again",))), Outcome), 10, "it goes on")
    wait_until(lambda: world.is_ready() and world.served() == world.recorded(), 10, "all is as it is said")
    assert world.haproxy.serving() == world.haproxy.current
    assert world.writer.report().digest == world.haproxy.current


steps = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(FAULTS)), min_size=1, max_size=5)


@given(steps)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking would take minutes of waiting
def test_after_any_history_of_faults_all_comes_together(history: list[tuple[str, str]]) -> None:
    world = World()
    try:
        world.add("x", 1)
        world.add("y", 1)
        world.change("x", spec_of("x", paths=("/x",)))
        for kind, fault in history:
            world.add("x", 1)
            inject(world, fault)
            answer = ask(world, kind)
            if isinstance(answer, Outcome):
                # What failed may have been another call's; this one is made.
                assert world.is_ready() or world.haproxy.faults or fault != "none"
            world.consul.before = world.consul.after = nothing
            world.haproxy.faults.clear()
        for number in (1, 2):  # whom a record admits, the catalog has
            world.add("x", number)
        world.writer.hint("catalog", 0)
        wait_until(lambda: isinstance(world.change("y", spec_of("y", paths=("/last",))), Outcome), 20, "it goes on")
        wait_until(lambda: world.is_ready() and world.served() == world.recorded(), 20, "all is as it is said")
    finally:
        world.close()


def test_a_report_says_what_the_answer_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report begun before a pass ends was stored after it, and contradicted the answer for seconds."""
    standing = writer.Standing

    def slowly(**parts: object) -> writer.Standing:
        threading.Event().wait(0.02)  # as on a machine that has no time now
        return standing(**parts)  # type: ignore[arg-type]

    monkeypatch.setattr(writer, "Standing", slowly)
    for number in range(2, 30):
        world.add("x", number)
        answer = world.change("x", spec_of("x", paths=("/x",)))
        assert isinstance(answer, Outcome)
        service = dict(world.writer.report().services)["x"]
        assert (service.version, service.servers + service.down) == (answer.version, number)


def test_reports_can_be_asked_for_while_anything_changes(world: World) -> None:
    stop = threading.Event()
    seen: list[str] = []

    def look() -> None:
        while not stop.is_set():
            seen.append(world.writer.report().digest)

    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(look) for _ in range(3)]
        for number in range(2, 40):
            world.add("x", number)
            world.change("x", spec_of("x", paths=(f"/{number}",)))
        stop.set()
        assert [future.exception(10) for future in looks] == [None] * 3
    assert len(set(seen)) > 1


def test_a_defect_in_one_services_part_is_that_calls_trouble_alone(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever working one service out raises, the other's change in the same pass is made."""
    whole = world.consul.instances

    def instances(service: str) -> tuple[Instance, ...]:
        if service == "bad":
            raise KeyError("a defect")
        return whole(service)

    monkeypatch.setattr(world.consul, "instances", instances)
    hold = threading.Event()
    world.consul.before = lambda name: hold.wait(5) and None if name == "instances" else None
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(world.change, "x", spec_of("x", paths=("/first",)))
        bad = pool.submit(world.change, "bad", spec_of("bad"))
        good = pool.submit(world.change, "y", spec_of("y", paths=("/y",)))
        hold.set()
        assert isinstance(first.result(10), Outcome)
        assert "internal error: KeyError" in str(bad.result(10))
        assert isinstance(good.result(10), Outcome)
    assert world.is_ready()
    assert "Consul" not in str(world.writer.report().notes), "and nobody says that it is away"


def test_a_record_of_a_newer_version_is_kept_and_what_was_served_of_it_stays(world: World) -> None:
    key = KEYS.route("x")
    value = world.consul.value(key)
    assert value is not None
    newer = json.dumps({**json.loads(value), "schema": 99}).encode()
    world.consul.put(key, newer)
    world.writer.hint("records", 0)
    wait_until(lambda: "schema 99" in str(world.writer.report().notes), 10, "it is told")
    assert world.served()["x"] == {1001}, "what was served stays"
    answer = world.change("x", spec_of("x", paths=("/other",)))
    assert isinstance(answer, ProxyError)
    assert answer.status == 409
    assert "upgrade this proxy" in str(answer)
    assert world.consul.value(key) == newer
    for fault in ("reload", "write"):
        world.haproxy.faults += [fault]
        assert isinstance(world.change("y", spec_of("y", paths=(f"/{fault}",))), ProxyError)
        assert world.consul.value(key) == newer, "nor does a rollback touch it"
    assert isinstance(world.change("x", None), Outcome), "an operator may remove it"
    assert world.consul.value(key) is None
    wait_until(lambda: "x" not in world.served(), 10, "and then it is served no more")


def test_a_rollback_over_what_cannot_be_read_puts_back_the_very_bytes(world: World) -> None:
    key = KEYS.route("y")
    world.consul.put(key, b"\x00 not a record")
    world.writer.hint("records", 0)
    wait_until(lambda: "y: " in str(world.writer.report().notes), 10, "it is told")
    world.haproxy.faults += ["reload"]
    assert isinstance(world.change("y", spec_of("y", paths=("/y",))), ProxyError)
    assert world.consul.value(key) == b"\x00 not a record"
    assert isinstance(world.change("y", spec_of("y", paths=("/y",))), Outcome), "it can be replaced like any other"


def test_replicas_that_change_different_services_do_not_get_in_each_others_way() -> None:
    """Three of four calls were refused after fifty lost races."""
    consul = FakeConsul()
    one, other = World(consul), World(consul, replace(AROUND, binds=(Bind("*:81"),)))
    rounds = 30
    try:
        one.add("x", 1)
        one.add("y", 1)

        def change(world: World, name: str) -> list[Outcome | ProxyError]:
            return [world.change(name, spec_of(name, paths=(f"/{name}{n}",))) for n in range(rounds)]

        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(change, one, "x"), pool.submit(change, other, "y")]
            found = [answer for future in answers for answer in future.result(60)]
        assert [str(a) for a in found if not isinstance(a, Outcome)] == []
        assert consul.conflicts == 0
        for world in (one, other):
            world.writer.hint("records", 0)
            wait_until(lambda world=world: set(world.served()) == {"x", "y"}, 10, "both serve both")
        wait_until(lambda: one.writer.report().state_digest == other.writer.report().state_digest, 10, "they agree")
        assert one.writer.report().digest != other.writer.report().digest, "though they bind other addresses"
    finally:
        one.close()
        other.close()


def test_while_a_service_is_held_the_whole_catalog_is_read_once_for_each_change_of_it(world: World) -> None:
    assert isinstance(world.change("y", spec_of("y", paths=("/y",))), Outcome)
    asked: list[str] = []
    world.consul.before = asked.append
    world.consul.catalog = [i for i in world.consul.catalog if i.service != "x"]
    world.writer.hint("catalog", 0)
    wait_until(lambda: dict(world.writer.report().services)["x"].held, 10, "it is held")
    for number in range(20):  # of services that the catalog has as it had them
        assert isinstance(world.change("y", spec_of("y", paths=(f"/{number}",))), Outcome)
    assert asked.count("all_instances") <= 2
    for number in range(2, 6):
        world.add("y", number)
        assert isinstance(world.change("y", spec_of("y", paths=("/y",))), Outcome)
    assert asked.count("all_instances") <= 2 + 2 * 4


def test_a_template_that_follows_everything_follows_keys_and_services(world: World) -> None:
    world.consul.put("color", b"blue")
    assert isinstance(world.change("t", templated("t", "t", follow="all")), Outcome)
    text = lambda: world.haproxy.disk[world.haproxy.current].text()  # type: ignore[index]  # noqa: E731
    assert "server x1 127.0.0.1:1001" in text()
    world.add("x", 2)
    world.writer.hint("catalog", 0)
    wait_until(lambda: "server x2 127.0.0.1:1002" in text(), 10, "another instance is in it")
    world.consul.keys.pop("color")
    wait_until(lambda: "cannot follow the catalog" in str(world.writer.report().notes), 10,
               "a key that is gone is told")
    assert "server x2 127.0.0.1:1002" in text(), "and it stays as it was"
    world.consul.put("color", b"green")
    wait_until(lambda: not world.writer.report().notes, 10, "it is back")
