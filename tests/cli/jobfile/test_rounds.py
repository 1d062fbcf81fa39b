"""Which round of a job file a start goes on with, and what is left to do of it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.records import NewItem, NewRun, Page, Run
from checkpoints.states import State
from cli.jobfile.job_file import JobFile, read
from cli.jobfile.steps import Round, StepState, round_of
from cli.session.stages import StepMark
from engine.sources.raw.original import FileOnDisk
from jobs.catalogue.catalogue import BUILT_IN
from tests.checkpoints.samples import come_to

TARGET = "http://billing"
STEPS = """
[[step]]
job = "balances"
file = "a.csv"

[[step]]
job = "warning-threshold"
set = {folder = 89, amount = "-77"}

[[step]]
job = "operator"
set = {from = 3, operator = 5}
"""
EVENING = datetime(2026, 11, 25, 23, 59, 58, tzinfo=UTC)
"""When a round is begun."""
MIDNIGHT = EVENING + timedelta(seconds=2)

ROWS = "Договор;Сумма\n00001;5\n"
OTHERS = "Договор;Сумма\n00002;6\n"
THIRD = STEPS.rpartition("[[step]]")[2]


@dataclass(slots=True)
class Desk:
    """A job file, and a journal that says what has become of its steps."""

    folder: Path
    journal: Journal

    def file(self, text: str = STEPS) -> JobFile:
        (self.folder / "night.toml").write_text(text, encoding="utf-8")
        return read(self.folder / "night.toml", BUILT_IN)

    def rows(self, text: str | None) -> None:
        """Let the rows of the first step be these, or be gone."""
        (self.folder / "a.csv").unlink(missing_ok=True)
        if text is not None:
            (self.folder / "a.csv").write_text(text, encoding="utf-8")

    async def ran(
        self,
        file: JobFile,
        number: int,
        *states: State,
        round: int = 1,  # noqa: A002 - its name
        approved: bool = True,
        begun: datetime = EVENING,
    ) -> Run:
        """A run of that step, with items in these states."""
        step = file.at(begun).steps[number - 1]
        rows = step.order.rows.file
        digest = FileOnDisk(Path(rows)).digest if rows else ""
        mark = StepMark(str(file.path), round, number, len(file.steps), begun)
        recorded = {**step.order.to_parameters(), **mark.to_parameters()}
        run = await self.journal.create_run(
            NewRun(step.order.kind.name, recorded, TARGET, rows or "a select", digest)
        )
        items = [NewItem(f"{run.name}/{place}", "", str(place), "{}") for place, _ in enumerate(states)]
        await self.journal.freeze(run, Page(tuple(items), (), "1"), lambda item, _: item)
        await self.journal.end_intake(run)
        if not approved:
            return run
        await self.journal.approve(run)
        await come_to(self.journal, run, dict(enumerate(states, 1)))
        return await self.journal.run(run.name)

    async def undone(self, run: Run) -> None:
        """Another run takes the first item of this one back."""
        (first, *_) = await self.journal.items(run, {State.ACCEPTED})
        undo = await self.journal.create_run(NewRun("undo", {"run": run.name}, TARGET, "run"))
        item = NewItem("undo", "", "", "{}", undoes=first.item_id)
        await self.journal.freeze(undo, Page((item,), (), "1"), lambda item, _: item)
        await come_to(self.journal, undo, {1: State.ACCEPTED})

    async def round(self, file: JobFile, now: datetime = EVENING) -> Round:
        return await round_of(file, TARGET, self.journal, now)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_journal(tmp_path / "journal") as journal:
        desk = Desk(tmp_path, journal)
        desk.rows(ROWS)
        yield desk


def told(found: Round) -> list[tuple[int, StepState, str | None]]:
    return [(one.step.number, one.state, one.run.name if one.run else None) for one in found.decisions]


BEGUN = [(1, StepState.BEGUN, None), (2, StepState.BEGUN, None), (3, StepState.BEGUN, None)]


FIRST, SECOND = (f"[[step]]{part}" for part in STEPS.split("[[step]]")[1:3])
ANOTHER = f"[[step]]{THIRD.replace('5', '6')}"
ALIKE = 2 * f"[[step]]{THIRD}"
DONE, OPEN, LEFT = (State.ACCEPTED,), (State.ACCEPTED, State.PENDING), (State.PENDING,)


@dataclass(frozen=True, slots=True)
class Case:
    """What steps have come to, how the job file and the rows of its first step are then, and what is left to do.

    What is left is a word a step: which one, what becomes of it, and behind which run, by the number of its step.
    """

    ran: tuple[tuple[int, tuple[State, ...]], ...]
    left: str
    text: str = STEPS
    rows: str | None = ROWS
    number: int = 1
    before: str = STEPS


ANEW = "1:begun 2:begun 3:begun"
WHOLE = ((1, DONE), (2, DONE), (3, DONE))
CASES = {
    "never started": Case((), ANEW),
    "killed in a step": Case(((1, DONE), (2, OPEN)), "1:passed_over:1 2:taken_up:2 3:begun"),
    "all entered": Case(WHOLE, ANEW, number=2),
    "the last rejected": Case((*WHOLE[:2], (3, (State.REJECTED,))), ANEW, number=2),
    "the last for a person": Case(
        (*WHOLE[:2], (3, (State.MANUAL,))), "1:passed_over:1 2:passed_over:2 3:passed_over:3"
    ),
    "longer since": Case(WHOLE, f"{ANEW} 4:begun", f"{STEPS}\n{ANOTHER}", number=2),
    "edited since": Case(WHOLE, ANEW, STEPS.replace("-77", "-78").replace("operator = 5", "operator = 6"), number=2),
    "without its last step": Case(WHOLE[:2], "1:begun 2:begun", FIRST + SECOND, number=2),
    "with its last step": Case(WHOLE[:2], "1:passed_over:1 2:passed_over:2 3:begun"),
    "a row was added": Case(((1, DONE),), "1:begun:1 2:begun 3:begun", rows=f"{ROWS}00002;6\n"),
    "its rows are gone": Case(((1, DONE),), "1:passed_over:1 2:begun 3:begun", rows=None),
    "other rows in the middle": Case(((1, OPEN),), "1:taken_up:1 1:begun:1 2:begun 3:begun", rows=OTHERS),
    "nobody has agreed": Case(((1, ()),), "1:taken_up:1 2:begun 3:begun"),
    "other rows, nobody has agreed": Case(((1, ()),), "1:begun:1 2:begun 3:begun", rows=OTHERS),
    "a step was put in": Case(
        ((1, DONE), (2, LEFT)),
        "1:passed_over:1 2:begun 3:taken_up:2 4:begun",
        f"{FIRST}{ANOTHER}\n{SECOND}[[step]]{THIRD}",
    ),
    "two steps alike": Case(((1, DONE),), "1:passed_over:1 2:begun", ALIKE, before=ALIKE),
    "edited in the middle": Case(
        ((1, DONE), (2, OPEN)), "1:passed_over:1 2:begun 3:begun", STEPS.replace("-77", "-78")
    ),
}


def shown(found: Round, runs: Mapping[str, int]) -> str:
    """What is left, as a case has it."""
    words = (
        (str(one.step.number), one.state.name.lower(), *([str(runs[one.run.name])] if one.run else []))
        for one in found.decisions
    )
    return " ".join(":".join(parts) for parts in words)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_is_left_of_a_round(case: Case, desk: Desk) -> None:
    file, runs = desk.file(case.before), dict[str, int]()
    for number, states in case.ran:
        run = await desk.ran(file, number, *(states or LEFT), approved=bool(states))
        runs[run.name] = number
    desk.rows(case.rows)
    found = await desk.round(desk.file(case.text))
    assert (found.number, shown(found, runs)) == (case.number, case.left)


async def test_it_says_why(desk: Desk) -> None:
    file = desk.file()
    assert (await desk.round(file)).note == ""
    one = await desk.ran(file, 1, *DONE)
    desk.rows(OTHERS)
    found = await desk.round(file)
    assert found.note == "Going on with round 1, which is not at its end"
    assert found.decisions[0].why.endswith(f"a.csv has changed since run {one.name} began with it")
    anew = await desk.ran(file, 1, *DONE, *DONE)
    assert told(await desk.round(file))[0] == (1, StepState.PASSED_OVER, anew.name)
    await desk.undone(anew)
    back = (await desk.round(file)).decisions[0]
    assert (back.state, back.why) == (StepState.BEGUN, f"run {anew.name} was taken back")
    two = await desk.ran(file, 2, *OPEN)
    assert [run.name for run in (await desk.round(desk.file(STEPS.replace("-77", "-78")))).strays] == [two.name]
    for number in (1, 2):
        await desk.ran(file, number, *DONE)
    ended = await desk.ran(file, 3, *DONE)
    assert f"Round 1 is at its end, with run {ended.name}" in (await desk.round(file)).note
    assert "this is round 2, from step 1" in (await desk.round(file)).note
    await desk.ran(file, 1, *DONE, round=2)
    states = [decision.state for decision in (await desk.round(file)).decisions]
    assert states == [StepState.PASSED_OVER, StepState.BEGUN, StepState.BEGUN]


@pytest.mark.parametrize("state", [State.ACCEPTED, State.REJECTED])
async def test_a_pause_behind_a_step_that_is_to_begin_anew_is_waited_for_where_a_file_waits(
    desk: Desk, state: State
) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, state)
    await desk.journal.pause(one, "olga")
    desk.rows(OTHERS)
    # Behind rejected rows no file waits, unless the step lets them pass.
    waited_for = "1:passed_over:1 " if state is State.ACCEPTED else ""
    assert shown(await desk.round(file), {one.name: 1}) == f"{waited_for}1:begun:1 2:begun 3:begun"
    await desk.journal.unpause(one)
    assert shown(await desk.round(file), {one.name: 1}) == "1:begun:1 2:begun 3:begun"


async def test_runs_of_other_files_billings_and_those_given_up_are_none_of_it(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.PENDING, approved=False)
    assert (await round_of(file, "http://another", desk.journal, EVENING)).note == ""
    copy = desk.folder / "copy.toml"
    copy.write_text(STEPS, encoding="utf-8")
    assert (await desk.round(read(copy, BUILT_IN))).note == ""
    await desk.journal.discard(one)
    assert (await desk.round(file)).note == ""


DATED = """
[[step]]
job = "random-password"
sql = "select id as user_id from users"
set = {to = "new-{date}.csv"}

