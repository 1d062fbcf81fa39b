"""The journal's SQL: runs the named blocks of `queries.sql` on one connection, and reads `schema.sql`.

A block begins with a line `-- name: <name>`. Its parameters are named; a list is passed as one JSON text, which the
block reads with `json_each`. For a sentence `:why`, what is kept of its template is `:why_said`. Rows are read by the
names of their columns.
"""

import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from texts.stored import to_json

Row = sqlite3.Row
Value = str | int | None | Collection[object]
"""The value of a parameter; a collection is passed as one JSON text."""

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


def schema() -> str:
    """The tables, triggers and views of a journal."""
    return _text("schema.sql")


def upgrade() -> str:
    """What makes a journal of the format before this one a journal of this format."""
    return _text("upgrade_5.sql")


def upgrade_early() -> str:
    """What makes an early journal of that format one with its last tables, before it is upgraded."""
    return _text("upgrade_5_early.sql")


@cache
def blocks() -> Mapping[str, str]:
    """The blocks of `queries.sql` by their names."""
    _, *parts = _NAME.split(_text("queries.sql"))
    return dict(zip(parts[::2], (body.strip() for body in parts[1::2]), strict=True))


class Queries:
    """Runs blocks on a connection, inside its open transaction. Raises `sqlite3.Error`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def each(self, name: str, /, **values: Value) -> Iterator[Row]:
        """The rows of a block, read one by one."""
        return self._run(blocks()[name], values)

    def all(self, name: str, /, **values: Value) -> list[Row]:
        """All rows of a block."""
        return self._run(blocks()[name], values).fetchall()

    def first(self, name: str, /, **values: Value) -> Row | None:
        """The first row of a block, None if there is none."""
        row: Row | None = self._run(blocks()[name], values).fetchone()
        return row

    def one(self, name: str, /, **values: Value) -> Row:
        """The row of a block that always has one. Raises `LookupError` if it has none."""
        row = self.first(name, **values)
        if row is None:
            raise LookupError(f"the block {name} has found no row")
        return row

    def write(self, name: str, /, **values: Value) -> int:
        """Run a block that writes; returns the number of rows written."""
        return self._run(blocks()[name], values).rowcount

    def items(self, name: str, /, **values: Value) -> str:
        """The items of a block, as one JSON text for `sqlite_rows.to_items`."""
        text: str = self._run(f"with found as (\n{blocks()[name]}\n)\n{blocks()['as_items']}", values).fetchone()[0]
        return text

    def define(self, name: str, arguments: int, function: Callable[..., str | bool]) -> None:
        """Let the blocks of this connection use a function of so many arguments."""
        self._connection.create_function(name, arguments, function)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read transaction: all reads inside see the same state."""
        self._connection.execute("begin")
        try:
            yield
        finally:
            self._connection.execute("rollback")

    def _run(self, sql: str, values: Mapping[str, Value]) -> sqlite3.Cursor:
        kept = {f"{name}_said": to_json(value) for name, value in values.items() if isinstance(value, str)}
        return self._connection.execute(sql, kept | {name: _bound(value) for name, value in values.items()})


def _bound(value: Value) -> str | int | None:
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        return _encode(dict(value)).decode()
    return _encode(value if isinstance(value, Sequence) else list(value)).decode()


def _text(file: str) -> str:
    return files("checkpoints").joinpath(file).read_text(encoding="utf-8")
