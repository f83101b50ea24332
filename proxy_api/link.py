"""Between the API's process and the writer's: calls over a Unix socket, a connection for each. Edge.

Both ends are one program of one version, in a directory that nobody else can enter: what goes over is pickled.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from proxy_api.errors import ProxyError, Unavailable
from proxy_api.jobs import CALL_TIMEOUT_S, Outcome, Report
from proxy_api.route import RouteSpec

log = logging.getLogger("proxy-api")

SOCKET = "writer.sock"
BACKLOG = 128  # more than the API has threads
START_S = 5.0  # how long a change waits for a writer that is being started
REPORT_S = 5.0
CHANGE_S = CALL_TIMEOUT_S + 10  # the writer itself gives up first, and says why
_POLL_S = 0.02

Change = Callable[[str, RouteSpec | None, bool], Outcome]


def serve(configs_path: str, change: Change, report: Callable[[bool], Report]) -> None:
    """Answer calls for ever, each in a thread of its own. Raises OSError where the socket cannot be had."""
    path = Path(configs_path) / SOCKET
    path.unlink(missing_ok=True)  # of one that was killed; who is here holds the writer's lock
    calls: dict[str, Callable[..., object]] = {"change": change, "report": report}
    with Listener(str(path), "AF_UNIX", BACKLOG) as listener:
        while True:
            connection = listener.accept()
            threading.Thread(target=_answer, args=(connection, calls), name="call", daemon=True).start()


def _answer(connection: Connection, calls: dict[str, Callable[..., object]]) -> None:
    # Who asked may be gone; what was asked for is done all the same.
    with contextlib.suppress(OSError, EOFError), connection:
        name, *arguments = connection.recv()
        answer: tuple[int, object]
        try:
            answer = 0, calls[name](*arguments)
        except ProxyError as fault:
            answer = fault.status, str(fault)
        except Exception as fault:
            log.exception("event=defect")
            answer = ProxyError.status, f"internal error: {type(fault).__name__}"
        connection.send(answer)


class Refused(ProxyError):
    """The writer's refusal, with its text and status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Link:
    """The writer, asked from another process."""

    def __init__(self, configs_path: str) -> None:
        self._path = os.path.join(configs_path, SOCKET)

    def change(self, service: str, spec: RouteSpec | None, dry_run: bool) -> Outcome:
        """Make a change, or only work it out, and wait for what came of it. Raises ProxyError."""
        found: Outcome = self._ask(START_S, CHANGE_S, "change", service, spec, dry_run)
        return found

    def report(self, whole: bool) -> Report:
        """How the proxy stands; `whole` with each service. Never fails: without a writer it is not ready."""
        try:
            found: Report = self._ask(0.0, REPORT_S, "report", whole)
            return found
        except Unavailable as fault:
            return Report(str(fault))

    def _ask(self, start_s: float, answer_s: float, *call: object) -> Any:
        with self._connected(start_s) as connection:
            try:
                connection.send(call)
                if not connection.poll(answer_s):
                    raise Unavailable(f"the writer has not answered for {answer_s:g} s; what becomes of the call shows "
                                      "in the state")
                status, answer = connection.recv()
            except (OSError, EOFError):
                raise Unavailable("the writer ended meanwhile; what became of it shows in the state") from None
        if status:
            raise Refused(status, str(answer))
        return answer

    def _connected(self, start_s: float) -> Connection:
        until = time.monotonic() + start_s
        while True:
            try:
                return Client(self._path, "AF_UNIX")
            except OSError:
                if time.monotonic() >= until:
                    raise Unavailable("the writer is being started; nothing was changed, ask again") from None
            time.sleep(_POLL_S)
