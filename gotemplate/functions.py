"""The table of functions: their names, what arguments they accept, and which of them a template may call. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from gotemplate import builtins, printf
from gotemplate.faults import Unfit
from gotemplate.values import Value, clean, shorten, type_name


class Want(Enum):
    """What a parameter accepts. Text that may not become output is accepted only as ANY."""

    ANY = "anything"
    TEXT = "a string"
    TEXTS = "a list of strings"


@dataclass(frozen=True)
class Function:
    run: Callable[..., Value]
    takes: tuple[Want, ...]
    rest: Want | None = None  # what further arguments must be, where any number may follow
    check: Callable[[str], None] | None = None  # raises Unfit for text that can never be its first argument


def call(name: str, function: Function, arguments: tuple[Value, ...]) -> Value:
    """Check the arguments as Go would, then run the function."""
    check_count(name, function, len(arguments))
    fixed = len(function.takes)
    try:
        for position, argument in enumerate(arguments):
            want = function.takes[position] if position < fixed else function.rest
            _check(want, argument)
        return function.run(*arguments)
    except Unfit as unfit:
        raise Unfit(f"{name}: {unfit.reason}") from None


def check_count(name: str, function: Function, count: int) -> None:
    """Raise Unfit if it does not take so many arguments."""
    fixed = len(function.takes)
    if count < fixed or (count > fixed and function.rest is None):
        wanted = f"at least {fixed}" if function.rest else str(fixed)
        raise Unfit(f"{name} wants {wanted} argument{'' if fixed == 1 else 's'}, got {count}")


def check_first(name: str, function: Function, text: str) -> None:
    """Raise Unfit if this can never be its first argument."""
    try:
        if function.check:
            function.check(text)
    except Unfit as unfit:
        raise Unfit(f"{name}: {unfit.reason}") from None


def _check(want: Want | None, argument: Value) -> None:
    if want is Want.TEXT:
        if not isinstance(argument, str):
            raise Unfit(f"wants a string, got {type_name(argument)}")
        clean(argument)
    elif want is Want.TEXTS and argument is not None:  # to Go, nil is a list like any other
        if not isinstance(argument, tuple):
            raise Unfit(f"wants a list of strings, got {type_name(argument)}")
        for item in argument:
            _check(Want.TEXT, item)


_COMPARED = (Want.ANY, Want.ANY)

# text/template's own, as far as they are functions. `and` and `or` stop early, so the evaluator has them.
BUILTINS: Mapping[str, Function] = {
    "not": Function(builtins.negate, (Want.ANY,)),
    "eq": Function(builtins.eq, (Want.ANY,), Want.ANY),
    "ne": Function(builtins.ne, _COMPARED),
    "lt": Function(builtins.ordering(operator.lt), _COMPARED),
    "le": Function(builtins.ordering(operator.le), _COMPARED),
    "gt": Function(builtins.ordering(operator.gt), _COMPARED),
    "ge": Function(builtins.ordering(operator.ge), _COMPARED),
    "len": Function(builtins.length, (Want.ANY,)),
    "index": Function(builtins.index, (Want.ANY,), Want.ANY),
    "print": Function(builtins.sprint, (), Want.ANY),
    "println": Function(builtins.sprintln, (), Want.ANY),
    "printf": Function(printf.sprintf, (Want.TEXT,), Want.ANY, printf.check),
    "slice": Function(builtins.slice_of, (Want.ANY,), Want.ANY),
    "html": Function(builtins.html, (), Want.ANY),
    "js": Function(builtins.js, (), Want.ANY),
    "urlquery": Function(builtins.urlquery, (), Want.ANY),
}
SHORT_CIRCUITS = ("and", "or")


def not_supported(name: str) -> str:
    """The fault for a name that is no function."""
    return f"function {shorten(name)} is not supported"


@dataclass(frozen=True)
class Vocabulary:
    """What a template may call: `functions`, and the names of those that are only given when it is evaluated."""

    functions: Mapping[str, Function]
    given: frozenset[str] = frozenset()
    why_refused: Callable[[str], str] = not_supported

    @property
    def names(self) -> frozenset[str]:
        """Every name that may stand where a function is called."""
        return frozenset((*self.functions, *self.given, *SHORT_CIRCUITS))
