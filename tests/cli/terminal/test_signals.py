"""Every command hears SIGINT, SIGTERM and SIGHUP: it closes what it has open, says so, and ends with 130."""

import json
import signal
from dataclasses import replace
from functools import partial
from itertools import cycle

import anyio
import anyio.lowlevel
import pytest

from checkpoints.journal import open_journal
from checkpoints.records import Stage, Totals
from checkpoints.states import State
from cli.session.order import plans_beside
from cli.terminal.exits import Exit, exit_of
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from engine.pipeline.control import under_control
from engine.pipeline.progress import LivePolicy, Progress
from tests.checkpoints.samples import NEW_RUN, frozen_run, new_item
from tests.cli.conftest import Place
from tests.cli.terminal.terminals import at_a_terminal, killed_at

SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the terminal has gone"}
COMMANDS = ("run", "plan", "undo", "resume", "verify", "reconcile", "doctor")
"""What waits for the billing; the signals come by turns, for all commands hear them in one place."""


@pytest.mark.parametrize(("command", "number"), list(zip(COMMANDS, cycle(SIGNALS), strict=False)))
async def test_who_waits_for_the_billing_ends_in_order(command: str, number: signal.Signals, place: Place) -> None:
    balances, ends = place.balances(3), anyio.Event()

    async def silent(_: str) -> None:
        await ends.wait()

    place.traffic.model, place.traffic.opening, place.traffic.meanwhile = "", True, silent
    async with open_journal(place.cli.journal) as journal:
        run = await frozen_run(journal, new_item("1"), new=replace(NEW_RUN, target=place.billing.url))
        await journal.end_intake(run)
        await journal.approve(run)
    words: tuple[str, ...] = {
        "run": ("balances", str(balances.path), "--yes", "--json"),
        "plan": ("balances", str(balances.path)),
        "doctor": (),
    }.get(command, (run.name,))
    async with place.cli.started(command, *words) as started:
        await started.until(partial(place.traffic.reaches, 1))
        started.signal(number)
        ended = await started.ended()
    ends.set()
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
async def test_who_waits_for_a_run_ends_in_order(
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
        # What waits for a decision alone is not sent by trying again.
        (Totals(GOOD | {State.MANUAL: 1, State.PENDING: 1}), StopKind.DECISION, True, Exit.UNDECIDED),
        (Totals(GOOD | {State.MANUAL: 1, State.PENDING: 1}), StopKind.DECISION, False, Exit.STOPPED),
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
def test_the_worst_gives_the_code(totals: Totals, stopped: StopKind | None, intake_ended: bool, code: Exit) -> None:
    assert exit_of(totals, stopped, intake_ended=intake_ended) is code


# ---- On a terminal: the preview, the question, and both answers


CTRL_D = "\x04"


@pytest.mark.parametrize(
    ("language", "answer", "code"),
    [
        ("en", "y\n", 0),
        ("ru", "да\n", 0),
        ("en", "\n", 2),
        ("en", "nope\n", 2),
        ("en", "Ctrl-C", 130),
        ("en", CTRL_D, 130),
    ],
)
async def test_a_question_that_is_not_answered_leaves_no_run_and_no_lock(
    language: str, answer: str, code: int, place: Place
) -> None:
    """Only a yes in the same language sends."""
    place.billing.latency = 0.02
    balances = place.balances(60)
    asks, question, done, bar = {
        "en": ("[y/N]", "Send these 60 rows", "is done", "rows/s"),
        "ru": ("[д/Н]", "Отправить 60 строк на сумму ", "завершена", " в секунду"),
    }[language]
    with at_a_terminal(place, "run", "balances", str(balances.path), "--lang", language) as terminal:
        await terminal.shows(asks)
        assert (await place.found()).rows == 0
        if answer == "Ctrl-C":
            terminal.interrupt()
        else:
            terminal.types(answer)
        assert await terminal.ends() == code
    seen, mark, rest = " ".join(terminal.seen.split()).partition("nothing was sent, and the run is given up")
    assert question in seen
    assert (done in terminal.seen, bar in terminal.seen) == (code == 0, code == 0)
    assert (mark != "", "all" in rest) == (code == 130, False), seen
    assert (await place.found()).rows == (0 if code else 60)
    (run,) = await place.runs()
    async with place.journal() as journal:
        assert await journal.holder(run) is None
    if code:
        assert run.stage is Stage.DISCARDED
        assert "nothing to resume" in (await place.cli("resume")).out


async def test_a_run_that_was_killed_at_its_question_outlives_ctrl_c_until_a_no(place: Place) -> None:
    file = place.write("Договор;Сумма\n00001;5\n")
    await killed_at("[y/N]", place, "run", "balances", file)
    file.unlink()
    asked = await place.cli("resume", may_end_with=(2,))
    assert "columns contract_number = Договор, amount = Сумма" in asked.words
    # Nobody could answer, and the question waits for somebody who can.
    assert "The run stays as it is" in asked.words
    for answer, stage in (("Ctrl-C", Stage.FROZEN), ("n\n", Stage.DISCARDED)):
        with at_a_terminal(place, "resume", "--settle", "0") as terminal:
            await terminal.shows("[y/N]")
            if answer == "Ctrl-C":
                terminal.interrupt()
            else:
                terminal.types(answer)
            assert await terminal.ends() == (130 if stage is Stage.FROZEN else 2)
        (run,) = await place.runs()
        assert run.stage is stage
    assert (await place.found()).rows == 0


async def test_corrections_and_a_probe_that_are_not_agreed_to_leave_nothing(place: Place) -> None:
    place.write("contract_number;amount\n00003;5\n00004;1O\n")
    arguments = ("--skip-bad", "--yes", "--json")
    closing = (await place.cli("run", "balances", "balances.csv", *arguments, may_end_with=(1,))).closing
    await place.cli("export", closing["run"], "--state", "refused", "-o", "bad.csv")
    mended = place.cli.folder / "bad.csv"
    mended.write_text(mended.read_text(encoding="utf-8-sig").replace("1O", "10"), encoding="utf-8")
    for command in (("run", "balances", "bad.csv", "--continue", closing["run"]), ("probe", "--abonent", "2003")):
        with at_a_terminal(place, *command) as terminal:
            await terminal.shows("[y/N]")
            terminal.types(CTRL_D)
            assert await terminal.ends() == 130, terminal.seen
    async with place.journal() as journal, open_journal(plans_beside(journal.path)) as plans:
        (run,) = await journal.runs()
        assert (await journal.totals(run)).frozen == 1
        assert {plan.stage for plan in await plans.runs()} == {Stage.DISCARDED}
    assert list(place.cli.folder.rglob("*.probe")) == []
    assert (await place.found()).rows == 1


async def test_a_terminal_that_goes_ends_a_run_in_an_orderly_way(place: Place) -> None:
    balances = place.balances(200)
    with at_a_terminal(place, "run", "balances", str(balances.path), "--yes", "--rate", "20") as terminal:
        await terminal.shows(" entered")
        terminal.hangs_up()
        assert await terminal.ends() == 130
    log = (place.cli.folder / "carbon-migrate.journal.log").read_text(encoding="utf-8").splitlines()
    assert "Traceback" not in "".join(log)
    last = json.loads(log[-1])
    assert (last["event"], last["exit"]) == ("ended", 130)
    (run,) = await place.runs()
    async with place.journal() as journal:
        counts = (await journal.totals(run)).counts
    # What was in flight was finished: nothing is left in doubt.
    assert set(counts) == {State.PENDING, State.ACCEPTED}
    assert counts[State.ACCEPTED] == (await place.found()).rows
