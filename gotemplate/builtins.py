"""What text/template's own functions do; `functions` gives them their names and checks. Pure.

Argument order and corner cases are those of Go (text/template/funcs.go); where they disagree with Python, the
difference is spelled out beside the function. `and` and `or` stop early, which only the evaluator can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from gotemplate.faults import Unfit
from gotemplate.values import GoMap, Value, assemble, is_true, show_fmt, type_name

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
