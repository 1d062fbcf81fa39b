"""What the tests of the journal share.

A test of a journal that asks for nothing of its file is a test of both stores.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress, journal_in_postgres
from tests.postgres_server import PostgresServer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test that has a journal, and does not look into its file, run with each store."""
    if {"journal", "journal_address"} & set(metafunc.fixturenames) and "path" not in metafunc.fixturenames:
        metafunc.parametrize("store", ["sqlite", "postgres"])


@pytest.fixture
def store() -> str:
    return "sqlite"


@pytest.fixture
def journal_address(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[JournalAddress]:
    """Where a journal is to be."""
    if store == "sqlite":
        yield JournalAddress(tmp_path / "journal.db")
        return
    server = request.getfixturevalue("postgres_server")
    assert isinstance(server, PostgresServer)
    with server.journal_without_rows() as address:
        yield journal_in_postgres(address, tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(journal_address: JournalAddress) -> AsyncIterator[Journal]:
    async with open_journal(journal_address) as opened:
        yield opened
