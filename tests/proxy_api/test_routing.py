"""Which request goes where, asked of a real HAProxy that serves what `render` wrote."""

from __future__ import annotations

import http.client
import random
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.local import ConsulServer, ProxyProcess, free_port, loopback_address, run
from deploy.origin import Origin
from proxy_api.core import render, requests, routing
from proxy_api.core.errors import ConfigRejected
from proxy_api.core.render import Bind, Surroundings
from proxy_api.core.spec import ServiceSpec
from proxy_api.core.state import ProxyState, Server
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.global_config import text_environment
from proxy_api.haproxy.runtime_socket import NotRunning
from tests.specs import served

NONE = "503"
NAMES = ("aa", "bb", "cc", "dd", "ee", "ff")


@dataclass
class Data:
    """A real HAProxy that is given routes, with one real origin for each service."""

    haproxy: Haproxy
    around: Surroundings
    origins: Mapping[str, Origin]
    address: tuple[str, int]
    _connection: http.client.HTTPConnection | None = field(default=None)

    def serve(self, specs: Sequence[ServiceSpec]) -> None:
        """Let HAProxy serve exactly these."""
        services = tuple(
            served(spec, (Server(f"s_{spec.name}", self.origins[spec.name].host, self.origins[spec.name].port),))
            for spec in sorted(specs, key=lambda s: s.name))
        config = render.render(ProxyState(services), self.around, text_environment()).config
        self.haproxy.config_check.check(config)
        self.haproxy.files.swap(config)
        self.haproxy.reloader.reload(config.digest)
        self.close()

    def ask(self, host: str | None, path: str, version: str = "1.1") -> str:
        """The service that answers, or the status when it is none."""
        if version != "1.1":
            return self.raw(f"GET {path} HTTP/{version}\r\n" + (f"Host: {host}\r\n" if host is not None else ""))
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self.address, timeout=5)
        self._connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        if host is not None:
            self._connection.putheader("Host", host)
        self._connection.endheaders()
        reply = self._connection.getresponse()
        reply.read()
        if reply.will_close:
            self.close()
        return str(reply.headers["X-Instance"] or reply.status)

    def raw(self, head: str) -> str:
        """The same for a request that no library would send."""
        with socket.create_connection(self.address, timeout=5) as connection:
            connection.sendall(head.encode() + b"Connection: close\r\n\r\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        text = answer.decode(errors="replace")
        found = re.search(r"^x-instance: (\S+)", text, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else text.split()[1]

    def http2(self, fields: Mapping[str, str]) -> str:
        """The same over HTTP/2 without TLS."""
        # RFC 7541, 6.2.2: literal fields, neither indexed nor compressed. RFC 9113, 4.1 and 6.2: frames.
        block = b"".join(b"\0" + b"".join(bytes([len(word)]) + word.encode() for word in pair)
                         for pair in fields.items())
        headers = len(block).to_bytes(3) + b"\x01\x05" + (1).to_bytes(4) + block
        with socket.create_connection(self.address, timeout=5) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5) + headers)
            answer = b""
            # HAProxy writes fields as literals too, and the body of an origin begins with its name.
            while not (found := re.search(rb"\0\0\x00\x01(\w+) /demo|<h1>(\d+)", answer)):
                chunk = connection.recv(65536)
                assert chunk, answer
                answer += chunk
        return (found[1] or found[2]).decode()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@pytest.fixture(scope="module")
def data() -> Iterator[Data]:
    host = loopback_address()
    port = free_port(host)
    base = Path(tempfile.mkdtemp(prefix="pb-r-", dir="/tmp"))
    haproxy = Haproxy(str(base))
    around = Surroundings((Bind(f"{host}:{port}"),), haproxy.runtime.path,
                          (("connect", "5s"), ("client", "20s"), ("server", "20s")), "http-keep-alive", 5)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        origins = {name: stack.enter_context(Origin(name)) for name in NAMES}
        config = render.render(ProxyState(), around, text_environment()).config
        haproxy.config_check.check(config)
        haproxy.files.swap(config)
        process = stack.enter_context(run(haproxy.master.command(), name="haproxy", log=base / "haproxy.log"))

        def answers() -> bool:
            try:
                return haproxy.runtime.serving() == config.digest and haproxy.master.processes().worker > 0
            except NotRunning:
                return False

        process.wait_until(answers, 10, "HAProxy serves the empty configuration")
        served = Data(haproxy, around, origins, (host, port))
        stack.callback(served.close)
        yield served


