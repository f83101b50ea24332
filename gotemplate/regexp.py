"""Go's regexp as far as "does it match?" goes: RE2's syntax, in time that grows with the text and never explodes. Pure.

Python's `re` goes back over the text, and a hostile text can make it do so for ever, with the whole process standing
still. Here a part of a pattern takes all positions where it may begin and gives all where it may end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Set
from functools import lru_cache

from gotemplate.faults import Unfit
from gotemplate.values import shorten

MAX_PATTERN = 1000  # characters; keeps recursion far from Python's own limit, too
MAX_DEPTH = 50
MAX_REPEAT = 1000  # RE2's own
MAX_POSITIONS = 1_000_000  # looked at for all the texts of one search; tenths of a second

_Char = Callable[[str], bool]
_Part = Callable[["_Run", Set[int]], Set[int]]

_REPEAT = re.compile(r"\{(\d{1,4})(?:(,)(\d{0,4}))?\}")
_GROUP = re.compile(r"\((?:\?(?:P?<\w+>|([ims]*)(-[ims]+)?([:)])))?")
_HEX = re.compile(r"\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")
_POSIX = re.compile(r"\[:(\^?)(\w+):\]")
_SIMPLE = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SETS: dict[str, str] = {
    "alnum": r"[0-9A-Za-z]", "alpha": r"[A-Za-z]", "digit": r"[0-9]", "lower": r"[a-z]", "upper": r"[A-Z]",
    "space": r"[\t\n\v\f\r ]", "punct": r"[!-/:-@\[-`{-~]", "word": r"[0-9A-Za-z_]", "xdigit": r"[0-9A-Fa-f]",
    "d": r"[0-9]", "s": r"[\t\n\f\r ]", "w": r"[0-9A-Za-z_]",
}  # fmt: skip


def _within(chars: str) -> _Char:
    fits = re.compile(chars).match
    return lambda char: fits(char) is not None


_NAMED = {name: _within(chars) for name, chars in _SETS.items()}


class _Run:
    """The text that is looked through, and how much more may be."""

    def __init__(self, text: str, left: int) -> None:
        self.text, self.left = text, left

    def spend(self, positions: int) -> None:
        self.left -= positions + 1
        if self.left < 0:
            raise Unfit("the pattern takes too long on this text")


class Pattern:
    """A pattern that was understood."""

    def __init__(self, source: str) -> None:
        self._whole = _Compiler(source).whole()

    def matching(self, texts: Iterable[str]) -> Iterable[str]:
        """Those of the texts that it matches somewhere, one after the other."""
        left = MAX_POSITIONS
        for text in texts:
            run = _Run(text, left)
            run.spend(len(text))
            if self._whole(run, frozenset(range(len(text) + 1))):
                yield text
            left = run.left


@lru_cache(maxsize=64)
def compiled(source: str) -> Pattern:
    """The pattern. Raises Unfit with what is wrong with it."""
    return Pattern(source)


def check(source: str) -> None:
    """Raise Unfit if it is no pattern."""
    compiled(source)


# --- parts ---------------------------------------------------------------------------------------------------------


def _one(fits: _Char) -> _Part:
    def part(run: _Run, starts: Set[int]) -> Set[int]:
        run.spend(len(starts))
        return {at + 1 for at in starts if at < len(run.text) and fits(run.text[at])}
    return part


def _where(holds: Callable[[str, int], bool]) -> _Part:
    def part(run: _Run, starts: Set[int]) -> Set[int]:
        run.spend(len(starts))
        return {at for at in starts if holds(run.text, at)}
    return part


def _sequence(parts: list[_Part]) -> _Part:
    def part(run: _Run, starts: Set[int]) -> Set[int]:
        for each in parts:
            if not starts:
                break
            starts = each(run, starts)
        return starts
    return part


def _any_of(parts: list[_Part]) -> _Part:
    def part(run: _Run, starts: Set[int]) -> Set[int]:
        return {end for each in parts for end in each(run, starts)}
    return parts[0] if len(parts) == 1 else part


def _repeated(body: _Part, least: int, most: int | None) -> _Part:
    def part(run: _Run, starts: Set[int]) -> Set[int]:
        for _ in range(least):
            starts = body(run, starts)
        ends, fresh, turns = set(starts), starts, least
        while fresh and (most is None or turns < most):
            fresh = body(run, fresh) - ends
            ends |= fresh
            turns += 1
        return ends
    return part


# --- syntax --------------------------------------------------------------------------------------------------------


class _Compiler:
    """Reads a pattern from left to right. `_flags` are those of i, m and s that hold where it is."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_PATTERN:
            raise Unfit(f"the pattern is longer than {MAX_PATTERN} characters")
        self._source, self._at, self._flags, self._depth = source, 0, frozenset[str](), 0

    def whole(self) -> _Part:
        part = self._alternatives()
        if self._at < len(self._source):
            raise self._wrong("a ) that closes nothing")
        return part

    def _wrong(self, what: str) -> Unfit:
        return Unfit(f"the pattern {shorten(self._source)} has {what}")

    def _ahead(self) -> str:
        return self._source[self._at : self._at + 1]

    def _alternatives(self) -> _Part:
        flags = self._flags
        parts = [self._branch()]
        while self._ahead() == "|":
            self._at += 1
            parts.append(self._branch())
        self._flags = flags
        return _any_of(parts)

    def _branch(self) -> _Part:
        parts: list[_Part] = []
        while self._ahead() not in ("", "|", ")"):
            part = self._piece()
            if part is not None:
                parts.append(self._times(part))
        return _sequence(parts)

    def _times(self, body: _Part) -> _Part:
        found = _REPEAT.match(self._source, self._at)
        if found:
            least = int(found[1])
            most = least if not found[2] else int(found[3]) if found[3] else None
            if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
                raise self._wrong(f"a bad number of repeats, {found.group()}")
            self._at = found.end()
        elif self._ahead() in ("*", "+", "?"):
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._ahead()]
            self._at += 1
        else:
            return body
        if self._ahead() == "?":  # whether it is greedy makes no difference to whether it matches
            self._at += 1
        if self._ahead() in ("*", "+", "?") or _REPEAT.match(self._source, self._at):
            raise self._wrong("a repeat of a repeat")
        return _repeated(body, least, most)

    def _piece(self) -> _Part | None:
        char = self._ahead()
        if char == "(":
            return self._group()
        if char == "[":
            return _one(self._in_any_case(self._class()))
        if char == "\\":
            return self._escape()
        if char in "*+?" or _REPEAT.match(self._source, self._at):
            raise self._wrong(f"a {char} that repeats nothing")
        self._at += 1
        if char == ".":
            everything = "s" in self._flags
            return _one(lambda c: everything or c != "\n")
        if char == "^":
            return _line_start if "m" in self._flags else _text_start
        if char == "$":
            return _line_end if "m" in self._flags else _text_end
        return _one(self._in_any_case(lambda c: c == char))

    def _group(self) -> _Part | None:
        found = _GROUP.match(self._source, self._at)
        if not found or (found.group() == "(" and self._source.startswith("(?", self._at)):
            raise self._wrong(f"{shorten(self._source[self._at : self._at + 3])}, which Go's regexp lacks")
        self._at = found.end()
        outside = self._flags
        if found[3]:
            self._flags = (self._flags | set(found[1])) - set(found[2] or "")
        if found[3] == ")":  # flags alone hold up to the end of the group that they stand in
            return None
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(f"groups more than {MAX_DEPTH} deep")
        part = self._alternatives()
        self._depth -= 1
        if self._ahead() != ")":
            raise self._wrong("a ( that is not closed")
        self._at += 1
        self._flags = outside
        return part

    def _escape(self) -> _Part:
        kind = self._source[self._at + 1 : self._at + 2]
        places = {"A": _text_start, "z": _text_end, "b": _word_edge, "B": _no_word_edge}
        if kind in places:
            self._at += 2
            return places[kind]
        return _one(self._in_any_case(self._escaped()))

    def _escaped(self) -> _Char:
        found = _HEX.match(self._source, self._at)
        if found:
            self._at = found.end()
            code = int(found[1] or found[2], 16)
            return lambda c: ord(c) == code
        kind = self._source[self._at + 1 : self._at + 2]
        self._at += 2
        if kind.lower() in ("d", "s", "w"):
            named = _NAMED[kind.lower()]
            return named if kind.islower() else lambda c: not named(c)
        if kind in _SIMPLE:
            kind = _SIMPLE[kind]
        elif not kind or not kind.isascii() or kind.isalnum():
            raise self._wrong(f"\\{kind}, which is not supported")
        return lambda c: c == kind

    def _class(self) -> _Char:
        start, self._at = self._at, self._at + 1
        negated = self._ahead() == "^"
        self._at += negated
        members: list[_Char] = []
        while self._ahead() != "]" or not members:
            if not self._ahead():
                self._at = start
                raise self._wrong("a [ that is not closed")
            members.append(self._member())
        self._at += 1
        return lambda c: any(fits(c) for fits in members) != negated

    def _member(self) -> _Char:
        posix = _POSIX.match(self._source, self._at)
        if posix:
            if posix[2] not in _NAMED:
                raise self._wrong(f"{posix.group()}, which is not supported")
            self._at = posix.end()
            named, turned = _NAMED[posix[2]], bool(posix[1])
            return lambda c: named(c) != turned
        first = self._at
        low = self._member_char()
        if self._ahead() != "-" or self._source[self._at + 1 : self._at + 2] in ("]", ""):
            return low if callable(low) else lambda c: c == low
        self._at += 1
        high = self._member_char()
        if callable(low) or callable(high) or high < low:
            raise self._wrong(f"a bad range, {shorten(self._source[first : self._at])}")
        return lambda c: low <= c <= high

    def _member_char(self) -> str | _Char:
        """One character of a class as text, so that it may begin a range, or what an escape stands for."""
        found = _HEX.match(self._source, self._at)
        if found and int(found[1] or found[2], 16) <= 0x10FFFF:
            self._at = found.end()
            return chr(int(found[1] or found[2], 16))
        if self._ahead() == "\\":
            kind = self._source[self._at + 1 : self._at + 2]
            fits = self._escaped()
            return fits if kind.lower() in ("d", "s", "w") else _SIMPLE.get(kind, kind)
        self._at += 1
        return self._source[self._at - 1]

    def _in_any_case(self, fits: _Char) -> _Char:
        if "i" not in self._flags:
            return fits
        return lambda c: fits(c) or fits(c.lower()) or fits(c.upper())


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and _NAMED["w"](text[at])


_text_start = _where(lambda text, at: at == 0)
_text_end = _where(lambda text, at: at == len(text))
_line_start = _where(lambda text, at: at == 0 or text[at - 1] == "\n")
_line_end = _where(lambda text, at: at == len(text) or text[at] == "\n")
_word_edge = _where(lambda text, at: _is_word(text, at - 1) != _is_word(text, at))
_no_word_edge = _where(lambda text, at: _is_word(text, at - 1) == _is_word(text, at))
