"""What registrar says: one line of key=value for each outcome, on stderr, and trouble once when it starts and ends."""

import logging
import sys
import threading
import time
from collections.abc import Hashable, Iterable
from typing import Any, TypeVar

from logs.form import line, set_up

T = TypeVar("T", bound=Hashable)


class Journal:
    """Writes lines and remembers which troubles there are now. Safe to use from several threads."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._troubles: dict[str, tuple[str, float]] = {}
        self._said: dict[str, frozenset[Hashable]] = {}

    def level(self, name: str) -> None:
        """Say only what is at least as grave as this: debug, info, warning or error."""
        self._logger.setLevel(name.upper())

    def debug(self, event: str, **fields: Any) -> None:
        self._logger.debug(line(event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self._logger.info(line(event, fields))

    def warn(self, event: str, **fields: Any) -> None:
        self._logger.warning(line(event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self._logger.error(line(event, fields))

    def trouble(self, what: str, text: str) -> None:
        """Say that something does not work; the same again only when its cause changes."""
        with self._lock:
            known, since = self._troubles.get(what, ("", time.monotonic()))
            self._troubles[what] = (text, since)
        if known != text:
            self.warn("trouble", what=what, why=text)

    def over(self, what: str) -> None:
        """Say that it works again, if it did not."""
        with self._lock:
            known = self._troubles.pop(what, None)
        if known:
            self.info("trouble-over", what=what, after=f"{time.monotonic() - known[1]:.1f}s")

    def troubles(self) -> dict[str, str]:
        """What does not work now, and why."""
        with self._lock:
            return {what: text for what, (text, _) in self._troubles.items()}

    def news(self, kind: str, facts: Iterable[T]) -> list[T]:
        """Those of the facts that did not hold when this was last asked: each is told once, not at each pass."""
        now = dict.fromkeys(facts)
        said = self._said.get(kind, frozenset())
        self._said[kind] = frozenset(now)
        return [fact for fact in now if fact not in said]


def described(fault: BaseException) -> str:
    """What a defect is, and in which line of ours or a library's it was met."""
    trace = fault.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"
    return f"{type(fault).__name__}: {fault} ({place})"


def open_journal() -> Journal:
    """The journal of this process."""
    set_up(sys.stderr)
    return Journal(logging.getLogger("registrar"))
