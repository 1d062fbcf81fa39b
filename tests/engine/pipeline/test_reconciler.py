from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio
import msgspec
import pytest

from checkpoints.errors import JournalUnreadable
from checkpoints.records import Item, LookUps
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.job import Absent, CannotLook, Different, Found, LookUpResult, ReadBack
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import EVERY_WHILE_HELD, Gauge
from engine.pipeline.barrier import Barrier, is_worked_off, settled
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.progress import Progress
from engine.pipeline.reconciler import Reconciler
from engine.pipeline.verifier import ReadBackSummary, verify
from tests.engine.doubles import A_RUN, FakeJob, MemoryJournal, item
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


class Looking:
    """A reconciler over some items, most of them unknown."""

    def __init__(self, *items: Item, repeatable: bool = False, policy: Policy | None = None) -> None:
        self.job = FakeJob(repeatable=repeatable)
        self.journal = MemoryJournal(*items)
        self.progress = Progress()
        self.stop = Stop()
        self.reconciler = Reconciler(
            A_RUN, self.job, self.journal, policy or Policy(page=3), self.progress, self.stop
        )
        self.began = anyio.current_time()

    async def settle(self) -> None:
        self.progress.take_up(await self.journal.totals(A_RUN), intake_ended=True)
        await self.reconciler.settle()
        assert {state: count for state, count in self.progress.counts.items() if count} == (
            await self.journal.totals(A_RUN)
        ).counts

    @property
    def now(self) -> float:
        return round(anyio.current_time() - self.began, 6)


def unknown(number: int) -> Item:
    return msgspec.structs.replace(item(number, state=State.UNKNOWN), message="time-out")


@pytest.mark.parametrize(
    ("sighting", "state", "answer", "message"),
    [
        (Found("777", marked=True), State.ACCEPTED, "777", None),
        (Absent(), State.PENDING, None, "looked up and not there: time-out"),
        (Different("sent 5.00, found 6.00"), State.MANUAL, None, "sent 5.00, found 6.00"),
        (CannotLook("no mark"), State.MANUAL, None, "no mark"),
        (None, State.UNKNOWN, None, "time-out"),
    ],
)
async def test_what_is_seen_decides(
    sighting: LookUpResult | None, state: State, answer: str | None, message: str | None
) -> None:
    setting = Looking(unknown(1))
    setting.job.sightings["1"] = sighting
    await setting.settle()
    (settled,) = setting.journal.kept.values()
    assert (settled.state, settled.answer, settled.message) == (state, answer, message)
    counts = {State.ACCEPTED: LookUps(found=1), State.PENDING: LookUps(absent=1), State.MANUAL: LookUps(left=1)}
    assert setting.journal.noted.looked_up == counts.get(state, LookUps())


async def test_what_can_be_repeated_goes_again_without_a_look() -> None:
    setting = Looking(*map(unknown, range(1, 8)), repeatable=True)
    await setting.settle()
    assert setting.job.looked_up == []
    assert set(setting.journal.states().values()) == {State.PENDING}
    assert {kept.message for kept in setting.journal.kept.values()} == {"time-out"}
    assert setting.now == 0.0


async def test_nobody_looks_before_the_last_loss_has_settled() -> None:
    setting = Looking(unknown(1), policy=Policy(settle=30.0))
    await anyio.sleep(10.0)
    setting.reconciler.lost()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.settle)
        await anyio.sleep(29.5)
        assert setting.job.looked_up == []
        assert setting.progress.held == "1 in doubt: looking them up in 1 s"
    assert setting.job.looked_up == [["1"]]
    assert setting.now == 40.0
    assert setting.progress.held is None


async def test_absent_is_believed_only_when_the_billing_has_worked_off_what_it_took() -> None:
    setting = Looking(unknown(1), policy=Policy(settle=0))
    setting.job.unfinished_for.extend(["5 in the stack"] * 4)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.settle)
        await anyio.sleep(3.5)
        assert setting.journal.states() == {"1": State.UNKNOWN}
        assert setting.progress.held == "1 in doubt: waiting for the billing to catch up (5 in the stack)"
    assert setting.journal.states() == {"1": State.PENDING}
    assert setting.now == 4.0
    assert setting.progress.held is None


