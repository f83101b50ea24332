"""What the shell relies on in an engine: the same cases for the real one and for the fake of the shell's tests."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
from collections.abc import Callable, Iterator

import docker
import pytest

from deploy.local import Container, wait_until
from engine.docker_engine import DockerEngine
from engine.errors import EngineUnavailable
from engine.events import Event, Exit, Signal
from tests.contract.fake_engine import FakeEngine
from tests.registrar.socket_relay import SocketRelay


class RealEngine:
    """Containers of a real engine, by the words of FakeEngine. It is behind a socket that can go away."""

    def __init__(self, path, stack):
        self._relay, self._stack, self._made = SocketRelay(path), stack, {}
        self._relay.__enter__()
        self._environ = {"DOCKER_HOST": f"unix://{path}"}
        self._client = docker.APIClient(version="auto", timeout=60)
        self.door, self.listener = DockerEngine(self._environ), DockerEngine(self._environ)
        stack.callback(self.close)

    def close(self):
        self._relay.cut()
        for engine in (self.door, self.listener):
            engine.close()
        self._client.close()

    def start(self, name, labels):
        made = self._stack.enter_context(Container(name=name, labels=labels))
        self._made[made.id] = made
        return made.id

    def signal(self, key, number):
        self._client.kill(key, number)

    def stop(self, key):
        self._made[key].stop()

    def pause(self, key):
        self._made[key].pause()

    def unpause(self, key):
        self._made[key].unpause()

    def rename(self, key, name):
        self._made[key].rename(name)

    def remove(self, key):
        self._made[key].remove()

    def go_away(self):
        self._relay.cut()

    def come_back(self):
        self._relay.__enter__()


class InMemory:
    """The fake, with a door and a listener that are the same."""

    def __init__(self):
        self._fake = self.door = self.listener = FakeEngine()

    def __getattr__(self, name):
        return getattr(self._fake, name)

    def start(self, name, labels):
        return self._fake.start(name, labels=labels)

    def go_away(self):
        self._fake.away = True

    def come_back(self):
        self._fake.away = False


@pytest.fixture(params=["fake", "real"])
def site(request, tmp_path) -> Iterator[RealEngine | InMemory]:
    if request.param == "fake":
        yield InMemory()
        return
    request.getfixturevalue("go_demo_image")
    with contextlib.ExitStack() as stack:
        yield RealEngine(tmp_path / "docker.sock", stack)


@pytest.fixture
def name() -> Callable[[], str]:
    return lambda: f"contract-{secrets.token_hex(4)}"


@pytest.fixture
def label() -> dict[str, str]:
    return {"contract": secrets.token_hex(4)}


def only(label):
    return [f"{key}={value}" for key, value in label.items()]


class Listener:
    """Hears an engine's events in a thread until the stream ends, which `ended` says."""

    def __init__(self, engine):
        self._engine, self._heard, self.ended = engine, queue.SimpleQueue(), threading.Event()
        connected = threading.Event()
        threading.Thread(target=self._listen, args=(connected,), daemon=True).start()
        assert connected.wait(10)

    def _listen(self, connected):
        try:
            for event in self._engine.events(connected.set):
                self._heard.put(event)
        except EngineUnavailable:
            self.ended.set()

    def until(self, last, of):
        """The events of a container, up to one that is called so."""
        heard = []
        while not heard or heard[-1].event != last:
            event = self._heard.get(timeout=20)
            if event.container == of:
                heard.append(event)
        return heard


def test_what_runs_is_listed_by_its_labels(site, name, label):
    one, other = site.start(name(), label), site.start(name(), {**label, "more": "yes"})
    assert site.door.running(only(label)) == {one, other}
    assert site.door.running([*only(label), "more=yes"]) == {other}
    assert site.door.running(()) >= {one, other}


def test_an_engine_of_dockers_announces_stops(site):
    assert site.door.announces_stops()


