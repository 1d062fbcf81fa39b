"""Answers that come into doubt after they were taken: the rows are looked up, or sent again, before the run ends."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

import anyio
import pytest

from checkpoints.journal import Journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from engine.evidence import Accepted, Lost
from engine.job import Absent, CannotLook, LookUpResult
from tests.engine.doubles import Call, FakeJob, rows
from tests.engine.migrations import QUICK, migrated, once_each, prepared

pytestmark = pytest.mark.usefixtures("no_waiting")


class LateDoubt(FakeJob):
    """The answer to the first row comes into doubt in the first look-up."""

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        if not self.looked_up:
            self.report(items[0].item_id - 1)
        return await super().look_up(run, items)


class LateDoubtBehind(FakeJob):
    """In the first look-up the answer to a later row comes into doubt, whose effect is shown a little later."""

    shown_from = inf

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        if not self.looked_up:
            self.shown_from = anyio.current_time() + 0.1
            self.report(items[-1].item_id + 1)
            await anyio.sleep(0.05)
        elif anyio.current_time() < self.shown_from:
            return {item.item_id: Absent() for item in items}
        return await super().look_up(run, items)


def doubting(job: FakeJob, *, at: str, of: str) -> FakeJob:
    seen: dict[str, Item] = {}

    async def during(item: Item) -> None:
        seen[item.key] = item
        if item.key == at:
            job.report(seen[of].item_id)

    job.during = during
    return job


@pytest.mark.parametrize("at", ["7", "19"])
async def test_a_row_in_doubt_that_is_in_the_billing_stays_accepted_and_is_not_sent_again(
    journal: Journal, at: str
) -> None:
    job = doubting(FakeJob(rows(20)), at=at, of="2")
    migration = await migrated(journal, job)
    assert job.looked_up == [["2"]]
    assert await migration.counts() == {State.ACCEPTED: 20}
    assert once_each(job)
    assert job.calls.count("2") == 1


async def test_a_row_that_comes_into_doubt_while_others_are_looked_up_is_looked_up_as_well(journal: Journal) -> None:
    """By then nothing is left to send, and the run would end."""
    job = LateDoubt(rows(3), {"1": [Call(Lost("reset"), effect=True)]})
    migration = await migrated(journal, job)
    assert job.looked_up == [["1"], ["0"]]
    assert await migration.counts() == {State.ACCEPTED: 3}
    assert once_each(job)


async def test_a_row_that_comes_into_doubt_while_others_are_looked_up_has_its_own_settle_delay(
    journal: Journal,
) -> None:
    """It is on the page after theirs."""
    job = LateDoubtBehind(rows(3), {"1": [Call(Lost("reset"), effect=True)]})
    migration = await migrated(journal, job, replace(QUICK, settle=0.3, page=1))
    assert job.looked_up == [["1"], ["2"]]
    assert await migration.counts() == {State.ACCEPTED: 3}
    assert once_each(job)


async def test_a_row_in_doubt_that_is_not_in_the_billing_is_sent_then(journal: Journal) -> None:
    """It had been credited with the answer to another row."""
    job = doubting(FakeJob(rows(20), {"2": [Call(Accepted("another's"), effect=False)]}), at="19", of="2")
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 20}
    assert once_each(job)


async def test_a_row_in_doubt_that_nobody_can_look_up_is_left_to_a_person(journal: Journal) -> None:
    job = doubting(FakeJob(rows(20)), at="9", of="2")
    job.sightings = {"2": CannotLook("no way to look")}
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 19, State.MANUAL: 1}


async def test_a_row_that_may_be_sent_again_is_sent_again(journal: Journal) -> None:
    job = doubting(FakeJob(rows(20), repeatable=True), at="9", of="2")
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 20}
    assert job.calls.count("2") == 2


async def test_an_answer_that_is_in_doubt_before_it_is_recorded_is_none(journal: Journal) -> None:
    """The row itself reports it, while its call is still under way."""
    job = FakeJob(rows(5), {"2": [Call(Accepted("another's"), effect=False)]})
    job.after = lambda item: _at_once(job, item, "2")
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 5}
    assert once_each(job)
    assert job.calls.count("2") == 2


async def test_behind_a_row_in_doubt_its_account_waits(journal: Journal) -> None:
    """All rows are of one account; while the second is called, the answer to the first comes into doubt."""
    job = doubting(FakeJob(rows(6, lanes=1), {"0": [Call(Accepted("another's"), effect=False)]}), at="1", of="0")
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 6}
    assert once_each(job)
    assert job.calls.index("2") > len(job.calls) - job.calls[::-1].index("0") - 1, job.calls


async def test_two_rows_with_one_created_id_are_both_looked_up(journal: Journal) -> None:
    """The second answer is that to the first row, given twice: the second row never arrived."""
    created = Accepted("777", created=True)
    job = FakeJob(rows(20), {"2": [Call(created, effect=True)], "11": [Call(created, effect=False)]})
    migration = await migrated(journal, job)
    assert sorted(job.looked_up[0]) == ["11", "2"]
    assert await migration.counts() == {State.ACCEPTED: 20}
    assert once_each(job)


async def test_equal_answers_that_are_no_new_ids_are_nobodys_fault(journal: Journal) -> None:
    job = FakeJob(rows(5), {str(key): [Call(Accepted("777"), effect=True)] for key in range(5)})
    assert await (await migrated(journal, job)).counts() == {State.ACCEPTED: 5}
    assert job.looked_up == []


async def test_a_doubt_that_comes_when_nothing_is_under_way_keeps_the_run_from_its_end(journal: Journal) -> None:
    """The last row's answer comes into doubt in the very moment in which it is recorded."""
    job = FakeJob(rows(3))
    migration = await prepared(journal, job)
    record = journal.record

    async def recording(run: Run, changes: Sequence[Change]) -> list[Item]:
        doubted = await record(run, changes)
        items = {item.key: item for item in await migration.items()}
        if all(item.state is State.ACCEPTED for item in items.values()) and not job.looked_up:
            asyncio.get_running_loop().call_soon(job.report, items["2"].item_id)
        return doubted

    journal.record = recording  # type: ignore[method-assign]
    await migration.go()
    assert job.looked_up == [["2"]]
    assert await migration.counts() == {State.ACCEPTED: 3}


async def _at_once(job: FakeJob, item: Item, key: str) -> None:
    if item.key == key and job.calls.count(key) == 1:
        job.report(item.item_id)
