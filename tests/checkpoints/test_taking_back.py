"""Format 2 of the journal: what was taken back, corrected rows, and how two lists differ."""

import asyncio
import contextlib
import sqlite3
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints import rows
from checkpoints.address import JournalAddress
from checkpoints.earlier_runs import earlier_runs
from checkpoints.errors import ForbiddenTransition, JournalOtherFormat, JournalUnreadable
from checkpoints.journal import Journal, open_journal
from checkpoints.records import (
    Change,
    Correction,
    EarlierEntry,
    Item,
    Merged,
    NewItem,
    NewRun,
    NewRunner,
    Refusal,
    Run,
)
from checkpoints.sqlite_schema import prepare
from checkpoints.states import State
from checkpoints.stores import look_into
from tests.checkpoints.samples import NEW_RUN, all_items, frozen_run, keep, new_item, page, states

UNDO = NewRun("undo", {"run": "other"}, NEW_RUN.target, "run other")


async def accepted(journal: Journal, run: Run, *, ends: State = State.ACCEPTED) -> list[Item]:
    """All items of a run after they were sent, each of them ending so."""
    items = await all_items(journal, run)
    ids = [item.item_id for item in items]
    await journal.claim(run, ids)
    await journal.record(run, [Change(item_id, ends, answer="1") for item_id in ids])
    return await all_items(journal, run)


async def accepted_one(journal: Journal, run: Run, item: Item) -> None:
    await journal.claim(run, [item.item_id])
    await journal.record(run, [Change(item.item_id, State.ACCEPTED, answer="1")])


async def undone(journal: Journal, items: list[Item], *, ends: State = State.ACCEPTED) -> list[Item]:
    """The items of a run that has taken these back, or tried to."""
    run = await undo_of(journal, items)
    return await accepted(journal, run, ends=ends)


async def undo_of(journal: Journal, items: list[Item]) -> Run:
    run = await journal.create_run(UNDO)
    new = [NewItem(f"x/{one.number}", one.label, one.lane, "{}", undoes=one.item_id) for one in items]
    await journal.freeze(run, page(*new), keep)
    return run


async def standing(journal: Journal, run: Run) -> list[str]:
    return [item.key for item in await journal.in_effect(run)]


async def seen(journal: Journal, *items: NewItem) -> dict[str, list[EarlierEntry]]:
    """What a new run would find of the keys of these items."""
    found: dict[str, list[EarlierEntry]] = {}

    def judge(item: NewItem, twins: object) -> NewItem:
        assert isinstance(twins, list)
        found[item.key] = list(twins)
        return item

    await journal.judged(await journal.create_run(NEW_RUN), items, judge)
    return found


# ---- what was taken back -----------------------------------------------------------------------------------------


async def test_what_is_found_later_takes_back_as_well(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"))
    undo = await undo_of(journal, await accepted(journal, run))
    (back,) = await accepted(journal, undo, ends=State.UNKNOWN)
    await journal.record(undo, [Change(back.item_id, State.ACCEPTED)])
    assert await standing(journal, run) == []
    await journal.record(undo, [Change(back.item_id, State.APPLIED)])
    assert await standing(journal, run) == []


@pytest.mark.slow
@settings(max_examples=15)
@given(length=st.integers(0, 40), outcomes=st.lists(st.booleans(), max_size=3))
def test_a_chain_of_any_length_counts_as_often_as_it_was_turned(length: int, outcomes: list[bool]) -> None:
    async def check(path: Path) -> None:
        async with open_journal(path) as journal:
            run = await frozen_run(journal, new_item("a"))
            chain = [await accepted(journal, run)]
            for _ in range(length):
                chain.append(await undone(journal, chain[-1]))
            # Tries that came to nothing change nothing.
            for is_unknown in outcomes:
                await undone(journal, chain[-1], ends=State.UNKNOWN if is_unknown else State.REJECTED)
            with contextlib.closing(sqlite3.connect(path)) as shell:
                taken = [
                    shell.execute("select taken_back from items where item_id = ?", (items[0].item_id,)).fetchone()[0]
                    for items in chain
                ]
            # The last one stands; what it has taken back does not, and so on down to the first.
            assert taken == [(length - place) % 2 for place in range(length + 1)]
            assert await standing(journal, run) == ([] if length % 2 else ["a"])

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder) / "journal.db"))


