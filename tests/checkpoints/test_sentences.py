"""Sentences in the journal: their English text, and beside it what makes them in another language."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from socket import gethostname

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, Correction, NewRunner, Refusal, Run
from checkpoints.sentences import CONTRADICTS, ENDED
from checkpoints.states import State
from tests.checkpoints.samples import NEW_RUN, all_items, frozen_run, keep, new_item, page
from texts.said import Quantity, Said, counted, said
from texts.stored import from_builtins, from_json, to_json

WHEN = datetime(2026, 11, 26, 3, 4, 5, tzinfo=UTC)
WHY = said(
    "{rows} of {sum}, {when}: {all}",
    rows=counted("{n} row", "{n} rows", 5),
    sum=Decimal("-1.50"),
    when=WHEN,
    all=("a", said("line {line}", line=7)),
)


def template_of(text: object) -> str:
    assert isinstance(text, Said)
    return text.template


async def one_row(journal: Journal, *changes: tuple[State, str | None, str]) -> tuple[Run, Said | None]:
    run = await frozen_run(journal, new_item("1"))
    await journal.end_intake(run)
    await journal.approve(run)
    (item,) = await all_items(journal, run)
    await journal.claim(run, [item.item_id])
    for state, answer, message in changes:
        await journal.record(run, [Change(item.item_id, state, answer, message)])
    (item,) = await all_items(journal, run)
    return run, item.message


def test_a_sentence_is_the_same_out_of_its_json() -> None:
    again = from_json(WHY, to_json(WHY))
    assert isinstance(again, Said)
    assert (again, again.template, dict(again.values)) == (WHY, WHY.template, dict(WHY.values))
    rows = again.values["rows"]
    assert isinstance(rows, Said)
    assert (rows.many, rows.n, type(rows.values["n"])) == ("{n} rows", 5, Quantity)


@pytest.mark.parametrize(
    "kept", ["", "[]", "{", '{"is":"said","template":"{x}"}', '{"is":"said","template":"other"}']
)
def test_the_english_text_counts_where_what_is_kept_does_not_fit(kept: str) -> None:
    assert from_json("text", kept) == "text"
    assert not isinstance(from_json("text", kept), Said)


@pytest.mark.parametrize("template", ["{x:>99999999}", "{x.__class__}", "{0}", "{x[0]}", "{x:{x}}"])
def test_a_template_that_is_none_of_ours_is_not_filled_in(template: str) -> None:
    # A socket or a journal may carry anything: a width could take all memory, an attribute tell of the program.
    forged = {"is": "said", "template": template, "values": {"x": "9"}}
    assert from_builtins(forged) == str(forged)


async def test_each_sentence_about_a_row_comes_back_with_its_template(journal: Journal) -> None:
    _, message = await one_row(journal, (State.REJECTED, None, WHY))
    assert (message, template_of(message)) == (WHY, WHY.template)
    _, message = await one_row(journal, (State.REJECTED, None, "ваш тариф: {не найден}"))
    assert message == "ваш тариф: {не найден}"

    run = await frozen_run(journal, new_item("2", skip_reason=WHY))
    assert template_of((await all_items(journal, run))[0].message) == WHY.template
    (reason,) = await journal.reasons(run, State.SKIPPED)
    assert template_of(reason.example) == WHY.template

    run = await journal.create_run(NEW_RUN)
    await journal.freeze(run, page(refusals=[Refusal(3, "amount", "x", WHY, ("a",))]), keep)
    assert template_of((await journal.refusals(run, size=9))[0][1].reason) == WHY.template
    await journal.history.note_command(run, "olga", "pause", WHY)
    assert template_of((await journal.history.commands(run))[0].answer) == WHY.template


async def test_what_the_journal_itself_writes_has_a_template(journal: Journal) -> None:
    run, _ = await one_row(journal, (State.REJECTED, None, WHY))
    await journal.correct(run, [Correction(new_item("1", "2.20"), number=1)], keep)
    replaced = (await all_items(journal, run))[0].message
    assert replaced == f"replaced by a corrected row: {WHY}"
    assert isinstance(replaced, Said)
    assert template_of(replaced.values["message"]) == WHY.template

    run = await frozen_run(journal, new_item("5"))
    await journal.end_intake(run)
    await journal.approve(run)
    await journal.claim(run, [item.item_id for item in await all_items(journal, run)])
    await journal.doubt(run)
    (item,) = await all_items(journal, run)
    assert (item.message, template_of(item.message)) == (ENDED, ENDED.template)

    run = await journal.create_run(NEW_RUN)
    both = (new_item("7", "1.00", line=2), new_item("7", "2.00", line=3))
    await journal.freeze(run, page(both[0], refusals=[Refusal(3, None, "7", WHY, (), "7")]), keep)
    await journal.end_intake(run)
    assert template_of((await journal.refusals(run, size=9))[-1][1].reason) == CONTRADICTS.template


def older(path: Path) -> None:
    """Make it what the version before has made: a journal of format 5."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop view effects")
        # SQLite drops a last column with the end of the comment before it.
        connection.execute("alter table runs add column last text")
        for table, column in (("items", "message"), ("refusals", "reason"), ("commands", "answer")):
            connection.execute(f"alter table {table} drop column {column}_said")
        for table, column in (
            ("items", "unproven"),
            ("items", "seen"),
            *(("runs", name) for name in ("assumptions", "assumptions_said")),
            *(("runs", name) for name in ("undone_by", "ended_why", "ended_by", "ended_at")),
            *(("runners", name) for name in ("found", "absent", "left")),
        ):
            connection.execute(f'alter table {table} drop column "{column}"')
        connection.execute("create view effects as select item_id from items")
        connection.execute("pragma user_version = 5")


def early(path: Path) -> None:
    """Make a journal of format 5 an early one: a run names its last holder, a runner no host."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("alter table runners drop column host")
        for column in ("held_host text", "held_process integer", "held_since text"):
            connection.execute(f"alter table runs add column {column}")
        connection.execute("update runs set held_host = 'old-host', held_process = 7, held_since = '2026-11-25'")
        connection.commit()


async def test_an_early_journal_of_the_version_before_is_taken_over_with_its_runners(path: Path) -> None:
    async with open_journal(path) as journal:
        run = await frozen_run(journal, new_item("1"))
        await journal.take_up(run, NewRunner("run", "olga@console", "0.1.0", ""))
    older(path)
    early(path)
    async with open_journal(path) as journal:
        await journal.take_up(run, NewRunner("verify", "ivan@console", "0.1.0", ""))
        assert [(runner.purpose, runner.who) for runner in await journal.history.runners(run)] == [
            ("run", "olga@console"),
            ("verify", "ivan@console"),
        ]
    with closing(sqlite3.connect(path)) as connection:
        hosts = connection.execute("select host from runners order by epoch").fetchall()
        assert hosts == [("old-host",), (gethostname(),)]
        assert not {name for (name,) in connection.execute("select name from pragma_table_info('runs')")} & {
            "held_host",
            "held_process",
            "held_since",
        }
