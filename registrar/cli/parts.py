"""The parts that a command is made of, built from the settings."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace

from catalog.consul_client import ConsulClient
from engine.docker_engine import DockerEngine
from engine.errors import EngineUnavailable
from registrar.consul.external_node import ExternalNode
from registrar.consul.key_value import KeyValue
from registrar.consul.write_pool import WritePool
from registrar.core.checks import runs_command
from registrar.core.settings import Settings
from registrar.core.writes import Together
from registrar.network.node_addresses import NoAddress, node_addresses, require_address
from registrar.network.pages import Pages
from registrar.shell.protocols import Agent
from registrar.shell.reconcile import Reconciler, Surroundings


def with_address(settings: Settings) -> Settings:
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


def build_registry(settings: Settings, consul: ConsulClient, owner: Callable[[], str]) -> tuple[Agent, Together]:
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


def build_reconciler(settings: Settings, stop: threading.Event, pages: Pages) -> Reconciler:
    # The loop repeats whole passes, so a single request is sent once.
    consul = ConsulClient.from_environ(settings.consul, os.environ, patience_s=0)
    agent, together = build_registry(settings, consul, lambda: reconciler.owner)
    engine = DockerEngine(os.environ, bool(settings.tags.parts), runs_command)
    here = Surroundings(lambda: node_addresses(settings.ip, settings.ip6), sleep=stop.wait)
    reconciler = Reconciler(settings, engine, agent, here, stop.is_set, together, pages)
    return reconciler
