"""Why HAProxy cannot be started, noted by the supervisor for whoever is asked. Edge."""

import contextlib
from pathlib import Path


class StartFault:
    """The note in a CONFIGS_PATH. A disk that takes none costs the reason, and nothing else."""

    def __init__(self, configs_path: str) -> None:
        self._file = Path(configs_path) / "haproxy.fault"

    def tell(self, reason: str) -> None:
        """Note it."""
        with contextlib.suppress(OSError):
            self._file.write_text(reason, encoding="utf-8")

    def over(self) -> None:
        """It can be started again."""
        with contextlib.suppress(OSError):
            self._file.unlink()

    def text(self) -> str:
        """What was noted; "" for nothing."""
        try:
            return self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""
