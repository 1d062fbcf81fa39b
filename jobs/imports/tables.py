"""The joined tables of an import: accounts, services and attributes by contract number.

They are read once, into a temporary SQLite file that no name leads to: SQLite unlinks it as soon as it is open, so it
is gone with its process, however that ends. Memory does not grow with the rows.
"""

import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from billing.database.sql_blocks import sql_block
from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import LastLine, Row, RowPage, Source
from engine.sources.detect import open_input
from jobs.access.vault import Vault
from jobs.imports.column_map import TABLE_OF_STEP, ColumnMap
from jobs.imports.seen_values import temporary_room
from jobs.imports.subscriber import Step, ValueFault
from jobs.imports.table_columns import EMPTY, MadeRow, RowParts, TableColumns, make_row, parts_of_row, seal_secrets
from jobs.rows.secret_cells import guard_rows
from texts.remedies import setting
from texts.said import Quantity, said

MOST: Final = 1000
"""Rows of one contract number in one table, beyond which the subscriber is refused: they are read together."""

_CURSOR: Final = "joined:"
_read: Final = msgspec.json.Decoder(MadeRow).decode


class JoinedTables:
    """The joined tables of a map; used from worker threads, of which one has the database at a time.

    Nothing is read before the first access. `sources` may raise `InputRefused`, as all that reads them does.
    """

    def __init__(self, columns: ColumnMap, vault: Vault) -> None:
        self._map = columns
        self._vault = vault
        self._opened: dict[Step, tuple[Source, TableColumns]] = {}
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    @property
    def columns(self) -> Mapping[Step, TableColumns]:
        """The columns of each table. Raises `InputRefused`."""
        return {step: self._table(step)[1] for step in self._map.tables}

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each table's file by the name of the table. Raises `InputRefused`."""
        return {TABLE_OF_STEP[step]: self._table(step)[0].digest for step in self._map.tables}

    @property
    def notes(self) -> tuple[str, ...]:
        """How each table is read, and which of its columns are used. Raises `InputRefused`."""
        told: list[str] = []
        for step in self._map.tables:
            source, columns = self._table(step)
            assigned = columns.assigned
            named = tuple(f"{name} = {column.name}" for name, column in assigned.taken.items())
            told += [said("{table}: {note}", table=source.name, note=note) for note in source.notes]
            told.append(said("{table}: {columns}", table=source.name, columns=named))
            if assigned.unused:
                told.append(said("{table}: not used: {columns}", table=source.name, columns=assigned.unused))
        return tuple(told)

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last lines of the tables that may have been cut. Raises `InputRefused`."""
        return tuple(one for step in self._map.tables for one in self._table(step)[0].unended)

    def stage(self, main: Source, number_of: Callable[[Row], str]) -> None:
        """Read all tables, and of the main table its contract numbers. Raises `InputRefused` and `VaultFailed`."""
        with self._lock:
            if self._database is None and self._map.tables:
                self._database = self._staged(main, number_of)

    def of(self, numbers: Collection[str]) -> dict[str, list[RowParts]]:
        """What the rows of these contract numbers make, in the order of their lines; staged before."""
        if self._database is None:
            return {}
        found: dict[str, list[RowParts]] = {}
        counts: dict[tuple[str, str], int] = {}
        values = {"numbers": msgspec.json.encode(sorted(set(numbers))).decode(), "most": MOST + 1}
        tables = self.columns
        with self._lock, temporary_room():
            for number, step, made in self._database.execute(_sql("of_numbers"), values):
                one, columns = _read(made), tables[Step(step)]
                counts[number, step] = counts.get((number, step), 0) + 1
                if counts[number, step] <= MOST:
                    found.setdefault(number, []).append(parts_of_row(columns, one))
                else:
                    too_many = said(
                        "{table} has more than {most} rows of this contract number",
                        table=columns.name,
                        most=Quantity(MOST),
                    )
                    fault = ValueFault(one.number.place, number, too_many)
                    found[number].append(RowParts(one.number, (), (fault,)))
        return found

    def refusals(self, after: str | None) -> Iterator[RowPage]:
        """The rows that belong to no subscriber of the main table, or cannot be read, as pages of refusals."""
        begun = after.removeprefix(_CURSOR).partition(":") if after and after.startswith(_CURSOR) else None
        for step in self._map.tables:
            if begun is not None and begun[0] != step:
                continue
            source, columns = self._table(step)
            for page in source.pages(begun[2] if begun else None):
                refused = (*page.refusals, *self._orphans(columns, page.rows))
                yield RowPage((), tuple(_of_table(columns, one) for one in refused), f"{_CURSOR}{step}:{page.cursor}")
            begun = None

    def pages(self, step: Step) -> Iterator[RowPage]:
        """All rows of a table as they are, with the refusals of those that are nobody's or cannot be read; staged."""
        source, columns = self._table(step)
        for page in source.pages(None):
            yield RowPage(page.rows, (*page.refusals, *self._orphans(columns, page.rows)), page.cursor)

    def header(self, step: Step) -> tuple[str, ...]:
        """The names of the columns of a table. Raises `InputRefused`."""
        return self._table(step)[0].header

    def _table(self, step: Step) -> tuple[Source, TableColumns]:
        if step not in self._opened:
            file = self._map.tables[step]
            if not file.file:
                name = TABLE_OF_STEP[step]
                raise InputRefused(
                    "the map describes the table {name} and names no file of it: give it with {flag}",
                    name=name,
                    flag=setting(name, "FILE"),
                )
            source = open_input(Path(file.file), replace(file.layout, table=TABLE_OF_STEP[step]))
            columns = TableColumns(source.name, source.header, self._map, step)
            self._opened[step] = guard_rows(source, columns.secret_places), columns
        return self._opened[step]

    def _staged(self, main: Source, number_of: Callable[[Row], str]) -> sqlite3.Connection:
        # In an unlinked file of SQLite's temporary folder; used by several threads, one after another.
        database = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, database.close)
        with temporary_room():
            for name in ("as_files", "attach", "create_rows", "create_numbers"):
                database.execute(_sql(name))
        with temporary_room(), database:
            for step in self._map.tables:
                source, columns = self._table(step)
                for page in source.pages(None):
                    self._stage(database, columns, page.rows)
            for page in main.pages(None):
                numbers = [{"number": number_of(row)} for row in page.rows]
                database.executemany(_sql("know"), numbers)
        return database

    def _stage(self, database: sqlite3.Connection, columns: TableColumns, rows: Sequence[Row]) -> None:
        made = [make_row(columns, row) for row in rows]
        seal_secrets(columns.fields, made, self._vault)
        database.executemany(
            _sql("stage"),
            [
                {
                    "number": one.number.text,
                    "step": columns.joined,
                    "line": row.line or 0,
                    "made": msgspec.json.encode(one).decode(),
                }
                for row, one in zip(rows, made, strict=True)
                if one.number.text
            ],
        )

    def _orphans(self, columns: TableColumns, rows: Sequence[Row]) -> Iterator[Refusal]:
        """The refusals of rows whose contract number is not in the main table."""
        numbers = [make_row(columns, row).number for row in rows]
        values = {"numbers": msgspec.json.encode([one.text for one in numbers]).decode()}
        if self._database is None:
            return
        with self._lock, temporary_room():
            known = {number for (number,) in self._database.execute(_sql("known"), values)}
        for one in numbers:
            if one.text not in known:
                reason = said("the main table has no such contract number") if one.text else EMPTY
                yield Refusal(one.place.line, one.place.column, one.text[:64], reason)


def is_of_joined(cursor: str | None) -> bool:
    """Whether a cursor is behind the main table."""
    return cursor is not None and cursor.startswith(_CURSOR)


def _of_table(columns: TableColumns, refusal: Refusal) -> Refusal:
    """The refusal with its table: line, column and cells of a refusal are those of the main table."""
    if refusal.column is None:
        reason = said(
            "{table}, line {line}: {reason}", table=columns.name, line=refusal.line or 0, reason=refusal.reason
        )
    else:
        reason = said(
            "{table}, line {line}, column {column}: {reason}",
            table=columns.name,
            line=refusal.line or 0,
            column=refusal.column,
            reason=refusal.reason,
        )
    return Refusal(None, None, refusal.label, reason)


def _sql(name: str) -> str:
    return sql_block("tables", name, "jobs.imports").text
