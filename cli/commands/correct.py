"""`run … --continue RUN`: takes corrected rows into the run that rejected or refused them, and into its totals.

The rows are rehearsed in the journal of plans, shown, confirmed, and only then taken in. An exported file can be used
as input unchanged: its last columns say which row of the run each of its rows corrects.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
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
from cli.show.closing import MAX_REFUSALS_SHOWN, Closing
from cli.show.preview import PreviewFacts, plan_of, preview, unanswered
from cli.show.steps import import_again
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import is_unattended
from cli.terminal.texts import printable
from engine.job import Job
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Repeat, judge_for
from engine.sources.exported import LINE, ROW
from jobs.job import build
from jobs.rows.input import Input, input_of_parameters, job_parameters
from jobs.spec.import_words import IMPORT
from jobs.spec.spec import parameters_of, without_own
from jobs.spec.undo_words import UNDO
from texts.remedies import Remedy, command_line, setting
from texts.said import Said, counted, in_clauses, kind_of, said

# ---- matching the rows of a corrected file to the rows of a run ---------------------------------------------------


_PLACE: Final = re.compile(r"([a-z0-9]+)/(r?)([0-9]{1,18})")
_LINE: Final = re.compile(r"[0-9]{1,9}")
_NO_LOOK_ALIKE: Final = Reason("", 0, Decimal(0), None, "", "")
THERE: Final = said("in the run already")


@dataclass(slots=True)
class CorrectionResult:
    """The planned result for the rows of a file: counts, sums, and the first rows left out, with the reason.

    `corrected` counts rows that replace others, whether they are sent or skipped.
    """

    to_send: int = 0
    sum: Decimal = Decimal(0)
    skipped: int = 0
    skipped_sum: Decimal = Decimal(0)
    corrected: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    reasons: dict[str, Reason] = field(default_factory=dict)
    look_alikes: list[Item] = field(default_factory=list)
    look_alike: Reason = _NO_LOOK_ALIKE

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
        self.to_send += 1
        self.sum += verdict.amount or 0
        if verdict.note is not None:
            looks = msgspec.structs.replace(row, message=in_clauses([verdict.note]))
            self.look_alikes += [looks][: max(MAX_REFUSALS_SHOWN - len(self.look_alikes), 0)]
            seen = self.look_alike
            self.look_alike = replace(seen, items=seen.items + 1, amount=seen.amount + (verdict.amount or 0))

    def skip(self, row: NewItem | Item, why: str) -> None:
        """Count one row that is not sent."""
        self.skipped += 1
        self.skipped_sum += row.amount or 0
        kind = kind_of(why)
        known = self.reasons.get(kind) or Reason(kind, 0, Decimal(0), row.line, row.label, why)
        amount = known.amount + (row.amount or 0)
        self.reasons[kind] = Reason(kind, known.items + 1, amount, known.line, known.label, known.example)

    def plan(self, rehearsed: PreviewFacts, run: Run) -> PreviewFacts:
        """The plan of the rehearsed file, restated for the run that takes the rows."""
        return replace(
            rehearsed,
            run=run,
            totals=Totals(
                {State.PENDING: self.to_send, State.SKIPPED: self.skipped},
                {State.PENDING: self.sum, State.SKIPPED: self.skipped_sum},
                rehearsed.totals.refused + self.refused,
            ),
            skipped=list(self.reasons.values()),
            look_alikes=[self.look_alike] if self.look_alike.items else [],
            first_look_alikes=self.look_alikes,
            refusals=[*rehearsed.refusals, *self.refusals][:MAX_REFUSALS_SHOWN],
        )


class Corrections:
    """Takes the rows of a rehearsed file into a run: each replaces one rejected or refused row."""

    def __init__(
        self, run: Run, rehearsed: Run, journal: Journal, plans: Journal, job: Job, *, enter: Repeat
    ) -> None:
        self._run = run
        self._rehearsed = rehearsed
        self._journal = journal
        self._plans = plans
        self._job = job
        self._judge = judge_for(run, job.effect, enter)
        self._places = _places(rehearsed.header)
        own = columns_of(run)
        self._row, self._line = self._places.get(own[0]), self._places.get(own[1])

    async def look(self) -> CorrectionResult:
        """Match all rows, and check them against everything entered before; nothing is written.

        Raises `CommandRefused` when a row matches no row that can be corrected, or two match the same one.
        """
        outcome, lines = CorrectionResult(), dict[tuple[int | None, int | None], int | None]()
        async for page in self._pages(outcome):
            for one, item in page:
                place = (one.number, one.refusal_id)
                if place in lines:
                    raise CommandRefused(
                        said(
                            "lines {first} and {second} are both corrections of one row of run {run}: leave one in",
                            first=str(lines[place]),
                            second=str(item.line),
                            run=self._run.name,
                        )
                    )
                lines[place] = item.line
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

    async def _refuse_shared(self, item: Item, new: NewItem, number: int | None) -> None:
        """Raise for a row that stands for several rows of an account, or that replaces a value set by one of them."""
        where = _row(item)
        if number is not None and (carried := await self._journal.carried(self._run, number)):
            raise CommandRefused(
                said(
                    "{where}: row {number} of run {run} stood for rows {others} of its account as well ({flag}). Put "
                    "all of them into a file and run that as a run of its own",
                    where=where,
                    number=number,
                    run=self._run.name,
                    others=tuple(map(str, carried)),
                    flag=setting("shared-accounts"),
                )
            )
        if self._job.replaces is None or not self._job.replaces(new.payload):
            return
        first = (await self._journal.first_in_lanes(self._run, {item.lane})).get(item.lane)
        if first is not None and first[1] != item.key:
            raise CommandRefused(
                said(
                    "{where}: its account has its balance from row {number} of run {run}, and this row would replace "
                    "it. Leave it out, or {advice}",
                    where=where,
                    number=first[0],
                    run=self._run.name,
                    advice=await self._both_anew(first[0]),
                )
            )

    async def _both_anew(self, number: int) -> Said:
        """How a row of the run is entered together with another of its account."""
        (first,) = await self._journal.items(self._run, states_where(), after=number - 1, size=1)
        undo = self._job.undo_of(self._run.name, first.payload)
        if undo is None:
            flags = Remedy(settings=(("again", ""), ("shared-accounts", "")))
            return said(
                "put both into a file and run that as a run of its own, with {flags} sum or last", flags=flags
            )
        return said(
            "take the balance back ({undo}), put both into a file and run that as a run of its own, with {flag} sum "
            "or last",
            undo=undo,
            flag=setting("shared-accounts"),
        )

    async def _correction(self, item: Item) -> Correction | None:
        """The correction that a row makes; None when the run already has the row."""
        line = self._line_of(item)
        new = self._new(item, line)
        number, refusal_id = self._named(item)
        await self._refuse_shared(item, new, number)
        if number is not None and await self._is_rejected(number):
            return Correction(new, number=number)
        if number is None and (refusal_id or line):
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
            said(
                "{row} corrects no row of run {run}: there is no rejected or refused row like it, or it was "
                "corrected before by another one. New rows go into a run of their own",
                row=_row(item),
                run=self._run.name,
            )
        )

    def _new(self, item: Item, line: int | None) -> NewItem:
        cells = tuple(item.row[self._places[name.strip()]] for name in self._run.header)
        return NewItem(
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

    def _named(self, item: Item) -> tuple[int | None, int | None]:
        """The row's number or the refusal's id, from the file. Raises `CommandRefused` for another run's file."""
        text = "" if self._row is None else item.row[self._row].strip()
        if not text:
            return None, None
        found = _PLACE.fullmatch(text)
        if found is None:
            raise CommandRefused(
                said(
                    "line {line}, column {column}: {text!r} was {run}/ and a number when it was exported; put it "
                    "back, or empty the cell",
                    line=str(item.line),
                    column=ROW,
                    text=printable(text, 40),
                    run=self._run.name,
                )
            )
        name, is_refused, number = found.groups()
        if name != self._run.name:
            raise CommandRefused(
                said(
                    "line {line}: this is a row of run {other}, not of run {run}: continue that one",
                    line=str(item.line),
                    other=name,
                    run=self._run.name,
                )
            )
        return (None, int(number)) if is_refused else (int(number), None)

    def _line_of(self, item: Item) -> int | None:
        """The line number from the file. Raises `CommandRefused` for an invalid one."""
        text = "" if self._line is None else item.row[self._line].strip()
        if text and not _LINE.fullmatch(text):
            raise CommandRefused(
                said(
                    "line {line}, column {column}: {text!r} was the number of a line when it was exported; put it "
                    "back, or empty the cell",
                    line=str(item.line),
                    column=LINE,
                    text=printable(text, 40),
                )
            )
        return int(text) if text else None

    async def _is_rejected(self, number: int) -> bool:
        found = await self._journal.items(self._run, {State.REJECTED}, after=number - 1, size=1)
        return bool(found) and found[0].number == number


