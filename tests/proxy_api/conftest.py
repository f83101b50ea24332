"""Two origins that the tests of one file share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.origin import Origin


@pytest.fixture(scope="module")
def a() -> Iterator[Origin]:
    with Origin("a") as origin:
        yield origin


@pytest.fixture(scope="module")
def b() -> Iterator[Origin]:
    with Origin("b") as origin:
        yield origin


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="pb-", dir="/tmp") as folder:
        yield Path(folder)
