"""What a command works with: the journal, and the billing behind its two doors."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import anyio
import anyio.to_thread
import structlog

from billing.api.client import BillingClient, ClientSettings, Health
from billing.api.wire import CallObserver
from billing.database.database import Database
from billing.database.file_database import open_file_database
from billing.directory.system import check_scale
from billing.money import SCALE
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from cli.session.control_client import ourselves
from cli.settings.places import journals_in
from cli.settings.profiles import profile_of
from cli.settings.settings import Settings
from cli.show.preview import Target
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import markup_safe, printable
from engine.job import Job
from engine.pacing.policy import ALL, Policy, describe_policy, describe_settings, policy_with, to_settings
from engine.pipeline.intake import Repeat
from jobs.access.gateway import Gateway
from jobs.access.vault import BATCH, Vault, vault_path
from jobs.catalogue.catalogue import job_of
from jobs.job import build
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS, input_of_parameters, job_parameters
from jobs.shared_accounts import SharedAccountsRule
from jobs.spec.spec import parameters_of
from jobs.undo import UNDO, build_undo


def stored_policy(run: Run) -> Policy:
    """The policy that a run keeps. Raises `CommandRefused` where it cannot be read: a limit may be lost with it."""
    try:
        return policy_with(Policy(), run.policy, ALL)
    except ValueError as error:
        raise CommandRefused(f"run {run.name} keeps a setting that cannot be read: {error}") from error


def policy_of(run: Run, said: Mapping[str, str]) -> Policy:
    """The same with what is `said` now in it, as `Pacing.said` has it."""
    return policy_with(stored_policy(run), said, ALL)


async def store_policy(run: Run, policy: Policy, journal: Journal) -> None:
    """Keep it with the run, and note what was changed and by whom."""
    before, now = run.policy, to_settings(policy)
    if now == before:
        return
    await journal.keep_policy(run, now)
    other = [name for name in ALL if now.get(name) != before.get(name)]
    flags = " ".join(f"--{name} {ALL[name].shown(policy)}" for name in other)
    await journal.note_command(run, ourselves(), f"taken up with {flags}", describe_settings(policy, other))


def in_force(run: Run, policy: Policy) -> str:
    """How a run that is taken up is driven, and what of it the run itself has kept; as markup."""
    own = to_settings(policy)
    of_run = ", ".join(f"{name}={text}" for name, text in run.policy.items() if own.get(name) == text)
    from_run = f" [dim](kept with the run: {markup_safe(of_run)}; a flag or `set` changes that)[/]" if of_run else ""
    return f"[dim]pacing:[/] {markup_safe(describe_policy(policy), 600)}{from_run}"


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BillingConnection:
    """A billing that has answered: the doors to it, and what it said of itself."""

    services: Gateway
    health: Health

    @property
    def target(self) -> Target:
        """The same, to be shown."""
        database = self.services.database
        return Target(self.health.version, None if database is None else str(database.dsn))


OpenRecorder: TypeAlias = Callable[[ClientSettings], AbstractAsyncContextManager[CallObserver]]
"""Opens what records every exchange of the client with these settings, for as long as the context lasts."""


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


@asynccontextmanager
async def open_existing(path: Path) -> AsyncIterator[Journal]:
    """The journal at `path`. Raises `CommandRefused` where there is none, and what `open_journal` raises."""
    if not await anyio.Path(path).exists():
        others = [str(one) for one in await anyio.to_thread.run_sync(journals_in, path.parent)]
        there = f"; beside it there are: {', '.join(others)}" if others else ""
        raise CommandRefused(
            f"there is no journal {path}: nothing was run with it. Name the billing with --api-url, or the run's "
            f"journal with --journal{there}"
        )
    async with open_journal(path) as journal:
        yield journal


async def rebuild(run: Run, services: Gateway, journal: Journal) -> Job:
    """The job of a run, from what the journal has of it. Raises what `build` and `build_undo` raise."""
    own = job_parameters(run.parameters)
    if run.job == UNDO:
        return await build_undo(services, journal, own)
    wanted = job_of(run)
    return build(wanted, services, parameters_of(wanted, own), input_of_parameters(run.parameters))


def vault_of(run: Run, journal: Journal) -> Vault:
    """Where the secrets of a run are kept."""
    return Vault(vault_path(journal.path), run.parameters.get(BATCH, ""))


def with_vault(billing: BillingConnection, vault: Vault) -> BillingConnection:
    """The same billing, for a run that may have secrets."""
    return replace(billing, services=replace(billing.services, vault=vault))


def how_often(run: Run) -> Repeat:
    """How often the run may enter its rows: as it was begun, with --again, --another-billing or neither."""
    return Repeat(run.parameters.get(REPEAT, Repeat.ONCE))


def shared_accounts_of(run: Run) -> SharedAccountsRule | None:
    """What several rows of the run mean that set the balance of one account; None where nobody has said."""
    said = run.parameters.get(SHARED_ACCOUNTS)
    return None if said is None else SharedAccountsRule(said)


def check_target(run: Run, settings: Settings) -> None:
    """Refuse to work on a run against another billing than the one that it began with."""
    if run.target != settings.target:
        raise CommandRefused(
            f"run {run.name} works on {printable(run.target)}, and the settings name {printable(settings.target)} "
            f"(from {settings.api_url.origin}). Give --api-url {printable(run.target)} to go on with it"
        )
