"""The tables of docs/proxy-api.md, written from the rows that the program itself is made of.

python -m deploy.docs            writes them anew between their markers
python -m deploy.docs --check    exits with 1 when they are not current
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence

from deploy.process import ROOT
from proxy_api.core import consul_template, errors, legacy_settings, parameters
from proxy_api.core.consul_template.functions import VOCABULARY
from proxy_api.core.parameters import predecessor
from proxy_api.core.parameters.row import Parameter
from proxy_api.core.plan import CAUSES
from proxy_api.core.settings import SETTINGS
from proxy_api.core.stored_spec import LEGACY_KEYS
from registrar.cli.reference import code, table

DOCUMENT = ROOT / "docs" / "proxy-api.md"


def main(arguments: Sequence[str]) -> int:
    """Write, or check; the exit code."""
    text = DOCUMENT.read_text(encoding="utf-8")
    current = filled(text)
    if arguments == ["--check"]:
        if current != text:
            print(f"{DOCUMENT.relative_to(ROOT)} is not current; run: python -m deploy.docs", file=sys.stderr)
        return int(current != text)
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    if current != text:
        DOCUMENT.write_text(current, encoding="utf-8")
    return 0


def filled(text: str) -> str:
    """The text with every marked part as it should be. Raises ValueError for a missing or unknown marker."""
    for name, part in PARTS.items():
        pattern = re.compile(rf"(<!-- {name}: [^\n]* -->\n).*?(<!-- end -->)", re.S)
        if not pattern.search(text):
            raise ValueError(f"{DOCUMENT.name} has no marker for {name!r}")
        body = part()
        text = pattern.sub(lambda found, body=body: f"{found[1]}{body}\n{found[2]}", text)  # type: ignore[misc]
    return text


# --- the parts -----------------------------------------------------------------------------------------------------


def asked() -> str:
    """The parameters of a reconfigure."""
    return _parameters(parameters.SPEC)


def steering() -> str:
    """The parameters of both calls."""
    return _parameters(parameters.CALL)


def _parameters(rows: Iterable[Parameter]) -> str:
    return table(("Parameter", "Numbered", "Default", "Meaning", "Example"), (
        (code(p.name), "yes" if p.indexed else "", _default(p.default), p.help, code(p.example)) for p in rows))


def causes() -> str:
    """What the metric of changes is told apart by."""
    return table(("Cause", "Meaning"), ((code(name), meaning) for name, meaning in CAUSES.items()))


def refused() -> str:
    """The predecessor's parameters that are refused, not ignored."""
    return ", ".join(code(row.name) for row in sorted(predecessor.ROWS, key=lambda row: row.name.lower())
                     if row.effect != "nothing") + "."


def settings() -> str:
    """The settings."""
    rows = ((code(s.name), code(s.default) if s.default else "", s.help) for s in SETTINGS)
    return table(("Variable", "Default", "Meaning"), rows)


def refused_settings() -> str:
    """The predecessor's settings that are refused, not ignored."""
    return ", ".join(code(row.name) for row in legacy_settings.ROWS if row.instead) + "."


def statuses() -> str:
    """The statuses of failed changes, from the exceptions that carry them."""
    found: dict[int, list[str]] = {}
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, errors.ProxyError) and value is not errors.ProxyError:
            found.setdefault(value.status, []).append(" ".join((value.__doc__ or "").split()))
    return table(("Status", "When"), ((str(status), " ".join(texts)) for status, texts in sorted(found.items())))


def keys() -> str:
    """The keys of 2016."""
    return table(("Key", "Holds"), ((code(key), code(name)) for key, name in LEGACY_KEYS.items()))


def functions() -> str:
    """consul-template's functions that are there."""
    return ", ".join(code(name) for name in sorted(VOCABULARY.names, key=str.lower)) + "."


def fields() -> str:
    """What a template sees of an instance."""
    return ", ".join(code(f".{name}") for name in consul_template.ServiceEntry.__dataclass_fields__) + "."


PARTS: dict[str, Callable[[], str]] = {
    "parameters": asked,
    "steering": steering,
    "causes": causes,
    "refused": refused,
    "settings": settings,
    "refused-settings": refused_settings,
    "statuses": statuses,
    "keys": keys,
    "functions": functions,
    "fields": fields,
}


def _default(value: object) -> str:
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(str(value)) if value else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