async def test_what_is_found_is_believed_at_once_however_busy_the_billing_is() -> None:
    setting = Looking(*map(unknown, range(1, 5)), policy=Policy(settle=0))
    setting.job.unfinished_for.extend(["full"] * 3)
    setting.job.sightings = {"1": Found("777", marked=True), "2": Different("other"), "3": CannotLook("no mark")}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.settle)
        await anyio.sleep(0.5)
        assert setting.journal.states() == {
            "1": State.ACCEPTED,
            "2": State.MANUAL,
            "3": State.MANUAL,
            "4": State.UNKNOWN,
        }
    assert setting.journal.states()["4"] is State.PENDING
    assert setting.job.looked_up == [["1", "2", "3", "4"], ["4"], ["4"], ["4"]]


async def test_whether_the_billing_is_idle_is_asked_before_it_is_looked_at() -> None:
    setting = Looking(*map(unknown, range(1, 5)), policy=Policy(settle=0, page=2))
    await setting.settle()
    assert setting.job.asked == [
        ("unfinished_work", ["1", "2"]),
        ("look up", ["1", "2"]),
        ("unfinished_work", ["3", "4"]),
        ("look up", ["3", "4"]),
    ]


async def test_a_billing_that_never_catches_up_ends_in_a_stop_with_all_still_unknown() -> None:
    setting = Looking(unknown(1), unknown(2), policy=Policy(settle=0, drain_patience=60.0))
    setting.job.unfinished_for.extend(["5 in the stack"] * 1000)
    await setting.settle()
    assert setting.stop.kind is StopKind.SYSTEM
    assert setting.stop.reason.startswith("2 rows are in doubt and cannot be settled: 5 in the stack, after 60 s")
    assert set(setting.journal.states().values()) == {State.UNKNOWN}
    assert setting.now == pytest.approx(61.0, abs=1.0)
    assert setting.progress.held is None


async def test_a_look_that_fails_changes_nothing() -> None:
    setting = Looking(unknown(1))
    setting.job.look_up_error = LookUpFailed("the database is away")
    with pytest.raises(LookUpFailed):
        await setting.settle()
    assert setting.journal.states() == {"1": State.UNKNOWN}
    assert setting.journal.recorded == []


async def test_what_is_manual_is_accepted_when_it_is_found_and_left_to_a_person_otherwise() -> None:
    manual = [item(number, state=State.MANUAL) for number in range(1, 5)]
    setting = Looking(*manual, unknown(9))
    setting.progress.take_up(await setting.journal.totals(A_RUN), intake_ended=True)
    setting.job.sightings = {"1": Found("777", marked=True), "2": Absent(), "3": Different("other"), "4": None}
    assert await setting.reconciler.look_again() == {1002: Absent(), 1003: Different("other")}
    assert setting.journal.states() == {
        "1": State.ACCEPTED,
        "2": State.MANUAL,
        "3": State.MANUAL,
        "4": State.MANUAL,
        "9": State.UNKNOWN,
    }
    assert setting.journal.kept[1001].answer == "777"
    assert setting.progress.counts[State.MANUAL] == 3
    # The report counts a row that was looked up once: what stays with a person was counted before.
    assert setting.journal.noted.looked_up == LookUps(found=1)


LEFT = "ACCOUNT_STACK holds 3 entries"


class Behind(FakeJob):
    """A job whose billing has still `left` to work off, or cannot be asked."""

    def __init__(self, left: str | None = LEFT) -> None:
        super().__init__()
        self.left = left
        self.answers: Iterator[str | None] = iter(())
        self.error: Exception | None = None

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        self.asked.append(("unfinished_work", [one.key for one in items]))
        if self.error:
            raise self.error
        return next(self.answers, self.left)


