from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import anyio
import msgspec
import pytest

from checkpoints.records import Item, LookUps, RowFigures, Run
from checkpoints.states import State
from engine.errors import LookUpDelayed, LookUpFailed
from engine.evidence import Busy
from engine.job import Absent, BeforeImageMode, CannotLook, Different, Found, LookedFor, LookUpResult, ReadBack
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pacing.throttle import EVERY_WHILE_HELD, Gauge
from engine.pipeline.barrier import is_worked_off, settled, wait_at_barrier
from engine.pipeline.progress import LivePolicy, Progress
from engine.pipeline.reconciler import Reconciler
from engine.pipeline.verifier import verify
from engine.pipeline.witness import FRESH
from tests.engine.doubles import (
    A_RUN,
    LOST_WITH_EFFECT,
    LOST_WITHOUT,
    STEADY,
    Call,
    FakeJob,
    MemoryJournal,
    OverwritingJob,
    Setting,
    item,
    items,
)
from tests.virtual_clock import settle

pytestmark = pytest.mark.virtual_clock


class Looking:
    """A reconciler over some items, most of them unknown."""

    def __init__(
        self, *items: Item, repeatable: bool = False, only_reads: bool = False, policy: Policy | None = None
    ) -> None:
        self.job = FakeJob(repeatable=repeatable)
        self.job.only_reads = only_reads
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


async def test_a_refused_row_that_is_not_there_is_counted_with_its_reason_alone() -> None:
    setting = Looking(msgspec.structs.replace(unknown(1), state=State.UNCONFIRMED))
    setting.job.sightings["1"] = Absent()
    await setting.settle()
    (settled,) = setting.journal.kept.values()
    assert (settled.state, setting.journal.noted.looked_up) == (State.REJECTED, LookUps())


@pytest.mark.parametrize("only_reads", [False, True])
async def test_what_can_be_repeated_goes_again_without_a_look_when_nothing_can_come_late(*, only_reads: bool) -> None:
    refused = msgspec.structs.replace(unknown(8), state=State.UNCONFIRMED)
    setting = Looking(*map(unknown, range(1, 8)), refused, repeatable=True, only_reads=only_reads)
    await setting.settle()
    assert setting.job.looked_up == []
    assert setting.journal.states() == dict.fromkeys("1234567", State.PENDING) | {"8": State.REJECTED}
    assert {kept.message for kept in setting.journal.kept.values()} == {"time-out"}
    assert {one.unproven for group in setting.journal.recorded for one in group} == {not only_reads}
    assert setting.now == (0.0 if only_reads else 30.0)


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
        assert setting.progress.held == "1 in doubt: waiting for the billing to catch up (full)"
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


class Waiting:
    """A barrier behind a run of accepted rows, whose billing has so much left to work off each time it is asked."""

    def __init__(self, gauge: Gauge | None = None, *, left: Sequence[str | None] = (), rows: int = 1) -> None:
        self.job = FakeJob()
        self.job.unfinished_for.extend(left)
        self.steering = LivePolicy(Policy(drain_patience=60.0, away_patience=20.0), Progress(), Stop())
        states = (State.REJECTED, State.APPLIED, *[State.ACCEPTED] * rows)
        journal = MemoryJournal(*(item(number, state=state) for number, state in enumerate(states)))
        self.gauge = gauge or is_worked_off(A_RUN, self.job, journal, 60.0)
        self.began = anyio.current_time()
        self.waited: float | None = None

    @property
    def held(self) -> str | None:
        return self.steering.look().held

    async def wait(self) -> None:
        await wait_at_barrier(self.gauge, self.steering)
        self.waited = anyio.current_time() - self.began

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.wait)
            await settle()
            yield


async def test_a_long_run_is_asked_for_page_by_page_and_from_where_the_billing_stands() -> None:
    setting = Waiting(left=[None, LEFT, LEFT], rows=2_500)
    await setting.wait()
    assert [keys[0] for _, keys in setting.job.asked] == ["1", "1001", "1001", "1001", "2001"]
    assert setting.waited == 2 * EVERY_WHILE_HELD


