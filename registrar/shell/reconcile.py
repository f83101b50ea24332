"""One pass: look at the engine and at Consul, decide, write. The same for start, event, timer and retry.

A full pass reads everything. A pass after a hint inspects only the containers it names and compares with what the
last full pass saw; it goes through the same functions. Only the loop's thread may use a Reconciler.
"""

import time
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, replace

from engine.errors import EngineUnavailable
from engine.events import Note
from registrar.core.adoption import adopted
from registrar.core.decide import Situation, decide, doubts_of, here_of, is_sharp_drop, refused_check_faults
from registrar.core.drains import Drains
from registrar.core.endpoints import Node
from registrar.core.naming import node_id_from
from registrar.core.offers import Offers
from registrar.core.outcome import Draft, Outcome
from registrar.core.ownership_conflicts import Here, OwnershipConflicts
from registrar.core.registered import Registered
from registrar.core.retries import Retries
from registrar.core.settings import Settings
from registrar.core.tag_templates import nothing_yet
from registrar.core.writes import Together, marks, one_by_one
from registrar.shell.containers import Containers, Signals
from registrar.shell.protocols import Agent, Engine, Pages
from registrar.shell.registry import Registry

SECOND_LOOK_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pass knows of this machine: `addresses` gives its IPv4 and IPv6 ("" for none), `wall` seconds since 1970,
    `clock` seconds that never jump.
    """

    addresses: Callable[[], tuple[str, str]]
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep


class Reconciler:
    """Keeps Consul's agent equal to the engine, for one owner."""

    def __init__(self, settings: Settings, engine: Engine, agent: Agent, here: Surroundings,
                 stopping: Callable[[], bool] = lambda: False, together: Together = one_by_one,
                 pages: Pages | None = None) -> None:
        self._settings, self._engine, self._here, self._pages = settings, engine, here, pages
        self.retries = Retries(here.clock)
        self._containers = Containers(engine, settings.only_label, here.clock)
        self._registry = Registry(agent, self.retries, together, stopping, here.clock)
        self._offers = Offers(settings, pages.look_up if pages else nothing_yet)
        self._conflicts = OwnershipConflicts()
        self._node = Node(settings.node_id)
        self._drains = Drains(settings.drain, settings.drain_limit)
        self._registered: Registered | None = None

    @property
    def owner(self) -> str:
        """The node id; "" until the engine has told its name."""
        return self._node.id

    def note(self, notes: Iterable[Note]) -> None:
        """Remember what containers were sent and that they ended, for the next pass."""
        self._containers.note(notes)

    def due_in(self) -> float | None:
        """In how many seconds something is to be done without a hint; None where nothing is."""
        now, drain = self._here.clock(), self._drains.next_due()
        times = [at - now for at in (self.retries.next_due(), self._registry.next_due(), self._containers.next_due())
                 if at is not None]
        times += [] if drain is None else [drain - self._here.wall()]
        return max(0.0, min(times)) if times else None

    def full_pass(self) -> Outcome:
        """Look at everything, then write what differs."""
        outcome = self._apply(*self._look_everywhere())
        # An agent takes registrations all the same. It is asked last, since it may take its time to say no.
        assert self._registered is not None
        self._registered = self._registry.ask_for_leader(self._registered)
        return replace(outcome, draft=replace(outcome.draft, doubts=doubts_of(self._situation(self._registered))))

    def hint_pass(self, touched: Set[str] = frozenset(), rewired: Set[str] = frozenset()) -> Outcome:
        """Look at the touched containers, then write what differs, retries that are due included.

        `rewired` are containers whose networks changed. Starting and ending do that too; then a hint of its own says
        so, and asking earlier would only wait for the engine, which holds the container's lock for up to a second.
        """
        registered = self._registered
        if registered is None or registered.stale:
            return self.full_pass()
        self._heed(self._containers.look(touched | self._drains.due(self._here.wall()), rewired), registered)
        draft = self._decide(registered)
        # An id given by hand may have become somebody else's since the last full pass; a default one is ours.
        if any(one.id != one.default_id for one in draft.plan.register):
            registered = self._read()
            draft = self._decide(registered)
        return self._apply(draft, registered)

    def preview(self) -> Draft:
        """Look at everything and plan, without writing."""
        return self._look_everywhere()[0]

    def engine_announces_stops(self) -> bool:
        """Whether the engine tells when a container is told to stop."""
        return self._engine.announces_stops()

    def withdraw(self) -> int:
        """Take out everything that carries our mark and is ours; how much that was."""
        here = self._here_now()
        return self._registry.withdraw(self._node.id or self._this_node().id,
                                       lambda entry: self._conflicts.is_ours(entry, here))

    def _look_everywhere(self) -> tuple[Draft, Registered]:
        # Consul before the engine: while it is away, each retry costs one request and not a whole look.
        self._node = self._this_node()
        registered = self._read()
        for last in (False, True):
            self._heed(self._containers.look_everywhere(registered.containers_of(self._node.id)), registered)
            draft = self._decide(registered)
            if last or not is_sharp_drop(draft, self._situation(registered)):
                break
            self._here.sleep(SECOND_LOOK_AFTER_S)
        self._registered = registered
        return draft, registered

    def _this_node(self) -> Node:
        owner = self._node.id
        if not owner:
            name = self._engine.engine_name()
            if not name:
                raise EngineUnavailable("the Docker engine tells no name of its own: give --node-id")
            owner = node_id_from(name)
        ipv4, ipv6 = self._here.addresses()
        # A node that has lost its route for a moment keeps its address: it is still registered under it.
        if not ipv4 and not ipv6:
            ipv4, ipv6 = self._node.ipv4, self._node.ipv6
        return Node(owner, ipv4, ipv6, self._settings.family)

    def _read(self) -> Registered:
        found = self._registry.read(self._node.id, self._registered)
        found = replace(found, services=adopted(found.services, self._settings.adopt_host, self._node.id))
        self._conflicts.look(found.owned(self._node.id), found.questions, self._here_now().vouched)
        if self._registered:
            self._drains = self._drains.undone(self._registered.reasons(), found.reasons())
        return found

    def _heed(self, signals: Signals, registered: Registered) -> None:
        now = self._here.wall()
        for container, signal in signals:
            self._drains = self._drains.signalled(container, signal, now)
        self._drains = self._drains.looked(self._containers.running.containers, registered.reasons_of_containers(), now)

    def _situation(self, registered: Registered) -> Situation:
        return Situation(self._node.id, self._containers.running, registered, self._drains, self._conflicts,
                         self._here_now(), frozenset(self._registry.refused_checks))

    def _here_now(self) -> Here:
        return here_of(self._containers.running, self._node, self._settings, self._here.wall())

    def _decide(self, registered: Registered) -> Draft:
        offers = self._offers.of(self._containers.running, self._node, self._pages.version if self._pages else 0)
        return decide(offers, self._situation(registered), self._settings)

    def _apply(self, draft: Draft, registered: Registered) -> Outcome:
        self.retries.forget_all_but(marks(draft))
        self._registered = replace(registered, stale=True)  # until all of it is written
        written, self._registered = self._registry.write(draft, registered)
        for service_id in written.registered:
            self._conflicts.wrote(self._registered.services[service_id])
        for service_id in written.deregistered:
            self._conflicts.removed(service_id)
        for service_id in written.asked:
            self._conflicts.asked(registered.services[service_id])
        for service_id in draft.plan.answer:
            self._conflicts.answered(service_id)
        refused = refused_check_faults(draft.plan.register, self._registry.refused_checks, self._settings.scheme)
        return Outcome(replace(draft, faults=(*draft.faults, *refused)), written.registered, written.deregistered,
                       self.retries.failures(), len(self._registered.owned(self._node.id)), written.held,
                       written.released)
