"""The processes of one HAProxy: its master and workers, whoever started them. Edge."""

import contextlib
import itertools
import os
import re
import signal
from pathlib import Path

from proxy_api.core.observed import MasterView
from proxy_api.haproxy.runtime_socket import LOOK_TIMEOUT_S, NotRunning, ask

# All that HAProxy gets of the environment: a template may refer to it, and ours holds tokens.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")


class Master:
    """The master of one CONFIGS_PATH, known by its socket."""

    def __init__(self, configs_path: str, program: str, main_file: Path) -> None:
        self._base, self._program, self._main_file = Path(configs_path), program, main_file
        self.socket = str(self._base / "master.sock")

    def command(self) -> list[str]:
        """The command line that serves what `current` points to."""
        return [self._program, "-W", "-S", f"{self.socket},mode,600", "-f", str(self._main_file)]

    def processes(self) -> MasterView:
        """The master's view; raises NotRunning."""
        text = ask(self.socket, "show proc", LOOK_TIMEOUT_S)
        master = re.search(r"^(\d+)\s+master\s+(\d+)?\s*(?:\[failed: (\d+)\])?", text, re.MULTILINE)
        worker = re.search(r"^(\d+)\s+worker", text, re.MULTILINE)
        if not master or not worker:
            raise NotRunning(self.socket)
        return MasterView(int(master[1]), int(worker[1]), int(master[3] or 0))

    def remember(self, master: int) -> None:
        """Note the pid of the master, for a successor of whoever started it. Raises OSError."""
        fresh = self._base / f".haproxy.pid.{os.getpid()}"
        fresh.write_text(f"{master}\n")
        fresh.replace(self._base / "haproxy.pid")

    def remembered(self) -> int | None:
        """The pid of a master that runs with this configuration, whoever started it; None where there is none.

        The pid that was noted, or else, where the note is lost, the one that the list of processes shows: a second
        HAProxy beside one that runs would share its connections with another configuration. The master's socket would
        not do: it is closed for a moment while the master loads itself anew.
        """
        try:
            noted = int((self._base / "haproxy.pid").read_text())
        except (OSError, ValueError):
            noted = 0
        if noted and self.owns(noted):
            return noted
        found = self._pids()
        # Workers have the master's command line; only the master's parent is none of them.
        return min((pid for pid in found if _parent(pid) not in found), default=None)

    def kill(self) -> list[int]:
        """End whatever process of this HAProxy there is, at once; their pids."""
        found = sorted(self._pids())
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return found

    def _pids(self) -> set[int]:
        """Master and workers, by the list of processes."""
        return {pid for path in Path("/proc").glob("[0-9]*") if self.owns(pid := int(path.name))}

    def owns(self, pid: int) -> bool:
        """Whether a process is this HAProxy's: its master, or a worker that has not ended."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        start = os.fsencode(self.socket) + b","
        return any(flag == b"-S" and word.startswith(start) for flag, word in itertools.pairwise(words))


def _parent(pid: int) -> int:
    try:
        # The name, in parentheses, may hold blanks and parentheses itself.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def environment() -> dict[str, str]:
    """The environment that HAProxy runs in."""
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
