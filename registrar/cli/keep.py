"""What runs until a signal: the loop with all that belongs to it, or only the watch over other nodes."""

import os
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version

from catalog.consul_client import ConsulClient
from catalog.errors import CatalogError
from engine.docker_engine import DockerEngine
from engine.errors import EngineUnavailable
from registrar.cli.parts import build_reconciler
from registrar.consul.lease import Lease
from registrar.consul.node_watch import NodeWatch
from registrar.core.grammar import join_host_port
from registrar.core.report import as_json
from registrar.core.settings import Settings
from registrar.network.node_addresses import node_addresses
from registrar.network.pages import Pages
from registrar.shell.hints import EventReader, Hints
from registrar.shell.loop import Loop
from registrar.shell.poller import Poller
from registrar.shell.reconcile import Reconciler
from registrar.status.journal import Journal
from registrar.status.lasting import LastingThread
from registrar.status.metrics import Metrics
from registrar.status.server import StatusServer

LOOP_ENDS_WITHIN_S = 5.0


def run(settings: Settings, journal: Journal, stop: threading.Event) -> int:
    """Keep Consul equal to the engine; 1 where the start or the end did not work."""
    metrics, hints, pages = Metrics(), Hints(), Pages()
    pages.changed = hints.touch_everything
    reconciler = build_reconciler(settings, stop, pages)
    reader = EventReader(DockerEngine(os.environ), hints, journal, metrics)
    loop = Loop(reconciler, hints, reader, settings.interval, journal, metrics, stop)
    poller = Poller(DockerEngine(os.environ), settings.only_label, hints, journal, stop)
    threads: list[LastingThread] = [loop, poller]
    if settings.scheme == "consul-catalog":
        consul = ConsulClient.from_environ(settings.consul, os.environ, patience_s=0)
        lease = Lease(consul, lambda: reconciler.owner, journal)
        threads += [lease, NodeWatch(consul, settings.remove_after, journal, lambda: reconciler.owner, lease.lost)]
    if not _serve(settings, journal, (*threads, reader), lambda: _unready(loop, journal), metrics,
                  lambda: _containers(loop)):
        return 1
    _greet(settings, journal, interval=f"{settings.interval:g}s")
    for thread in threads:
        thread.start()
    stop.wait()
    journal.info("stop", registrations="removed" if settings.deregister_on_exit else "stay")
    return _withdraw(loop, reconciler, journal) if settings.deregister_on_exit else 0


def watch_nodes(settings: Settings, journal: Journal, stop: threading.Event) -> int:
    """Only look after other registrars' nodes, until a signal."""
    consul = ConsulClient.from_environ(settings.consul, os.environ, patience_s=0)
    watch = NodeWatch(consul, settings.remove_after, journal)

    def unready() -> dict[str, str]:
        return journal.troubles() or ({} if watch.has_looked else {"start": "nothing has been looked at yet"})

    if not _serve(settings, journal, [watch], unready, Metrics(), lambda: None):
        return 1
    _greet(settings, journal, watch="nodes", remove_after=f"{settings.remove_after:g}s")
    watch.start()
    stop.wait()
    journal.info("stop")
    return 0


def _greet(settings: Settings, journal: Journal, **more: str) -> None:
    ipv4, ipv6 = node_addresses(settings.ip, settings.ip6)
    http = join_host_port(*settings.http) if settings.http else "off"
    journal.info("start", version=version("portbook"), registry=settings.scheme, consul=settings.consul,
                 node_id=settings.node_id or "(the engine's name)", ip=ipv4 or "none", ip6=ipv6 or "none", http=http,
                 **more)


def _serve(settings: Settings, journal: Journal, threads: Sequence[LastingThread],
           unready: Callable[[], dict[str, str]], metrics: Metrics, containers: Callable[[], str | None]) -> bool:
    """Answer --http, if it is given; whether that could be done. `threads` are those that /health speaks of."""
    if settings.http:
        try:
            StatusServer(settings.http, lambda: {one.name: one.ill for one in threads if one.ill}, unready,
                         metrics.registry, containers, journal).start()
        except OSError as fault:
            journal.error("start-failed", why=f"-http {settings.http[0]}:{settings.http[1]}: {fault.strerror or fault}")
            return False
    return True


def _unready(loop: Loop, journal: Journal) -> dict[str, str]:
    if not loop.status.outcome:
        return journal.troubles() or {"start": "no pass has been made yet"}
    return journal.troubles() | ({} if loop.status.alive else {"loop": "no pass has been made for minutes"})


def _containers(loop: Loop) -> str | None:
    outcome = loop.status.outcome
    return as_json(outcome.draft, dict(outcome.failed)) if outcome else None


def _withdraw(loop: Loop, reconciler: Reconciler, journal: Journal) -> int:
    # The loop's thread must have ended before the entries go, or it would put them back.
    loop.end(LOOP_ENDS_WITHIN_S)
    try:
        count = reconciler.withdraw()
    except (CatalogError, EngineUnavailable) as fault:
        journal.error("withdraw-failed", why=fault)
        return 1
    journal.info("withdrawn", deregistered=count)
    return 0
