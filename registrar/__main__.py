"""The command `registrar`: builds the parts from the settings, starts them, and ends them on a signal."""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version

from catalog.consul_client import ConsulClient
from catalog.errors import CatalogError
from engine.docker_engine import DockerEngine
from engine.errors import EngineUnavailable
from registrar.cli.signals import stop_on_signal
from registrar.consul.external_node import ExternalNode
from registrar.consul.key_value import KeyValue
from registrar.consul.lease import Lease
from registrar.consul.node_watch import NodeWatch
from registrar.consul.write_pool import WritePool
from registrar.core.grammar import is_loopback
from registrar.core.naming import node_id_from
from registrar.core.options import UsageError, unknown_variables, usage
from registrar.core.report import as_json, render, table
from registrar.core.settings import Settings, read_settings
from registrar.core.writes import Together
from registrar.network.node_addresses import NoAddress, node_addresses, require_address
from registrar.network.pages import Pages
from registrar.shell.drain_by_hand import NothingToDrain, drain
from registrar.shell.hints import Hints, Reader
from registrar.shell.loop import Loop, tell
from registrar.shell.protocols import Agent
from registrar.shell.reconcile import Reconciler, Surroundings
from registrar.status.journal import Journal, open_journal
from registrar.status.metrics import Metrics
from registrar.status.server import StatusServer

EXIT_USAGE = 2
LOOP_ENDS_WITHIN_S = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal (or once); the exit status is 0, 1 for what did not work, 2 for a usage error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    stop = stop_on_signal()
    if {"-h", "-help", "--help"} & set(given):
        print(usage(), end="")
        return 0
    if {"-version", "--version"} & set(given):
        print(f"registrar {version('portbook')}")
        return 0
    journal = open_journal()
    try:
        settings = read_settings(given, os.environ)
        journal.level(settings.log_level)
        if not settings.internal and settings.command not in ("drain", "watch-nodes"):
            settings = _addressed(settings)
    except (UsageError, NoAddress) as fault:
        for text in str(fault).splitlines():
            print(f"registrar: {text}", file=sys.stderr)
        return EXIT_USAGE
    if settings.command == "drain":
        return _drain(settings, journal, stop)
    _greet(settings, journal)
    if settings.command == "watch-nodes":
        return _watch_nodes(settings, journal, stop)
    only_once = settings.dry_run or settings.once or settings.command == "plan"
    pages = Pages(patient=only_once)
    reconciler = _reconciler(settings, stop, pages)
    if only_once:
        return _run_once(settings, reconciler, journal, stop)
    return _run(settings, reconciler, pages, journal, stop)


def _addressed(settings: Settings) -> Settings:
    """The settings, if they lead to an address of this node; the swarm's where nothing else tells one."""
    try:
        require_address(settings.ip, settings.ip6, settings.family)
    except NoAddress:
        address = "" if settings.ip or settings.ip6 else _swarm_address()
        if not address:
            raise
        note = f"the address of this node is {address}, as its swarm has it; -ip would say another"
        settings = replace(settings, ip=address, notes=(*settings.notes, note))
        require_address(settings.ip, settings.ip6, settings.family)
    return settings


def _swarm_address() -> str:
    engine = DockerEngine(os.environ)
    try:
        return engine.swarm_address()
    except EngineUnavailable:
        return ""
    finally:
        engine.close()


def _greet(settings: Settings, journal: Journal) -> None:
    for note in settings.notes:
        journal.warn("note", text=note)
    for variable in unknown_variables(os.environ):
        journal.warn("note", text=f"{variable} is no option of registrar")
    if is_loopback(settings.ip):
        journal.warn("note", text=f"-ip {settings.ip} is a loopback address: only this machine can reach it")


def _registry(settings: Settings, consul: ConsulClient, owner: Callable[[], str]) -> tuple[Agent, Together]:
    """Where registrations go, by the scheme of the registry's address, and how many are written there."""
    def address() -> str:
        ipv4, ipv6 = node_addresses(settings.ip, settings.ip6)
        return (ipv6 or ipv4) if settings.family == "ipv6" else (ipv4 or ipv6)
    if settings.scheme == "consul":
        return consul, WritePool()
    if settings.scheme == "consulkv":
        return KeyValue(consul, settings.prefix, owner), WritePool()
    node = ExternalNode(consul, owner, address)
    return node, node.together


