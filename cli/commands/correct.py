"""`run … --continue RUN`: takes corrected rows into the run that rejected or refused them, and into its totals.

The rows are rehearsed in the journal of plans, shown, confirmed, and only then taken in. An exported file can be used
as input unchanged: its last columns say which row of the run each of its rows corrects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
import anyio.to_thread

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run, Stage
from cli.session.corrections import CorrectionResult, Corrections
from cli.session.events import OpenReader
from cli.session.journal import locked, open_existing, refuse_ended, require_content
from cli.session.last_line import require_whole
from cli.session.plans import plans_beside
from cli.session.run_session import RunSession
from cli.session.session import OpenRecorder, Session, how_often, open_session, own_journal
from cli.session.start import new_run, rehearse
from cli.session.vaults import wipe_secrets
from cli.settings.flags import Consent
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.show.preview import PreviewFacts, plan_of, preview, unanswered
from cli.show.steps import import_again
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Screen, is_unattended
from cli.terminal.texts import printable
from engine.job import Job
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Repeat
from jobs.job import build
from jobs.rows.input import Input, input_of_parameters, job_parameters
from jobs.spec.import_words import IMPORT
from jobs.spec.spec import parameters_of, without_own
from jobs.spec.undo_words import UNDO
from texts.remedies import command_line, setting
from texts.said import counted, said


async def continue_run(  # noqa: PLR0913, PLR0917 - one parameter for each part of the command line
    name: str,
    job: str,
    rows: Input,
    settings: Settings,
    pacing: Mapping[str, str],
    consent: Consent,
    screen: Screen,
    *,
    again: bool = False,
    record: OpenRecorder | None = None,
    readers: Sequence[OpenReader] = (),
) -> Closing:
    """Take the corrected rows of a file into run `name` of that job, and work on the run.

    With `again`, rows are entered on top of what they are like.

    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError`; nothing was sent then and the run is
    unchanged.
    """
    if not rows.file:
        raise CommandRefused(said("--continue takes a file of corrected rows: name it"))
    async with open_existing(await own_journal(settings)) as journal:
        run = await journal.run(name)
        await require_content(run, journal)
        if run.job != job:
            raise CommandRefused(
                said("run {run} is one of {job}, not of {other}", run=run.name, job=run.job, other=printable(job))
            )
        refuse_ended(run, await journal.totals(run))
        _check(run)
        async with open_session(
            settings, screen, journal, of=run, pacing=pacing, consent=consent, record=record
        ) as opened:
            enter = Repeat.AGAIN if again else how_often(run)
            return await _correct(run, rows, replace(opened.for_run(run), readers=readers), enter)


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
