"""A run that another process takes up while it goes: nothing more leaves, and nothing more is recorded."""

from collections import Counter
from pathlib import Path

import anyio
import pytest

from checkpoints.errors import RunTakenOver
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Item
from checkpoints.states import State
from engine.pacing.policy import Policy
from engine.pipeline.ownership import TRUSTED, Ownership
from tests.engine.doubles import A_RUN, FakeJob, MemoryJournal, rows
from tests.engine.migrations import migrated, once_each, prepared
from tests.engine.paced import STEADY, Setting, items
from tests.virtual_clock import settle


async def taken_over_after(seconds: float, setting: Setting) -> None:
    """The run goes, and is another process's so many seconds later."""

    async def take_over() -> None:
        await anyio.sleep(seconds)
        setting.journal.taken_over = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_over)
        with pytest.raises(RunTakenOver, match="taken over by process 4711"):
            await setting.go()


@pytest.mark.virtual_clock
async def test_a_claim_that_has_waited_for_its_turn_does_not_leave_when_the_run_is_another_ones() -> None:
    setting = Setting(items(20), Policy(in_flight=8, rate=0.1, canary=False))
    # Two have left by then, at 0 and at 10 seconds; the next of those that are claimed would at 20.
    await taken_over_after(15, setting)
    assert [moment for moment, _ in setting.sent] == [0, 10]
    assert setting.now == 20


@pytest.mark.virtual_clock
async def test_what_was_in_flight_when_it_was_taken_over_is_not_recorded() -> None:
    setting = Setting(items(20), STEADY, takes=1.5)
    await taken_over_after(0.5, setting)
    assert (len(setting.sent), setting.now) == (4, 1.5)
    assert set(setting.counts()) == {State.SENDING, State.PENDING}
    assert setting.journal.recorded == []


@pytest.mark.virtual_clock
async def test_of_many_that_wait_for_one_gate_only_the_first_asks() -> None:
    journal = MemoryJournal()
    ownership = Ownership(A_RUN, journal)
    for waited, asked in ((TRUSTED, 1), (TRUSTED + 0.1, 2)):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ownership.confirm)
        await anyio.sleep(waited)
        await ownership.confirm()
        await settle()
        assert journal.confirmed == asked


@pytest.mark.parametrize("moment", [1, 4, 11])
async def test_two_on_one_run_enter_each_row_once(tmp_path: Path, journal: Journal, moment: int) -> None:
    """The lock is left out: the second takes the run up while the first has calls in flight."""
    job = FakeJob(rows(20))
    migration = await prepared(journal, job)
    migration.run = await journal.take_up(migration.run)
    taken: list[str] = []
    async with open_journal(tmp_path / "journal.db") as other:

        async def during(item: Item) -> None:
            taken.append(item.key)
            if len(taken) == moment:
                await other.take_up(migration.run)

        job.during = during
        with pytest.raises(RunTakenOver, match="was taken over by process"):
            await migration.go()
        calls, effects = len(job.calls), Counter(job.effects)
        recorded = {item.key for item in await other.items(migration.run, {State.ACCEPTED})}
        # What had its effect and was not recorded is the second one's to look up.
        assert recorded < set(effects)
        second = await migrated(other, job, run=migration.run)
        assert await second.counts() == {State.ACCEPTED: 20}
    assert len(job.calls) == 20 + calls - len(effects)
    assert once_each(job)