async def test_a_billing_that_does_not_catch_up_ends_the_waiting_and_it_is_said_what_to_do() -> None:
    setting = Waiting(left=[LEFT] * 1000)
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


async def test_where_nobody_can_see_it_a_time_is_waited_and_counted_down() -> None:
    setting = Waiting(settled(5.0, "nobody can see"))
    async with setting.waiting():
        assert setting.held == "the next step waits 5 s: nobody can see"
        await anyio.sleep(3.1)
        assert setting.held == "the next step waits 2 s: nobody can see"
    assert setting.waited == 5.0
    assert setting.steering.look().held_seconds == {"barrier": 5.0}


@pytest.mark.parametrize(
    ("readings", "verdict", "told"),
    [
        (
            {"2": ReadBack(Decimal("0.10"), "sent 1.10, found 0.10"), "3": None},
            RowFigures(
                *(1, 2), expected=Decimal("3.30"), found=Decimal("1.20"), gone=1, different_sum=Decimal("2.20")
            ),
            [("2", "sent 1.10, found 0.10"), ("3", "the billing says nothing of it")],
        ),
        # The money of what cannot be read back is on neither side: a difference would be claimed with it.
        (
            dict.fromkeys("23", CannotLook("no way")),
            RowFigures(1, unreadable=2, expected=Decimal("1.10"), found=Decimal("1.10")),
            [("2", "no way"), ("3", "no way")],
        ),
    ],
    ids=["not as wanted", "not to be read back"],
)
async def test_what_is_read_back_as_wanted_is_applied_and_no_other(
    readings: dict[str, ReadBack | CannotLook | None], verdict: RowFigures, told: list[tuple[str, str | None]]
) -> None:
    journal, job = MemoryJournal(*(item(number, state=State.ACCEPTED) for number in (1, 2, 3))), FakeJob()
    job.readings = readings
    noted: list[tuple[str, str | None]] = []

    def note(one: Item, seen: ReadBack | CannotLook) -> None:
        noted.append((one.key, seen.text if isinstance(seen, CannotLook) else seen.difference))

    found = await verify(A_RUN, job, journal, note, page=2)
    assert (found, noted) == (verdict, told)
    assert journal.states() == {"1": State.APPLIED, "2": State.ACCEPTED, "3": State.ACCEPTED}


# The billing is asked before a call leaves: what a journal that is older than its run does not know.

OLDER = "found in the billing before it was sent: an earlier call of it had arrived"


class MarkingJob(FakeJob):
    """One whose effects bear marks. `delayed` are looks that fail, one after the other."""

    def __init__(
        self,
        *,
        looked_for: LookedFor = LookedFor.ALWAYS,
        looks_together: bool = True,
        plan: Mapping[str, Sequence[Call]] | None = None,
    ) -> None:
        super().__init__(plan=plan)
        self.looked_for = looked_for
        self.looks_together = self.reads_apart = looks_together
        self.looks: list[list[str]] = []
        self.moments: list[float] = []
        self.failures: deque[LookUpFailed] = deque()

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        self.looks.append([one.key for one in items])
        self.moments.append(anyio.current_time())
        if self.failures:
            raise self.failures.popleft()
        found = {one.item_id: self._sighting(one) for one in items}
        return {item_id: sighting for item_id, sighting in found.items() if sighting is not None}


def setting_of(job: MarkingJob, count: int = 4, *, known: int = 0, trust_journal: bool = False) -> Setting:
    """A run of rows 1 to `count`, of which those up to `known` were in the journal before."""
    policy = replace(STEADY, in_flight=2, settle=30.0, page=3)
    return Setting(items(count), policy, job=job, takes=0.0, known=known, trust_journal=trust_journal)


