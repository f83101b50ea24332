"""proxy-api's figures at several sizes: changes, requests lost, throughput, recovery, memory, and the old way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable

from bench import changes, figures, loss, pings, predecessor, recovery, throughput
from bench.filling import INSTANCES
from bench.stage import Stage

SIZES = (10, 1000, 10000)
# Sizes at which only throughput, calls and memory are looked at.
ROUTES = (1, 5000)
TOOLS = {"wrk": "wrk", "curl": "curl", "openssl": "openssl"}  # program -> Debian package


def main(sizes: Iterable[int] = SIZES) -> None:
    """Print the figures for each number of services, three instances to each."""
    if missing := sorted({package for program, package in TOOLS.items() if shutil.which(program) is None}):
        raise SystemExit(f"bench: missing here: {' '.join(missing)} (Debian's names); run: make install")
    wanted = set(sizes)
    routes = {n for n in ROUTES if n < max(wanted)}
    for services in sorted(wanted | routes):
        began = time.perf_counter()
        many = "service" if services == 1 else "services"
        figures.section(f"proxy-api, {services:,} {many} with {INSTANCES} instances each")
        with Stage(services) as stage:
            _figures(stage, whole=services in wanted)
        print(f"({time.perf_counter() - began:.0f} s)", flush=True)


def _figures(stage: Stage, whole: bool) -> None:
    _try("throughput", lambda: throughput.compared(stage))
    if stage.services > 2:
        _try("calls", lambda: changes.calls(stage))
    if whole:
        _try("served", lambda: changes.served(stage))
        _try("work", lambda: changes.work(stage))
        _try("pings", lambda: pings.meanwhile(stage))
        _try("requests lost", lambda: loss.lost(stage))
    # What it weighs after all that, and not when it has just begun.
    _try("memory", lambda: recovery.memory(stage))
    if whole:
        _try("predecessor's way", lambda: predecessor.compared(stage.services, stage.origin))
        _try("recovery", lambda: recovery.recovery(stage))


def _try(what: str, figure: Callable[[], None]) -> None:
    """One group of figures; that it fails is a result, and no reason to leave out the others."""
    try:
        figure()
    except Exception as fault:
        figures.trouble(f"{what}: {type(fault).__name__}: {fault}")
