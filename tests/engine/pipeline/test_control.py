"""A working run is steered through its mailbox: what it was told is done, noted and kept, whoever asks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from checkpoints.errors import JournalUnreadable
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from engine.pacing.holds import BILLING, PAUSED, Stop
from engine.pacing.policy import Policy, setting_text
from engine.pipeline import control
from engine.pipeline.control import (
    LONGEST_REQUEST,
    LONGEST_STATUS,
    ControlAnswer,
    ControlHandler,
    ControlRequest,
    NotAMessage,
    live_to_json,
    to_answer,
    to_json,
    to_live,
    under_control,
)
from engine.pipeline.progress import LivePolicy, Progress, Status
from lab.crash.loops import loops
from tests.checkpoints.samples import NEW_RUN
from texts.said import Said, counted, said

PATIENCE = loops(30)
OLGA = "olga@ops, process 7"


class Remembering(LivePolicy):
    """A run that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(Policy(), Progress(), Stop())
        self.told: list[str] = []

    def pause(self, who: str) -> None:
        super().pause(who)
        self.told.append(f"pause by {who}")

    def unpause(self) -> None:
        super().unpause()
        self.told.append("go on")

    def stop(self, who: str) -> None:
        super().stop(who)
        self.told.append(f"stop by {who}")


@dataclass(frozen=True, slots=True)
class Steering:
    """A run under control."""

    control: ControlHandler
    run: Run
    journal: Journal
    fake: Remembering

    async def obey(self, command: str, who: str = OLGA, **arguments: str) -> tuple[bool, str]:
        answer = await self.control.obey(ControlRequest(command, arguments), who)
        return answer.refused, answer.said

    async def asks(self, text: str, run: Run | None = None) -> ControlAnswer:
        """Ask through the mailbox."""
        handed = await self.journal.mailbox.ask(run or self.run, OLGA, text, PATIENCE)
        return to_answer(handed.answer or "")

    async def noted(self) -> list[tuple[str, str, str]]:
        return [(one.who, one.command, one.answer) for one in await self.journal.history.commands(self.run)]

    async def now(self) -> Run:
        return await self.journal.run(self.run.name)

    async def live(self) -> Status:
        row = await self.journal.mailbox.live(self.run)
        assert row is not None
        return to_live(row.status).status


@pytest.fixture
async def steering(tmp_path: Path) -> AsyncIterator[Steering]:
    async with open_journal(tmp_path / "journal.db") as journal:
        run, fake = await journal.take_up(await journal.create_run(NEW_RUN)), Remembering()
        yield Steering(ControlHandler(run, journal, fake), run, journal, fake)


async def test_a_run_tells_what_it_is_like_and_a_command_shows_in_it_at_once(steering: Steering) -> None:
    journal, run = steering.journal, steering.run
    assert await journal.mailbox.live(run) is None
    async with under_control(run, journal, steering.fake) as found:
        assert found == run
        assert not (await steering.live()).paused
        assert not (await steering.asks(to_json(ControlRequest("pause")))).refused
        assert (await steering.live()).held == f"paused by {OLGA}"
        answer = await steering.asks(to_json(ControlRequest("set", {"rate": "20"})))
        assert isinstance(answer.said, Said)
        assert (answer.said, answer.said.template) == ("rate: at most 20 calls a second", answer.said.template)
        row = await journal.mailbox.live(run)
        assert row is not None
        assert to_live(row.status).settings == setting_text(Policy(rate=20.0))
        assert len(await journal.mailbox.samples(run)) >= 1
    assert await journal.mailbox.live(run) is None


