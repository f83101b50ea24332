"""Go's fmt.Sprintf, for the verbs %s %d %v %q %% with a width. Pure.

Where Go writes a mistake into its output (`%!d(string=hi)`), this refuses: such text in a configuration is never
what was meant. Everything else of fmt (precision, other flags and verbs) is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gotemplate.faults import Unfit
from gotemplate.values import GoMap, Value, assemble, clean, shorten, show_fmt, type_name

MAX_WIDTH = 1000

_DIRECTIVE = re.compile(r"%([-+# 0]*)([0-9]*)((?:\.[0-9]*)?)((?:\[[^\]]*\])?)(.?)", re.DOTALL)
_NAMED_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def sprintf(template: str, *arguments: Value) -> str:
    """The template with each verb replaced by its argument."""
    return assemble(_pieces(template, arguments))


def _pieces(template: str, arguments: Sequence[Value]) -> Iterator[str]:
    used = 0
    position = 0
    for found in _DIRECTIVE.finditer(template):
        yield template[position : found.start()]
        position = found.end()
        flags, digits, precision, index, verb = found.groups()
        if not verb:
            raise Unfit(f"the verb {shorten(found.group())} is not finished")
        if found.group() == "%%":
            yield "%"
            continue
        if verb not in "sdvq" or precision or index or flags.strip("-0"):
            raise Unfit(f"the verb {shorten(found.group())} is not supported, only %s %d %v %q %% with a width")
        if len(digits) > 4 or int(digits or 0) > MAX_WIDTH:
            raise Unfit(f"the verb {shorten(found.group())} is wider than {MAX_WIDTH}")
        if used == len(arguments):
            raise Unfit(f"the verb {shorten(found.group())} has no argument")
        yield _format(verb, flags, int(digits or 0), arguments[used])
        used += 1
    if used < len(arguments):
        raise Unfit(f"{len(arguments) - used} of the arguments have no verb")
    yield template[position:]


def _format(verb: str, flags: str, width: int, value: Value) -> str:
    # fmt applies a verb, and its width, to each element of a list rather than to the list.
    if isinstance(value, tuple):
        return "[" + assemble((_format(verb, flags, width, item) for item in value), " ") + "]"
    text = _convert(verb, value)
    if "-" in flags:
        return text.ljust(width)
    if "0" not in flags:
        return text.rjust(width)
    if isinstance(value, bool) or not isinstance(value, int | float):
        # Go's answer to this has changed from release to release.
        raise Unfit(f"the flag 0 of %{verb} is only supported for numbers, not for {type_name(value)}")
    return text.zfill(width)


def _convert(verb: str, value: Value) -> str:
    if verb == "v" and not isinstance(value, GoMap):
        return show_fmt(value)
    if verb in "sq" and isinstance(value, str):
        return clean(value) if verb == "s" else quote(clean(value))
    if verb == "d" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Unfit(f"%{verb} cannot print {type_name(value)}")


def quote(text: str) -> str:
    """A Go string literal for the text (strconv.Quote)."""
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    if character in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
