"""`run … --continue RUN`: takes corrected rows into the run that rejected or refused them, and into its totals.

The rows are rehearsed in the journal of plans, shown, confirmed, and only then taken in. An exported file can be used
as input unchanged: its last columns say which row of the run each of its rows corrects.
"""

import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Correction, Item, NewItem, Reason, Refusal, Run, Stage, Totals
from checkpoints.sentences import DUPLICATE
from checkpoints.states import State, states_where
from cli.output.item_files import columns_of
from cli.session.journal import locked, open_existing, refuse_ended, require_content
from cli.session.plans import plans_beside
from cli.session.run_session import RunSession, new_run, rehearse, require_whole
from cli.session.session import Invocation, Session, how_often, open_session, own_journal
from cli.session.vaults import wipe_secrets
from cli.show.closing import MAX_REFUSALS_SHOWN, Closing, import_again
from cli.show.preview import NONE_FOUND, PreviewFacts, RowsFound, plan_of, preview, unanswered
from cli.terminal.exits import CommandRefused, NothingSent
from cli.terminal.screen import Screen, is_unattended
from cli.terminal.texts import printable
from engine.job import Job
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Repeat, judge_for
from engine.sources.exported import LINE, ROW
from jobs.job import build
from jobs.rows.input import Input, input_of_parameters, job_parameters
from jobs.spec.spec import parameters_of, without_own
from jobs.spec.words import IMPORT, UNDO
from texts.remedies import Remedy, command_line, setting
from texts.said import Said, counted, in_clauses, kind_of, said

# ---- matching the rows of a corrected file to the rows of a run ---------------------------------------------------


_PLACE: Final = re.compile(r"([a-z0-9]+)/(r?)([0-9]{1,18})")
_LINE: Final = re.compile(r"[0-9]{1,9}")
THERE: Final = said("in the run already")