@pytest.mark.parametrize("known", [0, 4], ids=["fresh", "taken up"])
@pytest.mark.parametrize("together", [True, False])
async def test_what_is_there_already_is_accepted_and_not_sent(known: int, together: bool) -> None:
    job = MarkingJob(looks_together=together)
    job.effects["2"] = job.effects["4"] = 1
    setting = setting_of(job, known=known)
    await setting.pipeline.migrate()
    assert sorted(job.calls) == ["1", "3"]
    assert set(job.effects.values()) == {1}
    assert set(setting.journal.states().values()) == {State.ACCEPTED}
    assert {one.key: one.message for one in setting.journal.kept.values()} == {
        "1": None,
        "2": OLDER,
        "3": None,
        "4": OLDER,
    }
    assert setting.journal.kept[1002].answer == "id 2"


async def test_where_the_api_answers_slowly_rows_are_looked_for_side_by_side() -> None:
    """An answer that is older than a quarter of a second when it comes is one row's: no row waits for another's."""

    class SlowlyAnswered(MarkingJob):
        async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
            await anyio.sleep(1.0)
            return await super().look_up(run, items)

    job, began = SlowlyAnswered(), anyio.current_time()
    job.reads_apart = False
    setting = setting_of(job, 12)
    await setting.pipeline.migrate()
    assert set(setting.journal.states().values()) == {State.ACCEPTED}
    assert anyio.current_time() - began <= 1.0 + 12 / 2 + 1.0


async def test_rows_that_came_into_the_journal_with_this_process_need_no_wait() -> None:
    job, began = MarkingJob(), anyio.current_time()
    setting = setting_of(job, known=2)
    for item_id in (1001, 1002):
        setting.journal.kept[item_id] = item(item_id - 1000, state=State.ACCEPTED)
    await setting.pipeline.migrate()
    assert job.calls == ["3", "4"]
    assert anyio.current_time() < began + 1


async def test_while_the_stacks_hold_something_of_a_row_its_absence_proves_nothing() -> None:
    job = MarkingJob()
    # For all three of the first page, for the first half, for the second, and then once more for that one.
    job.unfinished_for.extend(["ACCOUNT_STACK holds 1 entry"] * 2)
    setting = setting_of(job, known=3, count=3)

    async def late() -> None:
        await anyio.sleep(30.5)
        job.effects["1"] = 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(late)
        await setting.pipeline.migrate()
    assert job.asked[:2] == [("unfinished_work", ["1", "2", "3"]), ("unfinished_work", ["1"])]
    assert ("unfinished_work", ["1"]) in job.asked[3:], "only what waits is asked for again"
    assert sorted(job.calls) == ["2", "3"]
    assert job.effects["1"] == 1


async def test_what_can_be_told_at_a_price_is_looked_for_only_where_a_run_is_taken_up() -> None:
    fresh, again = MarkingJob(looked_for=LookedFor.WHEN_TAKEN_UP), MarkingJob(looked_for=LookedFor.WHEN_TAKEN_UP)
    for job, known in ((fresh, 0), (again, 4)):
        job.sightings["3"] = CannotLook("it may be this row's, or somebody else's")
        ended = (await setting_of(job, known=known).go()).journal.states()
        assert ended["3"] is (State.MANUAL if known else State.ACCEPTED)
    assert fresh.looks == []
    assert sorted(fresh.calls) == ["1", "2", "3", "4"]
    assert sorted(again.calls) == ["1", "2", "4"]


@pytest.mark.parametrize("known", [0, 4])
async def test_a_journal_that_is_trusted_is_not_held_against_the_billing(known: int) -> None:
    job, began = MarkingJob(), anyio.current_time()
    await setting_of(job, known=known, trust_journal=True).pipeline.migrate()
    assert job.looks == []
    assert anyio.current_time() < began + 1


async def test_nothing_is_sent_while_it_cannot_be_seen() -> None:
    job = MarkingJob()
    job.failures.extend([LookUpFailed("the database is away")] * 2)
    setting = setting_of(job, 1)
    await setting.pipeline.migrate()
    (_, first), *_ = [(one.state, one.message) for group in setting.journal.recorded for one in group]
    assert first == "whether it is in the billing already cannot be seen: the database is away"
    assert job.calls == ["1"]