def _reconciler(settings: Settings, stop: threading.Event, pages: Pages) -> Reconciler:
    # The loop repeats whole passes, so a single request is sent once.
    consul = ConsulClient.from_environ(settings.consul, os.environ, patience_s=0)
    agent, together = _registry(settings, consul, lambda: reconciler.owner)
    engine = DockerEngine(os.environ, keep_documents=bool(settings.tags.parts))
    here = Surroundings(lambda: node_addresses(settings.ip, settings.ip6), sleep=stop.wait)
    reconciler = Reconciler(settings, engine, agent, here, stop.is_set, together, pages)
    return reconciler


def _drain(settings: Settings, journal: Journal, stop: threading.Event) -> int:
    """Take one container out of rotation, or put it back."""
    engine, consul = DockerEngine(os.environ), ConsulClient.from_environ(settings.consul, os.environ)
    try:
        owner = settings.node_id or node_id_from(engine.engine_name())
        agent, _ = _registry(settings, consul, lambda: owner)
        services = drain(engine, agent, owner, settings.words[0], settings.extras["undo"])
    except (CatalogError, EngineUnavailable, NothingToDrain) as fault:
        journal.error("drain-failed", container=settings.words[0], why=fault)
        return 1
    journal.info("back-in-rotation" if settings.extras["undo"] else "drained", services=",".join(services))
    stop.wait(settings.extras["wait"])
    return 0


def _run_once(settings: Settings, reconciler: Reconciler, journal: Journal, stop: threading.Event) -> int:
    """One pass, in a thread that a signal need not wait for; tried again as -retry-attempts says."""
    status = [1]

    def work() -> None:
        attempt = 0
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
        stop.set()

    threading.Thread(target=work, name="once", daemon=True).start()
    stop.wait()
    return status[0]


def _once(settings: Settings, reconciler: Reconciler, journal: Journal) -> int:
    if settings.command == "plan":
        draft = reconciler.preview()
        print(as_json(draft) if settings.extras["json"] else table(draft), end="", flush=True)
        return 0
    if settings.dry_run:
        print(render(reconciler.preview()), end="", flush=True)
        return 0
    began = time.monotonic()
    outcome = reconciler.full_pass()
    tell(journal, "once", outcome, time.monotonic() - began)
    return 1 if outcome.failed else 0


def _run(settings: Settings, reconciler: Reconciler, pages: Pages, journal: Journal, stop: threading.Event) -> int:
    metrics, hints = Metrics(), Hints()
    pages.changed = hints.touch_everything
    reader = Reader(DockerEngine(os.environ), hints, journal, metrics)
    loop = Loop(reconciler, hints, reader, settings.interval, journal, metrics, stop)
    if not _serve(settings, journal, lambda: loop.status.alive and loop.is_alive(), lambda: _unready(loop, journal),
                  metrics, lambda: _containers(loop)):
        return 1
    journal.info("start", consul=settings.consul, node_id=settings.node_id or "(the engine's name)",
                 interval=f"{settings.interval:g}s")
    loop.start()
    if settings.scheme == "consul-catalog":
        consul = ConsulClient.from_environ(settings.consul, os.environ, patience_s=0)
        lease = Lease(consul, lambda: reconciler.owner, journal)
        lease.start()
        NodeWatch(consul, settings.remove_after, journal, lambda: reconciler.owner, lease.lost).start()
    stop.wait()
    journal.info("stop", registrations="removed" if settings.deregister_on_exit else "stay")
    return _withdraw(loop, reconciler, journal) if settings.deregister_on_exit else 0


def _watch_nodes(settings: Settings, journal: Journal, stop: threading.Event) -> int:
    """Only look after other registrars' nodes, until a signal."""
    consul = ConsulClient.from_environ(settings.consul, os.environ, patience_s=0)
    watch = NodeWatch(consul, settings.remove_after, journal)

    def unready() -> dict[str, str]:
        return journal.troubles() or ({} if watch.has_looked else {"start": "nothing has been looked at yet"})

    if not _serve(settings, journal, lambda: watch.alive, unready, Metrics(), lambda: None):
        return 1
    journal.info("start", consul=settings.consul, watch="nodes", remove_after=f"{settings.remove_after:g}s")
    watch.start()
    stop.wait()
    journal.info("stop")
    return 0


def _serve(settings: Settings, journal: Journal, alive: Callable[[], bool], unready: Callable[[], dict[str, str]],
           metrics: Metrics, containers: Callable[[], str | None]) -> bool:
    """Answer --http, if it is given; whether that could be done."""
    if settings.http:
        try:
            StatusServer(settings.http, alive, unready, metrics.registry, containers).start()
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


if __name__ == "__main__":
    sys.exit(main())
