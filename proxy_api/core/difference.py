"""What a dry run shows of a change: the difference of the configuration's files, without secrets, cut to a size. Core.

Lines are compared as they are and hidden when they are shown: a password that changes is a difference that can be
seen, and the password cannot. In our own text we know what is secret. In an operator's it is guessed from the words
around it, rather too often than too rarely; what his template read from Consul's keys is hidden as well.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import inf

from proxy_api.core.bisect import Candidate
from proxy_api.core.messages import Shown
from proxy_api.core.plan import Plan, Runtime
from proxy_api.core.render import DIGEST_MAP

MAX_DIFF = 64 * 1024  # characters
HIDDEN = "<hidden>"
_CONTEXT = 3
_MAX_MATCHED = 1000  # lines of one section: comparing more of them with as many would take seconds
_NO_FILE = "/dev/null"

# `user x password y` and `user x insecure-password y` of a userlist, in whatever quotes.
_USER = re.compile(r"^(\s*user\s.*?\s(?:insecure-)?password\s+).+$")
_TELLING = re.compile(r"passw|secret|token|auth|credential|api.?key|bearer|cookie|jwt|hmac|aes_|private|signature",
                      re.IGNORECASE)
_SHORTEST = 6  # characters of a key's value: shorter ones would hide half of the text


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a change that was not made would be: from what is served (None: nothing yet) to what would be."""

    before: Candidate | None
    after: Candidate
    step: Plan


def shown(run: DryRun) -> Shown:
    """What is shown of a dry run. The commands are as they would go over the socket."""
    commands = tuple(command.line for command in run.step.commands) if isinstance(run.step, Runtime) else ()
    return Shown(commands, difference(run))


def difference(run: DryRun, limit: int = MAX_DIFF) -> str:
    """The unified difference of the configuration's files: what is served before what would be."""
    judged = [one for one in (run.before, run.after) if one is not None]
    before = dict(run.before.rendered.config.files) if run.before else {}
    return _cut(_unified(before, dict(run.after.rendered.config.files), _hider(judged)), limit)


# --- what is not shown -----------------------------------------------------------------------------------------------


def _hider(judged: Iterable[Candidate]) -> Callable[[str], str]:
    """What makes a line of one of these configurations fit to be shown."""
    customs: set[str] = set()
    values: set[str] = set()
    known: set[str] = set()
    for one in judged:
        known.add(one.rendered.around.stats_pass_hash)
        for service in one.rendered.state.services:
            if service.custom is not None:
                customs.update(service.custom.frontend)
                customs.update(line for section in service.custom.sections for line in section.lines)
                customs.update(f"{section.keyword} {section.name}" for section in service.custom.sections)
        for release in one.releases.values():
            values.update(part.strip() for _, value in release.keys if value for part in value.splitlines())
    secrets = sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True)

    def hide(line: str) -> str:
        for text in known - {""}:
            line = line.replace(text, HIDDEN)
        if line.strip() in customs:
            return _hide_custom(line, secrets)
        return _USER.sub(rf"\1{HIDDEN}", line)

    return hide


def _hide_custom(line: str, secrets: Sequence[str]) -> str:
    # Quotes and backslashes could part a word that HAProxy reads as one.
    if _TELLING.search(re.sub(r"[\"'\\]", "", line)):
        # What stays are two words that say what the line is about, or one that is telling itself.
        first, *rest = line.split()
        shown = [first, *rest[:0 if _TELLING.search(first) else 1]]
        indent = line[:len(line) - len(line.lstrip())]
        return f"{indent}{' '.join(shown)} {HIDDEN}" if len(shown) <= len(rest) else line
    for value in secrets:
        line = line.replace(value, HIDDEN)
    return line


# --- the difference --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines first..last (exclusive) of the one text that became lines of the other."""

    old: tuple[int, int]
    new: tuple[int, int]


def _unified(before: dict[str, str], after: dict[str, str], hide: Callable[[str], str]) -> Iterator[str]:
    # The map of the digest says only that there is a difference, which the others say better.
    for name in sorted((before.keys() | after.keys()) - {DIGEST_MAP}):
        if before.get(name) == after.get(name):
            continue
        old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
        yield f"--- {name if name in before else _NO_FILE}"
        yield f"+++ {name if name in after else _NO_FILE}"
        for hunk in _hunks(changes(old, new)):
            yield from _hunk(hunk, old, new, hide)


