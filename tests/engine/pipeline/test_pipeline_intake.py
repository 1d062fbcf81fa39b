"""The pipeline while its rows are still being read: sending begins with the first page, and a stop loses none."""

import asyncio
import threading
from dataclasses import replace

import pytest

from checkpoints.intake_pages import Judge
from checkpoints.journal import Journal
from checkpoints.records import Item, NewItem, Page, Refusal, Run
from checkpoints.states import State
from engine.errors import InputRefused
from engine.pacing.holds import StopKind
from tests.engine.doubles import LOST_WITHOUT, FakeJob, rows
from tests.engine.migrations import PATIENCE, QUICK, migrated, once_each, prepared

pytestmark = pytest.mark.usefixtures("no_waiting")


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


async def test_the_first_steps_of_a_run_are_those_of_its_first_pages(journal: Journal) -> None:
    job = FakeJob(rows(150), {"3": [LOST_WITHOUT]}, page=4)
    in_flight: list[int] = []

    async def during(_item: Item) -> None:
        in_flight.append(len(job.calls))
        for _ in range(20):
            await asyncio.sleep(0)

    job.during = during
    migration = await migrated(journal, job, replace(QUICK, canary=True, in_flight=20), frozen=False)
    assert await migration.counts() == {State.ACCEPTED: 150}
    assert once_each(job)
    assert [int(key) for key in job.calls[:11]] == list(range(11))
    # Found to be absent between two steps, and sent again before the next.
    assert job.calls[11] == "3"


async def test_the_intake_never_waits_for_the_workers(journal: Journal) -> None:
    job = FakeJob(rows(50), page=10)
    loop, frozen = asyncio.get_running_loop(), asyncio.Event()

    def before_page(start: int) -> None:
        if start == 40:
            loop.call_soon_threadsafe(frozen.set)

    async def during(_item: Item) -> None:
        await asyncio.wait_for(frozen.wait(), PATIENCE)

    job.source.before_page, job.during = before_page, during
    migration = await migrated(journal, job, frozen=False)
    assert await migration.counts() == {State.ACCEPTED: 50}


async def test_rows_that_cannot_be_read_to_their_end_stop_the_run_and_what_was_frozen_is_kept(
    journal: Journal,
) -> None:
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


@pytest.mark.parametrize("page", [0, 1, 3, 5])
@pytest.mark.parametrize("written", [False, True], ids=["before its commit", "after its commit"])
async def test_a_stop_while_a_page_is_frozen_keeps_both_books_equal(
    journal: Journal, page: int, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = FakeJob(rows(60), page=10)
    migration = await prepared(journal, job, frozen=False)
    freeze, frozen = journal.freeze, 0

    async def stop_here() -> None:
        migration.stop.request(StopKind.INTERRUPTED, "Ctrl-C")
        # All that was under way comes to its end meanwhile: only this page is awaited.
        while migration.progress.counts[State.SENDING]:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0)

    async def freezing(run: Run, rows: Page, judge: Judge) -> list[NewItem | Refusal]:
        nonlocal frozen
        frozen += 1
        if frozen == page + 1 and not written:
            await stop_here()
        judged = await freeze(run, rows, judge)
        if frozen == page + 1 and written:
            await stop_here()
        return judged

    monkeypatch.setattr(journal, "freeze", freezing)
    await migration.go()  # it checks its own count against the journal's
    assert +migration.progress.counts == (await journal.totals(migration.run)).counts
    monkeypatch.undo()
    second = await migrated(journal, job, run=migration.run)
    assert await second.counts() == {State.ACCEPTED: 60}
    assert once_each(job)
