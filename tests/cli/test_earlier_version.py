"""A journal of an earlier version, as an operator meets it: what cannot be done says so, and what to do."""

import sqlite3
from contextlib import closing

import pytest

from cli.terminal.exits import Exit
from tests.checkpoints.test_format_1 import ADD_ONE, DUMP, TARGET
from tests.cli.conftest import Place

FINISHED = "jw222"


def take_over(place: Place, more: str = "") -> None:
    with closing(sqlite3.connect(place.cli.journal)) as connection:
        connection.executescript(DUMP.read_text(encoding="utf-8").replace(TARGET, place.billing.url) + more)


@pytest.mark.parametrize(
    "command", [("verify",), ("undo", "--yes"), ("run", "balances", "x.csv", "--yes", "--continue")]
)
async def test_what_an_old_run_takes_no_part_in_is_refused_in_words(place: Place, command: tuple[str, ...]) -> None:
    take_over(place)
    place.write("abonent_id;amount\n2009;1\n", "x.csv")
    ended = await place.cli(*command, FINISHED, may_end_with=(Exit.REFUSED,))
    assert f"run {FINISHED} was made by an earlier carbon-migrate, whose calls this one cannot read" in ended.words
    assert place.traffic.arrived == 0


async def test_an_old_run_is_shown_and_exported(place: Place) -> None:
    take_over(place)
    assert "107.25" in (await place.cli("status", FINISHED)).out
    await place.cli("export", FINISHED, "--state", "accepted", "-o", "rows.csv")
    assert "00005;100" in (place.cli.folder / "rows.csv").read_text(encoding="utf-8")


async def test_a_journal_with_an_old_run_that_is_not_at_its_end_is_refused_at_the_door(place: Place) -> None:
    take_over(place, ADD_ONE)
    for command in (("resume", FINISHED), ("reconcile", FINISHED), ("status",)):
        ended = await place.cli(*command, may_end_with=(Exit.REFUSED,))
        assert f"not at their ends: {FINISHED}. Finish them with the version that wrote them" in ended.words
    assert place.traffic.arrived == 0
