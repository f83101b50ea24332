"""The process that serves the API: gunicorn with one worker, in it Flask, the one writer and its watches. Entry.

One worker, because there is one writer; threads, because a call waits for HAProxy. HAProxy is not a child of it:
gunicorn reaps whatever child ends.
"""

import fcntl
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.http import message

from catalog.consul_client import ConsulClient
from proxy_api import binding, watch
from proxy_api.certificates import Certificates
from proxy_api.haproxy import Haproxy
from proxy_api.history import History
from proxy_api.jobs import Report
from proxy_api.metrics import Metrics
from proxy_api.render import Renderer
from proxy_api.settings import Settings
from proxy_api.store import Store
from proxy_api.surroundings import Around, bootstrap, text_environment
from proxy_api.sync import Sync
from proxy_api.template_files import TemplateFiles
from proxy_api.views import Parts, create_app

log = logging.getLogger("proxy-api")

THREADS = 64  # calls wait while HAProxy reloads, and the probes must still be answered
GRACE_S = 30
RECOVERY_S = 60.0  # without the collection of garbage, at most
# A request of a megabyte gets an answer that names the parameter; gunicorn's own limit would give it a bare page.
# Without any, one client could fill the memory with a request that never ends.
MAX_REQUEST_LINE = 2 * 1024 * 1024


def build_app(settings: Settings) -> Flask:
    """Wire the parts together and start the writer."""
    client = ConsulClient.from_environ(settings.consul_address, settings.access)
    store = Store(client, settings.proxy_instance_name)
    haproxy = Haproxy(settings.configs_path, settings.haproxy_bin)
    around = Around(bootstrap(settings, haproxy.socket), Certificates(settings.certs_path))
    # A thread that computes gives way to one that a caller waits for; at 5 ms, the default, each step of a call could
    # wait that long while a big catalog is read.
    sys.setswitchinterval(0.0005)
    sync = Sync(store, haproxy, TemplateFiles(settings.consul_templates_path), around,
                Renderer(text_environment()),
                History(settings.configs_path, settings.proxy_instance_name), binding.unbindable,
                settings.drain_timeout)
    stop = threading.Event()
    gc.disable()
    threading.Thread(target=_write, args=(sync, settings.configs_path), name="writer", daemon=True).start()
    threading.Thread(target=_exempt, args=(sync.report,), name="collector", daemon=True).start()
    watch.start("watch-records", store.wait_for_records, lambda index: sync.hint("records", index), stop)
    watch.start("watch-catalog", store.wait_for_catalog, lambda index: sync.hint("catalog", index), stop)

    def fault(report: Report) -> str:
        serving = haproxy.serving()
        if serving is None:
            return "HAProxy does not answer; it is being started again"
        if serving not in (report.digest, haproxy.current_digest()):
            return "HAProxy serves another configuration than was applied"
        return ""

    return create_app(Parts(sync.change, sync.report, fault, Metrics(), settings.proxy_instance_name,
                            settings.api_token, settings.strict_parameters))


def _exempt(report: Callable[[], Report]) -> None:
    """Collect garbage only among what comes after the recovery: what is recovered stays, and to walk through all of it
    every ten seconds would stop every thread each time, for 0.1 s at 5,000 services.
    """
    until = time.monotonic() + RECOVERY_S
    while report().reason and time.monotonic() < until:
        time.sleep(0.5)
    gc.freeze()
    gc.enable()


def _write(sync: Sync, configs_path: str) -> None:
    """Be the writer, once no other process is: a worker that is being replaced may still finish a change."""
    try:
        handle = os.open(os.path.join(configs_path, "writer.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        sync.run()
    except BaseException:
        log.exception("event=writer-failed")
    # Nobody stops it but the end of the process. An API without its writer would take calls and answer none.
    log.critical("event=writer-ended")
    os._exit(1)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured from our settings and from nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        host = f"[{self._settings.ip}]" if ":" in self._settings.ip else self._settings.ip
        options: dict[str, Any] = {
            "bind": f"{host}:{self._settings.port}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "timeout": 60,
            "graceful_timeout": GRACE_S,
            "keepalive": 5,
            "limit_request_line": MAX_REQUEST_LINE,
            "control_socket_disable": True,
            "proc_name": "proxy-api",
            "loglevel": "warning",
        }
        message.MAX_REQUEST_LINE = MAX_REQUEST_LINE  # gunicorn caps the setting at this
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return build_app(self._settings)
