"""Cuts a template into text and actions, and an action into tokens. Pure.

It owns delimiters, trimming, comments and literals; what the tokens mean together is the parser's business. The
rules are those of text/template (doc.go "Text and spaces", parse/lex.go): an action may run over several lines,
and a trim marker counts only with a blank on its inner side, so that {{-3}} is a number.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from gotemplate import tree
from gotemplate.faults import TemplateFault, Unfit
from gotemplate.values import number, shorten

_BLANKS = " \t\r\n"


class Kind(Enum):
    WORD = "word"
    FIELD = "field"
    DOT = "dot"
    VARIABLE = "variable"
    NUMBER = "number"
    STRING = "string"
    RAW = "raw"
    PIPE = "|"
    OPEN = "("
    SHUT = ")"
    COMMA = ","
    DECLARE = ":="
    ASSIGN = "="
    CLOSE = "}}"


@dataclass(frozen=True)
class Token:
    kind: Kind
    line: int
    text: str  # as written; of a field without its dot
    spaced: bool  # blanks stand before it
    value: int | float | str | None = None  # of a literal


@dataclass(frozen=True)
class Tokens:
    """One action. The last token is always its closing delimiter."""

    line: int
    items: tuple[Token, ...]


Piece: TypeAlias = tree.Text | Tokens
_LineAt: TypeAlias = Callable[[int], int]

# Possessive repeats (++, *+) keep a hostile template from making the scanner go back over it.
_CLOSE = re.compile(r"[ \t\r\n]++-\}\}|[ \t\r\n]*+\}\}")
_SPACES = re.compile(r"[ \t\r\n]*+")
_TOKEN = re.compile(
    r"""(?P<number>[+-]?\.?[0-9][\w.]*+(?:(?<=[eE])[+-]\w*+)?|[+-])
    |\.(?P<field>\w++)
    |(?P<dot>\.)
    |(?P<variable>\$\w*+)
    |(?P<word>\w++)
    |(?P<string>"(?:\\[^\n]|[^"\\\n])*+")
    |(?P<raw>`[^`]*+`)
    |(?P<sign>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(?:([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_SIMPLE_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"',
}  # fmt: skip
_NAMES = (Kind.WORD, Kind.FIELD, Kind.DOT, Kind.VARIABLE)


def cut(source: str) -> Iterator[Piece]:
    """The template's pieces in order, each lexed only when asked for, so that the first fault is the one reported."""
    breaks = [found.start() for found in re.finditer("\n", source)]

    def line_at(position: int) -> int:
        return bisect_right(breaks, position - 1) + 1

    position = 0
    trimming = False
    while True:
        if trimming:
            position = _skip_blanks(source, position)
        opening = source.find("{{", position)
        text = source[position:] if opening < 0 else source[position:opening]
        inside = opening + 2
        if opening >= 0 and source[inside : inside + 1] == "-" and source[inside + 1 : inside + 2] in tuple(_BLANKS):
            text = text.rstrip(_BLANKS)
            inside += 2
        if text:
            yield tree.Text(line_at(position), text)
        if opening < 0:
            return
        if source.startswith("/*", inside):
            position, trimming = _skip_comment(source, inside, line_at(opening))
            continue
        tokens: list[Token] = []
        position = inside
        while not tokens or tokens[-1].kind is not Kind.CLOSE:
            token, position = _next_token(source, position, line_at)
            tokens.append(token)
        trimming = tokens[-1].text == "-}}"
        yield Tokens(tokens[0].line, tuple(tokens))


def _skip_blanks(source: str, position: int) -> int:
    found = _SPACES.match(source, position)
    return found.end() if found else position


def _skip_comment(source: str, start: int, line: int) -> tuple[int, bool]:
    end = source.find("*/", start + 2)
    if end < 0:
        raise TemplateFault(line, "the comment is not closed")
    end += 2
    if source.startswith("}}", end):
        return end + 2, False
    if source[end : end + 1] in tuple(_BLANKS) and source.startswith("-}}", end + 1):
        return end + 4, True
    raise TemplateFault(line, "a comment must fill its action: expected }} right after */")


def _next_token(source: str, start: int, line_at: _LineAt) -> tuple[Token, int]:
    closing = _CLOSE.match(source, start)
    if closing:
        mark = closing.group().lstrip(_BLANKS)
        return Token(Kind.CLOSE, line_at(closing.end() - 2), mark, spaced=False), closing.end()
    position = _skip_blanks(source, start)
    line = line_at(position)
    if position == len(source):
        raise TemplateFault(line_at(start), "the action is not closed with }}")
    found = _TOKEN.match(source, position)
    if not found or not found.lastgroup:
        raise TemplateFault(line, _complain(source[position]))
    text = found[found.lastgroup]
    kind = Kind(text) if found.lastgroup == "sign" else Kind(found.lastgroup)
    if kind in _NAMES and not _ends_name(source, found.end()):
        raise TemplateFault(line, f"bad character {shorten(source[found.end()])} after {shorten(found.group())}")
    try:
        value = _literal(kind, text)
    except Unfit as unfit:
        raise TemplateFault(line, unfit.reason) from None
    return Token(kind, line, text, position > start, value), found.end()


def _complain(character: str) -> str:
    if character in '"`':
        return "the string is not closed"
    if character == "'":
        return "character constants are not supported"
    return f"unexpected {shorten(character)} in an action"


def _ends_name(source: str, position: int) -> bool:
    """A name needs an end Go knows (lex.go, atTerminator), so that $x+2 is a fault and not two arguments."""
    return position == len(source) or source[position] in " \t\r\n.,|:()" or source.startswith("}}", position)


def _literal(kind: Kind, text: str) -> int | float | str | None:
    if kind is Kind.NUMBER:
        return _read_number(text)
    if kind is Kind.STRING:
        return _ESCAPE.sub(_unescape, text[1:-1])
    if kind is Kind.RAW:
        return text[1:-1].replace("\r", "")  # the Go specification, "String literals"
    return None


def _read_number(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        if len(text) > 20:
            raise Unfit(f"the number {shorten(text)} is too large")
        return number(int(text))
    if _FLOAT.fullmatch(text):
        return number(float(text))
    raise Unfit(f"bad number {shorten(text)}: only decimal integers and floats are supported")


def _unescape(found: re.Match[str]) -> str:
    octal, byte, short, long, simple = found.groups()
    if simple is not None:
        if simple not in _SIMPLE_ESCAPES:
            raise Unfit(f"unknown escape {shorten(found.group())} in a string")
        return _SIMPLE_ESCAPES[simple]
    code = int(octal, 8) if octal else int(byte or short or long, 16)
    if (octal or byte) and code > 0x7F:
        raise Unfit(f"the escape {shorten(found.group())} writes a single byte that is no character")
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise Unfit(f"the escape {shorten(found.group())} is no character")
    return chr(code)
