"""A plot with two logarithmic axes as SVG text. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from bench.figures import Point

WIDTH, HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 30, 34, 84
# Told apart without colour too: each series has its own dashes.
_LOOKS = (("#1f6fb4", ""), ("#c8501e", "7 4"), ("#2e8b57", "2 4"), ("#7a4fb0", "9 3 2 3"))


def drawn(points: Sequence[Point], x_label: str) -> str:
    """All plots that the points belong to, one below the other."""
    plots: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for point in points:
        if point.x > 0 and point.y > 0:
            plots.setdefault(point.plot, {}).setdefault(point.series, []).append((point.x, point.y))
    height = HEIGHT * max(1, len(plots))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
             f'height="{height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>']
    for place, (title, series) in enumerate(plots.items()):
        parts += [f'<g transform="translate(0 {place * HEIGHT})">', *_plot(title, series, x_label), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _plot(title: str, series: Mapping[str, Sequence[tuple[float, float]]], x_label: str) -> list[str]:
    xs = _decades([x for found in series.values() for x, _ in found])
    ys = _decades([y for found in series.values() for _, y in found])
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x_at(x: float) -> float:
        return _LEFT + (right - _LEFT) * (math.log10(x) - xs[0]) / (xs[-1] - xs[0])

    def y_at(y: float) -> float:
        return bottom - (bottom - _TOP) * (math.log10(y) - ys[0]) / (ys[-1] - ys[0])

    parts = [f'<text x="{_LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>']
    for decade in xs:
        x = x_at(10 ** decade)
        parts += [f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>',
                  f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(decade)}</text>']
    for decade in ys:
        y = y_at(10 ** decade)
        parts += [f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#dddddd"/>',
                  f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(decade)}</text>']
    parts.append(f'<text x="{(_LEFT + right) / 2:.0f}" y="{bottom + 32}" text-anchor="middle">{escape(x_label)}</text>')
    for n, (name, found) in enumerate(series.items()):
        colour, dashes = _LOOKS[n % len(_LOOKS)]
        line = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in sorted(found))
        style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}" fill="none"'
        key_x, key_y = _LEFT + (n % 2) * 240, bottom + 52 + (n // 2) * 18
        parts += [f'<polyline points="{line}" {style}/>',
                  *(f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3" fill="{colour}"/>' for x, y in found),
                  f'<line x1="{key_x}" y1="{key_y - 4}" x2="{key_x + 28}" y2="{key_y - 4}" {style}/>',
                  f'<text x="{key_x + 34}" y="{key_y}">{escape(name)}</text>']
    return parts


def _decades(values: Sequence[float]) -> list[int]:
    """The powers of ten that hold all values between them."""
    low = math.floor(math.log10(min(values)))
    return list(range(low, max(low + 1, math.ceil(math.log10(max(values)))) + 1))


def _number(decade: int) -> str:
    return f"{10 ** decade:,}" if decade >= 0 else f"{10.0 ** decade:g}"
