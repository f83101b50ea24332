"""What the demo prints: plain lines that can be copied, with colour on a terminal."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from deploy.demo.steps import Result, Step


class Screen:
    """Prints a run from top to bottom. Nothing is wrapped, framed or redrawn."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._number = 0
        self.nobody_reads = False

    def line(self, text: str = "", style: str = "") -> None:
        if not self.nobody_reads:
            try:
                self._console.print(Text(text, style=style), soft_wrap=True)
            except OSError:  # the terminal or the pager was closed
                self.nobody_reads = True

    def chapter(self, title: str) -> None:
        self.line()
        self.line(f"=== {title}", "bold cyan")

    def step(self, step: Step, total: int) -> None:
        """What is about to be done."""
        self._number += 1
        self.line()
        self.line(f"--- {self._number}/{total} {step.title}", "bold")
        if step.why:
            self.line(step.why)

    def exports(self, variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            self.command(f"export {name}={shlex.quote(value)}")

    def command(self, text: str) -> None:
        """Each line of it with a prompt."""
        continued = False
        for line in text.splitlines():
            self.line(f"{'>' if continued else '$'} {line}", "green")
            continued = line.endswith("\\")

    def result(self, result: Result) -> None:
        """The output; JSON on one line is indented for reading."""
        found = result.document()
        indent = isinstance(found, dict | list) and len(result.output.splitlines()) == 1
        text = json.dumps(found, indent=2, ensure_ascii=False) if indent else result.output.rstrip("\n")
        if text:
            self.line(text)

    def good(self, text: str) -> None:
        self.line(f"ok: {text}", "green")

    def bad(self, text: str) -> None:
        self.line(f"NOT OK: {text}", "bold red")


class Timing:
    """Seconds of each part of the run, for the summary."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.parts: list[tuple[str, float]] = []
        self._last = self.began

    def mark(self, what: str) -> None:
        now = time.monotonic()
        self.parts.append((what, now - self._last))
        self._last = now

    def total(self) -> float:
        return time.monotonic() - self.began


def summary(screen: Screen, done: int, total: int, timing: Timing) -> None:
    """The last lines."""
    screen.chapter("Summary")
    width = max(len(what) for what, _ in timing.parts)
    for what, seconds in timing.parts:
        screen.line(f"{what:<{width}}  {seconds:5.1f} s")
    verdict = "each did what it says" if done == total else f"stopped after {done}"
    screen.line(f"{total} steps, {verdict}; {timing.total():.1f} s in all", "bold" if done == total else "bold red")
