"""Which history of Consul's state this proxy's disk belongs to. Edge.

A Consul that lost its data looks like one that never had any. A proxy that is running knows better from memory; one
that starts knows it from this file.
"""

import contextlib
import os
from pathlib import Path


class Lineage:
    """The name of the last history that was seen for an instance; "" where there is none."""

    def __init__(self, configs_path: str, instance: str) -> None:
        self._file = Path(configs_path) / "history"
        self._instance = instance

    def read(self) -> str:
        """The name on disk, if it is of this instance."""
        try:
            instance, _, name = self._file.read_text(encoding="utf-8").strip().partition(" ")
        except (OSError, UnicodeDecodeError):
            return ""
        return name if instance == self._instance else ""

    def write(self, name: str) -> None:
        """Note a name. A disk that does not take it costs the warning at the next start, nothing else."""
        fresh = self._file.with_name(f".history.{os.getpid()}")
        with contextlib.suppress(OSError):
            fresh.write_text(f"{self._instance} {name}\n", encoding="utf-8")
            fresh.replace(self._file)
