"""`verify` and `reconcile`: what the billing now says of rows that were sent, and of rows in doubt."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from checkpoints.journal import Journal
from checkpoints.records import Item, Run, Stage, Totals
from checkpoints.states import State
from checkpoints.tally import ImportTally, Subtotal
from cli.commands.execution import execute
from cli.output.item_files import STDOUT, OutputFile, Sheet, header_of, of_item, written_to
from cli.session.journal import chosen_run, locked, open_existing, own_name, require_content
from cli.session.session import Invocation, Session, open_session, own_journal
from cli.settings.flags import CHANGED_DECLARATION, RUN_NAME, RUN_NAME_OR_NONE, Flags
from cli.settings.pacing_flags import READING_RATE, SETTLE, Pacing
from cli.settings.settings import Settings
from cli.show.closing import next_steps, outcome_table, states_object, states_table, steps_of
from cli.show.progress import show_sending
from cli.terminal.drawing import drawn
from cli.terminal.exits import CommandRefused, Exit, exit_of
from cli.terminal.options import as_command, option, switch
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import Interrupts
from cli.terminal.waiting import waiting
from engine.errors import LookUpFailed
from engine.job import Absent, CannotLook, Different, Job, LookUpResult, ReadBack
from engine.pacing.holds import Stop
from engine.pipeline.progress import Progress
from engine.pipeline.reconciler import Reconciler
from engine.pipeline.verifier import ReadBackSummary, verify
from jobs.access.gateway import Gateway
from jobs.account_balances import AccountDifference, Balances, compare_balances
from jobs.spec.words import IMPORT
from jobs.tally import tally_of
from texts.remedies import command_line
from texts.said import counted, said, text_of, two_decimals

log = structlog.get_logger(__name__)

MAX_SHOWN: Final = 50
"""Rows that are shown; the rest is counted: the file of `-o` has all differences, `export` all manual rows."""
MAX_GROUPS_SHOWN: Final = 20
"""Different groups of a kind that are shown of a tally; the others are only counted."""


@asynccontextmanager
async def _reading(
    run: Run, journal: Journal, settings: Settings, pacing: Pacing, screen: Screen
) -> AsyncIterator[tuple[Session, Job]]:
    """A session with the billing of a run, at its rate or, for this command only, that of `pacing`; and its job."""
    async with open_session(Invocation(settings, screen, pacing.given), journal, of=run) as opened:
        session = opened.for_run(run)
        yield session, await session.rebuild(run)


# ---- `verify` -----------------------------------------------------------------------------------------------------


@as_command("verify")
def _verify(
    name: str | None = RUN_NAME_OR_NONE,
    output: Path | None = option("FILE", "Write all differences to a CSV file, or - for stdout.", "-o", "--output"),
    *,
    force: bool = switch("Overwrite the file."),
    rate: str | None = READING_RATE,
    changed_declaration: bool = CHANGED_DECLARATION,
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
        async with open_existing(await own_journal(settings)) as journal, AsyncExitStack() as stack:
            run = await chosen_run(name, journal, "verify")
            await require_content(run, journal)
            if run.stage is Stage.DISCARDED:
                raise CommandRefused(
                    said("run {run} was given up before anything was sent: there is nothing to verify", run=run.name)
                )
            session, job = await stack.enter_async_context(
                _reading(run, journal, settings, Pacing(rate=rate), screen)
            )
            found = await _verified(run, job, session, target)
        if screen.voice.as_json:
            screen.emit(_object(found))
        shown = drawn(
            "verify.j2",
            {"states": states_table(found.totals)},
            found=found,
            tally=found.tally,
            most=MAX_GROUPS_SHOWN,
            steps=_next_steps(found),
        )
        screen.result(shown, good=found.exit is Exit.DONE)
        if target is not None:
            written = counted(
                "{n} row with differences, written to {where}",
                "{n} rows with differences, written to {where}",
                found.verdict.different,
                where="stdout" if target.path == STDOUT else str(target.path),
            )
            screen.say(written)
        return found.exit

    execute(work, flags, voice)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification has found. Balances and tally that cannot be read are told by the reason.

    The balances of an import are in its tally, which no other run has. `undone` are the runs that have taken rows
    back since, with their number; `first` and `accounts` are the first rows and accounts that differ.
    """

    run: Run
    verdict: ReadBackSummary
    totals: Totals
    balances: Balances | str
    tally: ImportTally | str | None
    undone: Mapping[str, int]
    first: list[tuple[Item, str]]
    accounts: list[str]

    @property
    def different_accounts(self) -> int:
        """The accounts with another balance than was sent."""
        return self.balances.different if isinstance(self.balances, Balances) else 0

    @property
    def different_groups(self) -> int:
        """The folders, tariffs and operators with other totals than the file."""
        return self.tally.different if isinstance(self.tally, ImportTally) else 0

    @property
    def exit_of_rows(self) -> Exit:
        """0 only when every row to be sent is applied; refused rows were never part of the run.

        A row that cannot be read back is neither applied nor different: a person has to check it.
        """
        code = exit_of(replace(self.totals, refused=0))
        if code in {Exit.DONE, Exit.REJECTED} and self.verdict.unreadable:
            return Exit.UNDECIDED
        return Exit.REJECTED if code is Exit.DONE and self.verdict.different else code

    @property
    def exit(self) -> Exit:
        """The exit code: 0 only where all is in the billing as it was sent."""
        code = self.exit_of_rows
        return Exit.REJECTED if code is Exit.DONE and self.different_accounts + self.different_groups else code


