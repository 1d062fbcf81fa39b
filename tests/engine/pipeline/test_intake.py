import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from msgspec import structs

from checkpoints.journal import Journal, earlier_runs, open_journal
from checkpoints.records import Change, EarlierEntry, NewItem, NewRun, Page, Refusal, Run
from checkpoints.states import State
from engine.errors import DiskFull, InputRefused, LookUpFailed
from engine.job import Entries, Marked, Prepared, Row
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import MOST_APART, PREPARED_AT_ONCE, Intake, Repeat, judge_for
from engine.pipeline.progress import Progress
from lab.crash.loops import loops
from tests.engine.doubles import A_RUN, FakeJob, MemorySource, row, rows

WHEN = "2025-11-20T09:30:00.000+00:00"
EVERY_STATE = frozenset(State)
Twins: TypeAlias = list[EarlierEntry]


def twin(amount: str, state: State = State.PENDING, run: str = A_RUN.name, at: str = A_RUN.target) -> EarlierEntry:
    return EarlierEntry(run, "1", Decimal(amount), None, state, 2, WHEN, WHEN, at)


def older(state: State, run: str = "older", at: str = A_RUN.target) -> EarlierEntry:
    return twin("5.00", state, run, at)


def unfinished(state: State, run: str = "older") -> str:
    command = "reconcile" if state is State.MANUAL else "resume"
    why = f"run {run} has this row as {state}: take that run to its end first"
    return f"refused: {why}, `carbon-migrate {command} {run}`"


ELSEWHERE = "http://127.0.0.1:8082"
AGAIN = "skipped: a duplicate in the input: the same key and amount as line 2"
CONTRADICTS = "contradicts: contradicts line 2: the same key with 5.00 there and 6.00 here"
ENTERED = "skipped: entered by an earlier run: older, 2025-11-20T09:30:00+00:00"
ON_TOP = (
    "refused: run older has entered 5.00 for this key on 2025-11-20; the input says 6.00: if it is to be "
    "entered all the same, run with --again"
)
ANOTHER = (
    f"refused: run older has this row at {ELSEWHERE}, and this one is for {A_RUN.target}: if that is the same "
    f"billing, give --api-url {ELSEWHERE}; if it is another one, run with --another-billing"
)
HERE, FIRST = twin("5.00"), twin("4.00", State.ACCEPTED, "first")
REPEATS = ({"repeatable": True}, {"enter": Repeat.AGAIN})
PER_BILLING = {"enter": Repeat.PER_BILLING}


def judged(
    amount: str,
    twins: Sequence[EarlierEntry],
    *,
    repeatable: bool = False,
    enter: Repeat = Repeat.ONCE,
    sends: bool = False,
) -> str:
    """What becomes of line 7 of the input, and why."""
    run = A_RUN if sends else replace(A_RUN, approved_at=None)
    item = structs.replace(row("1", amount), line=7)
    verdict = judge_for(run, FakeJob((), repeatable=repeatable).effect, enter)(item, twins)
    if isinstance(verdict, Refusal):
        conflict = verdict.conflict
        assert verdict == Refusal(7, None, item.label, verdict.reason, item.row, conflict=conflict and item.key)
        return f"{'contradicts' if conflict else 'refused'}: {verdict.reason}"
    assert structs.replace(verdict, skip_reason=None) == item
    return f"skipped: {verdict.skip_reason}" if verdict.skip_reason else "new"


@pytest.mark.parametrize(
    ("twins", "how", "same", "other"),
    [
        # Within one input, whatever the job and the wish.
        *(([HERE], how, AGAIN, CONTRADICTS) for how in ({}, *REPEATS)),
        (
            [HERE],
            {"sends": True},
            AGAIN,
            f"{CONTRADICTS}; that row of the run's input stays, this one is left out",
        ),
        # Against earlier runs.
        *(([older(state)], {}, ENTERED, ON_TOP) for state in (State.ACCEPTED, State.APPLIED)),
        *(
            ([older(state)], {}, unfinished(state), unfinished(state))
            for state in (State.PENDING, State.SENDING, State.UNKNOWN, State.MANUAL)
        ),
        *(
            ([older(state)], how, "new", "new")
            for state in (State.PENDING, State.UNKNOWN, State.ACCEPTED)
            for how in REPEATS
        ),
        # Of several entries one of this amount is enough to skip.
        ([FIRST, older(State.ACCEPTED)], {}, ENTERED, ON_TOP),
        ([older(State.ACCEPTED), older(State.UNKNOWN, "newest")], {}, *[unfinished(State.UNKNOWN, "newest")] * 2),
        # At another address, which may be the same billing.
        *(([older(state, at=ELSEWHERE)], {}, ANOTHER, ANOTHER) for state in (State.ACCEPTED, State.UNKNOWN)),
        ([older(State.ACCEPTED, at=ELSEWHERE)], PER_BILLING, "new", "new"),
        ([older(State.ACCEPTED, "first", ELSEWHERE), older(State.APPLIED)], PER_BILLING, ENTERED, ON_TOP),
        # Both are looked at.
        ([older(State.ACCEPTED), HERE], {"enter": Repeat.AGAIN}, AGAIN, CONTRADICTS),
    ],
)
def test_what_becomes_of_a_row_with_an_earlier_key(twins: Twins, how: dict[str, Any], same: str, other: str) -> None:
    assert [judged(amount, twins, **how) for amount in ("5.00", "5", "5.000")] == [same] * 3
    assert judged("6.00", twins, **how) == other


