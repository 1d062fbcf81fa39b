"""The tables of an import: rows of the main one, and of the joined ones by contract number, become subscribers.

header ──▶ TableColumns        row + its joined rows ──▶ parts of texts ──▶ stages ──▶ Judged

The joined tables are read once, into a temporary SQLite file that no name leads to, so it is gone with its process,
however that ends. Memory does not grow with the rows.
"""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec

from billing.database.schema import Schema
from billing.database.sql_blocks import sql_block
from billing.profile import Profile
from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import DerivedSource, LastLine, Row, RowPage, Source
from engine.sources.detect import open_input
from jobs.access.vault import Vault
from jobs.imports.column_map import TABLE_OF_STEP, ColumnMap
from jobs.imports.subscriber import Judged, Place, Stage, Step, Subscriber, ValueFault
from jobs.imports.table_columns import EMPTY, MadeRow, RowParts, TableColumns, make_row, parts_of_row, seal_secrets
from jobs.rows.binding import guard_rows, without_secrets
from texts.remedies import setting
from texts.said import Quantity, Said, said

MOST: Final = 1000
"""Rows of one contract number in one table, beyond which the subscriber is refused: they are read together."""

_CURSOR: Final = "joined:"
_read: Final = msgspec.json.Decoder(MadeRow).decode


class _Closed(sqlite3.Connection):
    def __del__(self) -> None:
        self.close()


def temporary_database(*statements: str) -> sqlite3.Connection:
    """A database on disk that no name leads to: SQLite unlinks its file as soon as it is open."""
    database = sqlite3.connect("", check_same_thread=False, factory=_Closed)
    with temporary_room():
        for statement in ("pragma journal_mode = off", *statements):
            database.execute(statement)
    return database


@contextmanager
def temporary_room() -> Iterator[None]:
    """Around what writes into unnamed temporary files. Raises `InputRefused` where there is no room for it."""
    try:
        yield
    except sqlite3.Error as error:
        raise InputRefused(
            "what an import reads cannot be kept in the temporary folder: {error}. Make room there, or name another "
            "folder with TMPDIR",
            error=error,
        ) from error


