"""The services of a container: names, ids, tags, attributes, and what takes a port out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.core.grammar import is_loopback
from registrar.core.plan import plan
from registrar.core.services import Offer, services_of
from tests.registrar.documents import NODE, WILD, container, settings

WEB = {"8080/tcp": [(WILD, 32768)]}
TWO = {"8080/tcp": [(WILD, 32768)], "9090/tcp": [(WILD, 32769)]}
DNS = {"53/tcp": [(WILD, 1053)], "53/udp": [(WILD, 1054)]}


def offer(ports=WEB, flags=(), **changes):
    return services_of(container(ports=ports, **changes), None, NODE, settings(*flags))


# title: (ports, env, flags, [(id, name)])
NAMES = {
    "one port: the image's name": (WEB, {}, (), [("8080", "go-demo")]),
    "several ports: the name with the port": (TWO, {}, (), [("8080", "go-demo-8080"), ("9090", "go-demo-9090")]),
    "a generic name has the suffix too": (TWO, {"SERVICE_NAME": "w"}, (), [("8080", "w-8080"), ("9090", "w-9090")]),
    "a port's own name has none": (TWO, {"SERVICE_8080_NAME": "w"}, (), [("8080", "w"), ("9090", "go-demo-9090")]),
    "an empty port name takes the suffix away": (
        TWO, {"SERVICE_8080_NAME": ""}, (), [("8080", "go-demo"), ("9090", "go-demo-9090")]),
    "an ignored port does not make a group": (TWO, {"SERVICE_9090_IGNORE": "true"}, (), [("8080", "go-demo")]),
    "a port that is only exposed does not either": ({**WEB, "9090/tcp": None}, {}, (), [("8080", "go-demo")]),
    "UDP shows in the id": (DNS, {}, (), [("53", "go-demo-53"), ("53:udp", "go-demo-53")]),
    "a protocol's own name": (
        DNS, {"SERVICE_53_TCP_NAME": "a", "SERVICE_53_UDP_NAME": "b"}, (), [("53", "a"), ("53:udp", "b")]),
    "explicit mode: a port without a name is none": (
        TWO, {"SERVICE_9090_NAME": "x"}, ("-explicit",), [("9090", "x")]),
    "explicit mode: a generic name is for all": (WEB, {"SERVICE_NAME": "x"}, ("-explicit",), [("8080", "x")]),
    "explicit mode: an empty name is none": (WEB, {"SERVICE_NAME": " "}, ("-explicit",), []),
    "several names for one port: one id each": (
        WEB, {"SERVICE_NAME": "web, api"}, (), [("8080", "web"), ("8080:api", "api")]),
    "a range's name has the suffix, since it is not one port's": (
        TWO, {"SERVICE_8000-9100_NAME": "w"}, (), [("8080", "w-8080"), ("9090", "w-9090")]),
    "a range may be ignored": (TWO, {"SERVICE_9000-9999_IGNORE": "true"}, (), [("8080", "go-demo")]),
    "ignored altogether": (TWO, {"SERVICE_IGNORE": "1"}, (), []),
    "IGNORE=false means false": (WEB, {"SERVICE_IGNORE": "false"}, (), [("8080", "go-demo")]),
    "IGNORE=0 means false": (WEB, {"SERVICE_IGNORE": "0"}, (), [("8080", "go-demo")]),
    "an empty IGNORE means nothing": (WEB, {"SERVICE_IGNORE": ""}, (), [("8080", "go-demo")]),
    "a port's IGNORE=no beats the generic yes": (
        TWO, {"SERVICE_IGNORE": "yes", "SERVICE_8080_IGNORE": "no"}, (), [("8080", "go-demo")]),
    "a suffix always": (WEB, {"SERVICE_NAME": "w"}, ("--suffix", "always"), [("8080", "w-8080")]),
    "always, but not on a port's own name": (
        TWO, {"SERVICE_8080_NAME": "w"}, ("--suffix", "always"), [("8080", "w"), ("9090", "go-demo-9090")]),
    "a suffix never: several ports of one service": (
        TWO, {}, ("--suffix", "never"), [("8080", "go-demo"), ("9090", "go-demo")]),
    "a service without a port": ({}, {"SERVICE_PORT": "0"}, (), [("0", "go-demo")]),
    "a name with a line break is not used": (WEB, {"SERVICE_NAME": "a\nb"}, (), [("8080", "go-demo")]),
}


@pytest.mark.parametrize(("ports", "env", "flags", "expected"), NAMES.values(), ids=NAMES)
def test_names(ports, env, flags, expected):
    found = offer(ports, flags, env=env).registrations
    assert [(r.id.removeprefix("n1:web_1:"), r.name) for r in found] == expected


def body(**env):
    return offer(env={f"SERVICE_{k}": v for k, v in env.items()}).registrations[0].body()


@pytest.mark.parametrize(("env", "weights"), [
    ({}, None), ({"WEIGHT": "10"}, {"Passing": 10, "Warning": 1}),
    ({"WEIGHTS": "10, 3"}, {"Passing": 10, "Warning": 3}),
    ({"WEIGHT": "0"}, None), ({"WEIGHTS": "1,2,3"}, None), ({"WEIGHT": "x"}, None), ({"WEIGHT": "²"}, None),
    ({"WEIGHT": "70000"}, None)])
def test_weights(env, weights):
    assert body(**env).get("Weights") == weights


@pytest.mark.parametrize("key", ["ADDRESS", "IP"])
@pytest.mark.parametrize(("text", "address"), [
    ("10.1.1.1", "10.1.1.1"), ("[fd00::1]", "fd00::1"), ("web.example.org", "web.example.org"),
    ("127.0.0.1", "10.0.0.5"), ("0.0.0.0", "10.0.0.5"), ("999.1.1.1", "10.0.0.5")])
def test_an_address_given_by_hand(key, text, address):
    assert body(**{key: text}, CHECK_TCP="1")["Address"] == address
    assert address in body(**{key: text}, CHECK_TCP="1")["Check"]["TCP"]


def test_two_names_of_one_key_are_told():
    found = offer(env={"SERVICE_IP": "10.1.1.1", "SERVICE_ADDRESS": "10.2.2.2"})
    assert found.registrations[0].address == "10.2.2.2"
    assert [(f.key, f.value) for f in found.faults] == [("SERVICE_IP", "10.1.1.1")]


def test_a_ports_ip_beats_the_generic_address():
    assert body(ADDRESS="10.1.1.1", **{"8080_IP": "10.2.2.2"})["Address"] == "10.2.2.2"


# title: (env, labels, flags, tags of 8080)
MERGED = {
    "a port's list replaces the generic one": (
        {"SERVICE_TAGS": "a,b", "SERVICE_8080_TAGS": "c"}, {}, (), ["c"]),
    "merged: the most particular first": (
        {"SERVICE_TAGS": "a,c", "SERVICE_8080_TAGS": "c,d"}, {}, ("--merge-tags",), ["c", "d", "a"]),
    "a label is merged with a variable": (
        {"SERVICE_TAGS": "a"}, {"SERVICE_TAGS": "b"}, ("--merge-tags",), ["b", "a"]),
    "the container asks for it": (
        {"SERVICE_TAGS": "a", "SERVICE_8080_TAGS": "b", "SERVICE_MERGE_TAGS": "yes"}, {}, (), ["b", "a"]),
    "the container does not want it": (
        {"SERVICE_TAGS": "a", "SERVICE_8080_TAGS": "b", "SERVICE_MERGE_TAGS": "no"}, {}, ("--merge-tags",), ["b"]),
    "an empty list takes all the general ones away": (
        {"SERVICE_TAGS": "a", "SERVICE_8080_TAGS": ""}, {"SERVICE_8000-9000_TAGS": "r"}, ("--merge-tags",), []),
    "the range lies between": (
        {"SERVICE_TAGS": "a", "SERVICE_8080_TAGS": "b", "SERVICE_8000-9000_TAGS": "r"}, {}, ("--merge-tags",),
        ["b", "r", "a"]),
}


@pytest.mark.parametrize(("env", "labels", "flags", "tags"), MERGED.values(), ids=MERGED)
def test_merging_of_tags(env, labels, flags, tags):
    found = offer(WEB, flags, env=env, labels=labels)
    assert list(found.registrations[0].tags) == tags and not found.faults


RTP = {f"{port}/udp": [(WILD, port)] for port in range(10000, 10060)}


def test_a_range_of_ports_does_not_flood_the_catalog():
    found = offer(WEB | RTP)
    assert not found.registrations
    assert [s.code for s in found.skips] == ["too-many-ports"]
    assert "61 ports, 8080/tcp to 10059/udp, are more than --max-ports 50" in found.skips[0].reason


def test_a_port_that_is_named_by_itself_is_registered_beside_a_flood():
    found = offer(WEB | RTP, env={"SERVICE_8080_NAME": "sip", "SERVICE_10000-10059_TAGS": "rtp"})
    assert [(r.name, r.port) for r in found.registrations] == [("sip", 32768)]
    assert "60 ports, 10000/udp to 10059/udp" in found.skips[0].reason


@pytest.mark.parametrize(("flags", "env", "count"), [
    (("--max-ports", "61"), {}, 61), (("--max-ports", "0"), {}, 61), (("--max-ports", "60"), {}, 0),
    ((), {"SERVICE_10000-10059_IGNORE": "true"}, 1)])
def test_the_limit_of_ports_can_be_moved_and_ignored_ports_do_not_count(flags, env, count):
    assert len(offer(WEB | RTP, flags, env=env).registrations) == count


HOST = {"ports": {}, "mode": "host", "networks": {"host": ""}}
# title: (changes, SERVICE_ variables, flags, [address:port]); all for containers without an exposed port
DECLARED = {
    "host networking": (HOST, {"PORT": "9000"}, (), ["10.0.0.5:9000"]),
    "several, with a protocol": (HOST, {"PORT": "9000, 53/udp"}, (), ["10.0.0.5:53", "10.0.0.5:9000"]),
    "the container's own address": ({"ports": {}}, {"PORT": "9000"}, ("-internal",), ["172.17.0.2:9000"]),
    "not published: nothing leads there": ({"ports": {}}, {"PORT": "9000"}, (), []),
    "unless it is said what does": ({"ports": {}}, {"PORT": "9000", "ADDRESS": "10.9.9.9"}, (), ["10.9.9.9:9000"]),
    "no port at all": ({"ports": {}}, {"PORT": "0"}, (), ["10.0.0.5:0"]),
    "no port at all, internal": ({"ports": {}}, {"PORT": "0"}, ("-internal",), ["172.17.0.2:0"]),
    "no port is not a port": ({"ports": {}}, {"PORT": "none"}, (), []),
    "one for all ports there are": ({"ports": {}}, {"PORT": "70000,8/icmp,²"}, (), []),
    "published anyway": ({"ports": WEB}, {"PORT": "8080"}, (), ["10.0.0.5:32768"]),
    "another port for one that there is": ({"ports": WEB}, {"8080_PORT": "80"}, (), ["10.0.0.5:80"]),
    "at another address": ({"ports": WEB}, {"8080_PORT": "80", "IP": "10.9.9.9"}, (), ["10.9.9.9:80"]),
    "another port that is none": ({"ports": WEB}, {"8080_PORT": "0"}, (), ["10.0.0.5:32768"]),
}


@pytest.mark.parametrize(("changes", "env", "flags", "expected"), DECLARED.values(), ids=DECLARED)
def test_ports_that_metadata_names(changes, env, flags, expected):
    found = offer(flags=flags, env={f"SERVICE_{k}": v for k, v in env.items()}, **changes)
    assert [f"{r.address}:{r.port}" for r in found.registrations] == expected
    assert expected or found.skips


def test_a_service_without_a_port_has_no_check_that_connects():
    found = offer({}, env={"SERVICE_PORT": "0", "SERVICE_CHECK_TCP": "1"})
    assert "Check" not in found.registrations[0].body()
    assert [f.key for f in found.faults] == ["SERVICE_CHECK_TCP"]


def test_headers_and_arguments_have_the_shape_that_consul_takes():
    assert body(CHECK_HTTP="/", CHECK_HEADER="A: 1")["Check"]["Header"] == {"A": ("1",)}


def test_tags_that_others_may_change_are_not_compared_and_not_overwritten():
    env = {"SERVICE_TAGS": "a", "SERVICE_ENABLE_TAG_OVERRIDE": "true"}
    one = offer(env=env).registrations[0]
    edited = replace(one.held(), tags=("b",))
    assert one.body()["EnableTagOverride"] is True and one.stands_as(edited)
    moved = offer({"8080/tcp": [(WILD, 5)]}, env=env).registrations[0]
    assert plan([moved], {one.id: edited}, "n1").register[0].body()["Tags"] == ["b"]
    assert not offer(env={"SERVICE_TAGS": "a"}).registrations[0].stands_as(edited)


def test_a_custom_id_replaces_the_whole_id_and_the_default_one_stays_in_reserve():
    one = offer(env={"SERVICE_8080_ID": "my-id"}).registrations[0]
    assert (one.id, one.default_id) == ("my-id", "n1:web_1:8080")


TAGS = {
    "trimmed, without empty and doubled ones, in their order": (
        WEB, {"SERVICE_TAGS": " b, a ,,b"}, (), ("b", "a")),
    "a comma that is meant": (WEB, {"SERVICE_TAGS": r"a\,b,c"}, (), ("a,b", "c")),
    "the port's tags replace the generic ones": (
        WEB, {"SERVICE_TAGS": "a", "SERVICE_8080_TAGS": "b"}, (), ("b",)),
    "everybody's tags come after": (WEB, {"SERVICE_TAGS": "a"}, ("-tags", "x,a"), ("a", "x")),
    "and udp at the end": ({"53/udp": [(WILD, 1)]}, {"SERVICE_TAGS": "a"}, ("-tags", "x"), ("a", "x", "udp")),
    "tags that do not print are left out": (WEB, {"SERVICE_TAGS": "a\nb,c"}, (), ("c",)),
}


@pytest.mark.parametrize(("ports", "env", "flags", "expected"), TAGS.values(), ids=TAGS)
def test_tags(ports, env, flags, expected):
    assert offer(ports, flags, env=env).registrations[0].tags == expected


def user_meta(registration):
    return {k: v for k, v in registration.meta if not k.startswith("registrar-")}


META = {
    "a plain attribute, its key in lower case": ({"SERVICE_REGION": "us2"}, {"region": "us2"}),
    "keys with a meaning are none": (
        {"SERVICE_NAME": "a", "SERVICE_TAGS": "a", "SERVICE_ID": "a", "SERVICE_IGNORE": "", "SERVICE_CHECK_TCP": "1",
         "SERVICE_CHECK_INTERVAL": "15s", "SERVICE_CHECK_NONSENSE": "1"}, {}),
    "the port's attribute beats the generic one": (
        {"SERVICE_REGION": "a", "SERVICE_8080_REGION": "b", "SERVICE_99_REGION": "c"}, {"region": "b"}),
    "an empty value is a value": ({"SERVICE_REGION": ""}, {"region": ""}),
    "a key that Consul refuses is mended": ({"SERVICE_a.b": "1"}, {"a_b": "1"}),
    "but not over one that needs no mending": ({"SERVICE_a.b": "1", "SERVICE_A_B": "2"}, {"a_b": "2"}),
    "a value that is too long is left out": ({"SERVICE_A": "x" * 513, "SERVICE_B": "ü" * 256}, {"b": "ü" * 256}),
    "so is a key": ({"SERVICE_" + "a" * 129: "1"}, {}),
    "reserved prefixes are": ({"SERVICE_CONSUL-X": "1", "SERVICE_REGISTRAR-OWNER": "me"}, {}),
}


@pytest.mark.parametrize(("env", "expected"), META.values(), ids=META)
def test_meta(env, expected):
    assert user_meta(offer(env=env).registrations[0]) == expected


def test_more_attributes_than_consul_takes_keep_the_first_ones_and_are_reported():
    found = offer(env={f"SERVICE_K{i:03}": "v" for i in range(80)})
    assert len(found.registrations[0].meta) == 64
    assert len(found.faults) == 80 - 61


def test_the_marks_name_owner_and_container():
    meta = dict(offer(id="d" * 64).registrations[0].meta)
    assert meta["registrar-owner"] == "n1" and meta["registrar-container"] == "d" * 64 and meta["registrar-hash"]


@pytest.mark.parametrize("env", [{"SERVICE_CHECK_TCP": "1"}, {"SERVICE_CHECK_TCP": "1", "SERVICE_CHECK_INTERVAL": "9s"},
                                 {"SERVICE_TAGS": "x"}, {"SERVICE_A": "b"}])
def test_the_fingerprint_covers_the_whole_definition_the_check_included(env):
    assert offer().registrations[0].mark != offer(env=env).registrations[0].mark


def test_bad_metadata_is_reported_with_container_key_value_and_rule_and_blocks_nothing():
    bad = {"SERVICE_ID": "a//b", "SERVICE_IGNORE": "perhaps not", "SERVICE_8080_IGNORE": "off", "SERVICE_a b": "1",
           "SERVICE_CHECK_HTTP": "/x y", "SERVICE_NAME": "under.dots"}
    found = offer(env=bad)
    assert [r.id for r in found.registrations] == ["n1:web_1:8080"]
    assert {f.key for f in found.faults} == {"SERVICE_ID", "SERVICE_a b", "SERVICE_CHECK_HTTP", "SERVICE_NAME"}
    assert all(f.container == "web_1" and f.value == bad[f.key] and f.rule for f in found.faults)


def test_an_unclear_ignore_is_taken_for_a_yes_as_in_registrator_and_reported():
    found = offer(env={"SERVICE_IGNORE": "perhaps"})
    assert not found.registrations and found.faults[0].key == "SERVICE_IGNORE"


def test_only_containers_with_the_label_are_looked_at():
    flags = ("--only-label", "node=a", "--only-label", "stage=prod")
    assert offer(flags=flags, labels={"node": "a", "stage": "prod"}).registrations
    for labels in ({}, {"node": "a"}, {"node": "b", "stage": "prod"}):
        assert offer(flags=flags, labels=labels) == Offer()


texts = st.text(max_size=40)
keys = st.sampled_from([
    "NAME", "ID", "TAGS", "IGNORE", "CHECK_HTTP", "CHECK_HTTPS", "CHECK_TCP", "CHECK_TTL", "CHECK_INTERVAL",
    "CHECK_TIMEOUT", "CHECK_INITIAL_STATUS", "CHECK_DEREGISTER_AFTER", "CHECK_HTTP_METHOD", "CHECK_SCRIPT", "REGION",
    "consul-x", "a.b", "NETWORK", "CHECK_GRPC", "CHECK_CMD", "CHECK_HEADER", "CHECK_TLS_SKIP_VERIFY", "ADDRESS",
    "WEIGHT", "WEIGHTS", "ENABLE_TAG_OVERRIDE",
])
values = st.one_of(texts, st.sampled_from(["true", "15s", "/health", "passing", "x" * 600, "7", "127.0.0.1"]))
entries = st.dictionaries(st.builds("SERVICE_{}{}".format, st.sampled_from(["", "8080_", "9090_TCP_", "1_"]), keys),
                          values, max_size=10)


@given(entries, entries)
def test_any_metadata_gives_registrations_that_consul_accepts(env, labels):
    """Whatever is written into metadata: as many registrations as ports that are not ignored, each within C6 to C9."""
    found = offer(TWO, env=env, labels=labels)
    ignored = [s for s in found.skips if s.code == "ignored"]
    assert len({r.exposed for r in found.registrations}) == 2 - len(ignored)
    assert len({r.id for r in found.registrations}) >= len({r.exposed for r in found.registrations}) - 1
    for one in found.registrations:
        assert one.name.strip() and one.name.isprintable() and one.id and one.id.isprintable()
        assert all(tag and tag == tag.strip() for tag in one.tags) and len(set(one.tags)) == len(one.tags)
        assert len(one.meta) <= 64
        for key, value in one.meta:
            assert 0 < len(key) <= 128 and len(value.encode()) <= 512 and not key.startswith("consul-")
            assert all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
        assert {key for key, _ in one.check} <= {
            "HTTP", "TCP", "TTL", "GRPC", "GRPCUseTLS", "Args", "Header", "TLSSkipVerify", "Method", "Interval",
            "Timeout", "Status", "DeregisterCriticalServiceAfter"}
        assert not is_loopback(one.address)
        assert all(0 < weight < 65536 for weight in one.weights or ())
