"""A journal of the program before, as an operator has it: taken over, gone on with, and gone back to."""

import os
import shutil
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from tests.checkpoints import format5
from tests.cli.conftest import Place, Typed

RESUME = ("resume", format5.STOPPED, "--yes", "--json", "--limit-money")
COPY = "carbon-migrate.journal.format5"


def put_back(journal: Path, copy: Path) -> None:
    for behind in ("", "-wal", "-shm"):
        journal.with_name(journal.name + behind).unlink(missing_ok=True)
    shutil.move(copy, journal)


async def test_a_run_goes_on_after_an_upgrade_and_from_the_copy_it_enters_nothing_twice(place: Place) -> None:
    journal = place.cli.journal
    format5.write(journal, place.billing.url)
    first = await place.cli(*RESUME, "2", may_end_with=(3,))
    assert f"for going back to the program before copy={journal}.format5" in first.words
    assert COPY in await anyio.Path(f"{journal}.log").read_text(encoding="utf-8")
    entered = (await place.found()).rows
    assert 0 < entered < 12
    second = await place.cli(*RESUME, "none")
    assert second.closing["states"] == {"accepted": 12}
    assert "going back" not in second.words, "it is said once"
    # The program before has this journal again, in which none of the twelve was sent.
    put_back(journal, journal.with_name(COPY))
    ended = await place.cli(*RESUME, "none")
    assert ended.closing["states"] == {"accepted": 12}
    assert "this journal is older than the run" in ended.words
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (12, Decimal("5.14"), 1)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of format 5 where commands are typed."""
    path = tmp_path / "carbon-migrate.journal"
    format5.write(path)
    return path


def test_purge_removes_the_copies_that_hold_what_it_purges(typed: Typed, journal: Path) -> None:
    assert "going back" in typed("status").words
    assert "others on this machine" not in typed("status").err
    journal.with_name(COPY).chmod(0o644)
    assert f"chmod 600 {journal}.format5" in typed("status").err
    copy = journal.with_name(COPY)
    typed.refused("purge", format5.DONE, says=f"{journal}.format5 is removed: it was kept for going back")
    assert copy.exists()
    ended = typed("purge", format5.DONE, "--yes", "--json")
    assert (ended.closing["copies"], ended.closing["exit"]) == ([str(copy)], 0)
    assert not copy.exists()
    assert "Д94/2018".encode() not in journal.read_bytes()


def test_a_copy_that_cannot_be_removed_is_named_and_tried_again(typed: Typed, journal: Path) -> None:
    typed("status")
    copy = journal.with_name(COPY)
    copy.unlink()
    copy.mkdir()
    ended = typed("purge", format5.DONE, "--yes")
    assert ended.exit == 3
    assert f"{copy} cannot be removed, and holds what is purged" in ended.words
    copy.rmdir()
    copy.write_bytes(b"")
    assert typed("purge", format5.DONE, "--yes", "--json").exit == 0
    assert copy.exists(), "made after the purge, it holds nothing of it"


def test_by_age_a_copy_goes_where_no_run_does(typed: Typed, journal: Path) -> None:
    typed("status")
    copy = journal.with_name(COPY)
    assert "There is nothing to purge." in typed("purge", "--older-than", "90d").out
    assert copy.exists()
    os.utime(copy, (0, 0))
    typed.refused("purge", "--older-than", "90d", says="Purge 1 kept copy of the journal? This cannot be taken back.")
    ended = typed("purge", "--older-than", "90d", "--yes")
    assert f"✓ removed: {copy}" in ended.out
    assert "rewritten" not in ended.out
    assert not copy.exists()