def spec(service: str, paths: str = "", domains: str = "", path_type: str = "") -> ServiceSpec:
    """A route as a request would make it."""
    texts = {"serviceName": service, "servicePath": paths, "serviceDomain": domains, "pathType": path_type}
    return requests.parse_request({name: [text] for name, text in texts.items() if text}).spec


# --- the table -----------------------------------------------------------------------------------------------------

Route = tuple[str, ...]
Case = tuple[str, tuple[Route, ...], tuple[tuple[str | None, str, str], ...]]

CASES: tuple[Case, ...] = (
    ("without any route everything is 503", (), (("x.org", "/", NONE), ("x.org", "/.well-known/a", NONE))),
    ("a prefix takes what begins with it, and nothing else",
     (("aa", "/demo"),),
     (("x.org", "/demo", "aa"), ("x.org", "/demo/hello", "aa"), ("x.org", "/demonstration", "aa"),
      ("x.org", "/demo?a=/x", "aa"), ("x.org", "/dem", NONE), ("x.org", "/a/demo", NONE), ("x.org", "/", NONE),
      ("x.org", "/?/demo", NONE), ("x.org", "/DEMO", NONE))),
    ("paths are compared as they are sent",
     (("aa", "/demo,/a%2Fb"),),
     (("x.org", "//demo", NONE), ("x.org", "/%64emo", NONE), ("x.org", "/./demo", NONE),
      ("x.org", "/demo/%2e%2e/x", "aa"), ("x.org", "/a/b", NONE), ("x.org", "/a%2Fb", "aa"),
      ("x.org", "/a%2fb", NONE))),
    ("the longest prefix wins, whatever the names say",
     (("aa", "/"), ("bb", "/demo"), ("cc", "/demo/hello"), ("dd", "/dem")),
     (("x.org", "/demo/hello/1", "cc"), ("x.org", "/demo/x", "bb"), ("x.org", "/demx", "dd"), ("x.org", "/x", "aa"))),
    ("the same with the names the other way round",
     (("dd", "/"), ("cc", "/demo"), ("bb", "/demo/hello"), ("aa", "/dem")),
     (("x.org", "/demo/hello/1", "bb"), ("x.org", "/demo/x", "cc"), ("x.org", "/demx", "aa"), ("x.org", "/x", "dd"))),
    ("an exact path beats a prefix of any length it has",
     (("aa", "/demo"), ("bb", "/demo", "", "path")),
     (("x.org", "/demo", "bb"), ("x.org", "/demo?x", "bb"), ("x.org", "/demo/", "aa"))),
    ("path_dir takes whole segments, anywhere",
     (("aa", "demo", "", "path_dir"),),
     (("x.org", "/demo", "aa"), ("x.org", "/a/demo/b", "aa"), ("x.org", "/demos", NONE), ("x.org", "/a-demo", NONE))),
    ("path_end takes what ends so",
     (("aa", ".png,.jpg", "", "path_end"),),
     (("x.org", "/a/b.png", "aa"), ("x.org", "/b.jpg?x=1", "aa"), ("x.org", "/b.png/c", NONE),
      ("x.org", "/b?c=.png", NONE))),
    ("path_sub takes what contains it",
     (("aa", "demo", "", "path_sub"),),
     (("x.org", "/a-demonstration", "aa"), ("x.org", "/dem", NONE), ("x.org", "/?demo", NONE))),
    ("path_reg takes what the expression finds",
     (("aa", "^/v[0-9]+/(x|y)$", "", "path_reg"),),
     (("x.org", "/v12/x", "aa"), ("x.org", "/v12/y", "aa"), ("x.org", "/v/x", NONE), ("x.org", "/v1/xx", NONE))),
    ("an expression that begins with a dash is no flag",
     (("aa", "-i,-f", "", "path_sub"),), (("x.org", "/a-i", "aa"), ("x.org", "/x-f", "aa"), ("x.org", "/a", NONE))),
    ("another kind of match counts by its length against a prefix",
     (("aa", "/demo/"), ("bb", ".png", "", "path_end"), ("cc", "/logo.png", "", "path_end")),
     (("x.org", "/demo/a.png", "aa"), ("x.org", "/demo/logo.png", "cc"), ("x.org", "/a.png", "bb"))),
    ("of two such the longer wins, then the first name",
     (("aa", "ab", "", "path_sub"), ("bb", "abc", "", "path_sub"), ("cc", "xyz", "", "path_sub")),
     (("x.org", "/abc", "bb"), ("x.org", "/abx", "aa"), ("x.org", "/xyzabc", "bb"), ("x.org", "/xyz-ab", "cc"))),
    ("an exact host beats a wildcard, which beats no host, whatever the paths",
     (("aa", "/long/path"), ("bb", "/long", "*.acme.com"), ("cc", "/", "www.acme.com")),
     (("www.acme.com", "/long/path", "cc"), ("x.acme.com", "/long/path", "bb"), ("x.org", "/long/path", "aa"))),
    ("where the better host has no such path, the next one counts",
     (("aa", "/a"), ("bb", "/b", "*.acme.com"), ("cc", "/c", "www.acme.com")),
     (("www.acme.com", "/a", "aa"), ("www.acme.com", "/b", "bb"), ("www.acme.com", "/c", "cc"),
      ("www.acme.com", "/d", NONE))),
    ("a deeper wildcard beats a shallower one",
     (("aa", "/", "*.acme.com"), ("bb", "/", "*.eu.acme.com"), ("cc", "/", "*.com")),
     (("a.eu.acme.com", "/", "bb"), ("a.b.eu.acme.com", "/", "bb"), ("eu.acme.com", "/", "aa"),
      ("x.acme.com", "/", "aa"), ("acme.com", "/", "cc"), ("com", "/", NONE))),
    ("a wildcard is no match for the bare domain, nor for a name that only ends alike",
     (("aa", "/", "*.acme.com"),),
     (("acme.com", "/", NONE), ("xacme.com", "/", NONE), (".acme.com", "/", NONE), ("a.acme.com", "/", "aa"),
      ("a.acme.com.evil.org", "/", NONE), ("*.acme.com", "/", "aa"))),
    ("a host is compared whole",
     (("aa", "/", "acme.com"),),
     (("acme.com", "/", "aa"), ("acme.com.evil.org", "/", NONE), ("www.acme.com", "/", NONE), ("xacme.com", "/", NONE),
      ("acme.co", "/", NONE))),
    ("a host is compared without port, case and trailing dot",
     (("aa", "/", "Acme.COM"), ("bb", "/", "*.Acme.com")),
     (("ACME.com", "/", "aa"), ("acme.com:8080", "/", "aa"), ("acme.com.", "/", "aa"), ("aCmE.com.:81", "/", "aa"),
      ("X.ACME.com:8080", "/", "bb"), ("x.acme.com.", "/", "bb"))),
    ("below /.well-known/ the host counts for nothing against a path of its own",
     (("aa", "/", "acme.com"), ("bb", "/.well-known/acme-challenge/"), ("cc", "/.well-known", "acme.com")),
     (("acme.com", "/.well-known/acme-challenge/x", "bb"), ("acme.com", "/.well-known/other", "cc"),
      ("acme.com", "/.well-known", "cc"), ("x.org", "/.well-known/acme-challenge/x", "bb"),
      ("acme.com", "/", "aa"), ("acme.com", "/x/.well-known/acme-challenge/", "aa"))),
    ("among the paths below /.well-known/ the host counts as ever",
     (("aa", "/.well-known/"), ("bb", "/.well-known/", "acme.com"), ("cc", "/.well-known/x/", "*.com"),
      ("dd", "/.well-known/x/y", "acme.com", "path")),
     (("acme.com", "/.well-known/x/", "bb"), ("b.com", "/.well-known/x/", "cc"), ("b.com", "/.well-known/", "aa"),
      ("acme.com", "/.well-known/x/y", "dd"), ("acme.com", "/well-known/", NONE))),
    ("the first name takes what two services ask for",
     (("bb", "/demo", "acme.com"), ("aa", "/demo", "ACME.com"), ("cc", "/x,/demo", "acme.com")),
     (("acme.com", "/demo", "aa"), ("acme.com", "/x", "cc"))),
    ("several paths and hosts are every pair of them",
     (("aa", "/a,/b", "a.com,*.b.com"), ("bb", ".png,.gif", "a.com,*.b.com", "path_end")),
     (("a.com", "/a", "aa"), ("a.com", "/b", "aa"), ("x.b.com", "/b", "aa"), ("b.com", "/a", NONE),
      ("a.com", "/x.gif", "bb"), ("x.b.com", "/x.png", "bb"), ("x.org", "/x.png", NONE))),
    ("a domain alone takes all of it",
     (("aa", "", "acme.com"), ("bb", "/demo")),
     (("acme.com", "/demo", "aa"), ("acme.com", "/x", "aa"), ("x.org", "/demo", "bb"), ("x.org", "/", NONE))),
    ("a Host header that holds a path is no way around the path asked for",
     (("aa", "/public"), ("bb", "/public", "acme.com"), ("cc", "/public", "*.acme.com")),
     (("/public", "/internal", NONE), ("acme.com/public", "/internal", NONE), ("x.acme.com/public", "/internal", NONE),
      ("acme.com/public:80", "/internal", NONE), ("acme.com/public", "/public", "aa"))),
    ("without a host only routes without one match",
     (("aa", "/a"), ("bb", "^/a/[a-z]+$", "", "path_reg"), ("cc", "/", "acme.com"), ("dd", "/", "*.acme.com"),
      ("ee", "/.well-known/x/")),
     ((None, "/a", "aa"), (None, "/a/b", "bb"), ("", "/a/b", "bb"), (".", "/a/b", "bb"), ("", "/x", NONE),
      ("/", "/a/b", "bb"), (":80", "/a/b", "bb"))),
    ("a request below /.well-known/ leaves nothing behind that changes the routes",
     (("aa", "/"), ("bb", "^/.well-known/[a-z]+$", "", "path_reg"), ("cc", "/", "acme.com"), ("ee", "/.well-known/x/")),
     ((None, "/.well-known/abc", "bb"), ("", "/.well-known/abc", "bb"), ("x.org", "/.well-known/abc", "bb"),
      ("acme.com", "/.well-known/abc", "cc"), ("x.org", "/.well-known/x/1", "ee"))),
)


