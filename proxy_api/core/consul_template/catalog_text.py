"""What text from the catalog may do in a template: be compared, and be printed only if it is one plain word. Core."""

from __future__ import annotations

import re

from gotemplate.values import Unprintable, shorten

# What ends a line or a word of HAProxy's configuration, begins a comment, or stands for something else there, as a
# variable of the environment does.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s\"'\\$#]")


class CatalogText(Unprintable):
    """Text from the catalog that is no plain word: it may be compared, but never become output.

    Whoever may register a service may choose its tags, and a line break in one would otherwise add a directive
    to the configuration, a blank an argument, and `${X}` the environment. Refusing it on reading would let one odd
    tag break templates that only compare tags.
    """

    def reason(self) -> str:
        return unfit(self)


def guard(text: str) -> str:
    """Mark catalog text that must not be printed."""
    return CatalogText(text) if is_unfit(text) else text


def is_unfit(text: str) -> bool:
    """Whether text from the catalog would be more than a part of a plain word in HAProxy's configuration."""
    return _UNFIT.search(text) is not None


def unfit(text: str) -> str:
    """What to say when such text was to become output."""
    return (f"the catalog holds {shorten(text)}, and text with a blank, a quote, a backslash, '$', '#' or a control "
            "character may not reach the configuration")