async def test_a_pause_that_the_journal_alone_was_told_holds_before_the_body_begins_and_is_found_later(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SECOND", 0.01)
    journal, run, holds = steering.journal, steering.run, steering.fake.progress.holds
    await journal.pause(run, OLGA)
    async with under_control(run, journal, steering.fake) as found:
        assert (found.paused_by, holds.why) == (OLGA, f"paused by {OLGA}")
        await journal.unpause(run)
        with anyio.fail_after(PATIENCE):
            while holds.why:  # noqa: ASYNC110 - what it looks for gives no event
                await anyio.sleep(0.01)


async def test_a_long_wait_is_in_the_journal_with_its_beginning_and_its_end_and_is_no_command(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SECOND", 0.01)
    monkeypatch.setattr(control, "LONG_WAIT", 0.3)
    journal, run, holds = steering.journal, steering.run, steering.fake.progress.holds

    async def noted(number: int) -> list[tuple[str, str]]:
        with anyio.fail_after(PATIENCE):
            while len(found := await journal.history.waits(run)) < number:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.01)
        return [(one.command, one.answer) for one in found]

    async with under_control(run, journal, steering.fake):
        began = datetime.now(UTC)
        for who in (PAUSED, BILLING):
            holds.put(who, "the billing is away")
        beginning = (BILLING, "the billing is away")
        assert await noted(1) == [beginning]
        holds.lift(BILLING)
        assert await noted(2) == [beginning, (BILLING, "")]
        holds.put(BILLING, "busy")
        assert await noted(3) == [beginning, (BILLING, ""), (BILLING, "busy")]
    first, *_ = await journal.history.waits(run)
    assert abs(first.given_at - began) < timedelta(seconds=0.2), "it counts from its beginning"
    assert await journal.history.commands(run) == []


NO_COMMANDS = (
    "[]",
    "{}",
    '{"command": 7}',
    '{"command": "set", "arguments": {"rate": 20}}',
    "[" * 10_000,
    '{"x":' + "[" * 10_000,
    " " * (LONGEST_REQUEST + 1),
)


async def test_what_is_no_command_is_told_what_one_looks_like(steering: Steering) -> None:
    async with under_control(steering.run, steering.journal, steering.fake):
        for garbage in NO_COMMANDS:
            answer = await steering.asks(garbage)
            assert (answer.refused, 'is a JSON object like {"command": "pause"}' in answer.said) == (True, True)
        # What was meant for an earlier process is not carried out.
        answer = await steering.asks('{"command": "stop"}', replace(steering.run, epoch=steering.run.epoch - 1))
        assert (answer.refused, "does not work on the run any more" in answer.said) == (True, True)
        assert not steering.fake.stopping.requested
        # Mistyped, asked again.
        assert not (await steering.asks('{"command": "pause"}')).refused


async def test_faults_and_slow_commands_are_answered(steering: Steering, monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty(*_: object) -> ControlAnswer:
        raise RuntimeError("impossible")

    async def slow(*_: object) -> ControlAnswer:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(control, "WORK", 0.1)
    async with under_control(steering.run, steering.journal, steering.fake):
        for obey, said_so in ((faulty, "a fault of ours"), (slow, "nothing is known of whether it was done")):
            with monkeypatch.context() as patched:
                patched.setattr(ControlHandler, "obey", obey)
                answer = await steering.asks('{"command": "pause"}')
            assert (answer.refused, said_so in answer.said, "impossible" in answer.said) == (True, True, False)
        assert not (await steering.asks('{"command": "pause"}')).refused


async def test_a_full_journal_ends_no_hearing(steering: Steering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SECOND", 0.01)
    failed = anyio.Event()

    async def full(*_: object) -> None:
        failed.set()
        raise JournalUnreadable("the disk is full")

    async with under_control(steering.run, steering.journal, steering.fake):
        with monkeypatch.context() as patched:
            patched.setattr(steering.journal.mailbox, "tell", full)
            with anyio.fail_after(PATIENCE):
                await failed.wait()
        assert not (await steering.asks('{"command": "stop"}')).refused
    assert steering.fake.stopping.requested


async def test_a_status_comes_as_it_was_said_with_the_templates_of_its_sentences() -> None:
    before = a_status()
    live = to_live(live_to_json(before, {"rate": "20"}))
    assert (live.status, live.settings) == (before, {"rate": "20"})
    for one, other in (
        (live.status.why, before.why),
        (live.status.last_error, before.last_error),
        (list(live.status.errors)[1], list(before.errors)[1]),
    ):
        assert isinstance(one, Said)
        assert isinstance(other, Said)
        assert (one.template, one.values) == (other.template, other.values)


def a_status() -> Status:
    return replace(
        Progress().status(),
        counts={"accepted": 3},
        entered=Decimal("12.50"),
        amounts={"accepted": Decimal("12.50")},
        why=counted("{n} call[s] [is|are] in flight, {sum} are sent", 5, sum=Decimal(7)),
        last_error=said("{label}: {error}", label="Д94", error="a text of the billing's"),
        errors={"a text of the billing's": 3, said("account {id} is locked", id=7): 1},
    )


@pytest.mark.parametrize(
    "forged",
    [
        {"counts": {"vanished": 3}},
        {"amounts": {"accepted": "much"}},
        {"in_flight": "many"},
        {"errors": [["text"]]},
        {"errors": 7},
        {"p50": "soon"},
        {"last_error": "x" * LONGEST_STATUS},
    ],
    ids=str,
)
async def test_what_another_process_says_is_judged_like_input(forged: dict[str, Any]) -> None:
    told = msgspec.json.decode(live_to_json(a_status(), {}))
    with pytest.raises(NotAMessage):
        to_live(msgspec.json.encode({**told, "status": told["status"] | forged}).decode())
    for text in (
        "",
        "[]",
        "{}",
        "[" * 10_000,
        '{"status": {}, "settings": {}}',
        '{"status": {}, "settings": {"x": 1}}',
    ):
        with pytest.raises(NotAMessage):
            to_live(text)


async def test_what_the_journal_alone_was_told_meanwhile_is_heeded_with_the_next_word(steering: Steering) -> None:
    # A client that finds nobody writes the journal, and asks once more, lest a run has begun in between.
    await steering.journal.pause(steering.run, OLGA)
    await steering.obey("pause")
    assert steering.fake.told == [f"pause by {OLGA}"]
    await steering.journal.unpause(steering.run)
    await steering.obey("continue")
    assert steering.fake.told[-1] == "go on"


async def test_an_unknown_command_is_told_which_there_are_and_what_is_noted_is_bounded(steering: Steering) -> None:
    refused, said = await steering.obey("x" * 5000)
    assert refused
    assert "set, pause, continue, stop" in said
    assert await steering.obey("set") == (True, "nothing is named that is to be set")
    assert len(said) < 200
    await steering.obey("set", rate="9" * 10_000)
    *_, (_, command, answer) = await steering.noted()
    assert max(len(command), len(answer)) == 500


async def test_pause_and_continue_at_once_leave_one_state(
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


async def test_a_journal_that_fails_hinders_no_stop(steering: Steering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering.journal.history, "note_command", fails)
    refused, said = await steering.obey("stop")
    assert refused
    assert "but the journal did not take it down: the disk is full" in said
    assert steering.fake.told == [f"stop by {OLGA}"]
