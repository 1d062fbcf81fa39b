"""The secrets of a journal in PostgreSQL: rows of the journal, encrypted before they leave the process."""

from collections.abc import Collection, Mapping

import anyio.from_thread

from billing.secret import Secret
from checkpoints.errors import JournalError
from checkpoints.kept_secrets import KeptSecrets
from jobs.access.secret_file import SecretKeeper
from jobs.access.vault_keys import VaultKeys
from jobs.spec.errors import VaultFailed, VaultLocked
from texts.remedies import VAULT_KEY, VAULT_KEY_FILE, VAULT_KEY_SETTING, command_line
from texts.said import Said, said, text_of


class SecretTable(SecretKeeper):
    """The secrets in an open journal; used from worker threads of its event loop.

    Without `keys`, for the reason `why`, secrets are only counted and deleted. What concerns the connection raises
    `JournalError`.
    """

    def __init__(self, kept: KeptSecrets, journal: str, keys: VaultKeys | None, why: str | None = None) -> None:
        self._kept = kept
        self._journal = journal
        self._keys = keys
        self._why = why

    def keep(self, batch: str, sealed: Mapping[str, Secret]) -> None:
        """Encrypt secrets, and commit them."""
        keys = self._required()
        anyio.from_thread.run(self._kept.keep, [keys.seal(token, batch, one) for token, one in sealed.items()])

    def find(self, tokens: Collection[str]) -> Mapping[str, str]:
        """The secrets of these tokens, as far as they are kept."""
        keys = self._required()
        try:
            rows = anyio.from_thread.run(self._kept.find, tokens)
        except JournalError as error:
            raise VaultFailed(text_of(error)) from error
        return {row.token: keys.open(row) for row in rows}

    def holds(self, batch: str) -> bool:
        """Whether secrets of a batch are kept."""
        return bool(anyio.from_thread.run(self._kept.keys_of, batch))

    def forget(self, batch: str, needed: Collection[str]) -> None:
        """Delete the secrets of a batch; what PostgreSQL has of them until its next vacuum is encrypted."""
        try:
            anyio.from_thread.run(self._kept.forget, batch, needed)
        except JournalError as error:
            raise VaultFailed(text_of(error)) from error

    def require_key(self) -> None:
        """Raise `VaultLocked` where there is no key."""
        self._required()

    def require_keys_of(self, batch: str) -> None:
        """Raise `VaultLocked` where a key of a kept secret is not among the keys."""
        used = anyio.from_thread.run(self._kept.keys_of, batch)
        if not used:
            return
        keys = self._required()
        if missing := sorted(used - set(keys.ids)):
            raise VaultLocked(missing_keys(self._journal, missing, keys.ids))

    def _required(self) -> VaultKeys:
        if self._keys is None:
            raise VaultLocked(self._why or no_key(self._journal))
        return self._keys


def no_key(journal: str) -> Said:
    """What to do where secrets are to be kept in PostgreSQL, and there is no key."""
    return said(
        "passwords and sessions of rows are kept encrypted in {journal}, and no key is set for them. Make one, once "
        "for all machines:\n{command}\nand name the file in the settings of each machine:\n{setting}",
        journal=journal,
        command=command_line("journal", "key", VAULT_KEY_FILE),
        setting=VAULT_KEY_SETTING,
    )


def missing_keys(journal: str, missing: Collection[str], ours: Collection[str]) -> Said:
    """What to do where kept secrets were encrypted with other keys."""
    return said(
        "passwords and sessions in {journal} are encrypted with key {missing}, and {setting} has {ours} here. Add "
        "the key of the machine that has read the rows: nothing of them is lost",
        setting=VAULT_KEY,
        journal=journal,
        missing=tuple(missing),
        ours=tuple(ours),
    )
