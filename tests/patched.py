"""What patch(1) makes of a unified difference of one file, without its leniency."""

from __future__ import annotations

import re
from collections.abc import Sequence


def patched(old: Sequence[str], diff: Sequence[str]) -> list[str]:
    """The lines that the hunks of `diff` turn `old` into; raises where they do not fit exactly."""
    made: list[str] = []
    at = 0
    lines = iter(diff)
    for head in lines:
        found = re.fullmatch(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@", head)
        assert found, head
        first, count, start, length = map(int, found.groups())
        begin = first - 1 if count else first
        made += old[at:begin]
        assert len(made) == (start - 1 if length else start), head
        at, end, target = begin, begin + count, len(made) + length
        while at < end or len(made) < target:
            line = next(lines)
            if line[0] in " -":
                assert line[1:] == old[at]
                at += 1
            if line[0] in " +":
                made.append(line[1:])
    return [*made, *old[at:]]
