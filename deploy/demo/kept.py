"""What `make demo KEEP=1` leaves running: written down, and ended by exactly these process ids and this label.

A process is its id and its start time, so that a later process with the same id is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from deploy import engine
from deploy.process import ROOT

RECORDS = ROOT / ".tools" / "demo"
LABEL = "portbook.demo"
END_WITHIN_S = 40.0  # HAProxy finishes what it has at SIGTERM


@dataclass(frozen=True)
class Running:
    """A process of a kept demo."""

    name: str
    pid: int
    started: str


@dataclass(frozen=True)
class Kept:
    """A kept demo: its processes in the order in which they end, its containers' label values, its directories."""

    demo: str
    processes: tuple[Running, ...]
    labels: tuple[str, ...]
    directories: tuple[str, ...]
    holds_engine: bool

    def write(self) -> Path:
        RECORDS.mkdir(parents=True, exist_ok=True)
        path = RECORDS / f"{self.demo}.json"
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
        return path


def running(name: str, pid: int) -> Running:
    return Running(name, pid, _started_at(pid))


def stop(demos: Sequence[str] = ()) -> list[str]:
    """End the kept demos of these names, or all of them; what was done, a line each."""
    lines = []
    held = False
    for path in sorted(RECORDS.glob("*.json")):
        if demos and path.stem not in demos:
            continue
        data = json.loads(path.read_text())
        kept = Kept(
            data["demo"],
            tuple(Running(**entry) for entry in data["processes"]),
            tuple(data["labels"]),
            tuple(data["directories"]),
            data["holds_engine"],
        )
        lines += _stop(kept)
        held = held or kept.holds_engine
        path.unlink()
    if held:
        lines.append(f"Docker engine: {engine.stop()}")
    return lines or ["no such demo is left running"]


def _stop(kept: Kept) -> list[str]:
    lines = [f"{kept.demo}: {process.name} {_end(process)}" for process in kept.processes]
    try:
        lines.append(f"{kept.demo}: {remove_containers(kept.labels)} containers removed")
    except (APIError, DockerException, RequestException) as fault:
        lines.append(f"{kept.demo}: the Docker engine does not answer, its containers stay: {fault}")
    for directory in kept.directories:
        shutil.rmtree(directory, ignore_errors=True)
    return lines


def remove_containers(labels: Iterable[str]) -> int:
    """Remove the containers with these values of the demo's label; how many there were."""
    with _engine() as client:
        found = _containers(client, labels)
        for container in found:
            with contextlib.suppress(NotFound):
                client.remove_container(container["Id"], force=True, v=True)
    return len(found)


def published_ports(labels: Iterable[str]) -> list[int]:
    """The host's ports of these containers, IPv4 only."""
    with _engine() as client:
        return [
            port["PublicPort"]
            for container in _containers(client, labels)
            for port in container["Ports"]
            if "." in port.get("IP", "")
        ]


def _containers(client: Any, labels: Iterable[str]) -> list[dict[str, Any]]:
    return [c for value in labels for c in client.containers(all=True, filters={"label": f"{LABEL}={value}"})]


@contextlib.contextmanager
def _engine() -> Iterator[Any]:
    client: Any = docker.APIClient(version="auto", timeout=60, **docker.utils.kwargs_from_env())
    try:
        yield client
    finally:
        client.close()


def _end(process: Running) -> str:
    """SIGTERM, and SIGKILL where that does not help, to this very process."""
    if _started_at(process.pid) != process.started:
        return "had ended already"
    for number, patience in ((signal.SIGTERM, END_WITHIN_S), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if _started_at(process.pid) != process.started:
                return f"ended (pid {process.pid})"
            time.sleep(0.02)
    return f"does not end (pid {process.pid})"


def _started_at(pid: int) -> str:
    """The start time in clock ticks; "" where there is no such process, or only its corpse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]
