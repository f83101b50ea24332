"""What text/template's own functions do; `functions` gives them their names and checks. Pure.

Argument order and corner cases are those of Go (text/template/funcs.go); where they disagree with Python, the
difference is spelled out beside the function. `and` and `or` stop early, which only the evaluator can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias
from urllib.parse import quote_plus

from gotemplate.faults import Unfit
from gotemplate.values import GoMap, Value, assemble, clean, is_true, show_fmt, type_name

# Logic.


def negate(value: Value) -> bool:
    return not is_true(value)


# Comparison. Go knows no order and no equality between kinds, so 1 and 1.0, or 1 and "1", are a fault.

_Simple: TypeAlias = bool | int | float | str


def _simple(value: Value) -> _Simple:
    if isinstance(value, bool | int | float | str):
        return value
    raise Unfit(f"{type_name(value)} cannot be compared")


def _equals(left: Value, right: Value) -> bool:
    if left is None or right is None:
        return left is right
    left, right = _simple(left), _simple(right)
    if type_name(left) != type_name(right):
        raise Unfit(f"{type_name(left)} cannot be compared with {type_name(right)}")
    return left == right


def eq(first: Value, *others: Value) -> bool:
    if not others:
        raise Unfit("has nothing to compare with")
    return any(_equals(first, other) for other in others)


def ne(left: Value, right: Value) -> bool:
    return not _equals(left, right)


def ordering(compare: Callable[[_Simple, _Simple], bool]) -> Callable[[Value, Value], bool]:
    def run(left: Value, right: Value) -> bool:
        first, second = _simple(left), _simple(right)
        if isinstance(first, bool) or isinstance(second, bool):
            raise Unfit("bool has no order")
        _equals(first, second)  # refuses differing kinds
        return compare(first, second)

    return run


# Lists, maps and text as collections.


def length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="surrogatepass"))  # Go counts bytes
    if isinstance(value, tuple | GoMap):
        return len(value)
    raise Unfit(f"{type_name(value)} has no length")


def index(value: Value, *keys: Value) -> Value:
    if value is None:
        raise Unfit("nil cannot be indexed")
    for key in keys:
        value = _index_once(value, key)
    return value


def _index_once(value: Value, key: Value) -> Value:
    if isinstance(value, GoMap):
        if not isinstance(key, str):
            raise Unfit(f"a map is indexed by string, not by {type_name(key)}")
        return value.get(key, value.zero)
    sequence = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    if not isinstance(sequence, tuple | bytes):
        raise Unfit(f"{type_name(value)} cannot be indexed")
    if isinstance(key, bool) or not isinstance(key, int):
        raise Unfit(f"a {type_name(value)} is indexed by int, not by {type_name(key)}")
    if not 0 <= key < len(sequence):
        raise Unfit(f"index out of range: {key}")
    return sequence[key]


def slice_of(value: Value, *bounds: Value) -> Value:
    """x[i:j]. Of text these are bytes; what is left of a character that is cut in two is U+FFFD, as in JSON."""
    sequence = clean(value).encode(errors="surrogatepass") if isinstance(value, str) else value
    if not isinstance(sequence, tuple | bytes):
        raise Unfit(f"{type_name(value)} cannot be sliced")
    if len(bounds) > 2:
        raise Unfit("a third index is not supported")
    limits = [0, len(sequence)]
    for place, bound in enumerate(bounds):
        if isinstance(bound, bool) or not isinstance(bound, int):
            raise Unfit(f"a {type_name(value)} is sliced by int, not by {type_name(bound)}")
        if not 0 <= bound <= len(sequence):
            raise Unfit(f"index out of range: {bound}")
        limits[place] = bound
    if limits[0] > limits[1]:
        raise Unfit(f"the first index, {limits[0]}, is beyond the second, {limits[1]}")
    part = sequence[limits[0] : limits[1]]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


# Text.


def sprint(*values: Value) -> str:
    """fmt.Sprint: a blank only between two neighbours that are both not strings."""
    return assemble(_print_pieces(values))


def _print_pieces(values: tuple[Value, ...]) -> Iterator[str]:
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            yield " "
        yield show_fmt(value)


def sprintln(*values: Value) -> str:
    return assemble(map(show_fmt, values), " ") + "\n"


def _printed(values: tuple[Value, ...]) -> str:
    """As an action prints it, not as `print` does."""
    return sprint(*("<no value>" if value is None else value for value in values))


_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"'}


def html(*values: Value) -> str:
    return _printed(values).translate(_HTML)


def js(*values: Value) -> str:
    return assemble(map(_escape_for_js, _printed(values)))


def _escape_for_js(character: str) -> str:
    if character in _JS:
        return _JS[character]
    plain = character.isprintable() and character not in "<>&="
    return character if plain else f"\\u{ord(character):04X}"


def urlquery(*values: Value) -> str:
    return quote_plus(_printed(values))
