"""`verify`: compares what the billing now has for each row with what was sent."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Item, Run, Stage, Totals
from checkpoints.states import State
from checkpoints.tally import ImportTally
from cli.commands.execution import execute
from cli.output.item_files import STDOUT, OutputFile, Sheet, header_of, of_item, written_to
from cli.session.journal import chosen_run, locked, open_existing, own_name, require_content
from cli.session.session import Invocation, open_session, own_journal
from cli.settings.flags import ChangedDeclaration, Flags, RunNameOrNone, flag, grouped
from cli.settings.pacing_flags import Pacing, ReadingRate
from cli.settings.settings import Settings
from cli.show.closing import next_steps, states_object, states_table
from cli.show.tally import tally_object, tally_screen
from cli.terminal.drawing import drawn
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.exits import exit_of as exit_of_run
from cli.terminal.screen import Screen, Voice
from cli.terminal.waiting import waiting
from engine.errors import LookUpFailed
from engine.job import ReadBack
from engine.pipeline.verifier import ReadBackSummary, verify
from jobs.access.gateway import Gateway
from jobs.account_balances import AccountDifference, Balances, compare_balances
from jobs.spec.words import IMPORT
from jobs.tally import tally_of
from texts.remedies import command_line
from texts.said import counted, said, text_of

MAX_MISMATCHES_SHOWN: Final = 50
"""Differences that are shown; the rest is counted, and the file of `-o` has them all."""

app: Final = typer.Typer(add_completion=False)


@app.command("verify")
@grouped
def _verify(  # noqa: PLR0913 - each is a flag or a group of them
    name: RunNameOrNone = None,
    output: Annotated[
        Path | None,
        flag("-o --output", "FILE", "Write all differences to a CSV file, or - for stdout."),
    ] = None,
    *,
    force: Annotated[bool, flag("--force", None, "Overwrite the file.")] = False,
    rate: ReadingRate = None,
    changed_declaration: ChangedDeclaration = False,
    flags: Flags,
    voice: Voice,
) -> None:
    """Read back what the billing now says, and compare it.

    Each accepted row is held against what was sent; those that are as wanted become applied.
    """
    target = OutputFile(output, force=force) if output else None

    async def work(settings: Settings, screen: Screen) -> Exit:
        if target is not None and target.path == STDOUT:
            screen = screen.beside_rows()
        settings = settings.with_changed_declaration(changed_declaration)
        return await verify_run(name, target, settings, Pacing(rate=rate).given, screen)

    execute(work, flags, voice)


@dataclass(slots=True)
class Differences:
    """Collects rows that differ: the first are kept for the screen, all go to the file."""

    run: Run
    sheet: Sheet | None = None
    first: list[tuple[Item, str]] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)

    def add(self, item: Item, reading: ReadBack) -> None:
        """Add one row that differs."""
        if len(self.first) < MAX_MISMATCHES_SHOWN:
            self.first.append((item, reading.difference or ""))
        if self.sheet is not None:
            self.sheet.row([*of_item(item, self.run)[:-1], reading.difference or ""])

    def add_account(self, difference: AccountDifference) -> None:
        """Add one account whose balance differs from what its rows ask for."""
        if len(self.accounts) < MAX_MISMATCHES_SHOWN:
            self.accounts.append(str(difference))


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification has found. Balances and tally that cannot be read are told by the reason.

    The balances of an import are in its tally, which no other run has. `undone` are the runs that have taken rows
    back since, with their number.
    """

    run: Run
    verdict: ReadBackSummary
    totals: Totals
    balances: Balances | str
    tally: ImportTally | str | None
    undone: Mapping[str, int]

    @property
    def different_accounts(self) -> int:
        """The accounts with another balance than was sent."""
        return self.balances.different if isinstance(self.balances, Balances) else 0

    @property
    def different_groups(self) -> int:
        """The folders, tariffs and operators with other totals than the file."""
        return self.tally.different if isinstance(self.tally, ImportTally) else 0

    @property
    def exit(self) -> Exit:
        """The exit code: 0 only where all is in the billing as it was sent."""
        code = exit_of(self.verdict, self.totals)
        return Exit.REJECTED if code is Exit.DONE and self.different_accounts + self.different_groups else code


