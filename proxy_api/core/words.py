"""How a value gets into HAProxy's text: quoted, or as a word that needs no quotes. Core."""

import re
from typing import Any

# Printable ASCII but for blanks, quotes, backslash and the hash that begins a comment.
_WORD = re.compile(r"[!$-&(-\[\]-~]+", re.ASCII)


def quoted(text: Any) -> str:
    """A word in strong quotes, in which nothing is special to HAProxy (manual, 2.2)."""
    return "'" + str(text).replace("'", "'\\''") + "'"


def word(text: Any) -> str:
    """A word that needs no quotes; anything else is a mistake of ours, and is not written. Raises ValueError."""
    plain = str(text)
    if not _WORD.fullmatch(plain):
        raise ValueError(f"{plain!r} is no plain word of a configuration")
    return plain
