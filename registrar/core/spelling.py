"""Keys that look like ours and are not read, and what was probably meant. Pure."""

import re
from collections.abc import Iterable, Iterator, Set
from difflib import get_close_matches

from registrar.core.metadata import PREFIX, Entry, entry_of

_ALIKE = re.compile(r"service[_.-].+", re.I | re.S)


def hints(spellings: Iterable[str], known: Set[str]) -> Iterator[tuple[str, str]]:
    """Each key in lower case or with dots, and the `known` one that it would be in our spelling, if it would.

    >>> list(hints(["service.80.name", "service.version", "SERVICE_NAME"], {"name"}))
    [('service.80.name', 'SERVICE_80_NAME')]
    """
    given = frozenset(spellings)
    for spelling in sorted(given):
        meant = re.sub(r"[.-](?!\d+_)", "_", spelling.upper()) if _ALIKE.fullmatch(spelling) else spelling
        # SERVICE_80-90_NAME has a dash that belongs there.
        meant = re.sub(r"(?<=SERVICE_)(\d+)_(\d+)_", r"\1-\2_", meant)
        if spelling.startswith(PREFIX) or meant in given:
            continue
        found = entry_of(meant, "", label=True)
        if found and found.key in known:
            yield spelling, meant


def unknown_check(entry: Entry, known: Set[str]) -> str:
    """What to say of a `check_…` key that there is not."""
    near = get_close_matches(entry.key, sorted(known), 1, 0.75)
    hint = f": did you mean {PREFIX}{near[0].upper()}?" if near else ""
    return f"there is no such key of a check{hint}"
