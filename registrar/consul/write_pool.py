"""Writes side by side: as many at once as there are connections to Consul."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from catalog.errors import CatalogError
from registrar.core.writes import fault_of, one_by_one

AT_ONCE = 4

T = TypeVar("T")


class WritePool:
    """Carries out writes that do not depend on each other; a single one in the caller's own thread.

    An executor's threads would hold up the end of the program for as long as Consul hangs; these are daemons.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._started = 0

    def __call__(self, writes: Sequence[Callable[[], None]]) -> Sequence[CatalogError | None]:
        if len(writes) < 2:
            return one_by_one(writes)
        begun = [self._begin(partial(fault_of, write)) for write in writes]
        wait(begun)  # for all, also where one raises something else than is expected: none is to end after its pass
        return [write.result() for write in begun]

    def _begin(self, write: Callable[[], T]) -> Future[T]:
        if self._started < AT_ONCE:
            threading.Thread(target=self._work, name="write", daemon=True).start()
            self._started += 1
        ended = Future[T]()
        self._waiting.put(partial(_carry_out, write, ended))
        return ended

    def _work(self) -> None:
        while True:
            self._waiting.get()()


def _carry_out(write: Callable[[], T], ended: Future[T]) -> None:
    try:
        ended.set_result(write())
    except Exception as fault:
        ended.set_exception(fault)
