"""What HAProxy writes, passed on in our log with its own level. Edge.

It writes to a file, because a pipe would end with us. What an earlier supervisor passed on is not told again.
"""

import logging
import re
from collections import deque
from pathlib import Path

log = logging.getLogger("proxy-api")

MAX_BYTES = 1024 * 1024
_REMEMBERED = 200
_LINE = re.compile(r"\[([A-Z]+)\]\s*(?:\d+/\d+\s*)?(?:\(\d+\)\s*:\s*)?(.*)")
_LEVELS = {"EMERG": logging.CRITICAL, "ALERT": logging.ERROR, "CRIT": logging.ERROR, "ERR": logging.ERROR,
           "WARNING": logging.WARNING, "NOTICE": logging.DEBUG, "INFO": logging.INFO, "DEBUG": logging.DEBUG}


def parsed(line: str) -> tuple[int, str]:
    """A line's level and text, without HAProxy's own time and pid.

    DEBUG for its notices, and for what it tells of every proxy that a reload stopped: they are routine.
    """
    found = _LINE.fullmatch(line)
    level, text = (_LEVELS.get(found[1], logging.INFO), found[2]) if found else (logging.INFO, line)
    return (logging.DEBUG if " stopped (cumulated conns:" in line else level), text


class HaproxyLog:
    """The file, how far it has been read, and what it said last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = path.stat().st_size if path.exists() else 0
        self._told: deque[str] = deque(maxlen=_REMEMBERED)
        self._alerts: deque[str] = deque(maxlen=3)

    def forget(self) -> None:
        """What has been told is news again."""
        self._told.clear()
        self._alerts.clear()

    def alerts(self) -> str:
        """The last alerts since `forget`."""
        return "; ".join(self._alerts)

    def relay(self, once: bool) -> None:
        """Pass on what is new. `once` leaves out what has been told since `forget`."""
        for level, text in map(parsed, self._new()):
            if text not in self._told:
                self._told.append(text)
                if level >= logging.ERROR:
                    self._alerts.append(text)
            elif once:
                continue
            log.log(level, "event=haproxy-says text=%s", text)

    def _new(self) -> list[str]:
        """The lines that have been finished since the last look."""
        try:
            with open(self.path, "rb+") as file:
                size = file.seek(0, 2)
                self._read = min(self._read, size)
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
                self._read += len(whole) + len(end)
                if self._read > MAX_BYTES:
                    file.truncate(0)
                    self._read = 0
                return [line for line in whole.decode(errors="replace").split("\n") if line]
        except OSError:
            return []
