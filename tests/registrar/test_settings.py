"""Options: forms, sources, rules, and what a usage error says."""

import pytest

from registrar.core.option_rows import OPTIONS
from registrar.core.options import UsageError, unknown_variables, usage
from registrar.core.settings import Settings, read_settings

URI = "consul://10.0.0.9:8500"


def read(line, environ=None):
    return read_settings(line.split(), environ or {})


FORMS = {
    "one dash": f"-ip 10.0.0.5 {URI}",
    "two dashes": f"--ip 10.0.0.5 {URI}",
    "equals sign": f"-ip=10.0.0.5 {URI}",
    "two dashes and equals sign": f"--ip=10.0.0.5 {URI}",
    "after the address": f"{URI} -ip 10.0.0.5",
    "on both sides of it": f"-internal {URI} -ip 10.0.0.5",
    "given twice, the last one counts": f"-ip 10.0.0.1 -ip 10.0.0.5 {URI}",
}


@pytest.mark.parametrize("line", FORMS.values(), ids=FORMS)
def test_forms_of_a_flag(line):
    assert read(line).ip == "10.0.0.5"


def test_registrators_own_line_is_understood():
    found = read(f"-ip 10.0.0.5 -internal -explicit -useIpFromLabel ip -tags a,b -ttl 60 -ttl-refresh 30 -resync 10 "
                 f"-cleanup -deregister on-success -retry-attempts -1 -retry-interval 500 {URI}")
    assert (found.consul, found.ip, found.tags.plain, found.interval) == ("10.0.0.9:8500", "10.0.0.5", ("a", "b"), 10)
    assert found.retry_attempts == -1 and found.deregister == "on-success" and found.use_ip_from_label == "ip"
    assert any("cleaning is always on" in note for note in found.notes)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: o.name)
def test_every_option_is_also_a_variable_and_the_flag_wins(option):
    samples = {"ip": ("10.0.0.1", "10.0.0.2"), "ip6": ("fd00::1", "fd00::2"), "tags": ("a", "b"), "deregister":
               ("on-success", "always"), "host-ports": ("all", "named"), "only-label": ("a=1", "b=2"), "http":
               (":9180", "127.0.0.1:9181"), "health": ("off", "off"), "drain": ("off", "off"), "ttl": ("60", "70"),
               "ttl-refresh": ("10", "20"), "network": ("a", "b.*"), "adopt-host": ("a", "b"),
               "log-level": ("debug", "error"), "family": ("ipv4", "ipv6"), "suffix": ("always", "never"),
               "include": ("name=a", "image=b"), "exclude": ("label=a=1", "project=p")}
    low, high = samples.get(option.name, ("true", "false") if option.switch else ("7", "8"))
    partner = {"ttl": " -ttl-refresh 5", "ttl-refresh": " -ttl 600"}.get(option.name, "")
    from_variable = read(URI + partner, {option.variable: low})
    from_both = read(f"-{option.name}={high} {URI}{partner}", {option.variable: low})
    one, other = (option.read(text) for text in (low, high))
    assert getattr(from_variable, option.field) == ((one,) if option.many else one)
    assert getattr(from_both, option.field) == ((other,) if option.many else other)


def test_the_settings_have_exactly_the_fields_of_the_table():
    assert set(Settings.__slots__) == {option.field for option in OPTIONS} | {
        "consul", "scheme", "prefix", "notes", "command", "words", "extras"}


def test_a_repeatable_option_and_its_variable():
    assert read(f"--only-label a=1 --only-label b=2 {URI}").only_label == ("a=1", "b=2")
    assert read(URI, {"REGISTRAR_ONLY_LABEL": "a=1,b=2"}).only_label == ("a=1", "b=2")


# line: what the message has to name
REFUSED = {
    "": ["registry address", "consul://"],
    f"{URI} {URI}": ["one registry address", "2"],
    "10.0.0.9:8500": ["no scheme", "consul://HOST:PORT"],
    "zookeeper://zk:2181/x": ["'zookeeper'", "not supported", "consul://HOST:PORT"],
    "consulkv://a:1/": ["no prefix", "consulkv://HOST:PORT/PREFIX"],
    "consulkv://a:1": ["no prefix"],
    "consul://a:1,b:1": ["several agents"],
    "consul://user:secret@a:1": ["CONSUL_HTTP_AUTH"],
    "consul://a:99999": ["bad port"],
    f"-ip 0.0.0.0 {URI}": ["-ip", "0.0.0.0", "wildcard"],
    f"-ip 999.1.1.1 {URI}": ["-ip", "IP address or a host name"],
    f"-ip 10.0.0.1:80 {URI}": ["-ip", "IP address or a host name"],
    f"-ip {URI}": ["-ip"],
    f"-ip6 10.0.0.1 {URI}": ["-ip6", "IPv6"],
    f"-deregister never {URI}": ["-deregister", "'never'", "always or on-success"],
    f"-resync soon {URI}": ["-resync", "'soon'", "whole number"],
    f"-retry-attempts -2 {URI}": ["-retry-attempts", "from -1"],
    f"-retry-interval 0 {URI}": ["-retry-interval", "from 1"],
    f"-ttl 60 {URI}": ["-ttl-refresh", "both or none"],
    f"-ttl 30 -ttl-refresh 30 {URI}": ["-ttl 30", "greater"],
    f"-tags a,{{{{env}}}} {URI}": ["-tags", "function 'env' is not supported", "there are and, eq,", "urlquery"],
    f"-tags {{{{toUper}}}} {URI}": ["function 'toUper' is not supported (did you mean toUpper?)"],
    f"-tags a,{{{{block}}}} {URI}": ["-tags", "block is not supported, only if, else, end, range, with"],
    f"-tags a,{{{{if {URI}": ["-tags", "the action is not closed with }}"],
    f"-tags {{{{.Id}}}} {URI}": ["-tags", "Container has no field Id; did you mean ID?"],
    f"-internal=perhaps {URI}": ["-internal", "true or false"],
    f"--network a( {URI}": ["-network", "regular expression"],
    f"--node-id a:b {URI}": ["-node-id", "'a:b'", "letters"],
    f"--only-label x {URI}": ["-only-label", "KEY=VALUE"],
    f"--reconcile-interval 0 {URI}": ["-reconcile-interval", "seconds"],
    f"--http 9180 {URI}": ["-http", "ADDR:PORT"],
    f"--health open {URI}": ["-health", "'open'", "give off or gate or mirror"],
    f"--drain slowly {URI}": ["-drain", "give off or maintenance or deregister"],
    f"-intern {URI}": ["-intern", "did you mean -internal"],
    f"-retry-atempts=3 {URI}": ["did you mean -retry-attempts"],
    "watch-nodes consul://a:1": ["watch-nodes", "'consul'", "consul-catalog://HOST:PORT"],
    f"-ip {URI} -deregister x -resync y": ["-ip", "-deregister", "-resync"],
}


