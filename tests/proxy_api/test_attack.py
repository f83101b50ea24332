"""Every parameter attacked at a real proxy-api: 400 that names it, nothing written, nothing reloaded, others served."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local import ConsulServer, ProxyProcess, Reply, http_request, wait_until
from deploy.origin import Origin
from proxy_api.core.observed import MasterView
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.runtime_socket import NotRunning
from tests.stored import stored

TOKEN = "s3cr3t-of-the-api"
API = "/v1/docker-flow-proxy/"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Target:
    """A proxy with one service in it, and what must stay as it is whatever is sent."""

    proxy: ProxyProcess
    consul: ConsulServer
    haproxy: Haproxy
    before: tuple[object, ...] = ()

    def send(self, text: Mapping[str, str] | str, method: str = "GET", call: str = "reconfigure",
             body: str | None = None, token: str = TOKEN) -> Reply:
        query = text if isinstance(text, str) else urllib.parse.urlencode(text)
        headers = {"Authorization": f"Bearer {token}", **({"Content-Type": FORM} if body is not None else {})}
        # The request line is written by hand: what http.client would refuse or tidy up has to arrive.
        return http_request(method, f"{self.proxy.api_url}{API}{call}" + (f"?{query}" if query else ""),
                            headers=headers, body=body)

    def world(self) -> tuple[object, ...]:
        """All that a refused call must not touch: Consul, what HAProxy runs, and what is on disk for its next start."""
        return (stored(self.consul), self.haproxy.runtime.serving(), self.haproxy.files.current_digest(),
                self.processes(), sorted(p.name for p in (self.proxy.configs_path / "config").iterdir()))

    def processes(self) -> MasterView:
        """The master's own view; for a moment after a reload it does not answer."""
        def ask() -> MasterView:
            try:
                return self.haproxy.master.processes()
            except NotRunning as fault:
                raise ConnectionError(str(fault)) from None
        return wait_until(ask, 5, "HAProxy's master answers")

    def still_serves(self) -> bool:
        return self.proxy.get("/good").headers["X-Instance"] == "good"


@pytest.fixture(scope="module")
def target(module_consul: ConsulServer) -> Iterator[Target]:
    with Origin("good") as origin, ProxyProcess(module_consul.address, env={"API_TOKEN": TOKEN}) as proxy:
        module_consul.register("good", origin.host, origin.port)
        module_consul.register("evil", origin.host, origin.port)
        made = Target(proxy, module_consul, Haproxy(str(proxy.configs_path)))
        assert made.send({"serviceName": "good", "servicePath": "/good"}).status == 200
        made.before = made.world()
        yield made
        proxy.stop()
        log = proxy.process.output()
        assert TOKEN not in log
        assert "event=defect" not in log
        assert "event=pass-failed" not in log
        assert "Traceback" not in log


@pytest.fixture(autouse=True)
def unharmed(target: Target) -> Iterator[None]:
    yield
    assert target.world() == target.before
    assert target.still_serves()


def refused(reply: Reply, *names: str) -> dict[str, Any]:
    """The answer of a refused call, checked for what each of them has to have."""
    assert reply.status == 400, reply.body[:300]
    assert reply.headers["Content-Type"] == "application/json"
    document = reply.json()
    assert document["Status"] == "NOK"
    for name in names:
        assert f"{name}: " in document["Message"], document["Message"][:500]
    assert len(reply.body) < 100_000
    assert TOKEN not in reply.body
    return document


# --- one bad value in one parameter --------------------------------------------------------------------------------

