"""Whatever the order in which the engine's events are heard, and whatever fails at whichever step: what is in Consul in
the end is what runs, and nothing that runs was taken out meanwhile.
"""

from itertools import count, permutations

import pytest

from catalog.errors import CatalogError, CatalogRejected, CatalogUnavailable
from catalog.model import AgentService
from engine.errors import EngineUnavailable, Unreadable
from engine.events import Event, Exit, Signal
from tests.registrar.fakes import World

WEB = "n1:web:8080"
THEIRS = AgentService("n2:db:80", "db", "10.0.0.9", 80, (), (("registrar-owner", "n2"),))
START = Event("web", event="start")
TOLD_TO_STOP = Event("web", note=Signal("web", 15, 1010), event="kill")
ENDED = Event("web", note=Exit("web", 0, 1011), event="die")
REWIRED = Event("web", network=True, event="connect")
DESTROYED = Event("web", event="destroy")


def world_at(now):
    made = World()
    made.now = now
    made.agent.services[THEIRS.id] = THEIRS
    made.full()
    return made


def hear(world, event):
    """What the loop does with one event."""
    if event.note:
        world.reconciler.note([event.note])
        return world.hint()
    return world.hint(rewired=[event.container]) if event.network else world.hint(event.container)


def settle(world):
    """Let the time pass after which an end is made sure of."""
    world.now += 1
    world.hint()


def first_run(world, **state):
    world.engine.run("web", port=1, state={"StartedAt": "1970-01-01T00:16:40Z", **state})


def second_run(world):
    world.engine.run("web", port=2, state={"StartedAt": "1970-01-01T00:16:52Z"})


def gone(world):
    world.engine.containers.clear()


def port_in_rotation(world):
    """The port of the service, None where it is not registered, or in maintenance."""
    found = world.agent.services.get(WEB)
    return found.port if found and not world.agent.notes else None


# What is so in the end; the events of how it came about; the port that is in rotation then.
HISTORIES = {
    "it started": (first_run, (START, REWIRED), 1),
    "it was told to stop, and has not ended yet": (first_run, (START, REWIRED, TOLD_TO_STOP), None),
    "it runs for the second time": (second_run, (START, REWIRED, TOLD_TO_STOP, ENDED, START), 2),
    "it ended": (lambda w: first_run(w, Running=False, Pid=0), (START, TOLD_TO_STOP, ENDED, REWIRED), None),
    "it ended and was removed": (gone, (START, REWIRED, TOLD_TO_STOP, ENDED, DESTROYED), None),
}


@pytest.mark.parametrize("known", [False, True], ids=["never seen", "known"])
@pytest.mark.parametrize(("so", "events", "port"), HISTORIES.values(), ids=HISTORIES)
def test_the_order_of_events_decides_nothing(so, events, port, known):
    for order in permutations(events):
        world = world_at(1012)
        if known:
            first_run(world)
            world.hint("web")
        so(world)
        seen = False
        for event in order:
            hear(world, event)
            seen = seen or event is START
            # Once a run was looked at, no event of an earlier one takes it out.
            assert not seen or port is None or port_in_rotation(world) == port, order
        settle(world)
        assert port_in_rotation(world) == port, order
        outcome = world.full()
        assert not (outcome.registered or outcome.deregistered or outcome.held or outcome.released), order
        assert world.agent.services[THEIRS.id] == THEIRS


@pytest.mark.parametrize(("so", "events", "port"), HISTORIES.values(), ids=HISTORIES)
def test_events_that_are_lost_or_doubled_cost_only_time(so, events, port):
    for lost in range(len(events)):
        world = world_at(1012)
        first_run(world)
        world.hint("web")
        so(world)
        for event in (*events[:lost], *events[lost + 1:], *events[lost + 1:]):
            hear(world, event)
        settle(world)
        world.full()
        # That it was told to stop, only the event says.
        assert port_in_rotation(world) == (1 if events[lost:] == (TOLD_TO_STOP,) else port), events[lost]


# --- a fault at every step --------------------------------------------------------------------------------------------


class Loop:
    """Passes after events as `shell.loop` makes them: after one that failed, the next looks at everything."""

    def __init__(self, world):
        self._world, self._full, self.deregistered = world, True, set()

    def after(self, *events):
        self._world.now += 1
        self._world.reconciler.note([event.note for event in events if event.note])
        self._turn([event.container for event in events if not event.note])
        self._world.now += 1
        self._turn([])
        self._full = True  # the interval is over
        self._turn([])

    def _turn(self, touched):
        try:
            outcome = self._world.full() if self._full else self._world.hint(*touched)
        except (CatalogError, EngineUnavailable):
            self._full = True
        else:
            self._full = False
            self.deregistered |= set(outcome.deregistered)


def play(world, loop):
    """A container starts, restarts, pauses, is renamed and starts again, beside one that always runs."""
    engine, heard = world.engine, world.engine.told
    for happen in (lambda: engine.start("steady", port=9), lambda: engine.start("web", port=1),
                   lambda: engine.signal("web", 1), lambda: engine.stop("web"), lambda: engine.start("web", port=2),
                   lambda: engine.pause("web"), lambda: engine.unpause("web"), lambda: engine.rename("web", "shop"),
                   lambda: engine.start("last", port=3), lambda: engine.remove("last")):
        heard.clear()
        happen()
        loop.after(*heard)


class Step:
    """Raises a fault at the question of this number, and at the ones after it, `times` in all."""

    def __init__(self, number, times, fault):
        self._left, self._last, self._fault = number, -times, fault

    @property
    def reached(self):
        return self._left < 0

    def __call__(self, question, of):
        self._left -= 1
        if self._last <= self._left < 0:
            raise self._fault(question, of)


FAULTS = {
    "the engine is away": ("engine", lambda question, of: EngineUnavailable("away")),
    "a container cannot be read": (
        "engine", lambda question, of: Unreadable(of, "500") if question == "inspect" else EngineUnavailable(question)),
    "Consul is away": ("agent", lambda question, of: CatalogUnavailable("away")),
    "Consul refuses": ("agent", lambda question, of: CatalogRejected("400")),
}


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize(("who", "fault"), FAULTS.values(), ids=FAULTS)
def test_whatever_fails_at_whichever_step_what_runs_stays_and_in_the_end_all_is_right(who, fault, times):
    for number in count():
        world = world_at(1000)
        loop, step = Loop(world), Step(number, times, fault)
        getattr(world, who).before = step
        play(world, loop)
        getattr(world, who).before = lambda question, of: None
        world.now += 60  # past every pause between tries
        world.full()
        assert world.ids == ["n1:shop:8080", "n1:steady:8080", THEIRS.id], number
        assert world.agent.services["n1:shop:8080"].port == 2 and not world.agent.notes, number
        assert world.agent.services[THEIRS.id] == THEIRS, number
        assert "n1:steady:8080" not in loop.deregistered, number
        if not step.reached:
            break
    assert number > 30
