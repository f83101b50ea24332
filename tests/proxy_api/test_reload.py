"""Whom a reload asks: never a worker that is gone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy_api.core.observed import MasterView
from proxy_api.haproxy.reload import Reloader


@contextmanager
def listening(path: Path, answer: str) -> Iterator[list[str]]:
    """A master's socket that notes what it is asked."""
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(4096).decode().strip())
                    connection.sendall(answer.encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


class Master:
    """One whose worker is another after the first look, and whose old worker is there or not."""

    def __init__(self, path: Path, there: int) -> None:
        self.socket, self._there, self._looks = str(path), there, 0

    def processes(self) -> MasterView:
        self._looks += 1
        return MasterView(1, 10 if self._looks == 1 else 11, 0)

    def owns(self, pid: int) -> bool:
        assert pid == 10
        self._there -= 1
        return self._there >= 0


class Runtime:
    """One that serves what is wanted."""

    def serving(self) -> str:
        return "d"


@pytest.mark.parametrize(("there", "asked_for"), [(0, 0), (1, 1), (3, 3)])
def test_an_old_worker_is_asked_while_it_is_there_and_never_after(short: Path, there: int, asked_for: int) -> None:
    with listening(short / "master", "Stopping: 0\n") as asked:
        Reloader(Master(short / "master", there), Runtime()).reload("d")  # type: ignore[arg-type]
    assert asked == ["reload", *["@!10 show info"] * asked_for]
