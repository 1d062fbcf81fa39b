"""A pytest plugin with a running mock billing, for other projects, in one line of a `conftest.py`.

    pytest_plugins = ["lab.pytest_plugin"]

A test with `mock_billing_server` gets a mock billing of its own, in the embedded Firebird: `url` is for the program
under test, `ledger` shows what was done to which subject, how often and by which request. It runs in a thread, so
tests need not be asynchronous. Only this module needs pytest.
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
"""The same subscribers in every test, so that tests may contain numbers and names."""


@pytest.fixture(scope="session")
def mock_billing_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that is copied for every test; a test suite can override it with its own subscribers."""
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
