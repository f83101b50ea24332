"""A template's frontend on the shared frontend's port: nothing that it says is lost in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from deploy.local import Answer, ConsulServer, ProxyProcess
from deploy.origin import Origin
from proxy_api.core.merged_frontend import merge
from proxy_api.core.sections import Section, parse_sections

# The article's go-demo.tmpl (2016-05-19), as it comes out for one instance.
ARTICLE = """frontend go-demo-fe
\tbind *:80
\tbind *:443
\toption http-server-close
\tacl url_test-service path_beg /demo/hello
\tuse_backend go-demo-be if url_test-service

backend go-demo-be
\tserver swarm_0_32768 10.0.0.1:32768 check
"""


def test_the_articles_frontend_is_merged_ahead_of_the_routes() -> None:
    made = merge(parse_sections(ARTICLE), ("*:80", "*:443"))
    assert made.frontend == ("acl url_test-service path_beg /demo/hello",
                             "use_backend go-demo-be if url_test-service")
    assert made.sections == (Section("backend", "go-demo-be", ("server swarm_0_32768 10.0.0.1:32768 check",)),)
    assert "its rules were merged" in made.warnings[0]
    assert "option http-server-close" in made.warnings[1]
    assert made.acl_names() == {"url_test-service"}


def test_a_frontend_of_its_own_stays_whole() -> None:
    made = merge(parse_sections(ARTICLE), ("*:8000",))
    assert made.frontend == ()
    assert [s.keyword for s in made.sections] == ["frontend", "backend"]
    assert made.warnings == ()


def test_a_frontend_that_binds_more_than_the_shared_one_keeps_the_rest() -> None:
    made = merge(parse_sections(ARTICLE), ("*:80",))
    assert made.sections[0].lines == ("bind *:443", "option http-server-close",
                                      "acl url_test-service path_beg /demo/hello",
                                      "use_backend go-demo-be if url_test-service")
    assert made.frontend == ("acl url_test-service path_beg /demo/hello", "use_backend go-demo-be if url_test-service")


OPEN = "    acl url_x path_beg /x\n    use_backend x-be if url_x\n"


class Site(NamedTuple):
    """A proxy that serves `other` at /other, and an origin for the templates of a service x."""

    proxy: ProxyProcess
    x: Origin
    other: Origin

    def try_out(self, frontend: str, backend: str = "", bind: str = "", more: str = "") -> Answer:
        """Give x a template with these lines in its frontend and its backend, and more sections."""
        bind = bind or f"{self.proxy.address}:{self.proxy.port}"
        return self.give(f"frontend x-fe\n    bind {bind}\n{frontend}\n"
                         f"backend x-be\n{backend}\n    server s {self.x.host}:{self.x.port}\n{more}")

    def give(self, text: str) -> Answer:
        (self.proxy.templates_path / "x.tmpl").write_text(text)
        return self.proxy.api("reconfigure", serviceName="x", consulTemplatePath="x.tmpl")

    def status(self, path: str = "/x") -> int:
        return self.proxy.get(path).status


@pytest.fixture(scope="module")
def site(module_consul: ConsulServer) -> Iterator[Site]:
    with Origin("x") as x, Origin("other") as other, ProxyProcess(module_consul.address) as proxy:
        module_consul.register("other", other.host, other.port, id="other-1")
        assert proxy.api("reconfigure", serviceName="other", servicePath="/other").status == 200
        yield Site(proxy, x, other)


@pytest.fixture(autouse=True)
def nothing_served(site: Site) -> Iterator[None]:
    """x is not there before a test, and `other` is open after it."""
    yield
    site.proxy.api("remove", serviceName="x")
    assert site.proxy.instances("/other", requests=3) == {"other"}


REFUSED = (
    "tcp-request connection reject if !{ src 10.0.0.0/8 }", "tcp-request content reject", "tcp-request session accept",
    "tcp-request inspect-delay 5s", "redirect scheme https", "redirect prefix http://x.org if url_x",
    "default_backend x-be", "mode tcp", "disabled", "rate-limit sessions 10", "monitor-uri /alive",
    "monitor fail if url_x", "stats enable", "stick-table type ip size 1k store gpc0", "errorfile 503 /dev/null",
    "errorloc 503 /sorry", "http-error status 404 errorfile /dev/null", "option forwardfor header X-Client",
    "option originalto", "option http-restrict-req-hdr-names reject", "option http-buffer-request",
    "option accept-invalid-http-request", "option disable-h2-upgrade", "server s 127.0.0.1:1", "no-such-keyword x",
    '"tcp-request" connection reject', "redir\\ect scheme https",
)


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_cannot_be_carried_over_is_refused_by_name(site: Site, line: str) -> None:
    status, answer = site.try_out(f"{OPEN}    {line}\n")
    assert (status, answer["Status"]) == (400, "NOK"), answer
    assert repr(line) in answer["Message"]
    assert "x.tmpl" in answer["Message"]
    assert site.status() == 503


@pytest.mark.parametrize("line", ["mode http", "option forwardfor", "enabled"])
def test_what_the_shared_frontend_has_anyway_is_not_worth_a_word(site: Site, line: str) -> None:
    status, answer = site.try_out(f"{OPEN}    {line}\n")
    assert status == 200, answer
    assert not any("left out" in warning for warning in answer["Warnings"])


LEFT_OUT = ("option http-server-close", "no option httpclose", "option httplog", "log 127.0.0.1 local0", "maxconn 100",
            "backlog 100", "timeout client 1m", "description x", "compression algo gzip", "option dontlognull")


@pytest.mark.parametrize("line", LEFT_OUT)
def test_what_changes_neither_who_gets_in_nor_what_is_served_is_left_out_with_a_warning(site: Site, line: str) -> None:
    status, answer = site.try_out(f"{OPEN}    {line}\n")
    assert status == 200, answer
    assert any("left out" in warning and line in warning for warning in answer["Warnings"])
    assert site.status() == 200


def test_several_lines_are_refused_at_once(site: Site) -> None:
    status, answer = site.try_out("    default_backend x-be\n    redirect scheme https\n")
    assert status == 400
    assert "default_backend x-be" in answer["Message"]
    assert "redirect scheme https" in answer["Message"]


def test_the_part_of_a_frontend_that_goes_to_a_shared_port_is_judged_where_it_has_ports_of_its_own_too(
        site: Site) -> None:
    """It would be closed at its own port and open at the shared one."""
    status, answer = site.try_out(f"    bind {site.proxy.address}:{site.proxy.tls_port}\n"
                                  f"    tcp-request connection reject\n{OPEN}")
    assert status == 400
    assert "tcp-request connection reject" in answer["Message"]


@pytest.mark.parametrize("options", ["ssl crt x.pem verify required ca-file ca.pem", "accept-proxy", "ssl", "mss 9"])
def test_what_a_bind_says_beside_its_address_is_refused(site: Site, options: str) -> None:
    address = f"{site.proxy.address}:{site.proxy.port}"
    status, answer = site.try_out(OPEN, bind=f"{address} {options}")
    assert status == 400
    assert f"bind {address} {options}" in answer["Message"]
    assert site.try_out(OPEN, bind=address).status == 200, "the advice works"


def test_the_other_addresses_of_a_bind_stay_bound(site: Site) -> None:
    address = site.proxy.address
    assert site.try_out(OPEN, bind=f"{address}:{site.proxy.port},{address}:{site.proxy.tls_port}").status == 200
    assert site.status() == 200
    site.proxy.port, shared = site.proxy.tls_port, site.proxy.port
    try:
        assert site.status() == 200
    finally:
        site.proxy.port = shared


def test_a_range_of_ports_that_has_the_shared_one_in_it_is_refused(site: Site) -> None:
    address, port = site.proxy.address, site.proxy.port
    status, answer = site.try_out(OPEN, bind=f"{address}:{port}-{port + 1}")
    assert status == 400
    assert f"{address}:{port}-{port + 1}" in answer["Message"]
    assert site.try_out(OPEN, bind=f"{address}:{port},{address}:{port + 1}").status == 200, "the advice works"


TABLE = "backend x-table\n    stick-table type ip size 1k store gpc0,http_req_rate(10s)\n"


class Advice(NamedTuple):
    """A line that is refused, what the refusal says to write, and what comes of that."""

    refused: str
    said: str
    frontend: str
    backend: str
    status: int
    more: str = ""


ADVICE = (
    Advice("tcp-request connection reject if !{ src 10.0.0.0/8 }", "'http-request deny' or 'silent-drop'",
           OPEN, "    http-request deny if !{ src 10.0.0.0/8 }", 403),
    Advice("tcp-request connection reject if !{ src 127.0.0.0/8 }", "in the backend",
           OPEN, "    http-request deny if !{ src 127.0.0.0/8 }", 200),
    Advice("redirect scheme https", "in the backend", OPEN, "    redirect scheme https if !{ ssl_fc }", 302),
    Advice("default_backend x-be", "use_backend x-be if", "    use_backend x-be if { path_beg /x }", "", 200),
    Advice("monitor-uri /x", "http-request return status 200 if",
           "    http-request return status 200 if { path /x }", "", 200),
    Advice("rate-limit sessions 1", "http-request deny", OPEN, (
        "    http-request track-sc0 src table x-table\n"
        "    http-request deny deny_status 429 if { sc_http_req_rate(0,x-table) gt 0 }"), 429, TABLE),
    Advice("stick-table type ip size 1k", "in a backend of its own", OPEN + (
        "    http-request track-sc0 src table x-table if url_x\n"
        "    http-request deny if url_x { sc_get_gpc0(0,x-table) gt 0 }"), "", 200, TABLE),
    Advice("errorloc 403 http://x.org/sorry", "in the backend", OPEN,
           "    errorloc 403 http://x.org/sorry\n    http-request deny", 302),
    Advice("option http-restrict-req-hdr-names reject", "in the backend", OPEN,
           "    option http-restrict-req-hdr-names reject", 200),
    Advice("option forwardfor header X-Client", "in the backend", OPEN, "    option forwardfor header X-Client", 200),
    Advice("stats uri /x/stats", "in the backend", OPEN, "    stats uri /x", 200),
    Advice("option http-buffer-request", "http-request wait-for-body",
           OPEN + "    http-request wait-for-body time 1s if url_x", "", 200),
    Advice("disabled", "leave the frontend out", OPEN, "", 200),
)


@pytest.mark.parametrize("case", ADVICE, ids=lambda case: case.refused)
def test_what_a_refusal_advises_works(site: Site, case: Advice) -> None:
    status, answer = site.try_out(f"{OPEN}    {case.refused}\n")
    assert status == 400
    assert case.said in answer["Message"]
    status, answer = site.try_out(case.frontend, case.backend, more=case.more)
    assert status == 200, answer
    assert site.status() == case.status
    assert site.status("/other") == 200


@pytest.mark.parametrize("line", REFUSED[:-6])
def test_a_frontend_with_a_port_of_its_own_may_say_whatever_haproxy_takes(site: Site, line: str) -> None:
    status, answer = site.try_out(f"{OPEN}    {line}\n")
    assert status == 400
    assert "a port that is not in DEFAULT_PORTS" in answer["Message"]
    own = f"{site.proxy.address}:{site.proxy.tls_port}"
    tcp = line == "mode tcp"
    text = f"    {line}\n    default_backend x-be\n" if tcp else f"{OPEN}    {line}\n"
    status, answer = site.try_out(text, bind=own, backend=line if tcp else "")
    assert status == 200, answer


def test_a_listen_on_the_shared_port_is_refused_and_its_advice_works(site: Site) -> None:
    status, answer = site.give(f"listen x\n    bind {site.proxy.address}:{site.proxy.port}\n"
                               f"    server s {site.x.host}:{site.x.port}\n")
    assert status == 400
    assert "'listen x'" in answer["Message"]
    assert "use_backend x if" in answer["Message"]
    status, answer = site.give(f"frontend x-fe\n    bind {site.proxy.address}:{site.proxy.port}\n"
                               "    use_backend x if { path_beg /x }\n"
                               f"backend x\n    server s {site.x.host}:{site.x.port}\n")
    assert status == 200, answer
    assert site.status() == 200
