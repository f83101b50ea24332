"""The end of a proxy, within ten seconds unless STOP_TIMEOUT says otherwise, whatever hangs. Edge."""

import logging
import signal
import time

from proxy_api.supervise.processes import Child, wait_for

log = logging.getLogger("proxy-api")

WRITER_S = 3.0  # for the change that is being made
API_S = 3.5  # since the same moment: what waits for the writer gets its answer
FIRMLY_S = 0.5
KILLED_S = 1.0


def stop(api: Child, writer: Child, haproxy: Child, drain_s: float) -> None:
    """End them all. The API takes no more calls, and the writer ends the change that is being made; then HAProxy stops
    listening and finishes what it has.
    """
    began = time.monotonic()
    for child in (api, writer):
        child.signal(signal.SIGTERM)
    _until(writer, began + WRITER_S)
    _until(api, began + API_S)
    haproxy.signal(signal.SIGUSR1)
    wait_for([haproxy], drain_s)
    haproxy.signal(signal.SIGTERM)
    _until(haproxy, time.monotonic() + FIRMLY_S)


def _until(child: Child, end: float) -> None:
    """Wait, and take it by force when the time is over."""
    wait_for([child], end - time.monotonic())
    if child.pid:
        log.warning("event=killed process=%s pid=%d", child.name, child.pid)
        child.kill()
        wait_for([child], KILLED_S)
