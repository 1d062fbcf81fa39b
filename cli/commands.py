"""`run` and `resume`: from a command line to a run that goes."""

from pathlib import Path

import structlog

from billing.database_errors import DatabaseAway
from billing.errors import BillingAway, BillingBusy
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run, Stage
from checkpoints.states import OPEN
from cli.beginning import Order, begin, held, unfinished
from cli.errors import CommandRefused
from cli.exits import Exit, outcome_of
from cli.names import PROGRAM
from cli.options import Consent
from cli.report import Closing, closing_screen
from cli.running import Going, Means
from cli.screen import Screen
from cli.sessions import check_target, open_billing, open_existing, rebuild
from cli.settings import Settings
from cli.texts import moment, plain, rows, shown
from engine.policy import Policy

log = structlog.get_logger(__name__)


async def run(
    order: Order, settings: Settings, policy: Policy, consent: Consent, screen: Screen, *, record: Path | None = None
) -> Closing:
    """Begin a run and take it as far as it goes.

    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError`; nothing was sent then.
    """
    async with open_billing(settings, record) as billing, open_journal(settings.journal.value) as journal:
        log.debug("the billing answers", version=billing.health.version, seconds=round(billing.health.seconds, 3))
        begun, job = await begin(order, settings.target, billing.services, journal)
        return await Going(begun, job, Means(billing, journal, policy, consent, screen), fresh=True).go()


async def resume(
    name: str | None,
    settings: Settings,
    policy: Policy,
    consent: Consent,
    screen: Screen,
    *,
    record: Path | None = None,
) -> Closing:
    """Take a run up where it stands: the one of that name, or the only one that is not at its end.

    Raises `CommandRefused`, `BillingError` and `JournalError`; nothing was sent then.
    """
    journal_path = settings.journal.value
    if name is None and not journal_path.exists():
        screen.result(f"There is nothing to resume: there is no journal {shown(journal_path)}.")
        return Closing(Exit.DONE)
    async with open_existing(journal_path) as journal:
        chosen = await _chosen(name, journal)
        if chosen is None:
            screen.result("There is nothing to resume: all runs are at their end.")
            return Closing(Exit.DONE)
        if not await unfinished(chosen, journal):
            return await _at_its_end(chosen, journal, screen)
        if holder := journal.holder(chosen):
            raise await held(chosen, journal, f"another process works on this run: {holder}")
        check_target(chosen, settings)
        try:
            async with open_billing(settings, record) as billing:
                job = rebuild(chosen, billing.services)
                return await Going(chosen, job, Means(billing, journal, policy, consent, screen), fresh=False).go()
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
    closing = Closing(outcome_of(totals), run.name, run.job, totals)
    screen.say("There is nothing to resume: this run is at its end.")
    screen.result(await closing_screen(closing, run, journal), good=closing.exit is Exit.DONE)
    return closing


async def _what(run: Run, journal: Journal) -> str:
    left = (await journal.totals(run)).count(*OPEN)
    return f"{run.job}, {plain(run.source, 60)}, begun {moment(run.created_at)}, {rows(left)} left"
