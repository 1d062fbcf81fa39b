"""Format 2 of the journal: what was taken back, corrected rows, and how two lists differ."""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from checkpoints import rows
from checkpoints.errors import (
    ForbiddenTransition,
    JournalNotCleaned,
    JournalUnreadable,
    RunHeld,
    RunPurged,
    RunTakenOver,
    RunUnfinished,
)
from checkpoints.journal import Journal, earlier_runs, open_journal
from checkpoints.journal_file import JournalAddress
from checkpoints.records import (
    Change,
    Correction,
    Item,
    Merged,
    NewItem,
    NewRun,
    NewRunner,
    Refusal,
    Run,
    Totals,
)
from checkpoints.sentences import AS_IT_WAS
from checkpoints.states import State
from checkpoints.stores import store_of
from checkpoints.tally import ExtraSubscriber, ImportTally
from checkpoints.transitions import Purge
from tests.checkpoints.samples import NEW_RUN, all_items, come_to, frozen_run, keep, new_item, page, seen, states
from tests.checkpoints.shells import shell
from texts.said import reason, said

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


async def counted(journal: Journal, *keys: str) -> list[int]:
    """How many earlier rows a new run finds of each key."""
    return [len(twins) for twins in await seen(journal, *map(new_item, keys))]


async def standing(journal: Journal, run: Run) -> list[str]:
    return [item.key for item in await journal.in_effect(run)]


# ---- what was taken back -----------------------------------------------------------------------------------------


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


async def test_a_row_is_told_as_taken_back_by_one_run(journal: Journal) -> None:
    """Journals have both: an undo that found the row gone, and one whose taking back stands again since."""
    run = await frozen_run(journal, new_item("a"))
    (one,) = await accepted(journal, run)
    undo = await undo_of(journal, [one])
    restoring = await undone(journal, await accepted(journal, undo))
    looked = await journal.create_run(UNDO)
    gone = NewItem("x", "", "x", "{}", undoes=one.item_id, skip_reason=reason("gone", AS_IT_WAS))
    await journal.freeze(looked, page(gone), keep)
    await journal.note_gone(looked)
    assert await journal.taken_back(run) == {looked.name: 1}
    await undone(journal, restoring)
    assert await journal.taken_back(run) == {undo.name: 1}


# ---- corrected rows ----------------------------------------------------------------------------------------------


def refuse(item: NewItem, _twins: object) -> Refusal:
    return Refusal(item.line, None, item.label, "no")


