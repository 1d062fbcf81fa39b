"""The reader of an import: rows of the main table and of the joined ones become subscribers, or refusals.

header ──▶ TableColumns        row + its joined rows ──▶ parts of texts ──▶ stages ──▶ Judged
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from billing.database.schema import Schema
from billing.profile import Profile
from engine.errors import InputRefused
from engine.rows import DerivedSource, LastLine, Row, RowPage, Source
from jobs.access.vault import Vault
from jobs.imports.column_map import ColumnMap
from jobs.imports.subscriber import Judged, Stage, Step, Subscriber
from jobs.imports.table_columns import TableColumns, make_row, parts_of_row, seal_secrets
from jobs.imports.tables import JoinedTables, is_of_joined
from jobs.rows.secret_cells import guard_rows, without_secrets
from texts.remedies import setting
from texts.said import in_lines, said

_ORDER: Final = {step: place for place, step in enumerate(Step)}


class SubscriberReader:
    """Reads the subscribers of a main table by a map; used from worker threads, also several at a time.

    `stages` are applied in their order to each subscriber, those of one with faults too: a person sees all of them at
    once. Secrets go into the `vault`, and the rows keep dots. Whatever opens the tables may raise `InputRefused`.
    """

    def __init__(
        self, main: Source, columns: ColumnMap, stages: Sequence[Stage] = (), vault: Vault | None = None
    ) -> None:
        self._main = main
        self._map = columns
        self._stages = tuple(stages)
        self._vault = vault or Vault()
        self.tables = JoinedTables(columns, self._vault)

    @cached_property
    def columns(self) -> TableColumns:
        """The columns of the main table. Raises `InputRefused`."""
        return TableColumns(self._main.name, self._main.header, self._map)

    @cached_property
    def source(self) -> Source:
        """The rows of the main table, and behind them the refusals of joined rows that belong to none of them."""
        return _WithJoined(guard_rows(self._main, self.columns.secret_places), self)

    def check_fields(self, schema: Schema | None, profile: Profile) -> None:
        """Raise `InputRefused` for fields that the billing lacks, each with its column and what to do."""
        fields, tables = self._map.fields, (self.columns, *self.tables.columns.values())
        absent = fields.absent([field for table in tables for field in table.used], schema, profile)
        lines = [
            said("{fault}: leave it out with {map}", fault=fault, map=setting("map", f"{fields.typed(field)}="))
            for field, fault in absent
        ]
        if lines:
            raise InputRefused(in_lines(lines))

    def require_key(self) -> None:
        """Raise `VaultLocked` where the rows have secrets that could not be kept, and `InputRefused`."""
        if any(table.has_secrets for table in (self.columns, *self.tables.columns.values())):
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
            faults = [fault for _, found in read for fault in found]
            for stage in self._stages:
                subscriber, more = stage(subscriber)
                faults += more
            examined.append(Judged(subscriber, faults))
        return examined


class _WithJoined(DerivedSource):
    """The main table, and behind it the refusals of the joined ones."""

    __slots__ = ("_reader",)

    def __init__(self, main: Source, reader: SubscriberReader) -> None:
        super().__init__(main)
        self._reader = reader

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of the main table, and those of the joined ones. Raises `InputRefused`."""
        return (*self._inner.notes, *self._reader.tables.notes)

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last lines of all tables that may have been cut. Raises `InputRefused`."""
        return (*self._inner.unended, *self._reader.tables.unended)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`."""
        if not is_of_joined(after):
            yield from self._inner.pages(after)
        self._reader.stage()
        yield from self._reader.tables.refusals(after)