MEGABYTE = "/" + "a" * 1_000_000
VALUES = {
    "a line break": "/a\nserver evil 1.2.3.4:80",
    "a line break at the end": "/a\n",
    "a carriage return": "/a\rb",
    "NUL": "/a\0b",
    "a quote": "/a'b",
    "a double quote": '/a"b',
    "a brace": "/a{b",
    "a closing brace": "/a}b",
    "a template": "/{{ env `X` }}",
    "a blank": "/a b",
    "only a blank": " ",
    "a tab": "/a\tb",
    "a comment": "/a #b",
    "a hash": "/a#b",
    "a sample expression": "/%[src]",
    "an environment variable": "/${HOME} ",
    "the parent directory": "/../../etc/passwd",
    "a backslash": "/a\\b",
    "a line separator": "/a\u2028b",
    "a next line": "/a\u0085b",
    "a no-break space": "/a\u00a0b",
    "a full stop of full width": "/a\uff0eb",
    "thousands of items": ",".join(f"/{n}" for n in range(5000)),
    "thousands of commas": "," * 5000,
}
# What a request needs beside the attacked parameter, so that only that one is wrong.
BESIDE = {
    "consulTemplateFePath": {"consulTemplateBePath": "b"},
    "consulTemplateBePath": {"consulTemplateFePath": "f"},
    "outboundHostname": {"port": "80"},
}
PARAMETERS = ("serviceName", "serviceColor", "servicePath", "serviceDomain", "pathType", "skipCheck",
              "consulTemplatePath", "consulTemplateFePath", "consulTemplateBePath", "follow", "distribute", "port",
              "outboundHostname", "strict")


def request_with(parameter: str, text: str) -> dict[str, str]:
    return {"serviceName": "evil", "servicePath": "/evil", **BESIDE.get(parameter, {}), parameter: text}


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_parameter_is_attacked(target: Target, parameter: str) -> None:
    for what, text in VALUES.items():
        sent = request_with(parameter, text)
        for reply in (target.send(sent), target.send("", "POST", body=urllib.parse.urlencode(sent))):
            document = refused(reply, parameter)
            assert document["Message"].count(": ") >= 1
            others = [name for name in PARAMETERS if f"{name}: " in document["Message"] and name != parameter]
            assert others == [], f"{what} in {parameter} is blamed on {others}"
            assert document["Message"].isprintable(), what


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_megabyte_in_a_parameter(target: Target, parameter: str) -> None:
    sent = request_with(parameter, MEGABYTE)
    refused(target.send(sent), parameter)
    refused(target.send("", "POST", body=urllib.parse.urlencode(sent)), parameter)


@pytest.mark.parametrize("path_type", ["path_dir", "path_end", "path_sub", "path_reg"])
def test_the_paths_of_the_other_types_are_attacked_too(target: Target, path_type: str) -> None:
    # Here a regular expression may well hold these.
    fine = {"a backslash", "a closing brace"} if path_type == "path_reg" else set()
    fine |= {"the parent directory"} if path_type == "path_reg" else set()
    for what, text in VALUES.items():
        if what not in fine:
            refused(target.send({"serviceName": "evil", "servicePath": text, "pathType": path_type}), "servicePath")


def test_a_scope_of_an_address_is_no_way_in(target: Target) -> None:
    for scope in ("eth0", "\nserver evil 1.2.3.4:80", "' x", "a" * 100_000):
        refused(target.send(request_with("outboundHostname", f"::1%{scope}")), "outboundHostname")


def test_an_expression_that_haproxy_does_not_take_is_refused_with_its_words(target: Target) -> None:
    document = refused(target.send({"serviceName": "evil", "servicePath": "(", "pathType": "path_reg"}))
    assert "HAProxy: " in document["Message"]
    assert "regex" in document["Message"]
    assert str(target.proxy.configs_path) not in document["Message"]


@pytest.mark.parametrize("parameter", ["serviceName", "distribute", "strict"])
def test_a_removal_is_attacked(target: Target, parameter: str) -> None:
    for text in (*VALUES.values(), MEGABYTE):
        refused(target.send({"serviceName": "good", parameter: text}, call="remove"), parameter)


def test_a_file_outside_the_templates_is_not_read(target: Target) -> None:
    outside = target.proxy.directory / "outside.tmpl"
    outside.write_text("backend x\n")
    (target.proxy.templates_path / "link.tmpl").symlink_to(outside)
    for path in (str(outside), "link.tmpl", "/etc/passwd", "."):
        document = refused(target.send({"serviceName": "evil", "consulTemplatePath": path}))
        assert "consulTemplatePath: " in document["Message"]
        assert "root:" not in document["Message"]


