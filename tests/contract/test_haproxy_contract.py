"""The same changes for the HAProxy in memory and for a real one: what they have afterwards, and what they refuse."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import loopback_address, run, wait_until
from proxy_api.core import observed, runtime
from proxy_api.core.errors import ApplyFailed, ConfigRejected
from proxy_api.core.render import Bind, Rendered, Renderer, Surroundings
from proxy_api.core.runtime import Command, NotApplied
from proxy_api.core.state import ProxyState, Server, Service
from proxy_api.haproxy.apply import Applier
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.global_config import text_environment
from proxy_api.haproxy.protocols import Proxy
from tests.contract.fake_haproxy import FakeHaproxy
from tests.specs import served, spec_of

SOCKET = "/tmp/pb-contract.sock"


@dataclass
class Part:
    """An HAProxy with nothing to serve yet."""

    proxy: Proxy
    around: Surroundings
    render: Renderer

    def rendered(self, *services: Service) -> Rendered:
        return self.render(ProxyState(tuple(sorted(services, key=lambda s: s.name))), self.around)


@pytest.fixture(params=["fake", "real"])
def part(request: pytest.FixtureRequest) -> Iterator[Part]:
    render = Renderer(text_environment())
    if request.param == "fake":
        made = Part(FakeHaproxy(), Surroundings((Bind("*:80"),), SOCKET, (), "httpclose", 5), render)
        first = made.rendered()
        made.proxy.files.write(first.config)
        made.proxy.files.swap(first.config)
        made.proxy.reloader.reload(first.config.digest)
        yield made
        return
    directory = Path(tempfile.mkdtemp(prefix="pb-c-", dir="/tmp"))
    haproxy = Haproxy(str(directory))
    made = Part(haproxy, Surroundings((Bind(f"{loopback_address()}:18080"),), haproxy.runtime.path,
                                      (("connect", "1s"), ("client", "5s"), ("server", "5s")), "http-keep-alive", 5),
                render)
    first = made.rendered()
    haproxy.files.write(first.config)
    haproxy.files.swap(first.config)
    with run(haproxy.master.command(), name="haproxy"):
        wait_until(lambda: haproxy.runtime.serving() == first.config.digest, 10, "HAProxy serves")
        yield made
    shutil.rmtree(directory)


def service(name: str, *ports: int, path: str = "", weight: int = 1) -> Service:
    servers = tuple(Server(f"n_{number}_{port}", "127.0.0.1", port, weight=weight)
                    for number, port in enumerate(ports) if port)
    return served(spec_of(name, paths=(path or f"/{name}",)), servers)


STEPS = (
    ("a service comes", (service("a", 1),), "Reload"),
    ("a server comes", (service("a", 1, 2),), "Runtime"),
    ("one moves and one is heavier", (service("a", 1, 3, weight=5),), "Runtime"),
    ("one goes", (service("a", 0, 3, weight=5),), "Runtime"),
    ("another path", (service("a", 0, 3, path="/b", weight=5),), "Runtime"),
    ("a second service", (service("a", 3, path="/b"), service("b", 4)), "Reload"),
    ("all go", (), "Reload"),
)


def test_every_change_ends_with_what_was_wanted(part: Part) -> None:
    applier = Applier(part.proxy, drain_s=0)
    before = part.rendered()
    for sentence, services, how in STEPS:
        wanted = part.rendered(*services)
        assert type(applier.apply(before, wanted, asked=True)).__name__ == how, sentence
        applier.keep(wanted)
        looked = part.proxy.runtime.observe(None, observed.maps_of(wanted))
        assert observed.deviations(looked, wanted) == (), sentence
        assert {backend: {(seen.address, seen.port, seen.weight, seen.checked) for seen in found.values()}
                for backend, found in looked.servers.items()} == {
            b.name: {(s.address, s.port, s.weight, s.checked) for s in b.servers}
            for b in observed.backends_of(wanted) if b.servers}, sentence
        assert part.proxy.runtime.serving() == wanted.config.digest == part.proxy.files.current_digest()
        before = wanted


def test_a_command_about_what_is_not_there_is_refused(part: Part) -> None:
    wanted = part.rendered(service("a", 1))
    Applier(part.proxy, drain_s=0).apply(part.rendered(), wanted, asked=True)
    for line, ok in (("del server a-be/nobody", "Server deleted."),
                     ("add server a-be/n_0_1 127.0.0.1:1", "New server registered.")):
        with pytest.raises(NotApplied):
            part.proxy.runtime.execute([Command(line, ok)])


def test_what_commands_left_halfway_says_so_of_itself(part: Part) -> None:
    before = part.rendered(service("a", 1))
    Applier(part.proxy, drain_s=0).apply(part.rendered(), before, asked=True)
    commands = runtime.commands(before, part.rendered(service("a", 1, 2)), ())
    part.proxy.runtime.execute(commands[:2])
    assert part.proxy.runtime.serving() == runtime.UNDER_WAY


def test_a_reload_to_what_is_not_the_current_configuration_fails_and_serves_on(part: Part) -> None:
    before = part.rendered(service("a", 1))
    Applier(part.proxy, drain_s=0).apply(part.rendered(), before, asked=True)
    if isinstance(part.proxy, FakeHaproxy):
        part.proxy.faults.append("reload")
        wanted = part.rendered(service("a", 1), service("b", 2))
    else:
        # Its check does not bind: an address that nobody has fails only the load.
        part.around = Surroundings((Bind("192.0.2.1:80"),), part.around.socket, part.around.timeouts, "httpclose", 5)
        wanted = part.rendered(service("a", 1), service("b", 2))
    with pytest.raises(ApplyFailed):
        Applier(part.proxy, drain_s=0).apply(before, wanted, asked=True)
    assert part.proxy.runtime.serving() == before.config.digest == part.proxy.files.current_digest()


def test_a_text_that_is_none_is_refused_by_the_check(part: Part) -> None:
    good = part.rendered(service("a", 1)).config
    part.proxy.config_check.check(good)
    bad = part.rendered(service("b", 1)).config
    text = bad.text() + "\nbackend x\n    no-such-directive\n"
    broken = type(bad)(tuple((n, text if n == "haproxy.cfg" else t) for n, t in bad.files), "0123456789abcdef")
    if isinstance(part.proxy, FakeHaproxy):
        part.proxy.rejected = "no-such-directive"
    with pytest.raises(ConfigRejected, match="no-such-directive"):
        part.proxy.config_check.check(broken)
