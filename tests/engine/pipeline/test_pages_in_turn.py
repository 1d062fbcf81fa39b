"""Pages are prepared beside each other and frozen in the order of the input, as if one were prepared at a time."""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from checkpoints.journal import Journal
from checkpoints.records import NewItem, NewRun, Run
from checkpoints.states import State
from engine.errors import InputRefused, LookUpFailed
from engine.job import Prepared
from engine.pipeline.in_turn import PREPARED_AT_ONCE
from engine.pipeline.intake import Intake
from engine.pipeline.progress import Progress
from engine.rows import Row
from lab.crash.loops import loops
from tests.engine.doubles import FakeJob, row, rows


class WatchedJob(FakeJob):
    """A job whose pages of two rows are prepared when they may be; `prepared` has their first rows, as they end."""

    looks_together = True

    def __init__(self, new: Sequence[NewItem]) -> None:
        super().__init__(new, page=2)
        self.prepared: list[str] = []
        self.wait: dict[str, anyio.Event] = {}
        self.done: dict[str, anyio.Event] = {}
        self.faults: dict[str, LookUpFailed] = {}
        self.while_preparing: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        first = rows[0].cells[0]
        await self.while_preparing()
        try:
            if first in self.wait:
                await self.wait[first].wait()
            if first in self.faults:
                raise self.faults[first]
            self.prepared.append(first)
            return await super().prepare(rows)
        finally:
            if first in self.done:
                self.done[first].set()

    def prepare_after(self, first: str, other: str) -> None:
        """Let the preparing of a page end after that of another one."""
        self.wait[first] = self.done[other] = anyio.Event()


async def _run(journal: Journal) -> Run:
    return await journal.create_run(NewRun("fake", {}, "http://billing", "memory"))


async def _numbers(journal: Journal, run: Run) -> list[str]:
    return [item.key for item in await journal.items(run, set(State))]


async def test_one_page_is_prepared_while_the_page_before_it_waits(journal: Journal) -> None:
    run, job = await _run(journal), WatchedJob(rows(6))
    job.prepare_after("0", "2")
    with anyio.fail_after(loops(30)):
        await Intake(run, job, journal, Progress()).freeze_all()
    assert job.prepared[:2] == ["2", "0"]
    assert await _numbers(journal, run) == [str(number) for number in range(6)]


async def test_no_more_pages_are_in_memory_than_are_prepared_at_once(journal: Journal) -> None:
    run, job = await _run(journal), WatchedJob(rows(20))
    progress, most = Progress(), 0

    def count(start: int) -> None:
        nonlocal most
        most = max(most, start + job.source.page - sum(progress.counts.values()))

    job.source.before_page = count
    await Intake(run, job, journal, progress).freeze_all()
    assert most == PREPARED_AT_ONCE * job.source.page


async def test_an_error_ends_the_intake_after_the_pages_before_it(journal: Journal) -> None:
    run, job = await _run(journal), WatchedJob(rows(8))
    job.prepare_after("2", "4")
    job.faults["4"] = LookUpFailed("the database is away")
    with pytest.raises(LookUpFailed, match="the database is away"), anyio.fail_after(loops(30)):
        await Intake(run, job, journal, Progress()).freeze_all()
    run = await journal.run(run.name)
    assert (run.cursor, run.frozen_at) == ("4", None)
    assert await _numbers(journal, run) == ["0", "1", "2", "3"]
    job.faults.clear()
    await Intake(run, job, journal, Progress()).freeze_all()
    assert await _numbers(journal, run) == [str(number) for number in range(8)]


async def test_so_does_a_row_that_cannot_be_read(journal: Journal) -> None:
    run, job = await _run(journal), WatchedJob(rows(8))
    failed = anyio.Event()
    job.wait["2"] = failed

    def fail(start: int) -> None:
        if start == 4:
            anyio.from_thread.run_sync(failed.set)
            raise InputRefused("line 5 cannot be read")

    job.source.before_page = fail
    with pytest.raises(InputRefused, match="line 5"), anyio.fail_after(loops(30)):
        await Intake(run, job, journal, Progress()).freeze_all()
    assert (await journal.run(run.name)).cursor == "4"


async def test_of_two_pages_that_fail_the_first_one_counts(journal: Journal) -> None:
    run, job = await _run(journal), WatchedJob(rows(8))
    job.prepare_after("2", "4")
    job.faults |= {"2": LookUpFailed("of the first"), "4": LookUpFailed("of the second")}
    with pytest.raises(LookUpFailed, match="of the first"), anyio.fail_after(loops(30)):
        await Intake(run, job, journal, Progress()).freeze_all()
    assert await _numbers(journal, run) == ["0", "1"]


async def test_a_duplicate_is_told_from_the_first_row_whichever_page_is_prepared_first(journal: Journal) -> None:
    run, job = await _run(journal), WatchedJob([row("a"), row("b"), row("a"), row("c")])
    job.prepare_after("0", "2")
    with anyio.fail_after(loops(30)):
        await Intake(run, job, journal, Progress()).freeze_all()
    found = [(item.number, item.key, item.state) for item in await journal.items(run, set(State))]
    assert found == [
        (1, "a", State.PENDING),
        (2, "b", State.PENDING),
        (3, "a", State.SKIPPED),
        (4, "c", State.PENDING),
    ]


async def test_through_the_api_alone_one_page_is_prepared_at_a_time(journal: Journal) -> None:
    run, job = await _run(journal), WatchedJob(rows(6))
    job.looks_together = False
    progress, frozen = Progress(), list[int]()
    job.while_preparing = anyio.wait_all_tasks_blocked
    job.source.before_page = lambda _start: frozen.append(sum(progress.counts.values()))
    await Intake(run, job, journal, progress).freeze_all()
    assert frozen == [0, 2, 4]
