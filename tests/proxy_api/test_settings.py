"""Settings: what each takes, how a bad one is named, who wins, and that secrets stay in."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from deploy.process import ROOT
from proxy_api.core import legacy_settings, settings
from proxy_api.core.errors import InvalidSettings
from proxy_api.core.settings import SETTINGS, BindItem, from_environ

# variable, text, a part of what is wrong, a part of what would be right
BAD = (
    ("CONSUL_ADDRESS", " , ", "no address of Consul", "host:port"),
    ("CONSUL_ADDRESS", "ftp://a:1", "has the scheme", "host:port"),
    ("CONSUL_ADDRESS", "a:x", "bad port or host", "host:port"),
    ("CONSUL_ADDRESS", "http://u:pa55word@a:1", "carries a user or password", "CONSUL_HTTP_AUTH"),
    ("PROXY_INSTANCE_NAME", "a/b", "is not a name", "letters"),
    ("IP", "a b", "is neither a host name nor an IP address", "a name, IPv4 or IPv6 address"),
    ("IP", "0.0.0.0:80", "is neither a host name nor an IP address", "a name, IPv4 or IPv6 address"),
    ("PORT", "http", "is not a number from 1 to 65535", "use 1 to 65535"),
    ("DEFAULT_PORTS", "80,http", "'http' has no port", "port or addr:port"),
    ("DEFAULT_PORTS", "0", "has no port from 1 to 65535", "port or addr:port"),
    ("DEFAULT_PORTS", "80\nbind :81", "line break", "port or addr:port"),
    ("BIND_PORTS", "/tmp/x:80", "has no address to bind", "port or addr:port"),
    ("BIND_PORTS", "99999:ssl", "has no port", "ends in :ssl"),
    ("CONFIGS_PATH", "cfg", "is not an absolute path", "give an absolute path"),
    ("CONFIGS_PATH", "/" + "x" * 80, "has 81 characters", "HAProxy's sockets"),
    ("CERTS_PATH", "certs", "is not an absolute path", "give an absolute path"),
    ("CONSUL_TEMPLATES_PATH", "/a\nb", "is not an absolute path", "give an absolute path"),
    ("API_TOKEN", "a\nb", "line break", "one line"),
    ("STRICT_PARAMETERS", "perhaps", "is not a boolean", "true or false"),
    ("STATS_PORT", "x", "has no port", "port or addr:port"),
    ("STATS_PORT", "8404 ssl", "has more than an address", "port or addr:port"),
    ("STATS_PORT", "8404:ssl", "has more than an address", "port or addr:port"),
    ("CONNECTION_MODE", "forceclose", "is not known", "http-keep-alive"),
    *((name, text, "is not a number from 1 to 86400", "use 1 to 86400")
      for name, _, _ in settings.TIMEOUTS for text in ("0", "5s", "-1", "1e3")),
    ("HARD_STOP_AFTER", "never", "is not a number", "use 1 to 86400"),
    ("DRAIN_TIMEOUT", "-1", "is not a number", "use 0 to 86400"),
    ("HAPROXY_USER", "a b", "is not a name", "letters"),
)


@pytest.mark.parametrize(("name", "text", "wrong", "right"), BAD)
def test_a_bad_value_names_the_variable_and_what_is_right(name: str, text: str, wrong: str, right: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        from_environ({name: text})
    fault, = caught.value.faults
    assert fault.name == name
    assert wrong in fault.fault
    assert right in fault.wanted
    assert "pa55word" not in str(caught.value)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        from_environ({"PORT": "x", "CERTS_PATH": "y"}, {"timeout_client": "0"}, {"ip": "!"})
    assert [f.name for f in caught.value.faults] == ["IP", "PORT", "CERTS_PATH", "TIMEOUT_CLIENT"]
    assert len(str(caught.value).splitlines()) == 4


TOGETHER = (
    ("no port at all", {"DEFAULT_PORTS": ","}, "DEFAULT_PORTS", "names no port"),
    ("a user without a password", {"STATS_USER": "a"}, "STATS_USER", "do not come together"),
    ("a password without a user", {"STATS_PASS": "geheim"}, "STATS_USER", "do not come together"),
)


@pytest.mark.parametrize(("environ", "name", "wrong"), [row[1:] for row in TOGETHER], ids=[row[0] for row in TOGETHER])
def test_settings_that_belong_together(environ: dict[str, str], name: str, wrong: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        from_environ(environ)
    assert [(f.name, wrong in f.fault) for f in caught.value.faults] == [(name, True)]
    assert "geheim" not in str(caught.value)


def test_the_defaults_are_valid_and_are_the_documented_ones() -> None:
    found = from_environ({})
    assert (found.proxy_instance_name, found.port, found.configs_path, found.certs_path) == (
        "docker-flow", 8080, "/cfg", "/certs")
    assert found.default_ports == (BindItem("*:80", "", False), BindItem("*:443", "", True))
    assert found.timeouts == (("connect", "5s"), ("client", "20s"), ("server", "20s"), ("queue", "30s"),
                              ("tunnel", "3600s"), ("http-request", "5s"), ("http-keep-alive", "15s"))


@pytest.mark.parametrize("setting", SETTINGS, ids=[s.name for s in SETTINGS])
def test_an_empty_variable_is_not_given(setting: settings.Setting) -> None:
    assert from_environ({setting.name: ""}) == from_environ({})


WINNERS = (
    ("the variable alone", ("8001", None, None), 8001),
    ("a secret beats the variable", ("8001", "8002", None), 8002),
    ("a flag beats both", ("8001", "8002", "8003"), 8003),
    ("a flag beats the variable", ("8001", None, "8003"), 8003),
)


@pytest.mark.parametrize(("texts", "port"), [row[1:] for row in WINNERS], ids=[row[0] for row in WINNERS])
def test_who_wins(texts: tuple[str | None, ...], port: int) -> None:
    environ, secrets, flags = ({name: text} if text else {} for name, text in zip(
        ("PORT", "port", "port"), texts, strict=True))
    assert from_environ(environ, secrets, flags).port == port


BINDS = (
    ("80", BindItem("*:80", "", False)),
    (":80", BindItem("*:80", "", False)),
    ("127.0.0.1:80", BindItem("127.0.0.1:80", "", False)),
    ("[::1]:80", BindItem("[::1]:80", "", False)),
    (":::80", BindItem(":::80", "", False)),
    ("443:ssl", BindItem("*:443", "", True)),
    ("10.0.0.1:443:ssl", BindItem("10.0.0.1:443", "", True)),
    ("443:ssl no-tlsv12", BindItem("*:443", "no-tlsv12", True)),
    ("443 no-tlsv12:ssl", BindItem("*:443", "no-tlsv12", True)),
    (" 80 accept-proxy ", BindItem("*:80", "accept-proxy", False)),
)


@pytest.mark.parametrize(("text", "item"), BINDS)
def test_an_address_to_bind(text: str, item: BindItem) -> None:
    assert from_environ({"DEFAULT_PORTS": text}).default_ports == (item,)


@pytest.mark.parametrize(("text", "local"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True),
                                             ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False),
                                             ("::", False), ("127.example.com", False)])
def test_whether_the_api_is_on_loopback(text: str, local: bool) -> None:
    assert from_environ({"IP": text}).on_loopback is local


def test_no_secret_shows() -> None:
    texts = {"API_TOKEN": "geheim-1", "STATS_USER": "u", "STATS_PASS": "geheim-2", "CONSUL_HTTP_TOKEN": "geheim-3"}
    found = from_environ(texts, {"api_token": "geheim-4"})
    for shown in (repr(found), str(found), f"{found}", repr([found])):
        assert "geheim" not in shown
    assert found.access["CONSUL_HTTP_TOKEN"] == "geheim-3"
    assert {s.name for s in SETTINGS if s.secret} >= {"API_TOKEN", "STATS_PASS"}


def test_every_setting_has_a_flag_a_secret_and_a_help() -> None:
    assert len({s.name for s in SETTINGS} | {s.flag for s in SETTINGS}) == 2 * len(SETTINGS)
    assert all(s.help.endswith(".") and s.flag == "--" + s.field.replace("_", "-") for s in SETTINGS)


def test_each_row_is_a_field_and_each_field_a_row_of_its_type() -> None:
    fields = {field.name: kind for field in dataclasses.fields(settings.Settings)
              for kind in [typing.get_type_hints(settings.Settings)[field.name]]}
    del fields["access"]
    assert list(fields) == [s.field for s in SETTINGS]
    found = from_environ({})
    for name, kind in fields.items():
        assert isinstance(getattr(found, name), typing.get_origin(kind) or kind), name


@pytest.mark.parametrize(("attribute", "fault"), [
    ("drain_timeuot", 'has no attribute "drain_timeuot"'),
    ("drain_timeout", ""),
    ("configs_path", 'expression has type "str"'),
])
def test_a_misspelt_setting_or_one_of_another_type_is_found_before_it_runs(
        tmp_path: Path, attribute: str, fault: str) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text("from proxy_api.core.settings import Settings\n\n\ndef seconds(settings: Settings) -> None:\n"
                       f"    number: int = settings.{attribute}\n    print(number)\n")
    found = subprocess.run([sys.executable, "-m", "mypy", "--follow-imports", "silent", str(snippet)], cwd=ROOT,
                           capture_output=True, text=True)
    assert (found.returncode != 0, fault in found.stdout) == (bool(fault), True), found.stdout + found.stderr


# What the predecessor had, with a value that closes something, and a part of what would be right.
CLOSING = (
    ("USERS", "admin:geheim", "in front"),
    ("EXTRA_FRONTEND", "http-request deny", "in front"),
    ("EXTRA_GLOBAL", "ssl-default-bind-options no-tlsv12", "bind options"),
    ("HTTPS_ONLY", "true", ":ssl"),
    ("FILTER_PROXY_INSTANCE_NAME", "TRUE", "PROXY_INSTANCE_NAME"),
    ("SSL_BIND_OPTIONS", "no-tls-tickets", "443 no-tls-tickets:ssl"),
    ("SSL_BIND_OPTIONS", "ssl-min-ver TLSv1.3", "443 ssl-min-ver TLSv1.3:ssl"),
    ("SSL_BIND_CIPHERS", "ECDHE+AESGCM", "443 ciphers ECDHE+AESGCM:ssl"),
    ("CA_FILE", "/certs/ca.pem", "443 ca-file /certs/ca.pem verify optional:ssl"),
    ("CRT_LIST_PATH", "/certs/list.txt", "CERTS_PATH"),
    ("CFG_TEMPLATE_PATH", "/cfg/tmpl/ours.tmpl", "consulTemplatePath"),
    ("ENABLE_H2", "false", "443 alpn http/1.1:ssl"),
    ("STATS_USER_ENV", "OPS", "STATS_USER"),
    ("STATS_PASS_ENV", "OPS_PASS", "STATS_PASS"),
    ("SEPARATOR", "|", "commas"),
)


@pytest.mark.parametrize("where", ["variable", "secret"])
@pytest.mark.parametrize(("name", "text", "right"), CLOSING)
def test_what_closed_something_at_the_predecessor_is_not_ignored(name: str, text: str, right: str, where: str) -> None:
    given = ({name: text}, {}) if where == "variable" else ({}, {name.lower(): text})
    with pytest.raises(InvalidSettings) as caught:
        from_environ(*given)
    fault, = caught.value.faults
    assert fault.name == name
    assert "the predecessor has this, this version does not" in fault.fault
    assert right in fault.wanted
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(("name", "text"), [
    ("USERS", ""), ("HTTPS_ONLY", "false"), ("FILTER_PROXY_INSTANCE_NAME", "false"), ("SSL_BIND_OPTIONS", "no-sslv3"),
    ("SSL_BIND_OPTIONS", "no-sslv3 no-tlsv10 no-tlsv11"), ("SSL_BIND_OPTIONS", "ssl-min-ver TLSv1.2"),
    ("CFG_TEMPLATE_PATH", "/cfg/tmpl/haproxy.tmpl"), ("ENABLE_H2", "true"), ("STATS_USER_ENV", "STATS_USER"),
    ("SEPARATOR", ","), ("MODE", "default"), ("RELOAD_INTERVAL", "5000"), ("DEFAULT_REQ_MODE", "http"),
])
def test_what_changes_nothing_there_is_no_matter_here(name: str, text: str) -> None:
    assert from_environ({name: text}) == from_environ({})
    assert legacy_settings.ignored({name: text}, {}) == ()


@pytest.mark.parametrize(("name", "text"), [
    ("MODE", "swarm"), ("LISTENER_ADDRESS", "swarm-listener"), ("RELOAD_INTERVAL", "1000"), ("DEBUG", "true"),
    ("DEFAULT_REQ_MODE", "tcp"), ("SERVICE_DOMAIN_ALGO", "hdr_dom(host)"), ("USERS_PASS_ENCRYPTED", "true"),
    ("COMPRESSION_ALGO", "gzip"), ("RESOLVERS", "nameserver dns 10.0.0.1:53"), ("DFP_SERVICE_1_SERVICE_NAME", "x"),
])
def test_what_else_the_predecessor_had_is_told(name: str, text: str) -> None:
    assert [told for told, _ in legacy_settings.ignored({name: text}, {})] == [name]
    from_environ({name: text})


def test_every_setting_of_the_predecessor_is_there_or_spoken_of() -> None:
    spoken = {row.name for row in legacy_settings.ROWS}
    assert not spoken & {s.name for s in SETTINGS}
    assert len(spoken) == len(legacy_settings.ROWS)


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\r\n", "\u00a0"])
@pytest.mark.parametrize("where", [0, 1, 2], ids=["variable", "secret", "flag"])
def test_blanks_at_the_ends_belong_to_no_value(blank: str, where: int) -> None:
    texts: list[dict[str, str]] = [{}, {}, {}]
    texts[where] = {("API_TOKEN" if where == 0 else "api_token"): f"{blank}t0ken{blank}"}
    assert from_environ(*texts).api_token == "t0ken"
    if where == 0:
        assert from_environ({"CONSUL_HTTP_TOKEN": f"t0ken{blank}"}).access["CONSUL_HTTP_TOKEN"] == "t0ken"


def test_a_token_of_blanks_alone_opens_nothing() -> None:
    with pytest.raises(InvalidSettings) as caught:
        from_environ({"API_TOKEN": "  "})
    assert str(caught.value) == "API_TOKEN: holds nothing but blanks; give a text, or leave it away"


@pytest.mark.parametrize(("environ", "name", "other"), [
    ({"PORT": "80"}, "PORT", "DEFAULT_PORTS"),
    ({"PORT": "8000", "DEFAULT_PORTS": "10.0.0.1:8000"}, "PORT", "DEFAULT_PORTS"),
    ({"IP": "10.0.0.1", "PORT": "8000", "BIND_PORTS": "10.0.0.1:8000"}, "PORT", "BIND_PORTS"),
    ({"STATS_PORT": "443"}, "STATS_PORT", "DEFAULT_PORTS"),
    ({"STATS_PORT": "8080"}, "PORT", "STATS_PORT"),
])
def test_one_address_for_two_things_is_refused(environ: dict[str, str], name: str, other: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        from_environ(environ)
    fault, = caught.value.faults
    assert (fault.name, other in fault.fault) == (name, True)


def test_one_port_on_two_addresses_is_two_addresses() -> None:
    from_environ({"IP": "10.0.0.1", "PORT": "80", "DEFAULT_PORTS": "10.0.0.2:80", "STATS_PORT": "127.0.0.1:80"})