@pytest.mark.parametrize(("routes", "requests"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_request_goes_where_the_table_says(
        data: Data, routes: Sequence[Route], requests: Sequence[tuple[str | None, str, str]]) -> None:
    data.serve([spec(*r) for r in routes])
    found = [(host, path, data.ask(host, path)) for host, path, _ in requests]
    assert found == list(requests)


def test_requests_that_no_browser_sends(data: Data) -> None:
    data.serve([spec("aa", "/demo"), spec("bb", "/", "acme.com"), spec("cc", "^/demo/[a-z]+$", "", "path_reg")])
    assert data.raw("OPTIONS * HTTP/1.1\r\nHost: acme.com\r\n") == NONE
    assert data.raw("GET /demo HTTP/1.0\r\n") == "aa"
    assert data.raw("GET /demo/x HTTP/1.0\r\n") == "cc"
    assert data.raw("GET /x HTTP/1.0\r\n") == NONE
    assert data.raw("GET http://acme.com/x HTTP/1.1\r\nHost: acme.com\r\n") == "bb"
    assert data.raw("GET http://x.org/demo HTTP/1.1\r\nHost: x.org\r\n") == "aa"
    assert data.raw("GET /demo HTTP/1.1\r\nHost: x.org\r\nHost: acme.com\r\n") in ("400", "bb")


# Target and Host (None: no such header), and who answers: aa has acme.com, bb any host, cc what is below acme.com.
ABSOLUTE = (
    ("http://acme.com/demo", None, "aa"), ("http://other.com/demo", None, "bb"),
    ("http://www.acme.com/demo", None, "cc"), ("http://acme.com:8080/demo", None, "aa"),
    ("http://ACME.com/demo", None, "aa"), ("http://acme.com./demo", None, "aa"),
    ("http://acme.com.:80/demo", None, "aa"), ("HTTP://acme.com/demo", None, "aa"),
    ("https://acme.com/demo", None, "aa"), ("http://user:secret@acme.com/demo", None, "aa"),
    ("http://acme.com/demo?to=http://other.com/", None, "aa"), ("http://other.com/demo?to=@acme.com", None, "bb"),
    ("http://[::1]/demo", None, "bb"), ("http://[2001:db8::1]:80/demo", None, "bb"), ("http:///demo", None, "bb"),
    ("http://acme.com/demo", "acme.com", "aa"), ("http://other.com/demo", "other.com", "bb"),
    # HAProxy refuses a Host that is another than the target's.
    ("http://acme.com/demo", "other.com", "400"), ("http://other.com/demo", "acme.com", "400"),
    ("/demo", None, "bb"), ("//acme.com/demo", None, NONE), ("/demo?x=http://acme.com/", None, "bb"),
)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_host_of_an_absolute_target_counts(data: Data, version: str) -> None:
    data.serve([spec("aa", "/demo", "acme.com"), spec("bb", "/demo"), spec("cc", "/demo", "*.acme.com")])
    for target, host, wanted in ABSOLUTE:
        head = f"GET {target} HTTP/{version}\r\n" + (f"Host: {host}\r\n" if host is not None else "")
        assert data.raw(head) == wanted, (target, host)


def test_an_absolute_target_without_a_path_asks_for_the_root(data: Data) -> None:
    for services in ([spec("aa", "/", "acme.com"), spec("bb", "/b")], [spec("aa", "/")],
                     [spec("aa", "^/$", "acme.com", "path_reg")]):
        data.serve(services)
        for target, host in (("http://acme.com", None), ("http://acme.com", "acme.com"),
                             ("http://acme.com?b=c", None)):
            head = f"GET {target} HTTP/1.1\r\n" + (f"Host: {host}\r\n" if host else "")
            assert data.raw(head) == "aa", (services, target, host)


@pytest.mark.parametrize(("fields", "wanted"), [
    ({":authority": "acme.com"}, "aa"), ({":authority": "ACME.com.:80"}, "aa"), ({":authority": "other.com"}, "bb"),
    ({":authority": "acme.com", "host": "other.com"}, "aa"), ({":authority": "other.com", "host": "acme.com"}, "bb"),
    ({"host": "acme.com"}, "aa"), ({}, "bb")])
def test_the_authority_of_http2_counts(data: Data, fields: Mapping[str, str], wanted: str) -> None:
    data.serve([spec("aa", "/demo", "acme.com"), spec("bb", "/demo")])
    assert data.http2({":method": "GET", ":scheme": "http", ":path": "/demo", **fields}) == wanted


@pytest.mark.parametrize("pattern", ["(", "[", "a(?P<x", "*"])
def test_an_expression_that_does_not_compile_is_refused_by_haproxy(data: Data, pattern: str) -> None:
    with pytest.raises(ConfigRejected, match="regex"):
        data.serve([spec("aa", pattern, "", "path_reg")])


# --- a second opinion ----------------------------------------------------------------------------------------------

def oracle(specs: Sequence[ServiceSpec], host: str | None, path: str) -> str:
    """Design section 6, by looking at everything: well-known, host class, length, kind of match, name."""
    name = (host or "").lower()
    name = name.rsplit(":", 1)[0] if re.search(r":\d*$", name) else name
    name = name.rstrip(".")
    best: tuple[object, ...] | None = None
    winner = NONE
    for s, match in [(asked, d.match) for asked in specs for d in asked.destinations]:
        kind = match.path_type or "path_beg"
        for pattern in match.paths:
            hit = {
                "path_beg": path.startswith(pattern),
                "path": path == pattern,
                "path_end": path.endswith(pattern),
                "path_sub": pattern in path,
                "path_dir": ("/" + "/".join(path.split("/")) + "/").find("/" + pattern.strip("/") + "/") >= 0,
                "path_reg": re.search(pattern, path) is not None,
            }[kind]
            if not hit:
                continue
            first = pattern.startswith("/.well-known/") and kind in ("path_beg", "path")
            for domain in match.domains or ("",):
                domain = domain.lower()
                if domain.startswith("*."):
                    if not (name.endswith(domain[1:]) and len(name) > len(domain[1:])):
                        continue
                    rank = (1, -domain.count("."))
                elif domain:
                    if name != domain:
                        continue
                    rank = (0, 0)
                else:
                    rank = (2, 0)
                # An exact path is the longest there can be; at one length a prefix stands before the other kinds.
                order = {"path": (0, 0, 0), "path_beg": (1, -len(pattern), 0)}.get(kind, (1, -len(pattern), 1))
                key = (not first, rank, order, s.name)
                if best is None or key < best:  # type: ignore[operator]
                    best, winner = key, s.name
    return winner


HOSTS = ("a.com", "www.a.com", "b.www.a.com", "c.b.www.a.com", "b.com", "x.b.com", "com", "other.org", "A.com:8080",
         "www.A.com.", "xa.com", "a.com.evil.org")
DOMAINS = ("", "a.com", "www.a.com", "b.com", "*.a.com", "*.www.a.com", "*.com", "*.b.com", "*.b.www.a.com")
SEGMENTS = ("a", "b", "ab", "a.b", ".well-known", "x-a")


def some_path(rng: random.Random) -> str:
    path = "/" + "/".join(rng.choice(SEGMENTS) for _ in range(rng.randint(0, 3)))
    return path + rng.choice(("", "", "/", "b"))


def some_spec(rng: random.Random, service: str) -> ServiceSpec:
    kind = rng.choice(("", "", "path_beg", "path", "path_dir", "path_end", "path_sub", "path_reg"))
    texts = {some_path(rng) for _ in range(rng.randint(1, 3))}
    if kind in ("path_end", "path_sub"):
        texts = {t[rng.randint(0, 2):] or "/" for t in texts}
    elif kind == "path_dir":
        texts = {rng.choice(SEGMENTS) + rng.choice(("", "/a")) for _ in texts}
    elif kind == "path_reg":
        texts = {rng.choice(("^/a", "b$", "^/[a-z]+$", "/(a|b)/", "^/.*a.*$", "x{1}", "a+b")) for _ in texts}
    domains = {rng.choice(DOMAINS) for _ in range(rng.randint(1, 3))} - {""} if rng.random() < 0.7 else set()
    return spec(service, ",".join(sorted(texts)), ",".join(sorted(domains)), kind)


@pytest.mark.parametrize("seed", range(40))
def test_haproxy_agrees_with_a_plain_reading_of_the_rules(data: Data, seed: int) -> None:
    rng = random.Random(seed)
    specs = [some_spec(rng, name) for name in rng.sample(NAMES, rng.randint(1, len(NAMES)))]
    data.serve(specs)
    wanted, found = {}, {}
    for _ in range(80):
        asked = rng.choice(HOSTS) if rng.random() < 0.95 else None, some_path(rng)
        wanted[asked] = oracle(specs, *asked)
        found[asked] = data.ask(*asked)
    assert found == wanted


@pytest.mark.parametrize("seed", range(20))
def test_the_order_in_which_services_came_does_not_matter(seed: int) -> None:
    rng = random.Random(1000 + seed)
    specs = [some_spec(rng, name) for name in NAMES]
    shuffled = rng.sample(specs, len(specs))
    assert routing.build(specs) == routing.build(shuffled)
    assert routing.maps_of(routing.build(specs)) == routing.maps_of(routing.build(shuffled))


# --- what the caller is told ---------------------------------------------------------------------------------------

def test_a_hidden_path_is_named_with_the_service_that_has_it() -> None:
    built = routing.build([spec("aa", "/x", "A.com"), spec("bb", "/x,/y", "a.com"), spec("cc", "/x", "a.com", "path")])
    assert routing.shadow_warnings(built, "bb") == ("/x on a.com goes to aa, whose name comes first",)
    assert routing.shadow_warnings(built, "aa") == (
        "/x on a.com is asked for by bb too, which gets none of it: its name comes later",)
    assert routing.shadow_warnings(built, "cc") == ()
    both = routing.build([spec("aa", "/x"), spec("bb", "/x")])
    assert routing.shadow_warnings(both, "bb") == ("/x on any host goes to aa, whose name comes first",)


def test_the_answer_of_a_reconfigure_carries_that_warning(consul: ConsulServer) -> None:
    with ProxyProcess(consul.address) as proxy, Origin("one") as one, Origin("two") as two:
        for name, origin in (("zz", one), ("aa", two)):
            consul.register(name, origin.host, origin.port)
        status, document = proxy.api("reconfigure", serviceName="zz", servicePath="/x")
        assert (status, document["Warnings"]) == (200, [])
        assert proxy.get("/x").headers["X-Instance"] == "one"
        assert proxy.api("reconfigure", serviceName="aa", servicePath="/x").status == 200
        assert proxy.get("/x").headers["X-Instance"] == "two"
        _, document = proxy.api("reconfigure", serviceName="zz", servicePath="/x")
        assert document["Warnings"] == ["/x on any host goes to aa, whose name comes first"]
