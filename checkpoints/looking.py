"""A journal that is only looked into: opened read-only, and not created where there is none."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from checkpoints.errors import JournalUnreadable
from checkpoints.place import JournalPlace
from checkpoints.queries import Queries
from checkpoints.sqlite_connection import connect_to_look
from checkpoints.sqlite_queries import SqliteQueries
from checkpoints.sqlite_schema import has_format
from texts.said import said


@contextlib.contextmanager
def look_into(where: Path | JournalPlace) -> Iterator[Queries | None]:
    """The journal's blocks for this thread, None where there is no journal, or an empty one; blocks.

    Raises `JournalUnreadable` and `JournalOtherFormat`, also for what fails within the context.
    """
    place = JournalPlace(where) if isinstance(where, Path) else where
    if place.postgres is not None:
        from checkpoints.postgres_store import look_into_postgres  # noqa: PLC0415 - an extra

        with look_into_postgres(place.postgres) as db:
            yield db
        return
    if not place.path.exists():
        yield None
        return
    try:
        with contextlib.closing(connect_to_look(place.path)) as connection:
            yield SqliteQueries(connection) if has_format(connection, place.path) else None
    except sqlite3.Error as error:
        raise JournalUnreadable(
            said("{path} cannot be read as a journal: {error}", path=place.path, error=error)
        ) from error
