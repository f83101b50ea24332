"""Writes side by side: as many at once as there are connections to Consul."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from catalog.errors import CatalogError
from registrar.writes import fault_of, one_by_one

AT_ONCE = 4

T = TypeVar("T")


class Pool:
    """Carries out writes that do not depend on each other; a single one in the caller's own thread.

    An executor's threads would hold up the end of the program for as long as Consul hangs; these are daemons.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def __call__(self, writes: Sequence[Callable[[], None]]) -> Sequence[CatalogError | None]:
        if len(writes) < 2:
            return one_by_one(writes)
        ends = [self.begin(partial(fault_of, write)) for write in writes]
        return [end() for end in ends]

    def begin(self, write: Callable[[], T]) -> Callable[[], T]:
        """Begin a write; the call that is given back waits for its end, and raises what the write raised."""
        ended = Future[T]()
        self._waiting.put(partial(_carry_out, write, ended))
        if len(self._threads) < AT_ONCE:
            self._threads.append(threading.Thread(target=self._work, name="write", daemon=True))
            self._threads[-1].start()
        return ended.result

    def _work(self) -> None:
        while True:
            self._waiting.get()()


def _carry_out(write: Callable[[], T], ended: Future[T]) -> None:
    try:
        ended.set_result(write())
    except Exception as fault:
        ended.set_exception(fault)
