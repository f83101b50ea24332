"""The command line of the demo.

python -m deploy.demo               walks through and ends everything it started
KEEP=1 python -m deploy.demo        leaves it running
python -m deploy.demo stop [NAME]   ends what was left running, by KEEP=1 or a kill -9, or the one of that name
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from deploy import engine
from deploy.demo import kept
from deploy.demo.screen import Screen, Timing, summary
from deploy.demo.stage import Stage
from deploy.demo.steps import Step, perform
from deploy.demo.walk import Chapter, chapters

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP comes when the terminal is closed


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """The exit code: 0 only when every step did what it says."""
    screen = Screen()
    match arguments:
        case []:
            return _demo(screen, environ.get("KEEP", "") not in ("", "0"))
        case ["stop", *names]:
            for line in kept.stop(names):
                screen.line(line)
            return 0
    screen.line(__doc__ or "")
    return 2


def _demo(screen: Screen, keep: bool) -> int:
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)
    try:
        return show(screen, keep)
    except Interrupted as interrupted:
        screen.line()
        screen.bad("interrupted; everything that was started has ended")
        return 128 + interrupted.number
    except (engine.EngineUnavailable, TimeoutError, RuntimeError, OSError) as fault:
        screen.bad(f"a part does not work: {fault}")
        return 1


class Interrupted(BaseException):
    """A signal that ends programs; like KeyboardInterrupt no Exception, so that nothing takes it for a fault."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    _ignore_signals()
    raise Interrupted(number)


def _ignore_signals() -> None:
    """From here on another Ctrl-C would only leave things behind."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def show(screen: Screen, keep: bool) -> int:
    """Start the parts, walk, and end them or hand them over."""
    timing = Timing()
    screen.chapter("Starting the parts")
    screen.line("Commands are printed as they are run, with what they really answer; JSON is indented for reading.")
    with engine.engine():
        timing.mark("Docker engine")
        for line in kept.stop_killed():
            screen.line(line)
        with Stage(lambda part, command: _part(screen, part, command), keep) as stage:
            timing.mark("parts started")
            script = chapters(stage)
            total = sum(len(chapter.steps) for chapter in script)
            done = walk(screen, script, stage.variables, stage.environment, timing)
            _ignore_signals()
            if done < total:
                screen.line(stage.logs())
            elif keep:
                variables = stage.variables()
                record = _hand_over(stage)
    if done < total or not keep:
        timing.mark("cleaned up")
    summary(screen, done, total, timing)
    if done < total:
        return 1
    if keep:
        _how_to_go_on(screen, stage.demo, variables, record)
    return 0


def walk(
    screen: Screen,
    script: tuple[Chapter, ...],
    variables: Callable[[], Mapping[str, str]],
    environment: Callable[[], Mapping[str, str]],
    timing: Timing,
) -> int:
    """Do the steps in order, up to the first that does not do what it says, or while somebody reads; how many did."""
    total = sum(len(chapter.steps) for chapter in script)
    done = 0
    shown: dict[str, str] = {}
    for chapter in script:
        screen.chapter(chapter.title)
        for step in chapter.steps:
            screen.step(step, total)
            if screen.nobody_reads:
                return done
            if step.act:
                step.act()
            now = {name: value for name, value in variables().items() if f"${name}" in step.command}
            screen.exports({name: value for name, value in now.items() if shown.get(name) != value})
            shown.update(now)
            if not _do(screen, step, environment()):
                return done
            done += 1
        timing.mark(chapter.title)
    return done


def _do(screen: Screen, step: Step, environment: Mapping[str, str]) -> bool:
    screen.command(step.command)
    result, lacking = perform(step, environment)
    screen.result(result)
    for text in lacking:
        screen.bad(f"expected that it {text}" if text.startswith(("says", "ends", "answers")) else f"expected: {text}")
    if not lacking:
        screen.good("; ".join(expectation.text for expectation in step.expect) or "done")
    return not lacking


def _part(screen: Screen, part: str, command: str) -> None:
    screen.line(f"{part}:")
    screen.command(command)


def _hand_over(stage: Stage) -> Path:
    mark = engine.STATE / "kept"
    held_before = mark.exists()
    engine.keep()
    return stage.hand_over(holds_engine=mark.exists() and not held_before)


def _how_to_go_on(screen: Screen, demo: str, variables: Mapping[str, str], record: Path) -> None:
    screen.chapter("Left running")
    screen.line("Everything above goes on. In a shell of yours:")
    screen.exports({name: variables[name] for name in ("DEMO", "CONSUL", "API", "PROXY", "TEMPLATES")})
    screen.command('curl "$API/v1/docker-flow-proxy/state"\ncurl -i $PROXY/demo/hello')
    screen.line(f"What runs is written down in {record}. This ends exactly that:")
    screen.command(f"{sys.executable} -m deploy.demo stop {demo}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
