"""What keeps the secrets of a vault, and the one that is a file of its own beside the journal, in clear."""

import os
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from billing.database.sql_blocks import sql_block
from billing.secret import Secret
from checkpoints.kept_secrets import UNCLAIMED
from checkpoints.own_files import open_beside
from jobs.spec.errors import VaultFailed

_BUSY_SECONDS: Final = 30


class SecretKeeper(ABC):
    """Keeps secrets by their tokens, for all runs of a journal. Its methods block, and are called from threads."""

    @abstractmethod
    def keep(self, batch: str, sealed: Mapping[str, Secret]) -> None:
        """Save secrets durably under their tokens. Raises `VaultFailed` and `VaultLocked`."""

    @abstractmethod
    def find(self, tokens: Collection[str]) -> Mapping[str, str]:
        """The secrets of these tokens, as far as they are kept. Raises `VaultFailed` and `SecretAltered`."""

    @abstractmethod
    def holds(self, batch: str) -> bool:
        """Whether secrets of a batch are kept. Raises `VaultFailed`."""

    @abstractmethod
    def forget(self, batch: str, needed: Collection[str]) -> None:
        """Wipe the secrets of a batch, and old ones of batches that are not `needed`. Raises `VaultFailed`."""

    def require_key(self) -> None:
        """Raise `VaultLocked` where secrets could not be kept; does not block."""

    def require_keys_of(self, batch: str) -> None:
        """Raise `VaultLocked` where a secret of the batch could not be opened."""


class SecretFile(SecretKeeper):
    """The secrets of a journal's runs in a file that only its owner can read, from which deleted ones are wiped.

    It is created with the first secret.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, batch: str, sealed: Mapping[str, Secret]) -> None:
        """Save secrets on the disk."""
        now = int(time.time())
        rows = [
            {"token": token, "batch": batch, "secret": secret.reveal(), "now": now}
            for token, secret in sealed.items()
        ]
        with self._opened() as database:
            database.executemany(vault_block("seal"), rows)

    def find(self, tokens: Collection[str]) -> Mapping[str, str]:
        """The secrets of these tokens, as far as they are kept."""
        if not self._path.exists():
            return {}
        with self._opened() as database:
            found = {token: database.execute(vault_block("open"), {"token": token}).fetchone() for token in tokens}
        return {token: str(row[0]) for token, row in found.items() if row is not None}

    def holds(self, batch: str) -> bool:
        """Whether secrets of a batch are kept."""
        if not self._path.exists():
            return False
        with self._opened() as database:
            return database.execute(vault_block("holds"), {"batch": batch}).fetchone() is not None

    def forget(self, batch: str, needed: Collection[str]) -> None:
        """Wipe the secrets of a batch, and old ones of batches that are not `needed`."""
        if not self._path.exists():
            return
        values = {
            "batch": batch,
            "before": int(time.time()) - UNCLAIMED,
            "needed": msgspec.json.encode(sorted(set(needed) - {batch})).decode(),
        }
        with self._opened() as database:
            database.execute(vault_block("forget"), values)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection with one transaction, which is durable when it ends."""
        with opened_file(self._path) as database:
            yield database


@contextmanager
def opened_file(path: Path) -> Iterator[sqlite3.Connection]:
    """The file of secrets with one transaction, which is durable when the context ends. Raises `VaultFailed`."""
    try:
        os.close(open_beside(path, os.O_CREAT | os.O_RDWR))
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as database:
            database.execute("pragma secure_delete = on")
            database.execute("pragma synchronous = full")
            # What is not committed stays in memory.
            database.execute("pragma cache_spill = off")
            with database:
                database.execute(vault_block("create"))
                yield database
    except OSError as error:
        raise VaultFailed(
            "the secrets cannot be kept in {path}: {reason}", path=path, reason=error.strerror or ""
        ) from error
    except sqlite3.Error as error:
        raise VaultFailed("the secrets in {path} cannot be used: {error}", path=path, error=error) from error


def vault_block(name: str) -> str:
    """A statement of vault.sql."""
    return sql_block("vault", name, "jobs.access").text
