"""`run … --continue RUN`: takes corrected rows into the run that rejected or refused them, and into its totals.

The rows are rehearsed in the journal of plans, shown, confirmed, and only then taken in. An exported file can be used
as input unchanged: its last columns say which row of the run each of its rows corrects.
"""

import re
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import anyio
import anyio.to_thread
from msgspec import structs

from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Correction, Item, NewItem, Page, Refusal, Run, Stage
from checkpoints.sentences import DUPLICATE
from checkpoints.states import State, states_where
from cli.session.journal import locked, open_existing, ourselves, refuse_ended
from cli.session.order import parse_order, plans_beside, wipe_secrets
from cli.session.run_session import RunSession, begin, new_run, plan_of, rehearse, require_consent, require_whole
from cli.session.session import Invocation, Session, open_session, own_journal
from cli.show.closing import Closing, run_again
from cli.show.files import columns_of
from cli.show.preview import all_the_same, preview
from cli.terminal.exits import CommandRefused, NothingSent
from cli.terminal.texts import LANGUAGES, WHOLE, printable
from engine.job import Job
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Repeat, judge_for
from jobs.accounts import settle
from jobs.job import build
from jobs.rows.input import REPEAT, Input, how_often, input_of_parameters, job_parameters
from jobs.runs import refuse_half_undone, require_content
from jobs.spec.parameters import DIGEST
from jobs.spec.spec import parameters_of, without_own
from jobs.spec.words import IMPORT, SAMPLE, SINCE, UNDO
from texts.said import Said, command_line, counted, in_lines, said, setting

# ---- matching the rows of a corrected file to the rows of a run ---------------------------------------------------


_PLACE: Final = re.compile(r"([a-z0-9]+)/(r?)([0-9]{1,18})")
_LINE: Final = re.compile(r"[0-9]{1,9}")
THERE: Final = said("in the run already")


