import anyio
import msgspec
import pytest
from structlog.testing import capture_logs

from checkpoints.records import Item, LookUps
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.job import Absent, CannotLook, Different, Found, LookUpResult
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pipeline.progress import Progress
from engine.pipeline.reconciler import Reconciler
from tests.engine.doubles import A_RUN, FakeJob, MemoryJournal, item

pytestmark = pytest.mark.virtual_clock


class Setting:
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
    setting = Setting(unknown(1))
    setting.job.sightings["1"] = sighting
    await setting.settle()
    (settled,) = setting.journal.kept.values()
    assert (settled.state, settled.answer, settled.message) == (state, answer, message)
    counts = {State.ACCEPTED: LookUps(found=1), State.PENDING: LookUps(absent=1), State.MANUAL: LookUps(left=1)}
    assert setting.journal.noted.looked_up == counts.get(state, LookUps())


async def test_only_what_is_unknown_is_looked_up_page_by_page() -> None:
    others = [item(100 + place, state=state) for place, state in enumerate(State) if not state.in_doubt]
    setting = Setting(*map(unknown, range(1, 8)), *others)
    setting.job.effects.update("1357")
    before = {other.key: other.state for other in others}
    with capture_logs() as logged:
        await setting.settle()
    assert logged[-1] == {"event": "settled what was unknown", "log_level": "info", "accepted": 4, "pending": 3}
    # A line a row for the log, and one for the screen.
    again = [line for line in logged if line["event"] == "not in the billing, sent again"]
    assert [line["log_level"] for line in again] == ["info", "info", "info", "warning"]
    assert again[-1]["rows"] == 3
    assert setting.job.looked_up == [["1", "2", "3"], ["4", "5", "6"], ["7"]]
    odd_and_even = {str(number): State.ACCEPTED if number % 2 else State.PENDING for number in range(1, 8)}
    assert setting.journal.states() == odd_and_even | before


async def test_what_can_be_repeated_goes_again_without_a_look() -> None:
    setting = Setting(*map(unknown, range(1, 8)), repeatable=True)
    await setting.settle()
    assert setting.job.looked_up == []
    assert set(setting.journal.states().values()) == {State.PENDING}
    assert {kept.message for kept in setting.journal.kept.values()} == {"time-out"}
    assert setting.now == 0.0


async def test_nobody_looks_before_the_last_loss_has_settled() -> None:
    setting = Setting(unknown(1), policy=Policy(settle=30.0))
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
    setting = Setting(unknown(1), policy=Policy(settle=0))
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
    setting = Setting(*map(unknown, range(1, 5)), policy=Policy(settle=0))
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
    setting = Setting(*map(unknown, range(1, 5)), policy=Policy(settle=0, page=2))
    await setting.settle()
    assert setting.job.asked == [
        ("unfinished_work", ["1", "2"]),
        ("look up", ["1", "2"]),
        ("unfinished_work", ["3", "4"]),
        ("look up", ["3", "4"]),
    ]


async def test_a_billing_that_never_catches_up_ends_in_a_stop_with_all_still_unknown() -> None:
    setting = Setting(unknown(1), unknown(2), policy=Policy(settle=0, drain_patience=60.0))
    setting.job.unfinished_for.extend(["5 in the stack"] * 1000)
    await setting.settle()
    assert setting.stop.kind is StopKind.SYSTEM
    assert setting.stop.reason.startswith("2 rows are in doubt and cannot be settled: 5 in the stack, after 60 s")
    assert set(setting.journal.states().values()) == {State.UNKNOWN}
    assert setting.now == pytest.approx(61.0, abs=1.0)
    assert setting.progress.held is None


@pytest.mark.parametrize("unfinished_work", [0, 1000])
async def test_a_stop_while_waiting_leaves_all_unknown(unfinished_work: int) -> None:
    setting = Setting(unknown(1), policy=Policy(settle=0 if unfinished_work else 1000))
    setting.job.unfinished_for.extend(["full"] * unfinished_work)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.settle)
        await anyio.sleep(5.0)
        setting.stop.request(StopKind.INTERRUPTED, "enough")
    assert setting.now == 5.0
    assert bool(setting.job.looked_up) == bool(unfinished_work)
    assert setting.journal.states() == {"1": State.UNKNOWN}


async def test_a_look_that_fails_changes_nothing() -> None:
    setting = Setting(unknown(1))
    setting.job.look_up_error = LookUpFailed("the database is away")
    with pytest.raises(LookUpFailed):
        await setting.settle()
    assert setting.journal.states() == {"1": State.UNKNOWN}
    assert setting.journal.recorded == []


async def test_what_is_manual_is_accepted_when_it_is_found_and_left_to_a_person_otherwise() -> None:
    manual = [item(number, state=State.MANUAL) for number in range(1, 5)]
    setting = Setting(*manual, unknown(9))
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