def changes(old: Sequence[str], new: Sequence[str]) -> list[_Change]:
    """How one list of lines becomes the other, in order; everything else is the same.

    By sections, which are sorted in both, and by lines within a section that is in both: the time is in proportion to
    the length, as it would not be for any two texts.
    """
    was, now = _sections(old), _sections(new)
    place_was, place_now = ({lines[start]: n for n, (start, _) in enumerate(sections)}
                            for lines, sections in ((old, was), (new, now)))
    found: list[_Change] = []
    i = j = 0
    while i < len(was) and j < len(now):
        a, b = was[i], now[j]
        head_a, head_b = old[a[0]], new[b[0]]
        if head_a == head_b:
            if old[slice(*a)] != new[slice(*b)]:
                found += _within(old, a, new, b)
            i, j = i + 1, j + 1
        # One of the two comes later on the other side, or not at all: the one that is farther away is passed over.
        elif _ahead(place_now, head_a, j) >= _ahead(place_was, head_b, i):
            found.append(_Change(a, (b[0], b[0])))
            i += 1
        else:
            found.append(_Change((a[0], a[0]), b))
            j += 1
    if i < len(was) or j < len(now):
        found.append(_Change((was[i][0] if i < len(was) else len(old), len(old)),
                             (now[j][0] if j < len(now) else len(new), len(new))))
    return found


def _ahead(places: Mapping[str, int], head: str, at: int) -> float:
    place = places.get(head, -1)
    return place - at if place >= at else inf


def _sections(lines: Sequence[str]) -> list[tuple[int, int]]:
    """First and last line of each section; a line of a map is one."""
    starts = [n for n, line in enumerate(lines) if n == 0 or (line and not line[0].isspace())]
    return list(itertools.pairwise([*starts, len(lines)]))


def _within(old: Sequence[str], a: tuple[int, int], new: Sequence[str], b: tuple[int, int]) -> list[_Change]:
    (first, end), (start, stop) = a, b
    while first < end and start < stop and old[first] == new[start]:
        first, start = first + 1, start + 1
    while first < end and start < stop and old[end - 1] == new[stop - 1]:
        end, stop = end - 1, stop - 1
    if min(end - first, stop - start) > _MAX_MATCHED:
        return [_Change((first, end), (start, stop))]
    matcher = SequenceMatcher(None, old[first:end], new[start:stop])
    return [_Change((first + i1, first + i2), (start + j1, start + j2))
            for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"]


def _hunks(found: Iterable[_Change]) -> Iterator[list[_Change]]:
    """Changes whose context would touch, together."""
    hunk: list[_Change] = []
    for change in found:
        if hunk and change.old[0] - hunk[-1].old[1] > 2 * _CONTEXT:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _hunk(hunk: Sequence[_Change], old: Sequence[str], new: Sequence[str], hide: Callable[[str], str]) -> Iterator[str]:
    lead = min(_CONTEXT, hunk[0].old[0])
    trail = min(_CONTEXT, len(old) - hunk[-1].old[1])
    yield (f"@@ -{_range(hunk[0].old[0] - lead, hunk[-1].old[1] + trail)} "
           f"+{_range(hunk[0].new[0] - lead, hunk[-1].new[1] + trail)} @@")
    at = hunk[0].old[0] - lead
    for change in hunk:
        yield from (" " + hide(line) for line in old[at:change.old[0]])
        yield from ("-" + hide(line) for line in old[slice(*change.old)])
        yield from ("+" + hide(line) for line in new[slice(*change.new)])
        at = change.old[1]
    yield from (" " + hide(line) for line in old[at:at + trail])


def _range(first: int, end: int) -> str:
    # As diff(1) has it: lines are counted from 1, and an empty range names the line before it.
    return f"{first + 1 if end > first else first},{end - first}"


def _cut(lines: Iterable[str], limit: int) -> str:
    shown: list[str] = []
    size = left_out = 0
    for line in lines:
        size += len(line) + 1
        if size > limit:
            left_out += 1
        else:
            shown.append(line + "\n")
    return "".join(shown) + (f"[{left_out} more lines are not shown]\n" if left_out else "")
