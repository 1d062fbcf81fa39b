"""A session: the journal and the billing that one command works with, and what is done with a run of theirs.

A command opens a session, locks its run (`cli/session/journal.py`), works on it, and finishes it:

    async with open_existing(path) as journal:
        run = await journal.run(name)
        check_target(run, settings)
        async with open_session(settings, screen, journal) as opened, locked(run, journal) as run:
            job = await opened.for_run(run).rebuild(run)
            …
            await finish_run(run, journal, anew=True)
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import anyio
import anyio.to_thread
import structlog
from rich.console import RenderableType

from billing.api.client import BillingClient, ClientSettings, Health
from billing.api.wire import CallObserver
from billing.database.database import Database
from billing.database.file_database import open_file_database
from billing.directory.system import check_scale
from billing.money import SCALE
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from cli.output.answer_files import ANSWER_FILE_PARAMETER, ANSWERS, first_rows, reads, write_answers
from cli.output.item_files import OutputFile
from cli.session.journal import policy_of
from cli.settings.flags import Consent
from cli.settings.profiles import profile_of
from cli.settings.settings import Settings
from cli.show.preview import Target
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Screen
from cli.terminal.texts import PROGRAM, markup_safe, printable, rows
from engine.errors import EngineError
from engine.job import Job
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.intake import Repeat
from jobs.access.gateway import Gateway
from jobs.access.vault import BATCH, Vault, vault_path
from jobs.catalogue.catalogue import JOBS, job_of
from jobs.effects.factory import finish_of
from jobs.job import build
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS, input_of_parameters, job_parameters
from jobs.spec.entries import SharedAccountsRule
from jobs.spec.errors import VaultFailed
from jobs.spec.spec import parameters_of
from jobs.spec.undo_words import UNDO
from jobs.undo import build_undo

log = structlog.get_logger(__name__)

OpenRecorder: TypeAlias = Callable[[ClientSettings], AbstractAsyncContextManager[CallObserver]]
"""Opens what records every exchange of the client with these settings, for as long as the context lasts."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BillingConnection:
    """A billing that has answered: the gateway to it, and what it said of itself."""

    gateway: Gateway
    health: Health

    @property
    def target(self) -> Target:
        """The same, to be shown."""
        database = self.gateway.database
        return Target(self.health.version, None if database is None else str(database.dsn))


@dataclass(frozen=True, slots=True)
class Session:
    """An open journal and an open billing, and how the command line says that runs are worked on.

    `pacing` has the settings of the policy that were given, by name. `stop` is the wish to stop of whoever watches
    the run; one that comes when nothing is left to stop outlives the run.
    """

    settings: Settings
    screen: Screen
    journal: Journal
    billing: BillingConnection
    pacing: Mapping[str, str] = field(default_factory=dict)
    consent: Consent = field(default_factory=Consent)
    stop: Stop = field(default_factory=Stop)

    @property
    def gateway(self) -> Gateway:
        """The way to the billing."""
        return self.billing.gateway

    def with_vault(self, vault: Vault) -> "Session":
        """The same session, for a run that may have secrets."""
        gateway = replace(self.billing.gateway, vault=vault)
        return replace(self, billing=replace(self.billing, gateway=gateway))

    def for_run(self, run: Run) -> "Session":
        """The same session, with the secrets of the run; the billing is read at the run's rate from now on.

        Raises `CommandRefused` where the policy of the run cannot be read.
        """
        self.gateway.rate.per_second = self.policy_of(run).rate
        return self.with_vault(vault_of(run, self.journal))

    def policy_of(self, run: Run) -> Policy:
        """The policy that the run keeps, with what was given. Raises `CommandRefused` where it cannot be read."""
        return policy_of(run, self.pacing)

    async def rebuild(self, run: Run) -> Job:
        """The job of a run, from what the journal has of it. Raises what `build` and `build_undo` raise."""
        own = job_parameters(run.parameters)
        if run.job == UNDO:
            return await build_undo(self.gateway, self.journal, own)
        spec = job_of(run)
        return build(spec, self.gateway, parameters_of(spec, own), input_of_parameters(run.parameters))


# ---- opening ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_session(
    settings: Settings,
    screen: Screen,
    journal: Journal | None = None,
    *,
    pacing: Mapping[str, str] = _NOTHING,
    consent: Consent | None = None,
    record: OpenRecorder | None = None,
) -> AsyncIterator[Session]:
    """A session with the settings' billing, and with a `journal` that is open already.

    Without one the settings' journal is opened once the billing has answered, and made where there is none. Raises
    what `open_billing` and `open_journal` raise.
    """
    async with AsyncExitStack() as stack:
        billing = await stack.enter_async_context(open_billing(settings, record))
        if journal is None:
            journal = await stack.enter_async_context(open_journal(settings.journal.value))
        yield Session(settings, screen, journal, billing, pacing, consent or Consent())


