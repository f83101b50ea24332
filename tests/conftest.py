"""Real parts for all tests. What is started here is stopped here, and nothing is skipped for want of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy import go_demo
from deploy.engine import engine as running_engine
from deploy.local import ConsulServer


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """A Docker engine: the one that answers, or one that the last of the test processes stops."""
    with running_engine():
        yield


@pytest.fixture(scope="session")
def go_demo_image(engine: None) -> str:
    """The name of the go-demo image, built when it is not there with today's content."""
    return go_demo.build()


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    """An empty dev Consul for one test: 0.15 s."""
    with ConsulServer() as server:
        yield server


@pytest.fixture
def durable_consul() -> Iterator[ConsulServer]:
    """A Consul with a data directory for one test, which can be killed and restarted: 1 to 2 s."""
    with ConsulServer(dev=False) as server:
        yield server


@pytest.fixture(scope="module")
def module_consul() -> Iterator[ConsulServer]:
    """A dev Consul that the tests of one file share; each keeps to names of its own."""
    with ConsulServer() as server:
        yield server
