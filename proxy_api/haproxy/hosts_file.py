"""The machine's hosts file, read again when it changes. Edge."""

from pathlib import Path

from proxy_api.core.hosts import parse_hosts

HOSTS_FILE = "/etc/hosts"


class HostsFile:
    """The names that a hosts file has an address for; those of the last time where it cannot be read."""

    def __init__(self, path: str = HOSTS_FILE) -> None:
        self._path = Path(path)
        self._mark: tuple[int, int, int] | None = None
        self._names: tuple[tuple[str, str], ...] = ()

    def names(self) -> tuple[tuple[str, str], ...]:
        """Name and address, by name."""
        try:
            stat = self._path.stat()
            mark = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if mark != self._mark:
                self._names, self._mark = parse_hosts(self._path.read_text(errors="replace")), mark
        except OSError:
            pass
        return self._names