class Waiting:
    """A barrier behind a run of two accepted rows and a rejected one."""

    def __init__(self, gauge: Gauge | None = None, *, left: str | None = LEFT) -> None:
        self.job = Behind(left)
        self.steering = LivePolicy(Policy(drain_patience=60.0, away_patience=20.0), Progress(), Stop())
        states = (State.ACCEPTED, State.REJECTED, State.APPLIED)
        journal = MemoryJournal(*(item(number, state=state) for number, state in enumerate(states, 1)))
        self.barrier = Barrier(gauge or is_worked_off(A_RUN, self.job, journal, 60.0), self.steering)
        self.began = anyio.current_time()
        self.waited: float | None = None

    @property
    def held(self) -> str | None:
        return self.steering.look().held

    async def wait(self) -> None:
        await self.barrier.wait()
        self.waited = anyio.current_time() - self.began

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.wait)
            await settle()
            yield


async def test_a_long_run_is_asked_for_page_by_page_and_from_where_the_billing_stands() -> None:
    job = Behind(left=None)
    journal = MemoryJournal(*(item(number, state=State.ACCEPTED) for number in range(1, 2_501)))
    setting = Waiting(is_worked_off(A_RUN, job, journal, 60.0))
    job.answers = iter([None, LEFT, LEFT, None, None])
    await setting.wait()
    assert [keys[0] for _, keys in job.asked] == ["1", "1001", "1001", "1001", "2001"]
    assert setting.waited == 2 * EVERY_WHILE_HELD


async def test_a_billing_that_does_not_catch_up_ends_the_waiting_and_it_is_said_what_to_do() -> None:
    setting = Waiting()
    async with setting.waiting():
        await anyio.sleep(59.0)
        assert not setting.steering.stopping.requested
    stop = setting.steering.stopping
    assert stop.kind is StopKind.SYSTEM
    assert stop.reason == (
        f"after 60 s the billing has not worked off what was sent: {LEFT}. Nothing is lost; once that is mended, "
        "start the same command again"
    )
    assert setting.waited == pytest.approx(60.0, abs=2 * EVERY_WHILE_HELD)


async def test_a_journal_that_fails_comes_out_as_it_is() -> None:
    setting = Waiting()
    setting.job.error = JournalUnreadable("the journal cannot be read")
    with pytest.raises(JournalUnreadable):
        await setting.wait()


async def test_where_nobody_can_see_it_a_time_is_waited_and_counted_down() -> None:
    setting = Waiting(settled(5.0, "nobody can see"))
    async with setting.waiting():
        assert setting.held == "the next step waits 5 s: nobody can see"
        await anyio.sleep(3.1)
        assert setting.held == "the next step waits 2 s: nobody can see"
    assert setting.waited == 5.0
    assert setting.steering.look().held_seconds == {"barrier": 5.0}


def noting(told: list[tuple[str, str | None]]) -> Callable[[Item, ReadBack], None]:
    return lambda item, reading: told.append((item.key, reading.difference))


def accepted(*numbers: int) -> list[Item]:
    return [item(number, state=State.ACCEPTED, amount="1.10") for number in numbers]


async def test_what_is_not_as_wanted_is_reported_and_stays_accepted() -> None:
    journal, told, job = MemoryJournal(*accepted(1, 2, 3)), list[tuple[str, str | None]](), FakeJob()
    job.readings = {"2": ReadBack(Decimal("0.10"), "sent 1.10, found 0.10"), "3": None}
    verdict = await verify(A_RUN, job, journal, noting(told))
    assert verdict == ReadBackSummary(1, 2, expected=Decimal("3.30"), found=Decimal("1.20"))
    assert told == [("2", "sent 1.10, found 0.10"), ("3", "the billing says nothing of it")]
    assert journal.states() == {"1": State.APPLIED, "2": State.ACCEPTED, "3": State.ACCEPTED}


async def test_what_cannot_be_read_back_is_neither_applied_nor_different() -> None:
    journal, told, job = MemoryJournal(*accepted(1, 2, 3)), list[tuple[str, str | None]](), FakeJob()
    job.readings = {"2": CannotLook("no way"), "3": CannotLook("no way")}
    verdict = await verify(A_RUN, job, journal, noting(told), page=2)
    # Its money is on neither side: a difference would be claimed with it.
    assert verdict == ReadBackSummary(1, 0, Counter({"no way": 2}), Decimal("1.10"), Decimal("1.10"))
    assert told == []
    assert journal.states() == {"1": State.APPLIED, "2": State.ACCEPTED, "3": State.ACCEPTED}
