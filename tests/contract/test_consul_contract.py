"""The same cases for the Consul in memory and for a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from catalog import codec
from catalog.consul_client import ConsulClient
from catalog.errors import Conflict
from deploy.local import ConsulServer
from tests.contract.fake_consul import FakeConsul

PREFIXES = (f"contract-{n}/" for n in count())


@pytest.fixture(params=["fake", "real"])
def consul(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "fake":
        yield FakeConsul()
        return
    with ConsulServer() as server:
        yield ConsulClient.from_environ(server.address, {})


@pytest.fixture
def key() -> Callable[[str], str]:
    prefix = next(PREFIXES)
    return lambda name: f"{prefix}{name}"


def test_a_key_is_there_once_it_is_written_and_its_index_moves(consul: Any, key: Callable[[str], str]) -> None:
    assert consul.kv_get(key("a")) is None
    first = consul.transact((codec.kv_set(key("a"), b"1"),))[key("a")]
    assert (consul.kv_get(key("a")).value, consul.kv_get(key("a")).index) == (b"1", first)
    assert consul.transact((codec.kv_set(key("a"), b"2"),))[key("a")] > first
    assert consul.kv_get(key("a")).value == b"2"


def test_check_and_set_holds_only_for_what_was_read(consul: Any, key: Callable[[str], str]) -> None:
    consul.transact((codec.kv_cas(key("a"), b"1", 0),))
    with pytest.raises(Conflict):
        consul.transact((codec.kv_cas(key("a"), b"2", 0),))
    index = consul.kv_get(key("a")).index
    consul.transact((codec.kv_cas(key("a"), b"2", index),))
    with pytest.raises(Conflict):
        consul.transact((codec.kv_cas(key("a"), b"3", index),))
    assert consul.kv_get(key("a")).value == b"2"


def test_a_transaction_is_carried_out_whole_or_not_at_all(consul: Any, key: Callable[[str], str]) -> None:
    consul.transact((codec.kv_set(key("a"), b"1"),))
    with pytest.raises(Conflict):
        consul.transact((codec.kv_set(key("b"), b"1"), codec.kv_delete(key("a")), codec.kv_check(key("a"), 1)))
    assert (consul.kv_get(key("a")).value, consul.kv_get(key("b"))) == (b"1", None)


def test_checks_of_what_is_there_and_of_what_is_not(consul: Any, key: Callable[[str], str]) -> None:
    consul.transact((codec.kv_set(key("a"), b"1"),))
    index = consul.kv_get(key("a")).index
    done = consul.transact((codec.kv_check(key("a"), index), codec.kv_check_absent(key("b")),
                            codec.kv_set(key("c"), b"")))
    assert done[key("c")] > index
    for operation in (codec.kv_check(key("a"), index + 1), codec.kv_check_absent(key("a")),
                      codec.kv_check(key("b"), index)):
        with pytest.raises(Conflict):
            consul.transact((operation,))


def test_a_deleted_key_is_gone_and_may_have_been_so_before(consul: Any, key: Callable[[str], str]) -> None:
    consul.transact((codec.kv_set(key("a"), b"1"),))
    consul.transact((codec.kv_delete(key("a")), codec.kv_delete(key("never"))))
    assert consul.kv_get(key("a")) is None


def test_a_listing_has_what_is_below_and_an_index_that_no_key_passes(consul: Any, key: Callable[[str], str]) -> None:
    consul.transact((codec.kv_set(key("a/x"), b"1"), codec.kv_set(key("a/y"), b"2"), codec.kv_set(key("b"), b"3")))
    listing = consul.kv_list(key("a/"))
    assert [(entry.key, entry.value) for entry in listing.entries] == [(key("a/x"), b"1"), (key("a/y"), b"2")]
    assert all(entry.index <= listing.index for entry in listing.entries)
    assert consul.kv_list(key("none/")).entries == ()


def test_a_catalog_that_has_nothing_has_consul_itself(consul: Any) -> None:
    assert "consul" in consul.services()
    assert consul.instances("nobody") == ()
