"""`verify` and `reconcile`: what the billing now says of rows that were sent, and of rows in doubt."""

from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import structlog
from msgspec.structs import asdict

from checkpoints.records import AccountFigures, Item, RowFigures, Run, Stage, Totals, figures_by_name
from checkpoints.states import State
from checkpoints.tally import ImportTally, Subtotal
from cli.commands.execution import close, with_settings
from cli.session.journal import locked, open_existing, own_name, usable_run
from cli.session.session import Invocation, Session, open_session, own_journal
from cli.settings.flags import RUN_NAME, RUN_NAME_OR_NONE, Declared, Flags, LookUpPacing, ReadingPacing
from cli.show.closing import next_steps, outcome_table, states_object, states_table, steps_after, steps_of
from cli.show.files import STDOUT, OutputFile, WriteRows, header_of, in_a_cell, of_item, table_at
from cli.show.progress import show_sending
from cli.terminal.exits import CommandRefused, Exit, exit_of
from cli.terminal.layout import drawn
from cli.terminal.options import option, switch
from cli.terminal.screen import Voice
from cli.terminal.signals import Interrupts
from cli.terminal.streams import waiting
from engine.errors import LookUpFailed
from engine.job import Absent, CannotLook, Different, Job, LookUpResult, ReadBack
from engine.pipeline.progress import Progress
from engine.pipeline.reconciler import Reconciler
from engine.pipeline.verifier import verify
from jobs.accounts import AccountDifference, compare_balances
from jobs.spec.words import IMPORT, SINCE
from jobs.sums import tally_of
from texts.said import command_line, counted, said, text_of, two_decimals

log = structlog.get_logger(__name__)

MAX_SHOWN: Final = 50
"""Rows that are shown; the rest is counted: the file of `-o` has all differences, `export` all manual rows."""
MAX_GROUPS_SHOWN: Final = 20
"""Different groups of a kind that are shown of a tally; the others are only counted."""


# ---- `verify` -----------------------------------------------------------------------------------------------------


