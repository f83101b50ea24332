"""HAProxy's configurations on disk. Edge.

A configuration is a directory named by its digest below `config/`; the link `current` says which one counts, and is
swapped in one step. The one before stays, for the way back. A directory's time is when it was last made current.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from proxy_api.core.render import DIGEST_MAP, MAIN_FILE, ConfigFiles, digest_of


class ConfigDirectory:
    """The configurations of one CONFIGS_PATH."""

    def __init__(self, configs_path: str) -> None:
        self._base = Path(configs_path)
        self._store = self._base / "config"
        self._flushed: str | None = None
        self.current = self._base / "current"

    @property
    def main_file(self) -> Path:
        """What a start of HAProxy loads."""
        return self.current / MAIN_FILE

    def write(self, config: ConfigFiles) -> Path:
        """Put a configuration on disk, complete or not at all; nothing uses it yet. Raises OSError."""
        target = self._store / config.digest
        if target.is_dir():
            return target
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._store / f".{config.digest}.{os.getpid()}"
        _fill(partial, config)
        os.utime(partial, ns=(0, 0))  # it was never current
        partial.rename(target)
        return target

    def swap(self, config: ConfigFiles) -> str | None:
        """Make a written configuration the current one; the digest of the one before, None where there was none."""
        before = self.current_digest()
        self._link(config.digest)
        self._prune({config.digest, before})
        return before

    def swap_back(self, digest: str | None) -> None:
        """Undo a swap."""
        if digest is not None and (self._store / digest).is_dir():
            self._link(digest)

    def flush(self) -> None:
        """Have the disk itself hold the current configuration, for a loss of power. Raises OSError.

        Not part of a change: that would wait for the disk. What a loss of power left unfinished is found by `mend`.
        """
        digest = self.current_digest()
        if digest is not None and digest != self._flushed:
            for path in (*(self._store / digest).iterdir(), self._store / digest, self._store, self._base):
                _sync(path)
            self._flushed = digest

    def mend(self) -> str:
        """See to it that the current configuration is a whole one, if any is: the last that was current, else none.

        What it found wrong and did about it, "" for nothing. What is not whole is removed. Raises OSError.
        """
        current = self.current_digest()
        if current is not None and self.is_whole(current):
            return ""
        there = os.path.lexists(self.current)
        kept = sorted((_when_current(path), path.name) for path in self._store.glob("[!.]*"))
        whole = {digest for _, digest in kept if self.is_whole(digest)}
        for digest in {digest for _, digest in kept} - whole:
            self.discard(digest)
        last = next((digest for when, digest in reversed(kept) if digest in whole and when), None)
        if there and not self.current.is_symlink() and self.current.is_dir():
            shutil.rmtree(self.current)
        if last is None:
            self.current.unlink(missing_ok=True)
            return "none is whole" if there or kept else ""
        self._link(last)
        return f"{last} is taken: {'what current names is not whole' if there else 'none was current'}"

    def is_whole(self, digest: str) -> bool:
        """Whether a configuration lies on the disk as it was written."""
        try:
            files = {path.name: path.read_text(encoding="utf-8") for path in (self._store / digest).iterdir()}
        except (OSError, UnicodeDecodeError):
            return False
        return digest_of(files) == digest and digest in files.get(DIGEST_MAP, "")

    def discard(self, digest: str) -> None:
        """Remove a configuration, to be written anew."""
        shutil.rmtree(self._store / digest, ignore_errors=True)

    def current_digest(self) -> str | None:
        """The digest of the configuration that a start would use."""
        try:
            target = Path(os.readlink(self.current))
        except OSError:
            return None
        inside = target == Path("config") / target.name
        return target.name if inside and (self._base / target / MAIN_FILE).is_file() else None

    def serves_something(self) -> bool:
        """Whether the current configuration has a backend: the one that a first start makes for itself has none."""
        try:
            return "\nbackend " in self.main_file.read_text(encoding="utf-8")
        except OSError:
            return False

    def _link(self, digest: str) -> None:
        now = time.time_ns()  # the file system's own clock may give two changes the same time
        os.utime(self._store / digest, ns=(now, now))
        fresh = self._base / f".current.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        fresh.symlink_to(Path("config") / digest)
        fresh.replace(self.current)

    def _prune(self, keep: set[str | None]) -> None:
        for directory in self._store.iterdir():
            if directory.name not in keep and directory.name != self._flushed:
                shutil.rmtree(directory, ignore_errors=True)

    @contextlib.contextmanager
    def candidate(self, config: ConfigFiles) -> Iterator[Path]:
        """A copy of a configuration that is gone afterwards."""
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = self._store / f".try.{os.getpid()}"
        try:
            _fill(directory, config)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _fill(directory: Path, config: ConfigFiles) -> None:
    """Write a configuration's files into a new directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    for name, text in config.files:
        with open(os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w",
                  encoding="utf-8") as file:
            file.write(text)


def _when_current(directory: Path) -> int:
    """When a configuration was last made the current one, in nanoseconds; 0 for never."""
    return directory.stat().st_mtime_ns


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
