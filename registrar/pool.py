"""Writes side by side: as many at once as there are connections to Consul."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from catalog.errors import CatalogError
from registrar.writes import fault_of, one_by_one

AT_ONCE = 4


class Pool:
    """Carries out writes that do not depend on each other; a single one in the caller's own thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="write")

    def __call__(self, writes: Sequence[Callable[[], None]]) -> Sequence[CatalogError | None]:
        return one_by_one(writes) if len(writes) < 2 else list(self._threads.map(fault_of, writes))

    def begin(self, write: Callable[[], None]) -> Callable[[], None]:
        """Begin a write; the end of it can be waited for."""
        return self._threads.submit(write).result