def test_where_there_is_no_amount_what_a_row_asks_for_tells() -> None:
    first = EarlierEntry(A_RUN.name, "1", None, "limit -100", State.PENDING, 2, WHEN, WHEN, A_RUN.target)
    judge = judge_for(replace(A_RUN, approved_at=None), FakeJob().effect, Repeat.AGAIN)
    same = judge(structs.replace(row("1"), amount=None, wanted="limit -100"), [first])
    assert isinstance(same, NewItem)
    assert same.skip_reason == "a duplicate in the input: the same key and values as line 2"
    other = judge(structs.replace(row("1"), amount=None, wanted="limit -200"), [first])
    assert isinstance(other, Refusal)
    assert other.reason == "contradicts line 2: the same key with limit -100 there and limit -200 here"
    assert other.conflict == "1"


async def new_run(journal: Journal) -> Run:
    return await journal.create_run(NewRun("fake", {}, "http://billing", "memory"))


async def frozen(journal: Journal, *new: NewItem) -> Run:
    run = await new_run(journal)
    await Intake(run, FakeJob(new), journal, Progress()).freeze_all()
    return run


async def keys(journal: Journal, run: Run, states: Collection[State] = EVERY_STATE) -> list[str]:
    return [item.key for item in await journal.items(run, states)]


async def test_a_third_row_of_a_skipped_and_a_contradicting_one_is_refused_with_them(journal: Journal) -> None:
    run = await frozen(journal, row("a", "5.00"), row("a", "5.00"), row("a", "6.00"), row("a", "6.00"))
    assert await keys(journal, run) == []
    assert (await journal.totals(run)).refused == 4


async def test_a_file_that_has_changed_since_is_refused_before_anything_is_read(journal: Journal) -> None:
    run = await journal.create_run(NewRun("fake", {}, "http://billing", "input.csv", source_digest="then"))
    job = FakeJob(rows(3))
    job.source.digest, job.source.name = "now", "input.csv"
    with pytest.raises(InputRefused, match=f"input.csv is no longer the file that run {run.name} began with"):
        await Intake(run, job, journal, Progress()).freeze_all()
    run = await journal.run(run.name)
    assert (run.cursor, run.frozen_at) == (None, None)
    job.source.digest = "then"
    await Intake(run, job, journal, Progress()).freeze_all()
    assert len(await keys(journal, run)) == 3


@dataclass(slots=True)
class LimitedSource(MemorySource):
    """Of whose rows so many are to be sent."""

    limit: int = 0


def limited(limit: int, new: Sequence[NewItem], *, page: int = 10) -> FakeJob:
    job = FakeJob(new, page=page)
    job.source = LimitedSource(len(new), page, limit=limit)
    return job


@pytest.mark.parametrize("page", [1, 3, 10, 100])
@pytest.mark.parametrize("limit", [1, 2, 7, 11, 40, 60])
async def test_as_many_rows_are_frozen_as_are_sent_and_the_rest_counted(
    journal: Journal, limit: int, page: int
) -> None:
    """Every third row is skipped, for an earlier run has entered it: it does not count."""
    entered = await frozen(journal, *(row(str(key)) for key in range(0, 50, 3)))
    ids = [item.item_id for item in await journal.items(entered, EVERY_STATE)]
    await journal.claim(entered, ids)
    await journal.record(entered, [Change(one, State.ACCEPTED) for one in ids])
    run = await new_run(journal)
    await Intake(run, limited(limit, rows(50), page=page), journal, Progress()).freeze_all()
    totals = await journal.totals(run)
    assert totals.count(State.PENDING) == min(limit, 33)
    assert totals.read == 50
    pending = [int(key) for key in await keys(journal, run, {State.PENDING})]
    assert pending == [key for key in range(50) if key % 3][:limit]
    last = int((await keys(journal, run))[-1])
    assert totals.left_out.get("--limit", 0) == 49 - last
    assert last == pending[-1] or limit > 33


