"""The store of a journal by its address: opened to work with, or only to look into."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from checkpoints.journal_file import JournalAddress
from checkpoints.queries import Queries
from checkpoints.sqlite_store import SqliteStore

if TYPE_CHECKING:
    from checkpoints.postgres_store import PostgresStore


AnyStore: TypeAlias = "SqliteStore | PostgresStore"


def store_of(where: Path | JournalAddress) -> AnyStore:
    """The store of a journal, of which nothing is open yet; a path is the whole address of a file."""
    address = JournalAddress(where) if isinstance(where, Path) else where
    if address.postgres is None:
        return SqliteStore(address)
    from checkpoints.postgres_store import PostgresStore  # noqa: PLC0415 - an extra

    return PostgresStore(address, address.postgres)


def look_into(where: Path | JournalAddress) -> contextlib.AbstractContextManager[Queries | None]:
    """The blocks of a journal for this thread, read-only, None where there is no journal, or an empty one; blocks.

    Raises `JournalUnreadable` and `JournalOtherFormat`, also for what fails within the context.
    """
    return store_of(where).look()


def is_there(where: Path | JournalAddress) -> bool:
    """Whether there is a journal; an empty file counts as one; blocks. Raises what `look_into` raises."""
    store = store_of(where)
    if isinstance(store, SqliteStore):
        return store.path.exists()
    with store.look() as db:
        return db is not None
