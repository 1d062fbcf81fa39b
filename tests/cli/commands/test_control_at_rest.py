"""Commands to a run that nobody works on, or that does not answer: what they do, and what they say instead."""

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from checkpoints.journal import Journal, open_journal
from checkpoints.mailbox import Mailbox
from checkpoints.records import Command, Run
from checkpoints.states import State
from cli.session import control_client as asking
from cli.session import journal as session_journal
from cli.session.control_client import give
from cli.session.stages import StepMark
from cli.settings.flags import parse_pairs
from cli.terminal.exits import CommandRefused
from engine.pipeline.control import ControlRequest
from tests.checkpoints.samples import NEW_RUN, come_to, frozen_run, new_item, sent_run, within
from tests.cli.conftest import Typed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "carbon-migrate.journal"


@pytest.fixture
def name(path: Path) -> str:
    """A run of two rows, one accepted, that somebody has stopped."""

    async def make(journal: Journal) -> str:
        return (await sent_run(journal, new_item("1"), new_item("2"), fates={1: State.ACCEPTED})).name

    return within(path, make)


@contextmanager
def worked_on(path: Path, run: Run) -> Iterator[None]:
    """Somebody works on the run and does not listen."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_journal(path)) as journal,
        portal.wrap_async_context_manager(journal.taken_up(run)),
    ):
        yield


def told(path: Path, name: str) -> tuple[Run, list[Command]]:
    async def look(journal: Journal) -> tuple[Run, list[Command]]:
        run = await journal.run(name)
        return run, await journal.history.commands(run)

    return within(path, look)


def test_a_pause_goes_through_the_journal_alone(name: str, path: Path, typed: Typed) -> None:
    said = typed("pause").out
    assert f"run {name}: paused; nobody works on it" in said
    assert f"carbon-migrate continue {name}" in said
    run, (command,) = told(path, name)
    assert run.paused_at is not None
    assert run.paused_by == command.who
    assert command.who.endswith(f", process {os.getpid()}")
    assert "stopped, paused" in typed("status").out
    shown = typed("status", name).out
    assert (command.who in shown, f"carbon-migrate continue {name}" in shown) == (True, True)
    assert typed("status", name, "--json").closing["paused"]["by"] == command.who
    # `continue` as well, and as often as one likes.
    closing = typed("continue", name, "--json").closing
    assert closing["said"].startswith("it is not paused any more; nobody works on it")
    assert "it was not paused" in typed("continue", name).out
    run, commands = told(path, name)
    assert run.paused_at is None
    assert [one.command for one in commands] == ["pause", "continue", "continue"]


def test_what_needs_somebody_who_works_says_that_nobody_does(name: str, path: Path, typed: Typed) -> None:
    for words in (("get",), ("set", "rate=5"), ("stop",)):
        says = [f"nobody works on run {name} at this moment", f"carbon-migrate resume {name}"]
        typed.refused(words[0], name, *words[1:], says=says)
        typed.refused(*words, says=says)
    typed.refused("set", name, says="nothing is named that is to be set")
    # A wrong name is told whether or not the run works, and a word that sets nothing before anybody is asked.
    for setting, said in (
        ("rte=5", "did you mean 'rate'?"),
        ("in_flight=5", "did you mean 'in-flight'?"),
        ("settle=5", "cannot be set"),
    ):
        typed.refused("set", name, "rate=1", setting, says=said)
    for settings in (("rate",), ("=5",), ("rate=5", "rate=6")):
        with pytest.raises(CommandRefused):
            parse_pairs(settings, "set")
    taken = {"rate": "20", "hours": " 01:00-06:00", "x": ""}
    assert parse_pairs(["rate=20", " hours = 01:00-06:00", "x="], "set") == taken
    assert told(path, name)[1] == []


def test_a_run_at_its_end_says_so(name: str, path: Path, typed: Typed) -> None:
    async def end(journal: Journal) -> None:
        await come_to(journal, await journal.run(name), {2: State.ACCEPTED})

    async def give_up(journal: Journal) -> str:
        run = await frozen_run(journal, new_item("1"))
        await journal.discard(run)
        return run.name

    within(path, end)
    for words in (("get",), ("set", "rate=5"), ("stop",), ("pause",), ("continue",)):
        typed.refused(words[0], name, *words[1:], says=f"run {name} is at its end")
    typed.refused("pause", says="no run is under way; `carbon-migrate status")
    typed.refused("pause", within(path, give_up), says="was given up")


def test_of_several_runs_each_is_named_and_the_one_that_somebody_works_on_is_meant(
    name: str, path: Path, typed: Typed
) -> None:
    async def another(journal: Journal) -> Run:
        return await sent_run(journal, new_item("3"), new_item("4"), fates={1: State.ACCEPTED})

    other = within(path, another)
    asked = typed.refused("verify", "--api-url", "http://127.0.0.1:9", says="there are several runs; which?")
    assert [one for one in (name, other.name) if f"carbon-migrate verify {one} " not in asked.words] == []
    with worked_on(path, other):
        assert f"run {other.name}: " in typed("pause").out


def step_at_its_end(path: Path, number: int) -> str:
    """A run that is step `number` of a job file of two, and that was paused before it came to its end."""

    async def make(journal: Journal) -> str:
        mark = StepMark("/etc/night.toml", 1, number, 2, datetime(2026, 11, 25, 1, tzinfo=UTC))
        run = await frozen_run(journal, new_item("1"), new=replace(NEW_RUN, parameters=mark.to_parameters()))
        await journal.end_intake(run)
        await journal.approve(run)
        await journal.pause(run, "olga")
        await come_to(journal, run, {1: State.ACCEPTED})
        return run.name

    return within(path, make)


def test_a_job_file_waits_behind_a_paused_step_also_when_that_is_at_its_end(path: Path, typed: Typed) -> None:
    name = step_at_its_end(path, 1)
    assert "done, paused" in typed("status").out
    assert f"carbon-migrate continue {name}" in typed("status", name).out
    waits = f"Also when it is taken up, it sends nothing until\n  carbon-migrate continue {name} --journal {path}\n"
    assert waits in typed("pause", name).out
    said = typed("continue", name).out
    again = f"carbon-migrate run /etc/night.toml --journal {path}"
    assert f"it is not paused any more; nobody works on it. To go on:\n  {again}\n" in said
    assert told(path, name)[0].paused_at is None
    for words in ("pause", "continue"):
        typed.refused(words, name, says=f"run {name} is at its end")


def test_a_run_that_reads_or_looks_up_can_be_paused_and_nothing_else(name: str, path: Path, typed: Typed) -> None:
    run, _ = told(path, name)
    with worked_on(path, run):
        for words in (("get", name), ("set", name, "rate=5"), ("stop", name)):
            typed.refused(*words, says=["does not listen at this moment", f"kill -INT {os.getpid()}"])
        assert "does not listen at this moment and finds it in the journal" in typed("pause", name).out
        assert told(path, name)[0].paused_at is not None
        assert "finds it in the journal" in typed("continue", name).out


async def test_one_that_does_not_take_a_command_is_told_from_one_that_is_not_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(path) as journal:
        run = await frozen_run(journal, new_item("1"))
        assert await asking.ask(run, journal, ControlRequest("stop"), "olga") is None
        async with journal.taken_up(run) as ours:
            await journal.mailbox.tell(ours, "it is frozen", 1, "{}")
            with monkeypatch.context() as impatient:
                impatient.setattr(Mailbox.ask, "__defaults__", (0.1,))
                with pytest.raises(CommandRefused, match=rf"process {os.getpid()} .*has not taken the command"):
                    await give(ControlRequest("stop"), run, journal)
            live, silent = await asking.hear(ours, journal)
            assert (live, silent) == (None, "its process is of another version of this program")
            monkeypatch.setattr(asking, "FRESH", -1.0)
            assert (await asking.hear(ours, journal))[1] == "its process does not answer at this moment"


async def left_to_a_person(journal: Journal, name: str) -> Run:
    """The run, whose second row nobody knows of."""
    run = await journal.run(name)
    await come_to(journal, run, {2: State.MANUAL})
    return run


def test_status_tells_what_people_decided_and_why(name: str, path: Path, typed: Typed) -> None:
    async def decide(journal: Journal) -> None:
        run = await left_to_a_person(journal, name)
        (item,) = await journal.items(run, {State.MANUAL})
        await journal.decide(run, item, State.PENDING, who="olga@ops", why="\x1b[31mlooked; not there")

    within(path, decide)
    assert "row 2 is pending: \\x1b[31mlooked; not there (olga@ops)" in typed("status", name).out
    (decision,) = typed("status", name, "--json").closing["decisions"]
    assert (decision["who"], decision["state"]) == ("olga@ops", "pending")


@pytest.mark.parametrize("caller", ["olga", None])
def test_a_decision_has_the_name_of_who_called_sudo_and_goes_without_an_account(
    name: str, path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch, caller: str | None
) -> None:
    async def who_decided(journal: Journal) -> list[str]:
        return [one.who for one in await journal.history.decisions(await journal.run(name))]

    def without_account(user: int) -> None:
        raise KeyError(user)

    within(path, lambda journal: left_to_a_person(journal, name))
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.delenv(variable, raising=False)
    if caller is not None:
        monkeypatch.setenv("SUDO_USER", caller)
    monkeypatch.setattr(pwd, "getpwuid", without_account)
    decided = typed("decide", name, "2", "accepted", "--why", "seen")
    assert decided.exit == 0, decided.err
    assert within(path, who_decided) == [f"{caller or f'user {os.geteuid()}'}@{socket.gethostname()}"]


def test_behind_sudo_it_is_told_who_has_called_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "olga")
    assert session_journal.own_name().startswith("olga@")
    assert "(says it is olga@" in session_journal.ourselves()
    assert session_journal.ourselves("page").startswith("page, ")
    monkeypatch.setenv("SUDO_USER", "x" * 5000)
    assert len(session_journal.ourselves()) < 300
