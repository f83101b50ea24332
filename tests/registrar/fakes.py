"""A reconciler between an engine and an agent that can be made to fail, with a clock that the test moves."""

from engine.events import Exit, Signal
from registrar.core.tag_templates import Page
from registrar.shell.reconcile import Reconciler, Surroundings
from tests.contract.fake_agent import FakeAgent
from tests.contract.fake_engine import FakeEngine
from tests.registrar.documents import settings


class FakePages:
    """Pages as they are known; `turn` makes one known, or fail."""

    def __init__(self):
        self.known, self.version = {}, 0

    def turn(self, url, text=None, fault=""):
        self.known[url] = Page(text, fault)
        self.version += 1

    def look_up(self, url):
        return self.known.get(url, Page())


class World:
    """A reconciler between the two fakes, with a clock that the test moves."""

    def __init__(self, *flags):
        self.engine, self.agent, self.now, self.on_sleep = FakeEngine(), FakeAgent(), 0.0, lambda: None
        self.engine.clock = lambda: self.now
        self.slept = []
        self.address = ("10.0.0.5", "")
        self.flags, self.pages = flags, FakePages()
        self.restart()

    def restart(self):
        """The same world, a new registrar that remembers nothing."""
        here = Surroundings(lambda: self.address, lambda: self.now, lambda: self.now, self._sleep)
        self.reconciler = Reconciler(settings(*self.flags), self.engine, self.agent, here, pages=self.pages)

    def _sleep(self, seconds):
        self.slept.append(seconds)
        self.on_sleep()

    def full(self):
        return self.reconciler.full_pass()

    def kill(self, name, number=15, at=None):
        """A container is sent a signal, now if it is not said when."""
        self.reconciler.note([Signal(name, number, self.now if at is None else at)])
        return self.hint(name)

    def end(self, name, exit_code=0, at=None):
        """The engine tells that a container has ended."""
        self.reconciler.note([Exit(name, exit_code, self.now if at is None else at)])
        return self.hint()

    def hint(self, *names, rewired=()):
        return self.reconciler.hint_pass(frozenset(names), frozenset(rewired))

    @property
    def ids(self):
        return sorted(self.agent.services)
