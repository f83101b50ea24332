"""What was made before, and is as good now: the one memory of the core. Core.

Ten thousand services are worked out at every change, and one of them is another. A thing is made again only where what
it is made from is another; made anew and equal to what it was, it stays the same object, so that whoever goes on from
it knows at a glance that nothing changed. To compare what is the same object costs next to nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """Things by name, each with what it was made from."""

    def __init__(self) -> None:
        self._names: Sequence[str] = ()
        self._parts: Sequence[object] = ()
        self._made: Sequence[T] = ()

    def get(self, parts: object, make: Callable[[], T]) -> T:
        """The one thing of a memory that holds no other."""
        return self.all(("",), (parts,), lambda _: make())[0]

    def all(self, names: Sequence[str], parts: Sequence[object], make: Callable[[int], T]) -> Sequence[T]:
        """The things of these names, in this order, each made from its parts; any other is forgotten. `make` gets the
        thing's place.
        """
        if list(names) != list(self._names):
            self._arrange(names)
        made = list(self._made)
        # One loop over all of them, and nearly always nothing else.
        for place in [n for n, (had, has) in enumerate(zip(self._parts, parts, strict=True))
                      if had is not has and had != has]:
            fresh, last = make(place), made[place]
            made[place] = last if last == fresh else fresh
        self._names, self._parts, self._made = names, parts, made
        return made

    def _arrange(self, names: Sequence[str]) -> None:
        known = dict(zip(self._names, zip(self._parts, self._made, strict=True), strict=True))
        kept = [known.get(name, _NEW) for name in names]
        self._parts, self._made = [part for part, _ in kept], [made for _, made in kept]

    def copy(self) -> "Memo[T]":
        """Another memory that knows the same."""
        other: Memo[T] = Memo()
        other._names, other._parts, other._made = self._names, self._parts, self._made
        return other


# What nothing was made from yet, and what it was then; equal to nothing else.
_NEW: tuple[object, Any] = object(), object()


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
