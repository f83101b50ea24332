"""What Go's package strings does and Python does otherwise, for the functions of several vocabularies. Pure."""

from __future__ import annotations

from gotemplate.faults import Unfit
from gotemplate.values import MAX_OUTPUT, assemble

# unicode.IsSpace. Python's own strip() would also take the separators from U+001C to U+001F.
SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def join(separator: str, texts: tuple[str, ...] | None) -> str:
    return assemble(texts or (), separator)


def split(separator: str, text: str) -> tuple[str, ...]:
    return tuple(text.split(separator)) if separator else tuple(text)


def replace(times: int, old: str, new: str, text: str) -> str:
    """With the first so many of `old` replaced, or all of them if it is negative."""
    found = text.count(old)
    if len(text) + (found if times < 0 else min(times, found)) * (len(new) - len(old)) > MAX_OUTPUT:
        raise Unfit(f"more than {MAX_OUTPUT} characters of text")
    return text.replace(old, new, times)


def to_lower(text: str) -> str:
    # Go maps one character to one character; Python would make two of some, such as U+0130.
    return text.lower() if text.isascii() else "".join(character.lower()[0] for character in text)


def to_upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(map(_upper_one, text))


def _upper_one(character: str) -> str:
    return next((mapped for mapped in (character.upper(), character.title()) if len(mapped) == 1), character)
