"""A journal that the version of format 1 wrote: what it has entered stays known, what it left open it finishes."""

import hashlib
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.earlier_runs import earlier_runs
from checkpoints.errors import JournalTooOld
from checkpoints.journal import open_journal
from checkpoints.records import PAYLOADS
from checkpoints.states import State
from tests.checkpoints.samples import NEW_RUN, all_items

DUMP = Path(__file__).with_name("format_1.sql")
TARGET = "http://127.0.0.1:8082"
ADD_ONE = """
insert into items (run_id, number, key, label, lane, payload, amount, row, state, frozen_at, changed_at)
select run_id, number + 1, '2009', '00009', 'account:8', '{"abonent_id":2009,"op_summa":"1.00"}', '1.00', '[]',
       'pending', frozen_at, changed_at
from items where run_id = 2 order by number desc limit 1;
"""
WAYS = {
    State.PENDING: (),
    State.SENDING: (State.SENDING,),
    State.UNKNOWN: (State.SENDING, State.UNKNOWN),
    State.MANUAL: (State.SENDING, State.UNKNOWN, State.MANUAL),
}


@pytest.fixture
def old(path: Path) -> Path:
    change(path, DUMP.read_text(encoding="utf-8"))
    return path


def change(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def contents(path: Path) -> dict[str, str]:
    return {entry.name: hashlib.sha256(entry.read_bytes()).hexdigest() for entry in path.parent.iterdir()}


async def test_what_its_runs_have_entered_is_known_by_subscriber_and_type(old: Path) -> None:
    async with open_journal(old) as journal:
        found = {run.name: [item.key for item in await all_items(journal, run)] for run in await journal.runs()}
    assert found == {
        "dmkvw": ["2001/8", "2003/8", "2004/8"],
        "jw222": ["2005/1", "2008/1"],
        "9vbda": ["2001/8", "2003/8", "2004/8"],
        "9ukmz": ["2011", "2014", "2016", "2017", "2020"],
        "8zh5d": [],
    }
    async with earlier_runs(old) as earlier:
        twins = await earlier.twins("balances", ["2001/8", "2001/1", "2005/1", "2005/8", "2001"])
    assert [(twin.run, twin.key, twin.amount, twin.state) for twin in twins] == [
        ("dmkvw", "2001/8", Decimal("50.50"), State.APPLIED),
        ("jw222", "2005/1", Decimal("100.00"), State.ACCEPTED),
        ("9vbda", "2001/8", Decimal("50.50"), State.ACCEPTED),
    ]


async def test_its_runs_are_told_from_those_that_come_after(old: Path) -> None:
    async with open_journal(old) as journal:
        assert {run.format for run in await journal.runs()} == {1}
        assert (await journal.create_run(NEW_RUN)).format == PAYLOADS


@pytest.mark.parametrize("state", WAYS)
async def test_an_open_row_is_for_the_version_that_wrote_it(old: Path, state: State) -> None:
    change(old, ADD_ONE)
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.executemany("update items set state = ? where key = '2009'", [(step,) for step in WAYS[state]])
    before = contents(old)
    with pytest.raises(JournalTooOld, match=r"not at their ends: jw222\. Finish them with the version that wrote"):
        async with open_journal(old):
            pass
    assert contents(old) == before
    change(old, "delete from items where key = '2009';")
    async with open_journal(old) as journal:
        assert len(await journal.runs()) == 5


async def test_a_list_that_is_not_complete_is_for_the_version_that_began_it(old: Path) -> None:
    change(old, "update runs set frozen_at = null where name in ('9vbda', '9ukmz', '8zh5d');")
    before = contents(old)
    with pytest.raises(JournalTooOld, match=r"not at their ends: 9vbda, 9ukmz\. Finish"):
        async with open_journal(old):
            pass
    assert contents(old) == before
