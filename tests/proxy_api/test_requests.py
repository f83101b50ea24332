"""The parameters of a request: what each takes, what it refuses and how it says so, and how a route is stored."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_api.core import parameters, requests, stored_spec
from proxy_api.core.errors import Fault, InvalidRequest
from proxy_api.core.parameters import predecessor
from proxy_api.core.spec import Http, ServiceSpec, Target
from tests.specs import backend_of, spec_of, templated

BASE = {"serviceName": "go-demo", "servicePath": "/demo"}


def parse(**parameters: str) -> requests.Request:
    return requests.parse_request({name: [text] for name, text in parameters.items()})


def faults(set_strict: bool = False, **parameters: str | list[str]) -> tuple[Fault, ...]:
    given = {name: [text] if isinstance(text, str) else text for name, text in parameters.items()}
    with pytest.raises(InvalidRequest) as caught:
        requests.parse_request(given, set_strict)
    return caught.value.faults


# --- what each parameter takes -------------------------------------------------------------------------------------

LABEL63 = "a" * 63
HOST253 = ".".join([LABEL63, LABEL63, LABEL63, "a" * 61])

GOOD: tuple[tuple[str, str, str, Any], ...] = (
    # parameter, text, field, value
    ("serviceName", "go-demo", "name", "go-demo"),
    ("serviceName", "7.A_b-c", "name", "7.A_b-c"),
    ("serviceName", "a" * 128, "name", "a" * 128),
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
    ("consulTemplatePath", "/consul_templates/go-demo.tmpl", "sections", "/consul_templates/go-demo.tmpl"),
    ("consulTemplatePath", "a/b.j2", "sections", "a/b.j2"),
)


@pytest.mark.parametrize(("parameter", "text", "field", "value"), GOOD)
def test_a_good_value_fills_its_field(parameter: str, text: str, field: str, value: object) -> None:
    request = parse(**{"strict": "true", **BASE, parameter: text})
    parts = (request.spec, request.spec.body) if request.spec.templated else (request.spec, *(
        getattr(request.spec.destinations[0], part) for part in ("match", "policy", "target")))
    assert [getattr(part, field) for part in parts if hasattr(part, field)] == [value]


@pytest.mark.parametrize(("text", "value"), [
    ("db.internal", "db.internal"), ("_srv.a-b", "_srv.a-b"), ("10.0.0.1", "10.0.0.1"), ("::1", "::1"),
    ("[2001:DB8::0:1]", "2001:db8::1"), ("::ffff:10.0.0.1", "::ffff:a00:1"),
])
def test_an_outbound_host_is_a_name_or_an_address(text: str, value: str) -> None:
    target = parse(**BASE, outboundHostname=text, port="80").spec.destinations[0].target
    assert target.port == 80
    if ":" in value:
        assert ipaddress.ip_address(target.host) == ipaddress.ip_address(value)
    else:
        assert target.host == value


BAD: tuple[tuple[str, str, str, str], ...] = (
    # parameter, text, a part of what is wrong, a part of what would be right
    ("serviceName", "-a", "is not a name", "beginning with a letter or digit"),
    ("serviceName", ".portbook", "is not a name", "beginning with a letter or digit"),
    ("serviceName", "a/b", "'a/b' is not a name", "letters, digits"),
    ("serviceName", "a..b", "'a..b' is not a name", "single '.'"),
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


@pytest.mark.parametrize("parameter", [p.name for p in parameters.SPEC] + ["distribute", "strict"])
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
        spec = parse(serviceName="a", servicePath=paths, pathType=path_type).spec
        assert spec.destinations[0].match.paths == tuple(paths.split(","))
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
    assert spec.destinations == ()


def test_a_domain_alone_means_all_of_it() -> None:
    assert parse(serviceName="a", serviceDomain="acme.com").spec.destinations[0].match.paths == ("/",)


@pytest.mark.parametrize("name", [n for n in parameters.NAMES if n not in ("serviceName", "dryRun")])
def test_an_empty_value_is_not_given(name: str) -> None:
    given = {"serviceName": "a", "serviceDomain": "acme.com"} if name == "servicePath" else dict(BASE)
    assert parse(**{**given, name: ""}) == parse(**given)


@pytest.mark.parametrize("name", ["dryrun", "dry_run", "dry-run", "DRYRUN", "DryRun", "dryRn", "dry"])
def test_what_was_to_be_a_dry_run_is_never_made(name: str) -> None:
    assert faults(**BASE, **{name: "true"}) == (Fault(name, "is not a known parameter", "did you mean dryRun?"),)
    with pytest.raises(InvalidRequest, match="did you mean dryRun"):
        requests.parse_removal({"serviceName": ["a"], name: ["true"]})


@pytest.mark.parametrize(("text", "dry_run"), [("true", True), ("1", True), ("false", False), ("no", False)])
def test_a_dry_run_is_asked_for(text: str, dry_run: bool) -> None:
    assert parse(**BASE, dryRun=text).steering.dry_run is dry_run
    assert requests.parse_removal({"serviceName": ["a"], "dryRun": [text]}).steering.dry_run is dry_run
    assert parse(**BASE, dryRun=text).spec == parse(**BASE).spec, "what is stored does not know of it"


@pytest.mark.parametrize("text", ["", "maybe", "2", " true"])
def test_a_dry_run_that_is_unclear_is_a_fault(text: str) -> None:
    assert faults(**BASE, dryRun=text) == (Fault("dryRun", f"{text!r} is not a boolean", "use true or false"),)
    with pytest.raises(InvalidRequest, match=r"dryRun: .* is not a boolean"):
        requests.parse_removal({"serviceName": ["a"], "dryRun": [text]})


@pytest.mark.parametrize("name", parameters.NAMES)
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
    *(row.name for row in predecessor.ROWS if row.effect != "nothing"), "users.1", "httpsOnly.2", "HttpsOnly",
    "DENYHTTP", "serviceheader.10", "timeoutServer.1"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_parameter_that_changes_who_gets_in_or_what_is_served_is_never_ignored(name: str, strict: bool) -> None:
    """DFP took an index behind a name, and any case for those it filled by reflection (reference 2.1)."""
    found, = faults(set_strict=strict, **BASE, **{name: "x"})
    assert (found.name, found.fault) == (name, "the predecessor has this, this version does not")
    assert "did you mean" not in found.wanted


@pytest.mark.parametrize(("name", "text"), [
    ("reqMode", "http"), ("reqMode", "HTTP"), ("httpsOnly", "false"), ("denyHttp.1", "F"), ("discoveryType", "Overlay"),
    ("users", ""), ("replicas", "3"), ("aclName", "x"), ("xForwardedProto", "true")])
def test_one_that_asks_for_what_is_served_anyway_is_told_and_ignored(name: str, text: str) -> None:
    request = parse(**BASE, **{name: text})
    assert request.spec == parse(**BASE).spec
    assert [warning for warning in request.warnings if "did you mean" in warning] == []
    assert bool(request.warnings) == bool(text)


def test_a_removal_is_not_hindered_by_what_narrows_a_route() -> None:
    removal = requests.parse_removal({"serviceName": ["a"], "users": ["x"], "httpsOnly.1": ["true"]}, strict=True)
    assert removal == requests.Removal("a", ())


def test_a_removal_has_the_same_grammar() -> None:
    with pytest.raises(InvalidRequest) as caught:
        requests.parse_removal({"serviceName": ["a/b"], "strict": ["1"], "aclNam": ["x"]})
    assert [f.name for f in caught.value.faults] == ["serviceName", "aclNam"]


def test_names_of_parameters_are_shown_without_their_line_breaks() -> None:
    warning, = parse(**BASE, **{"a\nb": "1"}).warnings
    assert r"a\nb" in warning
    assert "\n" not in warning


def test_a_flood_of_unknown_parameters_is_one_fault() -> None:
    flood = {f"p{n}": "x" for n in range(200_000)}
    assert [f.name for f in faults(**BASE, **flood)] == ["request"]
    with pytest.raises(InvalidRequest):
        requests.parse_removal({"serviceName": ["a"], **{name: [text] for name, text in flood.items()}})


@given(st.dictionaries(st.sampled_from((*parameters.NAMES, "servicePath.1", "port.2", "pathType.1"))
                       | st.text(max_size=20), st.lists(st.text(max_size=40), max_size=2), max_size=8))
@settings(max_examples=300, deadline=None)
def test_whatever_is_given_it_is_a_route_or_an_invalid_request(given: dict[str, list[str]]) -> None:
    try:
        request = requests.parse_request(given)
    except InvalidRequest as fault:
        told: tuple[str, ...] = (str(fault),)
    else:
        told = request.warnings
        assert stored_spec.from_json(stored_spec.to_json(request.spec)) == request.spec
    assert all(text and text.isprintable() for text in told)


# --- storing -------------------------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Za-z0-9](\.?[A-Za-z0-9_-]){0,15}", fullmatch=True)
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
def test_json_gives_back_the_route(spec: ServiceSpec) -> None:
    assert stored_spec.from_json(stored_spec.to_json(spec)) == spec


@given(specs)
@settings(deadline=None)
def test_the_keys_of_2016_give_back_all_but_follow(spec: ServiceSpec) -> None:
    keys = stored_spec.to_legacy(spec)
    assert set(stored_spec.ALWAYS_WRITTEN) <= set(keys) <= set(stored_spec.LEGACY_KEYS)
    back = stored_spec.from_legacy(spec.name, keys)
    assert back.follow == "restarts"
    assert back == replace(spec, follow="restarts")


def test_the_keys_of_2016_are_written_as_the_predecessor_wrote_them() -> None:
    spec = parse(serviceName="go-demo", servicePath="/demo,/x", serviceDomain="a.com", serviceColor="blue").spec
    assert stored_spec.to_legacy(spec) == {
        "path": "/demo,/x", "color": "blue", "domain": "a.com", "pathtype": "", "skipcheck": "false",
        "consultemplatefepath": "", "consultemplatebepath": ""}


LEGACY = (
    ("what v#195 shows", {"path": "/demo", "color": "", "domain": "", "pathtype": "", "skipcheck": "false"},
     spec_of("a", paths=("/demo",))),
    ("templates of 2016-05-28", {"path": "", "consultemplatefepath": "/f", "consultemplatebepath": "/b"},
     templated("a", frontend="/f", backend="/b")),
    ("the one template of 2016-05-19", {"path": "", "consultemplatepath": "/t"}, templated("a", "/t")),
    ("a host name that had no effect without a port", {"path": "/", "hostname": "x"}, spec_of("a")),
    ("Go's booleans", {"path": "/", "skipcheck": "True"}, spec_of("a", skip_check=True)),
)


@pytest.mark.parametrize(("keys", "spec"), [row[1:] for row in LEGACY], ids=[row[0] for row in LEGACY])
def test_a_service_of_2016_is_read(keys: dict[str, str], spec: ServiceSpec) -> None:
    assert stored_spec.from_legacy("a", keys) == spec


@pytest.mark.parametrize("keys", [{"path": ""}, {"path": "/a\nb"}, {"path": "/", "skipcheck": "x"}])
def test_a_service_of_2016_that_makes_no_sense_is_refused(keys: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        stored_spec.from_legacy("a", keys)


@pytest.mark.parametrize("data", [
    {"serviceName": "a"}, {"serviceName": "a\n", "destinations": [{"index": 0, "servicePath": ["/"]}]},
    {"serviceName": "a", "destinations": [{"index": 0, "servicePath": ["/a\nserver x"]}]},
    {"serviceName": "a", "destinations": [{"index": 0, "servicePath": ["/a", ""]}]},
    {"serviceName": "a", "destinations": [{"index": 2, "servicePath": ["/a"]}]}])
def test_what_is_stored_is_checked_like_what_is_asked(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        stored_spec.from_json(data)


@pytest.mark.parametrize(("data", "told"), [
    ({"serviceName": "a", "users": ["x"], "destinations": []}, "its spec has the field 'users'"),
    ({"serviceName": "a", "servicePath": ["/"]}, "its spec has the field 'servicePath'"),
    ({"serviceName": "a", "destinations": [{"index": 0, "servicePath": ["/"], "denyHttp": True}]},
     "a destination has the field 'denyHttp'"),
])
def test_a_stored_field_that_is_not_known_is_a_refusal(data: dict[str, Any], told: str) -> None:
    with pytest.raises(stored_spec.UnknownField, match=told):
        stored_spec.from_json(data)


def test_a_spec_of_schema_1_is_read() -> None:
    data = {"service": "a", "color": "blue", "paths": ["/x"], "domains": ["a.com"], "path_type": "path",
            "skip_check": True, "template": "", "template_fe": "", "template_be": "", "follow": "all", "port": 80,
            "outbound": "x.org"}
    assert stored_spec.from_json_1(data) == spec_of(
        "a", color="blue", paths=("/x",), domains=("a.com",), path_type="path", skip_check=True, follow="all", port=80,
        host="x.org")
    with pytest.raises(stored_spec.UnknownField, match="'users'"):
        stored_spec.from_json_1({**data, "users": []})


# --- several destinations --------------------------------------------------------------------------------------------

def test_numbered_parameters_are_destinations_and_the_plain_ones_their_defaults() -> None:
    spec = parse(**{"strict": "true", "serviceName": "a", "pathType": "path_reg", "servicePath.1": "^/x",
                    "servicePath.2": "/y", "pathType.2": "path", "port.2": "81", "outboundHostname.2": "b.org",
                    "serviceDomain": "a.com"}).spec
    one, two = spec.destinations
    assert (one.index, one.match, one.target) == (1, Http(("^/x",), ("a.com",), "path_reg"), Target())
    assert (two.index, two.match, two.target) == (2, Http(("/y",), ("a.com",), "path"), Target(81, "b.org"))
    assert [name for name, _ in spec.backends()] == ["a-be", "a-be81"]


def test_backends_of_one_service_have_names_of_their_own() -> None:
    spec = parse(**{"serviceName": "a", "servicePath.1": "/x", "servicePath.2": "/y", "port.2": "8080",
                    "servicePath.3": "/z", "port.3": "8080"}).spec
    assert [name for name, _ in spec.backends()] == ["a-be", "a-be8080", "a-be8080_3"]


@pytest.mark.parametrize(("given", "wanted"), [
    ({"servicePath.1": "/a", "servicePath.3": "/b"},
     {"servicePath": "has a destination 3 and none with the number 2"}),
    ({"servicePath.2": "/a"}, {"servicePath": "has a destination 2 and none with the number 1"}),
    ({"servicePath.0": "/a", "servicePath.1": "/a"}, {"servicePath.0": "is numbered"}),
    ({"servicePath.01": "/a", "servicePath.1": "/a"}, {"servicePath.01": "is numbered"}),
    ({"servicePath.1": "/a", "serviceColor.1": "blue"}, {"serviceColor.1": "is numbered"}),
    ({"servicePath.1": "a b"}, {"servicePath.1": "item 1, 'a b' does not begin with '/'"}),
    ({"pathType.1": "path"}, {"servicePath.1": "is missing"}),
    ({"servicePath.1": "/a", "outboundHostname.1": "x"}, {"port.1": "is missing"}),
    ({"servicePath": "/a|b", "pathType.1": "path"}, {"servicePath": "'/a|b' has a character that a path cannot have"}),
])
def test_what_is_wrong_with_a_destination_is_said_with_its_number(
        given: dict[str, str], wanted: dict[str, str]) -> None:
    found = {f.name: f.fault for f in faults(serviceName="a", **given)}
    assert found.keys() == wanted.keys()
    assert all(text in found[name] for name, text in wanted.items())


@given(st.lists(st.fixed_dictionaries({"servicePath": literals}, optional={
    "serviceDomain": hosts, "port": st.integers(1, 65535).map(str), "skipCheck": st.sampled_from(("true", "false"))}),
    min_size=1, max_size=4))
@settings(deadline=None)
def test_any_number_of_destinations_is_given_back(given: list[dict[str, str]]) -> None:
    texts = {f"{name}.{n}": text for n, row in enumerate(given, 1) for name, text in row.items()}
    spec = parse(serviceName="a", strict="true", **texts).spec
    assert len(spec.destinations) == len(given)
    assert stored_spec.from_json(stored_spec.to_json(spec)) == spec
    names = [name for name, _ in spec.backends()]
    assert len(set(names)) == len(names)


def test_a_colour_is_part_of_the_name_in_the_catalog_and_of_no_other() -> None:
    spec = parse(**BASE, serviceColor="blue").spec
    assert (spec.catalog_name, backend_of(spec), spec.name) == ("go-demo-blue", "go-demo-be", "go-demo")
    assert backend_of(parse(**BASE, port="8080").spec) == "go-demo-be8080"


@pytest.mark.parametrize(("paths", "domains", "fine"), [(64, 64, True), (65, 64, False), (256, 16, True),
                                                        (256, 256, False), (256, 0, True)])
def test_paths_times_domains_are_bounded(paths: int, domains: int, fine: bool) -> None:
    given = {"serviceName": ["x"], "servicePath": [",".join(f"/{n}" for n in range(paths))],
             "serviceDomain": [",".join(f"d{n}.com" for n in range(domains))]}
    if fine:
        assert len(requests.parse_request(given).spec.destinations[0].match.domains) == domains
        return
    with pytest.raises(InvalidRequest) as caught:
        requests.parse_request(given)
    fault, = caught.value.faults
    assert fault.name == "servicePath"
    assert f"{paths} items for {domains} of serviceDomain" in fault.fault
