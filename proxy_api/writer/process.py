"""The process of the one writer: what the records and the catalog say, brought to HAProxy. Entry.

Not the API's own: Python lets one thread at a time compute, and the API is to answer while ten thousand services are
worked out.
"""

import contextlib
import fcntl
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from catalog.consul_client import ConsulClient
from proxy_api.consul import watch
from proxy_api.consul.lineage import Lineage
from proxy_api.consul.store import Store
from proxy_api.core.messages import Report
from proxy_api.core.render import Renderer
from proxy_api.core.settings import Settings
from proxy_api.haproxy import bind_probe
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.global_config import GlobalConfig, text_environment
from proxy_api.haproxy.template_files import TemplateFiles
from proxy_api.writer.rpc_server import Server
from proxy_api.writer.writer import Writer

log = logging.getLogger("proxy-api")

HAND_OVER_S = 10.0
RECOVERY_S = 60.0  # without the collection of garbage, at most


def run(settings: Settings) -> None:
    """Be the writer, once no other process is, until this one is ended. Raises OSError."""
    _take_over(os.open(os.path.join(settings.configs_path, "writer.lock"), os.O_RDWR | os.O_CREAT, 0o600))
    client = ConsulClient.from_environ(settings.consul_address, settings.access)
    store = Store(client, settings.proxy_instance_name)
    haproxy = Haproxy(settings.configs_path, settings.haproxy_bin)
    # A thread that computes gives way to one that a caller waits for; at 5 ms, the default, each step of a call could
    # wait that long while a big catalog is read.
    sys.setswitchinterval(0.0005)
    writer = Writer(store, haproxy, TemplateFiles(settings.consul_templates_path),
                    GlobalConfig(settings, haproxy.runtime.path), Renderer(text_environment()),
                    Lineage(settings.configs_path, settings.proxy_instance_name), bind_probe.unbindable,
                    settings.drain_timeout)
    stop = threading.Event()
    gc.disable()
    threading.Thread(target=_exempt, args=(writer.report,), name="collector", daemon=True).start()
    watch.start("watch-records", store.wait_for_records, lambda index: writer.hint("records", index), stop)
    watch.start("watch-catalog", store.wait_for_catalog, lambda index: writer.hint("catalog", index), stop)

    def end() -> None:
        stop.set()
        server.shutdown()

    with Server(settings.configs_path, _Calls(writer)) as server:
        signal.signal(signal.SIGTERM, lambda *_: writer.stop())
        threading.Thread(target=_write, args=(writer, end), name="writer", daemon=True).start()
        server.serve_forever()


def _take_over(lock: int) -> None:
    """Get the lock, which ends with the process. A writer whose supervisor died ends what it is doing first; one that
    does not get that far, because it is stopped, is ended.
    """
    until = time.monotonic() + HAND_OVER_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                _end_holder(os.pread(lock, 20, 0))
        time.sleep(0.01)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def _end_holder(noted: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        pid = int(noted)
        if Path(f"/proc/{pid}/comm").read_text().strip() == "writer":  # not somebody else who has got the number
            log.warning("event=killed process=writer pid=%d", pid)
            os.kill(pid, signal.SIGKILL)


class _Calls:
    """What the API may ask of the writer."""

    def __init__(self, writer: Writer) -> None:
        self.change = writer.change
        self._report = writer.report

    def report(self, whole: bool) -> Report:
        found = self._report()
        return found if whole else replace(found, services=())


def _write(writer: Writer, end: Callable[[], None]) -> None:
    """Until it is told to stop: what is being changed then is brought to its end."""
    try:
        writer.run()
        end()
    except BaseException:
        # Without it the rest would take calls and answer none.
        log.exception("event=writer-failed")
        os._exit(1)


def _exempt(report: Callable[[], Report]) -> None:
    """Collect garbage only among what comes after the recovery: what is recovered stays, and to walk through all of it
    every ten seconds would stop every thread each time, for 0.1 s at 5,000 services.
    """
    until = time.monotonic() + RECOVERY_S
    while report().reason and time.monotonic() < until:
        time.sleep(0.5)
    gc.freeze()
    gc.enable()
