"""The process that serves the API: gunicorn with one worker, in it Flask. It computes nothing itself. Entry.

Threads, because a call waits for HAProxy. HAProxy is not a child of it: gunicorn reaps whatever child ends.
"""

import os
import sys
import time
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http import message

from proxy_api.api.metrics import Metrics
from proxy_api.api.views import Parts, create_app
from proxy_api.api.writer_client import WriterClient
from proxy_api.core.messages import Report
from proxy_api.core.runtime import UNDER_WAY
from proxy_api.core.settings import Settings
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.start_fault import StartFault

CHANGE_S = 1.0  # how long a change over the runtime API may take before it counts as one that was left
MEMORY = "/dev/shm"
THREADS = 64  # calls wait while HAProxy reloads, and the probes must still be answered
GRACE_S = 4  # the supervisor is quicker, and knows what the writer does meanwhile
# A request of a megabyte gets an answer that names the parameter; gunicorn's own limit would give it a bare page.
# Without any, one client could fill the memory with a request that never ends.
MAX_REQUEST_LINE = 2 * 1024 * 1024


def build_app(settings: Settings) -> Flask:
    """Wire the parts together."""
    writer = WriterClient(settings.configs_path)
    haproxy, start_fault = Haproxy(settings.configs_path, settings.haproxy_bin), StartFault(settings.configs_path)

    def fault(report: Report) -> str:
        end = time.monotonic() + CHANGE_S
        while (serving := haproxy.runtime.serving()) == UNDER_WAY and time.monotonic() < end:
            time.sleep(0.01)
        if serving is None:
            why = start_fault.text()
            return f"HAProxy cannot be started: {why}" if why else "HAProxy does not answer; it is being started again"
        if serving == UNDER_WAY:
            return "HAProxy was left in the middle of a change"
        if serving not in (report.digest, haproxy.files.current_digest()):
            return "HAProxy serves another configuration than was applied"
        return ""

    return create_app(Parts(writer.change, writer.report, fault, Metrics(), settings.proxy_instance_name,
                            settings.api_token, settings.strict_parameters))


class Logs(Logger):  # type: ignore[misc]
    """gunicorn's own lines, left to this process's log."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured from our settings and from nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self._settings.api_bind,
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            # Its heartbeat is a touched file: on a disk, every request would wait while somebody's fsync goes on.
            "worker_tmp_dir": MEMORY if os.access(MEMORY, os.W_OK) else None,
            "timeout": 60,
            "graceful_timeout": GRACE_S,
            "keepalive": 5,
            "limit_request_line": MAX_REQUEST_LINE,
            "control_socket_disable": True,
            "proc_name": "proxy-api",
            "loglevel": "warning",
            "logger_class": Logs,
        }
        message.MAX_REQUEST_LINE = MAX_REQUEST_LINE  # gunicorn caps the setting at this
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        # A thread that writes a long page gives way to the others; at 5 ms, the default, each step of a ping could wait
        # that long.
        sys.setswitchinterval(0.0005)
        return build_app(self._settings)


def run(settings: Settings) -> None:
    """Serve until this process is ended."""
    sys.argv = sys.argv[:1]  # gunicorn reads it
    Server(settings).run()
