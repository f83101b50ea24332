"""A container's `SERVICE_…` variables and labels: which value counts for which port. Pure.

What the keys mean is for `services`, `checks` and `naming`; here are only their forms and their precedence.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

PREFIX = "SERVICE_"
_FORM = re.compile(r"SERVICE_(?:(?P<low>\d{1,5})(?:-(?P<high>\d{1,5}))?_(?:(?P<protocol>tcp|udp|sctp)_)?)?(?P<key>.+)",
                   re.I | re.S)


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Metadata that could not be used as it is: where it stands, and the rule it breaks."""

    container: str
    key: str
    value: str
    rule: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as it was written. `rank` is its precedence: port over range over generic, label over env.

    A protocol beats none on the same level, and a narrower range a wider one.
    """

    key: str
    value: str
    spelling: str
    rank: tuple[int, int, bool]
    low: int = 0
    high: int = 0
    protocol: str = ""

    @property
    def scoped(self) -> bool:
        """Whether it was written for one port."""
        return 0 < self.low == self.high

    def is_for(self, number: int, protocol: str) -> bool:
        return (not self.low or self.low <= number <= self.high) and self.protocol in ("", protocol)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that count for one port."""

    entries: Mapping[str, Entry]

    def get(self, key: str) -> Entry | None:
        """An entry that says something: an empty value means the same as none."""
        entry = self.entries.get(key)
        return entry if entry and entry.value.strip() else None

    def value(self, key: str) -> str:
        entry = self.get(key)
        return entry.value.strip() if entry else ""

    def scoped(self, key: str) -> bool:
        """Whether the key was written for this port, be its value empty or not."""
        entry = self.entries.get(key)
        return entry is not None and entry.scoped

    @property
    def any_scoped(self) -> bool:
        """Whether anything was written for this port or a range that it lies in."""
        return any(entry.low for entry in self.entries.values())


@dataclass(frozen=True, slots=True)
class Metadata:
    """Everything that a container says about its services."""

    entries: tuple[Entry, ...] = ()
    shadowed: tuple[tuple[Entry, Entry], ...] = ()  # (the entry not used, the one used instead)

    def for_port(self, number: int, protocol: str) -> Keys:
        found: dict[str, Entry] = {}
        for entry in self.entries:  # sorted: lowest rank first, so that the highest one stays
            if entry.is_for(number, protocol):
                found[entry.key] = entry
        return Keys(MappingProxyType(found))


def read_metadata(env: Iterable[tuple[str, str]], labels: Iterable[tuple[str, str]]) -> Metadata:
    """Sort out the entries. Two spellings of one key (SERVICE_NAME, SERVICE_name) have a winner: upper case."""
    chosen: dict[tuple[object, ...], Entry] = {}
    shadowed = []
    # A variable that is set twice has its last value, as in the process itself.
    entries = [_entry(k, v, label=False) for k, v in dict(env).items()]
    entries += [_entry(k, v, label=True) for k, v in labels]
    for entry in sorted((e for e in entries if e), key=lambda e: (e.spelling != e.spelling.upper(), e.spelling)):
        place = (entry.key, entry.low, entry.high, entry.protocol, entry.rank)
        if place in chosen:
            shadowed.append((entry, chosen[place]))
        else:
            chosen[place] = entry
    return Metadata(tuple(sorted(chosen.values(), key=lambda e: (e.rank, e.spelling))), tuple(shadowed))


def _entry(spelling: str, value: str, label: bool) -> Entry | None:
    match = _FORM.fullmatch(spelling) if spelling.startswith(PREFIX) else None
    if not match:
        return None
    low, protocol = int(match["low"] or 0), (match["protocol"] or "").lower()
    high = int(match["high"] or low)
    level = (0 if not low else 2 if low == high else 1)
    return Entry(match["key"].lower(), value, spelling, (2 * level + bool(protocol), low - high, label), low, high,
                 protocol)
