"""One pass and no more: `registrar plan`, `--dry-run`, `--once`."""

import threading
import time

from catalog.errors import CatalogError
from engine.errors import EngineUnavailable
from registrar.cli.parts import build_reconciler
from registrar.core.report import as_json, render, table
from registrar.core.settings import Settings
from registrar.network.pages import Pages
from registrar.shell.loop import tell
from registrar.shell.poller import NO_STOPS
from registrar.shell.reconcile import Reconciler
from registrar.status.journal import Journal, described


def run(settings: Settings, journal: Journal, stop: threading.Event) -> int:
    """One pass, in a thread that a signal need not wait for; tried again as -retry-attempts says."""
    status, reconciler = [1], build_reconciler(settings, stop, Pages(patient=True))

    def work() -> None:
        attempt = 0
        try:
            while not stop.is_set():
                try:
                    status[0] = _once(settings, reconciler, journal)
                    break
                except (CatalogError, EngineUnavailable) as fault:
                    journal.error("pass-failed", why=fault)
                    if attempt == settings.retry_attempts:
                        break
                    attempt += 1
                    stop.wait(settings.retry_interval / 1000)
        except Exception as fault:
            journal.error("defect", why=described(fault))
        finally:
            stop.set()

    threading.Thread(target=work, name="once", daemon=True).start()
    stop.wait()
    return status[0]


def _once(settings: Settings, reconciler: Reconciler, journal: Journal) -> int:
    if settings.command == "plan":
        draft = reconciler.preview()
        if not reconciler.engine_announces_stops():
            journal.warn("engine", why=NO_STOPS)
        print(as_json(draft) if settings.extras["json"] else table(draft), end="", flush=True)
        return 0
    if settings.dry_run:
        print(render(reconciler.preview()), end="", flush=True)
        return 0
    began = time.monotonic()
    outcome = reconciler.full_pass()
    tell(journal, "once", outcome, time.monotonic() - began)
    return 1 if outcome.failed else 0
