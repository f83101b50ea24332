"""The protocol of a reload: a new worker takes over, and the old one has let go before it is called done. Edge."""

import contextlib
import time
from collections.abc import Iterable

from proxy_api.core.errors import ApplyFailed
from proxy_api.core.observed import MasterView
from proxy_api.core.runtime import Command, NotApplied
from proxy_api.haproxy.processes import Master
from proxy_api.haproxy.runtime_socket import LOOK_TIMEOUT_S, NotRunning, RuntimeSocket, ask, until

RELOAD_TIMEOUT_S = 30
_POLL_S = 0.005


class Reloader:
    """Reloads the HAProxy of a master."""

    def __init__(self, master: Master, runtime: RuntimeSocket) -> None:
        self._master, self._runtime = master, runtime

    def reload(self, digest: str, first: Iterable[Command] = ()) -> None:
        """Let a new worker take over with the current configuration, and wait until it serves `digest`.

        It gets the commands of `first` as soon as it answers: it takes connections already, and the master is slow to
        speak of it.

        2.6 answers `reload` before the outcome: another worker with the new digest, or a higher count of failed
        reloads, is the outcome. Where no HAProxy runs, the supervisor is about to start it with the current
        configuration, and the wait is for that. Raises ApplyFailed.
        """
        before: MasterView | None = None
        absent = False
        another = bool(first) and self._runtime.serving() != digest
        for left in until(RELOAD_TIMEOUT_S):
            try:
                if another and before is not None and self._runtime.serving() == digest:
                    self._tell(first)
                    another, first = False, ()
                now = self._master.processes()
                if before is None:
                    if absent and self._runtime.serving() == digest:
                        self._tell(first)
                        return  # started with it, or reloaded by itself, while nobody answered
                    before = now
                    ask(self._master.socket, "reload")
                elif now.failed > before.failed:
                    raise ApplyFailed("HAProxy could not start a worker with the new configuration; its log says why")
                elif now.worker != before.worker and self._runtime.serving() == digest:
                    self._tell(first)
                    first = ()
                    if not self._accepts(before.worker):
                        return
            except NotRunning:
                absent = True
            time.sleep(min(_POLL_S, left))
        raise ApplyFailed(f"HAProxy did not serve the new configuration within {RELOAD_TIMEOUT_S} s")

    def _tell(self, commands: Iterable[Command]) -> None:
        """Commands without which it goes as well."""
        if commands:
            with contextlib.suppress(NotApplied):
                self._runtime.execute(commands)

    def _accepts(self, worker: int) -> bool:
        """Whether a worker that is being replaced still takes connections: it does for some milliseconds more.

        One that is gone is not asked: HAProxy 3 may take five seconds to say so, and its master keeps the connection.
        """
        if not self._master.owns(worker):
            return False
        with contextlib.suppress(NotRunning):
            return "Stopping: 0" in ask(self._master.socket, f"@!{worker} show info", LOOK_TIMEOUT_S)
        return False
