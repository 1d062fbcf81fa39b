"""Job files: checked with line and column, planned, written, and what may be typed beside one."""

import tomllib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.records import NewItem, NewRun, Page, Run
from checkpoints.states import State
from cli.session.job_file import PACING, JobFile, Round, read, round_of, save_order
from cli.session.order import parse_order
from cli.session.run_view import StepMark
from cli.session.session import Invocation
from cli.settings.flags import Pacing, with_file
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Screen
from engine.pacing.holds import Percent
from engine.pacing.policy import ALL, Policy, policy_with
from engine.pacing.throttle import hours_of
from engine.sources.sample import FileOnDisk
from jobs.catalogue.catalogue import BUILT_IN
from jobs.rows.input import Input
from tests.checkpoints.samples import come_to
from tests.cli.conftest import Place, Typed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"[run]\nin_flight = {'9' * 5000}\n", "a number has too many digits (at line 2)"),
        (f"format = 0x{'f' * 9000}\n", "format: the number has too many digits"),
        (f"[run]\nrate = {'[' * 3000}\n", "brackets in brackets without end"),
    ],
)
def test_what_is_longer_than_any_value_is_refused(text: str, told: str, typed: Typed, tmp_path: Path) -> None:
    """All other faults stand in `transcripts/job-files.txt`."""
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    typed.refused("run", "bad.toml", says=["bad.toml", told])


OF_THE_FOLDER = "select id from abonents where parent_id = :folder"
CALLS = (
    *("--model", "AdminAccounts", "--chain", 'objects.get {"account_id_abonents": {id}}'),
    *("--chain", 'set {"limit_warning": "{sum}"}', "--chain", "save", "--set", "sum=-5", "--set", "folder=89"),
    *("--sql", f"{OF_THE_FOLDER} and is_folder = 0 and deleted = 0 and account_id is not null"),
)


async def test_what_was_typed_is_saved_and_does_the_same(place: Place) -> None:
    saved = await place.cli("run", "call", *CALLS, "--save", "call.toml")
    assert "nothing was sent" in saved.out
    assert not place.cli.journal.exists()
    await place.cli.refused("run", "call", *CALLS, "--save", "call.toml", says="is there already")
    await place.cli("run", "call.toml", "--yes")
    async with place.journal() as journal:
        (run,) = await journal.runs()
        by_file = {item.key: item.payload for item in await journal.items(run, {State.ACCEPTED})}
    assert by_file
    typed = (await place.cli("run", "call", *CALLS, "--yes", "--json")).closing
    assert typed["states"] == {"skipped": len(by_file)}


PACED: Mapping[str, tuple[str, object]] = {
    "in_flight": ("3", 3),
    "max_in_flight": ("64", 64),
    "rate": ("2.5", 2.5),
    "hours": ("01:00-06:00", "01:00-06:00"),
    "max_stack": ("7", 7),
    "max_latency": ("1.5", 1.5),
    "throttle_sql": ("select 1 from rdb$database", "select 1 from rdb$database"),
    "throttle_above": ("5", 5.0),
    "min_disk": ("9", 9),
    "stop_after_errors": ("1%", "1%"),
    "limit_money": ("1000", "1000"),
    "like_last": ("50%", "50%"),
    "settle": ("30", 30.0),
}


def test_all_that_was_typed_and_has_a_place_is_saved(typed: Typed, tmp_path: Path) -> None:
    assert {*PACED, "no_canary"} == PACING
    flags = [word for name, (text, _) in PACED.items() for word in (f"--{name.replace('_', '-')}", text)]
    how = ("--again", "--skip-bad", "--no-canary", "--encoding", "cp1251", "--columns", "id,ip", "--map", "ip=Адрес")
    told = ("-o", "out.csv", "--sheet", "x", "--delimiter", "tab", *how, *flags)
    typed("run", "at-ip", "sub/rows.csv", *told, "--save", "saved.toml")
    content = tomllib.loads((tmp_path / "saved.toml").read_text())
    assert content["run"] == {**{name: value for name, (_, value) in PACED.items()}, "no_canary": True}
    assert content["step"] == [
        {
            "job": "at-ip",
            "file": "sub/rows.csv",
            "columns": ["id", "ip"],
            "delimiter": "tab",
            "sheet": "x",
            "map": {"ip": "Адрес"},
            "encoding": "cp1251",
            "output": "out.csv",
            "again": True,
            "skip_bad": True,
        }
    ]
    file = read(tmp_path / "saved.toml", BUILT_IN)
    assert file.steps[0].output == tmp_path / "out.csv"
    assert policy_with(Policy(), with_file(Pacing(), file.pacing).given, ALL) == Policy(
        in_flight=3,
        rate=2.5,
        hours=hours_of("01:00-06:00"),
        max_stack=7,
        max_latency=1.5,
        throttle_sql="select 1 from rdb$database",
        throttle_above=5.0,
        min_disk=9_000_000,
        canary=False,
        stop_after_errors=Percent(Decimal(1)),
        limit_money=Decimal(1000),
        like_last=Decimal(50),
    )


