"""Another registrar with the same node id: noticed by what it does to our entries, and not fought over. Pure.

Each of two such agents takes the other's entries for leftovers of its own and removes them. An entry that is back
after it was removed has somebody who wants it; from then on it is left alone, and reported.
"""

from collections.abc import Mapping

from catalog.model import META_CONTAINER, META_HASH, AgentService

OVERWRITTEN_TWICE = 2


class OwnershipConflicts:
    """What we wrote and removed, against what is there now."""

    def __init__(self) -> None:
        self._removed: set[str] = set()
        self._written: dict[str, tuple[str, str]] = {}
        self._overwritten: dict[str, int] = {}
        self._contested: dict[str, str] = {}

    def wrote(self, entry: AgentService) -> None:
        self._removed.discard(entry.id)
        self._written[entry.id] = _marks(entry)

    def removed(self, service_id: str) -> None:
        self._written.pop(service_id, None)
        self._removed.add(service_id)

    def look(self, mine: Mapping[str, AgentService]) -> None:
        """Compare with the entries that carry our mark now, after each full read."""
        for key in [key for key in self._contested if key not in mine]:
            del self._contested[key]  # whoever wanted it has gone
        for key, entry in mine.items():
            if key in self._removed:
                self._contested[key] = "it is back after it was removed"
            known = self._written.get(key)
            # An entry that names another container is no correction by hand.
            if known and _marks(entry)[0] != known[0] and _marks(entry) != known:
                self._written.pop(key)
                self._overwritten[key] = self._overwritten.get(key, 0) + 1
                if self._overwritten[key] >= OVERWRITTEN_TWICE:
                    self._contested[key] = "it was overwritten again and again"

    @property
    def contested(self) -> Mapping[str, str]:
        """The entries to leave alone, and why."""
        return self._contested


def _marks(entry: AgentService) -> tuple[str, str]:
    return entry.meta_value(META_CONTAINER), entry.meta_value(META_HASH)
