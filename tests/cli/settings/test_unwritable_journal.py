"""A journal that another user has made, and files that this user cannot read: what is said of them."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from checkpoints.journal import open_journal
from tests.cli.conftest import Typed

URL: Final = "http://169.254.80.82:8082"

Closes = Callable[[Path, int], None]


async def make(path: Path) -> None:
    async with open_journal(path):
        pass


@pytest.fixture
def closed_to_us(monkeypatch: pytest.MonkeyPatch) -> Closes:
    """Makes the system refuse what is closed (`os.R_OK`, `os.W_OK`) of a file, which it would not do for root."""

    def close(path: Path, what: int) -> None:
        may, opens = os.access, os.open
        closing = os.O_RDWR | os.O_WRONLY if what == os.W_OK else ~0

        def access(file: Any, mode: int, **more: Any) -> bool:
            return not (str(file) == str(path) and mode & what) and may(file, mode, **more)

        def open_(file: Any, flags: int, *more: Any, **named: Any) -> int:
            if str(file) == str(path) and (flags & closing or what == os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return opens(file, flags, *more, **named)

        monkeypatch.setattr(os, "access", access)
        monkeypatch.setattr(os, "open", open_)

    return close


@pytest.mark.parametrize("command", [("run", "balances", "b.csv"), ("plan", "balances", "b.csv"), ("status",)])
@pytest.mark.parametrize("has_log", [True, False])
def test_it_is_the_journal_that_cannot_be_written_and_not_its_log(
    command: tuple[str, ...], has_log: bool, typed: Typed, closed_to_us: Closes, tmp_path: Path
) -> None:
    journal = tmp_path / "theirs.journal"
    asyncio.run(make(journal))
    (tmp_path / "b.csv").write_text("contract_number;amount\n1;5\n", encoding="utf-8")
    log = tmp_path / "theirs.journal.log"
    if has_log:
        log.touch(mode=0o600)
    closed_to_us(journal, os.W_OK)
    closed_to_us(log if has_log else tmp_path, os.W_OK)
    ended = typed(*command, "--journal", str(journal), "--api-url", URL)
    assert f"the journal {journal} cannot be written: Permission denied. It belongs to " in ended.words
    assert "work as that user, or name another journal" in ended.words
    assert ended.exit == 2


@pytest.mark.parametrize("flag", ["--journal", "--config"])
def test_doctor_says_of_a_file_that_it_cannot_read_what_it_says_of_all_faults(
    flag: str, typed: Typed, closed_to_us: Closes, tmp_path: Path
) -> None:
    path = tmp_path / "closed"
    path.touch(mode=0o600)
    closed_to_us(path, os.R_OK)
    ended = typed("doctor", flag, str(path), "--api-url", URL)
    assert "✓ program" in ended.out
    assert ended.exit == 2
    if flag == "--journal":
        assert f"✗ journal the journal {path} cannot be written: Permission denied" in " ".join(ended.out.split())