async def test_an_intake_that_broke_off_goes_on_with_what_is_left_of_its_limit(journal: Journal) -> None:
    run, job = await new_run(journal), limited(7, rows(12), page=3)

    def fail(start: int) -> None:
        if start == 6:
            raise InputRefused("line 7 cannot be read")

    job.source.before_page = fail
    with pytest.raises(InputRefused, match="line 7"):
        await Intake(run, job, journal, Progress()).freeze_all()
    job.source.before_page = lambda _start: None
    # What was frozen may have been sent since: it counts all the same.
    (first, *_) = await journal.items(run, EVERY_STATE)
    await journal.claim(run, [first.item_id])
    await Intake(await journal.run(run.name), job, journal, Progress()).freeze_all()
    assert await keys(journal, run) == [str(key) for key in range(7)]
    assert (await journal.totals(run)).left_out == {"--limit": 5}


async def test_a_copy_that_is_put_back_gives_no_row_the_number_of_another(tmp_path: Path) -> None:
    path, copy, job = tmp_path / "one.journal", tmp_path / "nightly.copy", FakeJob(rows(12), page=3)

    def copied(start: int) -> None:
        if start == 6 and not copy.exists():
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)

    async def numbers(journal: Journal, run: Run) -> dict[int, str]:
        async with journal.taken_up(run) as ours:
            await Intake(ours, job, journal, Progress()).freeze_all()
            return {item.number: item.key for item in await journal.items(ours, EVERY_STATE)}

    job.source.before_page = copied
    async with open_journal(path) as journal:
        run = await new_run(journal)
        newer = await numbers(journal, run)
    # Rows that the newer copy has entered are refused, and those after them are not.
    job.entries = {str(key): Entries((Marked(run.name, key + 1, "5", "operation 5"),)) for key in (6, 7)}
    async with open_journal(copy) as journal:
        older = await numbers(journal, await journal.run(run.name))
    assert (list(newer), len(older)) == ([*range(1, 13)], 10)
    assert [*older.items()][:6] == [*newer.items()][:6]
    assert newer.keys() & older.keys() == set(range(1, 7))


async def test_numbers_stay_as_short_as_a_mark_has_room_for(journal: Journal) -> None:
    run, job = await new_run(journal), FakeJob(rows(3))
    async with journal.taken_up(run) as ours:
        await journal.freeze(ours, Page((row("a"),), (), None, above=MOST_APART), lambda item, _: item)
    async with journal.taken_up(run) as ours:
        await Intake(ours, job, journal, Progress()).freeze_all()
        assert [item.number - MOST_APART for item in await journal.items(ours, EVERY_STATE)] == [1, 2, 3, 4]


async def test_rows_behind_the_last_one_are_neither_judged_nor_refused(journal: Journal) -> None:
    run, job = await new_run(journal), limited(1, [row("a"), row("a", "9.99"), row("b")])
    job.source.refusals = {2: Refusal(3, None, "?", "not text")}
    await Intake(run, job, journal, Progress()).freeze_all()
    totals = await journal.totals(run)
    assert (totals.frozen, totals.refused, totals.left_out) == (1, 0, {"--limit": 3})


class DiskThatFills:
    """A disk on which so many megabytes are free, ten less each time that it is asked."""

    f_frsize = 1

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes

    @property
    def f_bavail(self) -> int:
        self.megabytes -= 10
        return self.megabytes * 1_000_000


