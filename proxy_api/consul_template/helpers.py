"""What the functions do that need nothing but their arguments; `functions` gives them their names and checks.

Argument order and corner cases are those of Go (text/template/funcs.go) and of consul-template
(template/funcs.go); where they disagree with Python, the difference is spelled out beside the function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from proxy_api.consul_template.faults import Unfit
from proxy_api.consul_template.values import (
    MAX_OUTPUT,
    ServiceEntry,
    ServiceName,
    Value,
    assemble,
    is_true,
    number,
    shorten,
    show_fmt,
    type_name,
)

# Logic. `and` and `or` stop early (Go 1.18 on), which only the evaluator can do, so they are not here.


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
    if isinstance(value, tuple | Mapping):
        return len(value)
    raise Unfit(f"{type_name(value)} has no length")


def index(value: Value, *keys: Value) -> Value:
    if value is None:
        raise Unfit("nil cannot be indexed")
    for key in keys:
        value = _index_once(value, key)
    return value


def _index_once(value: Value, key: Value) -> Value:
    if isinstance(value, Mapping):
        if not isinstance(key, str):
            raise Unfit(f"a map is indexed by string, not by {type_name(key)}")
        return value.get(key, ())  # the only maps are byTag's, whose empty value is an empty list
    sequence = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    if not isinstance(sequence, tuple | bytes):
        raise Unfit(f"{type_name(value)} cannot be indexed")
    if isinstance(key, bool) or not isinstance(key, int):
        raise Unfit(f"a {type_name(value)} is indexed by int, not by {type_name(key)}")
    if not 0 <= key < len(sequence):
        raise Unfit(f"index out of range: {key}")
    return sequence[key]


def is_in(collection: Value, wanted: Value) -> bool:
    if wanted is None and isinstance(collection, str | tuple):
        raise Unfit("cannot look for nil")
    if isinstance(collection, str):
        return isinstance(wanted, str) and wanted in collection
    if not isinstance(collection, tuple):
        return False
    return any(
        type_name(item) == type_name(wanted) and item == wanted
        for item in collection
        if isinstance(item, int | float | str) and not isinstance(item, bool)
    )


def contains(wanted: Value, collection: Value) -> bool:
    return is_in(collection, wanted)


def by_tag(services: Value) -> Mapping[str, Value]:
    if services is not None and not isinstance(services, tuple):
        raise Unfit(f"wants a list of services, got {type_name(services)}")
    grouped: dict[str, list[Value]] = {}
    for service in services or ():
        if not isinstance(service, ServiceEntry | ServiceName):
            raise Unfit(f"wants a list of services, got a list of {type_name(service)}")
        for tag in service.Tags:
            grouped.setdefault(tag, []).append(service)
    return {tag: tuple(tagged) for tag, tagged in grouped.items()}


# Text.

# unicode.IsSpace. Python's own strip() would also take the separators from U+001C to U+001F.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
# A word as Unicode's rules for word boundaries (UAX 29) see it, which consul-template's toTitle follows since 0.30.
_WORD = re.compile(r"\w+(?:(?<=[^\W\d_])['.:\u2019](?=[^\W\d_])\w+)*")


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


def join(separator: str, texts: tuple[str, ...] | None) -> str:
    return assemble(texts or (), separator)


def split(separator: str, text: str) -> tuple[str, ...]:
    text = text.strip(_SPACE)
    if not text:
        return ()
    return tuple(text.split(separator)) if separator else tuple(text)


def replace_all(old: str, new: str, text: str) -> str:
    times = text.count(old)
    if len(text) + times * (len(new) - len(old)) > MAX_OUTPUT:
        raise Unfit(f"more than {MAX_OUTPUT} characters of text")
    return text.replace(old, new)


def to_lower(text: str) -> str:
    # Go maps one character to one character; Python would make two of some, such as U+0130.
    return text.lower() if text.isascii() else "".join(character.lower()[0] for character in text)


def to_upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(map(_upper_one, text))


def _upper_one(character: str) -> str:
    return next((mapped for mapped in (character.upper(), character.title()) if len(mapped) == 1), character)


def to_title(text: str) -> str:
    return _WORD.sub(lambda word: _title_word(word.group()), text)


def _title_word(word: str) -> str:
    for position, character in enumerate(word):
        if character.lower() != character.upper():
            return word[:position] + character.title() + word[position + 1 :]
    return word


def trim_space(text: str) -> str:
    return text.strip(_SPACE)


# Numbers.

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False", "")


def parse_bool(text: str) -> bool:
    if text not in _TRUE and text not in _FALSE:
        raise Unfit(f"{shorten(text)} is not a bool")
    return text in _TRUE


def parse_int(text: str) -> int | float:
    if not text:
        return 0
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise Unfit(f"{shorten(text)} is not an integer")
    if len(text) > 30:
        raise Unfit(f"{shorten(text)} is too large")
    return number(int(text))


def arithmetic(
    compute: Callable[[int | float, int | float], int | float], floats: bool = True
) -> Callable[[Value, Value], Value]:
    """The operand given last comes first, so that `5 | subtract 2` is 3."""

    def run(second: Value, first: Value) -> Value:
        return number(compute(_operand(first, floats), _operand(second, floats)))

    return run


def _operand(value: Value, floats: bool) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool) and (floats or isinstance(value, int)):
        return value
    raise Unfit(f"cannot calculate with {type_name(value)}")


def divide(first: int | float, second: int | float) -> int | float:
    if second == 0:
        raise Unfit("division by zero")
    if isinstance(first, float) or isinstance(second, float):
        return first / second
    quotient = abs(first) // abs(second)  # Go rounds towards zero
    return quotient if (first < 0) == (second < 0) else -quotient


def modulo(first: int | float, second: int | float) -> int | float:
    return first - second * divide(first, second)
