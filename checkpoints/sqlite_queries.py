"""The blocks of `queries.sql` on a connection of SQLite, and the text of its schema."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from checkpoints.errors import JournalUnreadable
from checkpoints.queries import FoundRow, Queries, Result, Value, bind, blocks, text_of_file, view_of_effects
from texts.said import said

FIRST_CONVERTED: Final = 5


def schema() -> str:
    """The tables, triggers and views of a journal."""
    return text_of_file("schema.sql")


def upgrade(found: int) -> str:
    """What makes a journal of format 5 or 6 a journal of this format."""
    first = text_of_file("upgrade_5.sql") + view_of_effects(schema()) if found == FIRST_CONVERTED else ""
    return first + text_of_file("upgrade_6.sql")


def upgrade_early() -> str:
    """What makes an early journal of that format one with its last tables, before it is upgraded."""
    return text_of_file("upgrade_5_early.sql")


class SqliteQueries(Queries):
    """Runs blocks on a connection of SQLite. Raises `sqlite3.Error`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def each(self, name: str, /, **values: Value) -> Iterator[FoundRow]:
        """The rows of a block, read one by one."""
        return self._connection.execute(blocks()[name], bind(values))

    def first(self, name: str, /, **values: Value) -> FoundRow | None:
        """The first row of a block, None if there is none."""
        row: FoundRow | None = self._connection.execute(blocks()[name], bind(values)).fetchone()
        return row

    def write(self, name: str, /, **values: Value) -> int:
        """Run a block that writes; returns the number of rows written."""
        return self._connection.execute(blocks()[name], bind(values)).rowcount

    def check(self, name: str, judge: Callable[[int], None], /, **values: Value) -> None:
        """Run a block, and give `judge` the number of its rows at once."""
        cursor = self._connection.execute(blocks()[name], bind(values))
        found = len(cursor.fetchall())
        judge(found if cursor.description else cursor.rowcount)

    def items(self, name: str, /, **values: Value) -> str:
        """The items of a block, as one JSON text for `rows.to_items`."""
        sql = f"with found as (\n{blocks()[name]}\n)\n{blocks()['as_items']}"
        text: str = self._connection.execute(sql, bind(values)).fetchone()[0]
        return text

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read transaction: all reads inside see the same state."""
        self._connection.execute("begin")
        try:
            yield
        finally:
            self._connection.execute("rollback")

    def attempt(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work`. Raises `JournalUnreadable` where SQLite fails."""
        try:
            return work(self)
        except sqlite3.Error as error:
            raise JournalUnreadable(said("the journal cannot be read: {error}", error=error)) from error
