"""`run` and `resume`: from a command line to a run that goes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import anyio.to_thread
import structlog

from billing.errors import BillingAway, BillingBusy, DatabaseAway
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run, Stage
from checkpoints.states import OPEN
from cli.commands import correct as continuing
from cli.commands.control import unpause_run
from cli.output.answer_files import checked
from cli.session.cleanup import finish_run
from cli.session.order import PLAN, Order, create_run, run_is_busy, unfinished
from cli.session.run_session import RunSession, SessionMeans
from cli.session.session import (
    BillingConnection,
    OpenRecorder,
    check_target,
    open_billing,
    open_existing,
    rebuild,
    vault_of,
    with_vault,
)
from cli.settings.flags import Consent
from cli.settings.settings import Settings
from cli.show.closing import Closing, show_closing
from cli.terminal.exits import CommandRefused, Exit, outcome_of
from cli.terminal.screen import Screen
from cli.terminal.texts import PROGRAM, markup_safe, moment, printable, rows
from engine.job import Job
from jobs.access.vault import Vault, vault_path
from jobs.job import build, check_given
from jobs.rows.input import Input

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that could begin: its job, and what it is worked on with; `files` is what it remembers of its answers."""

    order: Order
    job: Job
    billing: BillingConnection
    vault: Vault
    files: Mapping[str, str]


async def run(  # noqa: PLR0913 - what the command line says, a thing each
    order: Order,
    settings: Settings,
    said: Mapping[str, str],
    consent: Consent,
    screen: Screen,
    *,
    record: OpenRecorder | None = None,
    output: Path | None = None,
    plan: str | None = None,
) -> Closing:
    """Begin a run and take it as far as it goes; `output` is the file for the answers of a job that reads.

    With a `plan` it sends what that one has planned, or nothing.

    `said` is what the command line says of the pace, here and below.

    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError`; nothing was sent then.
    """
    _check_files(order, output)
    async with open_billing(settings, record) as opened, open_journal(settings.journal.value) as journal:
        log.debug("the billing answers", version=opened.health.version, seconds=round(opened.health.seconds, 3))
        means = SessionMeans(opened, journal, said, consent, screen)
        remembered = {} if plan is None else {PLAN: plan}
        return await start_run(ready(order, opened, journal, output), settings, means, remembered=remembered)


def ready(order: Order, billing: BillingConnection, journal: Journal, output: Path | None) -> Ready:
    """The run of this order, as far as that can be had without reading its rows.

    Raises `CommandRefused` for files that cannot be made, `ParameterRefused` for a job that cannot be set up.
    """
    files = _check_files(order, output)
    vault = Vault(vault_path(journal.path), order.batch)
    billing = with_vault(billing, vault)
    job = build(order.kind, billing.services, order.parameters, order.rows)
    return Ready(order, job, billing, vault, files)


async def start_run(
    ready: Ready, settings: Settings, means: SessionMeans, *, remembered: Mapping[str, str] = MappingProxyType({})
) -> Closing:
    """Begin a run and take it as far as it goes; `remembered` is what the run keeps besides.

    Raises what `run` raises.
    """
    recorded = {**ready.order.recorded, **ready.files, **remembered}
    await check_given(ready.job)
    begun = await create_run(ready.job, recorded, settings.target, means.journal, means.said)
    # Once the run remembers what they are kept under, they are wiped in any case.
    await anyio.to_thread.run_sync(ready.vault.keep, ready.order.secrets)
    return await RunSession(begun, ready.job, replace(means, billing=ready.billing), fresh=True).go()


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
            return await continuing.correct_run(
                name, rows, settings, SessionMeans(billing, journal, said, consent, screen)
            )