def _row(item: Item) -> Said:
    """A row of the corrected file."""
    return said("line {line} ({label})", line=str(item.line), label=printable(item.label, 60))


def _places(header: Sequence[str]) -> Mapping[str, int]:
    """The position of each column; the first of several with the same name."""
    return {name.strip(): place for place, name in reversed(list(enumerate(header)))}


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
                said("run {run} is one of {job}, not of {other}", run=run.name, job=run.job, other=printable(job))
            )
        refuse_ended(run, await journal.totals(run))
        _check(run)
        async with open_session(told, journal, of=run) as opened:
            enter = Repeat.AGAIN if again else how_often(run)
            return await _correct(run, rows, opened.for_run(run), enter)


async def _correct(run: Run, file: Input, session: Session, enter: Repeat) -> Closing:
    journal = session.journal
    job = _job_of(run, file, session)
    await job.try_out()
    known = await journal.last_number(run)
    async with locked(run, journal, "run --continue", billing=session.billing.health.version) as ours:
        try:
            async with open_journal(plans_beside(journal.path)) as plans:
                await _take_in(ours, file.file, job, plans, session, enter)
        except BaseException:
            await _wipe_unsent(ours, journal)
            raise
    return await RunSession(await journal.run(run.name), job, session, fresh=False, known=known).run()


