"""The vault of a run: beside a journal that is a file, or in one in PostgreSQL, with the keys of the settings."""

import anyio.to_thread
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused, SettingsRefused
from jobs.access.vault import BATCH, NoVaultKey, SecretTable, Vault, VaultKeys, vault_path
from jobs.spec.errors import VaultFailed, VaultLocked
from texts.remedies import VAULT_KEY, command_line
from texts.said import text_of

log = structlog.get_logger(__name__)


def vault_of(run: Run, journal: Journal, settings: Settings | None = None) -> Vault:
    return vault_in(journal, run.parameters.get(BATCH, ""), settings)


def vault_in(journal: Journal, batch: str, settings: Settings | None = None) -> Vault:
    if not journal.address.is_shared:
        return Vault(vault_path(journal.path), batch)
    keys: VaultKeys | None = None
    why: str | None = None
    if settings is not None:
        try:
            keys = keys_of(settings)
        except SettingsRefused as error:
            why = text_of(error)
    return SecretTable(journal.kept_secrets, journal.name, keys, why, batch)


def keys_of(settings: Settings) -> VaultKeys | None:
    """The keys of the vault, None where none is set. Raises `SettingsRefused` for what is no key."""
    settings.hidden.require(VAULT_KEY)
    given = settings.vault_key
    try:
        return VaultKeys.parse(given.value.reveal()) if given.value else None
    except NoVaultKey as error:
        raise SettingsRefused(
            "{place}: {key} cannot be used: {why}", place=given.origin, key=VAULT_KEY, why=error
        ) from error


async def require_opened(run: Run, vault: Vault | None) -> None:
    """Refuse a run, resumable as it is, whose secrets could not all be opened. Raises `CommandRefused`."""
    if vault is None or BATCH not in run.parameters:
        return
    try:
        await anyio.to_thread.run_sync(vault.require_opened)
    except VaultLocked as error:
        raise CommandRefused(
            "run {run}: {error}\nNothing was sent, and the run stays as it is. With the key:\n{command}",
            run=run.name,
            error=error,
            command=command_line("resume", run.name),
        ) from error


async def wipe_secrets(run: Run, journal: Journal) -> None:
    """Wipe the secrets of a run that sends nothing more; a failure is logged."""
    if BATCH not in run.parameters:
        return
    needed = [
        other.parameters[BATCH]
        for other in await journal.runs()
        if BATCH in other.parameters and other.run_id != run.run_id and not other.discarded_at
        # Another run of the batch that has not begun, or may still send secrets.
        if other.frozen_at is None
        or other.approved_at is None
        or (await journal.totals(other)).count_where(settled=False)
    ]
    try:
        await anyio.to_thread.run_sync(vault_of(run, journal).forget, needed)
    except VaultFailed as error:
        log.error("the secrets of the run are not wiped", why=str(error))  # noqa: TRY400 - the sentence is complete