class JoinedTables:
    """The joined tables of a map; used from worker threads, of which one has the database at a time.

    Nothing is read before the first access. All that opens them may raise `InputRefused`.
    """

    def __init__(self, columns: ColumnMap, vault: Vault, *, goes_on: bool = False) -> None:
        self._goes_on = goes_on
        self._map = columns
        self._vault = vault
        self._opened: dict[Step, tuple[Source, TableColumns]] = {}
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    @property
    def columns(self) -> Mapping[Step, TableColumns]:
        return {step: self._table(step)[1] for step in self._map.tables}

    @property
    def notes(self) -> tuple[str, ...]:
        """How each table is read, and which of its columns are used. Raises `InputRefused`."""
        told: list[str] = []
        for source, columns in map(self._table, self._map.tables):
            assigned = columns.assigned
            named = tuple(f"{name} = {column.name}" for name, column in assigned.taken.items())
            told += [said("{table}: {note}", table=source.name, note=note) for note in source.notes]
            told.append(said("{table}: {columns}", table=source.name, columns=named))
            if assigned.unused:
                told.append(said("{table}: not used: {columns}", table=source.name, columns=assigned.unused))
        return tuple(told)

    @property
    def unended(self) -> tuple[LastLine, ...]:
        return tuple(one for step in self._map.tables for one in self._table(step)[0].unended)

    def stage(self, main: Source, number_of: Callable[[Row], str]) -> None:
        """Read all tables, and of the main table its contract numbers. Raises `InputRefused` and `VaultFailed`."""
        with self._lock:
            if self._database is not None or not self._map.tables:
                return
            database = temporary_database(_sql("create_rows"), _sql("create_numbers"))
            with temporary_room(), database:
                for source, columns in map(self._table, self._map.tables):
                    for page in source.pages(None):
                        self._stage(database, columns, page.rows)
                for page in main.pages(None):
                    database.executemany(_sql("know"), [{"number": number_of(row)} for row in page.rows])
            self._database = database

    def of(self, numbers: Collection[str]) -> dict[str, list[RowParts]]:
        """What the rows of these contract numbers make, in the order of their lines; staged before."""
        if self._database is None:
            return {}
        found: dict[str, list[RowParts]] = {}
        counts: dict[tuple[str, str], int] = {}
        tables = self.columns
        values = {"numbers": msgspec.json.encode(sorted(set(numbers))).decode(), "most": MOST + 1}
        with self._lock, temporary_room():
            for number, step, made in self._database.execute(_sql("of_numbers"), values):
                one, columns = _read(made), tables[Step(step)]
                counts[number, step] = counts.get((number, step), 0) + 1
                if counts[number, step] <= MOST:
                    found.setdefault(number, []).append(parts_of_row(columns, one))
                    continue
                most, name = Quantity(MOST), columns.name
                why = said("{table} has more than {most} rows of this contract number", table=name, most=most)
                found[number].append(([], [ValueFault(one.number.place, number, why)]))
        return found

    def refusals(self, after: str | None) -> Iterator[RowPage]:
        """The rows that belong to no subscriber of the main table, or cannot be read, as pages of refusals."""
        begun = after.removeprefix(_CURSOR).partition(":") if is_of_joined(after) and after else None
        for step in self._map.tables:
            if begun is not None and begun[0] != step:
                continue
            for page in self.pages(step, begun[2] if begun else None):
                refused = []
                for one in page.refusals:
                    # Line, column and cells of a refusal are those of the main table: here the reason has them.
                    place = ValueFault(Place(one.line, one.column or "", self._table(step)[1].name), "", one.reason)
                    refused.append(Refusal(None, None, one.label, place.described()))
                yield RowPage((), tuple(refused), f"{_CURSOR}{step}:{page.cursor}")
            begun = None

    def pages(self, step: Step, after: str | None = None) -> Iterator[RowPage]:
        """All rows of a table as they are, with the refusals of those that are nobody's or cannot be read; staged."""
        source, columns = self._table(step)
        for page in source.pages(after):
            refusals = list(page.refusals)
            if self._database is not None:
                numbers = [make_row(columns, row).number for row in page.rows]
                values = {"numbers": msgspec.json.encode([one.text for one in numbers]).decode()}
                with self._lock, temporary_room():
                    known = {number for (number,) in self._database.execute(_sql("known"), values)}
                for one in (one for one in numbers if one.text not in known):
                    reason = said("the main table has no such contract number") if one.text else EMPTY
                    refusals.append(Refusal(one.place.line, one.place.column, one.text[:64], reason))
            yield RowPage(page.rows, tuple(refusals), page.cursor)

    def header(self, step: Step) -> tuple[str, ...]:
        return self._table(step)[0].header

    def _table(self, step: Step) -> tuple[Source, TableColumns]:
        if step not in self._opened:
            file, name = self._map.tables[step], TABLE_OF_STEP[step]
            if not file.file:
                raise InputRefused(
                    "the map describes the table {name} and names no file of it: give it with {flag}",
                    name=name,
                    flag=setting(name, "FILE"),
                )
            source = open_input(Path(file.file), replace(file.layout, table=name))
            columns = TableColumns(source.name, source.header, self._map, step, goes_on=self._goes_on)
            self._opened[step] = guard_rows(source, columns.secret_places), columns
        return self._opened[step]

    def _stage(self, database: sqlite3.Connection, columns: TableColumns, rows: Sequence[Row]) -> None:
        made = [make_row(columns, row) for row in rows]
        seal_secrets(columns.fields, made, self._vault)
        entries = [
            {
                "number": number,
                "step": columns.joined,
                "line": row.line or 0,
                "made": msgspec.json.encode(one).decode(),
            }
            for row, one in zip(rows, made, strict=True)
            if (number := one.number.text)
        ]
        database.executemany(_sql("stage"), entries)


def is_of_joined(cursor: str | None) -> bool:
    return cursor is not None and cursor.startswith(_CURSOR)


