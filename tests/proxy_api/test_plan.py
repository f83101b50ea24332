"""What it takes to get from what runs to what is wanted, and when HAProxy has to judge the text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from jinja2 import BaseLoader, Environment, PackageLoader

from proxy_api.core.plan import Nothing, Reload, needs_check, plan
from proxy_api.core.render import Bind, Rendered, Surroundings, render
from proxy_api.core.sections import Custom, Section
from proxy_api.core.state import ProxyState, Server, Service
from proxy_api.haproxy.global_config import text_environment
from tests.specs import served, spec_of, templated

AROUND = Surroundings((Bind("*:80"),), "/s", (), "http-keep-alive", 5)
ENVIRONMENT = text_environment()


def service(name: str, *servers: Server, path: str = "/x", **more: object) -> Service:
    return served(spec_of(name, paths=(path,)), servers, **more)


def rendered(*services: Service, around: Surroundings = AROUND) -> Rendered:
    return render(ProxyState(tuple(sorted(services, key=lambda s: s.name))), around, ENVIRONMENT)


ONE, TWO = Server("n_0_80", "10.0.0.1", 80), Server("n_1_80", "10.0.0.2", 80)
NAMED = Server("n_2_80", "db.internal", 80, resolve=True)
BEFORE = rendered(service("a", ONE), service("b", TWO))
TEMPLATE = Custom(("acl x path /x",), (Section("backend", "c-be", ("server s 10.0.0.1:80",)),))


def custom(made: Custom) -> Service:
    return served(templated("c", "t"), custom=made)


def test_nothing_where_what_runs_is_what_is_wanted() -> None:
    again = rendered(service("b", TWO), service("a", ONE))
    assert plan(BEFORE.config.digest, BEFORE, again) == Nothing()
    assert plan(BEFORE.config.digest, None, again) == Nothing(), "a restarted API finds its HAProxy as it left it"


@pytest.mark.parametrize("running", [None, "", "0123456789abcdef"])
@pytest.mark.parametrize("before", [BEFORE, None])
def test_a_reload_where_something_else_runs(running: str | None, before: Rendered | None) -> None:
    assert plan(running, before, BEFORE) == Reload("HAProxy serves something else than was applied last")


def test_a_reload_where_it_is_not_known_what_was_applied() -> None:
    assert isinstance(plan("0123456789abcdef", None, BEFORE), Reload)


# sentence, services wanted, reason, its cause, whether HAProxy has to judge it
CHANGES = (
    ("a service more", (service("a", ONE), service("b", TWO), service("c", ONE, path="/c")), "c added", "services",
     True),
    ("a service less", (service("a", ONE),), "b removed", "services", True),
    ("a server more", (service("a", ONE, TWO), service("b", TWO)), "a: servers changed from 1 to 2", "servers", False),
    ("a server less", (service("a"), service("b", TWO)), "a: servers changed from 1 to 0", "servers", False),
    ("a server elsewhere", (service("a", replace(ONE, port=81)), service("b", TWO)),
     "a: servers changed from 1 to 1", "servers", False),
    ("a server with a name, which HAProxy may not like", (service("a", ONE, NAMED), service("b", TWO)),
     "a: servers changed from 1 to 2", "servers", True),
    ("a template", (service("a", ONE), service("b", TWO), custom(TEMPLATE)), "c added", "services", True),
    ("two things", (service("a", TWO), service("c", ONE, path="/c")),
     "c added, b removed, a: servers changed from 1 to 1", "services", True),
    ("another path", (service("a", ONE, path="/y"), service("b", TWO)), "a: route changed", "routes", False),
)


@pytest.mark.parametrize(("wanted", "reason", "cause", "check"), [row[1:] for row in CHANGES],
                         ids=[row[0] for row in CHANGES])
def test_a_change_has_its_reason(wanted: tuple[Service, ...], reason: str, cause: str, check: bool) -> None:
    after = rendered(*wanted)
    step = plan(BEFORE.config.digest, BEFORE, after)
    assert not isinstance(step, Nothing)
    assert (step.reason, step.cause) == (reason, cause)
    assert needs_check(BEFORE, after) is check
    if check:
        assert isinstance(step, Reload)


def test_what_a_template_renders_is_always_judged() -> None:
    before = rendered(custom(TEMPLATE))
    other = replace(TEMPLATE, sections=(Section("backend", "c-be", ("server s 10.0.0.2:80",)),))
    assert needs_check(before, rendered(custom(other)))
    assert plan(before.config.digest, before, rendered(custom(other))) == Reload(
        "c: rendered templates changed", "templates")


def test_a_change_of_the_surroundings_is_judged() -> None:
    other = rendered(service("a", ONE), service("b", TWO), around=replace(AROUND, certificates=(("/c/a.pem", "d1"),)))
    assert needs_check(BEFORE, other)
    assert plan(BEFORE.config.digest, BEFORE, other) == Reload(
        "settings, certificates or texts of the proxy changed", "surroundings")


def test_the_first_text_is_judged() -> None:
    assert needs_check(None, BEFORE)
    assert not needs_check(BEFORE, BEFORE)


def test_an_instance_that_is_left_out_is_no_reason_to_judge_the_text_again() -> None:
    assert not needs_check(BEFORE, rendered(service("a", ONE, left_out=("x",)), service("b", TWO)))


def test_many_changes_are_counted_not_listed() -> None:
    after = rendered(*(service(f"s{n}", path=f"/{n}") for n in range(10)))
    reason = plan(BEFORE.config.digest, BEFORE, after).reason
    assert reason == "s0 added, s1 added, s2 added, s3 added, s4 added and 7 more"


def test_a_number_of_servers_that_needs_slower_checks_is_a_reload() -> None:
    many = tuple(Server(f"n_{n}_80", "10.0.0.1", 80) for n in range(5001))
    before, after = rendered(service("a", *many[:-1])), rendered(service("a", *many))
    found = plan(before.config.digest, before, after)
    assert isinstance(found, Reload)
    assert found.reason.startswith("servers are now checked with 'inter 4s ")


class _OneLineMore(BaseLoader):
    """The templates as they are, one of them with a line more: a setting that this program knows nothing of."""

    def __init__(self, template: str) -> None:
        self._template = template

    def get_source(self, environment: Environment, template: str) -> tuple[str, None, None]:
        text = PackageLoader("proxy_api", "templates").get_source(environment, template)[0]
        return text + ("# one line more\n" if template == self._template else ""), None, None


@pytest.mark.parametrize("template", ["global.cfg.j2", "frontend.cfg.j2", "backend.cfg.j2", "sections.cfg.j2",
                                      "stats.cfg.j2", "haproxy.cfg.j2"])
def test_what_is_rendered_decides_and_not_a_list_of_what_matters(template: str) -> None:
    """A field that makes another text, and that nobody thought of when this was written."""
    around = replace(AROUND, stats_bind="127.0.0.1:9000")
    state = ProxyState((service("a", ONE), custom(TEMPLATE)))
    environment = text_environment()
    before = render(state, around, environment)
    environment = text_environment()
    environment.loader = _OneLineMore(template)
    after = render(state, around, environment)
    assert before.config.digest != after.config.digest
    assert needs_check(before, after)
    assert isinstance(plan(before.config.digest, before, after), Reload)


def test_an_option_of_a_server_that_stays_is_a_reload_and_of_one_that_comes_is_not() -> None:
    def with_options(*options: str) -> Rendered:
        text, = BEFORE.services[:1]
        backend, = text.backends
        lines = tuple(line._replace(options=options) for line in backend.servers)
        made = text._replace(backends=(backend._replace(servers=lines),))
        return replace(BEFORE, services=(made, *BEFORE.services[1:]), config=replace(BEFORE.config, digest="other"))

    assert needs_check(BEFORE, with_options("check", "maxconn", "5"))
    assert not needs_check(BEFORE, with_options("check"))
