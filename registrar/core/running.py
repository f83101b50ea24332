"""What the engine has said of its containers: as it was last asked, and as it has told since. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from engine.container import Container
from engine.events import Exit, Note, Signal


@dataclass(frozen=True, slots=True)
class Running:
    """Containers by id, as they were last seen. What the `unreadable` are now is unknown, and why is said."""

    containers: Mapping[str, Container] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def seen(self, found: Mapping[str, Container | str | None]) -> "Running":
        """After a look: a container, why it could not be read, or None where it is gone."""
        gone = {key for key, one in found.items() if one is None}
        known = {key: one for key, one in self.containers.items() if key not in gone}
        known |= {key: one for key, one in found.items() if isinstance(one, Container)}
        unreadable = {key: why for key, why in self.unreadable.items() if key not in found}
        unreadable |= {key: one for key, one in found.items() if isinstance(one, str)}
        return Running(known, unreadable)

    def target_of(self, container: Container) -> Container | None:
        """The container whose network this one shares; None where it has its own, or that one is not known."""
        wanted = container.joined
        if not wanted:
            return None
        return self.containers.get(wanted) or next((c for c in self.containers.values() if c.name == wanted), None)

    def unseen_targets(self, container_ids: Iterable[str]) -> frozenset[str]:
        """The containers, by id or name, whose networks these share and which were never looked at."""
        known = (self.containers[key] for key in container_ids if key in self.containers)
        return frozenset(one.joined for one in known
                         if one.joined and one.serving and self.target_of(one) is None) - set(self.unreadable)

    def may_serve(self, container_id: str) -> bool:
        known = self.containers.get(container_id)
        return container_id in self.unreadable or (known is not None and known.serving)


@dataclass(frozen=True, slots=True)
class Heeded:
    """What follows from notes: who was sent a signal, who has ended, and the notes that a look has to come before."""

    running: Running
    signals: tuple[tuple[Container, Signal], ...] = ()
    ended: frozenset[str] = frozenset()
    rest: tuple[Note, ...] = ()


def heed(running: Running, notes: Iterable[Note]) -> Heeded:
    """Believe what the engine tells of containers that are known to run.

    The engine holds a container's lock for a tenth of a second and more while it ends, so that an inspect would only
    say later what the event has said.
    """
    known, signals, ended, rest = dict(running.containers), [], set(), []
    for note in notes:
        container = known.get(note.container)
        if container is None or not container.serving or note.at < container.state.started:
            rest.append(note)
        elif isinstance(note, Signal):
            signals.append((container, note))
        else:
            known[note.container] = _ended(container, note)
            ended.add(note.container)
    return Heeded(replace(running, containers=known), tuple(signals), frozenset(ended), tuple(rest))


def heed_after_look(running: Running, notes: Iterable[Note]) -> Heeded:
    """What is left of the notes after their containers were looked at: a look says by itself what has ended."""
    signals = [note for note in notes if isinstance(note, Signal)]
    return Heeded(running,
                  tuple((running.containers[s.container], s) for s in signals if s.container in running.containers),
                  rest=tuple(signal for signal in signals if signal.container in running.unreadable))


def _ended(container: Container, exit: Exit) -> Container:
    return replace(container, state=replace(container.state, running=False, pid=0, exit_code=exit.exit_code))
