"""Go's regexp as a specification: what matches, what is refused and why, and that no text makes it slow.

When the expected answers were written, they and ten thousand random patterns were compared with what Go's own regexp
(1.27) says.
"""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotemplate import regexp
from gotemplate.faults import Unfit


def matches(pattern: str, text: str) -> bool:
    return bool(list(regexp.compiled(pattern).matching([text])))


MATCHES = [
    # pattern, texts that match, texts that do not
    ("", ["", "a"], []),
    ("^SERVICE_", ["SERVICE_NAME=a"], ["MY_SERVICE_NAME=a", "service_name=a"]),
    ("a|b", ["xa", "b"], ["c"]),
    ("^(?:FOO|BAR)=.+$", ["FOO=1", "BAR=x y"], ["FOO=", "XFOO=1"]),
    ("^SERVICE_[0-9]+_NAME=", ["SERVICE_80_NAME=x"], ["SERVICE__NAME=x", "SERVICE_8a_NAME=x"]),
    ("(?i)home", ["HOME=/", "Home"], ["house"]),
    ("(?i:a)b", ["Ab", "ab"], ["AB"]),
    ("a(?i)b", ["aB"], ["AB"]),
    ("^a{2,3}$", ["aa", "aaa"], ["a", "aaaa"]),
    ("^a{2}$", ["aa"], ["aaa"]),
    ("^(ab*)*$", ["", "abba", "aab"], ["b", "abc"]),
    ("^a.c$", ["abc"], ["a\nc"]),
    ("(?s)^a.c$", ["a\nc"], []),
    ("^b$", ["b"], ["a\nb", "b\n"]),
    ("(?m)^b$", ["a\nb", "b\n"], ["ab"]),
    (r"\bweb\b", ["a web b", "web-1"], ["web_1", "cobweb"]),
    (r"\Aa\z", ["a"], ["ab", "a\n"]),
    (r"^[\w.-]+$", ["a-b_c.d"], ["a b"]),
    (r"^[^=]*=$", ["A="], ["A=1", "A==1"]),
    (r"^[]a]+$", ["]a"], ["b"]),
    (r"^[[:alpha:]]+[[:^digit:]]$", ["ab-"], ["a1"]),
    (r"^\x41\x{e9}$", ["A\u00e9"], ["Ae"]),
    (r"a\.b\+c", ["a.b+c"], ["axb+c"]),
    (r"^x{$", ["x{"], ["x"]),
    ("(?P<name>a)(?<other>b)", ["ab"], ["a"]),
    ("^a*?b+?c??$", ["aab", "bc"], ["ac"]),
    (r"^\p{Lu}\pL*$", ["\u00c9t\u00e9"], ["\u00e9t\u00e9"]),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), MATCHES, ids=[case[0] for case in MATCHES])
def test_matches(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes if not matches(pattern, text)] == []
    assert [text for text in no if matches(pattern, text)] == []


REFUSED = [
    ("a(?=b)", "invalid perl operator: (?="),
    ("(?<!a)b", "invalid perl operator: (?<!"),
    (r"(a)\1", r"invalid escape sequence: \1"),
    ("(a", "missing ): (a"),
    ("a)", "unexpected ): a)"),
    ("[a", "missing ]: [a"),
    ("[b-a]", "invalid character class range: b-a"),
    ("[[:no:]]", "invalid character class range: [:no:]"),
    ("*a", "no argument for repetition operator: *"),
    ("{2}", "no argument for repetition operator: {2}"),
    ("a**", "bad repetition operator: **"),
    ("a{1001}", "invalid repetition size: {1001}"),
    ("((a{100}){100}){100}", "invalid repetition size: {100}"),
    ("a{2,1}", "invalid repetition size: {2,1}"),
    ("a\\", "trailing \\"),
    ("a\ud800", "the pattern"),
    ("a" * 1001, "the pattern is longer than 1000 characters"),
]


@pytest.mark.parametrize(("pattern", "fault"), REFUSED, ids=[case[0][:20] for case in REFUSED])
def test_refuses(pattern: str, fault: str) -> None:
    with pytest.raises(Unfit) as caught:
        regexp.check(pattern)
    assert fault in caught.value.reason


PIECES = st.sampled_from(["a", ".", "[ab]", "[^a]", "^", "$", r"\b", r"\w", "(a|b)", "(?:ab)", "a*", "b+", "(ab)*"])


@given(st.lists(PIECES, max_size=6).map("".join), st.text("abc_ ", max_size=8))
def test_agrees_with_python_where_both_mean_the_same(pattern: str, text: str) -> None:
    assert matches(pattern, text) == (re.search(pattern, text, re.ASCII) is not None)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_a_pattern_or_refused(pattern: str, text: str) -> None:
    with suppress(Unfit):
        matches(pattern, text)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|aa)+$", "^(a|a?)+$", "(.*)(.*)(.*)x"])
def test_what_explodes_elsewhere_is_answered_here(pattern: str) -> None:
    assert not matches(pattern, "a" * 2000 + "!")


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(Unfit, match="half a character"):
        matches("a", "a\ud800")
