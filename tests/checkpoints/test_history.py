"""What the journal keeps of a run beside its rows: who worked on it, what was read back, the roots of its reports."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from checkpoints.errors import RunTakenOver
from checkpoints.journal import Journal
from checkpoints.journal_file import JournalAddress
from checkpoints.records import Change, LookUps, NewRunner, RowFigures, SentSpan
from checkpoints.states import State
from checkpoints.tally import (
    ALL_OTHERS,
    MAX_GROUPS,
    ExtraSubscriber,
    ImportTally,
    Subtotal,
    TallyGroup,
    TallyKind,
    arranged,
    summed,
)
from tests.checkpoints.samples import come_to, frozen_run, new_item
from tests.checkpoints.shells import shell
from texts.said import Said, said

RESUME = NewRunner("resume", "olga@console", "0.1.0", "5.24.06")


async def test_each_process_is_noted_with_its_begin_and_its_orderly_end(journal: Journal) -> None:
    run, other = await frozen_run(journal, new_item("a")), await frozen_run(journal, new_item("b"))
    async with journal.taken_up(run, RESUME) as ours:
        (runner,) = await journal.history.runners(run)
        assert runner.ended_at is None
        async with journal.taken_up(other):
            pass
    with pytest.raises(LookupError):
        async with journal.taken_up(run, NewRunner("verify")):
            raise LookupError
    first, second = await journal.history.runners(run)
    assert (first.purpose, first.who, first.version, first.billing) == ("resume", "olga@console", "0.1.0", "5.24.06")
    assert first.ended_at is not None
    assert timedelta(0) <= first.ended_at - first.began_at < timedelta(minutes=1)
    assert (second.purpose, second.ended_at is None) == ("verify", False)
    assert ours.epoch == 1
    assert len(await journal.history.runners(other)) == 1


async def test_a_process_that_lost_the_run_ends_its_own_line_alone(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"))
    async with journal.taken_up(run, NewRunner("run")) as ours:
        await journal.take_up(run, NewRunner("resume"))
        with pytest.raises(RunTakenOver):
            await journal.claim(ours, [1])
    first, second = await journal.history.runners(run)
    assert (first.purpose, first.ended_at is None) == ("run", False)
    assert (second.purpose, second.ended_at is None) == ("resume", True)


async def test_look_ups_add_up_for_each_process_and_the_first_assumptions_count(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("a"))
    assert (await journal.history.of_run(run)).assumptions is None
    for found in (1, 2):
        run = await journal.take_up(run, RESUME)
        await journal.history.note_look_ups(run, LookUps(found=found))
        await journal.history.note_look_ups(run, LookUps(absent=3, left=4))
    runners = await journal.history.runners(run)
    assert [one.look_ups for one in runners] == [LookUps(1, 3, 4), LookUps(2, 3, 4)]
    for sentence in (said("type 8 {what}", what="sets"), said("nothing")):
        await journal.history.note_assumptions(run, sentence)
    assumptions = (await journal.history.of_run(run)).assumptions
    assert assumptions == "type 8 sets"
    assert isinstance(assumptions, Said)


async def test_what_was_sent_when_is_told_in_a_bounded_number_of_spans(
    journal: Journal, journal_address: JournalAddress
) -> None:
    run = await frozen_run(journal, *(new_item(str(number), f"{number}.10") for number in range(1, 8)))
    assert await journal.history.sent_by_time(run, 4) == []
    fates = dict(enumerate([State.ACCEPTED, State.APPLIED, State.REJECTED, State.UNKNOWN, State.ACCEPTED], 1))
    await come_to(journal, run, fates)
    with shell(journal_address) as behind:
        for number, moment in enumerate(["00:00:00.000", "00:00:09.999", "00:00:10.000", "23:59:59.000"], 1):
            behind.execute("update items set sent_at = ? where number = ?", (f"2026-11-30T{moment}+00:00", number))
        behind.execute("update items set sent_at = ? where number = 5", ("2026-11-30T03:00:05+03:00",))
    length = 21_600
    spans = await journal.history.sent_by_time(run, 4)
    first = spans[0].at
    assert datetime.fromtimestamp(first, UTC).isoformat() == "2026-11-30T00:00:00+00:00"
    assert spans == [
        SentSpan(first, length, 4, 3, 1, 4, Decimal("8.30")),
        SentSpan(first + 3 * length, length, 1, 0, 1, 1, Decimal(0)),
    ]
    assert [one.at - first for one in await journal.history.sent_by_time(run, 86_400)] == [0, 5, 9, 10, 86_399]
    assert len(await journal.history.sent_by_time(run, 1)) == 1


async def test_a_report_names_the_one_before_it_however_often_it_is_made(journal: Journal) -> None:
    run, other = await frozen_run(journal, new_item("a")), await frozen_run(journal, new_item("b"))
    assert await journal.history.report_before(run, "aa") is None
    for one, root in ((run, "aa"), (other, "aa"), (run, "bb"), (run, "aa"), (other, "aa")):
        await journal.history.note_report(one, root)
    assert await journal.history.report_before(run, "aa") is None
    before = [await journal.history.report_before(other, "aa"), await journal.history.report_before(run, "bb")]
    assert [(one.run, one.root) for one in before if one] == [(run.name, "aa"), (other.name, "aa")]
    new = await journal.history.report_before(other, "cc")
    assert new is not None
    assert (new.run, new.root) == (run.name, "bb")


@pytest.mark.parametrize(
    "latest",
    [
        "update items set changed_at = ? where number = 1",
        "update items set changed_at = ? where number = 2",
        "update runners set ended_at = ? where epoch = 1",
        "update runners set began_at = ?, ended_at = null where epoch = 2",
        "update verifications set verified_at = ? where verification_id = 1",
        "update decisions set decided_at = ? where decision_id = 1",
    ],
)
async def test_a_run_has_changed_when_anything_of_it_has_changed_last(
    journal: Journal, journal_address: JournalAddress, latest: str
) -> None:
    run = await frozen_run(journal, new_item("a"), new_item("b"))
    for _ in range(2):
        async with journal.taken_up(run, NewRunner("run")):
            pass
    run = await journal.run(run.name)
    await journal.claim(run, [1, 2])
    for state in (State.UNKNOWN, State.MANUAL):
        await journal.record(run, [Change(1, state), Change(2, state)])
    for item in await journal.items(run, {State.MANUAL}):
        await journal.decide(run, item, State.ACCEPTED, who="olga", why="seen")
        await journal.history.note_verification(run, "olga", {})
    moment = "2999-01-01T00:00:00+00:00"
    with shell(journal_address) as behind:
        assert behind.execute(latest, (moment,)).rowcount == 1
    assert (await journal.history.of_run(run)).changed_at == datetime.fromisoformat(moment)


NONE, FIVE, SIX = Subtotal(), Subtotal(5, Decimal("12.50")), Subtotal(6, Decimal("12.50"))
EXTRA = ExtraSubscriber(94, "Д94/2018", "Канарейкина Вера", 89, Decimal("-1.00"))
TALLY = ImportTally((TallyGroup(TallyKind.FOLDER, "89", "Улица", FIVE, SIX, extra=Subtotal(1)),), 1, 2, 1, (EXTRA,))


def folder(
    key: int,
    file: Subtotal = FIVE,
    billing: Subtotal = FIVE,
    *,
    not_entered: Subtotal = NONE,
    moved: Subtotal = NONE,
    extra: Subtotal = NONE,
) -> TallyGroup:
    return TallyGroup(TallyKind.FOLDER, str(key), f"Улица {key}", file, billing, not_entered, moved, extra)


@pytest.mark.parametrize(
    ("group", "is_different"),
    [
        (folder(1), False),
        (folder(1, FIVE, SIX), True),
        (folder(1, FIVE, Subtotal(5, Decimal(10))), True),
        (folder(1, FIVE, Subtotal(5, Decimal(10)), moved=Subtotal(1, Decimal("-2.50"))), False),
        (folder(1, FIVE, Subtotal(5, Decimal(10)), moved=Subtotal(1, Decimal("-2.51"))), True),
        # That a difference is known makes it no smaller.
        (folder(1, FIVE, Subtotal(4, Decimal(10)), not_entered=Subtotal(1, Decimal("2.50"))), True),
        (folder(1, extra=SIX), False),
    ],
)
def test_a_group_differs_by_what_later_operations_do_not_explain(group: TallyGroup, *, is_different: bool) -> None:
    assert group.is_different is is_different


def test_different_groups_stand_first_and_the_rest_is_summed_up() -> None:
    last = folder(9_999, FIVE, SIX)
    large = folder(0, Subtotal(10), Subtotal(10))
    tariff = TallyGroup(TallyKind.TARIFF, "1", "Тариф", SIX, SIX)
    found = arranged([tariff, *(folder(key) for key in range(1, MAX_GROUPS + 50)), large, last])
    folders, rest = [one for one in found if one.kind is TallyKind.FOLDER], found[MAX_GROUPS - 1]
    assert (folders[:2], len(folders), found[-1]) == ([last, large], MAX_GROUPS, tariff)
    assert (rest.key, rest.name, rest.groups) == (ALL_OTHERS, "", 52)
    assert summed(folders).file == Subtotal(5 * (MAX_GROUPS + 50) + 10, Decimal("12.50") * (MAX_GROUPS + 50))


async def test_only_the_last_one_has_names_of_subscribers(journal: Journal, journal_address: JournalAddress) -> None:
    run, other = await frozen_run(journal, new_item("a")), await frozen_run(journal, new_item("b"))
    for one in (run, run, other):
        await journal.history.note_verification(one, "olga", {}, TALLY)
    with shell(journal_address) as behind:
        kept = [text for (text,) in behind.execute("select result from verifications order by verification_id")]
    assert [EXTRA.name in text for text in kept] == [False, True, True]
    assert all("Улица" in text for text in kept)


async def test_who_only_looks_makes_no_run_younger(journal: Journal, journal_address: JournalAddress) -> None:
    run = await frozen_run(journal, new_item("a"))
    before = await journal.history.last_change(run)
    with shell(journal_address) as behind:
        behind.execute("update items set changed_at = '2001-01-01T00:00:00+00:00'")
        behind.execute("update runs set created_at = '2001-01-01T00:00:00+00:00'")
    async with journal.taken_up(run, NewRunner("verify")):
        await journal.history.note_verification(run, "olga", {})
    assert await journal.history.last_change(run) == datetime.fromisoformat("2001-01-01T00:00:00+00:00") < before
    assert (await journal.history.of_run(run)).changed_at >= before


async def test_the_last_verification_of_a_run_counts_with_its_tally(journal: Journal) -> None:
    run, other = await frozen_run(journal, new_item("a")), await frozen_run(journal, new_item("b"))
    assert await journal.history.last_verification(run) is None
    await journal.history.note_verification(run, "olga@console", {"as_wanted": 1, "found": "1.10"})
    await journal.history.note_verification(run, "olga@console", {"as_wanted": 2, "found": "2.20"}, TALLY)
    await journal.history.note_verification(other, "ivan@console", {"as_wanted": 9})
    found, without = [await journal.history.last_verification(one) for one in (run, other)]
    assert found is not None
    assert (found.who, found.rows, found.tally) == ("olga@console", RowFigures(2, found=Decimal("2.20")), TALLY)
    assert without is not None
    assert (without.rows, without.tally) == (RowFigures(9), None)
