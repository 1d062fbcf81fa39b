"""What the tests of the journal share.

A test of a journal that asks for nothing of its file is a test of both stores.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.place import JournalPlace, postgres_place
from tests.postgres_server import PostgresServer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test that has a journal, and does not look into its file, run with each store."""
    if {"journal", "journal_place"} & set(metafunc.fixturenames) and "path" not in metafunc.fixturenames:
        metafunc.parametrize("store", ["sqlite", "postgres"])


@pytest.fixture
def store() -> str:
    return "sqlite"


@pytest.fixture
def journal_place(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> JournalPlace:
    """Where a journal is to be."""
    if store == "sqlite":
        return JournalPlace(tmp_path / "journal.db")
    server = request.getfixturevalue("postgres_server")
    assert isinstance(server, PostgresServer)
    return postgres_place(server.new_journal(), tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(journal_place: JournalPlace) -> AsyncIterator[Journal]:
    async with open_journal(journal_place) as opened:
        yield opened
