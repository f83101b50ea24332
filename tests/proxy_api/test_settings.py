"""Settings: what each takes, how a bad one is named, who wins, and that secrets stay in."""

from __future__ import annotations

import pytest

from proxy_api.core import settings
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
    assert from_environ({setting.name: ""}).values == from_environ({}).values


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