async def test_a_corrected_row_takes_the_place_of_the_rejected_one(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a", "1"), new_item("b", "2"))
    await accepted(journal, run, ends=State.REJECTED)
    (verdict,) = await journal.correct(run, [Correction(new_item("a"), number=1)], refuse)
    assert isinstance(verdict, Refusal)
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


# ---- only looking ------------------------------------------------------------------------------------------------


async def test_who_looks_sees_effects_and_writes_nothing(journal: Journal, journal_address: JournalAddress) -> None:
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
    with store_of(journal_address).look() as db:
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


@pytest.mark.parametrize("state", [State.PENDING, State.SENDING, State.UNKNOWN, State.MANUAL, State.REJECTED])
async def test_what_an_undo_of_an_undo_may_restore_is_not_entered_anew(journal: Journal, state: State) -> None:
    items = await accepted(journal, await frozen_run(journal, new_item("a")))
    restoring = await undo_of(journal, await undone(journal, items))
    await come_to(journal, restoring, {1: state})
    assert await counted(journal, "a") == [0 if state is State.REJECTED else 1]


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
    assert [[(twin.amount, twin.state) for twin in twins] for twins in found] == [[(Decimal(7), State.ACCEPTED)]] * 2
    await undone(journal, [one for one in await journal.in_effect(run) if one.key == "b"])
    assert await counted(journal, "a", "b") == [0, 0]


async def test_a_row_is_refused_or_merged_before_the_approval_and_leaves_no_other_out(journal: Journal) -> None:
    """Else it would be told as refused, and sent all the same."""
    shared = [NewItem(key, key, "account:1", "{}", Decimal(7)) for key in "ab"]
    run, other = [await frozen_run(journal, *shared, new_item("c")) for _ in range(2)]
    first, second, third = await all_items(journal, run)
    await journal.refuse(run, {third.item_id: "nobody can tell"})
    await journal.approve(run)
    await journal.merge(run, [Merged(second.item_id, (first.item_id,), "too late")])
    await journal.refuse(run, {first.item_id: "too late"})
    assert await all_items(journal, run) == [first, second]
    assert len(await all_items(journal, other)) == 3
    totals = await journal.totals(run)
    assert (totals.counts, totals.refused) == ({State.PENDING: 2}, 1)


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
        assert await counted(journal, "b") == [1]
        await journal.approve(undo)
    ended = await journal.run(run.name)
    assert (ended.undone_by, ended.ended_by, ended.ended_why) == (undo.name, "olga@ops", None)
    assert ended.ended_at == (await journal.run(undo.name)).approved_at
    # What it never sent holds nobody back, and is not sent any more; what it sent stands until it is taken back.
    assert await counted(journal, "a", "b") == [1, 0]
    with pytest.raises(ForbiddenTransition):
        await journal.claim(ended, [second.item_id])
    totals = await journal.totals(ended)
    assert (totals.count(State.PENDING), totals.unsent, totals.count_where(open=True)) == (1, 1, 0)
    assert totals.taken_back == 0
    (back,) = await all_items(journal, undo)
    await accepted_one(journal, await journal.run(undo.name), back)
    assert (await journal.totals(ended)).taken_back == 1


async def test_what_an_undo_of_an_undo_never_sent_restores_nothing(journal: Journal) -> None:
    _, first, _ = await half_sent(journal)
    undo = await undo_of(journal, [first])
    await journal.approve(undo)
    forth = await undo_of(journal, await accepted(journal, undo))
    await journal.approve(forth)
    assert (await journal.run(undo.name)).undone_by == forth.name
    # It may be restored as long as that one may go on.
    assert await counted(journal, "a") == [1]
    await journal.end(forth, "olga@ops", "for good")
    assert await counted(journal, "a") == [0]


async def test_the_mark_of_a_row_that_is_never_sent_is_a_strangers(journal: Journal) -> None:
    run, _, second = await half_sent(journal)
    mark = (run.name, second.number, second.lane, second.key)
    assert [one.had_effect for one in await journal.known_marks([mark])] == [True]
    await journal.end(run, "olga@ops", "the wrong file")
    assert [one.had_effect for one in await journal.known_marks([mark])] == [False]
    first_end = await journal.run(run.name)
    assert (first_end.ended_by, first_end.ended_why) == ("olga@ops", "the wrong file")
    await journal.end(run, "ivan@ops", "again")
    assert await journal.run(run.name) == first_end


@pytest.mark.parametrize(
    "is_ended", [False, True], ids=["while its list is read", "later, by a clock that was set back"]
)
async def test_what_comes_meanwhile_is_missing_from_the_list_of_an_undo(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, is_ended: bool
) -> None:
    run, first, second = await half_sent(journal)
    undo = await undo_of(journal, [first])
    if is_ended:
        await journal.end_intake(undo)
        monkeypatch.setattr(rows, "now", lambda: "2001-01-01T00:00:00.000+00:00")
    await accepted_one(journal, run, second)
    assert await journal.is_out_of_date(undo, run) is is_ended
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


@pytest.mark.parametrize("ends", [State.PENDING, State.REJECTED])
async def test_what_may_have_had_its_effect_is_taken_back_until_it_is_known(journal: Journal, ends: State) -> None:
    run, first, second = await half_sent(journal)
    before = await undo_of(journal, [first])
    await journal.end_intake(before)
    for unproven in (True, False):
        # It is sent again, and provably not this time: what the call before has done is as unknown as it was.
        await journal.claim(run, [second.item_id])
        await journal.record(run, [Change(second.item_id, State.PENDING, unproven=unproven)])
    await journal.claim(run, [second.item_id])
    await journal.record(run, [Change(second.item_id, ends)])
    assert await standing(journal, run) == ["a", "b"]
    assert (await journal.totals(run)).unanswered == 1
    assert await journal.is_out_of_date(before, run)
    undo = await undo_of(journal, [first, second])
    await journal.end_intake(undo)
    assert not await journal.is_out_of_date(undo, run)
    assert len(await accepted(journal, undo)) == 2
    assert await standing(journal, run) == []
    totals = await journal.totals(run)
    assert (totals.taken_back, totals.unanswered) == (1, 0)


async def test_what_is_in_effect_or_provably_is_not_is_no_more_unanswered(journal: Journal) -> None:
    run, _, second = await half_sent(journal)
    for state, unproven, left in ((State.PENDING, True, ["a", "b"]), (State.ACCEPTED, False, ["a", "b"])):
        await journal.claim(run, [second.item_id])
        await journal.record(run, [Change(second.item_id, state, unproven=unproven)])
        assert await standing(journal, run) == left
    assert (await journal.totals(run)).unanswered == await journal.unproven(run) == 0


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
        changes = [sign * Decimal("1.40"), sign * Decimal("4.00")]
        assert [found[number].amount for number in (1, 2)] == changes
        # By these its sums are counted while it works, too.
        assert [one.change for one in await journal.items(undo, set(State))] == changes


CANARY = "Канарейкина Вера"
PHONE = "+79161234567"
KEPT = {"operation": "opening"}

ALL = Purge(KEPT, lambda _: "{}", keep_totals=False)
WITH_TOTALS = replace(ALL, keep_totals=True)


@pytest.fixture(params=[WITH_TOTALS, ALL], ids=["with totals", "all"])
def purge(request: pytest.FixtureRequest) -> Purge:
    assert isinstance(request.param, Purge)
    return request.param


PERSON = NewItem(
    key=PHONE,
    label=CANARY,
    lane=f"account {PHONE}",
    payload=f'{{"x":"{CANARY}","was":{{"sms":"{PHONE}"}}}}',
    amount=Decimal("5.10"),
    line=2,
    row=(CANARY, PHONE),
)
SKIPPED = structs.replace(PERSON, key=f"{PHONE}/skipped", skip_reason=f"already as wanted: {CANARY}")
REFUSED = Refusal(4, CANARY, CANARY, f"there is no {CANARY}", (CANARY, PHONE))
REFUSES = structs.replace(PERSON, key=f"{PHONE}/refuses", amount=Decimal(3))
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


async def known(journal: Journal, *items: NewItem) -> list[list[tuple[str, Decimal | None, str | None]]]:
    """What a new run finds of the keys of these items."""
    return [[(twin.run, twin.amount, twin.wanted) for twin in twins] for twins in await seen(journal, *items)]


@pytest.mark.usefixtures("path")
async def test_nothing_of_people_is_left_in_the_bytes_of_the_file(journal: Journal, purge: Purge) -> None:
    run = await finished(journal, PERSON, SKIPPED, REFUSES, new=replace(NEW_RUN, parameters={"sms": PHONE}))
    run = await journal.take_up(run)
    await journal.mailbox.tell(run, f"{CANARY}: no account", 1, CANARY)
    with anyio.move_on_after(0.01):
        await journal.mailbox.ask(run, "olga", f"set {PHONE}", 60)
    other = await finished(journal, new_item("stays", "1"), refused=())
    given_up = await journal.create_run(NEW_RUN)
    await journal.freeze(given_up, page(PERSON, refusals=[REFUSED]), keep)
    await journal.discard(given_up)
    extra = ExtraSubscriber(94, PHONE, CANARY, 89, Decimal(1))
    await journal.history.note_verification(run, "olga", {}, ImportTally(extra=1, first_extra=(extra,)))
    for one in (run, given_up):
        await journal.purge(one, purge)
    assert not await journal.is_cleaned()
    await journal.clean()
    assert await journal.is_cleaned()
    left = bytes_of(journal.path)
    assert [word for word in (CANARY, CANARY.split()[1], PHONE[2:]) if word.encode() in left] == []
    commands = await journal.history.commands(run)
    # Who drove the run is no subscriber, and proves what was sent when.
    assert [one.who for one in commands] == (["olga on desk"] if purge.keep_totals else [])
    assert [item.label for item in await all_items(journal, other)] == ["subscriber stays"]


async def test_totals_and_their_proof_stay(journal: Journal, journal_address: JournalAddress, purge: Purge) -> None:
    elsewhere = await finished(journal, structs.replace(PERSON, key="x"), refused=())
    await undone(journal, await all_items(journal, elsewhere))
    run = await finished(journal, PERSON, SKIPPED, REFUSES)
    assert await journal.totals(run) == TOTALS
    purged = await journal.purge(run, purge)
    assert (purged.emptied, purged.removed) == ((3, 0) if purge.keep_totals else (1, 2))
    assert (purged.refusals, purged.calls, purged.answers, purged.messages) == (1, 3, 1, 3)
    nothing = ("", "{}", "[]", None)
    trace = [(1, None, *nothing, None, None, "accepted")]
    proof = [
        (1, 2, *nothing, "5.10", "4711", "accepted"),
        (2, 2, *nothing, "5.10", None, "skipped"),
        (3, 2, *nothing, "3", None, "rejected"),
    ]
    assert rows_of(journal_address, run) == (proof if purge.keep_totals else trace)
    first = await journal.run(run.name)
    assert (first.parameters, first.source, first.header, first.cursor) == (KEPT, "", (), None)
    assert (first.job, first.target, first.source_digest) == (run.job, run.target, run.source_digest)
    assert first.purged_at is not None
    assert await journal.totals(first) == TOTALS
    # One that has kept its totals can be purged of them later.
    await journal.purge(first, ALL)
    again = await journal.run(run.name)
    assert (await journal.totals(again), again.purged_at) == (TOTALS, first.purged_at)
    assert rows_of(journal_address, run) == trace
    assert await known(journal, PERSON) == [[(run.name, PERSON.amount, None)]]


@pytest.mark.parametrize(
    ("answer", "amount"),
    [
        *((answer, "5.10") for answer in ("89161234567", "9161234567", f'{{"name": "{CANARY}"}}', "12a")),
        ("4711", None),
    ],
)
async def test_an_answer_stays_only_where_it_is_an_id_and_there_are_sums(
    journal: Journal, journal_address: JournalAddress, answer: str, amount: str | None
) -> None:
    run = await finished(
        journal, structs.replace(PERSON, amount=None if amount is None else Decimal(amount)), answer=answer
    )
    await journal.purge(run, WITH_TOTALS)
    assert [row[7] for row in rows_of(journal_address, run)] == [None]


def rows_of(place: JournalAddress, run: Run) -> list[tuple[object, ...]]:
    columns = "number, line, label, payload, row, message, amount, answer, state"
    with shell(place) as behind:
        query = f"select {columns} from items where run_id = ? order by number"  # noqa: S608 - names of ours
        return list(behind.execute(query, (run.run_id,)).fetchall())


async def test_money_is_known_after_a_purge(journal: Journal, journal_address: JournalAddress, purge: Purge) -> None:
    attribute = structs.replace(PERSON, key="7/attribute", amount=None, wanted="value A")
    field = structs.replace(attribute, key="7/limit", wanted=said("limit {sum}", sum="-1001"))
    run = await finished(journal, PERSON, attribute, field)
    await journal.purge(run, purge)
    same, another = [structs.replace(PERSON, amount=Decimal(amount)) for amount in ("5.100", "6")]
    other, new = structs.replace(attribute, wanted="value B"), structs.replace(PERSON, key="new")
    kept = Decimal("5.10") if purge.keep_totals else None
    assert await known(journal, same, another, attribute, other, field, new) == [
        [(run.name, Decimal("5.100"), None)],
        [(run.name, kept, "a value that is purged")],
        [(run.name, None, "value A")],
        [(run.name, None, "a value that is purged")],
        [(run.name, None, field.wanted)],
        [],
    ]
    asked = (run.job, run.target, [same, new, structs.replace(PERSON, key="x", lane="account 9")], "")
    async with earlier_runs(journal_address) as earlier:
        ((twin,),) = await earlier.twins(run.job, [same])
        standing = await earlier.standing_in_lanes(*asked)
    assert (twin.run, twin.amount, twin.state) == (run.name, same.amount, State.ACCEPTED)
    assert await journal.standing_in_lanes(*asked) == standing
    # A key is told to who has it alone, and an account to all that have it.
    assert (standing[0].run, standing[0].lane, standing[0].key) == (run.name, PERSON.lane, PERSON.key)
    assert {(one.payload, one.key in {new.key, "x"}) for one in standing} == {("{}", False)}
    (found, *_) = await journal.standing_in_lanes(run.job, run.target, [new], "")
    assert found.key not in {PERSON.key, new.key}
    assert await journal.standing_in_lanes(run.job, run.target, asked[2][2:], "") == []
    marks = await journal.known_marks([(run.name, 1, same.lane, "x"), (run.name, 1, "account 77", same.key)])
    assert {(mark.run, mark.number, mark.lane, mark.in_lane, mark.in_row) for mark in marks} == {
        (run.name, 1, same.lane, True, False),
        (run.name, 1, "account 77", False, True),
    }


async def test_a_row_that_another_one_carries_is_known_by_its_own_sum(journal: Journal, purge: Purge) -> None:
    carried = structs.replace(PERSON, key="b", amount=Decimal(2))
    run = await frozen_run(journal, PERSON, carried)
    first, second = await all_items(journal, run)
    merged = Merged(first.item_id, (second.item_id,), "carried by row 1", first.payload, Decimal("7.10"))
    await journal.merge(run, [merged])
    await journal.end_intake(run)
    await journal.approve(run)
    await come_to(journal, run, {1: State.ACCEPTED})
    await journal.purge(run, purge)
    assert await known(journal, PERSON, carried) == [[(run.name, one.amount, None)] for one in (PERSON, carried)]


async def test_an_undo_of_an_undo_knows_what_a_purged_run_has_entered_anew(journal: Journal) -> None:
    run = await finished(journal, PERSON)
    (back,) = await undone(journal, await all_items(journal, run))
    anew = await finished(journal, PERSON)
    for _ in range(2):
        assert await journal.entered_anew([back.item_id]) == {back.item_id: anew.name}
        await journal.purge(await journal.run(anew.name), ALL)
    # What has been taken back may be entered again; what would be restored has to be known.
    await undone(journal, await all_items(journal, await finished(journal, structs.replace(PERSON, key="x"))))
    assert await known(journal, structs.replace(PERSON, key="x")) == [[]]
    await journal.purge(run, ALL)
    with pytest.raises(RunPurged, match=rf"run {run.name} was purged on .*nothing of it can be undone"):
        await journal.entered_anew([back.item_id])


async def test_a_run_with_something_left_to_do_is_not_touched_and_hinders_no_other(
    journal: Journal, journal_address: JournalAddress
) -> None:
    left = [await frozen_run(journal, PERSON)]
    for key, steps in (("x", ()), ("y", (State.MANUAL,))):
        run = await finished(journal, structs.replace(PERSON, key=key))
        (item,) = await all_items(journal, run)
        await journal.doubt_answers(run, [item.item_id], "doubted")
        await journal.record(run, [Change(item.item_id, state) for state in steps])
        left.append(run)
    before = [rows_of(journal_address, run) for run in left]
    for run in left:
        with pytest.raises(RunUnfinished, match="not at its end"):
            await journal.purge(run, ALL)
    assert [rows_of(journal_address, run) for run in left] == before
    assert (await journal.purge(await finished(journal, PERSON), ALL)).emptied == 1


async def test_the_rows_of_a_purged_run_cannot_be_read_or_written(journal: Journal, purge: Purge) -> None:
    run = await finished(journal, PERSON)
    await journal.purge(run, purge)
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


@pytest.mark.usefixtures("path")
async def test_digests_differ_by_journal_and_job_with_one_secret_each(journal: Journal, tmp_path: Path) -> None:
    keys, secrets = set(), set()
    async with open_journal(tmp_path / "other.journal") as other:
        for where, job in ((journal, "balances"), (journal, "payment"), (other, "balances")):
            run = await finished(where, PERSON, new=replace(NEW_RUN, job=job))
            await where.purge(run, WITH_TOTALS)
            with contextlib.closing(sqlite3.connect(where.path)) as connection:
                query = "select key from items where run_id = ?"
                keys |= set(connection.execute(query, [run.run_id]).fetchall())
                secrets |= set(connection.execute("select count(*) from purging").fetchall())
    assert (len(keys), secrets) == (3, {(1,)})


@pytest.mark.usefixtures("path")
async def test_a_log_that_is_read_is_told_and_emptied_later(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpoints.sqlite_store.BUSY_SECONDS", 0.01)
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


async def test_a_run_that_another_process_works_on_or_has_had_meanwhile_is_not_touched(
    journal: Journal, journal_address: JournalAddress
) -> None:
    run = await finished(journal, PERSON)
    async with open_journal(journal_address) as other, other.taken_up(run):
        with pytest.raises(RunHeld, match="another process works on this run"):
            await journal.purge(run, WITH_TOTALS)
    # Its epoch is another one's since.
    with pytest.raises(RunTakenOver):
        await journal.purge(run, WITH_TOTALS)
    assert [item.label for item in await all_items(journal, run)] == [CANARY]


async def test_what_stood_beside_a_row_before_its_undo_was_not_entered_anew(journal: Journal) -> None:
    """With --again a row is entered twice: taking the second back and restoring it asks the first nothing."""
    await accepted(journal, await frozen_run(journal, new_item("a")))
    (back,) = await undone(journal, await accepted(journal, await frozen_run(journal, new_item("a"))))
    assert await journal.entered_anew([back.item_id]) == {}
    anew = await frozen_run(journal, new_item("a"))
    await accepted(journal, anew)
    assert await journal.entered_anew([back.item_id]) == {back.item_id: anew.name}


async def test_an_undo_of_an_undo_of_another_row_hinders_nobody(journal: Journal) -> None:
    one, two = await accepted(journal, await frozen_run(journal, new_item("a"), new_item("b")))
    await undone(journal, [one])
    await undo_of(journal, await undone(journal, [two]))
    assert await counted(journal, "a", "b") == [0, 1]