@dataclass(slots=True)
class CorrectionResult:
    """The planned result for the rows of a file: counts, sums, and the first rows left out, with the reason.

    `corrected` counts rows that replace others, whether they are sent or skipped.
    """

    corrected: int = 0
    refused: int = 0
    counts: Counter[State] = field(default_factory=Counter)
    amounts: defaultdict[State, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    refusals: list[Refusal] = field(default_factory=list)
    reasons: dict[str, Reason] = field(default_factory=dict)
    look_alikes: RowsFound = NONE_FOUND

    def add(self, row: Item, verdict: NewItem | Refusal) -> None:
        """Count one row of the file by its verdict."""
        if isinstance(verdict, Refusal):
            self.refused += 1
            self.refusals += [verdict][: max(MAX_REFUSALS_SHOWN - len(self.refusals), 0)]
            return
        self.corrected += 1
        if verdict.skip_reason is not None:
            self.skip(verdict, verdict.skip_reason)
            return
        amount = verdict.amount or Decimal(0)
        self.counts[State.PENDING] += 1
        self.amounts[State.PENDING] += amount
        if verdict.note is not None:
            found, looks = self.look_alikes, msgspec.structs.replace(row, message=in_clauses([verdict.note]))
            first = [*found.first, looks][:MAX_REFUSALS_SHOWN]
            self.look_alikes = RowsFound(found.rows + 1, found.sum + amount, first)

    def skip(self, row: NewItem | Item, why: str) -> None:
        """Count one row that is not sent."""
        amount = row.amount or Decimal(0)
        self.counts[State.SKIPPED] += 1
        self.amounts[State.SKIPPED] += amount
        kind = kind_of(why)
        known = self.reasons.get(kind) or Reason(kind, 0, Decimal(0), row.line, row.label, why)
        self.reasons[kind] = replace(known, items=known.items + 1, amount=known.amount + amount)

    def plan(self, rehearsed: PreviewFacts, run: Run) -> PreviewFacts:
        """The plan of the rehearsed file, restated for the run that takes the rows."""
        doubles = self.reasons.get(DUPLICATE)
        return replace(
            rehearsed,
            run=run,
            totals=Totals(self.counts, self.amounts, rehearsed.totals.refused + self.refused),
            skipped=list(self.reasons.values()),
            repeated=replace(rehearsed.repeated, rows=doubles.items, sum=doubles.amount) if doubles else NONE_FOUND,
            look_alikes=self.look_alikes,
            refusals=[*rehearsed.refusals, *self.refusals][:MAX_REFUSALS_SHOWN],
        )


class Corrections:
    """Takes the rows of a rehearsed file into a run: each replaces one rejected or refused row."""

    def __init__(
        self, run: Run, rehearsed: Run, journal: Journal, plans: Journal, job: Job, *, enter: Repeat
    ) -> None:
        self._run, self._rehearsed, self._journal, self._plans, self._job = run, rehearsed, journal, plans, job
        self._judge = judge_for(run, job.effect, enter)
        # The position of each column; the first of several with the same name.
        self._places = {name.strip(): place for place, name in reversed(list(enumerate(rehearsed.header)))}
        own = columns_of(run)
        self._row, self._line = self._places.get(own[0]), self._places.get(own[1])

    async def look(self) -> CorrectionResult:
        """Match all rows, and check them against everything entered before; nothing is written.

        Raises `CommandRefused` when a row matches no row that can be corrected, or two match the same one.
        """
        outcome, lines = CorrectionResult(), dict[tuple[int | None, int | None], int | None]()
        balances: dict[str, Item] = {}
        async for page in self._pages(outcome):
            for one, item in page:
                place = (one.number, one.refusal_id)
                if place in lines:
                    raise CommandRefused(
                        "lines {first} and {second} are both corrections of one row of run {run}: leave one in",
                        first=str(lines[place]),
                        second=str(item.line),
                        run=self._run.name,
                    )
                lines[place] = item.line
                other = balances.setdefault(item.lane, item) if self._sets_balance(one.item) else item
                if other is not item:
                    raise CommandRefused(
                        "{first} and {second} reach one account, and each sets its balance anew. Leave one of them "
                        "out, or put both into a file and run that as a run of its own, with {flag} sum or last",
                        first=_row(other),
                        second=_row(item),
                        flag=setting("shared-accounts"),
                    )
            verdicts = await self._journal.judged(self._run, [one.item for one, _ in page], self._judge)
            for (_, item), verdict in zip(page, verdicts, strict=True):
                outcome.add(item, verdict)
        return outcome

    async def take_in(self) -> None:
        """Save the rows in the run, page by page; after a kill, the same file adds the missing ones."""
        async for page in self._pages(CorrectionResult()):
            await self._journal.correct(self._run, [one for one, _ in page], self._judge)

    async def _pages(self, outcome: CorrectionResult) -> AsyncIterator[list[tuple[Correction, Item]]]:
        """The corrections, each with its row of the file; rows that the run already has are counted in `outcome`.

        Raises `CommandRefused` for a row that corrects nothing.
        """
        async for page in self._plans.each_page(self._rehearsed, {State.PENDING, State.SKIPPED}):
            corrections: list[tuple[Correction, Item]] = []
            for item in page:
                if item.message and item.kind == DUPLICATE:
                    outcome.skip(item, item.message)
                elif (one := await self._correction(item)) is None:
                    outcome.skip(item, THERE)
                else:
                    corrections.append((one, item))
            yield corrections

    async def _correction(self, item: Item) -> Correction | None:
        """The correction that a row makes; None when the run already has the row."""
        line = self._line_of(item)
        cells = tuple(item.row[self._places[name.strip()]] for name in self._run.header)
        new = NewItem(
            key=item.key,
            label=item.label,
            lane=item.lane,
            payload=item.payload,
            amount=item.amount,
            line=line,
            row=cells,
            skip_reason=item.message if item.state is State.SKIPPED else None,
            note=item.message if item.state is State.PENDING else None,
        )
        number, refusal_id = self._named(item)
        await self._refuse_shared(item, new, number)
        if number is not None:
            named = await self._journal.items(self._run, {State.REJECTED}, after=number - 1, size=1)
            if named and named[0].number == number:
                return Correction(new, number=number)
        elif refusal_id or line:
            refused = await self._journal.find_refusal(self._run, refusal_id=refusal_id, line=line)
            if refused and not refused[1]:
                return Correction(new, refusal_id=refused[0])
        same = [one for one in await self._journal.find(self._run, item.key) if one.key == item.key]
        standing = [one for one in same if not one.state.rejected]
        if any(one.amount == item.amount for one in standing):
            return None
        rejected = [one for one in same if one.state is State.REJECTED]
        if rejected and not standing:
            return Correction(new, number=rejected[-1].number)
        raise CommandRefused(
            "{row} corrects no row of run {run}: there is no rejected or refused row like it, or it was corrected "
            "before by another one. New rows go into a run of their own",
            row=_row(item),
            run=self._run.name,
        )

    async def _refuse_shared(self, item: Item, new: NewItem, number: int | None) -> None:
        """Raise for a row that stands for several rows of an account, or that replaces a value set by one of them."""
        run = self._run
        if number is not None and (carried := await self._journal.carried(run, number)):
            raise CommandRefused(
                "{where}: row {number} of run {run} stood for rows {others} of its account as well ({flag}). Put "
                "all of them into a file and run that as a run of its own",
                where=_row(item),
                number=number,
                run=run.name,
                others=tuple(map(str, carried)),
                flag=setting("shared-accounts"),
            )
        if not self._sets_balance(new):
            return
        first = (await self._journal.first_in_lanes(run, {item.lane})).get(item.lane)
        if first is None or first[1] == item.key:
            return
        # How both rows of the account are entered together.
        (entered,) = await self._journal.items(run, states_where(), after=first[0] - 1, size=1)
        if undo := self._job.undo_of(run.name, entered.payload):
            advice = said(
                "take the balance back ({undo}), put both into a file and run that as a run of its own, with {flag} "
                "sum or last",
                undo=undo,
                flag=setting("shared-accounts"),
            )
        else:
            flags = Remedy(settings=(("again", ""), ("shared-accounts", "")))
            advice = said(
                "put both into a file and run that as a run of its own, with {flags} sum or last", flags=flags
            )
        raise CommandRefused(
            "{where}: its account has its balance from row {number} of run {run}, and this row would replace it. "
            "Leave it out, or {advice}",
            where=_row(item),
            number=first[0],
            run=run.name,
            advice=advice,
        )

    def _sets_balance(self, new: NewItem) -> bool:
        return new.skip_reason is None and self._job.replaces is not None and self._job.replaces(new.payload)

    def _named(self, item: Item) -> tuple[int | None, int | None]:
        """The row's number or the refusal's id, from the file. Raises `CommandRefused` for another run's file."""
        text = "" if self._row is None else item.row[self._row].strip()
        if not text:
            return None, None
        found = _PLACE.fullmatch(text)
        if found is None:
            raise CommandRefused(
                "line {line}, column {column}: {text!r} was {run}/ and a number when it was exported; put it back, "
                "or empty the cell",
                line=str(item.line),
                column=ROW,
                text=printable(text, 40),
                run=self._run.name,
            )
        name, is_refused, number = found.groups()
        if name != self._run.name:
            raise CommandRefused(
                "line {line}: this is a row of run {other}, not of run {run}: continue that one",
                line=str(item.line),
                other=name,
                run=self._run.name,
            )
        return (None, int(number)) if is_refused else (int(number), None)

    def _line_of(self, item: Item) -> int | None:
        """The line number from the file. Raises `CommandRefused` for an invalid one."""
        text = "" if self._line is None else item.row[self._line].strip()
        if text and not _LINE.fullmatch(text):
            raise CommandRefused(
                "line {line}, column {column}: {text!r} was the number of a line when it was exported; put it back, "
                "or empty the cell",
                line=str(item.line),
                column=LINE,
                text=printable(text, 40),
            )
        return int(text) if text else None


def _row(item: Item) -> Said:
    """A row of the corrected file."""
    return said("line {line} ({label})", line=str(item.line), label=printable(item.label, 60))


# ---- `run … --continue RUN` ---------------------------------------------------------------------------------------


async def continue_run(name: str, job: str, rows: Input, told: Invocation, *, again: bool = False) -> Closing:
    """Take the corrected rows of a file into run `name` of that job, and work on the run.

    With `again`, rows are entered on top of what they are like.

    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError`; nothing was sent then and the run is
    unchanged.
    """
    if not rows.file:
        raise CommandRefused(said("--continue takes a file of corrected rows: name it"))
    async with open_existing(await own_journal(told.settings)) as journal:
        run = await journal.run(name)
        await require_content(run, journal)
        if run.job != job:
            raise CommandRefused(
                "run {run} is one of {job}, not of {other}", run=run.name, job=run.job, other=printable(job)
            )
        refuse_ended(run, await journal.totals(run))
        _check(run)
        async with open_session(told, journal, of=run) as opened:
            enter = Repeat.AGAIN if again else how_often(run)
            return await _correct(run, rows, opened.for_run(run), enter)


async def _correct(run: Run, file: Input, session: Session, enter: Repeat) -> Closing:
    journal = session.journal
    # The column mapping of the run's input applies to the file.
    wanted = session.settings.catalogue.of(run)
    parameters = without_own(wanted, parameters_of(wanted, job_parameters(run.parameters)))
    mapping = {**input_of_parameters(run.parameters).mapping, **file.mapping}
    job = build(wanted, session.gateway, parameters, replace(file, mapping=mapping))
    await job.try_out()
    known = await journal.last_number(run)
    async with locked(run, journal, "run --continue", billing=session.billing.health.version) as ours:
        try:
            async with open_journal(plans_beside(journal.path)) as plans:
                await _take_in(ours, file.file, job, plans, session, enter)
        except BaseException:
            # The secrets of rows that were not taken in, unless the run still needs secrets.
            with anyio.CancelScope(shield=True):
                if not (await journal.totals(ours)).count_where(settled=False):
                    await wipe_secrets(ours, journal)
            raise
    return await RunSession(await journal.run(run.name), job, session, fresh=False, known=known).run()


def _check(run: Run) -> None:
    if run.job == UNDO:
        raise CommandRefused("run {run} takes another run back, and has no rows of an input to correct", run=run.name)
    if run.job == IMPORT:
        raise CommandRefused(
            "run {run} is an import, and a corrected file is simply imported; what is there already is left as it "
            "is: {command}",
            run=run.name,
            command=import_again(run, "FILE"),
        )
    if run.stage is not Stage.APPROVED or run.frozen_at is None:
        raise CommandRefused(
            "run {run} has not begun to send: mend the input and run it again, there is nothing to continue",
            run=run.name,
        )


async def _take_in(run: Run, file: str, job: Job, plans: Journal, session: Session, enter: Repeat) -> None:
    """Rehearse the file, show the plan, ask, and save its rows in the run."""
    consent, screen = session.consent, session.screen
    await require_whole(job, file, consent, screen)
    rehearsed = await _rehearse(run, job, plans, session, enter)
    try:
        corrections = Corrections(run, rehearsed, session.journal, plans, job, enter=enter)
        outcome = await corrections.look()
        plan = outcome.plan(await plan_of(rehearsed, job, plans), replace(run, source=rehearsed.source))
        show = screen.say if consent.yes else screen.say_always
        show(preview(plan, session.billing.target, session.journal.name, session.policy_of(run)))
        if plan.bad and not consent.skip_bad:
            why: str = counted(
                "{n} row of {file} cannot be taken: mend it, or leave it out with {flag}.",
                "{n} rows of {file} cannot be taken: mend them, or leave them out with {flag}.",
                plan.bad,
                file=printable(rehearsed.source),
                flag=setting("skip-bad"),
            )
        elif not outcome.corrected:
            why = said(
                "{file} corrects nothing: run {run} has all of its good rows already. {command} shows where they "
                "stand.",
                file=printable(rehearsed.source),
                run=run.name,
                command=command_line("status", run.name),
            )
        elif plan.to_send and not consent.yes:
            why = await _why_not(plan.question, run, file, screen)
        elif plan.look_alikes.rows and enter is not Repeat.AGAIN:
            why = unanswered(plan)
        else:
            why = ""
        if why:
            raise NothingSent(why)
        await corrections.take_in()
    finally:
        await plans.discard(rehearsed)


async def _why_not(question: str, run: Run, file: str, screen: Screen) -> str:
    """Ask whether to send; returns why it is not to be, "" where it is."""
    with screen.keyboard(file) as keyboard:
        if keyboard is None:
            return is_unattended(question, file)
        asked = said("{question} They go into run {run}.", question=question, run=run.name)
        return "" if await screen.agrees_to_send(asked, keyboard) else said("the answer was no")


async def _rehearse(run: Run, job: Job, plans: Journal, session: Session, enter: Repeat) -> Run:
    """Save the rows of the file in a run that is never sent. Raises `CommandRefused` for missing columns."""
    new = await new_run(job, run.parameters, run.target)
    there = {name.strip() for name in new.header}
    if missing := [name for name in run.header if name.strip() not in there]:
        raise CommandRefused(
            "{file} is no export of run {run}: it lacks the column {column!r}. Begin with {command}",
            file=printable(new.source),
            run=run.name,
            column=printable(missing[0]),
            command=command_line("export", run.name),
        )
    foreign = ForeignEntries(job, session.journal, run.target, again=enter is Repeat.AGAIN, own=run.name)
    return await rehearse(job, new, plans, session.screen, foreign=foreign)
