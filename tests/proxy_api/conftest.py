"""Two origins that the tests of one file share."""

from __future__ import annotations

from collections.abc import Iterator

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