async def resume(  # noqa: PLR0913 - what the command line says, a thing each
    name: str | None,
    settings: Settings,
    said: Mapping[str, str],
    consent: Consent,
    screen: Screen,
    *,
    record: OpenRecorder | None = None,
    unpause: bool = False,
) -> Closing:
    """Take a run up where it stands: the one of that name, or the only one that is not at its end.

    It is driven as it was, but for what is `said` now. One that is paused waits until somebody lets it go on, unless
    it is to `unpause` at once. Raises `CommandRefused`,
    `BillingError` and `JournalError`; nothing was sent then.
    """
    journal_path = settings.journal.value
    if name is None and not journal_path.exists():
        screen.result(f"There is nothing to resume: there is no journal {markup_safe(journal_path)}.")
        return Closing(Exit.DONE)
    async with open_existing(journal_path) as journal:
        chosen = await _chosen(name, journal)
        if chosen is None:
            screen.result("There is nothing to resume: all runs are at their end.")
            return Closing(Exit.DONE)
        if not await unfinished(chosen, journal):
            return await _at_its_end(chosen, journal, screen)
        if holder := await journal.holder(chosen):
            raise await run_is_busy(chosen, journal, f"another process works on this run: {holder}")
        check_target(chosen, settings)
        try:
            async with open_billing(settings, record) as opened:
                billing = with_vault(opened, vault_of(chosen, journal))
                job = await rebuild(chosen, billing.services, journal)
                if unpause and chosen.paused_at:
                    await unpause_run(chosen, journal)
                return await RunSession(
                    chosen, job, SessionMeans(billing, journal, said, consent, screen), fresh=False
                ).go()
        except (BillingAway, BillingBusy, DatabaseAway) as error:
            raise CommandRefused(
                f"{error}\nRun {chosen.name} stays as it is: {PROGRAM} resume {chosen.name} goes on when it is back",
                Exit.STOPPED,
            ) from error


async def _chosen(name: str | None, journal: Journal) -> Run | None:
    """The run to take up, None when there is none. Raises `CommandRefused` when it is not clear, or was given up."""
    if name is not None:
        run = await journal.run(name)
        if run.stage is Stage.DISCARDED:
            raise CommandRefused(f"run {run.name} was given up before anything was sent: begin a new one")
        return run
    open_runs = [run for run in await journal.runs() if await unfinished(run, journal)]
    if len(open_runs) > 1:
        lines = [f"  {PROGRAM} resume {run.name}   {await _what(run, journal)}" for run in open_runs]
        raise CommandRefused("\n".join(["several runs are not at their end; which?", *lines]))
    return open_runs[0] if open_runs else None


async def _at_its_end(run: Run, journal: Journal, screen: Screen) -> Closing:
    """A run of which nothing is left to send: how it came out."""
    totals = await journal.totals(run)
    # A kill may have come between the last answer and what there was to do then.
    ending = await finish_run(run, journal, anew=False)
    code = Exit.STOPPED if ending.trouble else outcome_of(totals)
    closing = Closing(code, run.name, run.job, totals, stopped=ending.trouble, error=ending.trouble)
    screen.say("There is nothing to resume: this run is at its end.")
    screen.result(await show_closing(closing, run, journal), good=closing.exit is Exit.DONE)
    if ending.shown is not None:
        screen.result(ending.shown)
    return closing


def _check_files(order: Order, output: Path | None) -> dict[str, str]:
    """What the run remembers of the file for its answers. Raises `CommandRefused` for files that cannot be made.

    A file that is there already is refused: nobody may lose one.
    """
    file = checked(order.kind.name, order.parameters, output) if output else {}
    for parameter in order.kind.parameters:
        if not parameter.makes_file:
            continue
        path = Path(order.parameters[parameter.name])
        if path.exists():
            raise CommandRefused(
                f"--set {parameter.name}={path}: this file is there already; name another one, or take it away"
            )
        if not path.parent.is_dir():
            raise CommandRefused(f"--set {parameter.name}={path}: there is no folder {path.parent}")
    return file


async def _what(run: Run, journal: Journal) -> str:
    left = (await journal.totals(run)).count(*OPEN)
    return f"{run.job}, {printable(run.source, 60)}, begun {moment(run.created_at)}, {rows(left)} left"
