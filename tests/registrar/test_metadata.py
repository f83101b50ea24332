"""Which SERVICE_… entry counts for which port."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.core.metadata import read_metadata

LEVELS = ["SERVICE_NAME env", "SERVICE_NAME label", "SERVICE_1-100_NAME env", "SERVICE_1-100_NAME label",
          "SERVICE_50-60_NAME env", "SERVICE_50-60_NAME label", "SERVICE_50-60_UDP_NAME env",
          "SERVICE_50-60_UDP_NAME label", "SERVICE_53_NAME env", "SERVICE_53_NAME label",
          "SERVICE_53_UDP_NAME env", "SERVICE_53_UDP_NAME label"]


@pytest.mark.parametrize("highest", range(len(LEVELS)))
def test_a_port_beats_generic_and_a_label_beats_a_variable_on_the_same_level(highest):
    given_levels = [level.split() for level in LEVELS[:highest + 1]]
    env = [(k, f"{k} env") for k, kind in given_levels if kind == "env"]
    labels = [(k, f"{k} label") for k, kind in given_levels if kind == "label"]
    assert read_metadata(env, labels).for_port(53, "udp").value("name") == LEVELS[highest]


KEYS = {
    "a key for a range that it does not lie in does not count": ([("SERVICE_54-60_NAME", "x")], "name", ""),
    "a range has its ends in it": ([("SERVICE_50-53_NAME", "x")], "name", "x"),
    "a range from high to low is empty": ([("SERVICE_60-50_NAME", "x")], "name", ""),
    "a key for another port does not count": ([("SERVICE_81_NAME", "x")], "name", ""),
    "a protocol's key does not count for the other one": ([("SERVICE_53_TCP_NAME", "x")], "name", ""),
    "the key is folded to lower case": ([("SERVICE_53_Name", "x")], "name", "x"),
    "the prefix is not": ([("service_NAME", "x")], "name", ""),
    "a name that only begins alike is no entry": ([("SERVICENAME", "x")], "name", ""),
    "a key may have underscores": ([("SERVICE_CHECK_HTTP", "/h")], "check_http", "/h"),
    "values are trimmed": ([("SERVICE_NAME", "  web ")], "name", "web"),
    "an empty port value shadows the generic one": ([("SERVICE_NAME", "x"), ("SERVICE_53_NAME", "")], "name", ""),
    "a variable that is set twice has its last value": ([("SERVICE_NAME", "x"), ("SERVICE_NAME", "y")], "name", "y"),
}


@pytest.mark.parametrize(("env", "key", "value"), KEYS.values(), ids=KEYS)
def test_keys(env, key, value):
    assert read_metadata(env, []).for_port(53, "udp").value(key) == value


@pytest.mark.parametrize("order", [1, -1])
def test_two_spellings_of_a_key_have_one_winner_whatever_their_order(order):
    labels = [("SERVICE_name", "low"), ("SERVICE_NAME", "up"), ("SERVICE_Name", "mixed")][::order]
    metadata = read_metadata([], labels)
    assert metadata.for_port(80, "tcp").value("name") == "up"
    assert {lost.spelling for lost, winner in metadata.shadowed} == {"SERVICE_name", "SERVICE_Name"}


words = st.text(max_size=30)
spellings = st.one_of(
    words,
    words.map("SERVICE_{}".format),
    st.builds("SERVICE_{}_{}".format, st.integers(0, 99999), words),
    st.sampled_from(["SERVICE_NAME", "SERVICE_name", "SERVICE_80_TAGS", "SERVICE_80_TCP_ID", "SERVICE_CHECK_HTTP"]),
)
pairs = st.lists(st.tuples(spellings, words), max_size=12)


@given(pairs, st.dictionaries(spellings, words, max_size=12))
def test_any_metadata_is_read_and_the_order_of_labels_does_not_matter(env, labels):
    one = read_metadata(env, labels.items())
    other = read_metadata(env, reversed(labels.items()))
    assert one == other
    for entry in one.for_port(80, "tcp").entries.values():
        assert entry.spelling.startswith("SERVICE_") and entry.key == entry.key.lower()
        assert not entry.low or entry.low <= 80 <= entry.high
