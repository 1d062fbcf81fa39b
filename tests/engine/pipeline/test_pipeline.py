"""The pipeline over a real journal, on a billing in memory that fails as it is told to."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from checkpoints.journal import Journal
from checkpoints.records import Item
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.evidence import Busy, NotSent, RowRefused, SystemRefused
from engine.job import CannotLook, Different
from engine.pacing.holds import StopKind
from tests.engine.doubles import LOST_WITH_EFFECT, LOST_WITHOUT, Call, FakeJob, rows
from tests.engine.migrations import EVERY_STATE, QUICK, approved, migrated, once_each, prepared

pytestmark = pytest.mark.usefixtures("no_waiting")

# ---- to the end --------------------------------------------------------------------------------------------------


async def test_all_that_is_well_is_accepted_with_its_answer(journal: Journal) -> None:
    job = FakeJob(rows(50))
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 50}
    assert {item.key: item.answer for item in await migration.items()} == {str(key): f"id {key}" for key in range(50)}
    assert {item.attempts for item in await migration.items()} == {1}
    assert once_each(job)
    assert len(job.calls) == migration.progress.calls == 50
    assert not migration.stop.requested


async def test_a_row_that_is_refused_is_rejected_with_what_the_billing_said(journal: Journal) -> None:
    refused = {str(key): [Call(RowRefused(f"no account {key}", recognised=key % 2 == 0))] for key in range(0, 20, 3)}
    job = FakeJob(rows(20), refused)
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 13, State.REJECTED: 7}
    for item in await migration.items():
        if item.key in refused:
            assert (item.state, item.message) == (State.REJECTED, f"no account {item.key}")
    assert job.calls.count("3") == 1


async def test_a_lost_answer_is_settled_by_a_look_and_never_by_a_guess(journal: Journal) -> None:
    lost = {str(key): [LOST_WITH_EFFECT] for key in range(0, 30, 3)} | {
        str(key): [LOST_WITHOUT] for key in range(1, 30, 3)
    }
    job = FakeJob(rows(30), lost)
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 30}
    assert once_each(job)
    calls = Counter(job.calls)
    assert all(calls[str(key)] == (2 if key % 3 == 1 else 1) for key in range(30))
    assert sorted(key for keys in job.looked_up for key in keys) == sorted(lost)
    assert {item.key: item.answer for item in await migration.items()} == {str(key): f"id {key}" for key in range(30)}


@pytest.mark.parametrize(
    ("sighting", "left"),
    [
        (Different("sent 1.10, found 9.90", marked=True), State.MANUAL),
        (CannotLook("no mark"), State.MANUAL),
        (None, State.UNKNOWN),
    ],
)
async def test_what_no_look_can_settle_is_never_sent_again(
    journal: Journal, sighting: Different | CannotLook | None, left: State
) -> None:
    job = FakeJob(rows(10), {"4": [LOST_WITH_EFFECT]})
    job.sightings["4"] = sighting
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 9, left: 1}
    assert (await migration.states())["4"] is left
    assert job.calls.count("4") == 1


# ---- lanes and places --------------------------------------------------------------------------------------------


async def linger(item: Item) -> None:
    """Be on the way for a few turns of the loop, each row for another while."""
    for _ in range(1 + int(item.key) % 7):
        await asyncio.sleep(0)


@pytest.mark.parametrize("in_flight", [1, 2, 5, 16])
async def test_there_are_never_more_calls_than_places_and_never_two_to_one_lane(
    journal: Journal, in_flight: int
) -> None:
    plan = {str(key): [Call(Busy("locked"))] for key in range(0, 60, 7)}
    job = FakeJob(rows(60, lanes=20), plan)
    job.during = linger
    migration = await migrated(journal, job, replace(QUICK, in_flight=in_flight, page=9))
    assert await migration.counts() == {State.ACCEPTED: 60}
    assert job.most_in_lane == 1
    assert (in_flight + 1) // 2 <= job.most_in_flight <= in_flight
    assert once_each(job)


async def test_the_rows_of_a_lane_go_in_order_whatever_happens_to_them(journal: Journal) -> None:
    troubles = [
        Call(Busy("locked")),
        LOST_WITH_EFFECT,
        LOST_WITHOUT,
        Call(NotSent("refused")),
        Call(RowRefused("no")),
    ]
    job = FakeJob(rows(40, lanes=4), {str(key): [troubles[key % 5]] for key in range(0, 40, 3)})
    job.during = linger
    migration = await migrated(journal, job, replace(QUICK, in_flight=8))
    assert job.most_in_lane == 1
    for lane in job.by_lane.values():
        assert [int(key) for key in lane] == sorted(int(key) for key in lane)
    assert set(await migration.states()) == {str(key) for key in range(40)}
    assert set((await migration.states()).values()) == {State.ACCEPTED, State.REJECTED}


@pytest.mark.parametrize("page", [1, 2, 1000])
async def test_behind_a_row_in_doubt_its_lane_waits_for_the_look(journal: Journal, page: int) -> None:
    job = FakeJob(rows(6, lanes=2), {"0": [LOST_WITHOUT]})
    migration = await migrated(journal, job, replace(QUICK, page=page, in_flight=1))
    assert job.by_lane["account 0"] == ["0", "0", "2", "4"]
    assert job.by_lane["account 1"] == ["1", "3", "5"]
    assert await migration.counts() == {State.ACCEPTED: 6}


# ---- stopping and going on ---------------------------------------------------------------------------------------


async def test_a_billing_that_refuses_all_work_stops_the_run_and_a_later_one_ends_it(journal: Journal) -> None:
    job = FakeJob(rows(40), {"9": [Call(SystemRefused("read-only"))]})
    first = await migrated(journal, job)
    assert (first.stop.kind, first.stop.reason) == (StopKind.SYSTEM, "the billing refuses all work: read-only")
    counts = await first.counts()
    assert set(counts) == {State.ACCEPTED, State.PENDING}
    assert (await first.states())["9"] is State.PENDING
    assert len(job.calls) < 40
    second = await migrated(journal, job, run=first.run)
    assert await second.counts() == {State.ACCEPTED: 40}
    assert not second.stop.requested
    assert once_each(job)


async def test_a_stop_in_the_middle_lets_what_is_in_flight_finish_and_gives_the_rest_back(journal: Journal) -> None:
    job = FakeJob(rows(40))
    full, go_on = asyncio.Event(), asyncio.Event()

    async def during(_item: Item) -> None:
        if len(job.calls) < 10:
            return
        if job.in_flight.total() == 4:
            full.set()
        await go_on.wait()

    job.during = during
    migration = await prepared(journal, job, replace(QUICK, in_flight=4))
    running = asyncio.create_task(migration.go())
    await full.wait()
    migration.stop.request(StopKind.INTERRUPTED, "Ctrl-C")
    go_on.set()
    await running
    assert await migration.counts() == {State.ACCEPTED: len(job.calls), State.PENDING: 40 - len(job.calls)}
    assert len(job.calls) <= 13
    assert (migration.stop.kind, migration.stop.reason) == (StopKind.INTERRUPTED, "Ctrl-C")
    given_back = [item for item in await migration.items() if item.state is State.PENDING and item.attempts]
    assert {item.message for item in given_back} <= {"not sent: the run was stopped"}
    assert given_back
    second = await migrated(journal, job, run=migration.run)
    assert await second.counts() == {State.ACCEPTED: 40}
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


@pytest.mark.parametrize("effect", [True, False])
async def test_at_the_start_all_that_was_being_sent_is_looked_up_first(journal: Journal, effect: bool) -> None:
    job = FakeJob(rows(10))
    run = await approved(journal, job)
    sending = [item for item in await journal.items(run, EVERY_STATE) if item.key in {"2", "5"}]
    await journal.claim(run, [item.item_id for item in sending])
    job.effects.update({"2": effect, "5": effect})
    migration = await migrated(journal, job, run=run)
    assert job.looked_up == [["2", "5"]]
    assert await migration.counts() == {State.ACCEPTED: 10}
    assert ("2" in job.calls) == (not effect)
    assert once_each(job)