# --- the whole request ---------------------------------------------------------------------------------------------

QUERIES = (
    ("malformed percent-encoding in a name", "serviceName=a%zz&servicePath=/a", "serviceName"),
    ("a percent sign at the end", "serviceName=evil&servicePath=/a%", "servicePath"),
    ("invalid UTF-8 in a name", "serviceName=%ff%fe&servicePath=/a", "serviceName"),
    # In a path, such a byte stays escaped and is then the very path that clients send: that is valid.
    ("invalid UTF-8 in a host", "serviceName=evil&serviceDomain=a%c3%28.com", "serviceDomain"),
    ("invalid UTF-8 in a file", "serviceName=evil&consulTemplatePath=%ff", "consulTemplatePath"),
    ("an overlong slash", "serviceName=a%c0%afb&servicePath=/a", "serviceName"),
    ("a surrogate", "serviceName=evil&serviceDomain=%ed%a0%80", "serviceDomain"),
    ("no parameter", "", "serviceName"),
    ("only separators", "&&&=&;", "serviceName"),
    ("a name twice", "serviceName=evil&serviceName=good&servicePath=/a", "serviceName"),
    ("a path twice", "serviceName=evil&servicePath=/a&servicePath=/b", "servicePath"),
    ("an array as PHP has it", "serviceName[]=evil&servicePath[]=/a", "serviceName"),
    ("a protection in disguise", "serviceName=evil&servicePath=/a&HTTPSONLY.1=true", "HTTPSONLY.1"),
)


@pytest.mark.parametrize(("query", "name"), [row[1:] for row in QUERIES], ids=[row[0] for row in QUERIES])
def test_a_query_that_makes_no_sense(target: Target, query: str, name: str) -> None:
    refused(target.send(query), name)
    if query:
        refused(target.send("", "POST", body=query), name)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_flood_of_unknown_parameters(target: Target, method: str) -> None:
    flood = "&".join(["serviceName=evil", "servicePath=/evil", *(f"p{n}=" for n in range(100_000))])
    reply = target.send(flood) if method == "GET" else target.send("", "POST", body=flood)
    refused(reply, "request")
    refused(target.send(flood, call="remove"), "request")


def test_an_unknown_parameter_with_strict(target: Target) -> None:
    refused(target.send({"serviceName": "evil", "servicePath": "/a", "strict": "true", "a\nb": "1"}), r"a\nb")


