"""The release record: numbers that stay, and bytes that come back or are refused for what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import codec
from catalog.model import Instance
from proxy_api.core import keys, release
from proxy_api.core.errors import TooLarge
from proxy_api.core.release import Admission, Member, Release, Template, UnreadableRecord, admit, decode, encode
from tests.specs import spec_of, templated

# What JSON can carry; a lone surrogate is no text that Consul ever gave.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
instances = st.builds(Instance, node=text, id=text, service=text, address=text, port=st.integers(-10, 70000),
                      container=text, tags=st.lists(text, max_size=3).map(tuple), status=text, node_address=text,
                      weight=st.integers(1, 65535))
some = st.lists(instances, max_size=8, unique_by=lambda i: (i.node, i.id))


def members(found: Admission) -> dict[tuple[str, str], int]:
    return {(m.instance.node, m.instance.id): m.number for m in found.members}


@given(some, some)
def test_an_instance_keeps_its_number_while_it_stays(before: list[Instance], after: list[Instance]) -> None:
    first = admit("a", "any", before)
    second = admit("a", "any", after, first)
    old, new = members(first), members(second)
    assert set(new) == {(i.node, i.id) for i in after}
    assert all(new[key] == old[key] for key in old.keys() & new.keys())
    assert len(set(new.values())) == len(new)
    # A new one gets the lowest number that is free: none is skipped but those kept above it.
    fresh = sorted(new[key] for key in new.keys() - old.keys())
    kept = {new[key] for key in new.keys() & old.keys()}
    assert fresh == [n for n in range(100) if n not in kept][:len(fresh)]


@given(some, st.randoms())
def test_the_order_of_the_catalogs_answer_does_not_matter(found: list[Instance], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert admit("a", "any", found) == admit("a", "any", shuffled)


def test_numbers_by_example() -> None:
    def i(id: str) -> Instance:
        return Instance("n", id, "a", "10.0.0.1", 80)
    first = admit("a", "any", [i("c"), i("a"), i("b")])
    assert members(first) == {("n", "a"): 0, ("n", "b"): 1, ("n", "c"): 2}
    second = admit("a", "any", [i("c"), i("d"), i("a")], first)
    assert members(second) == {("n", "a"): 0, ("n", "d"): 1, ("n", "c"): 2}


specs = st.sampled_from([spec_of("a", paths=("/x",), follow=f) for f in ("never", "restarts", "all")]
                        + [templated("a", "t"), templated("a", frontend="f", backend="b")])
admissions = st.lists(st.builds(lambda s, f, found: admit(s, f, found), text, text, some), max_size=3).map(tuple)
plain = st.builds(Release, specs, admissions)
of_templates = st.builds(
    Release, specs, admissions,
    st.lists(st.builds(Template, st.sampled_from(("frontend", "backend", "sections")), text, text), min_size=1,
             max_size=3).map(tuple),
    st.dictionaries(text, st.none() | text, max_size=3).map(lambda d: tuple(sorted(d.items()))),
    st.none() | st.dictionaries(text, st.lists(text, max_size=2).map(tuple), max_size=3)
    .map(lambda d: tuple(sorted(d.items()))))


@given(plain | of_templates)
@settings(deadline=None)
def test_a_record_comes_back_as_it_was_and_equal_ones_are_equal_bytes(made: Release) -> None:
    value = encode(made)
    assert decode(value) == made
    assert encode(decode(value)) == value


@given(st.binary(max_size=200))
def test_bytes_of_any_sort_are_only_ever_unreadable(value: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode(value)


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | text,
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
GOOD = json.loads(encode(Release(spec_of("a", paths=("/",)),
                                 (admit("a", "any", [Instance("n", "i", "a", "10.0.0.1", 80)]),))))


@given(st.sampled_from(("schema", "spec", "admissions", "templates", "keys", "listing")), json_values)
@settings(deadline=None)
def test_a_record_with_one_part_that_is_something_else(part: str, value: object) -> None:
    try:
        found = decode(json.dumps({**GOOD, part: value}).encode())
    except UnreadableRecord:
        return
    if found.templates:
        assert decode(encode(found)) == found, "what is taken can be written again"
    assert isinstance(found, Release)


BAD = (
    ("nothing", b"", "cannot be read"),
    ("no JSON", b"{", "cannot be read"),
    ("a list", b"[]", "cannot be read"),
    ("brackets without end", b"[" * 200_000, "cannot be read"),
    ("a number beyond floats", json.dumps(GOOD).replace('"port": 80', '"port": 1e999').encode(), "cannot be read"),
    ("no schema", b"{}", "schema"),
    ("a later schema", json.dumps({**GOOD, "schema": 3}).encode(), "schema 3; this version knows 1 and 2"),
    ("a path that no request could bring", json.dumps({**GOOD, "spec": {
        "serviceName": "a", "destinations": [{"index": 0, "servicePath": ["/a\nb"]}]}}).encode(), "servicePath"),
    ("a template of an unknown kind",
     json.dumps({**GOOD, "templates": [{"kind": "x", "path": "p", "text": "t"}]}).encode(), "KeyError"),
)


@pytest.mark.parametrize(("value", "why"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_record_that_cannot_be_used_says_why(value: bytes, why: str) -> None:
    with pytest.raises(UnreadableRecord, match=why):
        decode(value)


SCHEMA_1 = {
    "schema": 1,
    "spec": {"service": "a", "color": "", "paths": ["/x"], "domains": [], "path_type": "", "skip_check": False,
             "template": "", "template_fe": "", "template_be": "", "follow": "restarts", "port": 0, "outbound": ""},
    "admissions": GOOD["admissions"],
}


def test_a_record_of_schema_1_is_read() -> None:
    found = decode(json.dumps(SCHEMA_1).encode())
    assert found.spec == spec_of("a", paths=("/x",))
    assert found.admissions == decode(json.dumps(GOOD).encode()).admissions


def _places(data: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Where in the record an object stands, but for what is keyed by names from outside."""
    if isinstance(data, dict):
        yield path
        for key, value in data.items():
            if key not in ("keys", "listing"):
                yield from _places(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _places(value, (*path, number))


WHOLE = json.loads(encode(Release(
    spec_of("a", paths=("/x",), skip_check=True), (admit("a", "any", [Instance("n", "i", "a", "10.0.0.1", 80)]),),
    (Template("sections", "t", "x"),), (("k", "v"),), (("s", ("t",)),))))


@pytest.mark.parametrize("record", [WHOLE, SCHEMA_1], ids=["2", "1"])
def test_a_field_that_this_version_does_not_know_makes_the_record_unreadable_wherever_it_stands(
        record: dict[str, object]) -> None:
    decode(json.dumps(record).encode())
    places = list(_places(record))
    assert len(places) >= 4
    for place in places:
        data = json.loads(json.dumps(record))
        target = data
        for step in place:
            target = target[step]
        target["users"] = ["ops"]
        with pytest.raises(UnreadableRecord, match="the field 'users', which this version does not know"):
            decode(json.dumps(data).encode())


def test_a_weight_of_one_is_not_written_and_a_record_without_any_has_it() -> None:
    def made(weight: int) -> Release:
        return Release(spec_of("a", paths=("/",)),
                       (admit("a", "any", [Instance("n", "i", "a", "10.0.0.1", 80, weight=weight)]),))
    assert b"weight" not in encode(made(1))
    assert decode(encode(made(1))) == made(1)
    assert b'"weight":7' in encode(made(7))


def test_a_release_that_does_not_fit_into_a_key_is_refused_before_it_is_sent() -> None:
    huge = Release(templated("a", "t"), (), (Template("sections", "t", "x" * codec.MAX_VALUE_BYTES),))
    with pytest.raises(TooLarge, match=f"at most {codec.MAX_VALUE_BYTES}"):
        keys.encode(huge)
    assert release.Release(huge.spec).members() == ()


def test_members_are_those_of_all_admissions() -> None:
    one, two = (Member(0, Instance("n", id, id, "10.0.0.1", 80)) for id in "ab")
    made = Release(spec_of("a"), (Admission("a", "any", (one,)), Admission("b", "any", (two,))))
    assert made.members() == (one, two)
