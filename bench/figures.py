"""A figure and its floor, measured side by side and printed as one line."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
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


def timed(action: Callable[[int], object], times: int) -> Timing:
    """Do it so many times, with the number of the turn."""
    found = []
    for turn in range(times):
        began = time.perf_counter()
        action(turn)
        found.append((time.perf_counter() - began) * 1000)
    return Timing(tuple(found))


def show(what: str, ours: Timing, floor_name: str, floor: Timing, goal: float | None = None) -> None:
    """One line: the ratio of the medians, the goal if there is one, and the absolute figures."""
    ratio = ours.median / floor.median
    wanted = "" if goal is None else f" (goal {goal:g}, {'met' if ratio <= goal else 'missed'})"
    print(f"{what:58} {ratio:6.2f} x {floor_name}{wanted}; "
          f"median {ours.median:.1f} ms, p95 {ours.p95:.1f}; floor {floor.median:.1f} ms", flush=True)
