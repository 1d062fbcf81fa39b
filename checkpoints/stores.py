"""The store of a journal by its address: opened to work with, or only to look into."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from checkpoints.address import JournalAddress
from checkpoints.errors import JournalUnreadable
from checkpoints.guards import refuse_held
from checkpoints.journal_file import none_taken_up
from checkpoints.queries import Queries
from checkpoints.sqlite_connection import SqliteQueries, connect_to_look, why_sqlite
from checkpoints.sqlite_store import filled_sqlite, has_format, open_sqlite
from checkpoints.store import Store


def open_store(where: Path | JournalAddress) -> contextlib.AbstractAsyncContextManager[Store]:
    """The store of a journal, which is created where there is none, open for as long as the context lasts."""
    address = address_of(where)
    if address.postgres is None:
        return open_sqlite(address.path)
    from checkpoints.postgres_store import open_postgres  # noqa: PLC0415 - an extra

    return open_postgres(address, address.postgres)


@contextlib.contextmanager
def look_into(where: Path | JournalAddress) -> Iterator[Queries | None]:
    """The blocks of a journal for this thread, read-only, None where there is no journal, or an empty one; blocks.

    Raises `JournalUnreadable` and `JournalOtherFormat`, also for what fails within the context.
    """
    address = address_of(where)
    if address.postgres is not None:
        from checkpoints.postgres_store import look_into_postgres  # noqa: PLC0415 - an extra

        with look_into_postgres(address.postgres) as db:
            yield db
        return
    if not address.path.exists():
        yield None
        return
    try:
        with contextlib.closing(connect_to_look(address.path)) as connection:
            yield SqliteQueries(connection) if has_format(connection, address.path) else None
    except sqlite3.Error as error:
        raise JournalUnreadable(
            "{path} cannot be read as a journal: {error}", path=address.path, error=why_sqlite(error)
        ) from error


@contextlib.contextmanager
def look_into_idle(where: Path | JournalAddress) -> Iterator[Queries | None]:
    """As `look_into`, while no run of the journal is taken up; blocks. Raises `RunHeld` where one is worked on."""
    address = address_of(where)
    if address.postgres is not None:
        from checkpoints.postgres_store import look_into_idle_postgres  # noqa: PLC0415 - an extra

        with look_into_idle_postgres(address.postgres) as db:
            yield db
        return
    if not address.path.exists():
        yield None
        return
    with none_taken_up(address.path) as held, look_into(address) as db:
        if db is not None and held is not None:
            refuse_held(db, held)
        yield db


@contextlib.contextmanager
def filled(where: Path | JournalAddress) -> Iterator[Queries]:
    """A journal that is made where there is none, and written in the context, in one transaction; blocks.

    Raises `JournalUnreadable`, also for what fails within the context, and `JournalOtherFormat`.
    """
    address = address_of(where)
    if address.postgres is None:
        with filled_sqlite(address.path) as db:
            yield db
        return
    from checkpoints.postgres_store import filled_postgres  # noqa: PLC0415 - an extra

    with filled_postgres(address.postgres) as db:
        yield db


def is_there(where: Path | JournalAddress) -> bool:
    """Whether there is a journal; an empty file counts as one; blocks. Raises what `look_into` raises."""
    address = address_of(where)
    if address.postgres is None:
        return address.path.exists()
    with look_into(address) as db:
        return db is not None


def address_of(where: Path | JournalAddress) -> JournalAddress:
    """The address of a journal, of which a path is the whole one of a file."""
    return JournalAddress(where) if isinstance(where, Path) else where
