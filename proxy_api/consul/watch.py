"""Two long polls, whatever the number of services: each only says "look again". Shell."""

import logging
import threading
from collections.abc import Callable

from catalog.errors import CatalogError

log = logging.getLogger("proxy-api")

PAUSE_S = 0.5  # after a failure, and the least time between two hints of a busy catalog
MIN_INTERVAL_S = 0.01


def watch(wait: Callable[[int], int], hint: Callable[[int], None], stop: threading.Event) -> None:
    """Hint whenever the index moves, for ever, with the index; with 0 at the start and after a failure or a step
    backwards, when anything may have been missed.
    """
    index = 0
    told = False
    while not stop.is_set():
        try:
            found = wait(index)
            if found != index:
                hint(found if index else 0)
        except Exception as fault:
            # Whatever it is, a watch that ended would leave this replica behind for good without a sign of it.
            if not isinstance(fault, CatalogError) and not told:
                log.exception("event=watch-failed")
                told = True
            index = 0
            stop.wait(PAUSE_S)
            continue
        told = False
        index = found
        stop.wait(MIN_INTERVAL_S)


def start(name: str, wait: Callable[[int], int], hint: Callable[[int], None],
          stop: threading.Event) -> threading.Thread:
    """Run `watch` in a thread that does not keep the process alive."""
    thread = threading.Thread(target=watch, args=(wait, hint, stop), name=name, daemon=True)
    thread.start()
    return thread
