"""The pipeline over a real journal, on a billing in memory that fails as it is told to."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from checkpoints.errors import JournalError, JournalUnreadable
from checkpoints.journal import Journal, Judge, open_journal
from checkpoints.records import Change, Item, NewItem, NewRun, Page, Refusal, Run
from checkpoints.states import State
from engine.errors import CountsDiffer, InputRefused, LookUpFailed
from engine.evidence import Busy, Lost, NotSent, RowRefused, SystemRefused
from engine.intake import Enter, Intake
from engine.job import CannotLook, Different
from engine.pipeline import Pipeline
from engine.policy import Policy
from engine.progress import Progress
from engine.steering import Steering
from engine.stop import Stop, StopKind
from tests.engine.doubles import LOST_WITH_EFFECT, LOST_WITHOUT, Call, FakeJob, rows

EVERY_STATE = frozenset(State)
QUICK = Policy(in_flight=4, settle=0, canary=False, retry_floor=1000.0)
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(_failures: int, _retry_after: float | None = None) -> float:
        return 0.0

    monkeypatch.setattr("engine.aftermath.backoff", at_once)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path / "journal.db") as opened:
        yield opened


@dataclass(slots=True)
class Migration:
    """One taking up of a run: what drives it, and what can be seen of it."""

    run: Run
    job: FakeJob
    journal: Journal
    policy: Policy
    progress: Progress
    stop: Stop
    enter: Enter = Enter.ONCE

    async def go(self) -> "Migration":
        steering = Steering(self.policy, self.progress, self.stop)
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


async def test_a_run_without_rows_is_at_its_end(journal: Journal) -> None:
    migration = await migrated(journal, FakeJob())
    assert await migration.counts() == {}
    assert not migration.stop.requested


async def test_a_run_that_is_at_its_end_makes_no_call_when_it_is_taken_up_again(journal: Journal) -> None:
    job = FakeJob(rows(5), {"2": [Call(RowRefused("no"))]})
    first = await migrated(journal, job)
    calls = len(job.calls)
    second = await migrated(journal, job, run=first.run)
    assert len(job.calls) == calls
    assert await second.counts() == {State.ACCEPTED: 4, State.REJECTED: 1}


async def test_a_row_that_is_refused_is_rejected_with_what_the_billing_said(journal: Journal) -> None:
    refused = {str(key): [Call(RowRefused(f"no account {key}", recognised=key % 2 == 0))] for key in range(0, 20, 3)}
    job = FakeJob(rows(20), refused)
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 13, State.REJECTED: 7}
    for item in await migration.items():
        if item.key in refused:
            assert (item.state, item.message) == (State.REJECTED, f"no account {item.key}")
    assert job.calls.count("3") == 1


async def test_a_row_that_finds_the_billing_busy_goes_again(journal: Journal) -> None:
    job = FakeJob(rows(20), {"7": [Call(Busy("locked")), Call(Busy("429", 1.0))], "8": [Call(Busy("locked"))]})
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 20}
    assert {item.key: item.attempts for item in await migration.items() if item.attempts > 1} == {"7": 3, "8": 2}
    assert migration.progress.retries == 3
    assert once_each(job)


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


async def test_a_look_comes_when_nothing_is_in_flight(journal: Journal) -> None:
    job = FakeJob(rows(30), {str(key): [LOST_WITHOUT] * (key % 3) for key in range(30)})
    migration = await migrated(journal, job)  # the double itself refuses a look-up beside a call
    assert await migration.counts() == {State.ACCEPTED: 30}
    assert len(job.looked_up) >= 2


async def test_what_can_be_repeated_is_sent_again_without_a_look(journal: Journal) -> None:
    job = FakeJob(rows(10), {"3": [LOST_WITHOUT, LOST_WITH_EFFECT]}, repeatable=True)
    migration = await migrated(journal, job)
    assert await migration.counts() == {State.ACCEPTED: 10}
    assert job.calls.count("3") == 3
    assert job.asked == []


async def test_what_was_not_sent_goes_again_and_costs_no_try(journal: Journal) -> None:
    job = FakeJob(rows(4), {"2": [Call(NotSent("refused"))] * 4})
    migration = await migrated(journal, job, replace(QUICK, tries=2))
    assert await migration.counts() == {State.ACCEPTED: 4}
    assert job.calls.count("2") == 5


@pytest.mark.parametrize(
    ("sighting", "left"),
    [
        (Different("sent 1.10, found 9.90"), State.MANUAL),
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


async def test_a_stop_before_the_beginning_sends_nothing(journal: Journal) -> None:
    job = FakeJob(rows(5))
    migration = await prepared(journal, job)
    migration.stop.request(StopKind.INTERRUPTED, "Ctrl-C")
    await migration.go()
    assert job.calls == []
    assert await migration.counts() == {State.PENDING: 5}


async def test_too_many_rows_gone_wrong_stop_the_run(journal: Journal) -> None:
    job = FakeJob(rows(60), {str(key): [Call(RowRefused("no"))] for key in range(60)})
    migration = await migrated(journal, job, replace(QUICK, stop_after_errors=10, in_flight=2))
    assert migration.stop.kind is StopKind.BUDGET
    assert "rows went wrong (--stop-after-errors 10)" in migration.stop.reason
    counts = await migration.counts()
    assert 10 <= counts[State.REJECTED] <= 14
    assert counts[State.REJECTED] + counts[State.PENDING] == 60


async def test_without_a_budget_any_number_may_go_wrong(journal: Journal) -> None:
    job = FakeJob(rows(150), {str(key): [Call(RowRefused("no"))] for key in range(150)})
    migration = await migrated(journal, job, replace(QUICK, stop_after_errors=None))
    assert await migration.counts() == {State.REJECTED: 150}
    assert not migration.stop.requested


@pytest.mark.parametrize("trouble", [Call(Busy("locked")), LOST_WITHOUT], ids=["busy", "lost"])
async def test_a_row_out_of_tries_is_left_pending_and_the_others_go_on(journal: Journal, trouble: Call) -> None:
    job = FakeJob(rows(12), {"3": [trouble] * 3})
    first = await migrated(journal, job, replace(QUICK, tries=3))
    assert await first.counts() == {State.ACCEPTED: 11, State.PENDING: 1}
    assert job.calls.count("3") == 3
    assert first.stop.kind is StopKind.SYSTEM
    assert first.stop.reason.startswith("1 rows are left pending, having failed 3 times each")
    second = await migrated(journal, job, run=first.run)
    assert await second.counts() == {State.ACCEPTED: 12}
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
    await journal.claim([item.item_id for item in sending])
    job.effects.update({"2": effect, "5": effect})
    migration = await migrated(journal, job, run=run)
    assert job.looked_up == [["2", "5"]]
    assert await migration.counts() == {State.ACCEPTED: 10}
    assert ("2" in job.calls) == (not effect)
    assert once_each(job)


# ---- intake beside it --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("enter", [Enter.ONCE, Enter.AGAIN])
async def test_rows_of_an_earlier_run_are_entered_again_on_request_while_they_are_read(
    journal: Journal, enter: Enter
) -> None:
    job = FakeJob(rows(25))
    await migrated(journal, job)
    migration = await prepared(journal, job, frozen=False)
    migration.enter = enter
    await migration.go()
    assert await migration.counts() == {State.ACCEPTED if enter is Enter.AGAIN else State.SKIPPED: 25}
    assert set(job.effects.values()) == {2 if enter is Enter.AGAIN else 1}


async def test_it_says_that_it_waits_for_its_rows(journal: Journal) -> None:
    job = FakeJob(rows(20), page=10)
    seen = threading.Event()
    migration = await prepared(journal, job, frozen=False)

    def before_page(start: int) -> None:
        if start == 10:
            assert seen.wait(PATIENCE)

    job.source.before_page = before_page
    running = asyncio.create_task(migration.go())
    while migration.progress.status().why != "source":  # noqa: ASYNC110 - a reason has no event
        await asyncio.sleep(0.001)
    seen.set()
    await running
    assert await migration.counts() == {State.ACCEPTED: 20}


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


# ---- when what it rests on fails ---------------------------------------------------------------------------------


async def test_a_journal_that_fails_ends_the_run_and_nothing_is_sent_any_more(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = FakeJob(rows(100))
    migration = await prepared(journal, job)
    record, records = journal.record, 0
    calls_when_it_failed = -1

    async def failing(changes: Sequence[Change]) -> None:
        nonlocal records, calls_when_it_failed
        records += 1
        if records == 5:
            calls_when_it_failed = len(job.calls)
            raise JournalUnreadable("the journal cannot be written: disk full")
        await record(changes)

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

    async def slowly(changes: Sequence[Change]) -> None:
        await asyncio.sleep(0.003)
        await record(changes)

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

    async def failing(_item_ids: Sequence[int]) -> None:
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

    async def forgetful(changes: Sequence[Change]) -> None:
        await record([change for change in changes if change.state is not State.REJECTED])

    job.plan.update(FakeJob(plan={"3": [Call(RowRefused("no"))]}).plan)
    monkeypatch.setattr(journal, "record", forgetful)
    with pytest.raises(CountsDiffer, match="please report"):
        await migration.go()


async def test_trouble_in_passing_is_shown_with_the_row_it_met(journal: Journal) -> None:
    migration = await migrated(journal, FakeJob(rows(3), {"1": [Call(Lost("time-out after 30 s"))]}))
    assert migration.progress.last_error == "subscriber 1: time-out after 30 s"