async def _verified(run: Run, job: Job, session: Session, target: OutputFile | None) -> Verified:
    """Read back all accepted rows, and note what was found. Raises `LookUpFailed`, `BillingError`, `JournalError`."""
    journal, gateway, sheets = session.journal, session.gateway, list[Sheet]()
    first, accounts, verdict = list[tuple[Item, str]](), list[str](), ReadBackSummary()

    def add(item: Item, reading: ReadBack) -> None:
        if len(first) < MAX_SHOWN:
            first.append((item, reading.difference or ""))
        for sheet in sheets:
            sheet.row([*of_item(item, run)[:-1], reading.difference or ""])

    def add_account(difference: AccountDifference) -> None:
        if len(accounts) < MAX_SHOWN:
            accounts.append(str(difference))

    async with AsyncExitStack() as stack:
        if target is not None:
            sheets.append(await stack.enter_async_context(written_to(target)))
            sheets[0].row(header_of(run))
        # Verifying changes the state of rows, so it needs the run's lock.
        async with locked(run, journal, "verify", billing=session.billing.health.version) as ours:
            all_rows = (await journal.totals(run)).count_where(in_effect=True)
            with waiting(said("reading rows back"), lambda: (verdict.read, all_rows)):
                await verify(ours, job, journal, add, verdict=verdict)
        with waiting(said("comparing the balances of the accounts")):
            balances: Balances | str = Balances()
            if run.job != IMPORT:
                try:
                    balances = await compare_balances(run, gateway, journal, add_account)
                except LookUpFailed as error:
                    balances = text_of(error)
        undone = await journal.taken_back(run)
        with waiting(said("counting what the billing has beside the file")):
            tally = await _tally(run, gateway, journal, undone)
        kept = tally if isinstance(tally, ImportTally) else None
        await journal.history.note_verification(run, own_name(), _noted(verdict, balances), kept)
        return Verified(run, verdict, await journal.totals(run), balances, tally, undone, first, accounts)


async def _tally(run: Run, gateway: Gateway, journal: Journal, undone: Mapping[str, int]) -> ImportTally | str | None:
    if run.job != IMPORT:
        return None
    if undone:
        return said("not counted beside the file: rows of this run were taken back")
    try:
        return await tally_of(run, gateway, journal)
    except LookUpFailed as error:
        return said("the billing cannot be counted beside the file: {reason}", reason=error)


def _noted(verdict: ReadBackSummary, balances: Balances | str) -> Mapping[str, str | int]:
    """What the journal keeps of it, for the report."""
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
    run, verdict, totals, balances, tally = found.run, found.verdict, found.totals, found.balances, found.tally

    def part(of: Subtotal) -> Mapping[str, object]:
        return {"subscribers": of.rows, "balance": two_decimals(of.amount)}

    counted_beside = isinstance(tally, ImportTally) and {
        "groups": [
            {
                "kind": one.kind,
                "id": one.key,
                "name": one.name,
                "groups": one.groups,
                "different": one.is_different,
                "file": part(one.file),
                "billing": part(one.billing),
                "not_entered": part(one.not_entered),
                "later_operations": part(one.moved),
                "not_in_file": part(one.extra),
            }
            for one in tally.groups
        ],
        "different": tally.different,
        "refused": tally.refused,
        "not_in_file": tally.extra,
    }
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
        **({} if tally is None else {"tally": counted_beside or None}),
    }


