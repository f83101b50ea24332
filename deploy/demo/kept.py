"""What a demo has started: written down as it starts, and ended by exactly these process ids and labels.

So `stop` can end what KEEP=1 leaves running, and it and the next demo what one that was killed has left. A process is
its id and its start time, so that a later process with the same id is left alone.
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
    """A process of a demo."""

    name: str
    pid: int
    started: str


@dataclass(frozen=True)
class Kept:
    """A demo: its processes in the order in which they end, its containers' label values, its directories.

    `shown_by` is the process that walks through it and ends it; None once it was handed over to the user.
    """

    demo: str
    processes: tuple[Running, ...]
    labels: tuple[str, ...]
    directories: tuple[str, ...]
    holds_engine: bool = False
    shown_by: Running | None = None

    @property
    def being_shown(self) -> bool:
        return self.shown_by is not None and _started_at(self.shown_by.pid) == self.shown_by.started

    @property
    def was_killed(self) -> bool:
        return self.shown_by is not None and not self.being_shown

    @property
    def path(self) -> Path:
        return RECORDS / f"{self.demo}.json"

    def write(self) -> Path:
        RECORDS.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(self.path)
        return self.path

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def running(name: str, pid: int) -> Running:
    return Running(name, pid, _started_at(pid))


def stop(demos: Sequence[str] = ()) -> list[str]:
    """End the demos of these names, or all of them, but for those that are being shown; what was done, a line each."""
    lines = []
    wanted = [kept for kept in _records() if not demos or kept.demo in demos]
    # An engine that a killed demo has started ends with its last user, which is us then.
    with engine.engine() if engine.answers() else contextlib.nullcontext():
        for kept in wanted:
            if kept.being_shown:
                lines.append(f"{kept.demo} is being shown; Ctrl-C there ends it")
            else:
                lines += _stop(kept)
    if any(kept.holds_engine for kept in wanted):
        lines.append(f"Docker engine: {engine.stop()}")
    return lines or ["no such demo is left running"]


def stop_killed() -> list[str]:
    """End what demos that were killed have left; what was done, a line each."""
    return [line for kept in _records() if kept.was_killed
            for line in (f"{kept.demo} was killed, and what it has left is ended:", *_stop(kept))]


def _records() -> list[Kept]:
    return [_read(json.loads(path.read_text())) for path in sorted(RECORDS.glob("*.json"))]


def _read(data: dict[str, Any]) -> Kept:
    shown_by = data.get("shown_by")
    return Kept(
        data["demo"],
        tuple(Running(**entry) for entry in data["processes"]),
        tuple(data["labels"]),
        tuple(data["directories"]),
        data["holds_engine"],
        Running(**shown_by) if shown_by else None,
    )


def _stop(kept: Kept) -> list[str]:
    lines = [f"{kept.demo}: {process.name} {_end(process)}" for process in kept.processes]
    for directory in kept.directories:
        shutil.rmtree(directory, ignore_errors=True)
    try:
        lines.append(f"{kept.demo}: {remove_containers(kept.labels)} containers removed")
    except (APIError, DockerException, RequestException) as fault:
        return [*lines, f"{kept.demo}: the Docker engine does not answer, its containers stay until it is asked again: "
                        f"{fault}"]
    kept.forget()
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
