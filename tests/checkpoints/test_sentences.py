"""Sentences in the journal: what makes them in any language, and what they are counted by."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.errors import JournalOtherFormat
from checkpoints.journal import Journal, earlier_runs, open_journal
from checkpoints.queries import made_by, upgrade
from checkpoints.records import Change, Correction, Refusal, Run
from checkpoints.sentences import CONTRADICTS, ENDED
from checkpoints.states import State
from tests.checkpoints import format5
from tests.checkpoints.samples import NEW_RUN, all_items, frozen_run, keep, new_item, page
from texts.said import Quantity, Said, counted, from_builtins, from_json, kind_of, reason, said, to_json

WHEN = datetime(2026, 11, 26, 3, 4, 5, tzinfo=UTC)
WHY = said(
    "{rows} of {sum}, {when}: {all}",
    rows=counted("{n} row[s]", 5),
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
    again = from_json(to_json(WHY))
    assert isinstance(again, Said)
    assert (again, again.template, dict(again.values)) == (WHY, WHY.template, dict(WHY.values))
    rows = again.values["rows"]
    assert isinstance(rows, Said)
    assert (rows.many, rows.n, type(rows.values["n"])) == ("{n} rows", 5, Quantity)


@pytest.mark.parametrize("text", ["the billing's own text: {x}", "", '"quoted"', "50 {percent}"])
def test_a_text_without_a_template_stays_as_it_is(text: str) -> None:
    assert from_json(to_json(text)) == text
    assert to_json(from_json(to_json(text))) == to_json(text)


@pytest.mark.parametrize("kept", ["", "[]", "{"])
def test_what_is_no_sentence_is_shown_as_it_stands(kept: str) -> None:
    assert from_json(kept) == kept


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (reason("there since {when}: {what}", "there", when="May", what="x"), "there"),
        (said("line {line}: {what}", line=7, what="x: y"), "line 7"),
        (
            said("{why}, twice", why=said("no {thing}: {name}", thing="tariff", name="x")),
            "no tariff, twice",
        ),
        (counted("{n} row[s]: {what}", 5, what="x"), "5 rows"),
        ("Доступ запрещен: 7", "Доступ запрещен"),
        (from_json('"Доступ запрещен: 7"'), "Доступ запрещен"),
    ],
)
def test_a_reason_is_counted_by_its_code_or_by_its_beginning(text: str, kind: str) -> None:
    assert kind_of(text) == kind
    assert kind_of(from_json(to_json(text))) == kind


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
    (found,) = await journal.reasons(run, State.SKIPPED)
    assert template_of(found.example) == WHY.template

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


def of_format_6(path: Path) -> None:
    """Make a journal of format 5 one of format 6: beside some of its English texts it has their templates."""
    script = upgrade(5).partition("alter table items add column kind")[0] + made_by("sqlite", "effects")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        connection.execute(
            "update items set message = ?, message_said = ? where number = 1", (str(WHY), to_json(WHY))
        )
        connection.execute("pragma user_version = 6")
        connection.commit()


@pytest.mark.parametrize("has_templates", [False, True], ids=["format 5", "format 6"])
async def test_the_sentences_of_an_older_journal_are_kept(path: Path, has_templates: bool) -> None:
    format5.write(path)
    if has_templates:
        of_format_6(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update items set message = 'two: words' where number = 2")
        connection.commit()
    with pytest.raises(JournalOtherFormat, match=r"format [56]; .*`carbon-migrate status --journal"):
        async with earlier_runs(path):
            pass
    async with open_journal(path) as journal:
        run = await journal.run(format5.DONE)
        first, second, *_ = await all_items(journal, run)
        assert (second.message, second.kind) == ("two: words", "two")
        if has_templates:
            assert (first.message, template_of(first.message)) == (WHY, WHY.template)
        (_, refusal), *_ = await journal.refusals(run, size=9)
        assert refusal.reason == format5.REFUSED
    async with earlier_runs(path) as earlier:
        assert earlier is not None
