"""An engine in memory that behaves as `engine.docker_engine.DockerEngine` does before a real one: the contract tests
say so of both. It fails where it is told to.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from engine.container import Container
from engine.errors import EngineUnavailable, Unreadable
from engine.events import Event, Exit, Signal
from engine.swarm import SwarmService
from tests.registrar.documents import WILD, container

TERM, KILL = 15, 9
STOPPED = {"Running": False, "Pid": 0}


class FakeEngine:
    """Containers by id. `hidden` are left out of listings, `unreadable` cannot be inspected, `away` is all of it.

    `before` is called ahead of every question, with what is asked and of which container; it may raise. `run` lets a
    container run without a word; what it does by `start`, `stop` and the like is `told` to those who listen.
    """

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.hidden: set[str] = set()
        self.unreadable: set[str] = set()
        self.swarm: Mapping[str, SwarmService] | Exception | None = None
        self.before: Callable[[str, str], None] = lambda question, of: None
        self.inspected: list[str] = []
        self.told: list[Event] = []
        self.silent_stops = False  # as podman
        self.clock: Callable[[], float] = time.time
        self._documents: dict[str, dict[str, Any]] = {}
        self._listeners: list[queue.SimpleQueue[Event | None]] = []
        self._away = False

    # --- what a test lets happen -----------------------------------------------------------------------------------

    def run(self, name: str, port: int = 32768, id: str | None = None, **changes: Any) -> str:
        """Let a container run, or run differently; its id is its first name."""
        changes.setdefault("ports", {"8080/tcp": [(WILD, port)]})
        key = id or name
        self._documents[key] = {**changes, "id": key, "name": name}
        self.containers[key] = container(**self._documents[key])
        return key

    def start(self, name: str, **changes: Any) -> str:
        started = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.clock())) + f".{int(self.clock() % 1 * 1e6):06}Z"
        key = self.run(name, state={"StartedAt": started}, **changes)
        self._tell(Event(key, network=True, event="connect"), Event(key, event="start"))
        return key

    def signal(self, key: str, number: int) -> None:
        """Send a signal, which the container survives."""
        self._tell(Event(key, note=Signal(key, number, self.clock()), event="kill"))

    def stop(self, key: str, exit_code: int = 0) -> None:
        """Send the stop signal, which ends the container."""
        self.signal(key, TERM)
        self._end(key, exit_code)

    def begin_to_stop(self, key: str) -> None:
        """Begin to stop it, as podman does: it still serves, is not listed any more, and nothing is told."""
        self._change(key, Running=False)

    def kill(self, key: str) -> None:
        self.signal(key, KILL)
        self._end(key, 128 + KILL)

    def pause(self, key: str) -> None:
        self._change(key, Paused=True)
        self._tell(Event(key, event="pause"))

    def unpause(self, key: str) -> None:
        self._change(key, Paused=False)
        self._tell(Event(key, event="unpause"))

    def rename(self, key: str, name: str) -> None:
        self._documents[key]["name"] = name
        self._change(key)
        self._tell(Event(key, event="rename"))

    def remove(self, key: str) -> None:
        if self.containers[key].state.running:
            self.kill(key)
        del self.containers[key], self._documents[key]
        self._tell(Event(key, event="destroy"))

    @property
    def away(self) -> bool:
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        self._away = away
        if away:
            self.interrupt()

    def _end(self, key: str, exit_code: int) -> None:
        self._documents[key] |= {"ports": {}, "exposed": ["8080/tcp"]}
        self._change(key, **STOPPED, ExitCode=exit_code)
        self._tell(Event(key, note=Exit(key, exit_code, self.clock()), event="die"),
                   Event(key, network=True, event="disconnect"))

    def _change(self, key: str, **state: Any) -> None:
        document = self._documents[key]
        document["state"] = {**document.get("state", {}), **state}
        self.containers[key] = container(**document)

    def _tell(self, *events: Event) -> None:
        self.told += events
        for listener in self._listeners:
            for event in events:
                listener.put(event)

    # --- what the shell asks -----------------------------------------------------------------------------------------

    def engine_name(self) -> str:
        self._ask("name")
        return "n1"

    def announces_stops(self) -> bool:
        self._ask("version")
        return not self.silent_stops

    def running(self, labels: Sequence[str]) -> frozenset[str]:
        self._ask("list")
        wanted = [tuple(label.split("=", 1)) for label in labels]
        return frozenset(key for key, one in self.containers.items()
                         if one.state.running and key not in self.hidden and all(w in one.labels for w in wanted))

    def swarm_services(self) -> Mapping[str, SwarmService] | None:
        self._ask("services")
        if isinstance(self.swarm, Exception):
            raise self.swarm
        return self.swarm

    def inspect(self, container_id: str) -> Container | None:
        self._ask("inspect", container_id)
        self.inspected.append(container_id)
        if container_id in self.unreadable:
            raise Unreadable(container_id, "500")
        named = next((c for c in self.containers.values() if c.name == container_id), None)
        return self.containers.get(container_id) or named

    def inspect_all(self, container_ids: Iterable[str]) -> Iterator[tuple[str, Container | Unreadable | None]]:
        for container_id in container_ids:
            try:
                yield container_id, self.inspect(container_id)
            except Unreadable as fault:
                yield container_id, fault

    def events(self, connected: Callable[[], None]) -> Iterator[Event]:
        self._ask("events")
        listener: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._listeners.append(listener)
        connected()
        while (event := listener.get()) is not None:
            yield event
        raise EngineUnavailable("the event stream ended")

    def interrupt(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.put(None)

    def close(self) -> None:
        self.interrupt()

    def _ask(self, question: str, of: str = "") -> None:
        self.before(question, of)
        if self._away:
            raise EngineUnavailable("away")
