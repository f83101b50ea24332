"""An operator's HAProxy text: taken apart, and what reaches too far refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_api.core.errors import InvalidTemplate
from proxy_api.core.merged_frontend import merge
from proxy_api.core.sections import Custom, addresses, bound, overlap, parse_inside, parse_sections

OVERLAPS = (
    ("*:80", "*:80", True), (":80", "*:80", True), ("*:80", "*:81", False), ("127.0.0.1:80", "*:80", True),
    ("*:80", "127.0.0.1:80", True), ("127.0.0.1:80", "127.0.0.2:80", False), ("0.0.0.0:80", "10.0.0.1:80", True),
    (":::80", "10.0.0.1:80", True), ("[::]:80", "*:80", True), ("ipv4@*:80", "*:80", True),
    ("ipv6@:80", "10.0.0.1:80", True), ("ipv4v6@10.0.0.1:80", "10.0.0.1:80", True), ("*:79-81", "*:80", True),
    ("*:81-90", "*:80", False), ("*:80-80", "*:80", True), ("/run/x.sock", "*:80", False), ("fd@3", "*:80", False),
    ("*:8080", "*:80", False), ("[::1]:80", "::1:80", True),
)


@pytest.mark.parametrize(("bind", "shared", "same"), OVERLAPS)
def test_two_binds_meet_or_do_not(bind: str, shared: str, same: bool) -> None:
    assert overlap(bind, shared) is same
    assert overlap(shared, bind) is same


def test_every_address_of_a_bind_counts() -> None:
    assert addresses("bind :8080,:80 ssl") == (":8080", ":80")
    assert bound(Custom(sections=parse_sections('frontend x\n "bind" 127.0.0.1:8080-8081,[::1]:80,/x.sock ssl\n'))) == (
        ("127.0.0.1", 8080, 8081), ("::1", 80, 80))


# What HAProxy's own reading makes of a word: quotes and backslashes go, and a hash ends it (manual, 2.2).
DISGUISED = ("global", '"global"', "'global'", "glo\\bal", 'g"lob"al', "global#x", "\tglobal", " global ")


@pytest.mark.parametrize("word", DISGUISED)
def test_a_section_that_reaches_beyond_the_service_is_refused(word: str) -> None:
    with pytest.raises(InvalidTemplate, match="is refused in a template"):
        parse_sections(f"backend x\n{word}\n  maxconn 1\n")
    with pytest.raises(InvalidTemplate, match="begins a section"):
        parse_inside(f"acl a path /\n{word}\n")


@pytest.mark.parametrize("line", ["defaults", "defaults x", "program x", "defaults from y"])
def test_other_sections_that_are_refused(line: str) -> None:
    with pytest.raises(InvalidTemplate, match="is refused in a template"):
        parse_sections(f"backend x\n{line}\n")


@pytest.mark.parametrize("parse", [parse_inside, parse_sections])
@pytest.mark.parametrize("word", [".if", ".elif", ".else", ".endif", ".notice", ".warning", ".alert", ".diag"])
def test_conditions_and_messages_are_refused_by_name(parse: Callable[[str], object], word: str) -> None:
    for line in (word, f"  {word} 0", f'"{word}" 0', f".\\{word[1:]}"):
        with pytest.raises(InvalidTemplate, match=rf"'\{word}' is refused in a template"):
            parse(f"backend x\n{line}\n" if parse is parse_sections else f"{line}\n")


@pytest.mark.parametrize("parse", [parse_inside, parse_sections])
@pytest.mark.parametrize("word", [r"\x67lobal", r"g\x6cobal", '"${X-global}"', '"$X"',
                                  r"\x2eif", r"acl \x70b:found", 'acl "${X-pb:found}"', 'bind "${X-:80}"',
                                  r"bind \x3a80"])
def test_a_first_word_that_haproxy_would_replace_is_refused(parse: Callable[[str], object], word: str) -> None:
    with pytest.raises(InvalidTemplate, match="in disguise"):
        parse(f"{'backend x' if parse is parse_sections else ''}\n{word} x\n")


@pytest.mark.parametrize("line", ["acl pb:found always_true", '"acl" pb:found always_true',
                                  "acl 'pb:found' always_true", "acl p\\b:found always_true"])
def test_our_own_acls_cannot_be_widened(line: str) -> None:
    with pytest.raises(InvalidTemplate, match="reserved"):
        parse_inside(line)
    with pytest.raises(InvalidTemplate, match="reserved"):
        merge(parse_sections(f"frontend x\n bind :80\n {line}\n"), ("*:80",))


def test_lines_are_stripped_and_comments_left_out() -> None:
    assert parse_inside("  acl a path /  \n\n # c\n\tuse_backend b if a\r\n") == ("acl a path /", "use_backend b if a")


@pytest.mark.parametrize("text", ["", "  \n# only a comment\n"])
def test_a_text_without_a_section(text: str) -> None:
    with pytest.raises(InvalidTemplate, match="has no section"):
        parse_sections(text)
    assert parse_inside(text) == ()


def test_a_line_before_any_section() -> None:
    with pytest.raises(InvalidTemplate, match="stands before any section"):
        parse_sections("server x 1.2.3.4:80\nbackend x\n")


@pytest.mark.parametrize("parse", [parse_inside, parse_sections])
def test_nul_is_refused(parse: object) -> None:
    with pytest.raises(InvalidTemplate, match="NUL"):
        parse("backend x\n a\0b\n")


@given(st.text())
def test_what_is_parsed_can_be_written_line_by_line(text: str) -> None:
    try:
        found = parse_sections(text)
    except InvalidTemplate:
        return
    lines = [line for s in found for line in (f"{s.keyword} {s.name}".strip(), *s.lines)]
    assert all("\n" not in line and "\r" not in line and line for line in lines)
    assert parse_sections("\n".join(lines)) == found