def _next_steps(found: Verified) -> list[tuple[str, str]]:
    """The commands to type next; no second `verify` where nothing more can be read back."""
    run = found.run
    if found.exit_of_rows is Exit.DONE:
        return []
    steps = next_steps(run, found.totals)
    if not found.verdict.unreadable:
        return steps
    again = command_line("verify", run.name)
    file = f"{run.name}-{State.ACCEPTED}.csv"
    accepted = command_line("export", run.name, "--state", State.ACCEPTED, "-o", file)
    purpose = said("look in the billing for the accepted, not applied: do not send them again on a guess")
    return [*(step for step in steps if step[0] != again), (accepted, purpose)]


# ---- `reconcile` --------------------------------------------------------------------------------------------------


@as_command("reconcile")
def _reconcile(
    name: str = RUN_NAME,
    *,
    rate: str | None = READING_RATE,
    settle: str | None = SETTLE,
    changed_declaration: bool = CHANGED_DECLARATION,
    flags: Flags,
    voice: Voice,
) -> None:
    """Look up what is in doubt; sends nothing.

    It can be typed days later, and after rows were put right by hand.
    """

    async def work(settings: Settings, screen: Screen) -> Exit:
        settings = settings.with_changed_declaration(changed_declaration)
        async with open_existing(await own_journal(settings)) as journal:
            run = await journal.run(name)
            await require_content(run, journal)
            if run.stage is not Stage.APPROVED:
                raise CommandRefused("run {run} has sent nothing: there is nothing to look up", run=run.name)
            async with _reading(run, journal, settings, Pacing(rate=rate, settle=settle), screen) as (session, job):
                left = await _looked_up(run, job, session)
            return await _show_left(run, journal, left, session.stop, screen)

    execute(work, flags, voice)


async def _looked_up(run: Run, job: Job, session: Session) -> Mapping[int, LookUpResult]:
    """Settle unknown rows and look up manual rows again; rows settled before an error stay settled."""
    journal, stop, progress, left = session.journal, session.stop, Progress(), dict[int, LookUpResult]()
    interrupts = Interrupts(stop, session.screen)
    async with (
        locked(run, journal, "reconcile", billing=session.billing.health.version) as ours,
        interrupts.listening(),
    ):
        reconciler = Reconciler(ours, job, journal, session.policy_of(run), progress, stop)
        await journal.doubt(ours)
        progress.take_up(await journal.totals(run), intake_ended=run.frozen_at is not None)
        with interrupts.while_sending():
            async with show_sending(progress, session.screen, run.name):
                await reconciler.settle()
            left |= await reconciler.look_again()
    return left


async def _show_left(
    run: Run, journal: Journal, left: Mapping[int, LookUpResult], stop: Stop, screen: Screen
) -> Exit:
    totals = await journal.totals(run)
    undecided, in_doubt = totals.count(State.MANUAL), totals.count_where(in_doubt=True)
    code = Exit.INTERRUPTED if stop.requested and in_doubt else exit_of(totals)
    log.info("reconciled", exit=int(code), unknown=totals.count(State.UNKNOWN), manual=undecided)
    if screen.voice.as_json:
        screen.emit({"run": run.name, "job": run.job, **states_object(totals), "exit": int(code)})

    def seen(item: Item) -> str:
        match left.get(item.item_id):
            case Different(text) | CannotLook(text):
                return text
            case Absent():
                return said("no longer there; before: {message}", message=item.message or "")
            case _:
                return item.message or said("nothing")

    manual = await journal.items(run, {State.MANUAL}, size=MAX_SHOWN) if undecided else []
    shown = drawn(
        "reconcile.j2",
        {"outcome": outcome_table(totals, await steps_of(run, journal))},
        run=run,
        is_settled=not undecided and not in_doubt,
        manual=[(item, seen(item)) for item in manual],
        undecided=undecided,
        stopped=stop.reason if stop.requested else "",
        steps=next_steps(run, totals),
    )
    screen.result(shown, good=code is Exit.DONE)
    return code
