"""`python -m bench [proxy] [registrar]`: the figures, as ratios to floors of the same run."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from bench import document, machine, plot
from bench.figures import BOOK
from bench.reasons import REASONS

PARTS = ("proxy", "registrar")


def main(arguments: list[str]) -> int:
    """Run the parts that are named, or all. 1 where a request was lost or something else went wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Figures as ratios to floors of the same run.")
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS), help="what to measure (default: all)")
    parser.add_argument("--sizes", type=_sizes, metavar="N,N", help="numbers of services for proxy (10,1000,10000)")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="write the results there, and a plot beside it")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.parts if name not in PARTS]:
        parser.error(f"{unknown[0]} is not one of {', '.join(PARTS)}")
    sys.setswitchinterval(0.0005)  # many threads here wait for single answers and take their time
    where = machine.described()
    print("; ".join(f"{name}: {value}" for name, value in where), flush=True)
    for name in asked.parts or PARTS:
        part = importlib.import_module(f"bench.{name}")
        BOOK.part = name
        part.main(*([asked.sizes] if name == "proxy" and asked.sizes else []))
    if asked.write is not None:
        _write(asked.write, where, " ".join(["python -m bench", *arguments]))
    for trouble in BOOK.troubles:
        print(f"TROUBLE: {trouble}", file=sys.stderr)
    return 1 if BOOK.troubles else 0


def _write(page: Path, where: list[tuple[str, str]], command: str) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    picture = page.with_suffix(".svg")
    if BOOK.points:
        picture.write_text(plot.drawn(BOOK.points, "services"), encoding="utf-8")
    page.write_text(document.written(BOOK.figures, BOOK.troubles, where, command,
                                     picture.name if BOOK.points else "", REASONS), encoding="utf-8")
    print(f"written: {page}", flush=True)


def _sizes(text: str) -> list[int]:
    sizes = [int(word) for word in text.split(",") if word.isdigit() and int(word) > 2]
    if len(sizes) != text.count(",") + 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers above 2, such as 10,1000")
    return sizes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