[[step]]
job = "administrators"
output = "all-{date}-{time}.csv"

[[step]]
job = "operator"
file = "all-{date}-{time}.csv"
set = {operator = 5}
"""


def files(found: Round) -> list[str]:
    """The files that the steps of a round are about."""
    first, second, third = (decision.step for decision in found.decisions)
    assert second.output is not None
    return [Path(name).name for name in (first.order.parameters["to"], str(second.output), third.order.rows.file)]


async def test_a_round_keeps_the_date_it_was_begun_at_and_the_next_one_has_its_own(desk: Desk) -> None:
    file = desk.file(DATED)
    begun = ["new-2026-11-25.csv", "all-2026-11-25-235958.csv", "all-2026-11-25-235958.csv"]
    assert files(await desk.round(file)) == begun
    one = await desk.ran(file, 1, State.ACCEPTED)
    # It was killed, and is started again after midnight.
    found = await desk.round(file, MIDNIGHT)
    assert files(found) == begun
    assert told(found)[0] == (1, StepState.PASSED_OVER, one.name)
    await desk.ran(file, 2, State.ACCEPTED)
    (desk.folder / begun[-1]).write_text("abonent_id\n1\n", encoding="utf-8")
    await desk.ran(file, 3, State.ACCEPTED)
    found = await desk.round(file, MIDNIGHT)
    assert (found.number, told(found)) == (2, BEGUN)
    assert files(found) == ["new-2026-11-26.csv", "all-2026-11-26-000000.csv", "all-2026-11-26-000000.csv"]
