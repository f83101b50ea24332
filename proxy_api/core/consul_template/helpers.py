"""What consul-template's functions do that need nothing but their arguments; `functions` gives them their names. Core.

Argument order and corner cases are those of consul-template (template/funcs.go).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gotemplate.faults import Unfit
from gotemplate.strings import SPACE, replace
from gotemplate.strings import split as split_all
from gotemplate.values import GoMap, Value, number, shorten, type_name
from proxy_api.core.consul_template.entries import ServiceEntry, ServiceName

# Lists and text as collections.


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


def by_tag(services: Value) -> GoMap:
    if services is not None and not isinstance(services, tuple):
        raise Unfit(f"wants a list of services, got {type_name(services)}")
    grouped: dict[str, list[Value]] = {}
    for service in services or ():
        if not isinstance(service, ServiceEntry | ServiceName):
            raise Unfit(f"wants a list of services, got a list of {type_name(service)}")
        for tag in service.Tags:
            grouped.setdefault(tag, []).append(service)
    return GoMap({tag: tuple(tagged) for tag, tagged in grouped.items()}, zero=())


# Text.

# A word as Unicode's rules for word boundaries (UAX 29) see it, which consul-template's toTitle follows since 0.30.
_WORD = re.compile(r"\w+(?:(?<=[^\W\d_])['.:\u2019](?=[^\W\d_])\w+)*")


def split(separator: str, text: str) -> tuple[str, ...]:
    text = text.strip(SPACE)
    return split_all(separator, text) if text else ()


def replace_all(old: str, new: str, text: str) -> str:
    return replace(-1, old, new, text)


def to_title(text: str) -> str:
    return _WORD.sub(lambda word: _title_word(word.group()), text)


def _title_word(word: str) -> str:
    for position, character in enumerate(word):
        if character.lower() != character.upper():
            return word[:position] + character.title() + word[position + 1 :]
    return word


def trim_space(text: str) -> str:
    return text.strip(SPACE)


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
