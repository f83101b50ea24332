"""Whatever is accepted renders to a configuration that HAProxy takes, with exactly the sections and servers meant."""

from __future__ import annotations

import ipaddress
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from catalog.model import Instance
from proxy_api.core import render
from proxy_api.core.errors import InvalidRequest
from proxy_api.core.release import Release, admit
from proxy_api.core.render import Bind, Rendered, Surroundings, check_options
from proxy_api.core.requests import parse_request
from proxy_api.core.resolve import resolve
from proxy_api.core.spec import ServiceSpec
from proxy_api.core.state import ProxyState
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.global_config import auto_maxconn, text_environment
from tests.specs import backend_of, spec_of

AROUND = Surroundings((Bind("127.0.0.1:8000"), Bind("127.0.0.1:8001", "accept-proxy")), "/tmp/pb.sock",
                      (("connect", "5s"), ("client", "20s"), ("server", "20s")), "http-keep-alive", 5)
ENVIRONMENT = text_environment()


@pytest.fixture(scope="module")
def haproxy() -> Iterator[Haproxy]:
    base = Path(tempfile.mkdtemp(prefix="pb-c-", dir="/tmp"))
    yield Haproxy(str(base))
    shutil.rmtree(base)


def rendered(releases: Mapping[str, Release]) -> Rendered:
    found = resolve(releases, None, AROUND.shared_binds(), ProxyState())
    assert not found.broken
    return render.render(found.state, AROUND, ENVIRONMENT)


# --- anything that is accepted -------------------------------------------------------------------------------------

# Texts of every sort, most of them refused by the parser; what it takes has to render.
nasty = st.sampled_from(("'", '"', "\\", "{", "}", "%[src]", "${HOME}", "#", "`", "$", "\n", " ", "\t", "\0", "\u2028",
                         "é", "|", "(", "*", "+", ";", "&", "!", "--", "-i", "-f", "%2F", "..", "//", "~", "@", "{3}"))
piece = st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True) | nasty
word = st.lists(piece, min_size=1, max_size=4).map("".join)
names = st.from_regex(r"[A-Za-z0-9](\.?[A-Za-z0-9_-]){0,9}", fullmatch=True)
paths = st.lists(word.map("/{}".format) | word | st.just("/"), min_size=1, max_size=4).map(",".join)
hosts = st.from_regex(r"(\*\.)?[A-Za-z0-9_]{1,5}(\.[a-z0-9]{1,5}){0,3}", fullmatch=True)
requests = st.fixed_dictionaries({"serviceName": names | word}, optional={
    "servicePath": paths,
    "serviceDomain": st.lists(hosts | word, min_size=1, max_size=3).map(",".join),
    "pathType": st.sampled_from(("path_beg", "path", "path_dir", "path_end", "path_sub")),
    "serviceColor": names, "skipCheck": st.sampled_from(("true", "false")),
    "port": st.integers(1, 65535).map(str),
    "outboundHostname": st.ip_addresses().map(str) | word,
    "follow": st.sampled_from(("never", "restarts", "all")),
})


def accepted(texts: Mapping[str, str]) -> ServiceSpec | None:
    try:
        return parse_request({name: [text] for name, text in texts.items()}).spec
    except InvalidRequest:
        return None


specs = requests.map(accepted).filter(lambda s: s is not None)
regexes = st.builds(
    lambda name, paths: spec_of(name, paths=paths, path_type="path_reg"), names,
    st.lists(st.sampled_from(("^/a[0-9]{1}$", r"\.(png|jpg)$", "^/[^/]+/x", "a|b", "^/$", r"\\$", "[a-z]*;(x|y)")),
             min_size=1, max_size=3, unique=True).map(tuple))
addresses = (st.ip_addresses().map(str) | st.sampled_from((
    "a..b", ".", "..", "a.b.invalid.", "1:2:3", "1.2.3", "999.1.1.1", "-", "_", "0x7f.1", "x" * 64, "", "a b", "[::1]",
    "::1%eth0", "unix@/x", "/tmp/x", "fd@3", "h\n server x", "é", "ipv4@1.2.3.4", "${HOME}", "-f", "127.0.0.1:80"))
    | st.text(max_size=12))
instances = st.lists(
    st.builds(Instance, node=st.text(max_size=20) | st.just("n" * 200), id=st.text(max_size=20), service=names,
              address=addresses, port=st.integers(-1, 70000), container=st.text(max_size=5),
              tags=st.lists(st.text(max_size=5), max_size=2).map(tuple)),
    max_size=4, unique_by=lambda i: (i.node, i.id))
several = st.lists(st.tuples(specs | regexes, instances), max_size=5, unique_by=lambda pair: pair[0].name)


def release_of(spec: ServiceSpec, found: list[Instance]) -> Release:
    return Release(spec) if not spec.uses_catalog else Release(spec, (admit(spec.catalog_name, "any", found),))


