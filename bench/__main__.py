"""`python -m bench [proxy] [registrar]`: the figures, as ratios to floors of the same run."""

from __future__ import annotations

import importlib
import os
import platform
import sys

PARTS = ("proxy", "registrar")


def main(arguments: list[str]) -> int:
    """Run the parts that are named, or all."""
    wanted = arguments or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        print(f"bench: {unknown[0]} is not one of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} CPUs, "
          f"load {os.getloadavg()[0]:.1f}")
    for name in wanted:
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
