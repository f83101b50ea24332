"""An engine and a Consul agent that can be made to fail: small, with the behaviour that the loop depends on."""

from catalog.errors import CatalogDenied, CatalogUnavailable
from catalog.model import AgentService
from engine.errors import EngineUnavailable, Unreadable
from engine.events import Exit, Signal
from registrar.core.tag_templates import Page
from registrar.shell.reconcile import Reconciler, Surroundings
from tests.registrar.documents import WILD, container, settings


class FakeEngine:
    """Containers by id. `hidden` are left out of listings, `unreadable` cannot be inspected."""

    def __init__(self):
        self.containers, self.hidden, self.unreadable, self.away = {}, set(), set(), False
        self.inspected, self.swarm = [], None

    def run(self, name, port=32768, id=None, **changes):
        """Let a container run, or run differently; its id is its first name."""
        changes.setdefault("ports", {"8080/tcp": [(WILD, port)]})
        self.containers[id or name] = container(id=id or name, name=name, **changes)

    def engine_name(self):
        return "n1"

    def running(self, labels):
        if self.away:
            raise EngineUnavailable("away")
        return frozenset(i for i, c in self.containers.items() if c.state.running and i not in self.hidden)

    def swarm_services(self):
        if isinstance(self.swarm, Exception):
            raise self.swarm
        return self.swarm

    def inspect(self, container_id):
        if self.away:
            raise EngineUnavailable("away")
        self.inspected.append(container_id)
        if container_id in self.unreadable:
            raise Unreadable(container_id, "500")
        return self.containers.get(container_id)

    def inspect_all(self, container_ids):
        for container_id in container_ids:
            try:
                yield container_id, self.inspect(container_id)
            except Unreadable as fault:
                yield container_id, fault


class FakeAgent:
    """Services and checks by id, and every write in order. `refuse` maps service ids to the fault of their writes."""

    def __init__(self):
        self.services, self.checks, self.writes, self.refuse, self.notes = {}, {}, [], {}, {}
        self.leader = True
        self.away, self.denied, self.no_scripts, self.heartbeats = False, False, False, []

    def agent_self(self):
        if self.denied:
            raise CatalogDenied("Permission denied")
        return {}

    def has_leader(self):
        return self.leader

    def agent_services(self):
        if self.away:
            raise CatalogUnavailable("away")
        return {} if self.denied else dict(self.services)

    def agent_service(self, service_id):
        if self.denied and service_id in self.services:
            raise CatalogDenied("Permission denied")
        return self.services.get(service_id)

    def agent_checks(self):
        return {key: {"ServiceID": service, "Notes": self.notes.get(key, "")} for key, service in self.checks.items()}

    def agent_register(self, body, replace_checks=True):
        self._write("register", body["ID"])
        if self.no_scripts and "Args" in body.get("Check", {}):
            raise CatalogUnavailable("500 Scripts are disabled on this agent")
        if replace_checks:
            self.checks = {c: s for c, s in self.checks.items() if s != body["ID"]}
        if "Check" in body:
            self.checks[f"service:{body['ID']}"] = body["ID"]
        for check in body.get("Checks", ()):
            self.checks[check["CheckID"]] = body["ID"]
        self.services[body["ID"]] = AgentService(body["ID"], body["Name"], body["Address"], body["Port"],
                                                 tuple(body["Tags"]), tuple(sorted(body["Meta"].items())))

    def agent_deregister(self, service_id):
        self._write("deregister", service_id)
        self.services.pop(service_id, None)
        self.checks = {c: s for c, s in self.checks.items() if s != service_id}
        self.notes.pop(f"_service_maintenance:{service_id}", None)

    def agent_check_deregister(self, check_id):
        self.checks.pop(check_id, None)
        self.notes.pop(check_id, None)

    def agent_check_update(self, check_id, status, output):
        if self.away:
            raise CatalogUnavailable("away")
        if check_id not in self.checks:
            raise CatalogUnavailable("500 does not have associated TTL")
        self.heartbeats.append((check_id, status))

    def agent_maintenance(self, service_id, reason):
        self._write("hold" if reason else "release", service_id)
        check = f"_service_maintenance:{service_id}"
        if reason:
            self.checks.setdefault(check, service_id)
            self.notes.setdefault(check, reason)
        else:
            self.checks.pop(check, None)
            self.notes.pop(check, None)

    def _write(self, operation, service_id):
        if self.away:
            raise CatalogUnavailable("away")
        self.writes.append((operation, service_id))
        if service_id in self.refuse:
            raise self.refuse[service_id]


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
