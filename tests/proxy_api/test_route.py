"""The parameters of a request: what each takes, what it refuses and how it says so, and how a route is stored."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_api.core import route
from proxy_api.core.errors import Fault, InvalidRequest
from proxy_api.core.route import RouteSpec

BASE = {"serviceName": "go-demo", "servicePath": "/demo"}


def parse(**parameters: str) -> route.Request:
    return route.parse_request({name: [text] for name, text in parameters.items()})


def faults(set_strict: bool = False, **parameters: str | list[str]) -> tuple[Fault, ...]:
    given = {name: [text] if isinstance(text, str) else text for name, text in parameters.items()}
    with pytest.raises(InvalidRequest) as caught:
        route.parse_request(given, set_strict)
    return caught.value.faults


# --- what each parameter takes -------------------------------------------------------------------------------------

LABEL63 = "a" * 63
HOST253 = ".".join([LABEL63, LABEL63, LABEL63, "a" * 61])

GOOD: tuple[tuple[str, str, str, Any], ...] = (
    # parameter, text, field, value
    ("serviceName", "go-demo", "service", "go-demo"),
    ("serviceName", "7.A_b-c", "service", "7.A_b-c"),
    ("serviceName", "a" * 128, "service", "a" * 128),
    ("serviceColor", "blue", "color", "blue"),
    ("servicePath", "/demo", "paths", ("/demo",)),
    ("servicePath", "/b,/a", "paths", ("/b", "/a")),
    ("servicePath", "/a,/a", "paths", ("/a",)),
    ("servicePath", "/", "paths", ("/",)),
    ("servicePath", "/%2F%c3%A9;v=1:@!$&()*+~._-", "paths", ("/%2F%c3%A9;v=1:@!$&()*+~._-",)),
    ("servicePath", "/..a/b..", "paths", ("/..a/b..",)),
    ("servicePath", "/" + "a" * 1023, "paths", ("/" + "a" * 1023,)),
    ("servicePath", ",".join(f"/{n}" for n in range(256)), "paths", tuple(f"/{n}" for n in range(256))),
    ("serviceDomain", "acme.com", "domains", ("acme.com",)),
    ("serviceDomain", "*.acme.com,ACME.com,localhost", "domains", ("*.acme.com", "ACME.com", "localhost")),
    ("serviceDomain", "xn--bcher-kva.example", "domains", ("xn--bcher-kva.example",)),
    ("serviceDomain", HOST253, "domains", (HOST253,)),
    ("serviceDomain", "10.0.0.1", "domains", ("10.0.0.1",)),
    *(("pathType", t, "path_type", t) for t in ("path_beg", "path", "path_dir", "path_end", "path_sub", "path_reg")),
    *(("skipCheck", t, "skip_check", True) for t in ("true", "TRUE", "True", "t", "1", "yes", "on")),
    *(("skipCheck", t, "skip_check", False) for t in ("false", "F", "0", "No", "off")),
    ("follow", "never", "follow", "never"),
    ("follow", "restarts", "follow", "restarts"),
    ("follow", "all", "follow", "all"),
    ("port", "1", "port", 1),
    ("port", "65535", "port", 65535),
    ("port", "08080", "port", 8080),
    ("consulTemplatePath", "/consul_templates/go-demo.tmpl", "template", "/consul_templates/go-demo.tmpl"),
    ("consulTemplatePath", "a/b.j2", "template", "a/b.j2"),
)


@pytest.mark.parametrize(("parameter", "text", "field", "value"), GOOD)
def test_a_good_value_fills_its_field(parameter: str, text: str, field: str, value: object) -> None:
    request = parse(**{"strict": "true", **BASE, parameter: text})
    assert getattr(request.spec, field) == value


@pytest.mark.parametrize(("text", "value"), [
    ("db.internal", "db.internal"), ("_srv.a-b", "_srv.a-b"), ("10.0.0.1", "10.0.0.1"), ("::1", "::1"),
    ("[2001:DB8::0:1]", "2001:db8::1"), ("::ffff:10.0.0.1", "::ffff:a00:1"),
])
def test_an_outbound_host_is_a_name_or_an_address(text: str, value: str) -> None:
    spec = parse(**BASE, outboundHostname=text, port="80").spec
    assert spec.port == 80
    if ":" in value:
        assert ipaddress.ip_address(spec.outbound) == ipaddress.ip_address(value)
    else:
        assert spec.outbound == value


BAD: tuple[tuple[str, str, str, str], ...] = (
    # parameter, text, a part of what is wrong, a part of what would be right
    ("serviceName", "-a", "is not a name", "beginning with a letter or digit"),
    ("serviceName", ".portbook", "is not a name", "beginning with a letter or digit"),
    ("serviceName", "a/b", "'a/b' is not a name", "letters, digits"),
    ("serviceName", "a" * 129, "is not a name", "1 to 128"),
    ("serviceName", "grün", "is not a name", "letters, digits"),
    ("serviceName", "", "is not a name", "letters, digits"),
    ("serviceName", "a\n", r"'a\n' is not a name", "letters, digits"),
    ("serviceColor", "blue green", "is not a name", "letters, digits"),
    ("serviceColor", "../x", "is not a name", "letters, digits"),
    ("servicePath", "demo", "item 1, 'demo' does not begin with '/'", "begin it with '/'"),
    ("servicePath", "/a,b", "item 2, 'b' does not begin with '/'", "begin it with '/'"),
    ("servicePath", "/a,", "item 2, is empty", "use a URL path"),
    ("servicePath", ",/a", "item 1, is empty", "use a URL path"),
    ("servicePath", "/a b", "item 1, '/a b' has a character that a path cannot have", "%XX"),
    ("servicePath", "/a, /b", "item 2, ' /b' does not begin", "begin it with '/'"),
    ("servicePath", "/a\t", "item 1, has a line break or a control character", "one line"),
    ("servicePath", "/a\u2028b", "item 1, has a line break or a control character", "one line"),
    ("servicePath", "/a%zz", "has a character that a path cannot have", "%XX"),
    ("servicePath", "/a%", "has a character that a path cannot have", "%XX"),
    ("servicePath", "/a?b=1", "has a character that a path cannot have", "unreserved"),
    ("servicePath", "/a#b", "has a character that a path cannot have", "unreserved"),
    ("servicePath", "/é", "has a character that a path cannot have", "%XX"),
    ("servicePath", "/a/../b", "has a '..' segment", "give the path that clients send"),
    ("servicePath", "/..", "has a '..' segment", "give the path that clients send"),
    ("servicePath", "/" + "a" * 1024, "has 1025 characters", "at most 1024"),
    ("servicePath", ",".join(["/a"] * 257), "has 257 items", "at most 256"),
    ("serviceDomain", "http://acme.com", "is not a host name", "without scheme"),
    ("serviceDomain", "acme.com:80", "is not a host name", "without scheme, port and path"),
    ("serviceDomain", "acme.com/x", "is not a host name", "without scheme, port and path"),
    ("serviceDomain", "acme.com.", "is not a host name", "such as acme.com"),
    ("serviceDomain", "a.*.com", "is not a host name", "*.acme.com"),
    ("serviceDomain", "*acme.com", "is not a host name", "*.acme.com"),
    ("serviceDomain", "*.*.acme.com", "is not a host name", "*.acme.com"),
    ("serviceDomain", "*", "is not a host name", "*.acme.com"),
    ("serviceDomain", "bücher.example", "is not a host name", "punycode"),
    ("serviceDomain", "\u212aelvin.com", "is not a host name", "punycode"),
    ("serviceDomain", "\u017f.com", "is not a host name", "punycode"),
    ("serviceDomain", "-a.com", "is not a host name", "such as"),
    ("serviceDomain", "a" * 64 + ".com", "is not a host name", "such as"),
    ("serviceDomain", HOST253 + "a", "is not a host name", "such as"),
    ("serviceDomain", "a.com,,b.com", "item 2, '' is not a host name", "such as"),
    ("pathType", "path_regex", "'path_regex' is not known", "path_beg, path, path_dir, path_end, path_sub, path_reg"),
    ("pathType", "PATH", "'PATH' is not known", "path_beg"),
    ("skipCheck", "maybe", "'maybe' is not a boolean", "true or false"),
    ("distribute", "2", "'2' is not a boolean", "true or false"),
    ("strict", " ", "' ' is not a boolean", "true or false"),
    ("follow", "always", "'always' is not known", "never, restarts, all"),
    ("port", "0", "'0' is not a number from 1 to 65535", "use 1 to 65535"),
    ("port", "65536", "'65536' is not a number", "use 1 to 65535"),
    ("port", "-1", "'-1' is not a number", "use 1 to 65535"),
    ("port", "8e1", "'8e1' is not a number", "use 1 to 65535"),
    ("port", "٨٠", "is not a number", "use 1 to 65535"),
    ("port", "9" * 5000, "is not a number", "use 1 to 65535"),
    ("outboundHostname", "a b", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "a..b", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "1.2.3", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "a:80", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "unix@/tmp/x", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "${HOME}", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "::1%eth0", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "::1%\nserver evil 1.2.3.4:80", "is neither a host name", "a name, IPv4 or IPv6"),
    ("outboundHostname", "[::1", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "[[::1]]", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "[10.0.0.1]", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("outboundHostname", "\u017ferver", "is neither a host name nor an IP address", "a name, IPv4 or IPv6"),
    ("consulTemplatePath", "../secret", "has a '..' segment", "below CONSUL_TEMPLATES_PATH"),
    ("consulTemplatePath", "a b", "is not a plain path", "below CONSUL_TEMPLATES_PATH"),
    ("consulTemplatePath", "a\0b", "is not a plain path", "below CONSUL_TEMPLATES_PATH"),
    ("consulTemplatePath", "/" + "a" * 1024, "is not a plain path", "below CONSUL_TEMPLATES_PATH"),
    ("consulTemplateFePath", "a/../../b", "has a '..' segment", "below CONSUL_TEMPLATES_PATH"),
    ("consulTemplateBePath", "a;b", "is not a plain path", "below CONSUL_TEMPLATES_PATH"),
)


@pytest.mark.parametrize(("parameter", "text", "wrong", "right"), BAD)
def test_a_bad_value_is_refused_with_what_is_wrong_and_what_is_right(
        parameter: str, text: str, wrong: str, right: str) -> None:
    found = [f for f in faults(**{**BASE, parameter: text}) if f.name == parameter]
    assert len(found) == 1
    assert wrong in found[0].fault
    assert right in found[0].wanted
    assert str(found[0]).isprintable(), "a message never carries a control character on"
    assert len(str(found[0])) < 400, "nor a long value whole"


@pytest.mark.parametrize("parameter", [p.name for p in route.PARAMETERS] + ["distribute", "strict"])
def test_every_parameter_has_a_bad_value_in_the_table(parameter: str) -> None:
    assert any(row[0] == parameter for row in BAD)


def test_all_faults_come_at_once_each_under_its_parameter() -> None:
    found = faults(serviceName="a b", servicePath="x", serviceDomain="/", pathType="p", skipCheck="s", follow="f",
                   port="0", outboundHostname="!", consulTemplatePath="?", consulTemplateFePath="..", strict="x",
                   distribute="y", serviceColor="*", users="admin:secret")
    assert {f.name for f in found} == {
        "serviceName", "servicePath", "serviceDomain", "pathType", "skipCheck", "follow", "port", "outboundHostname",
        "consulTemplatePath", "consulTemplateFePath", "consulTemplateBePath", "strict", "distribute", "serviceColor",
        "users"}


# --- path types ----------------------------------------------------------------------------------------------------

PATHS = (
    # path type, paths, accepted
    ("path_beg", "/demo", True),
    ("path_beg", "demo", False),
    ("path", "/demo", True),
    ("path", "demo", False),
    ("path_dir", "demo", True),
    ("path_dir", "/demo", True),
    ("path_end", ".png,.jpg", True),
    ("path_end", ".p ng", False),
    ("path_sub", "demo", True),
    ("path_sub", "..", False),
    ("path_reg", "^/demo[0-9]+$", True),
    ("path_reg", r"\.(png|jpg)$", True),
    ("path_reg", "^/[a-z]{3}/", True),
    ("path_reg", "^/a{b}", False),  # a brace that is no quantifier could look like a log-format or a template
    ("path_reg", "^/{{x}}", False),
    ("path_reg", "a b", False),
    ("path_reg", "a'b", False),
    ("path_reg", 'a"b', False),
    ("path_reg", "a#b", False),
    ("path_reg", "a`b", False),
    ("path_reg", "%[env(X)]", False),
    ("path_reg", "é", False),
    ("path_reg", "(" * 1025, False),
    ("path_beg", "/a[0-9]", False),
    ("path_beg", "/a|b", False),
    ("path_beg", "/a\\b", False),
)


@pytest.mark.parametrize(("path_type", "paths", "accepted"), PATHS)
def test_each_path_type_has_a_grammar_of_its_own(path_type: str, paths: str, accepted: bool) -> None:
    if accepted:
        assert parse(serviceName="a", servicePath=paths, pathType=path_type).spec.paths == tuple(paths.split(","))
    else:
        assert [f.name for f in faults(serviceName="a", servicePath=paths, pathType=path_type)] == ["servicePath"]


# --- parameters together -------------------------------------------------------------------------------------------

TOGETHER = (
    ("a name alone says nothing about where", {"serviceName": "a"}, {"servicePath": "is missing"}),
    ("nothing at all", {}, {"serviceName": "'' is not a name", "servicePath": "is missing"}),
    ("a frontend template without its backend",
     {"serviceName": "a", "consulTemplateFePath": "f"}, {"consulTemplateBePath": "is missing"}),
    ("a backend template without its frontend",
     {"serviceName": "a", "consulTemplateBePath": "b"}, {"consulTemplateFePath": "is missing"}),
    ("half a pair beside a path",
     {**BASE, "consulTemplateFePath": "f"}, {"consulTemplateBePath": "is missing"}),
    ("both forms of templates",
     {"serviceName": "a", "consulTemplatePath": "t", "consulTemplateFePath": "f", "consulTemplateBePath": "b"},
     {"consulTemplatePath": "is given beside the pair of templates"}),
    ("an outbound host without its port", {**BASE, "outboundHostname": "x.org"}, {"port": "is missing"}),
)


@pytest.mark.parametrize(("given", "wanted"), [row[1:] for row in TOGETHER], ids=[row[0] for row in TOGETHER])
def test_parameters_that_need_each_other(given: dict[str, str], wanted: dict[str, str]) -> None:
    assert {f.name: f.fault for f in faults(**given)} == wanted


@pytest.mark.parametrize("given", [
    {"consulTemplatePath": "t"}, {"consulTemplateFePath": "f", "consulTemplateBePath": "b"}])
def test_templates_need_no_path(given: dict[str, str]) -> None:
    spec = parse(strict="true", serviceName="a", **given).spec
    assert spec.templated
    assert spec.paths == ()


def test_a_domain_alone_means_all_of_it() -> None:
    assert parse(serviceName="a", serviceDomain="acme.com").spec.paths == ("/",)


@pytest.mark.parametrize("name", [n for n in route.KNOWN if n not in ("serviceName", "dryRun")])
def test_an_empty_value_is_not_given(name: str) -> None:
    given = {"serviceName": "a", "serviceDomain": "acme.com"} if name == "servicePath" else dict(BASE)
    assert parse(**{**given, name: ""}) == parse(**given)


@pytest.mark.parametrize("name", ["dryrun", "dry_run", "dry-run", "DRYRUN", "DryRun", "dryRn", "dry"])
def test_what_was_to_be_a_dry_run_is_never_made(name: str) -> None:
    assert faults(**BASE, **{name: "true"}) == (Fault(name, "is not a known parameter", "did you mean dryRun?"),)
    with pytest.raises(InvalidRequest, match="did you mean dryRun"):
        route.parse_removal({"serviceName": ["a"], name: ["true"]})


@pytest.mark.parametrize(("text", "dry_run"), [("true", True), ("1", True), ("false", False), ("no", False)])
def test_a_dry_run_is_asked_for(text: str, dry_run: bool) -> None:
    assert parse(**BASE, dryRun=text).steering.dry_run is dry_run
    assert route.parse_removal({"serviceName": ["a"], "dryRun": [text]}).steering.dry_run is dry_run
    assert parse(**BASE, dryRun=text).spec == parse(**BASE).spec, "what is stored does not know of it"


@pytest.mark.parametrize("text", ["", "maybe", "2", " true"])
def test_a_dry_run_that_is_unclear_is_a_fault(text: str) -> None:
    assert faults(**BASE, dryRun=text) == (Fault("dryRun", f"{text!r} is not a boolean", "use true or false"),)
    with pytest.raises(InvalidRequest, match=r"dryRun: .* is not a boolean"):
        route.parse_removal({"serviceName": ["a"], "dryRun": [text]})


@pytest.mark.parametrize("name", route.KNOWN)
def test_a_parameter_given_twice_is_a_fault(name: str) -> None:
    found = [f for f in faults(**{**BASE, name: ["/a", "/a"]}) if "times" in f.fault]
    assert found == [Fault(name, "is given 2 times", "give it once, a list separated by commas")]


def test_what_has_no_effect_is_told() -> None:
    assert "have no effect beside a template" in parse(serviceName="a", consulTemplatePath="t",
                                                       servicePath="/x").warnings[0]
    assert parse(**BASE, port="8080").warnings == (
        "port names the backend go-demo-be8080; the instances' own ports come from the catalog",)
    assert parse(**BASE, port="8080", outboundHostname="x.org").warnings == ()


def test_distribute_is_accepted_and_is_no_part_of_the_route() -> None:
    request = parse(strict="true", **BASE, distribute="true")
    assert request.steering.distribute
    assert request.spec == parse(**BASE).spec


# --- unknown parameters --------------------------------------------------------------------------------------------

def test_an_unknown_parameter_is_a_warning_with_the_nearest_name() -> None:
    request = parse(**BASE, servicepath="/x", zzz="1")
    assert request.warnings[0] == "'servicepath' is not a known parameter and was ignored: did you mean servicePath?"
    assert "'zzz' is not a known parameter and was ignored: known are serviceName" in request.warnings[1]
    assert request.spec == parse(**BASE).spec


@pytest.mark.parametrize("how", ["parameter", "setting"])
def test_an_unknown_parameter_is_a_fault_when_strict(how: str) -> None:
    extra: dict[str, str | list[str]] = {"strict": "true"} if how == "parameter" else {}
    found = faults(set_strict=how == "setting", **BASE, servicPath="/x", **extra)
    assert found == (Fault("servicPath", "is not a known parameter", "did you mean servicePath?"),)


@pytest.mark.parametrize("name", [
    *sorted(route.RESTRICTING), "users.1", "httpsOnly.2", "HttpsOnly", "DENYHTTP", "serviceheader.10"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_parameter_that_would_have_protected_the_service_is_never_ignored(name: str, strict: bool) -> None:
    """DFP took an index behind a name, and any case for those it filled by reflection (reference 2.1)."""
    found, = faults(set_strict=strict, **BASE, **{name: "x"})
    assert (found.name, found.fault) == (name, "is not supported")


def test_a_removal_is_not_hindered_by_what_narrows_a_route() -> None:
    removal = route.parse_removal({"serviceName": ["a"], "users": ["x"], "httpsOnly.1": ["true"]}, strict=True)
    assert removal == route.Removal("a", ())


def test_a_removal_has_the_same_grammar() -> None:
    with pytest.raises(InvalidRequest) as caught:
        route.parse_removal({"serviceName": ["a/b"], "strict": ["1"], "aclNam": ["x"]})
    assert [f.name for f in caught.value.faults] == ["serviceName", "aclNam"]


def test_names_of_parameters_are_shown_without_their_line_breaks() -> None:
    warning, = parse(**BASE, **{"a\nb": "1"}).warnings
    assert r"a\nb" in warning
    assert "\n" not in warning


def test_a_flood_of_unknown_parameters_is_one_fault() -> None:
    flood = {f"p{n}": "x" for n in range(200_000)}
    assert [f.name for f in faults(**BASE, **flood)] == ["request"]
    with pytest.raises(InvalidRequest):
        route.parse_removal({"serviceName": ["a"], **{name: [text] for name, text in flood.items()}})


@given(st.dictionaries(st.sampled_from(route.KNOWN) | st.text(max_size=20),
                       st.lists(st.text(max_size=40), max_size=2), max_size=8))
@settings(max_examples=300, deadline=None)
def test_whatever_is_given_it_is_a_route_or_an_invalid_request(given: dict[str, list[str]]) -> None:
    try:
        request = route.parse_request(given)
    except InvalidRequest as fault:
        told: tuple[str, ...] = (str(fault),)
    else:
        told = request.warnings
        assert route.from_json(route.to_json(request.spec)) == request.spec
    assert all(text and text.isprintable() for text in told)


# --- storing -------------------------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
literals = st.from_regex(r"(/[A-Za-z0-9~!$&()*+;=:@-]{1,8}|/%[0-9A-F]{2}){1,4}", fullmatch=True)
regexes = st.from_regex(r"\^/[a-z]{1,5}(\[0-9\]\+|\(a\|b\)|\{3\}|\.\*)?\$?", fullmatch=True)
hosts = st.from_regex(r"(\*\.)?[a-zA-Z]{1,5}(\.[a-z][a-z0-9-]{0,3}[a-z]){0,3}", fullmatch=True)
files = st.from_regex(r"/?[a-z]{1,5}(/[a-z]{1,5}){0,2}\.(tmpl|j2)", fullmatch=True)
common = {"serviceName": names, "serviceColor": names | st.just(""),
          "skipCheck": st.sampled_from(("true", "false", "")),
          "follow": st.sampled_from(("never", "restarts", "all", "")), "port": st.integers(1, 65535).map(str)}
routes = st.one_of(
    st.fixed_dictionaries({**common, "servicePath": st.lists(literals, min_size=1, max_size=4).map(",".join)},
                          optional={"serviceDomain": st.lists(hosts, min_size=1, max_size=3).map(",".join),
                                    "pathType": st.sampled_from(("path_beg", "path", "path_dir", "path_end")),
                                    "outboundHostname": st.sampled_from(("a.b", "10.0.0.1", "::1"))}),
    st.fixed_dictionaries({**common, "pathType": st.just("path_reg"),
                           "servicePath": st.lists(regexes, min_size=1, max_size=3).map(",".join)}),
    st.fixed_dictionaries({**common, "serviceDomain": st.lists(hosts, min_size=1, max_size=3).map(",".join)}),
    st.fixed_dictionaries({**common, "consulTemplatePath": files}),
    st.fixed_dictionaries({**common, "consulTemplateFePath": files, "consulTemplateBePath": files}),
)
specs = routes.map(lambda texts: parse(**texts).spec)


@given(specs)
@settings(deadline=None)
def test_json_gives_back_the_route(spec: RouteSpec) -> None:
    assert route.from_json(route.to_json(spec)) == spec


@given(specs)
@settings(deadline=None)
def test_the_keys_of_2016_give_back_all_but_follow(spec: RouteSpec) -> None:
    keys = route.to_legacy(spec)
    assert set(route.ALWAYS_WRITTEN) <= set(keys) <= set(route.LEGACY_KEYS)
    back = route.from_legacy(spec.service, keys)
    assert back.follow == "restarts"
    data = {**route.to_json(spec), "follow": "restarts"}
    assert route.to_json(back) == data


def test_the_keys_of_2016_are_written_as_the_predecessor_wrote_them() -> None:
    spec = parse(serviceName="go-demo", servicePath="/demo,/x", serviceDomain="a.com", serviceColor="blue").spec
    assert route.to_legacy(spec) == {
        "path": "/demo,/x", "color": "blue", "domain": "a.com", "pathtype": "", "skipcheck": "false",
        "consultemplatefepath": "", "consultemplatebepath": ""}


LEGACY = (
    ("what v#195 shows", {"path": "/demo", "color": "", "domain": "", "pathtype": "", "skipcheck": "false"},
     RouteSpec("a", paths=("/demo",))),
    ("templates of 2016-05-28", {"path": "", "consultemplatefepath": "/f", "consultemplatebepath": "/b"},
     RouteSpec("a", template_fe="/f", template_be="/b")),
    ("the one template of 2016-05-19", {"path": "", "consultemplatepath": "/t"}, RouteSpec("a", template="/t")),
    ("a host name that had no effect without a port", {"path": "/", "hostname": "x"}, RouteSpec("a", paths=("/",))),
    ("Go's booleans", {"path": "/", "skipcheck": "True"}, RouteSpec("a", paths=("/",), skip_check=True)),
)


@pytest.mark.parametrize(("keys", "spec"), [row[1:] for row in LEGACY], ids=[row[0] for row in LEGACY])
def test_a_service_of_2016_is_read(keys: dict[str, str], spec: RouteSpec) -> None:
    assert route.from_legacy("a", keys) == spec


@pytest.mark.parametrize("keys", [{"path": ""}, {"path": "/a\nb"}, {"path": "/", "skipcheck": "x"}])
def test_a_service_of_2016_that_makes_no_sense_is_refused(keys: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        route.from_legacy("a", keys)


@pytest.mark.parametrize("data", [{"service": "a"}, {"service": "a\n", "paths": ["/"]},
                                  {"service": "a", "paths": ["/a\nserver x"]}, {"service": "a", "paths": ["/a", ""]}])
def test_what_is_stored_is_checked_like_what_is_asked(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        route.from_json(data)


def test_a_colour_is_part_of_the_name_in_the_catalog_and_of_no_other() -> None:
    spec = parse(**BASE, serviceColor="blue").spec
    assert (spec.catalog_name, spec.backend, spec.service) == ("go-demo-blue", "go-demo-be", "go-demo")
    assert parse(**BASE, port="8080").spec.backend == "go-demo-be8080"


@pytest.mark.parametrize(("paths", "domains", "fine"), [(64, 64, True), (65, 64, False), (256, 16, True),
                                                        (256, 256, False), (256, 0, True)])
def test_paths_times_domains_are_bounded(paths: int, domains: int, fine: bool) -> None:
    given = {"serviceName": ["x"], "servicePath": [",".join(f"/{n}" for n in range(paths))],
             "serviceDomain": [",".join(f"d{n}.com" for n in range(domains))]}
    if fine:
        assert len(route.parse_request(given).spec.domains) == domains
        return
    with pytest.raises(InvalidRequest) as caught:
        route.parse_request(given)
    fault, = caught.value.faults
    assert fault.name == "servicePath"
    assert f"{paths} items for {domains} of serviceDomain" in fault.fault
