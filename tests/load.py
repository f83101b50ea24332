"""Paced clients that count every request that did not get its answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from typing import Self


class PacedLoad:
    """`with PacedLoad(address, port, "/demo") as load:` keeps sending; afterwards `load.sent` and `load.lost`.

    With keep_alive a client sends on one connection until the server says `Connection: close`, and pauses between
    requests, as a browser or a pooled client does; without, every request has a connection of its own.
    """

    def __init__(self, address: str, port: int, path: str, *, clients: int = 8, pause_s: float = 0.01,
                 keep_alive: bool = True, host: str | None = None) -> None:
        self._target, self._path, self._pause_s, self._keep_alive = (address, port), path, pause_s, keep_alive
        self._headers = {"Host": host} if host else {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        self._lock = threading.Lock()
        self.sent = 0
        self.lost: Counter[str] = Counter()
        self.answered_by: Counter[str] = Counter()

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            connection = connection or http.client.HTTPConnection(*self._target, timeout=10)
            fault, instance = "", ""
            try:
                connection.request("GET", self._path, headers=self._headers)
                answer = connection.getresponse()
                answer.read()
                fault = "" if answer.status == 200 else f"status {answer.status}"
                instance = answer.getheader("X-Instance") or ""
                keep = self._keep_alive and not answer.will_close
            except (OSError, http.client.HTTPException) as error:
                fault, keep = type(error).__name__, False
            if not keep:
                connection.close()
                connection = None
            with self._lock:
                self.sent += 1
                self.answered_by[instance] += 1
                if fault:
                    self.lost[fault] += 1
            time.sleep(self._pause_s)
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """No further request is begun."""
        self._stop.set()

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(15)
