"""Which keys of Consul are whose: what a listing says, what a write sets, and that a removal takes its own only."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model import Instance, KVEntry, Operation
from proxy_api.core import release, stored_spec
from proxy_api.core.keys import Keys, Legacy, Stored, Unreadable, encode
from proxy_api.core.release import Release, admit
from tests.specs import spec_of

KEYS = Keys("docker-flow")
MARKER_VALUE = b'{"schema": 1, "history": "h", "last": "l"}'


def made(name: str, path: str = "/x") -> Release:
    return Release(spec_of(name, paths=(path,)), (admit(name, "any", [Instance("n", "i", name, "10.0.0.1", 80)]),))


def listing(*pairs: tuple[str, bytes]) -> list[KVEntry]:
    return [KVEntry(f"docker-flow/{key}", value, 100 + n) for n, (key, value) in enumerate(pairs)]


def apply(operations: tuple[Operation, ...], store: dict[str, tuple[bytes, int]]) -> bool:
    """Consul's transaction, as its documentation has it: all or nothing."""
    after = dict(store)
    for operation in (o["KV"] for o in operations):
        key, verb = operation["Key"], operation["Verb"]
        index = store.get(key, (b"", 0))[1]
        if verb in ("cas", "check-index") and operation["Index"] != index:
            return False
        if verb in ("cas", "set"):
            after[key] = (base64.b64decode(operation["Value"]), 1000)
        elif verb == "delete":
            after.pop(key, None)
    store.clear()
    store.update(after)
    return True


def entries(store: dict[str, tuple[bytes, int]]) -> list[KVEntry]:
    return [KVEntry(key, value, index) for key, (value, index) in store.items()]


names = st.sampled_from(("go-demo", "go-demo-db", "go-demo2", "go", "service", "route", "path", "color", "go-demo.x"))


@given(st.lists(names, min_size=1, unique=True), st.data())
def test_a_removal_takes_its_own_keys_and_no_others(services: list[str], data: st.DataObject) -> None:
    store: dict[str, tuple[bytes, int]] = {"docker-flow/.portbook": (MARKER_VALUE, 1), "other/go-demo/path": (b"/", 2),
                                           "docker-flow/go-demo/notes": (b"the operator's", 3)}
    for name in services:
        spec = spec_of(name, color=data.draw(st.sampled_from(("", "swarm"))), paths=("/x",))
        assert apply(KEYS.write(Release(spec), encode(Release(spec)), None), store)
    gone = data.draw(st.sampled_from(services))
    before = dict(store)
    held = KEYS.parse(entries(store)).held
    swarm = store.get(KEYS.swarm(gone))
    assert apply(KEYS.remove(gone, held[gone], swarm[0] if swarm else None), store)
    own = {f"docker-flow/{gone}/{leaf}" for leaf in ("route", *stored_spec.LEGACY_KEYS)}
    assert before.keys() - store.keys() == own & before.keys()
    assert set(KEYS.parse(entries(store)).held) == set(services) - {gone}


def test_the_key_that_the_predecessor_left_behind_goes_with_the_service() -> None:
    store = {"docker-flow/a/path": (b"/", 7), "docker-flow/service/a": (b"swarm", 8),
             "docker-flow/service/b": (b"swarm", 9)}
    held = KEYS.parse(entries(store)).held["a"]
    assert apply(KEYS.remove("a", held, b"swarm"), store)
    assert set(store) == {"docker-flow/service/b"}


def test_what_is_written_is_read_back_with_the_keys_of_2016_beside_it() -> None:
    store: dict[str, tuple[bytes, int]] = {}
    release_ = made("go-demo", "/demo")
    assert apply(KEYS.write(release_, encode(release_), None), store)
    assert store["docker-flow/go-demo/path"][0] == b"/demo"
    assert store["docker-flow/go-demo/skipcheck"][0] == b"false"
    assert KEYS.parse(entries(store)).held == {"go-demo": Stored(release_, 1000, encode(release_))}
    assert not apply(KEYS.write(release_, encode(release_), None), store), "it is there already"
    assert apply(KEYS.write(release_, encode(release_), Stored(release_, 1000, b"")), store)