@pytest.mark.parametrize("body", ['{"serviceName": "evil", "servicePath": "/a"}', "\0" * 1000, "<a/>"])
def test_a_body_that_is_no_form(target: Target, body: str) -> None:
    reply = http_request("POST", f"{target.proxy.api_url}{API}reconfigure", body=body,
                         headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    refused(reply, "body")


def test_a_body_without_end_is_refused(target: Target) -> None:
    reply = target.send("", "POST", body="serviceName=evil&servicePath=/" + "a" * (9 * 1024 * 1024))
    assert reply.status in (0, 413)  # the answer may be lost to the client that is still sending
    if reply.status:
        assert reply.json()["Status"] == "NOK"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("call", ["reconfigure", "remove"])
def test_other_methods(target: Target, method: str, call: str) -> None:
    reply = target.send({"serviceName": "good", "servicePath": "/x"}, method, call)
    assert reply.status == 405
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json()["Status"] == "NOK"


KEYS = {"Status", "Message", "ServiceName", "ServiceColor", "ServicePath", "ServiceDomain", "ConsulTemplateFePath",
        "ConsulTemplateBePath", "PathType", "SkipCheck", "ConsulTemplatePath", "Distribute", "Servers", "Version",
        "Change", "Reason", "Warnings"}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.parametrize("call", ["reconfigure", "remove"])
def test_methods_that_only_ask_change_nothing(target: Target, method: str, call: str) -> None:
    reply = target.send({"serviceName": "good", "servicePath": "/x"}, method, call)
    assert reply.status == 405
    if method == "OPTIONS":
        assert set(reply.json()) == KEYS


def test_every_refusal_has_every_key(target: Target) -> None:
    good = {"serviceName": "good", "servicePath": "/good"}
    for status, reply in ((404, http_request("GET", f"{target.proxy.api_url}/nothing")),
                          (404, target.send({"serviceName": "unknown", "strict": "true"}, call="remove")),
                          (405, target.send(good, "PUT")),
                          (400, target.send({})),
                          (401, target.send(good, token="wrong"))):
        assert reply.status == status
        assert set(reply.json()) == KEYS, status
        assert (reply.json()["Change"], reply.json()["Warnings"], reply.json()["ServicePath"] in ([], ["/good"])) == (
            "nothing", [], True)


@pytest.mark.parametrize("path", ["/", "/v1", API, f"{API}nothing", f"{API}reconfigure/../config", "/v1/%00", "/%ff",
                                  f"{API}reconfigure%2fx", "/v1/docker-flow-proxy/cert", "/{{7*7}}"])
def test_other_paths(target: Target, path: str) -> None:
    reply = http_request("GET", f"{target.proxy.api_url}{path}")
    assert reply.status == 404
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json()["Status"] == "NOK"


# --- the token -----------------------------------------------------------------------------------------------------

HEADERS = (
    ("none at all", {}),
    ("an empty one", {"Authorization": ""}),
    ("no token behind the scheme", {"Authorization": "Bearer"}),
    ("a wrong one", {"Authorization": "Bearer wrong"}),
    ("the beginning of the right one", {"Authorization": f"Bearer {TOKEN[:-1]}"}),
    ("more than the right one", {"Authorization": f"Bearer {TOKEN}x"}),
    ("the right one without the scheme", {"Authorization": TOKEN}),
    ("another scheme", {"Authorization": f"Basic {TOKEN}"}),
    ("bytes that are no text", {"Authorization": "Bearer \xff\xfe"}),
    ("the token of Consul's header", {"X-Consul-Token": TOKEN}),
)


@pytest.mark.parametrize("headers", [row[1] for row in HEADERS], ids=[row[0] for row in HEADERS])
@pytest.mark.parametrize("query", ["reconfigure?serviceName=evil&servicePath=/evil", "remove?serviceName=good",
                                   f"remove?serviceName=good&token={TOKEN}&API_TOKEN={TOKEN}"])
def test_without_the_right_token_nothing_changes(target: Target, headers: dict[str, str], query: str) -> None:
    for method in ("GET", "POST"):
        reply = http_request(method, f"{target.proxy.api_url}{API}{query}", headers=headers)
        assert reply.status == 401
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.json()["Status"] == "NOK"
        assert "Bearer" in reply.json()["Message"]
        assert TOKEN not in reply.body


@pytest.mark.parametrize("path", ["ping", "/ready", "state", "/metrics", "/v1/test"])
def test_what_only_looks_needs_no_token_and_does_not_tell_it(target: Target, path: str) -> None:
    answer = target.proxy.api(path)
    assert answer.status == 200
    assert TOKEN not in json.dumps(answer.json)


# --- the same request without the bad value is fine ----------------------------------------------------------------

def test_an_empty_or_blank_value_where_it_is_valid(target: Target) -> None:
    """Last in the file by intent: it changes something, and changes it back."""
    empty = dict.fromkeys((p for p in PARAMETERS if p not in ("serviceName", "servicePath")), "")
    try:
        reply = target.send({"serviceName": "evil", "servicePath": "/evil", **empty})
        assert reply.status == 200
        assert reply.json()["Warnings"] == []
        assert target.proxy.get("/evil").headers["X-Instance"] == "good"
    finally:
        assert target.send({"serviceName": "evil"}, call="remove").status == 200
        assert target.proxy.get("/evil").status == 503
        kv = target.world()[0]
        assert kv == target.before[0]
        target.before = target.world()