@with_settings("verify", ReadingPacing, Declared, Flags, Voice)
async def _verify(
    told: Invocation,
    name: str | None = RUN_NAME_OR_NONE,
    output: Path | None = option("FILE", "Write all differences to a CSV file, or - for stdout.", "-o", "--output"),
    *,
    force: bool = switch("Overwrite the file."),
) -> Exit:
    """Read back what the billing now says, and compare it.

    Each accepted row is held against what was sent; those that are as wanted become applied.
    """
    target = OutputFile(output, force=force) if output else None

    if target is not None and target.path == STDOUT:
        told = replace(told, screen=told.screen.beside_rows())
    async with open_existing(await own_journal(told.settings)) as journal:
        run = await usable_run(name, journal, "verify")
        async with open_session(told, journal, of=run) as opened:
            session = opened.for_run(run)
            found = await verified(run, await session.rebuild(run), session, target, RowFigures())
    tables = {"states": states_table(found.totals, found.run.parameters.get(SINCE, ""))}
    shown = drawn("verify.j2", tables, found=found, tally=found.tally, most=MAX_GROUPS_SHOWN, steps=found.next_steps)
    close(told.screen, found.exit, shown, _object(found))
    if target is not None:
        written = counted(
            "{n} row[s] with differences, written to {where}",
            found.rows.different,
            where="stdout" if target.path == STDOUT else str(target.path),
        )
        told.screen.say(written)
    return found.exit


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification has found. Balances and tally that cannot be read are told by the reason.

    The balances of an import are in its tally, which no other run has. `unreadable` are the rows that cannot be read
    back, by reason. `undone` are the runs that have taken rows back since, with their number; `first` and `differing`
    are the first rows and accounts that differ.
    """

    run: Run
    rows: RowFigures
    unreadable: Mapping[str, int]
    totals: Totals
    accounts: AccountFigures | str
    tally: ImportTally | str | None
    undone: Mapping[str, int]
    first: list[tuple[Item, str]]
    differing: list[str]

    @property
    def different_accounts(self) -> int:
        return self.accounts.different if isinstance(self.accounts, AccountFigures) else 0

    @property
    def different_groups(self) -> int:
        return self.tally.different if isinstance(self.tally, ImportTally) else 0

    @property
    def exit_of_rows(self) -> Exit:
        """0 only when every row to be sent is applied; refused rows were never part of the run.

        A row that cannot be read back is neither applied nor different: a person has to check it.
        """
        code = exit_of(replace(self.totals, refused=0))
        if code in {Exit.DONE, Exit.REJECTED} and self.rows.unreadable:
            return Exit.UNDECIDED
        return Exit.REJECTED if code is Exit.DONE and self.rows.different else code

    @property
    def exit(self) -> Exit:
        code = self.exit_of_rows
        return Exit.REJECTED if code is Exit.DONE and self.different_accounts + self.different_groups else code

    @property
    def next_steps(self) -> list[tuple[str, str]]:
        """The commands to type next; no second `verify` where nothing more can be read back."""
        if self.exit_of_rows is Exit.DONE:
            return []
        steps, name = [*next_steps(self.run, self.totals)], self.run.name
        if not self.rows.unreadable:
            return steps
        file = f"{name}-{State.ACCEPTED}.csv"
        accepted = command_line("export", name, "--state", State.ACCEPTED, "-o", file)
        purpose = said("look in the billing for the accepted, not applied: do not send them again on a guess")
        return [*(step for step in steps if step[0] != command_line("verify", name)), (accepted, purpose)]


async def verified(run: Run, job: Job, session: Session, target: OutputFile | None, figures: RowFigures) -> Verified:
    """Read back all accepted rows, counted up in the figures on the way, and note what was found."""
    journal, gateway, tables = session.journal, session.gateway, list[WriteRows]()
    first, differing, unreadable = list[tuple[Item, str]](), list[str](), Counter[str]()

    def add(item: Item, reading: ReadBack | CannotLook) -> None:
        if isinstance(reading, CannotLook):
            unreadable[reading.text] += 1
            return
        if len(first) < MAX_SHOWN:
            first.append((item, reading.difference or ""))
        for put in tables:
            put([[*of_item(item, run)[:-1], in_a_cell(reading.difference or "")]])

    def add_account(difference: AccountDifference) -> None:
        if len(differing) < MAX_SHOWN:
            differing.append(str(difference))

    accounts: AccountFigures | str = AccountFigures()
    tally: ImportTally | str | None = None
    async with AsyncExitStack() as stack:
        if target is not None:
            tables.append(stack.enter_context(table_at(target, header_of(run), of_rows=True)))
        # Verifying changes the state of rows, so it needs the run's lock.
        async with locked(run, journal, "verify", billing=session.billing.health.version) as ours:
            before = await journal.totals(run)
            all_rows = before.standing
            with waiting(said("reading rows back"), lambda: (figures.read, all_rows)):
                await verify(ours, job, journal, add, figures=figures)
        with waiting(said("comparing the balances of the accounts")):
            if run.job != IMPORT:
                try:
                    accounts = await compare_balances(run, gateway, journal, add_account)
                except LookUpFailed as error:
                    accounts = text_of(error)
        undone = await journal.taken_back(run)
        with waiting(said("counting what the billing has beside the file")):
            if run.job == IMPORT and undone:
                tally = said("not counted beside the file: rows of this run were taken back")
            elif run.job == IMPORT:
                try:
                    tally = await tally_of(run, gateway, journal)
                except LookUpFailed as error:
                    tally = said("the billing cannot be counted beside the file: {reason}", reason=error)
        # What the journal keeps of it, for the report.
        compared = AccountFigures() if isinstance(accounts, str) else accounts
        kept = tally if isinstance(tally, ImportTally) else None
        await journal.history.note_verification(run, own_name(), figures_by_name(figures, compared), kept)
        totals = await journal.totals(run)
        return Verified(run, figures, unreadable, totals, accounts, tally, undone, first, differing)


def _object(found: Verified) -> Mapping[str, object]:
    run, totals, accounts, tally = found.run, found.totals, found.accounts, found.tally

    def part(of: Subtotal) -> Mapping[str, object]:
        return {"subscribers": of.rows, "balance": two_decimals(of.amount)}

    def plain(figures: RowFigures | AccountFigures) -> Mapping[str, object]:
        return {name: format(one, "f") if isinstance(one, Decimal) else one for name, one in asdict(figures).items()}

    counted_beside = (
        {
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
        if isinstance(tally, ImportTally)
        else None
    )
    return {
        "run": run.name,
        "job": run.job,
        **states_object(totals),
        **plain(found.rows),
        "applied": totals.count(State.APPLIED),
        "taken_back": found.undone,
        "sum_taken_back": format(totals.sum_taken_back, "f"),
        "accounts": None if isinstance(accounts, str) else plain(accounts),
        **({} if tally is None else {"tally": counted_beside}),
    }


# ---- `reconcile` --------------------------------------------------------------------------------------------------


@with_settings("reconcile", LookUpPacing, Declared, Flags, Voice)
async def _reconcile(told: Invocation, name: str = RUN_NAME) -> Exit:
    """Look up what is in doubt; sends nothing.

    It can be typed days later, and after rows were put right by hand.
    """
    screen = told.screen
    async with open_existing(await own_journal(told.settings)) as journal:
        run = await usable_run(name, journal, "reconcile")
        if run.stage is not Stage.APPROVED:
            raise CommandRefused("run {run} has sent nothing: there is nothing to look up", run=run.name)
        async with open_session(told, journal, of=run) as opened:
            # The second signal cancels the look-ups.
            session, progress, left = opened.for_run(run), Progress(), dict[int, LookUpResult]()
            job, stop, interrupts = await session.rebuild(run), session.stop, Interrupts(session.stop, screen)
            async with (
                locked(run, journal, "reconcile", billing=session.billing.health.version) as ours,
                interrupts.listening(),
            ):
                # Rows that are settled before an error stay settled.
                reconciler = Reconciler(ours, job, journal, session.policy_of(run), progress, stop)
                await journal.doubt(ours)
                progress.take_up(await journal.totals(run), intake_ended=run.frozen_at is not None)
                with interrupts.while_sending():
                    async with show_sending(progress, screen, run.name):
                        await reconciler.settle()
                    left = await reconciler.look_again()
        totals = await journal.totals(run)
        undecided, in_doubt = totals.count(State.MANUAL), totals.count_where(in_doubt=True)
        code = Exit.INTERRUPTED if stop.requested and in_doubt else exit_of(totals)
        log.info("reconciled", exit=int(code), unknown=totals.count(State.UNKNOWN), manual=undecided)

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
            {"outcome": outcome_table(run, totals, await steps_of(run, journal))},
            run=run,
            is_settled=not undecided and not in_doubt,
            manual=[(item, seen(item)) for item in manual],
            undecided=undecided,
            stopped=stop.reason if stop.requested else "",
            steps=await steps_after(run, totals, journal),
        )
        return close(screen, code, shown, {"run": run.name, "job": run.job, **states_object(totals)})
