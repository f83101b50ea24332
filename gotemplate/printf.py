"""Go's fmt.Sprintf, for the verbs %s %d %v %q %t %% with a width, and a precision for text. Pure.

Where Go writes a mistake into its output (`%!d(string=hi)`), this refuses: such text in a configuration is never
what was meant. Everything else of fmt (other flags and verbs, a precision for numbers) is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


def check(template: str) -> None:
    """Raise Unfit if it holds a verb that is not supported, whatever its argument will be."""
    for found in _DIRECTIVE.finditer(template):
        _read(found)


@dataclass(frozen=True)
class _Verb:
    """One verb as it was written."""

    text: str
    flags: str
    width: int
    precision: int | None
    letter: str


def _read(found: re.Match[str]) -> _Verb:
    flags, digits, precision, index, letter = found.groups()
    text = shorten(found.group())
    if not letter:
        raise Unfit(f"the verb {text} is not finished")
    if found.group() == "%%":
        return _Verb(text, "", 0, None, "%")
    if letter not in "sdvqt" or index or flags.strip("-0") or (precision and letter in "dt"):
        raise Unfit(f"the verb {text} is not supported, only %s %d %v %q %t %% with a width, %s %v %q with a precision")
    if any(len(number) > 4 or int(number or 0) > MAX_WIDTH for number in (digits, precision[1:])):
        raise Unfit(f"the verb {text} is wider than {MAX_WIDTH}")
    return _Verb(text, flags, int(digits or 0), int(precision[1:] or 0) if precision else None, letter)


def _pieces(template: str, arguments: Sequence[Value]) -> Iterator[str]:
    used = 0
    position = 0
    for found in _DIRECTIVE.finditer(template):
        yield template[position : found.start()]
        position = found.end()
        verb = _read(found)
        if verb.letter == "%":
            yield "%"
            continue
        if used == len(arguments):
            raise Unfit(f"the verb {verb.text} has no argument")
        yield _format(verb, arguments[used])
        used += 1
    if used < len(arguments):
        raise Unfit(f"{len(arguments) - used} of the arguments have no verb")
    yield template[position:]


def _format(verb: _Verb, value: Value) -> str:
    # fmt applies a verb, and its width, to each element of a list rather than to the list.
    if isinstance(value, tuple):
        return "[" + assemble((_format(verb, item) for item in value), " ") + "]"
    if verb.precision is not None:
        if not isinstance(value, str):
            raise Unfit(f"the precision of {verb.text} is only supported for strings, not for {type_name(value)}")
        value = clean(value)[: verb.precision]
    text = _convert(verb.letter, value)
    if "-" in verb.flags:
        return text.ljust(verb.width)
    if "0" not in verb.flags:
        return text.rjust(verb.width)
    if isinstance(value, bool) or not isinstance(value, int | float):
        # Go's answer to this has changed from release to release.
        raise Unfit(f"the flag 0 of %{verb.letter} is only supported for numbers, not for {type_name(value)}")
    return text.zfill(verb.width)


def _convert(verb: str, value: Value) -> str:
    if verb == "v" and not isinstance(value, GoMap):
        return show_fmt(value)
    if verb in "sq" and isinstance(value, str):
        return clean(value) if verb == "s" else quote(clean(value))
    if verb == "d" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if verb == "t" and isinstance(value, bool):
        return show_fmt(value)
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