class Corrections:
    """Takes the rows of a rehearsed file into a run: each replaces one rejected or refused row."""

    def __init__(
        self, run: Run, rehearsed: Run, journal: Journal, plans: Journal, job: Job, *, enter: Repeat
    ) -> None:
        self._run, self._rehearsed, self._journal, self._plans, self._job = run, rehearsed, journal, plans, job
        self.judge = judge_for(run, job.effect, enter)
        # The position of each column; the first of several with the same name.
        self._places = {name.strip(): place for place, name in reversed(list(enumerate(rehearsed.header)))}
        # Whoever has exported it, in either language.
        self._row, self._line = ({columns_of(run, language)[place] for language in LANGUAGES} for place in range(2))
        self.corrected = 0
        self._same: dict[str, bool] = {}

    async def look(self, seen: Run) -> None:
        """Match all rows, and check them against everything entered before.

        The list `seen`, of a run that is never sent, gets them as the run would take them in: by line of the file.
        """
        lines, balances = dict[tuple[int | None, int | None], int | None](), dict[str, Item]()
        skipped, after = list[NewItem](), 0

        async def note(items: Iterable[NewItem], refusals: Iterable[Refusal]) -> None:
            await self._plans.freeze(seen, Page(tuple(items), tuple(refusals), None), lambda item, _: item)

        while refused := await self._plans.refusals(self._rehearsed, after=after):
            await note((), (one for _, one in refused))
            after = refused[-1][0]
        async for page in self.pages(lambda item, why: skipped.append(_new(item, item.line, item.row, why))):
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
                        "out, or put both into a file and run that as a run of its own, with --shared-accounts sum "
                        "or last",
                        first=_row(other),
                        second=_row(item),
                    )
            judged = await self._journal.judged(self._run, [one.item for one, _ in page], self.judge)
            verdicts = [structs.replace(one, line=item.line) for (_, item), one in zip(page, judged, strict=True)]
            taken = [one for one in verdicts if isinstance(one, NewItem)]
            await note((*skipped, *taken), (one for one in verdicts if isinstance(one, Refusal)))
            self.corrected += len(taken)
            skipped.clear()

    async def pages(self, skip: Callable[[Item, str], None]) -> AsyncIterator[list[tuple[Correction, Item]]]:
        """The corrections, each with its row of the file; `skip` gets the rows that the run already has."""
        async for page in self._plans.each_page(self._rehearsed, {State.PENDING, State.SKIPPED}):
            corrections: list[tuple[Correction, Item]] = []
            for item in page:
                if item.message and item.kind == DUPLICATE:
                    skip(item, item.message)
                elif (one := await self._correction(item)) is None:
                    skip(item, THERE)
                else:
                    corrections.append((one, item))
            yield corrections

    async def _correction(self, item: Item) -> Correction | None:
        """The correction that a row makes; None when the run already has the row."""
        place, line = self._cell(item, self._row, _PLACE), self._cell(item, self._line, _LINE)
        cells = tuple(item.row[self._places[name.strip()]] for name in self._run.header)
        new = _new(item, int(line[0]) if line else None, cells, item.message if item.state is State.SKIPPED else None)
        number, refusal_id = None, None
        if place is not None:
            name, is_refused, digits = place.groups()
            if name == self._run.name:
                number, refusal_id = (None, int(digits)) if is_refused else (int(digits), None)
            elif not (is_refused and await self._has_only_read_the_same(name)):
                raise CommandRefused(
                    "line {line}: this is a row of run {other}, not of run {run}: continue that one",
                    line=str(item.line),
                    other=name,
                    run=self._run.name,
                )
        await self._refuse_shared(item, new, number)
        if number is not None:
            named = await self._journal.items(self._run, {State.REJECTED}, after=number - 1, size=1)
            if named and named[0].number == number:
                return Correction(new, number=number)
        elif refusal_id or new.line:
            refused = await self._journal.find_refusal(self._run, refusal_id=refusal_id, line=new.line)
            if refused and not refused[1]:
                return Correction(new, refusal_id=refused[0])
        same = [one for one in await self._journal.find(self._run, item.key) if one.key == item.key]
        standing = [one for one in same if not one.state.rejected]
        if any(one.amount == item.amount for one in standing):
            return None
        rejected = [one for one in same if one.state is State.REJECTED]
        if rejected and not standing:
            return Correction(new, number=rejected[-1].number)
        if self._row.isdisjoint(self._places):
            raise CommandRefused(
                "{row}: nothing says which refused row of run {run} it corrects, as the file has no column {column}: "
                "leave the columns of the export in it",
                row=_row(item),
                run=self._run.name,
                column=columns_of(self._run)[0],
            )
        raise CommandRefused(
            "{row} corrects no row of run {run}: there is no rejected or refused row like it, or it was corrected "
            "before by another one. New rows go into a run of their own",
            row=_row(item),
            run=self._run.name,
        )

    async def _has_only_read_the_same(self, name: str) -> bool:
        """Whether a plan, or a run that was given up, has refused rows of this very input: their lines count."""
        if name not in self._same:
            self._same[name] = False
            for journal in (self._journal, self._plans):
                with suppress(NoSuchRun):
                    other = await journal.run(name)
                    is_same = bool(other.source_digest) and other.source_digest == self._run.source_digest
                    self._same[name] = is_same and other.job == self._run.job and other.approved_at is None
        return self._same[name]

    async def _refuse_shared(self, item: Item, new: NewItem, number: int | None) -> None:
        """Raise for a row that stands for several rows of an account, or that replaces a value set by one of them."""
        run = self._run
        if number is not None and (carried := await self._journal.carried(run, number)):
            raise CommandRefused(
                "{where}: row {number} of run {run} stood for rows {others} of its account as well "
                "(--shared-accounts). Put all of them into a file and run that as a run of its own",
                where=_row(item),
                number=number,
                run=run.name,
                others=tuple(map(str, carried)),
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
                "take the balance back ({undo}), put both into a file and run that as a run of its own, with "
                "--shared-accounts sum or last",
                undo=undo,
            )
        else:
            flags = f"{setting('again')} {setting('shared-accounts')}"
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

    def _cell(self, item: Item, names: Collection[str], pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What a cell of the export says, None for an empty one. Raises `CommandRefused` for one that was changed."""
        column = next((name for name in names if name in self._places), "")
        text = item.row[self._places[column]].strip() if column else ""
        found = pattern.fullmatch(text)
        if not text or found:
            return found
        raise CommandRefused(
            "line {line}, column {column}: {text!r} was {what} when it was exported; put it back, or empty the cell",
            line=str(item.line),
            column=column,
            text=printable(text, 40),
            what=said("the number of a line")
            if pattern is _LINE
            else said("{run}/ and a number", run=self._run.name),
        )


def _new(item: Item, line: int | None, row: tuple[str, ...], skip_reason: str | None) -> NewItem:
    """A row of the file as it is taken in."""
    of_item = (item.key, item.label, item.lane, item.payload, item.amount)
    note = item.message if item.state is State.PENDING else None
    return NewItem(*of_item, line=line, row=row, skip_reason=skip_reason, note=note)


def _row(item: Item) -> Said:
    return said("line {line} ({label})", line=str(item.line), label=printable(item.label, 60))


# ---- `run … --continue RUN` ---------------------------------------------------------------------------------------


async def continue_run(name: str, job: str, rows: Input, told: Invocation, *, again: bool = False) -> Closing:
    """Take the corrected rows of a file into run `name`, on top of what they are like with `again`, and send them."""
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
        if run.job == UNDO:
            raise CommandRefused(
                "run {run} takes another run back, and has no rows of an input to correct", run=run.name
            )
        if SINCE in run.parameters:
            raise CommandRefused(
                "run {run} is a delta, and a corrected file is simply entered as one; what is entered already is "
                "taken off: {command}",
                run=run.name,
                command=run_again(run, "FILE"),
            )
        if run.stage is not Stage.APPROVED or run.frozen_at is None:
            if not (command := run_again(run)):
                raise CommandRefused(
                    "run {run} has not begun to send: mend the input and run it again, there is nothing to continue",
                    run=run.name,
                )
            raise CommandRefused(
                "run {run} has sent nothing: there is nothing to continue. Mend its input and run it again, or send "
                "its good rows first and continue that run with this file:\n{command}",
                run=run.name,
                command=f"{command} --skip-bad",
            )
        if run.job == IMPORT:
            # What is there already is left as it is: the corrected rows are imported in the same way.
            kept = job_parameters(run.parameters).items()
            # Its dictionary and its other tables may have been corrected as well.
            given = {name: value for name, value in kept if name != SAMPLE and not name.endswith(DIGEST)}
            told_before = replace(rows, mapping=input_of_parameters(run.parameters).mapping)
            catalogue = told.settings.catalogue
            order = parse_order(IMPORT, told_before, given, catalogue, Repeat.AGAIN if again else how_often(run))
            return await begin(order, told)
        async with open_session(told, journal, of=run) as opened:
            session, enter = opened.for_run(run), Repeat.AGAIN if again else how_often(run)
            # The column mapping of the run's input applies to the file.
            wanted = session.settings.catalogue.of(run)
            parameters = without_own(wanted, parameters_of(wanted, job_parameters(run.parameters)))
            mapping = {**input_of_parameters(run.parameters).mapping, **rows.mapping}
            to_send = build(wanted, session.gateway, parameters, replace(rows, mapping=mapping))
            await to_send.try_out()
            known = await journal.last_number(run)
            async with locked(run, journal, "run --continue", billing=session.billing.health.version) as ours:
                try:
                    async with open_journal(plans_beside(journal.path)) as plans:
                        await _take_in(ours, rows.file, to_send, plans, session, enter)
                except BaseException:
                    # The secrets of rows that were not taken in, unless the run still needs secrets.
                    with anyio.CancelScope(shield=True):
                        if not (await journal.totals(ours)).count_where(settled=False):
                            await wipe_secrets(ours, journal)
                    raise
            return await RunSession(await journal.run(run.name), to_send, session, fresh=False, known=known).run()


async def _take_in(run: Run, file: str, job: Job, plans: Journal, session: Session, enter: Repeat) -> None:
    """Rehearse the rows of the file in a run that is never sent, show and confirm them, and save them in the run."""
    consent, screen = session.consent, session.screen
    await require_whole(job, file, consent, screen)
    new = await new_run(job, {**run.parameters, REPEAT: enter.value}, run.target)
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
    rehearsed = await rehearse(foreign, job, new, plans, screen, Repeat.AGAIN, None)
    seen = await plans.create_run(new)
    try:
        await refuse_half_undone(rehearsed, plans, session.journal)
        await settle(rehearsed, plans, session.gateway.profile, None, session.journal)
        corrections = Corrections(run, rehearsed, session.journal, plans, job, enter=enter)
        await corrections.look(seen)
        plan = await plan_of(seen, job, plans, session.journal)
        plan = replace(plan, run=replace(run, source=rehearsed.source))
        show = screen.say if consent.yes else screen.say_always
        show(preview(plan, session.billing.target, session.journal.name, session.policy_of(run)))
        if plan.bad and not consent.skip_bad:
            why = counted(
                "{n} row[s] of {file} [is|are] refused: mend [it|them], or leave [it|them] out with --skip-bad.",
                plan.bad,
                file=printable(rehearsed.source),
            )
            if plan.on_request and enter is not Repeat.AGAIN:
                why = in_lines([why, all_the_same(sys.argv[1:], plan)])
            raise NothingSent(why)
        if not corrections.corrected:
            nothing = said("all of its rows are refused.")
            if plan.totals.frozen:
                nothing = said(
                    "run {run} has all of its good rows already. {command} shows where they stand.",
                    run=run.name,
                    command=command_line("status", run.name),
                )
            raise NothingSent("{file} corrects nothing: {why}", file=printable(rehearsed.source), why=nothing)
        if plan.to_send:
            question = plan.question(session.billing.target)
            asked = said("{question} They go into run {run}.", question=question, run=run.name)
            await require_consent(plan, asked, file, session, again=enter is Repeat.AGAIN)
        given, digest = f"run --continue {printable(file, WHOLE)}", said("SHA-256 {digest}", digest=new.source_digest)
        await session.journal.history.note_command(run, ourselves(), given, digest)
        # Page by page; after a kill, the same file adds the missing ones.
        async for page in corrections.pages(lambda *_: None):
            await session.journal.correct(run, [one for one, _ in page], corrections.judge)
    finally:
        await plans.discard(rehearsed)
        await plans.discard(seen)