@asynccontextmanager
async def open_billing(settings: Settings, record: OpenRecorder | None = None) -> AsyncIterator[BillingConnection]:
    """The billing that the settings name, once both its API and, where one is set, its database have answered.

    What is known of it comes from its profile. Every exchange is recorded where a command hands in a recorder. Raises
    `SettingsRefused`, what the recorder raises, and what `BillingClient.health`, `Database.connect` and `check_scale`
    raise.
    """
    dsn, profile = settings.dsn, profile_of(settings)
    recorder = nullcontext() if record is None else record(settings.client)
    async with recorder as listener, BillingClient(settings.client, listener=listener) as client:
        health = await client.health()
        log.debug("the billing answers", version=health.version, seconds=round(health.seconds, 3))
        database = None if dsn is None else open_file_database(dsn)
        try:
            if database is not None:
                await anyio.to_thread.run_sync(_connected, database)
            yield BillingConnection(Gateway(client, database, profile=profile), health)
        finally:
            if database is not None:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(database.close)


def _connected(database: Database) -> None:
    """Connect, and see that its sums are read right before anybody reads one."""
    database.connect()
    if not check_scale(database):
        log.warning("the database does not say how it scales its money: taken as usual", scale=SCALE)


# ---- what a run remembers ---------------------------------------------------------------------------------------


def check_target(run: Run, settings: Settings) -> None:
    """Raise `CommandRefused` for a run that began with another billing than the one of the settings."""
    if run.target != settings.target:
        raise CommandRefused(
            f"run {run.name} works on {printable(run.target)}, and the settings name {printable(settings.target)} "
            f"(from {settings.api_url.origin}). Give --api-url {printable(run.target)} to go on with it"
        )


def vault_of(run: Run, journal: Journal) -> Vault:
    """Where the secrets of a run are kept."""
    return Vault(vault_path(journal.path), run.parameters.get(BATCH, ""))


def how_often(run: Run) -> Repeat:
    """How often the run may enter its rows: as it was begun, with --again, --another-billing or neither."""
    return Repeat(run.parameters.get(REPEAT, Repeat.ONCE))


def shared_accounts_of(run: Run) -> SharedAccountsRule | None:
    """What several rows of the run mean that set the balance of one account; None where nobody has said."""
    rule = run.parameters.get(SHARED_ACCOUNTS)
    return None if rule is None else SharedAccountsRule(rule)


# ---- the end of a run -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What there is to be shown of a run at its end, and what could not be done."""

    shown: RenderableType | None = None
    trouble: str | None = None


async def finish_run(run: Run, journal: Journal, *, anew: bool) -> FinishedRun:
    """Complete the files of a run at its end, and wipe its secrets.

    Done when the run comes to its end, and again when it is taken up there, for a kill may have come in between.
    `anew` writes the file of its answers also where there is one already. Raises `JournalError`.
    """
    finish = finish_of(JOBS[run.job]) if run.job in JOBS else None
    finished = await _write_answers(run, journal, anew=anew) if finish is None else await _hand_over(run, finish)
    if not (await journal.totals(run)).count_where(settled=False):
        await wipe_secrets(run, journal)
    return finished


async def wipe_secrets(run: Run, journal: Journal) -> None:
    """Wipe the secrets of a run that will send nothing more; where that cannot be done, the log says so."""
    if BATCH not in run.parameters:
        return
    vault = vault_of(run, journal)
    needed = [other.parameters[BATCH] for other in await journal.runs() if await _may_need(other, run, journal)]
    try:
        await anyio.to_thread.run_sync(vault.forget, needed)
    except VaultFailed as error:
        log.error("the secrets of the run are not wiped: delete the file", why=str(error))  # noqa: TRY400 - it says all


async def _may_need(other: Run, run: Run, journal: Journal) -> bool:
    """Whether another run of the same batch may send secrets yet."""
    if BATCH not in other.parameters or other.run_id == run.run_id or other.discarded_at:
        return False
    not_begun = other.frozen_at is None or other.approved_at is None
    return not_begun or (await journal.totals(other)).count_where(settled=False) > 0


async def _hand_over(run: Run, finish: Callable[[Run], str]) -> FinishedRun:
    """Do what the job has to do in the end."""
    try:
        text = await anyio.to_thread.run_sync(finish, run)
    except EngineError as error:
        return FinishedRun(trouble=f"{error}. All rows are done; {PROGRAM} resume {run.name} completes the file")
    return FinishedRun(markup_safe(text)) if text else FinishedRun()


async def _write_answers(run: Run, journal: Journal, *, anew: bool) -> FinishedRun:
    """Write the answers into the file that was named; without one, show the first of them."""
    if not reads(run.job, run.parameters):
        return FinishedRun()
    named = run.parameters.get(ANSWER_FILE_PARAMETER)
    if named is None:
        return FinishedRun(await first_rows(run, journal))
    if not anew and await anyio.Path(named).exists():
        return FinishedRun(f"The answers are in {markup_safe(named)}")
    try:
        # There was no such file when the run began: it is the run's own, should it be there.
        written = await write_answers(run, journal, OutputFile(Path(named), force=True))
    except CommandRefused as error:
        command = f"{PROGRAM} export {run.name} --state {ANSWERS} -o FILE"
        return FinishedRun(trouble=f"{error}. The answers are in the journal: {command} writes them elsewhere")
    return FinishedRun(f"{rows(written)} of answers: {markup_safe(named)}")
