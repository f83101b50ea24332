"""consul-template's functions: their names, what arguments they accept, and why any other name is refused. Core."""

from __future__ import annotations

import operator
from collections.abc import Mapping

from gotemplate import strings
from gotemplate.functions import BUILTINS, Function, Vocabulary, Want, not_supported
from gotemplate.values import shorten
from proxy_api.core.consul_template import helpers

_NUMBERS = (Want.ANY, Want.ANY)

HELPERS: Mapping[str, Function] = {
    **BUILTINS,
    "in": Function(helpers.is_in, (Want.ANY, Want.ANY)),
    "contains": Function(helpers.contains, (Want.ANY, Want.ANY)),
    "byTag": Function(helpers.by_tag, (Want.ANY,)),
    "join": Function(strings.join, (Want.TEXT, Want.TEXTS)),
    "split": Function(helpers.split, (Want.TEXT, Want.TEXT)),
    "replaceAll": Function(helpers.replace_all, (Want.TEXT, Want.TEXT, Want.TEXT)),
    "toLower": Function(strings.to_lower, (Want.TEXT,)),
    "toUpper": Function(strings.to_upper, (Want.TEXT,)),
    "toTitle": Function(helpers.to_title, (Want.TEXT,)),
    "trimSpace": Function(helpers.trim_space, (Want.TEXT,)),
    "parseBool": Function(helpers.parse_bool, (Want.TEXT,)),
    "parseInt": Function(helpers.parse_int, (Want.TEXT,)),
    "add": Function(helpers.arithmetic(operator.add), _NUMBERS),
    "subtract": Function(helpers.arithmetic(operator.sub), _NUMBERS),
    "multiply": Function(helpers.arithmetic(operator.mul), _NUMBERS),
    "divide": Function(helpers.arithmetic(helpers.divide), _NUMBERS),
    "modulo": Function(helpers.arithmetic(helpers.modulo, floats=False), _NUMBERS),
}

CATALOG_NAMES = ("service", "services", "key", "keyOrDefault", "keyExists")

_READS_THE_HOST = (
    "env", "envOrDefault", "mustEnv", "file", "plugin", "writeToFile", "sockaddr", "timestamp",
)  # fmt: skip


def why_refused(name: str) -> str:
    """The fault for a name that is no function here, whether or not consul-template has it."""
    if name in _READS_THE_HOST:
        return f"function {shorten(name)} is refused: a template sees the catalog, not the host it is rendered on"
    return not_supported(name)


VOCABULARY = Vocabulary(HELPERS, frozenset(CATALOG_NAMES), why_refused)
