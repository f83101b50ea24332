"""Which configuration a start takes, whatever a loss of power or a hand has left on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy_api.core.render import DIGEST_MAP, MAIN_FILE, ConfigFiles, digest_of
from proxy_api.haproxy.config_directory import ConfigDirectory


def config(text: str) -> ConfigFiles:
    files = {MAIN_FILE: text}
    digest = digest_of(files)
    return ConfigFiles((*files.items(), (DIGEST_MAP, f"digest {digest}\n")), digest)


FIRST, LAST, CHECKED = config("first"), config("last"), config("checked and never current")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Two configurations, of which one is current; a third was only checked, after that."""
    files = ConfigDirectory(str(tmp_path))
    for made in (FIRST, LAST):
        files.write(made)
        files.swap(made)
    files.write(CHECKED)
    return tmp_path


def gone(base: Path) -> None:
    shutil.rmtree(base / "config" / LAST.digest)


def unlinked(base: Path) -> None:
    (base / "current").unlink()


def relink(target: str) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        (base / "current").unlink()
        (base / "current").symlink_to(target)
    return change


def outside(base: Path) -> None:
    """The same name, elsewhere, with other content."""
    elsewhere = base / "elsewhere" / LAST.digest
    elsewhere.mkdir(parents=True)
    (elsewhere / MAIN_FILE).write_text("somebody else's")
    relink(str(elsewhere))(base)


def half_written(base: Path) -> None:
    (base / "config" / LAST.digest / DIGEST_MAP).unlink()


def empty_directory(base: Path) -> None:
    gone(base)
    (base / "config" / LAST.digest).mkdir()


def other_content(base: Path) -> None:
    (base / "config" / LAST.digest / MAIN_FILE).write_text("changed")


def other_name(base: Path) -> None:
    gone(base)
    shutil.copytree(base / "config" / FIRST.digest, base / "config" / "0123456789abcdef")
    relink("config/0123456789abcdef")(base)


def unfinished_write(base: Path) -> None:
    gone(base)
    (base / "config" / f".{LAST.digest}.123").mkdir()


def a_directory(base: Path) -> None:
    (base / "current").unlink()
    shutil.copytree(base / "config" / LAST.digest, base / "current")


def a_file(base: Path) -> None:
    (base / "current").unlink()
    (base / "current").write_text("x")


def nothing_left(base: Path) -> None:
    shutil.rmtree(base / "config")


def all_broken(base: Path) -> None:
    for path in (base / "config").iterdir():
        (path / MAIN_FILE).write_text("changed")


WHOLE = [
    (lambda base: None, LAST),
    (gone, FIRST),
    (unlinked, LAST),
    (relink("config/nothing"), LAST),
    (relink("nowhere"), LAST),
    (outside, LAST),
    (relink(f"../{Path('x').name}/config"), LAST),
    (half_written, FIRST),
    (empty_directory, FIRST),
    (other_content, FIRST),
    (other_name, FIRST),
    (unfinished_write, FIRST),
    (a_directory, LAST),
    (a_file, LAST),
    (nothing_left, None),
    (all_broken, None),
]


@pytest.mark.parametrize(("change", "wanted"), WHOLE, ids=[
    "as it was", "gone", "no link", "a link to none", "a link to nowhere", "outside", "outside and no configuration",
    "half written", "empty", "other content", "under another name", "unfinished", "a directory", "a file", "none left",
    "all broken"])
def test_a_start_takes_the_last_whole_configuration(base: Path, change: Callable[[Path], None],
                                                    wanted: ConfigFiles | None) -> None:
    change(base)
    files = ConfigDirectory(str(base))
    files.mend()
    if wanted is None:
        assert files.current_digest() is None
        assert not os.path.lexists(files.current)
        return
    assert files.current_digest() == wanted.digest
    assert files.main_file.read_text() == wanted.text()
    assert os.readlink(files.current) == f"config/{wanted.digest}"


def test_what_is_not_whole_is_written_anew(base: Path) -> None:
    half_written(base)
    files = ConfigDirectory(str(base))
    files.mend()
    files.write(LAST)
    files.swap(LAST)
    assert files.is_whole(LAST.digest)
    assert files.main_file.read_text() == "last"


def test_the_last_is_the_one_that_was_current_last_and_not_the_one_that_was_written_last(base: Path) -> None:
    files = ConfigDirectory(str(base))
    files.swap_back(FIRST.digest)
    unlinked(base)
    files.mend()
    assert files.current_digest() == FIRST.digest


def test_what_was_done_is_told(base: Path) -> None:
    files = ConfigDirectory(str(base))
    assert files.mend() == ""
    gone(base)
    assert files.mend() == f"{FIRST.digest} is taken: what current names is not whole"
    nothing_left(base)
    assert files.mend() == "none is whole"