def test_what_a_job_makes_is_beside_the_job_file(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("run", "random-password", "--set", "user_id=1", "--set", "to=out/new.csv", "--save", "saved.toml")
    assert tomllib.loads((tmp_path / "saved.toml").read_text())["step"][0]["set"]["to"] == "out/new.csv"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (step,) = read(tmp_path / "saved.toml", BUILT_IN).steps
    assert step.order.parameters["to"] == str(tmp_path / "out" / "new.csv")


def test_no_job_file_keeps_a_secret(tmp_path: Path) -> None:
    order = parse_order("password", Input(), {"user_id": "1", "psw": "Tiger7"}, BUILT_IN)
    with pytest.raises(CommandRefused, match="psw is a secret: no job file keeps one"):
        save_order(order, tmp_path / "x.toml", Invocation(cast("Settings", None), Screen()), output=None, force=False)
    assert not (tmp_path / "x.toml").exists()


def test_what_is_typed_of_the_pacing_goes_before_the_file_also_where_it_is_the_default() -> None:
    said = {"settle": 5, "rate": 10, "in_flight": 2}
    assert with_file(Pacing(), said) == Pacing(settle="5", rate="10", in_flight="2")
    assert with_file(Pacing(settle="30"), said) == Pacing(settle="30", rate="10", in_flight="2")
    # A bound that is typed bounds something.
    assert with_file(Pacing(max_in_flight="3"), said) == Pacing(settle="5", rate="10", max_in_flight="3")


# ---- Which round of a job file a start goes on with, and what is left to do of it


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
    words = list[str]()
    for one in found.decisions:
        state = "begun" if one.begins else "taken_up" if one.is_open else "passed_over"
        words.append(":".join([str(one.step.number), state, *([str(runs[one.run.name])] if one.run else [])]))
    return " ".join(words)


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
    first = (await desk.round(file)).decisions[0]
    assert (first.begins, first.is_open, first.run) == (False, False, await desk.journal.run(anew.name))
    await desk.undone(anew)
    back = (await desk.round(file)).decisions[0]
    assert (back.begins, back.why) == (True, f"run {anew.name} was taken back")
    two = await desk.ran(file, 2, *OPEN)
    assert [run.name for run in (await desk.round(desk.file(STEPS.replace("-77", "-78")))).strays] == [two.name]
    for number in (1, 2):
        await desk.ran(file, number, *DONE)
    ended = await desk.ran(file, 3, *DONE)
    assert f"Round 1 is at its end, with run {ended.name}" in (await desk.round(file)).note
    assert "this is round 2, from step 1" in (await desk.round(file)).note
    await desk.ran(file, 1, *DONE, round=2)
    decisions = (await desk.round(file)).decisions
    assert [(one.begins, one.is_open) for one in decisions] == [(False, False), (True, False), (True, False)]


@pytest.mark.parametrize("state", [State.ACCEPTED, State.REJECTED])
async def test_a_pause_behind_a_step_that_begins_anew_holds_where_a_file_waits(desk: Desk, state: State) -> None:
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
    assert shown(found, {one.name: 1}) == "1:passed_over:1 2:begun 3:begun"
    await desk.ran(file, 2, State.ACCEPTED)
    (desk.folder / begun[-1]).write_text("abonent_id\n1\n", encoding="utf-8")
    await desk.ran(file, 3, State.ACCEPTED)
    found = await desk.round(file, MIDNIGHT)
    assert (found.number, shown(found, {})) == (2, ANEW)
    assert files(found) == ["new-2026-11-26.csv", "all-2026-11-26-000000.csv", "all-2026-11-26-000000.csv"]
