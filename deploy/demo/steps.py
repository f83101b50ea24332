"""A step of the demo: a command that a user would type, and what has to come of it. Values and their judgement."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

COMMAND_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Result:
    """What a command did: its exit code, and its output and errors as they would be on a terminal."""

    code: int
    output: str

    def document(self) -> object:
        """The output as JSON, None where it is none."""
        try:
            return json.loads(self.output)
        except ValueError:
            return None


@dataclass(frozen=True)
class Expectation:
    """Something that has to hold of a result, and how to say it."""

    text: str
    holds: Callable[[Result], bool]


@dataclass(frozen=True)
class Step:
    """One command with its expectations. With `within`, it is asked again until they hold or the seconds are over.

    `why` is what the reader should know before; `code` is the exit code that the command has to end with; `act` is
    done first, where something has to happen that no command line stands for.
    """

    title: str
    command: str
    expect: tuple[Expectation, ...] = ()
    why: str = ""
    code: int = 0
    within: float = 0.0
    act: Callable[[], None] | None = None


# --- expectations --------------------------------------------------------------------------------------------------


def says(text: str) -> Expectation:
    return Expectation(f"says {text!r}", lambda result: text in result.output)


def answers(*statuses: int) -> Expectation:
    """The status lines of the answers that `curl -i` shows, in order."""
    wanted = [str(status) for status in statuses]
    shown = " and ".join(wanted)
    return Expectation(f"answers {shown}", lambda r: re.findall(r"^HTTP/[\d.]+ (\d+)", r.output, re.M) == wanted)


def accepted(**members: object) -> Expectation:
    """The API's answer: Status OK, and these members."""
    wanted: dict[str, object] = {"Status": "OK", **members}

    def holds(result: Result) -> bool:
        found = result.document()
        return isinstance(found, dict) and all(found.get(name) == value for name, value in wanted.items())

    return Expectation(", ".join(f"{name} {json.dumps(value)}" for name, value in wanted.items()), holds)


def started(count: int) -> Expectation:
    """`docker run -d` has printed so many container ids."""
    text = f"{count} container{'s' if count != 1 else ''} started"
    return Expectation(text, lambda result: len(re.findall(r"^[0-9a-f]{64}$", result.output, re.M)) == count)


def entries(count: int) -> Expectation:
    """So many instances in what Consul's catalog answers, however filtered."""
    text = f"{count} instance{'s' if count != 1 else ''} in the catalog"
    return Expectation(text, lambda result: result.output.count('"ServiceID"') == count)


def traffic(*instances: str, total: int = 30) -> Expectation:
    """Every one of these instances answered, nobody else, and no request was lost."""

    def holds(result: Result) -> bool:
        found = counts(result.output)
        return set(found) == set(instances) and sum(found.values()) == total

    return Expectation(f"all {total} requests answered by {', '.join(instances)}", holds)


def counts(output: str) -> Counter[str]:
    """Requests for each instance, from `sort | uniq -c` over X-Instance headers."""
    found = re.findall(r"^\s*(\d+) x-instance: (\S+)", output, re.M | re.I)
    return Counter({name: int(number) for number, name in found})


# --- running them --------------------------------------------------------------------------------------------------


def run_command(command: str, environment: Mapping[str, str]) -> Result:
    """One command line in bash, as typed."""
    try:
        done = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        return Result(-1, f"{(fault.output or b'').decode(errors='replace')}\n(no end after {fault.timeout:g} s)")
    return Result(done.returncode, done.stdout.decode(errors="replace").replace("\r\n", "\n"))


def faults(step: Step, result: Result) -> list[str]:
    """The expectations that do not hold."""
    code = Expectation(f"ends with exit code {step.code}", lambda r: r.code == step.code)
    return [expectation.text for expectation in (code, *step.expect) if not expectation.holds(result)]


def perform(step: Step, environment: Mapping[str, str]) -> tuple[Result, list[str]]:
    """Run a step's command, again and again where it may take a while; the last result and what it lacks."""
    until = time.monotonic() + step.within
    pause = 0.02
    while True:
        result = run_command(step.command, environment)
        lacking = faults(step, result)
        if not lacking or time.monotonic() >= until:
            return result, lacking
        time.sleep(pause)
        pause = min(2 * pause, 0.25)
