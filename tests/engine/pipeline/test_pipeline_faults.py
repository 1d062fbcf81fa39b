"""The pipeline when what it rests on fails: the journal, the job, the count."""

import asyncio
from collections.abc import Sequence

import pytest

from checkpoints.errors import JournalError, JournalUnreadable
from checkpoints.journal import Journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from engine.errors import CountsDiffer
from engine.evidence import Busy, RowRefused
from tests.engine.doubles import LOST_WITHOUT, Call, FakeJob, rows
from tests.engine.migrations import EVERY_STATE, migrated, once_each, prepared

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_a_journal_that_fails_ends_the_run_and_nothing_is_sent_any_more(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = FakeJob(rows(100))
    migration = await prepared(journal, job)
    record, records = journal.record, 0
    calls_when_it_failed = -1

    async def failing(run: Run, changes: Sequence[Change]) -> list[Item]:
        nonlocal records, calls_when_it_failed
        records += 1
        if records == 5:
            calls_when_it_failed = len(job.calls)
            raise JournalUnreadable("the journal cannot be written: disk full")
        return await record(run, changes)

    monkeypatch.setattr(journal, "record", failing)
    with pytest.raises(JournalError, match="disk full"):
        await migration.go()
    calls = len(job.calls)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(job.calls) == calls
    assert 0 < calls_when_it_failed <= calls <= calls_when_it_failed + 4
    monkeypatch.undo()
    # What was called is accepted or still being sent: never pending, as if it had not been.
    for item in await migration.items():
        assert (item.state is State.PENDING) <= (item.key not in job.calls)
    second = await migrated(journal, job, run=migration.run)
    assert await second.counts() == {State.ACCEPTED: 100}
    assert once_each(job)


async def test_no_call_is_made_before_its_intent_is_on_the_disk(journal: Journal) -> None:
    job = FakeJob(rows(30, lanes=10), {"3": [Call(Busy("locked"))], "4": [LOST_WITHOUT]})
    seen: list[State] = []

    async def during(item: Item) -> None:
        found = await journal.items(migration.run, EVERY_STATE, after=item.number - 1, size=1)
        seen.extend(one.state for one in found)

    job.during = during
    migration = await prepared(journal, job)
    await migration.go()
    assert len(seen) == len(job.calls) == 32
    assert set(seen) == {State.SENDING}


async def test_nothing_follows_from_an_outcome_before_it_is_on_the_disk(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = FakeJob(rows(30, lanes=6), {"3": [Call(Busy("locked"))]})
    record = journal.record

    async def slowly(run: Run, changes: Sequence[Change]) -> list[Item]:
        await asyncio.sleep(0.003)
        return await record(run, changes)

    async def during(item: Item) -> None:
        sending = await journal.items(migration.run, {State.SENDING})
        assert [one.key for one in sending if one.lane == item.lane] == [item.key]

    job.during = during
    monkeypatch.setattr(journal, "record", slowly)
    migration = await prepared(journal, job)
    await migration.go()
    assert await migration.counts() == {State.ACCEPTED: 30}


async def test_an_intent_that_cannot_be_written_means_no_call(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = FakeJob(rows(10))
    migration = await prepared(journal, job)

    async def failing(*_: object) -> None:
        raise JournalUnreadable("disk full")

    monkeypatch.setattr(journal, "claim", failing)
    with pytest.raises(JournalUnreadable):
        await migration.go()
    assert job.calls == []


async def test_a_job_that_breaks_leaves_its_row_in_doubt_and_its_error_comes_out(journal: Journal) -> None:
    job = FakeJob(rows(20))

    async def after(item: Item) -> None:
        if item.key == "7" and job.effects["7"] == 1 and job.calls.count("7") == 1:
            raise ZeroDivisionError("a fault of ours")

    job.after = after
    migration = await prepared(journal, job)
    with pytest.raises(ZeroDivisionError):
        await migration.go()
    assert (await migration.states())["7"] is State.SENDING
    second = await migrated(journal, job, run=migration.run)
    assert await second.counts() == {State.ACCEPTED: 20}
    assert once_each(job)


async def test_books_that_differ_are_told(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    job = FakeJob(rows(10))
    migration = await prepared(journal, job)
    record = journal.record

    async def forgetful(run: Run, changes: Sequence[Change]) -> list[Item]:
        return await record(run, [change for change in changes if change.state is not State.REJECTED])

    job.plan.update(FakeJob(plan={"3": [Call(RowRefused("no"))]}).plan)
    monkeypatch.setattr(journal, "record", forgetful)
    with pytest.raises(CountsDiffer, match="please report"):
        await migration.go()
