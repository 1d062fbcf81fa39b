"""What a purge takes out of a journal, and what it leaves: the totals, and the knowledge of what was entered."""

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.address import JournalAddress
from checkpoints.earlier_runs import earlier_runs
from checkpoints.errors import JournalNotCleaned, JournalUnreadable, RunHeld, RunPurged, RunTakenOver, RunUnfinished
from checkpoints.journal import Journal, open_journal
from checkpoints.purge import Purge
from checkpoints.records import Change, EarlierEntry, Merged, NewItem, NewRun, Refusal, Run, Totals
from checkpoints.states import State
from checkpoints.tally import ExtraSubscriber, ImportTally
from tests.checkpoints.samples import NEW_RUN, all_items, keep, new_item, page
from tests.checkpoints.shells import shell
from tests.checkpoints.test_taking_back import undone
from texts.said import said

CANARY = "Канарейкина Вера"
PHONE = "+79161234567"
KEPT = {"operation": "opening"}

ALL = Purge(KEPT, lambda _: "{}", keep_totals=False)
WITH_TOTALS = replace(ALL, keep_totals=True)

PERSON = NewItem(
    key=PHONE,
    label=CANARY,
    lane=f"account {PHONE}",
    payload=f'{{"x":"{CANARY}","was":{{"sms":"{PHONE}"}}}}',
    amount=Decimal("5.10"),
    line=2,
    row=(CANARY, PHONE),
)
SKIPPED = replace(PERSON, key=f"{PHONE}/skipped", skip_reason=f"already as wanted: {CANARY}")
REFUSED = Refusal(4, CANARY, CANARY, f"there is no {CANARY}", (CANARY, PHONE))
REFUSES = replace(PERSON, key=f"{PHONE}/refuses", amount=Decimal(3))
TOTALS = Totals(
    {State.ACCEPTED: 1, State.SKIPPED: 1, State.REJECTED: 1},
    {State.ACCEPTED: Decimal("5.10"), State.SKIPPED: Decimal("5.10"), State.REJECTED: Decimal(3)},
    refused=1,
)


async def finished(
    journal: Journal,
    *items: NewItem,
    new: NewRun = NEW_RUN,
    answer: str = "4711",
    refused: Sequence[Refusal] = (REFUSED,),
) -> Run:
    """A run that has sent all that it could; rows whose key says so were rejected."""
    run = await journal.create_run(new)
    await journal.freeze(run, page(*items, refusals=refused), keep)
    await journal.end_intake(run)
    await journal.approve(run)
    pending = await journal.items(run, {State.PENDING})
    await journal.claim(run, [item.item_id for item in pending])
    await journal.record(run, [outcome(item.item_id, item.key, answer) for item in pending])
    await journal.history.note_command(run, "olga on desk", "set rate=20", "rate 20")
    return await journal.run(run.name)


def outcome(item_id: int, key: str, answer: str) -> Change:
    if key.endswith("refuses"):
        return Change(item_id, State.REJECTED, message=f"no: {CANARY}")
    return Change(item_id, State.ACCEPTED, answer=answer, message=f"entered for {CANARY if key == PHONE else key}")


def bytes_of(path: Path) -> bytes:
    """All that is in the journal and its log."""
    return b"".join(one.read_bytes() for one in path.parent.iterdir() if one.name.startswith(path.name))