async def _wipe_unsent(run: Run, journal: Journal) -> None:
    """Wipe the secrets of rows that were not taken in, unless the run still needs secrets."""
    with anyio.CancelScope(shield=True):
        if not (await journal.totals(run)).count_where(settled=False):
            await wipe_secrets(run, journal)


def _check(run: Run) -> None:
    if run.job == UNDO:
        raise CommandRefused(
            said("run {run} takes another run back, and has no rows of an input to correct", run=run.name)
        )
    if run.job == IMPORT:
        raise CommandRefused(
            said(
                "run {run} is an import, and a corrected file is simply imported; what is there already is left as "
                "it is: {command}",
                run=run.name,
                command=import_again(run, "FILE"),
            )
        )
    if run.stage is not Stage.APPROVED or run.frozen_at is None:
        raise CommandRefused(
            said(
                "run {run} has not begun to send: mend the input and run it again, there is nothing to continue",
                run=run.name,
            )
        )


def _job_of(run: Run, file: Input, session: Session) -> Job:
    """The run's job with the file as its source; the column mapping of the run's input applies to the file."""
    wanted = session.settings.catalogue.of(run)
    parameters = without_own(wanted, parameters_of(wanted, job_parameters(run.parameters)))
    mapping = {**input_of_parameters(run.parameters).mapping, **file.mapping}
    return build(wanted, session.gateway, parameters, replace(file, mapping=mapping))


async def _take_in(run: Run, file: str, job: Job, plans: Journal, session: Session, enter: Repeat) -> None:
    """Rehearse the file, show the plan, ask, and save its rows in the run."""
    await require_whole(job, file, session.consent, session.screen)
    rehearsed = await _rehearse(run, job, plans, session, enter)
    try:
        corrections = Corrections(run, rehearsed, session.journal, plans, job, enter=enter)
        outcome = await corrections.look()
        plan = outcome.plan(await plan_of(rehearsed, job, plans), replace(run, source=rehearsed.source))
        show = session.screen.say if session.consent.yes else session.screen.say_always
        show(preview(plan, session.billing.target, session.journal.name, session.policy_of(run)))
        _require_something(plan, outcome, session)
        if plan.to_send and not session.consent.yes:
            await _ask(plan.question, run, file, session)
        elif plan.look_alike_rows and enter is not Repeat.AGAIN:
            raise CommandRefused(said("{why}.\nNothing was sent.", why=unanswered(plan)))
        await corrections.take_in()
    finally:
        await plans.discard(rehearsed)


def _require_something(plan: PreviewFacts, outcome: CorrectionResult, session: Session) -> None:
    """Refuse a file with rows that cannot be taken in, and a file without new rows."""
    bad = plan.totals.refused + plan.duplicates
    file, run = printable(plan.run.source), plan.run.name
    if bad and not session.consent.skip_bad:
        raise CommandRefused(
            counted(
                "{n} row of {file} cannot be taken: mend it, or leave it out with {flag}.\nNothing was sent.",
                "{n} rows of {file} cannot be taken: mend them, or leave them out with {flag}.\nNothing was sent.",
                bad,
                file=file,
                flag=setting("skip-bad"),
            )
        )
    if not outcome.corrected:
        raise CommandRefused(
            said(
                "{file} corrects nothing: run {run} has all of its good rows already. {command} shows where they "
                "stand.\nNothing was sent.",
                file=file,
                run=run,
                command=command_line("status", run),
            )
        )


async def _ask(question: str, run: Run, file: str, session: Session) -> None:
    with session.screen.keyboard(file) as keyboard:
        if keyboard is None:
            raise CommandRefused(said("{why}.\nNothing was sent.", why=is_unattended(question, file)))
        if not await session.screen.agrees_to_send(
            said("{question} They go into run {run}.", question=question, run=run.name), keyboard
        ):
            raise CommandRefused(said("the answer was no\nNothing was sent."))


async def _rehearse(run: Run, job: Job, plans: Journal, session: Session, enter: Repeat) -> Run:
    """Save the rows of the file in a run that is never sent. Raises `CommandRefused` for missing columns."""
    new = await new_run(job, run.parameters, run.target)
    there = {name.strip() for name in new.header}
    missing = [name for name in run.header if name.strip() not in there]
    if missing:
        raise CommandRefused(
            said(
                "{file} is no export of run {run}: it lacks the column {column!r}. Begin with {command}",
                file=printable(new.source),
                run=run.name,
                column=printable(missing[0]),
                command=command_line("export", run.name),
            )
        )
    foreign = ForeignEntries(job, session.journal, run.target, again=enter is Repeat.AGAIN, own=run.name)
    return await rehearse(job, new, plans, session.screen, foreign=foreign)