def test_a_key_of_2016_that_no_longer_holds_is_deleted() -> None:
    store: dict[str, tuple[bytes, int]] = {
        "docker-flow/a/port": (b"80", 1), "docker-flow/a/consultemplatepath": (b"/t", 2)}
    assert apply(KEYS.write(made("a"), encode(made("a")), None), store)
    assert "docker-flow/a/port" not in store
    assert "docker-flow/a/consultemplatepath" not in store


PARSED = (
    ("a service of 2016", [("a/path", b"/x"), ("a/color", b"")], "a", Legacy(
        spec_of("a", paths=("/x",)), "docker-flow/a/path", 100)),
    ("a record beside the keys of 2016 counts", [("a/path", b"/old"), ("a/route", release.encode(made("a")))], "a",
     Stored(made("a"), 101, release.encode(made("a")))),
)


@pytest.mark.parametrize(("pairs", "name", "held"), [row[1:] for row in PARSED], ids=[row[0] for row in PARSED])
def test_a_listing_is_read(pairs: list[tuple[str, bytes]], name: str, held: object) -> None:
    assert KEYS.parse(listing(*pairs)).held[name] == held


UNREADABLE = (
    ("a record of another service", [("a/route", release.encode(made("b")))], "the record is of b"),
    ("a record that is no JSON", [("a/route", b"x")], "cannot be read"),
    ("a record of a later version", [("a/route", b'{"schema": 99}')], "schema 99"),
    ("a path of 2016 that is none", [("a/path", b"x\ny")], "servicePath"),
    ("a path of 2016 that is no text", [("a/path", b"\xff")], "servicePath"),
    ("a folder that no service could have", [("a b/path", b"/x")], "serviceName"),
)


@pytest.mark.parametrize(("pairs", "why"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_what_cannot_be_read_is_held_as_such_and_can_be_replaced(pairs: list[tuple[str, bytes]], why: str) -> None:
    found, = KEYS.parse(listing(*pairs)).held.values()
    assert isinstance(found, Unreadable)
    assert why in found.reason
    store = {entry.key: (entry.value, entry.index) for entry in listing(*pairs)}
    assert apply(KEYS.write(made("a"), encode(made("a")), found), store)


@pytest.mark.parametrize("pairs", [[], [("a/color", b"blue")], [("a", b"/x")], [("a/b/path", b"/x")],
                                   [(".portbook", MARKER_VALUE)], [("service/a", b"swarm")]])
def test_what_is_no_service(pairs: list[tuple[str, bytes]]) -> None:
    found = KEYS.parse(listing(*pairs))
    assert found.held == {}
    assert bool(found.mark) == any(key == ".portbook" for key, _ in pairs)


def test_nothing_is_removed_or_undone_that_has_moved_meanwhile() -> None:
    store: dict[str, tuple[bytes, int]] = {}
    apply(KEYS.write(made("a"), encode(made("a")), None), store)
    stale = Stored(made("a"), 999, b"")
    before = dict(store)
    assert not apply(KEYS.remove("a", stale, None), store)
    old = Legacy(spec_of("a", paths=("/old",)), "docker-flow/a/path", 1)
    assert not apply(KEYS.undo("a", old, stale), store)
    assert store == before
    assert apply(KEYS.undo("a", old, Stored(made("a"), 1000, b"")), store)
    assert store["docker-flow/a/path"][0] == b"/old"
    assert "docker-flow/a/route" not in store


def test_a_take_over_asks_that_neither_has_moved() -> None:
    old = Legacy(spec_of("a", paths=("/x",)), "docker-flow/a/path", 5)
    for store, holds in (({"docker-flow/a/path": (b"/x", 5)}, True), ({"docker-flow/a/path": (b"/y", 6)}, False),
                         ({"docker-flow/a/path": (b"/x", 5), "docker-flow/a/route": (b"", 6)}, False)):
        assert apply(KEYS.take_over(made("a"), encode(made("a")), old), dict(store)) is holds