@pytest.mark.parametrize(("takes", "fewest", "most"), [(0.02, 120, 256), (1.0, 1, 40)])
async def test_one_look_tells_of_as_many_rows_as_leave_while_it_counts(takes: float, fewest: int, most: int) -> None:
    job = MarkingJob()
    policy = replace(STEADY, in_flight=16, page=500)
    setting = await Setting(items(2_000), policy, job=job, takes=takes).go()
    assert setting.counts() == {State.ACCEPTED: 2_000}
    assert fewest <= max(map(len, job.looks)) <= most
    looked = {key: moment for moment, keys in zip(job.moments, job.looks, strict=True) for key in keys}
    late = [key for moment, key in setting.sent if moment + setting.began - looked[key] > FRESH]
    assert late == []


async def test_a_billing_that_is_away_at_taking_up_is_waited_for_and_one_that_cannot_be_asked_stops_the_run() -> None:
    away, unasked = MarkingJob(), MarkingJob()
    away.failures.append(LookUpDelayed("nobody answers"))
    away.effects["1"] = 1
    await setting_of(away, known=4).go()
    assert sorted(away.calls) == ["2", "3", "4"]
    unasked.failures.append(LookUpFailed("Column unknown"))
    setting = await setting_of(unasked, known=4).go()
    assert unasked.calls == []
    assert setting.stop.kind is StopKind.SYSTEM
    assert setting.stop.reason == "whether rows are in the billing already cannot be seen: Column unknown"


def going_over(job: OverwritingJob, count: int, in_flight: int, *, rate: float | None = None) -> Setting:
    """A run over items that were frozen when there was "old"."""
    listed = [msgspec.structs.replace(one, payload="old") for one in items(count)]
    return Setting(listed, replace(STEADY, in_flight=in_flight, rate=rate), job=job, takes=0.0)


def kept(setting: Setting) -> dict[str, str]:
    return {one.key: one.payload for one in setting.journal.kept.values()}


@pytest.mark.parametrize("keeps", [BeforeImageMode.TOGETHER, BeforeImageMode.ONE_BY_ONE], ids=str)
async def test_what_is_changed_while_a_claimed_row_waits_for_its_turn_is_kept(keeps: BeforeImageMode) -> None:
    job = OverwritingJob(keeps=keeps)
    setting = going_over(job, 20, 8, rate=0.1)
    async with setting.going():
        await anyio.sleep(15.0)
        # Two have gone; more are claimed and wait for the rate.
        assert setting.counts()[State.SENDING] > 2
        job.there |= {str(number): "somebody's" for number in range(3, 21)}
    assert set(kept(setting).values()) == {"old", "somebody's"}
    assert all(there == kept for calls in job.overwritten.values() for there, kept in calls)


@pytest.mark.parametrize("trouble", [LOST_WITH_EFFECT, LOST_WITHOUT, Call(Busy("locked"))])
async def test_what_an_earlier_call_of_the_same_row_has_set_is_not_taken_for_what_was_there(trouble: Call) -> None:
    setting = await going_over(OverwritingJob(plan={"1": [trouble] * 3}), 2, 2).go()
    assert kept(setting) == {"1": "old", "2": "old"}
    assert setting.job.calls.count("1") == 4


async def test_rows_that_go_fast_are_read_once_and_in_groups() -> None:
    job, untouched = OverwritingJob(), OverwritingJob(keeps=BeforeImageMode.NOTHING)
    for one in (job, untouched):
        await going_over(one, 64, 8).go()
    assert sorted(key for group in job.read for key in group) == sorted(str(key) for key in range(1, 65))
    assert len(job.read) <= 16
    assert untouched.read == []


async def test_while_it_cannot_be_read_nothing_is_overwritten() -> None:
    job = OverwritingJob()
    job.there["1"] = "somebody's"
    # The first reading is made ahead; the second, by whoever is about to make the call.
    job.read_errors.extend([LookUpFailed("the database is away")] * 2)
    setting = await going_over(job, 1, 1).go()
    (_, failed), *_ = [(one.state, one.message) for group in setting.journal.recorded for one in group]
    assert failed == "what this would overwrite cannot be read: the database is away"
    assert job.overwritten["1"] == [("somebody's", "somebody's")]
    assert setting.journal.states() == {"1": State.ACCEPTED}
