"""Go's regexp as far as "does it match?" goes: RE2, in time that grows with the text and never explodes. Pure.

Go's package is RE2 written anew, with the same syntax; Python's `re` goes back over the text, and a hostile text can
make it do so for ever, with the whole process standing still.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from gotemplate.faults import Unfit
from gotemplate.values import shorten

MAX_PATTERN = 1000  # characters
MAX_MEMORY = 8 * 1024 * 1024  # bytes of a compiled pattern; RE2 refuses one that would need more


class Pattern:
    """A pattern that was understood. Raises Unfit with what is wrong with one that was not."""

    def __init__(self, source: str) -> None:
        # Only here: it takes 2.5 MB, and hardly any template has a pattern.
        import re2
        if len(source) > MAX_PATTERN:
            raise Unfit(f"the pattern is longer than {MAX_PATTERN} characters")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = MAX_MEMORY
        try:
            self._pattern = re2.compile(source, options)
        except (re2.error, UnicodeError) as fault:
            raise Unfit(f"the pattern {shorten(source)} is none of Go's: {_text(fault)}") from None

    def matching(self, texts: Iterable[str]) -> Iterable[str]:
        """Those of the texts that it matches somewhere, one after the other."""
        try:
            yield from (text for text in texts if self._pattern.search(text))
        except UnicodeError:
            raise Unfit("the text holds half a character") from None


def _text(fault: Exception) -> str:
    said = fault.args[0] if fault.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


@lru_cache(maxsize=64)
def compiled(source: str) -> Pattern:
    """The pattern. Raises Unfit with what is wrong with it."""
    return Pattern(source)


def check(source: str) -> None:
    """Raise Unfit if it is no pattern."""
    compiled(source)