ALLOWED = {
    "global": r"default-path|stats|mworker-max-reloads|maxconn|no strict-limits|hard-stop-after"
              r"|tune\.ssl\.default-dh-param|ssl-default-bind-options",
    "defaults": r"mode|balance|option|retries|timeout|default-server",
    "resolvers": r"parse-resolv-conf|hold|resolve_retries|timeout",
    "frontend": r"bind|option forwardfor$|http-request (set-header X-Forwarded-Proto|set-path / if )"
                r"|http-request (set-var\(txn\.|unset-var\(txn\.)"
                r"|acl pb:|use_backend %\[var\(txn\.backend\)\] if pb:found$",
    "backend": r"server",
}


def sections(text: str) -> dict[str, list[str]]:
    """The configuration read as HAProxy reads it: a word in the first column begins a section."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if not line or line.lstrip().startswith("#"):
            continue
        if line.startswith(" "):
            found[list(found)[-1]].append(line.strip())
        else:
            assert line not in found, f"two sections {line}"
            found[line] = []
    return found


def address_of(word: str) -> tuple[str, int]:
    host, _, port = word.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def expected_servers(spec: ServiceSpec, release: Release) -> dict[int, tuple[str, int]]:
    """Number to address, by a rule written for this test: an IP address, or a name that can be looked up."""
    target = spec.destinations[0].target
    if target.host:
        return {0: (target.host, target.port)}
    found = {}
    for member in release.members():
        i = member.instance
        name = re.fullmatch(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?", i.address,
                            re.ASCII) and not re.fullmatch(r"[0-9.]+", i.address)
        if 1 <= i.port <= 65535 and "%" not in i.address and (is_ip(i.address) or name):
            found[member.number] = (i.address.removesuffix("."), i.port)
    return found


@given(several)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking would take minutes of HAProxy's checks
def test_what_is_accepted_is_served_and_nothing_else(haproxy: Haproxy, chosen: list[tuple[ServiceSpec, list]]) -> None:
    releases = {spec.name: release_of(spec, found) for spec, found in chosen}
    result = rendered(releases)
    # Looking names up would ask the network; HAProxy takes any address there, so its word on the line counts the same.
    files = dict(result.config.files)
    files["haproxy.cfg"] = files["haproxy.cfg"].replace("init-addr last,none", "init-addr last,none")
    haproxy.config_check.check(replace(result.config, files=tuple(files.items())))
    shutil.rmtree(Path(haproxy.runtime.path).parent / "config")

    found = sections(result.config.text())
    backends = {f"backend {backend_of(spec)}": spec for spec, _ in chosen}
    named = any(not is_ip(a) for s, r in releases.items() for a, _ in expected_servers(r.spec, r).values())
    assert set(found) == {"global", "defaults", "frontend services", *backends,
                          *(["resolvers system"] if named else [])}
    for title, lines in found.items():
        for line in lines:
            assert re.match(ALLOWED[title.split()[0]], line), f"{title}: {line}"
    for title, spec in backends.items():
        wanted = expected_servers(spec, releases[spec.name])
        served = {}
        for line in found[title]:
            _, name, address, *rest = line.split(" ")
            number, port = re.fullmatch(r"[A-Za-z0-9.:_-]+_(\d+)_(\d+)", name, re.ASCII).groups()
            served[int(number)] = address_of(address)
            assert served[int(number)][1] == int(port)
            resolves = [] if is_ip(served[int(number)][0]) else ["resolvers", "system", "init-addr", "last,none"]
            assert rest == [*([] if spec.destinations[0].policy.skip_check else ["check"]), *resolves]
        assert {n: (str(ipaddress.ip_address(a)) if is_ip(a) else a, p) for n, (a, p) in wanted.items()} == served
        assert len(found[title]) == len(served)
    for name, text in result.config.files:
        if name.endswith(("-path.map", "-prefix.map")):
            targets = {backend_of(spec) for spec, _ in chosen}
            for line in text.splitlines():
                key, value = line.split(" ")
                assert key and value.split("|")[-1] in targets


@given(several, st.randoms())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_equal_states_are_equal_bytes(chosen: list[tuple[ServiceSpec, list]], random: object) -> None:
    one = {spec.name: release_of(spec, found) for spec, found in chosen}
    shuffled = [(spec, list(found)) for spec, found in chosen]
    random.shuffle(shuffled)
    for _, found in shuffled:
        random.shuffle(found)
    other = {spec.name: release_of(spec, found) for spec, found in shuffled}
    assert rendered(one).config == rendered(other).config


# --- some cases with names -----------------------------------------------------------------------------------------

def instance(address: str, port: int = 80, node: str = "n1", id: str = "i") -> Instance:
    return Instance(node, id, "a", address, port)


SERVERS = (
    ("an IPv4 address", instance("10.0.0.1", 8080), "server n1_0_8080 10.0.0.1:8080 check"),
    ("an IPv6 address is put in brackets", instance("2001:db8::1"), "server n1_0_80 [2001:db8::1]:80 check"),
    ("a name is looked up by HAProxy, and need not be known at the start", instance("db.internal"),
     "server n1_0_80 db.internal:80 check resolvers system init-addr last,none"),
    ("a name with its final dot", instance("db.internal."),
     "server n1_0_80 db.internal:80 check resolvers system init-addr last,none"),
    ("what a node's name has that a server's cannot is replaced", instance("10.0.0.1", node="a b'\n{é"),
     "server a_b_____0_80 10.0.0.1:80 check"),
    ("a node without a name", instance("10.0.0.1", node=""), "server node_0_80 10.0.0.1:80 check"),
)


@pytest.mark.parametrize(("found", "line"), [row[1:] for row in SERVERS], ids=[row[0] for row in SERVERS])
def test_the_server_line_of_an_instance(found: Instance, line: str) -> None:
    spec = spec_of("a", paths=("/",))
    assert sections(rendered({"a": release_of(spec, [found])}).config.text())["backend a-be"] == [line]


# `a..b` and the like end HAProxy's check without a word, which would blame the service's change for it.
@pytest.mark.parametrize("address", ["", "a..b", ".", "..", "1.2.3", "999.1.1.1", "127.1", "1:2:3", "a b", "a\nb",
                                     "::1%x", "unix@/tmp/x", "[::1]", "x" * 64, "é", "\u017fx"])
def test_an_instance_whose_address_is_none_is_left_out_and_named(address: str) -> None:
    spec = spec_of("a", paths=("/",))
    release = release_of(spec, [instance(address), instance("10.0.0.1", id="good")])
    found = resolve({"a": release}, None, (), ProxyState()).state.services[0]
    assert [s.address for s in found.servers] == ["10.0.0.1"]
    assert len(found.left_out) == 1
    assert "is no address to send to" in found.left_out[0]


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_an_instance_without_a_usable_port_is_left_out(port: int) -> None:
    release = release_of(spec_of("a", paths=("/",)), [instance("10.0.0.1", port)])
    assert resolve({"a": release}, None, (), ProxyState()).state.services[0].servers == ()


def test_nothing_at_all_is_a_frontend_that_answers_503(haproxy: Haproxy) -> None:
    result = rendered({})
    haproxy.config_check.check(result.config)
    assert list(sections(result.config.text())) == ["global", "defaults", "frontend services"]
    assert not [name for name, _ in result.config.files if "prefix" in name or "path" in name]


def test_the_digest_is_in_the_text_and_moves_with_any_map() -> None:
    one = rendered({"a": Release(spec_of("a", paths=("/a",)))})
    other = rendered({"a": Release(spec_of("a", paths=("/b",)))})
    assert any(one.config.digest in text for _, text in one.config.files), "HAProxy is asked for it"
    assert one.config.digest != other.config.digest


QUOTED = (("plain", "'plain'"), ("it's", r"'it'\''s'"), ('a"b\\c#d {e} $f', "'a\"b\\c#d {e} $f'"), ("", "''"))


@pytest.mark.parametrize(("text", "wanted"), QUOTED)
def test_strong_quotes_leave_nothing_special(text: str, wanted: str) -> None:
    assert render.quoted(text) == wanted


@pytest.mark.parametrize("text", ["", " ", "a b", "a\n", "a'b", 'a"b', "a\\b", "a#b", "é", "\0"])
def test_what_is_no_plain_word_is_not_written(text: str) -> None:
    with pytest.raises(ValueError, match="no plain word"):
        render.word(text)


def test_a_tls_address_is_bound_once_there_is_a_certificate() -> None:
    around = replace(AROUND, binds=(Bind("*:80"), Bind("*:443", "no-tlsv13", tls=True)))
    without = render.render(ProxyState(), around, ENVIRONMENT).config
    binds = [line for line in sections(without.text())["frontend services"] if line.startswith("bind")]
    assert binds == ["bind *:80"]
    with_one = render.render(ProxyState(), replace(around, certificates=(("/certs/a.pem", "d1"),)), ENVIRONMENT).config
    binds = [line for line in sections(with_one.text())["frontend services"] if line.startswith("bind")]
    assert binds == ["bind *:80", "bind *:443 ssl crt-list certificates.crt-list alpn h2,http/1.1 no-tlsv13"]
    assert with_one.text("certificates.crt-list") == "# d1\n/certs/a.pem\n"
    renewed = render.render(ProxyState(), replace(around, certificates=(("/certs/a.pem", "d2"),)), ENVIRONMENT).config
    assert renewed.digest != with_one.digest, "renewed in place"


@pytest.mark.parametrize(("servers", "seconds"), [(0, 2), (5000, 2), (5001, 4), (10_000, 4), (30_000, 16)])
def test_the_more_servers_the_slower_they_are_checked(servers: int, seconds: int) -> None:
    assert f" inter {seconds}s fastinter 500ms " in f" {check_options(servers)}"
    assert servers / seconds <= 2500


@pytest.mark.parametrize(("open_files", "connections"), [
    (-1, 50_000), (1_048_576, 50_000), (20_000, 8000), (1024, 409), (64, 100)])
def test_the_limit_of_open_files_leaves_some_for_the_checks(open_files: int, connections: int) -> None:
    assert auto_maxconn(open_files) == connections
