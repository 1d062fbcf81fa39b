"""Which round of a job file a start goes on with, and what is left to do of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, NewItem, NewRun, Page, Run
from checkpoints.states import State
from cli.jobfile.job_file import JobFile, read
from cli.jobfile.rounds import Round, StepState, round_of
from cli.session.step_mark import StepMark
from engine.sources.raw.original import FileOnDisk
from jobs.catalogue.catalogue import BUILT_IN

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

THIRD = STEPS.rpartition("[[step]]")[2]


@dataclass(slots=True)
class Desk:
    """A job file, and a journal that says what has become of its steps."""

    folder: Path
    journal: Journal

    def file(self, text: str = STEPS) -> JobFile:
        (self.folder / "night.toml").write_text(text, encoding="utf-8")
        return read(self.folder / "night.toml", BUILT_IN)

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
        for item, state in zip(await self.journal.items(run, {State.PENDING}), states, strict=True):
            if state is not State.PENDING:
                await self.journal.claim(run, [item.item_id])
                ways = [State.UNKNOWN, State.MANUAL] if state is State.MANUAL else [state]
                await self.journal.record(run, [Change(item.item_id, way) for way in ways[:1]])
                await self.journal.record(run, [Change(item.item_id, way) for way in ways[1:]])
        return await self.journal.run(run.name)

    async def undone(self, run: Run) -> None:
        """Another run takes the first item of this one back."""
        (first, *_) = await self.journal.items(run, {State.ACCEPTED})
        undo = await self.journal.create_run(NewRun("undo", {"run": run.name}, TARGET, "run"))
        item = NewItem("undo", "", "", "{}", undoes=first.item_id)
        await self.journal.freeze(undo, Page((item,), (), "1"), lambda item, _: item)
        (pending,) = await self.journal.items(undo, {State.PENDING})
        await self.journal.claim(undo, [pending.item_id])
        await self.journal.record(undo, [Change(pending.item_id, State.ACCEPTED)])

    async def round(self, file: JobFile, now: datetime = EVENING) -> Round:
        return await round_of(file, TARGET, self.journal, now)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    (tmp_path / "a.csv").write_text("Договор;Сумма\n00001;5\n", encoding="utf-8")
    async with open_journal(tmp_path / "journal") as journal:
        yield Desk(tmp_path, journal)


def told(found: Round) -> list[tuple[int, StepState, str | None]]:
    return [(one.step.number, one.state, one.run.name if one.run else None) for one in found.decisions]


BEGUN = [(1, StepState.BEGUN, None), (2, StepState.BEGUN, None), (3, StepState.BEGUN, None)]


async def test_a_file_that_was_never_started_begins_with_its_first_step(desk: Desk) -> None:
    found = await desk.round(desk.file())
    assert (found.number, told(found), found.note) == (1, BEGUN, "")


async def test_a_round_that_was_killed_in_a_step_goes_on_there(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.ACCEPTED)
    two = await desk.ran(file, 2, State.ACCEPTED, State.PENDING)
    found = await desk.round(file)
    assert (found.number, found.note) == (1, "Going on with round 1, which is not at its end")
    assert told(found) == [
        (1, StepState.PASSED_OVER, one.name),
        (2, StepState.TAKEN_UP, two.name),
        (3, StepState.BEGUN, None),
    ]


@pytest.mark.parametrize("last", [State.ACCEPTED, State.REJECTED])
async def test_a_round_whose_last_step_is_at_its_end_is_followed_by_a_new_one(desk: Desk, last: State) -> None:
    file = desk.file()
    for number in (1, 2):
        await desk.ran(file, number, State.ACCEPTED)
    ended = await desk.ran(file, 3, last)
    found = await desk.round(file)
    assert (found.number, told(found)) == (2, BEGUN)
    assert f"Round 1 is at its end, with run {ended.name}" in found.note
    assert "this is round 2, from step 1" in found.note
    await desk.ran(file, 1, State.ACCEPTED, round=2)
    assert [decision.state for decision in (await desk.round(file)).decisions] == [
        StepState.PASSED_OVER,
        StepState.BEGUN,
        StepState.BEGUN,
    ]


async def test_rows_that_wait_for_a_person_keep_the_round_open(desk: Desk) -> None:
    file = desk.file()
    for number in (1, 2):
        await desk.ran(file, number, State.ACCEPTED)
    last = await desk.ran(file, 3, State.MANUAL)
    found = await desk.round(file)
    assert (found.number, told(found)[2]) == (1, (3, StepState.PASSED_OVER, last.name))


async def test_a_round_that_is_over_is_so_whatever_was_edited_since(desk: Desk) -> None:
    file = desk.file()
    for number in (1, 2, 3):
        await desk.ran(file, number, State.ACCEPTED)
    longer = desk.file(f"{STEPS}\n[[step]]{THIRD.replace('5', '6')}")
    assert (await desk.round(longer)).number == 2
    edited = desk.file(STEPS.replace("-77", "-78").replace("operator = 5", "operator = 6"))
    assert (await desk.round(edited)).number == 2


async def test_a_round_whose_last_steps_were_taken_out_is_over_with_the_last_that_is_left(desk: Desk) -> None:
    file = desk.file()
    for number in (1, 2):
        await desk.ran(file, number, State.ACCEPTED)
    assert (await desk.round(file)).number == 1
    assert (await desk.round(desk.file(STEPS.partition('[[step]]\njob = "operator"')[0]))).number == 2


async def test_a_row_that_was_added_makes_a_step_of_an_open_round_begin_anew(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.ACCEPTED)
    with (desk.folder / "a.csv").open("a", encoding="utf-8") as rows:
        rows.write("00002;6\n")
    found = await desk.round(file)
    assert told(found) == [(1, StepState.BEGUN, one.name), *BEGUN[1:]]
    assert found.decisions[0].why.endswith(f"a.csv has changed since run {one.name} began with it")
    anew = await desk.ran(file, 1, State.ACCEPTED)
    assert told(await desk.round(file))[0] == (1, StepState.PASSED_OVER, anew.name)


async def test_a_file_that_is_gone_has_no_rows_that_were_not_sent(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.ACCEPTED)
    (desk.folder / "a.csv").unlink()
    assert told(await desk.round(file))[0] == (1, StepState.PASSED_OVER, one.name)


async def test_what_was_begun_with_an_older_file_is_taken_to_its_end_before_the_new_one_begins(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.ACCEPTED, State.PENDING)
    (desk.folder / "a.csv").write_text("Договор;Сумма\n00002;6\n", encoding="utf-8")
    assert told(await desk.round(file))[:2] == [(1, StepState.TAKEN_UP, one.name), (1, StepState.BEGUN, one.name)]


async def test_what_nobody_agreed_to_gives_way_to_the_new_file(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.PENDING, approved=False)
    assert told(await desk.round(file))[0] == (1, StepState.TAKEN_UP, one.name)
    (desk.folder / "a.csv").write_text("Договор;Сумма\n00002;6\n", encoding="utf-8")
    assert told(await desk.round(file)) == [(1, StepState.BEGUN, one.name), *BEGUN[1:]]


async def test_a_step_that_was_taken_back_is_not_done(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.ACCEPTED, State.ACCEPTED)
    await desk.undone(one)
    found = await desk.round(file)
    assert told(found)[0] == (1, StepState.BEGUN, one.name)
    assert found.decisions[0].why == f"run {one.name} was taken back"


@pytest.mark.parametrize("state", [State.ACCEPTED, State.REJECTED])
async def test_a_pause_behind_a_step_that_is_to_begin_anew_is_waited_for_where_a_file_waits(
    desk: Desk, state: State
) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, state)
    await desk.journal.pause(one, "olga")
    (desk.folder / "a.csv").write_text("Договор;Сумма\n00002;6\n", encoding="utf-8")
    anew = (1, StepState.BEGUN, one.name)
    # Behind rejected rows no file waits, unless the step lets them pass.
    waited_for = [(1, StepState.PASSED_OVER, one.name)] if state is State.ACCEPTED else []
    assert told(await desk.round(file)) == [*waited_for, anew, *BEGUN[1:]]
    await desk.journal.unpause(one)
    assert told(await desk.round(file)) == [anew, *BEGUN[1:]]


async def test_a_step_that_is_put_in_repeats_none_of_those_around_it(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.ACCEPTED)
    two = await desk.ran(file, 2, State.PENDING)
    first, rest = STEPS.split("[[step]]", 2)[1:]
    longer = desk.file(f"[[step]]{first}[[step]]{THIRD.replace('5', '6')}\n[[step]]{rest}")
    assert told(await desk.round(longer)) == [
        (1, StepState.PASSED_OVER, one.name),
        (2, StepState.BEGUN, None),
        (3, StepState.TAKEN_UP, two.name),
        (4, StepState.BEGUN, None),
    ]


async def test_two_steps_that_are_alike_are_two_steps(desk: Desk) -> None:
    file = desk.file(f"[[step]]{THIRD}[[step]]{THIRD}")
    one = await desk.ran(file, 1, State.ACCEPTED)
    assert told(await desk.round(file)) == [(1, StepState.PASSED_OVER, one.name), (2, StepState.BEGUN, None)]


async def test_a_step_that_was_edited_in_the_middle_begins_anew_and_its_run_is_named(desk: Desk) -> None:
    file = desk.file()
    one = await desk.ran(file, 1, State.ACCEPTED)
    two = await desk.ran(file, 2, State.ACCEPTED, State.PENDING)
    found = await desk.round(desk.file(STEPS.replace("-77", "-78")))
    assert told(found) == [(1, StepState.PASSED_OVER, one.name), *BEGUN[1:]]
    assert [run.name for run in found.strays] == [two.name]


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