def test_what_runs_serves_on_the_port_that_it_was_given(site, name, label):
    called = name()
    found = site.door.inspect(site.start(called, label))
    assert found.name == called and found.serving and not found.state.paused
    assert set(label.items()) <= set(found.labels)
    assert found.port(8080, "tcp").bindings[0].host_port > 0


def test_what_was_stopped_is_not_listed_and_has_no_port_and_can_be_inspected_all_the_same(site, name, label):
    key = site.start(name(), label)
    site.stop(key)
    assert key not in site.door.running(only(label))
    found = site.door.inspect(key)
    assert not found.serving and found.port(8080, "tcp").bindings == ()


def test_what_was_removed_is_none_and_so_is_what_never_was(site, name, label):
    key = site.start(name(), label)
    site.remove(key)
    assert site.door.inspect(key) is None
    assert site.door.inspect("nobody") is None


def test_a_container_is_found_by_its_name_too(site, name, label):
    called = name()
    key = site.start(called, label)
    assert site.door.inspect(called).id == key


def test_many_are_told_in_the_order_in_which_they_were_asked_for(site, name, label):
    keys = [site.start(name(), label) for _ in range(3)]
    asked = [keys[2], "nobody", keys[0], keys[1]]
    found = list(site.door.inspect_all(asked))
    assert [key for key, _ in found] == asked
    assert [one and one.id for _, one in found] == [keys[2], None, keys[0], keys[1]]


def test_a_pause_and_a_new_name_are_seen(site, name, label):
    key, called = site.start(name(), label), name()
    site.pause(key)
    assert site.door.inspect(key).state.paused and site.door.inspect(key).serving
    assert key in site.door.running(only(label))
    site.unpause(key)
    site.rename(key, called)
    found = site.door.inspect(key)
    assert not found.state.paused and found.name == called


def test_a_life_is_told_in_its_order_with_what_no_inspect_says(site, name, label):
    listener = Listener(site.listener)
    key = site.start(name(), label)
    site.signal(key, 1)
    site.pause(key)
    site.unpause(key)
    site.rename(key, name())
    site.stop(key)
    site.remove(key)
    heard = listener.until("destroy", key)
    own = [event for event in heard if not event.network]
    assert [event.event for event in own] == ["start", "kill", "pause", "unpause", "rename", "kill", "die", "destroy"]
    hangup, term, end = (event.note for event in own if event.note)
    assert isinstance(hangup, Signal) and isinstance(term, Signal) and isinstance(end, Exit)
    assert (hangup.number, term.number) == (1, 15) and hangup.at <= term.at <= end.at
    assert heard[0] == Event(key, network=True, event="connect")
    assert Event(key, network=True, event="disconnect") in heard


def test_a_stop_is_told_after_its_run_has_begun(site, name, label):
    listener = Listener(site.listener)
    key = site.start(name(), label)
    started = site.door.inspect(key).state.started
    site.stop(key)
    notes = [event.note for event in listener.until("die", key) if event.note]
    assert all(note.at >= started for note in notes) and len(notes) == 2


# The SDK leaves a socket that it could not connect to whoever collects the garbage.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_goes_away_is_unknown_and_not_empty_and_is_asked_again_when_it_is_back(site, name, label):
    key = site.start(name(), label)
    assert site.door.running(only(label)) == {key}
    listener = Listener(site.listener)
    site.go_away()
    assert listener.ended.wait(10)
    for ask in (lambda: site.door.running(only(label)), lambda: site.door.inspect(key),
                lambda: list(site.door.inspect_all([key, "nobody"])), site.door.engine_name,
                lambda: list(site.door.events(lambda: None))):
        with pytest.raises(EngineUnavailable):
            ask()
    site.come_back()
    assert site.door.running(only(label)) == {key} and site.door.inspect(key).serving
    again = Listener(site.listener)
    site.stop(key)
    assert again.until("die", key)


def test_a_stream_is_ended_from_another_thread(site, name, label):
    listener = Listener(site.listener)
    site.listener.interrupt()
    wait_until(listener.ended.is_set, 10)
