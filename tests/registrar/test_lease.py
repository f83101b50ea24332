"""The keys of a lease: any name of a node gives keys that every Consul takes, and is read back from them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.consul.lease import PREFIX, holders, keys_of

# What Consul 1.21.5 takes, and what 1.21.6 refuses beside that.
TAKEN = re.compile(r"[a-zA-Z0-9,_./\-?&=]+")
odd_names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1) | st.text("./=a é", min_size=1)


@given(odd_names)
def test_every_name_is_read_back_from_keys_that_every_consul_takes(name):
    for key in keys_of(name):
        assert TAKEN.fullmatch(key)
        assert not {"", ".", ".."} & set(key.split("/")) and ".." not in key
    assert holders(frozenset(keys_of(name))) == {name}


@given(st.lists(odd_names, unique=True, max_size=4), odd_names)
def test_half_a_lease_is_none(names, half):
    keys = {key for name in names for key in keys_of(name)}
    assert holders(frozenset(keys | {keys_of(half)[0]})) == frozenset(names)


@pytest.mark.parametrize("name", ["n1", "web-1.example.com", "Node_2", "a/b"])
def test_a_plain_name_has_the_keys_that_it_always_had(name):
    assert keys_of(name) == (f"{PREFIX}{name}/1", f"{PREFIX}{name}/2")
