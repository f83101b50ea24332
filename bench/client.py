"""One client on one connection that asks again and again: when did an answer change, and who answered?"""

from __future__ import annotations

import http.client
import time

_PAUSE_S = 0.0003  # the proxy that is to change needs the processor too


class Client:
    """Keeps its connection for as long as the proxy does."""

    def __init__(self, address: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(address, port, timeout=20)

    def ask(self, path: str) -> tuple[int, str]:
        """Status and X-Instance; 0 where there was no answer."""
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("X-Instance") or ""
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, ""

    def first(self, path: str, instance: object, deadline_s: float = 60.0) -> float:
        """The moment of the first answer of this instance, by `perf_counter`."""
        until = time.perf_counter() + deadline_s
        while time.perf_counter() < until:
            status, found = self.ask(path)
            if status == 200 and found == str(instance):
                return time.perf_counter()
            time.sleep(_PAUSE_S)
        raise TimeoutError(f"{path} was not answered by {instance} within {deadline_s:g} s; last: {status} {found!r}")

    def only(self, path: str, instances: set[int], times: int = 6, deadline_s: float = 60.0) -> None:
        """Wait until so many answers in a row are of these."""
        until, row = time.perf_counter() + deadline_s, 0
        while row < times:
            status, found = self.ask(path)
            row = row + 1 if status == 200 and int(found) in instances else 0
            if time.perf_counter() > until:
                raise TimeoutError(f"{path} is still answered by {found!r}")

    def close(self) -> None:
        self._connection.close()
