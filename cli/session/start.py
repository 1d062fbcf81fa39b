"""Start of a run: an order becomes a run in the journal, which is then worked on.

Order ──▶ files checked ──▶ session open ──▶ job built ──▶ collisions ──▶ run in the journal ──▶ RunSession
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import anyio.to_thread
import structlog

from checkpoints.errors import RunHeld
from checkpoints.journal import Journal
from checkpoints.records import NewRun, Run
from cli.output.answer_files import checked
from cli.session.events import OpenReader
from cli.session.journal import unfinished
from cli.session.order import PLAN, Order, identity, per_billing, why_unreadable
from cli.session.run_session import RunSession
from cli.session.session import HandIn, OpenPage, OpenRecorder, Session, open_session
from cli.session.vaults import vault_in, wipe_secrets
from cli.session.which_billing import remembered
from cli.settings.flags import Consent
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.show.progress import show_intake, tell_notes
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Screen
from cli.terminal.texts import from_bytes, printable
from cli.terminal.waiting import bytes_read, waiting
from engine.errors import LookUpRefused
from engine.job import Job
from engine.pacing.gauges import LAST_RESERVE
from engine.pacing.policy import ALL, Policy, policy_with, to_settings
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Intake, Repeat
from engine.pipeline.progress import Progress
from jobs.access.vault import Vault
from jobs.job import build
from jobs.rows.input import input_of_parameters
from jobs.spec.spec import DECLARATION
from texts.remedies import command_line, setting
from texts.said import Said, counted, said

log = structlog.get_logger(__name__)

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_LEAST_FREE: Final = int(LAST_RESERVE * Policy().min_disk)
"""Bytes that a plan leaves free: it holds nothing that a run would stop for."""


async def run(  # noqa: PLR0913 - one parameter for each part of the command line
    order: Order,
    settings: Settings,
    pacing: Mapping[str, str],
    consent: Consent,
    screen: Screen,
    *,
    record: OpenRecorder | None = None,
    page: OpenPage | None = None,
    readers: Sequence[OpenReader] = (),
    output: Path | None = None,
    plan: str | None = None,
    hand_in: HandIn | None = None,
) -> Closing:
    """Begin a run and work on it; `output` is the file for the answers of a job that reads.

    `pacing` holds the given settings of the policy. With a `plan` the run sends exactly what that has planned, or
    nothing. Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError`; nothing was sent then.
    """
    files = check_files(order, output)
    async with open_session(settings, screen, pacing=pacing, consent=consent, record=record) as opened:
        session = replace(opened, page=page, readers=readers, hand_in=hand_in)
        remembered = {} if plan is None else {PLAN: plan}
        return await start_run(prepare(order, files, session), session, remembered=remembered)


@dataclass(frozen=True, slots=True)
class Ready:
    """A prepared run: its job, its vault, and the parameters of its answer file."""

    order: Order
    job: Job
    vault: Vault
    files: Mapping[str, str]


def prepare(order: Order, files: Mapping[str, str], session: Session) -> Ready:
    """Prepare the run of an order whose `files` are checked, without reading its rows.

    Raises `ParameterRefused` for a job that cannot be set up, and `VaultLocked` for one whose secrets need a key.
    """
    vault = vault_in(session.journal, order.batch, session.settings)
    if order.secrets:
        vault.require_key()
    job = build(order.kind, session.with_vault(vault).gateway, order.parameters, order.rows)
    return Ready(order, job, vault, files)


async def start_run(ready: Ready, session: Session, *, remembered: Mapping[str, str] = _NOTHING) -> Closing:
    """Begin a run and work on it; `remembered` holds additional parameters of the run.

    Raises what `run` raises.
    """
    runs, identity, target = await session.journal.runs(), session.billing.one.identity, await session.target()
    order = per_billing(ready.order, runs, session.settings, target, identity)
    recorded = {**order.to_parameters(), **ready.files, **remembered}
    await ready.job.check()
    created = await create_run(ready.job, recorded, session)
    # The run keeps the vault's key first, so that its secrets are wiped in any case.
    await anyio.to_thread.run_sync(ready.vault.keep, ready.order.secrets)
    return await RunSession(created, ready.job, session.with_vault(ready.vault), fresh=True).run()


def check_files(order: Order, output: Path | None) -> dict[str, str]:
    """The run's parameters for its answer file. Raises `CommandRefused` for files that cannot be created.

    An existing file is refused, so that none is lost.
    """
    file = checked(order.kind, output) if output else {}
    for parameter in order.kind.parameters:
        if not parameter.makes_file:
            continue
        path = Path(order.parameters[parameter.name])
        flag = setting("set", f"{parameter.name}={path}")
        if path.exists():
            raise CommandRefused(
                said("{flag}: this file is there already; name another one, or take it away", flag=flag)
            )
        if not path.parent.is_dir():
            raise CommandRefused(said("{flag}: there is no folder {folder}", flag=flag, folder=path.parent))
    return file


# ---- the run in the journal -------------------------------------------------------------------------------------


async def create_run(job: Job, recorded: Mapping[str, str], session: Session) -> Run:
    """Create a new run in the journal, unless the same run is already under way.

    `recorded` is what the journal keeps to rebuild the job. Raises `CommandRefused` when it is under way,
    `InputRefused` when the input cannot be read at all.
    """
    profile = session.settings.profile
    badge = profile.badge.to_parameters() if profile else {}
    known = remembered(session.settings, session.billing.one.identity)
    new = await new_run(job, {**recorded, **badge, **known}, await session.target(), session.pacing)
    journal = session.journal
    await _check_declaration(new, session)
    for run in await journal.runs():
        if run.job == new.job and run.target == new.target and run.source == new.source:
            await _replace_unstarted(run, new, journal)
    return await journal.create_run(new)


async def _check_declaration(new: NewRun, session: Session) -> None:
    """Refuse a job whose declaration has changed since its last run: rows of that one could be entered once more."""
    if DECLARATION not in new.parameters:
        return
    catalogue = session.settings.catalogue
    before = [run for run in await session.journal.runs() if run.job == new.job and run.target == new.target]
    kept = [run for run in before if not run.discarded_at]
    if kept and (spec := catalogue.get(new.job)) is not None:
        catalogue.check_unchanged(kept[-1], spec)


async def new_run(job: Job, recorded: Mapping[str, str], target: str, pacing: Mapping[str, str] = _NOTHING) -> NewRun:
    """The new run's record for the journal; opens the source for it. Raises `InputRefused`.

    Raises `CommandRefused` for a text that the journal cannot keep.
    """
    if odd := next((value for value in recorded.values() if value != from_bytes(value)), None):
        raise CommandRefused(
            said("{name} is not UTF-8, and the journal keeps no other text: rename it", name=printable(odd))
        )

    def of_source() -> NewRun:
        source = job.source
        return NewRun(
            job=job.name,
            parameters=recorded,
            target=target,
            source=from_bytes(source.name),
            source_digest=source.digest,
            header=source.header,
            policy=to_settings(policy_with(Policy(), pacing, ALL)),
        )

    # Its encoding is found and its digest taken: a large file is read twice for that.
    file = input_of_parameters(recorded).file
    with waiting(lambda: said("reading {file}", file=file or job.name), lambda: bytes_read(file)):
        return await anyio.to_thread.run_sync(of_source)


async def _replace_unstarted(run: Run, new: NewRun, journal: Journal) -> None:
    """Refuse a run that is already under way; discard one that was never approved and whose file has changed."""
    if not await unfinished(run, journal):
        return
    same = identity(run.parameters) == identity(new.parameters) and run.source_digest == new.source_digest
    begun = run.approved_at or await journal.holder(run) or (await journal.totals(run)).count_where(open=True)
    if same and begun:
        raise CommandRefused(await _under_way(run, journal))
    if run.approved_at is None and await journal.holder(run) is None:
        await give_up(run, journal)
        log.info("gave up an earlier run that had sent nothing", given_up=run.name)


async def _under_way(run: Run, journal: Journal) -> Said:
    totals = await journal.totals(run)
    left = totals.count_where(open=True)
    if holder := await journal.holder(run):
        return counted(
            "run {run} is doing just this at this moment ({holder}): {n} row left",
            "run {run} is doing just this at this moment ({holder}): {n} rows left",
            left,
            run=run.name,
            holder=holder.sentence,
        )
    command = command_line("resume", run.name)
    if run.approved_at is None:
        return said(
            "run {run} has read just this and was never approved: nothing of it was sent.\n"
            "Go on with it: {command} (answer no there to give it up)",
            run=run.name,
            command=command,
        )
    return counted(
        "run {run} has begun just this and is not at its end: {n} row left.\nGo on with it: {command}",
        "run {run} has begun just this and is not at its end: {n} rows left.\nGo on with it: {command}",
        left,
        run=run.name,
        command=command,
    )


async def give_up(run: Run, journal: Journal) -> None:
    """Discard a run that has sent nothing; its refusals are kept. A run that another process holds is left alone."""
    try:
        async with journal.taken_up(run) as ours:
            await journal.discard(ours)
            await wipe_secrets(ours, journal)
    except RunHeld as error:
        log.info("left alone", left_alone=run.name, why=str(error))


# ---- rehearsing -------------------------------------------------------------------------------------------------


async def rehearse(
    job: Job, new: NewRun, plans: Journal, screen: Screen, *, foreign: ForeignEntries | None = None
) -> Run:
    """The saved list of a run that is never sent, in a journal of plans; the run is discarded when that fails.

    Rows of other plans were not entered and do not count; `foreign` looks them up in the billing. Raises
    `InputRefused`, `LookUpFailed` and `JournalError`.
    """
    run = await plans.create_run(new)
    progress = Progress(has_steps=job.effect.has_steps)
    try:
        with show_intake(progress, run.source, lambda: job.rows_seen):
            await Intake(
                run,
                job,
                plans,
                progress,
                enter=Repeat.AGAIN,
                foreign=foreign,
                least_free=lambda: _LEAST_FREE,
            ).freeze_all()
        await tell_notes(job.source, screen)
    except LookUpRefused as error:
        await plans.discard(run)
        raise LookUpRefused(why_unreadable(error, run)) from error
    except BaseException:
        await plans.discard(run)
        raise
    return await plans.run(run.name)
