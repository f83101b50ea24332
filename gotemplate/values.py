"""The values a template handles, and how Go tests, compares by kind, measures and prints them. Pure.

A Go slice is a tuple, a map a `GoMap`, a struct a `Record`, nil is None. Printing is the one way from a
value to the output, so the rule that some text may not get there is kept here (`Unprintable`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeAlias

from gotemplate.faults import Unfit

MAX_OUTPUT = 4 * 1024 * 1024  # characters, of the whole output and of any one value on the way to it

_INT64 = range(-(2**63), 2**63)


class Unprintable(str):
    """Text that may be compared, but never become output."""

    def reason(self) -> str:
        """What to say when it was to become output."""
        raise NotImplementedError


class Record:
    """A Go struct. What templates may name of it are the fields of the dataclass that it is."""

    KIND = "struct"  # what a fault calls it

    def member(self, name: str) -> Value:
        """The field of that name. Raises Unfit where there is none."""
        if name not in getattr(self, "__dataclass_fields__", ()):
            raise Unfit(f"{self.KIND} has no field {name}")
        value: Value = getattr(self, name)
        return value


class NilPointer(Record):
    """A pointer to a struct that is not there: false, and nothing can be asked of it."""

    KIND = "nil"

    def __init__(self, struct: str) -> None:
        self._struct = struct

    def __bool__(self) -> bool:
        return False

    def member(self, name: str) -> Value:
        raise Unfit(f"there is no {self._struct} here, so no {name} of it")


class GoMap(dict[str, "Value"]):
    """A Go map. A key that is not in it has a value, too: the zero value of its elements."""

    def __init__(self, pairs: Mapping[str, Value], zero: Value) -> None:
        super().__init__(pairs)
        self.zero = zero


Value: TypeAlias = bool | int | float | str | tuple["Value", ...] | GoMap | Record | None


def clean(text: str) -> str:
    """The text, if it may become output."""
    if isinstance(text, Unprintable):
        raise Unfit(text.reason())
    return text


def shorten(text: str) -> str:
    """Text quoted for a fault, short enough for one log line."""
    return repr(str(text)) if len(text) <= 60 else repr(str(text[:57])) + "..."


def type_name(value: Value) -> str:
    """What a fault calls the value: Go's name of its type, or a plain word where Go's says nothing here."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        return "string"
    if isinstance(value, tuple):
        return "list"
    return "map" if isinstance(value, GoMap) else value.KIND


def is_true(value: Value) -> bool:
    """Go's truth (text/template, doc.go): nil, false, 0 and anything of length 0 are false; a struct never is."""
    return bool(value)


def number(result: int | float) -> int | float:
    """A number Go could hold. Where int64 would wrap round or float64 reach infinity, a fault is kinder."""
    if isinstance(result, float):
        if result - result != 0:
            raise Unfit("the result is too large for a float64")
    elif result not in _INT64:
        raise Unfit("the result is too large for an int64")
    return result


def weight(value: Value) -> int:
    """How much work it may be to look at the value once."""
    return len(value) if isinstance(value, str | tuple) else 1


def assemble(pieces: Iterable[str], between: str = "") -> str:
    """Join text, giving up as soon as it is too long rather than after the memory is gone."""
    kept: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece) + len(between)
        if size > MAX_OUTPUT + len(between):
            raise Unfit(f"more than {MAX_OUTPUT} characters of text")
        kept.append(piece)
    return between.join(kept)


def show(value: Value) -> str:
    """The value as an action prints it. Only here is nil `<no value>`; inside fmt's functions it is `<nil>`."""
    return "<no value>" if value is None else show_fmt(value)


def show_fmt(value: Value) -> str:
    """The value as fmt's %v prints it."""
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, NilPointer):
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, tuple):
        return "[" + assemble((show_fmt(item) for item in value), " ") + "]"
    if isinstance(value, GoMap):
        return "map[" + assemble((f"{clean(key)}:{show_fmt(value[key])}" for key in sorted(value)), " ") + "]"
    raise Unfit(f"a {type_name(value)} as a whole cannot be printed; name one of its fields")


def show_float(value: float) -> str:
    """A float as %v prints it: the shortest digits that read back, and an exponent below -4 or from 6 on."""
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)  # it is a letter only for infinities, which `number` keeps out
    text = "".join(map(str, digits)).lstrip("0") or "0"
    stripped = text.rstrip("0") or "0"
    point = exponent + len(text)  # where the decimal point stands, counted from the first digit
    minus = "-" if sign else ""
    if stripped == "0":
        return minus + "0"
    if not -4 <= point - 1 < 6:
        fraction = "." + stripped[1:] if len(stripped) > 1 else ""
        return f"{minus}{stripped[0]}{fraction}e{point - 1:+03d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{stripped}"
    padded = stripped.ljust(point, "0")
    return minus + padded[:point] + ("." + padded[point:] if len(padded) > point else "")
