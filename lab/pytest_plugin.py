"""A running mock billing for the tests of others, in one line of a `conftest.py`.

    pytest_plugins = ["lab.pytest_plugin"]

A test that takes `mock_billing_server` then has one of its own, in the embedded Firebird: `url` is what a program
under test is given, `ledger` tells what was done to whom, how often and by which request. It runs in a thread, so
that tests need not be asynchronous. Only this module needs pytest.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from anyio.from_thread import start_blocking_portal

from lab.mock.population import create
from lab.mock.server import MockBilling, running

SUBSCRIBERS: Final = 100
SEED: Final = 1
"""The same subscribers in every test: numbers and names can be written into it."""


@pytest.fixture(scope="session")
def mock_billing_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that every test gets a copy of; with another of this name a test suite has its own subscribers."""
    path = tmp_path_factory.mktemp("mock_billing") / "billing.fdb"
    create(path, subscribers=SUBSCRIBERS, seed=SEED)
    return path


@pytest.fixture
def mock_billing_server(mock_billing_template: Path, tmp_path: Path) -> Iterator[MockBilling]:
    """A mock billing with 100 subscribers, on a port of its own, for one test."""
    path = Path(shutil.copy(mock_billing_template, tmp_path / "mock_billing.fdb"))
    with (
        start_blocking_portal(name="mock billing") as portal,
        portal.wrap_async_context_manager(running(path)) as server,
    ):
        yield server
