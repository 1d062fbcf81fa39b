"""What the tests of the journal share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from checkpoints.journal import Journal, open_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    async with open_journal(path) as opened:
        yield opened
