"""`verify`: compares what the billing now has for each row with what was sent."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Item, Run, Stage, Totals
from checkpoints.states import State
from cli.commands.execution import execute
from cli.output.item_files import STDOUT, OutputFile, Sheet, header_of, of_item, written_to
from cli.session.control_client import own_name
from cli.session.journal import locked, open_existing, require_content
from cli.session.session import check_target, open_session
from cli.settings.flags import Flags, RunName, grouped
from cli.settings.pacing_flags import Pacing, ReadingRate
from cli.settings.settings import Settings
from cli.show.closing import next_steps, states_object, states_table
from cli.terminal.exits import CommandRefused, Exit, outcome_of
from cli.terminal.layout import Hanging, command, steps_list
from cli.terminal.names import place_of
from cli.terminal.screen import Screen, Voice
from cli.terminal.texts import count, markup_safe, money, number_of, printable, rows
from engine.errors import LookUpFailed
from engine.job import ReadBack
from engine.pipeline.verifier import ReadBackSummary, verify
from jobs.access.gateway import Gateway
from jobs.account_balances import AccountDifference, Balances, compare_balances
from texts.remedies import PROGRAM
from texts.said import text_of

MAX_MISMATCHES_SHOWN: Final = 50
"""Differences that are shown; the rest is counted, and the file of `-o` has them all."""

app: Final = typer.Typer(add_completion=False)


@app.command("verify")
@grouped
def _verify(
    name: RunName,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write all differences to a CSV file, or - for stdout."),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    rate: ReadingRate = None,
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
        return await verify_run(name, target, settings, Pacing(rate=rate).given, screen)

    execute(work, flags, voice)


@dataclass(slots=True)
class Differences:
    """Collects rows that differ: the first are kept for the screen, all go to the file."""

    run: Run
    sheet: Sheet | None = None
    first: list[RenderableType] = field(default_factory=list)
    accounts: list[RenderableType] = field(default_factory=list)

    def add(self, item: Item, reading: ReadBack) -> None:
        """Add one row that differs."""
        if len(self.first) < MAX_MISMATCHES_SHOWN:
            line = Text().append(place_of(item), "bold").append(f" ({printable(item.label, 60)})", "dim")
            self.first.append(Hanging(Text("✗ ", "red"), line.append(f": {printable(reading.difference)}")))
        if self.sheet is not None:
            self.sheet.row([*of_item(item, self.run)[:-1], reading.difference or ""])

    def add_account(self, difference: AccountDifference) -> None:
        """Add one account whose balance differs from what its rows ask for."""
        if len(self.accounts) < MAX_MISMATCHES_SHOWN:
            self.accounts.append(Hanging(Text("✗ ", "red"), Text(printable(str(difference), 400))))


async def _balances(run: Run, gateway: Gateway, journal: Journal, differences: Differences) -> Balances | str:
    """The balances of the run's accounts, or why they cannot be read."""
    try:
        return await compare_balances(run, gateway, journal, differences.add_account)
    except LookUpFailed as error:
        return text_of(error)


async def verify_run(
    name: str, target: OutputFile | None, settings: Settings, pacing: Mapping[str, str], screen: Screen
) -> Exit:
    """Read back all accepted rows, at the run's rate or, for this command only, that of `pacing`.

    Raises `CommandRefused`, `LookUpFailed`, `BillingError` and `JournalError`.
    """
    async with open_existing(settings.journal.value) as journal, AsyncExitStack() as stack:
        run = await journal.run(name)
        await require_content(run, journal)
        if run.stage is Stage.DISCARDED:
            raise CommandRefused(f"run {run.name} was given up before anything was sent: there is nothing to verify")
        check_target(run, settings)
        opened = await stack.enter_async_context(open_session(settings, screen, journal, pacing=pacing))
        session = opened.for_run(run)
        job = await session.rebuild(run)
        differences = Differences(run)
        if target is not None:
            differences.sheet = await stack.enter_async_context(written_to(target))
            differences.sheet.row(header_of(run))
        # Verifying changes the state of rows, so it needs the run's lock.
        async with locked(run, journal, "verify", billing=session.billing.health.version) as ours:
            verdict = await verify(ours, job, journal, differences.add)
        balances = await _balances(run, session.gateway, journal, differences)
        await journal.history.note_verification(run, own_name(), _result(verdict, balances))
        totals = await journal.totals(run)
        code = exit_of(verdict, totals)
        if code is Exit.DONE and isinstance(balances, Balances) and balances.different:
            code = Exit.REJECTED
        undone = await journal.taken_back(run)
        if screen.voice.as_json:
            found = _object(run, verdict, totals, code)
            screen.emit({**found, "taken_back": undone, **_balances_object(balances)})
        headline = _headline(run, verdict, undone, balances, code)
        screen.result(_screen(run, verdict, totals, differences, balances, headline), good=code is Exit.DONE)
        if target is not None:
            where = "stdout" if target.path == STDOUT else markup_safe(target.path)
            screen.say(f"{rows(verdict.different)} with differences, written to {where}")
        return code


def _result(verdict: ReadBackSummary, balances: Balances | str) -> Mapping[str, str | int]:
    """What the journal keeps of a verification, for the report."""
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


