"""The pipeline over a real journal, on a billing in memory that fails as it is told to."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest

from checkpoints.errors import JournalError, JournalUnreadable
from checkpoints.journal import Journal
from checkpoints.records import Change, Item, NewRun, Run
from checkpoints.states import State
from engine.errors import CountsDiffer, InputRefused, LookUpFailed
from engine.evidence import Accepted, Busy, RowRefused, SystemRefused
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pipeline.intake import Intake, Repeat
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import LivePolicy, Progress
from lab.crash.loops import loops
from tests.engine.doubles import LOST_WITH_EFFECT, LOST_WITHOUT, Call, FakeJob, rows

pytestmark = pytest.mark.usefixtures("no_waiting")


# What the tests of the pipeline over a real journal do over and over: prepare a run, carry it out, count.

EVERY_STATE = frozenset(State)
QUICK = Policy(in_flight=4, settle=0, canary=False, retry_floor=1000.0)
PATIENCE = loops(30)


@dataclass(slots=True)
class Migration:
    """One taking up of a run: what drives it, and what can be seen of it."""

    run: Run
    job: FakeJob
    journal: Journal
    policy: Policy
    progress: Progress
    stop: Stop
    enter: Repeat = Repeat.ONCE

    async def go(self) -> "Migration":
        steering = LivePolicy(self.policy, self.progress, self.stop)
        pipeline = Pipeline(self.run, self.job, self.journal, steering, enter=self.enter)
        await asyncio.wait_for(pipeline.migrate(), PATIENCE)
        return self

    async def states(self) -> dict[str, State]:
        return {item.key: item.state for item in await self.items()}

    async def items(self) -> list[Item]:
        return await self.journal.items(self.run, EVERY_STATE, size=10_000)

    async def counts(self) -> dict[State, int]:
        totals = await self.journal.totals(self.run)
        assert +self.progress.counts == totals.counts
        assert totals.frozen == len(self.job.new)
        assert totals.amount == sum((new.amount or Decimal(0) for new in self.job.new), Decimal(0))
        return dict(totals.counts)


async def approved(journal: Journal, job: FakeJob, *, frozen: bool = True) -> Run:
    run = await journal.create_run(NewRun("fake", {}, "http://billing", "memory"))
    if frozen:
        await Intake(run, job, journal, Progress()).freeze_all()
    await journal.approve(run)
    return await journal.run(run.name)


async def prepared(
    journal: Journal, job: FakeJob, policy: Policy = QUICK, *, run: Run | None = None, frozen: bool = True
) -> Migration:
    run = await journal.run(run.name) if run else await approved(journal, job, frozen=frozen)
    return Migration(run, job, journal, policy, Progress(), Stop())


async def migrated(
    journal: Journal, job: FakeJob, policy: Policy = QUICK, *, run: Run | None = None, frozen: bool = True
) -> Migration:
    migration = await prepared(journal, job, policy, run=run, frozen=frozen)
    return await migration.go()


def once_each(job: FakeJob) -> bool:
    """Whether every row has had its effect, exactly once."""
    return job.effects == Counter(new.key for new in job.new)


async def test_a_billing_that_refuses_all_work_stops_the_run_and_a_later_one_ends_it(journal: Journal) -> None:
    job = FakeJob(rows(40), {"9": [Call(SystemRefused("read-only"))]})
    first = await migrated(journal, job)
    assert (first.stop.kind, first.stop.reason) == (StopKind.SYSTEM, "the billing rejects all work: read-only")
    counts = await first.counts()
    assert set(counts) == {State.ACCEPTED, State.PENDING}
    assert (await first.states())["9"] is State.PENDING
    assert len(job.calls) < 40
    second = await migrated(journal, job, run=first.run)
    assert await second.counts() == {State.ACCEPTED: 40}
    assert not second.stop.requested
    assert once_each(job)


async def test_a_look_that_fails_stops_the_run_with_the_doubt_kept(journal: Journal) -> None:
    job = FakeJob(rows(10), {"4": [LOST_WITH_EFFECT]})
    job.look_up_error = LookUpFailed("the database is away")
    first = await migrated(journal, job)
    assert first.stop.kind is StopKind.SYSTEM
    assert first.stop.reason == "rows in doubt could not be looked up: the database is away"
    assert await first.counts() == {State.ACCEPTED: 9, State.UNKNOWN: 1}
    second = await migrated(journal, job, run=first.run)
    assert await second.counts() == {State.ACCEPTED: 9, State.UNKNOWN: 1}
    assert job.calls.count("4") == 1
    job.look_up_error = None
    third = await migrated(journal, job, run=first.run)
    assert await third.counts() == {State.ACCEPTED: 10}
    assert once_each(job)


async def test_a_journal_that_fails_ends_run_and_sending(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_nothing_follows_from_an_unwritten_outcome(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_an_intent_that_is_not_written_means_no_call(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_sending_begins_with_the_first_frozen_page(journal: Journal) -> None:
    job = FakeJob(rows(50), page=10)
    first_page_sent = threading.Event()

    def before_page(start: int) -> None:
        if start == 10:
            assert first_page_sent.wait(PATIENCE), "the intake was waited for"

    async def during(_item: Item) -> None:
        if len(job.calls) == 10:
            first_page_sent.set()

    job.source.before_page, job.during = before_page, during
    migration = await migrated(journal, job, frozen=False)
    assert await migration.counts() == {State.ACCEPTED: 50}
    assert (await journal.run(migration.run.name)).frozen_at is not None
    assert migration.progress.intake_ended
    assert once_each(job)


async def test_rows_that_cannot_be_read_to_their_end_stop_the_run_with_what_is_frozen(journal: Journal) -> None:
    job = FakeJob(rows(50), page=10)

    def before_page(start: int) -> None:
        if start == 30:
            raise InputRefused("the database is away")

    job.source.before_page = before_page
    first = await migrated(journal, job, frozen=False)
    assert first.stop.kind is StopKind.SYSTEM
    assert first.stop.reason == "the rows could not be read to their end: the database is away"
    assert sum((await journal.totals(first.run)).counts.values()) == 30
    job.source.before_page = lambda _start: None
    second = await migrated(journal, job, run=first.run)
    assert await second.counts() == {State.ACCEPTED: 50}
    assert once_each(job)


@pytest.mark.parametrize("at", ["19", "2"], ids=["recorded", "before it is recorded"])
async def test_a_row_in_doubt_that_is_not_in_the_billing_is_sent_then(journal: Journal, at: str) -> None:
    """It had been credited with the answer to another row, which is reported while the call of a row is under way."""
    job = FakeJob(rows(20), {"2": [Call(Accepted("another's"), effect=False)]})
    seen: dict[str, Item] = {}

    async def after(item: Item) -> None:
        seen[item.key] = item
        if item.key == at and job.calls.count(at) == 1:
            job.report(seen["2"].item_id)

    job.after = after
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 20}
    assert once_each(job)
    assert job.calls.count("2") == 2


async def test_two_rows_with_one_created_id_are_both_looked_up(journal: Journal) -> None:
    """The second answer is that to the first row, given twice: the second row never arrived."""
    created = Accepted("777", created=True)
    job = FakeJob(rows(20), {"2": [Call(created, effect=True)], "11": [Call(created, effect=False)]})
    migration = await migrated(journal, job)
    assert sorted(job.looked_up[0]) == ["11", "2"]
    assert await migration.counts() == {State.ACCEPTED: 20}
    assert once_each(job)