@pytest.mark.parametrize(("line", "named"), REFUSED.items(), ids=REFUSED)
def test_a_usage_error_names_the_option_the_fault_and_what_would_be_right(line, named):
    with pytest.raises(UsageError) as fault:
        read(line)
    assert all(word in str(fault.value) for word in named), str(fault.value)
    assert "secret" not in str(fault.value)


def test_a_bad_variable_is_named_as_such():
    with pytest.raises(UsageError, match="REGISTRAR_RESYNC 'x'"):
        read(URI, {"REGISTRAR_RESYNC": "x"})


@pytest.mark.parametrize(("environ", "consul"), [
    ({}, "127.0.0.1:8500"),
    ({"CONSUL_HTTP_ADDR": "10.1.1.1:8501"}, "10.1.1.1:8501"),
    ({"CONSUL_HTTP_ADDR": "https://consul.example.org"}, "https://consul.example.org"),
    ({"CONSUL_HTTP_ADDR": "unix:///run/consul.sock"}, "unix:///run/consul.sock"),
])
def test_an_empty_host_is_consuls_own_variable_or_its_default(environ, consul):
    assert read("consul://", environ).consul == consul


def test_a_prefix_of_keys():
    found = read("consulkv://10.0.0.9:8500/a/b/")
    assert (found.consul, found.prefix, found.drain) == ("10.0.0.9:8500", "a/b", "deregister")
    assert read("--drain off consulkv://10.0.0.9:8500/a").drain == "off"


# address: (scheme, consul, prefix)
WAYS = {
    "consul-unix:///run/consul.sock": ("consul", "unix:///run/consul.sock", ""),
    "consul-tls://consul.example.org:8501": ("consul", "https://consul.example.org:8501", ""),
    "consul-catalog-unix:///run/consul.sock": ("consul-catalog", "unix:///run/consul.sock", ""),
    "consul-catalog-tls://a:1": ("consul-catalog", "https://a:1", ""),
    "consulkv-unix:///run/consul.sock:/registrator/a": ("consulkv", "unix:///run/consul.sock", "registrator/a"),
    "consulkv-tls://a:1/x": ("consulkv", "https://a:1", "x"),
}


@pytest.mark.parametrize(("address", "expected"), WAYS.items(), ids=WAYS)
def test_ways_to_consul(address, expected):
    found = read(address, {"CONSUL_HTTP_ADDR": "elsewhere:1"})
    assert (found.scheme, found.consul, found.prefix) == expected


@pytest.mark.parametrize(("address", "environ", "named"), [
    ("consul-unix://10.0.0.9:8500", {}, ["unix:///path"]),
    ("consul-unix://", {}, ["unix:///path"]),
    (f"consul-unix:///{'x' * 107}", {}, ["107 bytes"]),
    ("consulkv-unix:///run/consul.sock/x", {}, ["no prefix", "consulkv-unix:///PATH:/PREFIX"]),
    ("consul-tls://", {}, ["names no host", "consul-tls://HOST:PORT"]),
    ("consul-tls://a:1", {"CONSUL_HTTP_SSL_VERIFY": "false"}, ["CONSUL_HTTP_SSL_VERIFY", "CONSUL_CACERT"]),
    ("consul-ftp://a:1", {}, ["'consul-ftp'", "consul-unix:///PATH"]),
    ("consul-unix:///a,consul-unix:///b", {}, ["several agents"]),
])
def test_a_way_to_consul_that_is_none_is_refused(address, environ, named):
    with pytest.raises(UsageError) as fault:
        read(address, environ)
    assert all(word in str(fault.value) for word in named), str(fault.value)


def test_misspelt_variables_are_found():
    assert unknown_variables({"REGISTRAR_NODEID": "x", "REGISTRAR_NODE_ID": "x", "REGISTRAR_WAIT": "1",
                              "HOME": "/"}) == ("REGISTRAR_NODEID",)


def test_the_help_names_every_option():
    text = usage()
    assert all(f"--{option.name}" in text for option in OPTIONS)


def test_a_host_name_and_a_bracketed_address_are_addresses():
    assert read(f"-ip node-1.example.org {URI}").ip == "node-1.example.org"
    assert read(f"-ip [fd00::1] {URI}").ip == "fd00::1"
