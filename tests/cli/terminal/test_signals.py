"""Every command hears SIGINT, SIGTERM and SIGHUP: it closes what it has open, says so, and ends with 130."""

import asyncio
import io
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from itertools import cycle

import anyio
import anyio.lowlevel
import pytest
from rich.console import Console

from checkpoints.journal import open_journal
from checkpoints.records import Totals
from checkpoints.states import State
from cli.commands.execution import exit_code
from cli.terminal.exits import Exit, exit_of
from cli.terminal.language import RUSSIAN, set_reader
from cli.terminal.screen import Screen
from cli.terminal.signals import Interrupted
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pipeline.control import under_control
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.progress import Progress
from lab.crash.loops import loops
from tests.checkpoints.samples import NEW_RUN, frozen_run, new_item
from tests.cli.conftest import Place
from tests.connections import served_connections
from texts.said import said

SIGNALS = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "the terminal has gone",
}
COMMANDS = ("run", "plan", "undo", "resume", "verify", "reconcile", "doctor")
"""What waits for the billing; the signals come by turns, for all commands hear them in one place."""


@asynccontextmanager
async def silent_billing() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The address of a billing that takes a request and never answers, and when it is asked."""
    asked = asyncio.Event()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()

    async with served_connections(attend) as port:
        yield f"http://127.0.0.1:{port}", asked


@pytest.mark.parametrize(("command", "number"), list(zip(COMMANDS, cycle(SIGNALS), strict=False)))
async def test_a_command_that_waits_for_the_billing_ends_in_an_orderly_way(
    command: str, number: signal.Signals, place: Place
) -> None:
    balances = place.balances(3)
    async with silent_billing() as (url, asked):
        async with open_journal(place.cli.journal) as journal:
            run = await frozen_run(journal, new_item("1"), new=replace(NEW_RUN, target=url))
            await journal.end_intake(run)
            await journal.approve(run)
        words: tuple[str, ...] = {
            "run": ("balances", str(balances.path), "--yes", "--json"),
            "plan": ("balances", str(balances.path)),
            "doctor": (),
        }.get(command, (run.name,))
        async with place.cli.started(command, *words, "--api-url", url) as started:
            await asyncio.wait_for(asked.wait(), loops(30))
            started.signal(number)
            ended = await started.ended()
    assert ended.exit == 130
    assert f"interrupted ({SIGNALS[number]})" in ended.words
    assert "Traceback" not in ended.err
    if command == "run":
        assert (ended.closing["exit"], ended.closing["run"]) == (130, None)
        assert "interrupted (Ctrl-C)" in ended.closing["stopped"]
    # It was closed: nothing is left to be recovered.
    assert not await anyio.Path(f"{place.cli.journal}-wal").exists()


@pytest.mark.parametrize(
    ("command", "number"), list(zip((("status", "--watch"), ("stop",), ("stop",)), SIGNALS, strict=True)), ids=str
)
async def test_a_command_that_waits_for_a_run_ends_in_an_orderly_way(
    command: tuple[str, ...], number: signal.Signals, place: Place
) -> None:
    """This process has the run, and does not stop it when it is told to."""

    async with open_journal(place.cli.journal) as journal:
        run = await frozen_run(journal, new_item("1"))
        await journal.approve(run)
        live = LivePolicy(Policy(), Progress(), Stop())
        async with (
            journal.taken_up(run) as ours,
            under_control(ours, journal, live),
            place.cli.started(command[0], run.name, *command[1:]) as started,
        ):
            await (started.first_line() if "--watch" in command else started.said("Ctrl-C here ends"))
            started.signal(number)
            ended = await started.ended()
    assert ended.exit == 130
    assert f"interrupted ({SIGNALS[number]})" in ended.words


@pytest.mark.parametrize("closed", ["run", "journal"])
async def test_a_signal_after_its_run_has_closed_changes_nothing(closed: str, place: Place) -> None:
    balances = place.balances(40)
    place.billing.latency = 0.1
    log = anyio.Path(f"{place.cli.journal}-wal")
    async with place.cli.started("run", "balances", str(balances.path), "--yes", "--no-canary") as started:
        await started.until(partial(place.traffic.reaches, 3))
        started.signal(signal.SIGINT)
        shown = await started.first_line()
        while closed == "journal" and await log.exists():
            await anyio.lowlevel.checkpoint()
        started.signal(signal.SIGINT)
        ended = await started.ended()
    assert (ended.exit, "stopped: interrupted (Ctrl-C)" in shown) == (130, True)
    for words in ("stopping at once", "while nothing was being sent", "Traceback"):
        assert words not in ended.err


def test_a_terminal_that_has_gone_is_named_in_the_language_of_the_reader() -> None:
    heard = io.StringIO()
    reads_russian = copy_context()
    reads_russian.run(set_reader, RUSSIAN)
    screen = Screen(err=Console(file=heard, width=200))
    gone = Interrupted(said("the terminal has gone"))
    assert reads_russian.run(exit_code, gone, screen) is Exit.INTERRUPTED
    assert "прервано (терминал закрыт)" in heard.getvalue()


# ---- One number for what became of a run


GOOD = {State.ACCEPTED: 3, State.APPLIED: 1, State.SKIPPED: 2}


@pytest.mark.parametrize(
    ("totals", "stopped", "intake_ended", "code"),
    [
        (Totals(GOOD), None, True, Exit.DONE),
        (Totals(), None, True, Exit.DONE),
        (Totals(GOOD | {State.REJECTED: 1}), None, True, Exit.REJECTED),
        (Totals(GOOD | {State.REJECTED: 1, State.MANUAL: 1}), None, True, Exit.UNDECIDED),
        (Totals(GOOD | {State.UNKNOWN: 1}), None, True, Exit.UNDECIDED),
        (Totals(GOOD | {State.MANUAL: 1, State.PENDING: 1}), StopKind.SYSTEM, True, Exit.STOPPED),
        (Totals(GOOD | {State.UNKNOWN: 1}), StopKind.SYSTEM, True, Exit.STOPPED),
        (Totals(GOOD | {State.REJECTED: 1, State.PENDING: 1}), StopKind.BUDGET, True, Exit.STOPPED),
        (Totals(GOOD | {State.PENDING: 1}), None, True, Exit.STOPPED),
        (Totals(GOOD | {State.SENDING: 1, State.MANUAL: 1}), StopKind.INTERRUPTED, True, Exit.INTERRUPTED),
        (Totals(GOOD | {State.UNKNOWN: 1}), StopKind.INTERRUPTED, True, Exit.INTERRUPTED),
        # A stop that came when all was done has stopped nothing.
        (Totals(GOOD), StopKind.INTERRUPTED, True, Exit.DONE),
        (Totals(GOOD | {State.REJECTED: 1}), StopKind.BUDGET, True, Exit.REJECTED),
        # Rows that were left out do not end as if all went in, and a list that was not read to its end is not done.
        (Totals(GOOD, refused=2), None, True, Exit.REJECTED),
        (Totals(GOOD), None, False, Exit.STOPPED),
        (Totals(), StopKind.INTERRUPTED, False, Exit.INTERRUPTED),
    ],
)
def test_the_worst_that_is_left_gives_the_code(
    totals: Totals, stopped: StopKind | None, intake_ended: bool, code: Exit
) -> None:
    assert exit_of(totals, stopped, intake_ended=intake_ended) is code
