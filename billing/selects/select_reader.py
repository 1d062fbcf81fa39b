"""The rows of a select, page by page and resumable: along its key, or all read at once into a file.

Along a key each page has a short transaction of its own, and its cursor is the last key. Without a key, all rows are
read in one short transaction into an unnamed temporary file, which serves the pages: no transaction of the billing
stays open while rows are worked on. The cursor is then "rows:digest", the number and the digest of the rows taken. A
resumed reader reads the select again, and continues only if it still begins with the same rows.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Final

import msgspec

from billing.database.columns import SelectColumn
from billing.database.database import Database
from billing.database.sql_blocks import Value
from billing.errors import NoRoom, RowsChanged
from billing.selects.cells import SelectedRow, as_cells
from billing.selects.key_pages import AFTER, SIZE, Walk, walk_of
from billing.selects.select import Select, columns, told_plainly
from texts.said import counted, said

PAGE_ROWS: Final = 1_000
_BETWEEN: Final = ":"

_encode: Final = msgspec.json.Encoder().encode
_row_of: Final = msgspec.json.Decoder(SelectedRow).decode


@dataclass(frozen=True, slots=True)
class SelectedPage:
    """Some rows in order, and the cursor after them."""

    rows: tuple[SelectedRow, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class SelectReader:
    """A checked select with the values of its parameters; no row is read yet."""

    database: Database
    select: Select
    values: Mapping[str, Value]
    columns: tuple[SelectColumn, ...]
    walk: Walk | None

    @property
    def at_once(self) -> bool:
        """Whether all rows are read at once instead of page by page along the key."""
        return self.walk is None or not self.walk.along_index

    def pages(self, after: str | None = None, *, size: int = PAGE_ROWS) -> Iterator[SelectedPage]:
        """The pages after a cursor, or from the start for None.

        Raises `DatabaseAway`, `StatementRefused`; `RowsChanged` when a select that is read at once no longer begins
        with the rows before the cursor; `NoRoom` when the temporary folder is full.
        """
        at_once = self.at_once if after is None else _BETWEEN in after
        if at_once:
            return self._kept_pages(after, size)
        if self.walk is None:
            raise RowsChanged(said("the rows were read along a key, and this select has none: begin a new run"))
        return self._key_pages(self.walk, after, size)

    def _key_pages(self, walk: Walk, after: str | None, size: int) -> Iterator[SelectedPage]:
        write = as_cells(self.columns)
        statement, values = walk.first, {**self.values, SIZE: size}
        if after is not None:
            statement, values = walk.next, {**values, AFTER: int(after)}
        while True:
            with told_plainly(self.database, statement):
                found = list(self.database.query(statement, values))
            if found:
                yield SelectedPage(tuple(map(write, found)), str(found[-1][0]))
            if len(found) < size:
                return
            statement, values = walk.next, {**values, AFTER: found[-1][0]}

    def _kept_pages(self, after: str | None, size: int) -> Iterator[SelectedPage]:
        digest = hashlib.blake2b(_encode([column.name for column in self.columns]), digest_size=16)
        try:
            with tempfile.TemporaryFile() as file:
                self._keep(file)
                taken = _skip(file, after, digest)
                while lines := list(islice(file, size)):
                    digest.update(b"".join(lines))
                    taken += len(lines)
                    yield SelectedPage(tuple(map(_row_of, lines)), _cursor(taken, digest))
        except OSError as error:
            raise NoRoom(
                "the rows cannot be kept in the temporary folder {folder}: {why}. Free some room there, or name "
                "another folder with TMPDIR",
                folder=tempfile.tempdir or "",
                why=error.strerror or str(error),
            ) from error

    def _keep(self, file: IO[bytes]) -> None:
        """Write all rows to the file, a line each, in one transaction."""
        statement = self.select.statement
        write = as_cells(self.columns)
        with told_plainly(self.database, statement):
            rows = self.database.query(statement, self.values)
            file.writelines(_encode(write(row)) + b"\n" for row in rows)
        file.seek(0)


def reading(
    database: Database, select: Select, values: Mapping[str, Value] | None = None, names: Sequence[str] = ()
) -> SelectReader:
    """The reader of a select; `names` replace the names of its columns.

    Raises `DatabaseAway`, `StatementRefused`.
    """
    values = values or {}
    found = columns(database, select, values, names)
    return SelectReader(database, select, values, found, walk_of(database, select, found, values))


def _skip(file: IO[bytes], after: str | None, digest: "hashlib.blake2b") -> int:
    """Skip the rows before a cursor; their number. Raises `RowsChanged` when they have changed."""
    if after is None:
        return 0
    rows = int(after.partition(_BETWEEN)[0])
    for line in islice(file, rows):
        digest.update(line)
    if _cursor(rows, digest) != after:
        raise RowsChanged(
            counted(
                "the first row is no longer the one that was taken before, and so nobody can tell which are still to "
                "come: begin a new run",
                "the first {n} rows are no longer those that were taken before, or come in another order, and so "
                "nobody can tell which are still to come: begin a new run",
                rows,
            )
        )
    return rows


def _cursor(rows: int, digest: "hashlib.blake2b") -> str:
    return f"{rows}{_BETWEEN}{digest.hexdigest()}"