async def judged(journal: Journal, *items: NewItem) -> list[list[tuple[str, Decimal | None, str | None]]]:
    """What a new run finds of the keys of these items."""
    found: list[list[tuple[str, Decimal | None, str | None]]] = []

    def judge(item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem:
        found.append([(twin.run, twin.amount, twin.wanted) for twin in twins])
        return item

    new = await journal.create_run(NEW_RUN)
    for item in items:
        await journal.judged(new, [item], judge)
    return found


@pytest.mark.parametrize("keep_totals", [True, False])
@pytest.mark.usefixtures("path")
async def test_nothing_of_people_is_left_in_the_bytes_of_the_file(journal: Journal, *, keep_totals: bool) -> None:
    run = await finished(journal, PERSON, SKIPPED, REFUSES, new=replace(NEW_RUN, parameters={"sms": PHONE}))
    other = await finished(journal, new_item("stays", "1"), refused=())
    extra = ExtraSubscriber(94, PHONE, CANARY, 89, Decimal(1))
    await journal.history.note_verification(run, "olga", {}, ImportTally(extra=1, first_extra=(extra,)))
    await journal.purge(run, WITH_TOTALS if keep_totals else ALL)
    assert not await journal.is_cleaned()
    await journal.clean()
    assert await journal.is_cleaned()
    left = bytes_of(journal.path)
    assert [word for word in (CANARY, CANARY.split()[1], PHONE[2:]) if word.encode() in left] == []
    commands = await journal.history.commands(run)
    # Who drove the run is no subscriber, and proves what was sent when.
    assert [one.who for one in commands] == (["olga on desk"] if keep_totals else [])
    assert [item.label for item in await all_items(journal, other)] == ["subscriber stays"]


@pytest.mark.parametrize("keep_totals", [True, False])
async def test_the_totals_are_as_before(journal: Journal, *, keep_totals: bool) -> None:
    run = await finished(journal, PERSON, SKIPPED, REFUSES)
    assert await journal.totals(run) == TOTALS
    await journal.purge(run, WITH_TOTALS if keep_totals else ALL)
    again = await journal.run(run.name)
    assert await journal.totals(again) == TOTALS
    assert (again.parameters, again.source, again.header, again.cursor) == (KEPT, "", (), None)
    assert (again.job, again.target, again.source_digest) == (run.job, run.target, run.source_digest)
    assert again.purged_at is not None


def rows_of(place: JournalAddress) -> list[tuple[object, ...]]:
    with shell(place) as behind:
        query = "select number, line, label, payload, row, message, amount, answer, state from items order by number"
        return list(behind.execute(query).fetchall())


async def test_with_totals_each_row_keeps_what_proves_them(journal: Journal, journal_address: JournalAddress) -> None:
    run = await finished(journal, PERSON, SKIPPED, REFUSES)
    purged = await journal.purge(run, WITH_TOTALS)
    assert (purged.emptied, purged.removed, purged.refusals) == (3, 0, 1)
    nothing = ("", "{}", "[]", None)
    assert rows_of(journal_address) == [
        (1, 2, *nothing, "5.10", "4711", "accepted"),
        (2, 2, *nothing, "5.10", None, "skipped"),
        (3, 2, *nothing, "3", None, "rejected"),
    ]


async def test_without_totals_only_a_trace_of_what_was_entered_stays(
    journal: Journal, journal_address: JournalAddress
) -> None:
    run = await finished(journal, PERSON, SKIPPED, REFUSES)
    purged = await journal.purge(run, ALL)
    assert (purged.emptied, purged.removed, purged.refusals) == (1, 2, 1)
    assert (purged.calls, purged.answers, purged.messages) == (3, 1, 3)
    assert rows_of(journal_address) == [(1, None, "", "{}", "[]", None, None, None, "accepted")]


@pytest.mark.parametrize("answer", ["89161234567", "9161234567", f'{{"name": "{CANARY}"}}', "12a"])
async def test_an_answer_stays_only_where_it_is_an_id(
    journal: Journal, journal_address: JournalAddress, answer: str
) -> None:
    run = await finished(journal, PERSON, answer=answer)
    await journal.purge(run, WITH_TOTALS)
    assert [row[7] for row in rows_of(journal_address)] == [None]


async def test_a_run_without_sums_keeps_no_answer(journal: Journal, journal_address: JournalAddress) -> None:
    run = await finished(journal, replace(PERSON, amount=None), answer="4711")
    await journal.purge(run, WITH_TOTALS)
    assert [row[7] for row in rows_of(journal_address)] == [None]


@pytest.mark.parametrize("keep_totals", [True, False])
async def test_the_same_money_is_known_after_a_purge(
    journal: Journal, journal_address: JournalAddress, *, keep_totals: bool
) -> None:
    attribute = replace(PERSON, key="7/attribute", amount=None, wanted="value A")
    run = await finished(journal, PERSON, attribute)
    await journal.purge(run, WITH_TOTALS if keep_totals else ALL)
    same = replace(PERSON, amount=Decimal("5.100"))
    another = replace(PERSON, amount=Decimal(6))
    other = replace(attribute, wanted="value B")
    kept = Decimal("5.10") if keep_totals else None
    assert await judged(journal, same, another, attribute, other, replace(PERSON, key="new")) == [
        [(run.name, Decimal("5.100"), None)],
        [(run.name, kept, "a value that is purged")],
        [(run.name, None, "value A")],
        [(run.name, None, "a value that is purged")],
        [],
    ]
    async with earlier_runs(journal_address) as earlier:
        (twins,) = await earlier.twins(run.job, [same])
    assert [(twin.run, twin.amount, twin.state) for twin in twins] == [(run.name, same.amount, State.ACCEPTED)]
    known = await journal.known_marks([(run.name, 1, same.lane), (run.name, 1, "account 77")])
    assert [(mark.run, mark.number, mark.lane, mark.in_lane) for mark in known] == [
        (run.name, 1, same.lane, True),
        (run.name, 1, "account 77", False),
    ]


@pytest.mark.parametrize("keep_totals", [True, False])
async def test_fields_that_are_told_to_people_are_known_after_a_purge(journal: Journal, *, keep_totals: bool) -> None:
    wanted = said("limit {sum}", sum="-1001")
    field = replace(PERSON, key="7/limit", amount=None, wanted=wanted)
    run = await finished(journal, field)
    await journal.purge(run, WITH_TOTALS if keep_totals else ALL)
    assert await judged(journal, field) == [[(run.name, None, wanted)]]


@pytest.mark.parametrize("keep_totals", [True, False])
async def test_a_row_that_another_one_carries_is_known_by_its_own_sum(journal: Journal, *, keep_totals: bool) -> None:
    run = await journal.create_run(NEW_RUN)
    carried = replace(PERSON, key="b", amount=Decimal(2))
    await journal.freeze(run, page(PERSON, carried), keep)
    first, second = await all_items(journal, run)
    merged = Merged(first.item_id, (second.item_id,), "carried by row 1", first.payload, Decimal("7.10"))
    await journal.merge(run, [merged])
    await journal.end_intake(run)
    await journal.approve(run)
    await journal.claim(run, [first.item_id])
    await journal.record(run, [Change(first.item_id, State.ACCEPTED)])
    await journal.purge(run, WITH_TOTALS if keep_totals else ALL)
    assert await judged(journal, PERSON, carried) == [
        [(run.name, PERSON.amount, None)],
        [(run.name, carried.amount, None)],
    ]


@pytest.mark.parametrize("keep_totals", [True, False])
async def test_what_stands_in_an_account_is_known_after_a_purge(
    journal: Journal, journal_address: JournalAddress, *, keep_totals: bool
) -> None:
    run = await finished(journal, PERSON)
    await journal.purge(run, WITH_TOTALS if keep_totals else ALL)
    other = replace(PERSON, key="another subscriber of the account")
    elsewhere = replace(PERSON, key="x", lane="account 9")
    asked = (run.job, run.target, [PERSON, other, elsewhere], "")
    (found,) = await journal.standing_in_lanes(*asked)
    assert (found.run, found.lane, found.key, found.payload) == (run.name, PERSON.lane, PERSON.key, "{}")
    async with earlier_runs(journal_address) as earlier:
        assert await earlier.standing_in_lanes(*asked) == [found]
    (found,) = await journal.standing_in_lanes(run.job, run.target, [other], "")
    assert found.key not in {PERSON.key, other.key}
    assert await journal.standing_in_lanes(run.job, run.target, [elsewhere], "") == []


async def test_what_was_taken_back_may_be_entered_again_after_a_purge(journal: Journal) -> None:
    run = await finished(journal, PERSON)
    await undone(journal, await all_items(journal, run))
    await journal.purge(run, WITH_TOTALS)
    assert await judged(journal, PERSON) == [[]]


async def test_an_undo_of_an_undo_knows_what_a_purged_run_has_entered_anew(journal: Journal) -> None:
    run = await finished(journal, PERSON)
    (back,) = await undone(journal, await all_items(journal, run))
    anew = await finished(journal, PERSON)
    assert await journal.entered_anew([back.item_id]) == {back.item_id: anew.name}
    await journal.purge(anew, ALL)
    assert await journal.entered_anew([back.item_id]) == {back.item_id: anew.name}


async def test_what_an_undo_would_restore_has_to_be_known(journal: Journal) -> None:
    run = await finished(journal, PERSON)
    (back,) = await undone(journal, await all_items(journal, run))
    await journal.purge(run, ALL)
    with pytest.raises(RunPurged, match=rf"run {run.name} was purged on .*nothing of it can be undone"):
        await journal.entered_anew([back.item_id])


async def test_a_run_with_something_left_to_do_is_not_touched(
    journal: Journal, journal_address: JournalAddress
) -> None:
    waiting = await journal.create_run(NEW_RUN)
    await journal.freeze(waiting, page(PERSON), keep)
    sending = await finished(journal, replace(PERSON, key="x"))
    (item,) = await all_items(journal, sending)
    await journal.doubt_answers(sending, [item.item_id], "doubted")
    decided = await finished(journal, replace(PERSON, key="y"))
    (item,) = await all_items(journal, decided)
    await journal.doubt_answers(decided, [item.item_id], "doubted")
    await journal.record(decided, [Change(item.item_id, State.MANUAL)])
    before = rows_of(journal_address)
    for run in (waiting, sending, decided):
        with pytest.raises(RunUnfinished, match="not at its end"):
            await journal.purge(run, ALL)
    assert rows_of(journal_address) == before


async def test_it_is_the_runs_own_rows_that_have_to_be_at_their_end(journal: Journal) -> None:
    doubted = await finished(journal, replace(PERSON, key="x"))
    (item,) = await all_items(journal, doubted)
    await journal.doubt_answers(doubted, [item.item_id], "doubted")
    # No other run is there that could be unfinished.
    with pytest.raises(RunUnfinished, match="not at its end"):
        await journal.purge(doubted, ALL)
    ended = await finished(journal, PERSON)
    assert (await journal.purge(ended, ALL)).emptied == 1


async def test_rows_that_entered_nothing_go_whatever_was_taken_back_elsewhere(journal: Journal) -> None:
    other = await finished(journal, replace(PERSON, key="x"))
    await undone(journal, await all_items(journal, other))
    run = await finished(journal, PERSON, SKIPPED, REFUSES)
    assert (await journal.purge(run, ALL)).removed == 2


@pytest.mark.usefixtures("path")
async def test_all_purges_of_a_journal_share_one_secret(journal: Journal) -> None:
    for key in "xy":
        await journal.purge(await finished(journal, replace(PERSON, key=key)), ALL)
    with contextlib.closing(sqlite3.connect(journal.path)) as shell:
        assert shell.execute("select count(*) from purging").fetchone() == (1,)


@pytest.mark.usefixtures("path")
async def test_a_run_that_was_given_up_loses_its_refused_rows(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    await journal.freeze(run, page(PERSON, refusals=[REFUSED]), keep)
    await journal.discard(run)
    await journal.purge(run, ALL)
    await journal.clean()
    assert CANARY.encode() not in bytes_of(journal.path)


async def test_a_run_that_is_worked_on_is_not_touched(journal: Journal, journal_address: JournalAddress) -> None:
    run = await finished(journal, PERSON)
    async with open_journal(journal_address) as other, other.taken_up(run):
        with pytest.raises(RunHeld, match="another process works on this run"):
            await journal.purge(run, WITH_TOTALS)
    assert [item.label for item in await all_items(journal, run)] == [CANARY]


async def test_a_run_that_another_process_has_had_meanwhile_is_not_touched(journal: Journal) -> None:
    run = await finished(journal, PERSON)
    await journal.take_up(run)
    with pytest.raises(RunTakenOver):
        await journal.purge(run, ALL)
    assert [item.label for item in await all_items(journal, run)] == [CANARY]


@pytest.mark.parametrize("keep_totals", [True, False])
async def test_the_rows_of_a_purged_run_cannot_be_read_or_written(journal: Journal, *, keep_totals: bool) -> None:
    run = await finished(journal, PERSON)
    await journal.purge(run, WITH_TOTALS if keep_totals else ALL)
    for asked in (
        journal.items(run, set(State)),
        journal.items_by_key(run, {"1"}),
        journal.last_unsettled(run, 1),
        journal.in_effect(run),
        journal.in_effect_last_first(run),
        journal.find(run, "1"),
        journal.lane_mates(run, [""]),
        journal.refusals(run),
        journal.take_up(run),
    ):
        with pytest.raises(RunPurged, match="its totals are kept"):
            await asked
    with pytest.raises(RunTakenOver):
        await journal.record(run, [Change(1, State.APPLIED)])


async def test_a_run_that_keeps_its_totals_can_be_purged_of_them_later(
    journal: Journal, journal_address: JournalAddress
) -> None:
    run = await finished(journal, PERSON, SKIPPED, REFUSES)
    await journal.purge(run, WITH_TOTALS)
    first = await journal.run(run.name)
    await journal.purge(first, ALL)
    assert await journal.totals(run) == TOTALS
    assert (await journal.run(run.name)).purged_at == first.purged_at
    assert await judged(journal, PERSON) == [[(run.name, PERSON.amount, None)]]
    assert len(rows_of(journal_address)) == 1


@pytest.mark.usefixtures("path")
async def test_digests_of_two_journals_and_of_two_jobs_differ(journal: Journal, tmp_path: Path) -> None:
    async with open_journal(tmp_path / "other.journal") as other:
        keys = set()
        for where, job in ((journal, "balances"), (journal, "payment"), (other, "balances")):
            run = await finished(where, PERSON, new=replace(NEW_RUN, job=job))
            await where.purge(run, WITH_TOTALS)
            with contextlib.closing(sqlite3.connect(where.path)) as connection:
                query = "select key from items where run_id = ?"
                keys |= set(connection.execute(query, [run.run_id]).fetchall())
    assert len(keys) == 3


@pytest.mark.usefixtures("path")
async def test_a_log_that_another_one_reads_is_told_and_can_be_emptied_later(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpoints.sqlite_connection.BUSY_SECONDS", 0.01)
    run = await finished(journal, PERSON)
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from items").fetchone()
        await journal.purge(run, WITH_TOTALS)
        with pytest.raises(JournalNotCleaned, match="another process reads the journal"):
            await journal.clean()
    assert not await journal.is_cleaned()
    await journal.clean()
    assert await journal.is_cleaned()
    assert CANARY.encode() not in bytes_of(journal.path)


@pytest.mark.usefixtures("path")
async def test_a_purge_that_is_not_written_removes_nothing(journal: Journal) -> None:
    run = await finished(journal, PERSON)
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as other:
        other.execute("create trigger full before update on refusals begin select raise(abort, 'full'); end")
    with pytest.raises(JournalUnreadable, match="full"):
        await journal.purge(run, WITH_TOTALS)
    assert (await journal.run(run.name)).purged_at is None
    assert [item.label for item in await all_items(journal, run)] == [CANARY]