async def verify_run(
    name: str | None, target: OutputFile | None, settings: Settings, pacing: Mapping[str, str], screen: Screen
) -> Exit:
    """Read back all accepted rows, at the run's rate or, for this command only, that of `pacing`.

    Raises `CommandRefused`, `LookUpFailed`, `BillingError` and `JournalError`.
    """
    async with open_existing(await own_journal(settings)) as journal, AsyncExitStack() as stack:
        run = await chosen_run(name, journal, "verify")
        await require_content(run, journal)
        if run.stage is Stage.DISCARDED:
            raise CommandRefused(
                said("run {run} was given up before anything was sent: there is nothing to verify", run=run.name)
            )
        told = Invocation(settings, screen, pacing)
        opened = await stack.enter_async_context(open_session(told, journal, of=run))
        session = opened.for_run(run)
        job = await session.rebuild(run)
        differences = Differences(run)
        if target is not None:
            differences.sheet = await stack.enter_async_context(written_to(target))
            differences.sheet.row(header_of(run))
        # Verifying changes the state of rows, so it needs the run's lock.
        async with locked(run, journal, "verify", billing=session.billing.health.version) as ours:
            verdict, all_rows = ReadBackSummary(), (await journal.totals(run)).count_where(in_effect=True)
            with waiting(said("reading rows back"), lambda: (verdict.read, all_rows)):
                await verify(ours, job, journal, differences.add, verdict=verdict)
        with waiting(said("comparing the balances of the accounts")):
            balances = await _balances(run, session.gateway, journal, differences)
        undone = await journal.taken_back(run)
        with waiting(said("counting what the billing has beside the file")):
            tally = await _tally(run, session.gateway, journal, undone)
        kept = tally if isinstance(tally, ImportTally) else None
        await journal.history.note_verification(run, own_name(), _result(verdict, balances), kept)
        found = Verified(run, verdict, await journal.totals(run), balances, tally, undone)
        if screen.voice.as_json:
            screen.emit(_object(found))
        tables = {
            "states": states_table(found.totals),
            "tally": Text("") if kept is None else tally_screen(run.name, kept),
        }
        shown = drawn("verify.j2", tables, found=found, differences=differences, steps=_next_steps(found))
        screen.result(shown, good=found.exit is Exit.DONE)
        if target is not None:
            written = counted(
                "{n} row with differences, written to {where}",
                "{n} rows with differences, written to {where}",
                verdict.different,
                where="stdout" if target.path == STDOUT else str(target.path),
            )
            screen.say(written)
        return found.exit


async def _balances(run: Run, gateway: Gateway, journal: Journal, differences: Differences) -> Balances | str:
    if run.job == IMPORT:
        return Balances()
    try:
        return await compare_balances(run, gateway, journal, differences.add_account)
    except LookUpFailed as error:
        return text_of(error)


async def _tally(run: Run, gateway: Gateway, journal: Journal, undone: Mapping[str, int]) -> ImportTally | str | None:
    if run.job != IMPORT:
        return None
    if undone:
        return said("not counted beside the file: rows of this run were taken back")
    try:
        return await tally_of(run, gateway, journal)
    except LookUpFailed as error:
        return said("the billing cannot be counted beside the file: {reason}", reason=error)


def exit_of(verdict: ReadBackSummary, totals: Totals) -> Exit:
    """The exit code: 0 only when every row to be sent is applied; refused rows were never part of the run.

    A row that cannot be read back is neither applied nor different: a person has to check it.
    """
    code = exit_of_run(replace(totals, refused=0))
    if code in {Exit.DONE, Exit.REJECTED} and verdict.unreadable:
        return Exit.UNDECIDED
    return Exit.REJECTED if code is Exit.DONE and verdict.different else code


# ---- what the journal keeps of it, for the report, and what scripts get -------------------------------------------


def _result(verdict: ReadBackSummary, balances: Balances | str) -> Mapping[str, str | int]:
    rows_read: dict[str, str | int] = {
        "as_wanted": verdict.as_wanted,
        "different": verdict.different,
        "unreadable": verdict.unreadable.total(),
        "expected": format(verdict.expected, "f"),
        "found": format(verdict.found, "f"),
    }
    if isinstance(balances, str) or not balances.accounts + balances.moved + balances.untold:
        return rows_read
    return rows_read | {
        "accounts": balances.accounts,
        "accounts_expected": format(balances.expected, "f"),
        "accounts_found": format(balances.found, "f"),
        "accounts_different": balances.different,
        "accounts_moved": balances.moved,
        "accounts_untold": balances.untold,
    }


def _object(found: Verified) -> Mapping[str, object]:
    run, verdict, totals, balances = found.run, found.verdict, found.totals, found.balances
    tally = {"tally": tally_object(found.tally) if isinstance(found.tally, ImportTally) else None}
    return {
        "run": run.name,
        "job": run.job,
        **states_object(totals),
        "as_wanted": verdict.as_wanted,
        "different": verdict.different,
        "entered_twice": verdict.twice,
        "with_later_operations": verdict.moved,
        "unreadable": verdict.unreadable.total(),
        "expected": format(verdict.expected, "f"),
        "found": format(verdict.found, "f"),
        "applied": totals.count(State.APPLIED),
        "exit": int(found.exit),
        "taken_back": found.undone,
        "accounts": None
        if isinstance(balances, str)
        else {
            "compared": balances.accounts,
            "expected": format(balances.expected, "f"),
            "found": format(balances.found, "f"),
            "different": balances.different,
            "with_later_operations": balances.moved,
            "not_compared": balances.untold,
        },
        **({} if found.tally is None else tally),
    }


def _next_steps(found: Verified) -> list[tuple[str, str]]:
    """The commands to type next; no second `verify` where nothing more can be read back."""
    run = found.run
    if exit_of(found.verdict, found.totals) is Exit.DONE:
        return []
    steps = next_steps(run, found.totals)
    if not found.verdict.unreadable:
        return steps
    again = command_line("verify", run.name)
    file = f"{run.name}-{State.ACCEPTED}.csv"
    accepted = command_line("export", run.name, "--state", State.ACCEPTED, "-o", file)
    purpose = said("look in the billing for the accepted, not applied: do not send them again on a guess")
    return [*(step for step in steps if step[0] != again), (accepted, purpose)]
