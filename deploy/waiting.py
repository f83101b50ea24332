"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], deadline_s: float = 10.0, what: str = "the condition holds") -> T:
    """Asks until the predicate gives something true and returns that; raises TimeoutError with its last value.

    An AssertionError or an OSError of the predicate (nothing listens yet) counts as "not yet"; others pass through.
    """
    until = time.monotonic() + deadline_s
    pause = 0.005
    while True:
        try:
            last: object = (value := predicate())
            if value:
                return value
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() >= until:
            raise TimeoutError(f"after {deadline_s:g} s still not so: {what}; last seen: {_short(last)}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 2000 else text[:2000] + "…"
