"""A figure and its floor, measured side by side, printed as one line and kept for the document."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one thing done several times, in milliseconds."""

    times_ms: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.times_ms)

    @property
    def p95(self) -> float:
        ordered = sorted(self.times_ms)
        return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the results. `ratio` is None where there is no floor to divide by; the goal is then for `amount`.

    `absolute` and `floor` are texts with their units; `part` is the heading that it stands under.
    """

    part: str
    what: str
    amount: float
    absolute: str
    ratio: float | None = None
    floor_name: str = ""
    floor: str = ""
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        reached = self.amount if self.ratio is None else self.ratio
        return reached >= self.goal if self.at_least else reached <= self.goal

    @property
    def goal_text(self) -> str:
        """`≤ 2 ×`, or "" where there is none."""
        if self.goal is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.goal:g}{'' if self.ratio is None else ' ×'}"

    def line(self) -> str:
        """As it is printed."""
        value = "" if self.ratio is None else f"{self.ratio:.2f} x {self.floor_name}"
        verdict = {None: "", True: ", met", False: ", MISSED"}[self.met]
        goal = f" (goal {self.goal_text}{verdict})" if verdict else ""
        return f"{self.what:62} {value}{'; ' if value else ''}{self.absolute}" \
               f"{f'; floor {self.floor}' if self.floor else ''}{goal}"


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a plot: at `x`, the series `series` of the plot `plot` has the value `y`."""

    plot: str
    series: str
    x: float
    y: float


class Book:
    """What a run has found so far."""

    def __init__(self) -> None:
        self.part = ""
        self.figures: list[Figure] = []
        self.points: list[Point] = []
        self.troubles: list[str] = []


BOOK = Book()


def section(title: str) -> None:
    """What follows stands under this heading."""
    BOOK.part = title
    print(f"\n{title}", flush=True)


def timed(action: Callable[[int], object], times: int) -> Timing:
    """Do it so many times, with the number of the turn."""
    found = []
    for turn in range(times):
        began = time.perf_counter()
        action(turn)
        found.append((time.perf_counter() - began) * 1000)
    return Timing(tuple(found))


def show(what: str, ours: Timing, floor_name: str, floor: Timing, goal: float | None = None) -> None:
    """The ratio of two medians, the goal if there is one, and the absolute figures."""
    _keep(Figure(BOOK.part, what, ours.median, f"median {ours.median:.1f} ms, p95 {ours.p95:.1f}",
                 ours.median / floor.median, floor_name, f"{floor.median:.1f} ms", goal))


def show_rate(what: str, ours: Sequence[float], unit: str, floor_name: str, floor: Sequence[float],
              goal: float | None = None, at_least: bool = False) -> None:
    """The ratio of two medians of something else than times."""
    amount, least = statistics.median(ours), statistics.median(floor)
    _keep(Figure(BOOK.part, what, amount, f"median {amount:,.1f} {unit}", amount / least if least else float("inf"),
                 floor_name, f"{least:,.1f} {unit}", goal, at_least))


def show_amount(what: str, amount: float, absolute: str, goal: float | None = None) -> None:
    """Something that has no floor: requests lost, memory, connections."""
    _keep(Figure(BOOK.part, what, amount, absolute, goal=goal))


def point(plot: str, series: str, x: float, y: float) -> None:
    """A point for the plots of the document."""
    BOOK.points.append(Point(plot, series, x, y))


def trouble(what: str) -> None:
    """Something that went wrong: it is printed, stands in the document, and the run ends with 1."""
    BOOK.troubles.append(f"{BOOK.part}: {what}")
    print(f"TROUBLE: {what}", flush=True)


def _keep(figure: Figure) -> None:
    BOOK.figures.append(figure)
    print(figure.line(), flush=True)
