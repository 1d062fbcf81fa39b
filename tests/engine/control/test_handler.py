"""What each command does to the run and leaves in the journal."""

import resource
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from checkpoints.errors import JournalUnreadable
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from engine.control.handler import ControlHandler
from engine.control.messages import ControlRequest
from engine.pacing.policy import Policy
from tests.checkpoints.samples import NEW_RUN
from tests.engine.control.steered import FakeRun

OLGA = "olga@ops, process 7"


@dataclass(frozen=True, slots=True)
class Steering:
    """A run under control."""

    control: ControlHandler
    run: Run
    journal: Journal
    fake: FakeRun

    async def obey(self, command: str, who: str = OLGA, **arguments: str) -> tuple[bool, str]:
        answer = await self.control.obey(ControlRequest(command, arguments), who)
        return answer.refused, answer.said

    async def noted(self) -> list[tuple[str, str, str]]:
        return [(one.who, one.command, one.answer) for one in await self.journal.history.commands(self.run)]

    async def now(self) -> Run:
        return await self.journal.run(self.run.name)


@pytest.fixture
async def steering(tmp_path: Path) -> AsyncIterator[Steering]:
    async with open_journal(tmp_path / "journal.db") as journal:
        run, fake = await journal.create_run(NEW_RUN), FakeRun()
        yield Steering(ControlHandler(run, journal, fake), run, journal, fake)


async def test_a_pause_is_in_the_run_and_in_the_journal_before_it_is_answered(steering: Steering) -> None:
    refused, said = await steering.obey("pause")
    assert (refused, said.startswith("paused")) == (False, True)
    assert steering.fake.told == [f"pause by {OLGA}"]
    assert (await steering.now()).paused_by == OLGA
    assert await steering.noted() == [(OLGA, "pause", said)]


async def test_continue_ends_the_pause_in_both(steering: Steering) -> None:
    await steering.obey("pause")
    assert await steering.obey("continue") == (False, "it goes on")
    assert steering.fake.told[-1] == "go on"
    assert (await steering.now()).paused_at is None
    assert await steering.obey("continue") == (False, "it was not paused")


async def test_what_the_journal_alone_was_told_meanwhile_is_heeded_with_the_next_word(steering: Steering) -> None:
    # A client that finds nobody writes the journal, and asks once more, lest a run has begun in between.
    await steering.journal.pause(steering.run, OLGA)
    await steering.obey("pause")
    assert steering.fake.told == [f"pause by {OLGA}"]
    await steering.journal.unpause(steering.run)
    await steering.obey("continue")
    assert steering.fake.told[-1] == "go on"


async def test_set_sets_all_that_it_names_at_once_and_the_journal_keeps_it(steering: Steering) -> None:
    assert await steering.obey("set", rate="20", **{"in-flight": "8"}) == (
        False,
        "rate: at most 20 calls a second; in-flight: parallel calls: 8",
    )
    assert steering.fake.policy == Policy(rate=20.0, in_flight=8)
    assert len(steering.fake.told) == 1
    assert (await steering.now()).policy == {"rate": "20", "in-flight": "8"}
    await steering.obey("set", rate="none")
    assert (await steering.now()).policy == {"in-flight": "8"}
    assert [command for _, command, _ in await steering.noted()] == ["set rate=20 in-flight=8", "set rate=none"]


@pytest.mark.parametrize("wrong", [{"rate": "abc"}, {"speed": "9"}])
async def test_where_one_is_wrong_nothing_is_set_for_no_moment_and_that_is_noted_too(
    wrong: dict[str, str], steering: Steering
) -> None:
    refused, said = await steering.obey("set", **{"in-flight": "1000"}, **wrong)
    assert refused
    assert said.endswith("; nothing was changed")
    assert (steering.fake.policy, steering.fake.told) == (Policy(), [])
    assert (await steering.now()).policy == {}
    assert [(who, answer) for who, _, answer in await steering.noted()] == [(OLGA, said)]


async def test_an_unknown_command_is_told_which_there_are(steering: Steering) -> None:
    refused, said = await steering.obey("x" * 5000)
    assert refused
    assert "set, pause, continue, stop" in said
    assert len(said) < 200


async def test_what_is_noted_is_bounded(steering: Steering) -> None:
    await steering.obey("set", rate="9" * 10_000)
    ((_, command, answer),) = await steering.noted()
    assert max(len(command), len(answer)) == 500


@pytest.mark.parametrize("paused", [False, True])
async def test_a_run_is_taken_up_as_the_journal_left_it(steering: Steering, *, paused: bool) -> None:
    if paused:
        await steering.journal.pause(steering.run, OLGA)
    taken_up = await steering.control.take_up()
    assert (taken_up.paused_at is not None) == paused
    assert steering.fake.told == [f"pause by {OLGA}" if paused else "go on"]


async def test_a_pause_and_a_continue_at_one_time_leave_run_and_journal_of_one_mind(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, pausing, unpausing = anyio.Event(), steering.journal.pause, steering.journal.unpause

    async def pause(run: Run, who: str) -> None:
        await pausing(run, who)
        paused.set()

    async def unpause(run: Run) -> None:
        await unpausing(run)
        # Were the pause not to wait for its turn, it would come to its end in here.
        with anyio.move_on_after(0.3):
            await paused.wait()

    monkeypatch.setattr(steering.journal, "pause", pause)
    monkeypatch.setattr(steering.journal, "unpause", unpause)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(steering.obey, "continue")
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(steering.obey, "pause")
    assert steering.fake.told == ["go on", f"pause by {OLGA}"]
    assert (await steering.now()).paused_at is not None


async def fails(*_: object) -> None:
    raise JournalUnreadable("the disk is full")


@pytest.mark.parametrize(("command", "writes"), [("pause", "pause"), ("continue", "unpause"), ("set", "keep_policy")])
async def test_what_the_journal_cannot_keep_is_refused_and_not_done(
    command: str, writes: str, steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "continue":
        await steering.obey("pause")
    before = list(steering.fake.told)
    monkeypatch.setattr(steering.journal, writes, fails)
    refused, said = await steering.obey(command, **({"rate": "5"} if command == "set" else {}))
    assert (refused, said) == (True, "the disk is full: it was not carried out, for the journal cannot keep it")
    # The calls wait while a pause is being written, and go on where it could not be.
    assert steering.fake.told == before + ([f"pause by {OLGA}", "go on"] if command == "pause" else [])
    assert steering.fake.policy == Policy()
    assert ((await steering.now()).paused_at is not None) == (command == "continue")


async def test_a_journal_that_fails_keeps_nobody_from_stopping(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering.journal.history, "note_command", fails)
    refused, said = await steering.obey("stop")
    assert refused
    assert "but the journal did not take it down: the disk is full" in said
    assert steering.fake.told == [f"stop by {OLGA}"]


async def test_more_calls_than_the_system_has_files_for_are_refused(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    refused, said = await steering.obey("set", **{"in-flight": "500"})
    assert (refused, "500 parallel calls need 1064 open files" in said) == (True, True)
    assert steering.fake.policy == Policy()
