"""`run … --continue RUN`: corrected rows go into the run that has rejected or refused them, and into its totals.

They are rehearsed first, in a journal of plans beside the real one: shown, agreed to, and only then taken in. An
exported file is the next input as it is: its last columns say which row of the run each of its rows corrects.
"""

from collections.abc import Mapping
from dataclasses import replace

import anyio
import anyio.to_thread

from checkpoints.errors import RunHeld
from checkpoints.journal import Journal, open_journal
from checkpoints.records import NewRun, Run, Stage
from cli.session.cleanup import wipe_secrets
from cli.session.corrections import CorrectionResult, Corrections
from cli.session.order import run_is_busy
from cli.session.plans import plans_beside
from cli.session.run_session import RunSession, SessionMeans
from cli.session.session import (
    OpenRecorder,
    check_target,
    how_often,
    open_billing,
    open_existing,
    policy_of,
    vault_of,
    with_vault,
)
from cli.settings.flags import Consent
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.show.preview import PreviewFacts, plan_of, preview, tell_notes
from cli.show.progress import show_intake
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Screen, is_unattended
from cli.terminal.texts import PROGRAM, markup_safe, printable, rows
from engine.job import Job
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Intake, Repeat
from engine.pipeline.progress import Progress
from jobs.catalogue.catalogue import JOBS, job_of
from jobs.job import build
from jobs.rows.input import Input, input_of_parameters, job_parameters
from jobs.spec.spec import parameters_of
from jobs.spec.statements import without_own


async def correct_run(name: str, file: Input, settings: Settings, means: SessionMeans) -> Closing:
    """Take the corrected rows of `file` into run `name`, and take the run as far as it goes.

    Raises `CommandRefused` when the rows cannot be taken: nothing was sent then, and the run is as it was.
    """
    run = await means.journal.run(name)
    _check(run, settings)
    means.billing.services.rate.per_second = policy_of(run, means.said).rate
    job = _job_of(run, file, means)
    await job.try_out()
    known = await means.journal.last_number(run)
    try:
        async with means.journal.taken_up(run) as run:
            try:
                async with open_journal(plans_beside(means.journal.path)) as plans:
                    await _take_in(run, file.file, job, plans, means)
            except BaseException:
                await _forget_unsent(run, means.journal)
                raise
    except RunHeld as error:
        raise await run_is_busy(run, means.journal, error) from error
    return await RunSession(await means.journal.run(name), job, means, fresh=False, known=known).go()


async def _forget_unsent(run: Run, journal: Journal) -> None:
    """Wipe the secrets of rows that were not taken in, unless the run has others to send yet."""
    with anyio.CancelScope(shield=True):
        if not (await journal.totals(run)).count_where(settled=False):
            await wipe_secrets(run, journal)


def _check(run: Run, settings: Settings) -> None:
    check_target(run, settings)
    if run.job not in JOBS:
        raise CommandRefused(f"run {run.name} takes another run back, and has no rows of an input to correct")
    if run.stage is not Stage.APPROVED or run.frozen_at is None:
        raise CommandRefused(
            f"run {run.name} has not begun to send: mend the input and run it again, there is nothing to continue"
        )


def _job_of(run: Run, file: Input, means: SessionMeans) -> Job:
    """The run's own job, with the file as its rows; what the run's input was mapped to holds for the file too."""
    wanted = job_of(run)
    parameters = without_own(wanted, parameters_of(wanted, job_parameters(run.parameters)))
    mapping = {**input_of_parameters(run.parameters).mapping, **file.mapping}
    return build(wanted, means.billing.services, parameters, replace(file, mapping=mapping))


async def _take_in(run: Run, file: str, job: Job, plans: Journal, means: SessionMeans) -> None:
    """Rehearse the file, show it, ask, and freeze its rows into the run."""
    rehearsed = await _rehearsed(run, job, plans, means)
    try:
        corrections = Corrections(run, rehearsed, means.journal, plans, job, enter=how_often(run))
        outcome = await corrections.look()
        plan = outcome.plan(await plan_of(rehearsed, job, plans), replace(run, source=rehearsed.source))
        show = means.screen.say if means.consent.yes else means.screen.insist
        show(preview(plan, means.billing.target, means.journal.path, policy_of(run, means.said)))
        _require_something(plan, outcome, means)
        if plan.to_send and not means.consent.yes:
            await _ask(plan.question, run, file, means)
        await corrections.take_in()
    finally:
        await plans.discard(rehearsed)


def _require_something(plan: PreviewFacts, outcome: CorrectionResult, means: SessionMeans) -> None:
    """Refuse a file with rows that cannot be taken, and one that has nothing new."""
    bad = plan.totals.refused + plan.duplicates
    file, run = printable(plan.run.source), plan.run.name
    if bad and not means.consent.skip_bad:
        raise CommandRefused(
            f"{rows(bad)} of {file} cannot be taken: mend them, or leave them out with --skip-bad.\nNothing was sent."
        )
    if not outcome.corrected:
        raise CommandRefused(
            f"{file} corrects nothing: run {run} has all of its good rows already. {PROGRAM} status {run} shows "
            "where they stand.\nNothing was sent."
        )


async def _ask(question: str, run: Run, file: str, means: SessionMeans) -> None:
    with means.screen.keyboard(file) as keyboard:
        if keyboard is None:
            raise CommandRefused(f"{is_unattended(question, file)}.\nNothing was sent.")
        if not await means.screen.agrees(
            f"\n[bold]{markup_safe(question)} They go into run {run.name}.[/]", keyboard
        ):
            raise CommandRefused("the answer was no\nNothing was sent.")


async def _rehearsed(run: Run, job: Job, plans: Journal, means: SessionMeans) -> Run:
    source = await anyio.to_thread.run_sync(lambda: job.source)
    digest, header = await anyio.to_thread.run_sync(lambda: (source.digest, source.header))
    there = {name.strip() for name in header}
    missing = [name for name in run.header if name.strip() not in there]
    if missing:
        raise CommandRefused(
            f"{printable(source.name)} is no export of run {run.name}: it lacks the column "
            f"{printable(missing[0])!r}. "
            f"Begin with {PROGRAM} export {run.name}"
        )
    rehearsed = await plans.create_run(NewRun(run.job, run.parameters, run.target, source.name, digest, header))
    progress = Progress()
    again = job.effect.repeatable or how_often(run) is Repeat.AGAIN
    foreign = ForeignEntries(job, means.journal.known_marks, run.target, again=again)
    try:
        async with show_intake(progress, means.screen, source.name):
            await Intake(rehearsed, job, plans, progress, enter=Repeat.AGAIN, foreign=foreign).freeze_all()
        await tell_notes(source, means.screen)
    except BaseException:
        await plans.discard(rehearsed)
        raise
    return await plans.run(rehearsed.name)


async def continue_run(  # noqa: PLR0913, PLR0917 - what the command line says, a thing each
    name: str,
    job: str,
    rows: Input,
    settings: Settings,
    said: Mapping[str, str],
    consent: Consent,
    screen: Screen,
    *,
    record: OpenRecorder | None = None,
) -> Closing:
    """Take corrected rows into the run that they belong to, and take it as far as it goes.

    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError`; nothing was sent then.
    """
    if not rows.file:
        raise CommandRefused("--continue takes a file of corrected rows: name it")
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        if run.job != job:
            raise CommandRefused(f"run {run.name} is one of {run.job}, not of {printable(job)}")
        async with open_billing(settings, record) as opened:
            billing = with_vault(opened, vault_of(run, journal))
            return await correct_run(name, rows, settings, SessionMeans(billing, journal, said, consent, screen))
