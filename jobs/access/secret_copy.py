"""The secrets of rows that are to be sent, taken along when a journal is copied: opened, and sealed anew."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from billing.secret import Secret
from checkpoints.address import JournalAddress
from checkpoints.kept_secrets import keep_secrets, pages_of_secrets
from checkpoints.queries import PAGE, Queries
from checkpoints.rows import to_run
from checkpoints.stores import look_into
from jobs.access.secret_file import opened_file, vault_block
from jobs.access.secret_table import missing_keys, no_key
from jobs.access.vault import BATCH, vault_path
from jobs.access.vault_keys import VaultKeys
from jobs.spec.errors import VaultFailed, VaultLocked
from texts.said import said

FindKeys: TypeAlias = Callable[[], VaultKeys | None]

_NOT_EQUAL: Final = said("the secrets would not be the same in the copy, so nothing was copied")


class _Opened(NamedTuple):
    """A secret in clear, between two journals."""

    token: str
    batch: str
    secret: Secret


class SecretCopy:
    """Copies the secrets of a journal's runs inside the copy of the journal; blocks.

    `find_keys` is asked where one of the two is in PostgreSQL and there is a secret; its error is passed on. `copied`
    is the number of secrets.
    """

    def __init__(self, source: JournalAddress, target: JournalAddress, find_keys: FindKeys) -> None:
        self._source, self._target = source, target
        self._find_keys = find_keys
        self._has_written = False
        self.copied = 0

    def check(self) -> None:
        """Raise `VaultLocked` where a key is missing, before anything is copied."""
        with look_into(self._source) as db:
            if db is None or next(self._kept(db, _batches(db)), None) is None:
                return
        if self._target.is_shared:
            self._keys_for(self._target)

    def __call__(self, old: Queries, new: Queries) -> None:
        """Write all secrets, and read them back. Raises `VaultFailed`, also where they are not equal."""
        batches = _batches(old)
        if self._target.is_shared:
            for page in self._kept(old, batches):
                keys = self._keys_for(self._target)
                keep_secrets(new, [keys.seal(*one) for one in page])
            self._compare(self._kept(old, batches), self._in_table(self._target, new, batches))
        else:
            self._fill_file(old, batches)

    def undo(self) -> None:
        """Wipe what was written into a file, for a copy that has failed behind it."""
        if self._has_written:
            with opened_file(_file_of(self._target)) as database:
                database.execute(vault_block("wipe"))

    def _fill_file(self, old: Queries, batches: Sequence[str]) -> None:
        """Fill the file beside the target in one transaction, whose end is just before that of the journal."""
        path = _file_of(self._target)
        if not path.exists() and next(self._kept(old, batches), None) is None:
            return
        self._has_written = True
        with opened_file(path) as database:
            # The journal has no run yet: what is here was left by a copy that was killed.
            database.execute(vault_block("wipe"))
            for page in self._kept(old, batches):
                rows = [{"token": one.token, "batch": one.batch, "secret": one.secret.reveal()} for one in page]
                database.executemany(vault_block("copy"), rows)
            self._compare(self._kept(old, batches), _in_file(database, batches))

    def _compare(self, there: Iterator[list[_Opened]], here: Iterator[list[_Opened]]) -> None:
        for page in there:
            if next(here, None) != page:
                raise VaultFailed(_NOT_EQUAL)
            self.copied += len(page)
        if next(here, None) is not None:
            raise VaultFailed(_NOT_EQUAL)

    def _kept(self, db: Queries, batches: Sequence[str]) -> Iterator[list[_Opened]]:
        """The secrets of the source, page by page."""
        if self._source.is_shared:
            yield from self._in_table(self._source, db, batches)
        elif (path := _file_of(self._source)).exists():
            with opened_file(path) as database:
                yield from _in_file(database, batches)

    def _in_table(self, where: JournalAddress, db: Queries, batches: Sequence[str]) -> Iterator[list[_Opened]]:
        for page in pages_of_secrets(db, batches):
            keys = self._keys_for(where)
            if missing := sorted({row.key_id for row in page} - set(keys.ids)):
                raise VaultLocked(missing_keys(str(where), missing, keys.ids))
            yield [_Opened(row.token, row.batch, Secret(keys.open(row))) for row in page]

    def _keys_for(self, where: JournalAddress) -> VaultKeys:
        keys = self._find_keys()
        if keys is None:
            raise VaultLocked(no_key(str(where)))
        return keys


def _batches(db: Queries) -> list[str]:
    runs = map(to_run, db.all("runs"))
    return sorted({run.parameters[BATCH] for run in runs if BATCH in run.parameters})


def _in_file(database: sqlite3.Connection, batches: Sequence[str]) -> Iterator[list[_Opened]]:
    named = msgspec.json.encode(batches).decode()
    after = ""
    while page := [
        _Opened(token, batch, Secret(secret))
        for token, batch, secret in database.execute(
            vault_block("page"), {"after": after, "batches": named, "size": PAGE}
        )
    ]:
        yield page
        after = page[-1].token


def _file_of(journal: JournalAddress) -> Path:
    return vault_path(journal.path.resolve())
