"""What counts as a HAProxy that hangs, and what does not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from deploy.local import loopback_address, run, wait_until
from proxy_api.core.observed import MasterView
from proxy_api.core.render import Bind, Surroundings, render
from proxy_api.core.state import ProxyState
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.global_config import text_environment
from proxy_api.haproxy.runtime_socket import NotRunning
from proxy_api.supervise.liveness import SILENT_S, Watchdog


@pytest.fixture
def haproxy() -> Iterator[Haproxy]:
    directory = Path(tempfile.mkdtemp(prefix="pb-pulse-", dir="/tmp"))
    made = Haproxy(str(directory))
    around = Surroundings((Bind(f"{loopback_address()}:18080"),), made.runtime.path,
                          (("connect", "1s"), ("client", "5s"), ("server", "5s")), "http-keep-alive", 5)
    config = render(ProxyState(), around, text_environment()).config
    made.files.write(config)
    made.files.swap(config)
    with run(made.master.command(), name="haproxy"):
        wait_until(lambda: made.runtime.serving() == config.digest, 10, "HAProxy serves")
        yield made
        made.master.kill()
    shutil.rmtree(directory)


class Watched:
    """A watchdog that has had an answer from both, and all that it said since."""

    def __init__(self, haproxy: Haproxy) -> None:
        self.haproxy, self.dog, self.said = haproxy, Watchdog(haproxy), set[str]()
        self.now = wait_until(self.processes, 5, "the master answers")
        self.dog.watch(self.now.master)
        self.until(lambda: all(pulse.answered for pulse in self.dog.pulses), "master and worker answer")

    def processes(self) -> MasterView | None:
        """None for the moment in which the master loads itself."""
        with suppress(NotRunning):
            return self.haproxy.master.processes()
        return None

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Ask on and on until something is so."""
        def turn() -> bool:
            self.said.add(self.dog.hung())
            return condition()
        wait_until(turn, 20, what)

    def answers(self) -> bool:
        return all(pulse.silent_s == 0 for pulse in self.dog.pulses)


@pytest.mark.parametrize("which", ["master", "worker"])
def test_one_that_is_stopped_hangs_until_it_goes_on(haproxy: Haproxy, which: str) -> None:
    watched = Watched(haproxy)
    pid = watched.now.master if which == "master" else watched.now.worker
    os.kill(pid, signal.SIGSTOP)
    watched.until(lambda: len(watched.said) > 1, "it is told")
    assert watched.said == {"", f"its {which} {pid} is stopped"}
    os.kill(pid, signal.SIGCONT)
    watched.until(watched.answers, "it answers again")
    assert watched.dog.hung() == ""


@pytest.mark.parametrize("which", [0, 1], ids=["master", "worker"])
def test_one_whose_socket_others_hold_is_silent_and_does_not_hang(haproxy: Haproxy, which: int) -> None:
    watched = Watched(haproxy)
    path = (haproxy.master.socket, haproxy.runtime.path)[which]
    with ExitStack() as held:
        for _ in range(100 if which else 10):
            connection = held.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(5)
            connection.connect(path)
            connection.sendall(b"prompt\n")
            assert connection.recv(100)
        watched.until(lambda: watched.dog.pulses[which].silent_s > 2 * SILENT_S, "nobody else gets an answer")
    watched.until(watched.answers, "it answers again")
    assert watched.said == {""}


def test_a_reload_is_no_hang(haproxy: Haproxy) -> None:
    watched = Watched(haproxy)
    with ThreadPoolExecutor(1) as pool:
        reload = pool.submit(haproxy.reloader.reload, haproxy.runtime.serving() or "")
        watched.until(reload.done, "the new worker serves")
        reload.result()
    now = wait_until(watched.processes, 5, "the master answers")
    watched.until(lambda: f"{now.worker} " in watched.dog.pulses[0].text and watched.answers(), "it is known")
    assert now.worker != watched.now.worker
    assert watched.said == {""}
    os.kill(now.worker, signal.SIGSTOP)
    watched.until(lambda: len(watched.said) > 1, "it is the new worker that is watched")


def test_sockets_that_nobody_has_made_yet_are_no_hang(tmp_path: Path) -> None:
    dog = Watchdog(Haproxy(str(tmp_path)))
    dog.watch(os.getpid())
    said = set()

    def silent() -> bool:
        said.add(dog.hung())
        return dog.pulses[0].silent_s > SILENT_S

    wait_until(silent, 10, "nobody answers")
    assert said == {""}
