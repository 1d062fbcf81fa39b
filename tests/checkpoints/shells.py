"""What the tests look at, and change, behind the back of the journal."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol, cast

import psycopg

from checkpoints.journal_file import JournalAddress


class Shell(Protocol):
    """A connection in autocommit mode; parameters are `?`."""

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Any: ...


class _Postgres:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Any:
        return self._connection.execute(cast("Any", sql.replace("?", "%s")), parameters)


@contextmanager
def shell(place: JournalAddress) -> Iterator[Shell]:
    """A connection to the tables of a journal."""
    if place.postgres is None:
        with closing(sqlite3.connect(place.path, isolation_level=None)) as connection:
            yield connection
        return
    options = f"-c search_path={place.postgres.schema}"
    with psycopg.connect(place.postgres.url, autocommit=True, options=options) as server:
        yield _Postgres(server)
