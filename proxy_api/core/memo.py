"""What was made before, and is as good now: the one memory of the core. Core.

Ten thousand services are worked out at every change, and one of them is another. A thing is made again only where what
it is made from is another; made anew and equal to what it was, it stays the same object, so that whoever goes on from
it knows at a glance that nothing changed. To compare what is the same object costs next to nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """Things by name."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[tuple[object, ...], T]] = {}

    def get(self, name: str, parts: tuple[object, ...], make: Callable[[], T]) -> T:
        """The thing of this name that is made from these parts."""
        known = self._made.get(name)
        if known is not None and known[0] == parts:
            return known[1]
        made = make()
        if known is not None and known[1] == made:
            made = known[1]
        self._made[name] = parts, made
        return made

    def keep(self, names: Iterable[str], count: int) -> None:
        """Forget what has none of these names, of which there are so many."""
        if len(self._made) > count:
            self._made = {name: self._made[name] for name in names}

    def copy(self) -> "Memo[T]":
        """Another memory that knows the same."""
        other: Memo[T] = Memo()
        other._made = dict(self._made)
        return other


class Named(Protocol):
    """What has a name among its like."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def changes(old: Sequence[N], new: Sequence[N]) -> tuple[tuple[N | None, N | None], ...]:
    """The things that differ between two sequences in the order of their names, as they were and as they are; None
    where there is none. What is the very same object in both costs next to nothing.
    """
    if len(old) == len(new):
        pairs = [(a, b) for a, b in zip(old, new, strict=True) if a is not b]
        if all(a.name == b.name for a, b in pairs):
            return tuple((a, b) for a, b in pairs if a != b)
    return tuple(_different(old, new))


def _different(old: Iterable[N], new: Iterable[N]) -> Iterator[tuple[N | None, N | None]]:
    was, now = {thing.name: thing for thing in old}, {thing.name: thing for thing in new}
    for name in sorted(was.keys() | now.keys()):
        a, b = was.get(name), now.get(name)
        if a is not b and a != b:
            yield a, b