async def test_reading_stops_before_the_disk_is_full(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    job = FakeJob(rows(50), page=2)
    run = await new_run(journal)
    disk = DiskThatFills(240)
    monkeypatch.setattr("engine.pacing.throttle.os.statvfs", lambda _: disk)
    with pytest.raises(
        DiskFull, match=r"190 MB free for the journal, 200 MB wanted. Make room there, or .*min-disk MB"
    ):
        await Intake(run, job, journal, Progress(), least_free=lambda: 200_000_000).freeze_all()
    run = await journal.run(run.name)
    assert (await journal.totals(run)).frozen == 8
    assert run.frozen_at is None
    disk.megabytes = 10_000
    await Intake(run, job, journal, Progress(), least_free=lambda: 200_000_000).freeze_all()
    assert (await journal.totals(run)).frozen == 50


class WatchedJob(FakeJob):
    """A job whose pages of two rows are prepared when they may be."""

    reads_apart = True

    def __init__(self, new: Sequence[NewItem]) -> None:
        super().__init__(new, page=2)
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
            return await super().prepare(rows)
        finally:
            if first in self.done:
                self.done[first].set()

    def prepare_after(self, first: str, other: str) -> None:
        """Let the preparing of a page end after that of another one."""
        self.wait[first] = self.done[other] = anyio.Event()


async def test_no_more_pages_are_in_memory_than_are_prepared_at_once(journal: Journal) -> None:
    run, job = await new_run(journal), WatchedJob(rows(20))
    progress, most = Progress(), 0

    def count(start: int) -> None:
        nonlocal most
        most = max(most, start + job.source.page - sum(progress.counts.values()))

    job.source.before_page = count
    await Intake(run, job, journal, progress).freeze_all()
    assert most == PREPARED_AT_ONCE * job.source.page


async def test_an_error_ends_the_intake_after_the_pages_before_it(journal: Journal) -> None:
    run, job = await new_run(journal), WatchedJob(rows(8))
    job.prepare_after("2", "4")
    job.faults["4"] = LookUpFailed("the database is away")
    with pytest.raises(LookUpFailed, match="the database is away"), anyio.fail_after(loops(30)):
        await Intake(run, job, journal, Progress()).freeze_all()
    run = await journal.run(run.name)
    assert (run.cursor, run.frozen_at) == ("4", None)
    assert await keys(journal, run) == ["0", "1", "2", "3"]
    job.faults.clear()
    await Intake(run, job, journal, Progress()).freeze_all()
    assert await keys(journal, run) == [str(number) for number in range(8)]


async def test_through_the_api_alone_one_page_is_prepared_at_a_time(journal: Journal) -> None:
    run, job = await new_run(journal), WatchedJob(rows(6))
    job.reads_apart = False
    progress, frozen = Progress(), list[int]()
    job.while_preparing = anyio.wait_all_tasks_blocked
    job.source.before_page = lambda _start: frozen.append(sum(progress.counts.values()))
    await Intake(run, job, journal, progress).freeze_all()
    assert frozen == [0, 2, 4]


TARGET = "http://billing"
NEW = NewRun("fake", {}, TARGET, "memory", "", ("id",))
AT_ANOTHER = replace(NEW, target="http://127.0.0.1:8082")


async def entered(journal: Journal) -> None:
    """Earlier runs: 0 accepted, 1 rejected, 2 left to a person, 3 accepted with another sum; 4 elsewhere."""
    await Intake(await journal.create_run(AT_ANOTHER), FakeJob([row("4")]), journal, Progress()).freeze_all()
    run = await journal.create_run(NEW)
    job = FakeJob([*rows(3), row("3", "9")])
    await Intake(run, job, journal, Progress()).freeze_all()
    items = await journal.items(run, {State.PENDING})
    await journal.claim(run, [item.item_id for item in items])
    ends = (State.ACCEPTED, State.REJECTED, State.MANUAL, State.ACCEPTED)
    await journal.record(run, [Change(item.item_id, end) for item, end in zip(items, ends, strict=True)])


async def became_of(
    journal: Journal, job: FakeJob, enter: Repeat, earlier: Journal | None = None
) -> list[tuple[str, str, str]]:
    """What became of the rows of a run, or of a plan beside `earlier` runs: its items and refused rows, and why."""
    run = await journal.create_run(NEW)
    foreign = ForeignEntries(job, earlier or journal, TARGET, again=enter is Repeat.AGAIN, own=run.name)
    await Intake(run, job, journal, Progress(), enter=enter, foreign=foreign).freeze_all()
    items = await journal.items(run, EVERY_STATE)
    refused = [refusal for _, refusal in await journal.refusals(run)]
    return [
        *((item.key, str(item.state), (item.message or "").partition(":")[0]) for item in items),
        *((refusal.label, "refused", refusal.reason) for refusal in refused),
    ]


def again_in_the_input() -> list[NewItem]:
    """What the earlier runs have, one row of it twice, a new one, and a new one twice."""
    return [*rows(5), row("0"), row("5"), row("5")]


@pytest.mark.parametrize("enter", list(Repeat))
@pytest.mark.parametrize("repeatable", [False, True])
async def test_it_says_what_a_real_run_would(tmp_path: Path, *, enter: Repeat, repeatable: bool) -> None:
    job = FakeJob(again_in_the_input())
    job.repeatable = repeatable
    async with open_journal(tmp_path / "real") as real, open_journal(tmp_path / "plans") as plans:
        await entered(real)
        before = len(await real.runs())
        async with earlier_runs(real.path) as earlier:
            rehearsed = await became_of(plans, job, enter, earlier)
        assert len(await real.runs()) == before
        # A second plan is not held against the first.
        async with earlier_runs(real.path) as earlier:
            assert await became_of(plans, job, enter, earlier) == rehearsed
        assert rehearsed == await became_of(real, job, enter)
    states = {key: state for key, state, _ in rehearsed}
    if enter is not Repeat.AGAIN and not repeatable:
        elsewhere = {"subscriber 4": "refused"} if enter is Repeat.ONCE else {"4": "pending"}
        assert states == elsewhere | {
            "0": "skipped",
            "1": "pending",
            "5": "skipped",
            "subscriber 2": "refused",
            "subscriber 3": "refused",
        }


class PartlyRepeatable(FakeJob):
    """One whose calls of the payload "set" may be made again."""

    def may_repeat(self, payload: str) -> bool:
        return payload == "set"


async def test_a_row_whose_call_may_be_made_again_is_not_held_against_earlier_runs(tmp_path: Path) -> None:
    job = PartlyRepeatable(
        [structs.replace(row("0"), payload="set"), structs.replace(row("3"), payload="set"), row("2")]
    )
    job.entries["3"] = Entries((Marked("other", 1, "5", "operation 5"),))
    async with open_journal(tmp_path / "real") as real, open_journal(tmp_path / "plans") as plans:
        await entered(real)
        async with earlier_runs(real.path) as earlier:
            rehearsed = await became_of(plans, job, Repeat.ONCE, earlier)
        assert rehearsed == await became_of(real, job, Repeat.ONCE)
    assert [(key, state) for key, state, _ in rehearsed] == [
        ("0", "pending"),
        ("3", "pending"),
        ("subscriber 2", "refused"),
    ]


class ShowingLate(FakeJob):
    """One whose billing shows nothing of a row until it was asked so often."""

    def __init__(self, new: Sequence[NewItem], entries: Mapping[str, Entries], *, shows_at: int) -> None:
        super().__init__(new)
        self.there, self.shows_at, self.looks = entries, shows_at, 0

    def shows_entered(self, payload: str) -> bool:
        return True

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        self.looks += 1
        return self.there if self.looks >= self.shows_at else {}


@pytest.mark.parametrize("how", ["run", "plan", "again"])
@pytest.mark.parametrize(
    ("settle", "shows_at", "looks", "states"),
    [("0.3", 2, 2, ["skipped"]), ("0.3", 3, 2, ["refused"]), ("0", 2, 1, ["refused"]), ("30", 1, 1, ["skipped"])],
    ids=["late", "gone", "long ago", "there"],
)
async def test_what_was_entered_a_moment_ago_is_gone_only_once_the_settle_delay_is_over(
    tmp_path: Path, settle: str, shows_at: int, looks: int, states: list[str], how: str
) -> None:
    async with open_journal(tmp_path / "real") as real, open_journal(tmp_path / "plans") as plans:
        run = await real.create_run(NEW)
        await Intake(run, FakeJob([row("0")]), real, Progress()).freeze_all()
        (item,) = await real.items(run, {State.PENDING})
        await real.claim(run, [item.item_id])
        await real.record(run, [Change(item.item_id, State.ACCEPTED, answer="5")])
        entries = {"0": Entries((Marked(run.name, item.number, "5", "operation 5", item.amount),))}

        job = ShowingLate([row("0")], entries, shows_at=shows_at)
        job.has_steps = how == "again"
        enter = Repeat.AGAIN if job.has_steps else Repeat.ONCE
        async with earlier_runs(real.path) as earlier:
            journal, known = (plans, earlier) if how == "plan" else (real, real)
            later = await journal.create_run(replace(NEW, policy={"settle": settle}))
            foreign = ForeignEntries(job, known, TARGET, again=job.has_steps, own=later.name)
            await Intake(later, job, journal, Progress(), enter=enter, foreign=foreign).freeze_all()
        items = [str(one.state) for one in await journal.items(later, EVERY_STATE)]
        # Of steps those are entered again that are not shown.
        gone = ["pending" if job.has_steps and one == "refused" else one for one in states]
        assert [*items, *("refused" for _ in await journal.refusals(later))] == gone
        assert job.looks == looks