async def test_what_was_entered_anew_is_told_by_the_undo_that_would_be_undone(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"), new_item("b"))
    items = await accepted(journal, run)
    back = await undone(journal, items)
    ids = [item.item_id for item in back]
    assert await journal.entered_anew(ids) == {}
    anew = await frozen_run(journal, new_item("a"))
    assert await journal.entered_anew(ids) == {ids[0]: anew.name}
    # Of another billing: nothing to do with it.
    await frozen_run(journal, new_item("b"), new=NewRun("balances", {}, "elsewhere", "input.csv"))
    assert await journal.entered_anew(ids) == {ids[0]: anew.name}
    await undone(journal, await accepted(journal, anew))
    assert await journal.entered_anew(ids) == {}
    assert await journal.entered_anew([item.item_id for item in items]) == {}


# ---- corrected rows ----------------------------------------------------------------------------------------------


def refuse(item: NewItem, _twins: object) -> Refusal:
    return Refusal(item.line, None, item.label, "no")


async def test_a_corrected_row_takes_the_place_of_the_rejected_one(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a", "1"), new_item("b", "2"))
    await accepted(journal, run, ends=State.REJECTED)
    await journal.correct(run, [Correction(new_item("c", "5"), number=2)], keep)
    assert await states(journal, run) == {"a": State.REJECTED, "b": State.REPLACED, "c": State.PENDING}
    totals = await journal.totals(run)
    assert totals.amounts == {State.REJECTED: 1, State.REPLACED: 2, State.PENDING: 5}
    replaced = (await journal.items(run, {State.REPLACED}))[0]
    assert (replaced.message or "").startswith("replaced by a corrected row")
    assert [item.number for item in await all_items(journal, run)] == [1, 2, 3]


async def test_a_corrected_row_mends_the_refused_one(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    bad = [Refusal(3, "amount", "x", "no number"), Refusal(4, "amount", "y", "no number")]
    await journal.freeze(run, page(new_item("a"), refusals=bad), keep)
    assert (await journal.totals(run)).refused == 2
    found = await journal.find_refusal(run, line=3)
    assert found is not None
    assert found == ((await journal.refusals(run))[0][0], False)
    await journal.correct(run, [Correction(new_item("b", line=3), refusal_id=found[0])], keep)
    assert (await journal.totals(run)).refused == 1
    assert [refusal.line for _, refusal in await journal.refusals(run)] == [4]
    assert await journal.find_refusal(run, line=3) == (found[0], True)
    assert await journal.find_refusal(run, refusal_id=found[0]) == (found[0], True)
    assert await journal.find_refusal(run, line=5) is None
    other = await journal.create_run(NEW_RUN)
    assert await journal.find_refusal(other, refusal_id=found[0]) is None


async def test_a_row_that_is_refused_again_replaces_nothing(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"))
    await accepted(journal, run, ends=State.REJECTED)
    (verdict,) = await journal.correct(run, [Correction(new_item("a"), number=1)], refuse)
    assert isinstance(verdict, Refusal)
    assert await states(journal, run) == {"a": State.REJECTED}


# ---- only looking ------------------------------------------------------------------------------------------------


async def test_whoever_only_looks_sees_what_is_in_effect_and_can_write_nothing(
    journal: Journal, journal_address: JournalAddress
) -> None:
    run = await frozen_run(journal, new_item("a", "7"), new_item("b"))
    await accepted(journal, run)
    await undone(journal, [(await all_items(journal, run))[1]])
    async with earlier_runs(journal_address) as earlier:
        found = await earlier.twins("balances", [new_item("a"), new_item("b"), new_item("c")])
        assert [[(twin.run, twin.key, twin.amount, twin.target) for twin in twins] for twins in found] == [
            [(run.name, "a", Decimal(7), NEW_RUN.target)],
            [],
            [],
        ]
        assert await earlier.twins("payment", [new_item("a")]) == [[]]
    with look_into(journal_address) as db:
        assert db is not None
        with pytest.raises(JournalUnreadable, match=r"read-?only"):
            db.attempt(lambda blocks: blocks.write("forget_states"))


async def test_where_there_is_no_journal_there_are_no_earlier_runs(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c.journal"
    async with earlier_runs(path) as earlier:
        assert await earlier.twins("balances", [new_item("a")]) == [[]]
    assert not path.exists()
    path.touch()
    async with earlier_runs(path) as earlier:
        assert await earlier.twins("balances", [new_item("a")]) == [[]]
    assert path.read_bytes() == b""


async def _look(path: Path) -> None:
    async with earlier_runs(path):
        pass


async def test_a_journal_of_another_format_is_not_looked_at(path: Path) -> None:
    prepare(path)
    for number, words in ((3, r"earlier carbon-migrate \(format 3;.*finish its runs"), (99, "newer .*format 99")):
        with contextlib.closing(sqlite3.connect(path)) as shell:
            shell.execute(f"pragma user_version = {number}")
        with pytest.raises(JournalOtherFormat, match=words):
            await _look(path)
    await anyio.Path(path).write_text("no journal at all, whatever it is called", encoding="utf-8")
    with pytest.raises(JournalUnreadable):
        await _look(path)


async def test_a_row_that_is_alone_in_its_lane_has_no_mates(journal: Journal) -> None:
    lanes = {"a": "account:1", "b": "account:2", "c": "account:1", "d": "account:3"}
    run = await frozen_run(journal, *(NewItem(key, key, lane, "{}", Decimal(1)) for key, lane in lanes.items()))
    await frozen_run(journal, NewItem("e", "e", "account:2", "{}", Decimal(1)))
    await accepted(journal, run)
    mates, taken_back = await journal.mates_in_shared_lanes(run, {"account:1", "account:2"})
    assert [one.key for one in mates] == ["a", "c"]
    assert taken_back == set()


async def test_rows_of_one_lane_that_stand_are_told_from_those_taken_back(journal: Journal) -> None:
    run = await frozen_run(journal, *(NewItem(key, key, "account:1", "{}", Decimal(1)) for key in "ab"))
    await frozen_run(journal, NewItem("c", "c", "account:1", "{}", Decimal(1)))
    items = await accepted(journal, run)
    await undone(journal, items[:1])
    assert [one.key for one in await journal.lane_mates(run, {"account:1"})] == ["a", "b"]
    mates, taken_back = await journal.mates_in_shared_lanes(run, {"account:1"})
    assert [one.key for one in mates] == ["a", "b"]
    assert taken_back == {items[0].item_id}
    assert await journal.mates_in_shared_lanes(run, {"account:2"}) == ([], set())


# ---- an undo of an undo that is under way ------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.PENDING, State.SENDING, State.UNKNOWN, State.MANUAL])
async def test_what_an_undo_of_an_undo_is_about_to_restore_may_not_be_entered_anew(
    journal: Journal, state: State
) -> None:
    (item,) = await accepted(journal, await frozen_run(journal, new_item("a")))
    restoring = await undo_of(journal, await undone(journal, [item]))
    (back,) = await all_items(journal, restoring)
    for step in {
        State.PENDING: [],
        State.SENDING: [State.SENDING],
        State.UNKNOWN: [State.SENDING, State.UNKNOWN],
        State.MANUAL: [State.SENDING, State.UNKNOWN, State.MANUAL],
    }[state]:
        await journal.record(restoring, [Change(back.item_id, step)])
    assert [twin.key for twin in (await seen(journal, new_item("a")))["a"]] == ["a"]


# ---- rows of one account that one operation stands for -----------------------------------------------------------


async def test_a_row_that_another_one_carries_is_entered_where_that_one_is(journal: Journal) -> None:
    lane = "account:1"
    run = await frozen_run(journal, *(NewItem(key, key, lane, "{}", Decimal(7)) for key in "ab"), new_item("c"))
    other = await frozen_run(journal, *(NewItem(key, key, lane, "{}", Decimal(7)) for key in "xy"))
    first, second = await journal.shared_items(run)
    await journal.merge(run, [Merged(second.item_id, (first.item_id,), "part of the sum", "{}", Decimal(14))])
    totals = await journal.totals(run)
    assert (totals.counts, totals.amount) == ({State.SKIPPED: 1, State.PENDING: 2}, Decimal("15.10"))
    assert await journal.shared_items(run) == []
    assert [one.key for one in await journal.shared_items(other)] == ["x", "y"]
    assert await journal.carried(run, second.number) == [first.number]

    pending = [one.item_id for one in await journal.items(run, {State.PENDING})]
    await journal.claim(run, pending)
    await journal.record(run, [Change(one, State.ACCEPTED) for one in pending])
    found = await seen(journal, new_item("a"), new_item("b"))
    assert {key: [(twin.amount, twin.state) for twin in twins] for key, twins in found.items()} == {
        "a": [(Decimal(7), State.ACCEPTED)],
        "b": [(Decimal(7), State.ACCEPTED)],
    }
    await undone(journal, [one for one in await journal.in_effect(run) if one.key == "b"])
    assert await seen(journal, new_item("a"), new_item("b")) == {"a": [], "b": []}


async def test_no_row_of_an_approved_run_is_merged_or_refused(journal: Journal) -> None:
    run = await frozen_run(journal, *(NewItem(key, key, "account:1", "{}", Decimal(7)) for key in "ab"))
    first, second = await journal.shared_items(run)
    await journal.approve(run)
    await journal.merge(run, [Merged(second.item_id, (first.item_id,), "too late")])
    await journal.refuse(run, {first.item_id: "too late"})
    assert (await journal.totals(run)).counts == {State.PENDING: 2}
    assert (await journal.totals(run)).refused == 0


async def test_what_stands_in_a_lane_is_told_of_other_runs_of_the_job_for_the_target(journal: Journal) -> None:
    asked = [new_item("x", lane="of two"), new_item("y", lane="alone")]
    first = await frozen_run(journal, new_item("a", lane="of two"), new_item("b", lane="of two"))
    carried, carrier = await all_items(journal, first)
    await journal.merge(first, [Merged(carrier.item_id, (carried.item_id,), "part of the sum")])
    await accepted_one(journal, first, carrier)
    other_job = await frozen_run(journal, new_item("c", lane="of two"), new=replace(NEW_RUN, job="call"))
    await accepted(journal, other_job)
    elsewhere = await frozen_run(journal, new_item("d", lane="of two"), new=replace(NEW_RUN, target="http://other"))
    await accepted(journal, elsewhere)
    await accepted(journal, await frozen_run(journal, new_item("e", lane="of two")), ends=State.REJECTED)
    waits = await frozen_run(journal, new_item("f", lane="alone"), new_item("g", lane="unasked"))

    async def standing(own: str = "") -> list[tuple[str, str, State]]:
        found = await journal.standing_in_lanes(NEW_RUN.job, NEW_RUN.target, asked, own)
        return [(one.run, one.key, one.state) for one in found]

    of_first = [(first.name, key, State.ACCEPTED) for key in ("a", "b")]
    assert await standing() == [*of_first, (waits.name, "f", State.PENDING)]
    assert await standing(waits.name) == of_first
    await undone(journal, [carrier])
    assert await standing(waits.name) == []


# ---- runs that have ended for good --------------------------------------------------------------------------------


async def half_sent(journal: Journal) -> tuple[Run, Item, Item]:
    """An approved run of two rows, of which the first is sent."""
    run = await frozen_run(journal, new_item("a"), new_item("b"))
    await journal.end_intake(run)
    await journal.approve(run)
    first, second = await all_items(journal, run)
    await accepted_one(journal, run, first)
    return await journal.run(run.name), first, second


async def test_an_undo_ends_its_run_when_it_is_approved_and_no_sooner(journal: Journal) -> None:
    run, first, second = await half_sent(journal)
    async with journal.taken_up(await undo_of(journal, [first]), NewRunner("undo", "olga@ops")) as undo:
        await journal.end_intake(undo)
        assert (await journal.run(run.name)).ended_at is None
        assert {key: len(twins) for key, twins in (await seen(journal, new_item("b"))).items()} == {"b": 1}
        await journal.approve(undo)
    ended = await journal.run(run.name)
    assert (ended.undone_by, ended.ended_by, ended.ended_why) == (undo.name, "olga@ops", None)
    assert ended.ended_at == (await journal.run(undo.name)).approved_at
    # What it never sent holds nobody back, and is not sent any more; what it sent stands until it is taken back.
    assert {key: len(twins) for key, twins in (await seen(journal, new_item("a"), new_item("b"))).items()} == {
        "a": 1,
        "b": 0,
    }
    with pytest.raises(ForbiddenTransition):
        await journal.claim(ended, [second.item_id])
    totals = await journal.totals(ended)
    assert (totals.count(State.PENDING), totals.unsent, totals.count_where(open=True), totals.taken_back) == (
        1,
        1,
        0,
        0,
    )
    (back,) = await all_items(journal, undo)
    await accepted_one(journal, await journal.run(undo.name), back)
    assert (await journal.totals(ended)).taken_back == 1


async def test_what_an_undo_of_an_undo_never_sent_restores_nothing(journal: Journal) -> None:
    run, first, _ = await half_sent(journal)
    undo = await undo_of(journal, [first])
    await journal.approve(undo)
    (back,) = await all_items(journal, undo)
    await accepted_one(journal, undo, back)
    forth = await undo_of(journal, [await item_of(journal, undo)])
    await journal.approve(forth)
    assert (await journal.run(undo.name)).undone_by == forth.name
    # It may be restored as long as that one may go on.
    assert len((await seen(journal, new_item("a")))["a"]) == 1
    await journal.end(forth, "olga@ops", "for good")
    assert (await seen(journal, new_item("a")))["a"] == []
    assert run.name != undo.name


async def item_of(journal: Journal, run: Run) -> Item:
    (item,) = await all_items(journal, run)
    return item


async def test_the_mark_of_a_row_that_is_never_sent_is_a_strangers(journal: Journal) -> None:
    run, _, second = await half_sent(journal)
    mark = (run.name, second.number, second.lane)
    assert [one.had_effect for one in await journal.known_marks([mark])] == [True]
    await journal.end(run, "olga@ops", "the wrong file")
    assert [one.had_effect for one in await journal.known_marks([mark])] == [False]
    first_end = await journal.run(run.name)
    assert (first_end.ended_by, first_end.ended_why) == ("olga@ops", "the wrong file")
    await journal.end(run, "ivan@ops", "again")
    assert await journal.run(run.name) == first_end


async def test_a_clock_that_was_set_back_hides_no_row_from_an_undo(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, first, second = await half_sent(journal)
    undo = await undo_of(journal, [first])
    await journal.end_intake(undo)
    monkeypatch.setattr(rows, "now", lambda: "2001-01-01T00:00:00.000+00:00")
    await accepted_one(journal, run, second)
    assert await journal.is_out_of_date(undo, run)


async def test_what_comes_while_the_list_of_an_undo_is_cut_short_is_missing_from_it(journal: Journal) -> None:
    run, first, second = await half_sent(journal)
    undo = await undo_of(journal, [first])
    await accepted_one(journal, run, second)
    assert not await journal.is_out_of_date(undo, run)
    await journal.end_intake(undo)
    assert await journal.is_out_of_date(undo, run)


async def test_what_an_undo_of_an_undo_restores_is_missing_from_the_list_of_a_third(journal: Journal) -> None:
    run, first, second = await half_sent(journal)
    await accepted_one(journal, run, second)
    (back,) = await undone(journal, [second])
    third = await undo_of(journal, [first])
    await journal.end_intake(third)
    assert not await journal.is_out_of_date(third, run)
    await undone(journal, [back])
    assert await journal.is_out_of_date(third, run)


async def test_what_an_undo_refuses_was_on_its_list(journal: Journal) -> None:
    run, first, second = await half_sent(journal)
    await accepted_one(journal, run, second)
    undo = await undo_of(journal, [first])
    refusal = Refusal(None, None, second.label, "no way back", (run.name, str(second.number), "b", "", "", "1"))
    await journal.freeze(undo, page(refusals=[refusal]), keep)
    await journal.end_intake(undo)
    assert not await journal.is_out_of_date(undo, run)


async def test_an_undo_has_the_amounts_of_what_it_takes_back_through_any_chain(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("1", "2.50"), new_item("2", "-1.10"), new_item("3", "4.00"))
    first, second, third = await all_items(journal, run)
    await journal.merge(run, [Merged(second.item_id, (first.item_id,), "part of a sum", "{}", Decimal("1.40"))])
    await journal.approve(run)
    items = [second, third]
    await journal.claim(run, [one.item_id for one in items])
    await journal.record(run, [Change(one.item_id, State.ACCEPTED, answer="1") for one in items])
    totals = await journal.totals(run)
    assert (totals.merged, totals.merged_amount) == (1, Decimal("2.50"))
    asked = await journal.amounts_of_rows(run, [1, 2])
    assert [(one.amount, one.carries, one.merged_into) for one in (asked[1], asked[2])] == [
        (Decimal("2.50"), Decimal(0), 2),
        (Decimal("-1.10"), Decimal("1.40"), None),
    ]
    for sign in (-1, 1, -1):
        undo = await undo_of(journal, items)
        items = await accepted(journal, undo)
        # Its own items carry no amounts at all.
        assert (await journal.totals(undo)).amounts == {State.ACCEPTED: sign * Decimal("5.40")}
        found = await journal.amounts_of_rows(undo, [1, 2])
        assert [found[number].amount for number in (1, 2)] == [sign * Decimal("1.40"), sign * Decimal("4.00")]
