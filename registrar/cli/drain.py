"""`registrar drain CONTAINER`, and `--undo`."""

import os
import threading

from catalog.consul_client import ConsulClient
from catalog.errors import CatalogError
from engine.docker_engine import DockerEngine
from engine.errors import EngineUnavailable
from registrar.cli.parts import build_registry
from registrar.core.naming import node_id_from
from registrar.core.settings import Settings
from registrar.shell.drain_by_hand import NothingToDrain, drain
from registrar.status.journal import Journal


def run(settings: Settings, journal: Journal, stop: threading.Event) -> int:
    """Take one container out of rotation, or put it back."""
    engine, consul = DockerEngine(os.environ), ConsulClient.from_environ(settings.consul, os.environ)
    try:
        owner = settings.node_id or node_id_from(engine.engine_name())
        agent, _ = build_registry(settings, consul, lambda: owner)
        services = drain(engine, agent, owner, settings.words[0], settings.extras["undo"])
    except (CatalogError, EngineUnavailable, NothingToDrain) as fault:
        journal.error("drain-failed", container=settings.words[0], why=fault)
        return 1
    journal.info("back-in-rotation" if settings.extras["undo"] else "drained", services=",".join(services))
    stop.wait(settings.extras["wait"])
    return 0
