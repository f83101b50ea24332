"""A container's `SERVICE_…` variables and labels: which value counts for which port. Pure.

What the keys mean is for `services`, `checks` and `naming`; here are only their forms and their precedence.
"""

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType

PREFIX = "SERVICE_"
# Two names of one key.
ALIASES = {"ip": "address", "weight": "weights"}
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
    from_image: bool = False

    @property
    def scoped(self) -> bool:
        """Whether it was written for one port."""
        return 0 < self.low == self.high

    def is_for(self, number: int, protocol: str) -> bool:
        return (not self.low or self.low <= number <= self.high) and self.protocol in ("", protocol)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that count for one port. `layers` has all that was written for it, the most general first."""

    entries: Mapping[str, Entry]
    layers: Mapping[str, tuple[Entry, ...]]

    def get(self, key: str) -> Entry | None:
        """An entry that says something: an empty value means the same as none."""
        entry = self.entries.get(key)
        return entry if entry and entry.value.strip() else None

    def value(self, key: str) -> str:
        entry = self.get(key)
        return entry.value.strip() if entry else ""

    def all(self, key: str) -> tuple[Entry, ...]:
        """Every entry for a key, the most particular first, down to an empty one, which hides the rest."""
        found = []
        for entry in reversed(self.layers.get(key, ())):
            if not entry.value.strip():
                break
            found.append(entry)
        return tuple(found)

    def scoped(self, key: str) -> bool:
        """Whether the key was written for this port, be its value empty or not."""
        entry = self.entries.get(key)
        return entry is not None and entry.scoped

    @property
    def any_scoped_to_one(self) -> bool:
        """Whether anything was written for this very port, and not for a range."""
        return any(entry.scoped for entry in self.entries.values())

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
        found: dict[str, tuple[Entry, ...]] = {}
        for entry in self.entries:  # sorted: lowest rank first, so that the highest one is the last
            if entry.is_for(number, protocol):
                found[entry.key] = (*found.get(entry.key, ()), entry)
        return Keys(MappingProxyType({key: entries[-1] for key, entries in found.items()}), MappingProxyType(found))

    def generic(self) -> Keys:
        """The keys that are written for no port."""
        return self.for_port(0, "")


def read_metadata(env: Iterable[tuple[str, str]], labels: Iterable[tuple[str, str]],
                  from_image: Set[tuple[bool, str]] = frozenset()) -> Metadata:
    """Sort out the entries. Two spellings of one key (SERVICE_NAME, SERVICE_name) have a winner: upper case.

    `from_image` are those that the image says: (whether it is a label, its key).
    """
    chosen: dict[tuple[object, ...], Entry] = {}
    shadowed = []
    # A variable that is set twice has its last value, as in the process itself.
    entries = [entry_of(k, v, False, (False, k) in from_image) for k, v in dict(env).items()]
    entries += [entry_of(k, v, True, (True, k) in from_image) for k, v in labels]
    for entry in sorted((e for e in entries if e), key=lambda e: (e.spelling != e.spelling.upper(), e.spelling)):
        place = (entry.key, entry.low, entry.high, entry.protocol, entry.rank)
        if place in chosen:
            shadowed.append((entry, chosen[place]))
        else:
            chosen[place] = entry
    return Metadata(tuple(sorted(chosen.values(), key=lambda e: (e.rank, e.spelling))), tuple(shadowed))


def entry_of(spelling: str, value: str, label: bool, from_image: bool = False) -> Entry | None:
    """A variable or a label as an entry; None where it is none of ours."""
    match = _FORM.fullmatch(spelling) if spelling.startswith(PREFIX) else None
    if not match:
        return None
    low, protocol = int(match["low"] or 0), (match["protocol"] or "").lower()
    high = int(match["high"] or low)
    level = (0 if not low else 2 if low == high else 1)
    key = match["key"].lower()
    return Entry(ALIASES.get(key, key), value, spelling, (2 * level + bool(protocol), low - high, label), low, high,
                 protocol, from_image)
