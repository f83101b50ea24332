"""HAProxy as one who runs it by hand would: a file, `haproxy -c`, a reload that hands the sockets over."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import Process, ProxyProcess, child_environment, loopback_address, run

_POLL_S = 0.002


class ByHand:
    """A master with its worker and one configuration file in a directory of its own."""

    def __init__(self, directory: Path, file: Path, address: str, port: int) -> None:
        self.directory, self.file, self.address, self.port = directory, file, address, port
        self._socket, self._master = str(directory / "haproxy.sock"), str(directory / "master.sock")
        self.process: Process | None = None

    def start(self) -> float:
        """Start it and wait until it takes connections; milliseconds."""
        began = time.perf_counter()
        self.process = run(["haproxy", "-W", "-S", self._master, "-f", self.file], name="haproxy-by-hand",
                           log=self.directory / "log")
        while not self._serves():
            if not self.process.running or time.perf_counter() > began + 60:
                raise RuntimeError(f"HAProxy does not start\n{self.process.tail()}")
            time.sleep(_POLL_S)
        return (time.perf_counter() - began) * 1000

    def check(self) -> None:
        """`haproxy -c`."""
        subprocess.run(["haproxy", "-c", "-f", str(self.file)], check=True, capture_output=True,
                       env=child_environment())

    def reload(self) -> None:
        """Let a new worker take over, and wait until it serves."""
        before, until = self.worker(), time.perf_counter() + 60
        _tell(self._master, "reload")
        while self.worker() in (before, 0):
            if time.perf_counter() > until:
                raise TimeoutError("no new worker within 60 s")
            time.sleep(_POLL_S)

    def worker(self) -> int:
        """The pid of the worker that answers; 0 while none does."""
        try:
            found = re.search(r"^Pid: (\d+)", _tell(self._socket, "show info"), re.MULTILINE)
            return int(found[1]) if found else 0
        except OSError:
            return 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()

    def _serves(self) -> bool:
        try:
            socket.create_connection((self.address, self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def copy_of(proxy: ProxyProcess) -> Iterator[ByHand]:
    """What the proxy serves, in a HAProxy run by hand, not yet started."""
    directory, address = Path(tempfile.mkdtemp(prefix="pb-hand-", dir="/tmp")), loopback_address()
    made = ByHand(directory, directory / "config" / "haproxy.cfg", address, proxy.port)
    try:
        shutil.copytree(proxy.configs_path / "current", directory / "config")
        text = made.file.read_text().replace(str(proxy.configs_path), str(directory))
        made.file.write_text(text.replace(f"{proxy.address}:", f"{address}:"))
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def written(text: str) -> Iterator[ByHand]:
    """A configuration given as text, with {address}, {port} and {directory} to fill in, started."""
    directory, address = Path(tempfile.mkdtemp(prefix="pb-hand-", dir="/tmp")), loopback_address()
    made = ByHand(directory, directory / "haproxy.cfg", address, 8000)
    try:
        made.file.write_text(text.format(address=address, port=made.port, directory=directory))
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _tell(path: str, command: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(command.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks).decode(errors="replace")
