"""A command line and a journal in PostgreSQL, with runs in every stage where they are asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from checkpoints.address import journal_in_postgres
from checkpoints.journal import Journal, open_journal
from tests.cli.conftest import Cli, clean_environment
from tests.cli.fleet.campaigns import Campaign, every_stage
from tests.postgres_server import PostgresServer


@pytest.fixture
def address(postgres_server: PostgresServer) -> str:
    """The address of a journal in PostgreSQL."""
    return postgres_server.new_journal()


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A command line at 80 columns, in a folder without settings."""
    environment = clean_environment() | {"XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "80"}
    del environment["CARBON_MIGRATE_JOURNAL"]
    folder = tmp_path / "work"
    folder.mkdir()
    return Cli(folder, environment)


@pytest.fixture
async def journal(address: str, tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(journal_in_postgres(address, tmp_path)) as opened:
        yield opened


@pytest.fixture
async def campaign(journal: Journal) -> AsyncIterator[Campaign]:
    async with every_stage(journal) as made:
        yield made


def write_settings(cli: Cli, text: str) -> None:
    file = cli.folder / "carbon-migrate.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