def _sql(name: str) -> str:
    return sql_block("tables", name, "jobs.imports").text


# ---- the reader ---------------------------------------------------------------------------------------------------


_ORDER: Final = {step: place for place, step in enumerate(Step)}


class SubscriberReader:
    """Reads the subscribers of a main table by a map; used from worker threads, also several at a time.

    `stages` are applied in their order to each subscriber, those of one with faults too: a person sees all of them at
    once. Secrets go into the `vault`, and the rows keep dots. Whatever opens the tables may raise `InputRefused`; one
    that `goes_on` reads the columns that fit, see `TableColumns`.
    """

    def __init__(
        self,
        main: Source,
        columns: ColumnMap,
        stages: Sequence[Stage] = (),
        vault: Vault | None = None,
        *,
        goes_on: bool = False,
    ) -> None:
        self._goes_on = goes_on
        self._main = main
        self._map = columns
        self._stages = stages
        self._vault = vault or Vault()
        self.tables = JoinedTables(columns, self._vault, goes_on=goes_on)

    @cached_property
    def columns(self) -> TableColumns:
        return TableColumns(self._main.name, self._main.header, self._map, goes_on=self._goes_on)

    @property
    def all_columns(self) -> tuple[TableColumns, ...]:
        return (self.columns, *self.tables.columns.values())

    @cached_property
    def source(self) -> Source:
        """The rows of the main table, and behind them the refusals of joined rows that belong to none of them."""
        return _WithJoined(guard_rows(self._main, self.columns.secret_places), self)

    def absent_fields(self, schema: Schema | None, profile: Profile) -> list[Said]:
        """What to say of fields that the billing lacks, and what to do. Raises `InputRefused`."""
        fields = self._map.fields
        absent = fields.absent([field for table in self.all_columns for field in table.used], schema, profile)
        return [
            said("{fault}: leave it out with {map}", fault=fault, map=setting("map", f"{fields.typed(step, name)}="))
            for step, name, fault in absent
        ]

    def require_key(self) -> None:
        """Raise `VaultLocked` where the rows have secrets that could not be kept, and `InputRefused`."""
        if any(table.has_secrets for table in self.all_columns):
            self._vault.require_key()

    def stage(self) -> None:
        """Read the joined tables, if there are any. Raises `InputRefused` and `VaultFailed`."""
        self.tables.stage(self._main, lambda row: make_row(self.columns, row).number.text)

    def examine(self, rows: Sequence[Row], *, only_seen: bool = False) -> list[Judged]:
        """The subscriber of each row, as far as it could be read, and its faults.

        Of rows that are `only_seen`, to be examined once more, the vault keeps nothing. Raises `InputRefused` and
        `VaultFailed`.
        """
        self.stage()
        made = [make_row(self.columns, row) for row in rows]
        seal_secrets(self.columns.fields, made, Vault() if only_seen else self._vault)
        joined = self.tables.of([one.number.text for one in made])
        examined: list[Judged] = []
        for row, one in zip(rows, made, strict=True):
            read = [parts_of_row(self.columns, one), *joined.get(one.number.text, ())]
            parts = sorted((part for own, _ in read for part in own), key=lambda part: _ORDER[part.step])
            subscriber = Subscriber(without_secrets(row, self.columns.secret_places), one.number.text, tuple(parts))
            judged = Judged(subscriber, [fault for _, found in read for fault in found])
            for stage in self._stages:
                judged.go_through(stage)
            examined.append(judged)
        return examined


class _WithJoined(DerivedSource):
    """The main table, and behind it the refusals of the joined ones."""

    __slots__ = ("_reader",)

    def __init__(self, main: Source, reader: SubscriberReader) -> None:
        super().__init__(main)
        self._reader = reader

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._inner.notes, *self._reader.tables.notes)

    @property
    def unended(self) -> tuple[LastLine, ...]:
        return (*self._inner.unended, *self._reader.tables.unended)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        if not is_of_joined(after):
            yield from self._inner.pages(after)
        self._reader.stage()
        yield from self._reader.tables.refusals(after)
