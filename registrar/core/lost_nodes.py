"""Which external nodes have lost their lease, and what is to become of them. Pure."""

from collections.abc import Set
from dataclasses import dataclass

NEW_FOR_S = 6.0  # a node that was never seen with a lease may be just being made


@dataclass(frozen=True, slots=True)
class Verdict:
    """Nodes to take out of rotation, to put back, and to remove from the catalog."""

    lost: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class LostNodes:
    """What earlier looks have found, so that each loss is told once, and at once where a lease was seen before."""

    def __init__(self, remove_after_s: float) -> None:
        self._remove_after_s = remove_after_s
        self._seen: frozenset[str] = frozenset()
        self._since: dict[str, float] = {}
        self._reported: set[str] = set()

    def look(self, now: float, nodes: Set[str], leased: Set[str]) -> Verdict:
        """Judge the nodes that there are, given those that hold their lease."""
        missing = sorted(nodes - leased)
        self._since = {node: self._since.get(node, now) for node in missing}
        remove = tuple(n for n in missing if now - self._since[n] >= self._remove_after_s)
        lost = tuple(n for n in missing if n not in self._reported and n not in remove
                     and (n in self._seen or now - self._since[n] >= NEW_FOR_S))
        back = tuple(sorted(self._reported & leased & nodes))
        self._reported &= nodes
        self._seen = (self._seen | leased) & frozenset(nodes)
        return Verdict(lost, back, remove)

    def mark_reported(self, node: str) -> None:
        """The loss of a node has been dealt with. Until then every look finds it again."""
        self._reported.add(node)

    def mark_returned(self, node: str) -> None:
        """The return of a node has been dealt with."""
        self._reported.discard(node)

    def due_in(self, now: float) -> float | None:
        """In how many seconds a look may find something although nothing happens; None where there is nothing."""
        times = [since + self._remove_after_s for since in self._since.values()]
        times += [since + NEW_FOR_S for node, since in self._since.items() if node not in self._reported]
        return max(0.0, min(times) - now) if times else None
