"""Another registrar with the same node id: whose an entry is that carries our mark and none of our containers. Pure.

It is either a leftover of an earlier run, or another living registrar's, which would put it back. Nothing in it tells
which. So the one that would remove it asks first: a check beside it, which does no harm, and which only a registrar
that has the container takes away. What is answered so is left alone and reported; what is not is removed after a while.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from catalog.model import META_CONTAINER, AgentService

QUESTION = "registrar-question:"
_ASKED = "registrar: whose entry is this? asked at "
BACK_WITHIN_LOOKS = 8  # what was removed longer ago than that and is there again has another story

ANSWERED = "another registrar has answered for it"
BACK = "it is back after it was removed"


def question(service_id: str, now: float) -> dict[str, Any]:
    """The JSON of a check that asks whose entry a service is. It passes until long after the answer is due."""
    return {"ID": QUESTION + service_id, "Name": "Whose entry is this?", "Notes": f"{_ASKED}{now:.0f}",
            "ServiceID": service_id, "TTL": "24h", "Status": "passing"}


def questions(checks: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The services that somebody asks about, among an agent's checks, and since when."""
    found = {}
    for key, check in checks.items():
        notes = str(check.get("Notes") or "")
        if key.startswith(QUESTION) and notes.startswith(_ASKED) and notes.removeprefix(_ASKED).isdecimal():
            found[key.removeprefix(QUESTION)] = float(notes.removeprefix(_ASKED))
    return found


@dataclass(frozen=True, slots=True)
class Claims:
    """What is to be asked and answered, and which entries are not to be touched meanwhile."""

    ask: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    waiting: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Here:
    """What this registrar can tell of its own: `vouched` are the containers that it looks after, `others` run on this
    engine and are left out by its filters; `wait_s` is how long it waits for an answer.
    """

    vouched: Set[str]
    others: Set[str]
    addresses: Set[str]
    now: float
    wait_s: float


class OwnershipConflicts:
    """What we wrote and removed, against what is there now. It remembers nothing of what is not."""

    def __init__(self) -> None:
        self._first: dict[str, str] | None = None  # by service id: the containers of the first look
        self._written: dict[str, str] = {}
        self._open: dict[str, str] = {}
        self._removed: dict[str, int] = {}
        self._known: frozenset[str] = frozenset()  # the containers that were vouched for, as far as entries name them
        self._contested: dict[str, str] = {}

    def wrote(self, entry: AgentService) -> None:
        self._removed.pop(entry.id, None)
        self._open.pop(entry.id, None)
        self._written[entry.id] = _container(entry)

    def removed(self, service_id: str) -> None:
        self._written.pop(service_id, None)
        self._removed[service_id] = BACK_WITHIN_LOOKS

    def asked(self, entry: AgentService) -> None:
        self._open[entry.id] = _container(entry)

    def answered(self, service_id: str) -> None:
        """We have answered a question about it ourselves."""
        self._open.pop(service_id, None)

    def look(self, mine: Mapping[str, AgentService], asked: Mapping[str, float], vouched: Set[str]) -> None:
        """Compare with the entries that carry our mark now, after each full read; `asked` are the open questions."""
        named = {key: _container(entry) for key, entry in mine.items()}
        self._known = (self._known | vouched) & frozenset(named.values())
        if self._first is None:
            self._first = named
        self._first, self._written = _still(self._first, named), {k: c for k, c in self._written.items() if k in named}
        answered = {key for key in _still(self._open, named) if key not in asked}
        self._contested = {key: why for key, why in self._contested.items()
                           if key in named and named[key] not in self._known}  # or whoever wanted it has gone
        self._contested |= dict.fromkeys(answered, ANSWERED)
        self._contested |= dict.fromkeys(self._removed.keys() & named.keys(), BACK)
        self._removed = {key: left - 1 for key, left in self._removed.items() if left > 1 and key not in named}
        self._open = {key: c for key, c in _still(self._open, named).items() if key in asked}

    @property
    def contested(self) -> Mapping[str, str]:
        """The entries to leave alone, and why."""
        return self._contested

    def claims(self, mine: Mapping[str, AgentService], asked: Mapping[str, float], wanted: Set[str],
               here: Here) -> Claims:
        """What to do about the entries with our mark; `wanted` are the ids that we would write."""
        ask, waiting = [], set()
        for key, entry in sorted(mine.items()):
            if key in self._contested or self.is_ours(entry, here, key in wanted):
                continue
            if key not in asked:
                ask.append(key)
            if key not in asked or here.now < asked[key] + here.wait_s:
                waiting.add(key)
        answer = tuple(key for key in sorted(asked) if key in mine and _container(mine[key]) in here.vouched)
        return Claims(tuple(ask), answer, frozenset(waiting))

    def is_ours(self, entry: AgentService, here: Here, wanted: bool = False) -> bool:
        """Whether we may change an entry with our mark without a question; `wanted`, if we would write it."""
        if entry.id in self._contested:
            return False
        container, written = _container(entry), self._written.get(entry.id)
        if not container or container == written or container in here.vouched or container in self._known:
            return True
        if wanted:  # it takes the place of one before us; unless somebody has overwritten what we wrote
            return written is None
        # What was here before us, and where nobody else could be reached, is an earlier run's.
        return container not in here.others and entry.address in here.addresses \
            and (self._first or {}).get(entry.id) == container


def _container(entry: AgentService) -> str:
    return entry.meta_value(META_CONTAINER)


def _still(known: Mapping[str, str], named: Mapping[str, str]) -> dict[str, str]:
    return {key: container for key, container in known.items() if named.get(key) == container}
