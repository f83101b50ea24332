"""The table of functions: their names, what arguments they accept, and why any other name is refused."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from proxy_api.consul_template import helpers
from proxy_api.consul_template.faults import Unfit
from proxy_api.consul_template.printf import sprintf
from proxy_api.consul_template.values import Value, clean, shorten, type_name


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


def call(name: str, function: Function, arguments: tuple[Value, ...]) -> Value:
    """Check the arguments as Go would, then run the function."""
    fixed = len(function.takes)
    if len(arguments) < fixed or (len(arguments) > fixed and function.rest is None):
        wanted = f"at least {fixed}" if function.rest else str(fixed)
        raise Unfit(f"{name} wants {wanted} argument{'' if wanted == '1' else 's'}, got {len(arguments)}")
    try:
        for position, argument in enumerate(arguments):
            want = function.takes[position] if position < fixed else function.rest
            _check(want, argument)
        return function.run(*arguments)
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

HELPERS: Mapping[str, Function] = {
    "not": Function(helpers.negate, (Want.ANY,)),
    "eq": Function(helpers.eq, (Want.ANY,), Want.ANY),
    "ne": Function(helpers.ne, _COMPARED),
    "lt": Function(helpers.ordering(operator.lt), _COMPARED),
    "le": Function(helpers.ordering(operator.le), _COMPARED),
    "gt": Function(helpers.ordering(operator.gt), _COMPARED),
    "ge": Function(helpers.ordering(operator.ge), _COMPARED),
    "len": Function(helpers.length, (Want.ANY,)),
    "index": Function(helpers.index, (Want.ANY,), Want.ANY),
    "in": Function(helpers.is_in, (Want.ANY, Want.ANY)),
    "contains": Function(helpers.contains, (Want.ANY, Want.ANY)),
    "byTag": Function(helpers.by_tag, (Want.ANY,)),
    "print": Function(helpers.sprint, (), Want.ANY),
    "println": Function(helpers.sprintln, (), Want.ANY),
    "printf": Function(sprintf, (Want.TEXT,), Want.ANY),
    "join": Function(helpers.join, (Want.TEXT, Want.TEXTS)),
    "split": Function(helpers.split, (Want.TEXT, Want.TEXT)),
    "replaceAll": Function(helpers.replace_all, (Want.TEXT, Want.TEXT, Want.TEXT)),
    "toLower": Function(helpers.to_lower, (Want.TEXT,)),
    "toUpper": Function(helpers.to_upper, (Want.TEXT,)),
    "toTitle": Function(helpers.to_title, (Want.TEXT,)),
    "trimSpace": Function(helpers.trim_space, (Want.TEXT,)),
    "parseBool": Function(helpers.parse_bool, (Want.TEXT,)),
    "parseInt": Function(helpers.parse_int, (Want.TEXT,)),
    "add": Function(helpers.arithmetic(operator.add), (Want.ANY, Want.ANY)),
    "subtract": Function(helpers.arithmetic(operator.sub), (Want.ANY, Want.ANY)),
    "multiply": Function(helpers.arithmetic(operator.mul), (Want.ANY, Want.ANY)),
    "divide": Function(helpers.arithmetic(helpers.divide), (Want.ANY, Want.ANY)),
    "modulo": Function(helpers.arithmetic(helpers.modulo, floats=False), (Want.ANY, Want.ANY)),
}

SHORT_CIRCUITS = ("and", "or")
CATALOG_NAMES = ("service", "services", "key", "keyOrDefault", "keyExists")
FUNCTION_NAMES = frozenset((*HELPERS, *SHORT_CIRCUITS, *CATALOG_NAMES))

_READS_THE_HOST = (
    "env", "envOrDefault", "mustEnv", "file", "plugin", "writeToFile", "sockaddr", "timestamp",
)  # fmt: skip


def why_refused(name: str) -> str:
    """The fault for a name that is no function here, whether or not consul-template has it."""
    if name in _READS_THE_HOST:
        return f"function {shorten(name)} is refused: a template sees the catalog, not the host it is rendered on"
    return f"function {shorten(name)} is not supported"
