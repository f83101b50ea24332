"""Names that may be anything, in paths of Consul's API."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import NotAddressable
from catalog.paths import key_path, path


@pytest.mark.parametrize(("name", "escaped"), [
    ("n1", "n1"), ("a b", "a%20b"), ("a/b", "a%2Fb"), ("a\nb", "a%0Ab"), ("%2f", "%252f"), ("a?b#c", "a%3Fb%23c"),
    ("é", "%C3%A9"), ("...", "..."), ("a..b", "a..b")])
def test_a_name_is_escaped(name: str, escaped: str) -> None:
    assert path("/v1/catalog/node", name) == f"/v1/catalog/node/{escaped}"


@pytest.mark.parametrize("name", ["", ".", "..", "x//y", "a/.", "../x", "x/", "/x"])
def test_of_a_name_that_the_router_would_change_there_is_no_path(name: str) -> None:
    with pytest.raises(NotAddressable, match="no path for the name"):
        path("/v1/catalog/node", name)


@pytest.mark.parametrize(("key", "escaped"), [
    ("docker-flow/a/route", "docker-flow/a/route"), ("docker-flow/", "docker-flow/"), ("a b/c?", "a%20b/c%3F")])
def test_a_key_keeps_its_slashes(key: str, escaped: str) -> None:
    assert key_path(key) == f"/v1/kv/{escaped}"


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/../b", "a/..", ".", "a/./b", "a//"])
def test_a_key_that_the_router_would_change_has_none(key: str) -> None:
    with pytest.raises(NotAddressable, match="no path for the key"):
        key_path(key)


@given(st.text(st.characters(codec="utf-8")))
def test_whatever_has_a_path_is_one_segment_of_it_and_comes_back(name: str) -> None:
    try:
        made = path("/v1/catalog/node", name)
    except NotAddressable:
        return
    base, _, segment = made.rpartition("/")
    assert (base, unquote(segment)) == ("/v1/catalog/node", name)
    assert made.isascii()
    assert made.isprintable()