def _balances_line(balances: Balances | str) -> Text | None:
    """The balances in one line; None where the run has entered no opening balances."""
    if isinstance(balances, str):
        return Text(f"? the balances of the accounts cannot be read: {printable(balances)}", "yellow")
    if not balances.accounts + balances.moved + balances.untold:
        return None
    gap = balances.found - balances.expected
    sums = f"expected {money(balances.expected)}, found {money(balances.found)}, difference {money(gap)}"
    told = [
        f"balances of {number_of(balances.accounts, 'account')}: {sums}",
        f"{count(balances.different)} different",
    ]
    if balances.moved:
        told.append(f"{count(balances.moved)} with later operations, whose balances say nothing of this run")
    if balances.untold:
        told.append(f"{count(balances.untold)} that cannot be compared")
    return Text("; ".join(told), "bold yellow" if balances.different else "")


def _balances_object(balances: Balances | str) -> Mapping[str, object]:
    if isinstance(balances, str):
        return {"accounts": None}
    return {
        "accounts": {
            "compared": balances.accounts,
            "expected": format(balances.expected, "f"),
            "found": format(balances.found, "f"),
            "different": balances.different,
            "with_later_operations": balances.moved,
            "not_compared": balances.untold,
        }
    }


def exit_of(verdict: ReadBackSummary, totals: Totals) -> Exit:
    """The exit code: 0 only when every row to be sent is applied; refused rows were never part of the run.

    A row that cannot be read back is neither applied nor different: a person has to check it.
    """
    code = outcome_of(Totals(totals.counts, totals.amounts))
    if code in {Exit.DONE, Exit.REJECTED} and verdict.unreadable:
        return Exit.UNDECIDED
    return Exit.REJECTED if code is Exit.DONE and verdict.different else code


def _headline(
    run: Run, verdict: ReadBackSummary, undone: Mapping[str, int], balances: Balances | str, code: Exit
) -> Text:
    """The verdict in one sentence; a sign of success only where nothing speaks against it."""
    unreadable = verdict.unreadable.total()
    if not verdict.as_wanted + verdict.different + unreadable:
        return Text(f"run {run.name} has no rows to read back", "bold yellow" if code else "bold")
    told = [f"{rows(verdict.as_wanted)} as sent"]
    if verdict.different:
        told.append(f"{count(verdict.different)} different")
    if unreadable:
        told.append(f"{count(unreadable)} that cannot be read back")
    if isinstance(balances, Balances) and balances.different:
        told.append(f"{number_of(balances.different, 'account')} with another balance than was sent")
    if code is Exit.DONE and not undone:
        return Text(f"✓ run {run.name} is applied: {rows(verdict.as_wanted)} read back as sent", "bold green")
    told += [f"{rows(number)} taken back since by run {name}" for name, number in undone.items()]
    return Text(f"! run {run.name}: {', '.join(told)}", "bold yellow")


def _screen(
    run: Run,
    verdict: ReadBackSummary,
    totals: Totals,
    differences: Differences,
    balances: Balances | str,
    headline: Text,
) -> RenderableType:
    parts: list[RenderableType] = [*differences.first]
    if verdict.different > len(differences.first):
        more = count(verdict.different - len(differences.first))
        all_of_them = command(f"{PROGRAM} verify {run.name} -o FILE")
        parts += [Text(f"… and {more} more; all of them with:", "dim"), all_of_them]
    parts += [*differences.accounts, Hanging(Text(""), headline)]
    parts += [
        Hanging(Text("? ", "yellow"), Text().append(rows(number), "bold").append(f": {printable(reason)}"))
        for reason, number in verdict.unreadable.items()
    ]
    if verdict.moved:
        moved = f"{rows(verdict.moved)} with later operations, whose balances say nothing of this run"
        parts.append(Hanging(Text(""), Text(moved)))
    if verdict.expected or verdict.found:
        gap = verdict.found - verdict.expected
        sums = f"sum expected {money(verdict.expected)}, found {money(verdict.found)}, difference {money(gap)}"
        parts.append(Hanging(Text(""), Text(sums)))
    if (line := _balances_line(balances)) is not None:
        parts.append(Hanging(Text(""), line))
    parts.append(states_table(totals))
    if exit_of(verdict, totals) is not Exit.DONE and (steps := _next_steps(run, verdict, totals)):
        parts.append(steps_list(steps))
    return Group(*parts)


def _next_steps(run: Run, verdict: ReadBackSummary, totals: Totals) -> list[tuple[str, str]]:
    """The commands to type next; no second `verify` where nothing more can be read back."""
    steps = next_steps(run, totals)
    if not verdict.unreadable:
        return steps
    again = f"{PROGRAM} verify {run.name}"
    accepted = f"{PROGRAM} export {run.name} --state {State.ACCEPTED} -o {run.name}-{State.ACCEPTED}.csv"
    purpose = f"look in the billing for the {State.ACCEPTED}, not {State.APPLIED}: do not send them again on a guess"
    look = (accepted, purpose)
    return [*(step for step in steps if step[0] != again), look]


def _object(run: Run, verdict: ReadBackSummary, totals: Totals, code: Exit) -> Mapping[str, object]:
    return {
        "run": run.name,
        "job": run.job,
        **states_object(totals),
        "as_wanted": verdict.as_wanted,
        "different": verdict.different,
        "with_later_operations": verdict.moved,
        "unreadable": verdict.unreadable.total(),
        "expected": format(verdict.expected, "f"),
        "found": format(verdict.found, "f"),
        "applied": totals.count(State.APPLIED),
        "exit": int(code),
    }
