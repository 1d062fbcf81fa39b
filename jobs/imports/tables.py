"""The tables of an import: rows of the main one, and of the joined ones by contract number, become subscribers.

header ──▶ TableColumns        row + its joined rows ──▶ parts of texts ──▶ stages ──▶ Judged

Columns are found by the map first, then by the usual names. Nothing is guessed: a column that the map names and the
table lacks is refused, and two that fit are a question.

The joined tables are read once, into a temporary SQLite file that no name leads to, so it is gone with its process,
however that ends. Memory does not grow with the rows.
"""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from billing.database.schema import Schema
from billing.database.sql_blocks import sql_block
from billing.money import AmountError, parse_amount, wire
from billing.profile import Profile
from billing.secret import PLACEHOLDER
from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import DerivedSource, LastLine, Row, RowPage, Source
from engine.sources.detect import open_input
from jobs.access.vault import Vault
from jobs.imports.column_map import TABLE_OF_STEP, CellRule, ColumnMap, Condition, PartRule
from jobs.imports.fields import SEVERAL, FieldKind, FieldTable, ModelField, part_key
from jobs.imports.subscriber import (
    APART,
    NUMBER,
    STEP_NAMES,
    Judged,
    Part,
    Place,
    Stage,
    Step,
    Subscriber,
    Value,
    ValueFault,
    folder_path,
)
from jobs.rows.binding import guard_rows, secret_places, without_secrets
from jobs.spec.columns import Assigned, Column, locate, normalise_header, titled, titles_of
from texts.said import Quantity, Said, in_lines, said, setting, text_of

# ---- which column is which field, and the parts that a row makes: texts with their places -------------------------


@dataclass(frozen=True, slots=True)
class FieldColumns:
    """A field with its rule and the columns of it, none for a constant."""

    step: Step
    name: str
    field: ModelField
    rule: CellRule
    columns: tuple[Column, ...]

    @property
    def has_value(self) -> bool:
        return bool(self.columns) or self.rule.value is not None


@dataclass(frozen=True, slots=True)
class PartColumns:
    """The fields of one account, service or attribute, and the column of its condition."""

    step: Step
    fields: tuple[FieldColumns, ...]
    condition: Condition | None = None
    tested: Column | None = None


class ColumnFault(NamedTuple):
    """Why a header and a map do not fit; `kind` is the reference that a missing column names, "" for none."""

    why: str
    kind: str = ""


class TableColumns:
    """The columns of one table; `joined` is the step that a joined table is for, None for the main one.

    Where the map and the header do not fit each other, or a field that is needed has no column, it raises
    `InputRefused` with all faults. One that `goes_on` has them as its `faults`, and the columns that fit; it raises
    only without a column of contract numbers. `lacking` has by step of which nobody gets anything the field whose
    column is missing, and the unused columns that are called as if they belonged to it.
    """

    def __init__(
        self,
        name: str,
        header: Sequence[str],
        columns: ColumnMap,
        joined: Step | None = None,
        *,
        goes_on: bool = False,
    ) -> None:
        self.faults: list[ColumnFault] = []
        self._wrong: set[tuple[Step, str]] = set()
        self.lacking: dict[Step, tuple[str, tuple[str, ...]]] = {}
        self.name = name
        self.joined = joined
        self.fields = columns.fields
        self.by_step = {step: columns.fields.of_step(step) for step in Step}
        self._header = tuple(header)
        self._titles = ", ".join(title.strip() for title in header)
        self._taken: set[int] = set()
        if joined is None:
            steps = [step for step in Step if step in SEVERAL and step not in columns.tables]
            rules_once = columns.once
        else:
            steps, number = [joined], columns.tables[joined].number
            rules_once = {} if number is None else {NUMBER: number}
        of_once = {
            name: (step, one)
            for step, name, one in self.fields.names()
            if step not in SEVERAL and (joined is None or name == NUMBER)
        }
        once = {
            name: self._mapped(step, name, rules_once[name])
            for name, (step, _) in of_once.items()
            if name in rules_once
        }
        rules = [rule for step in steps for rule in columns.of_step(step) or (PartRule(step, {}),)]
        parts = [
            PartColumns(
                rule.step,
                tuple(self._mapped(rule.step, name, one) for name, one in rule.rules.items()),
                rule.when,
                next(iter(self._columns((rule.when.column,), rule.when.where)), None) if rule.when else None,
            )
            for rule in rules
        ]
        usual = self._usual({name: one for name, one in of_once.items() if name not in once}, rules)
        found = {name: once.get(name) or usual.get(name) for name in of_once}
        self.once = {name: one for name, one in found.items() if one is not None and one.has_value}
        self._require(self.once, Step.SUBSCRIBER, [NUMBER] if joined else self._needed(Step.SUBSCRIBER))
        completed: list[PartColumns] = []
        for rule, part in zip(rules, parts, strict=True):
            further = (one for one in usual.values() if one.step is rule.step)
            there = {one.name: one for one in (*part.fields, *further) if one.has_value}
            needed = self._needed(rule.step)
            if joined is None and any(one.name in needed and one.rule.takes_nothing for one in part.fields):
                continue
            # A part that nobody has asked for is there if its first needed field is.
            if joined is not None or rule.rules or needed[0] in there:
                self._require(there, rule.step, needed, rule.where)
                completed.append(replace(part, fields=tuple(there.values())))
        self.parts = tuple(completed)
        told = {one.step for one in (*once.values(), *self.once.values(), *self._of_parts)}
        for step in (*steps, Step.TARIFF) if joined is None else ():
            if step not in told and not columns.of_step(step) and (titles := self._called_as(step)):
                self.lacking[step] = next(iter(self._needed(step) or self.by_step[step])), titles
        if self.faults and (not goes_on or NUMBER not in self.once):
            raise InputRefused(in_lines([one.why for one in self.faults]))
        self.number = self.once[NUMBER]

    @property
    def _of_parts(self) -> list[FieldColumns]:
        return [field for part in self.parts for field in part.fields]

    @property
    def used(self) -> list[FieldColumns]:
        return [*self.once.values(), *self._of_parts]

    @property
    def unused(self) -> list[Column]:
        used = {column.place for one in self.used for column in one.columns}
        used |= {part.tested.place for part in self.parts if part.tested}
        return [Column(title.strip(), place) for place, title in enumerate(self._header) if place not in used]

    def _called_as(self, step: Step) -> tuple[str, ...]:
        """The unused columns of which the title, or a word in it, is a usual name of a field of the step."""
        fields = (one for one in self.by_step[step].items() if not (one[1].own_table or one[1].comes_along))
        names = {title for name, one in fields for title in titles_of(name, one.columns)}
        titles = [column.name for column in self.unused]
        return tuple(one for one in titles if not names.isdisjoint(map(normalise_header, (one, *one.split()))))

    @property
    def assigned(self) -> Assigned:
        named = {one.name: one.columns for one in self.once.values()}
        for step in SEVERAL:
            parts = [part for part in self.parts if part.step is step]
            for number, part in enumerate(parts, 1):
                owner = f"{step} {number}" if len(parts) > 1 else step.value
                named |= {f"{owner}.{one.name}": one.columns for one in part.fields}
                named |= {f"{owner}.when": (part.tested,)} if part.tested else {}
        return Assigned.of(self._header, named)

    @cached_property
    def secret_places(self) -> frozenset[int]:
        """The places of the columns with secrets, counted from 0."""
        secret = [(name, one) for _, name, one in self.fields.names() if one.kind is FieldKind.SECRET]
        called = [word for name, one in secret for word in (name, *one.columns)]
        own = (one for one in self._of_parts if one.field.kind is FieldKind.SECRET)
        return secret_places(self._header, called) | {column.place for one in own for column in one.columns}

    @property
    def has_secrets(self) -> bool:
        secret = (one for one in self._of_parts if one.field.kind is FieldKind.SECRET)
        return any(one.columns or one.rule.value for one in secret)

    # ---- by the map ----

    def _mapped(self, step: Step, name: str, rule: CellRule) -> FieldColumns:
        columns = self._columns(rule.columns, rule.where)
        if len(columns) < len(rule.columns):
            self._wrong.add((step, name))
        return FieldColumns(step, name, self.by_step[step][name], rule, columns)

    def _columns(self, titles: Sequence[str], where: str) -> tuple[Column, ...]:
        """The columns of titles that the map names, which fit nothing else then."""
        found: list[Column] = []
        for title in titles:
            try:
                found.append(titled(self.name, self._header, title, where))
            except InputRefused as error:
                self.faults.append(ColumnFault(text_of(error)))
        self._taken.update(column.place for column in found)
        return tuple(found)

    # ---- by the usual names ----

    def _usual(
        self, once: Mapping[str, tuple[Step, ModelField]], rules: Sequence[PartRule]
    ) -> dict[str, FieldColumns]:
        """The fields that the map does not name; of several parts of one step none, for nothing says whose it is."""
        wanted = {(step, name): one for name, (step, one) in once.items()}
        steps = [rule.step for rule in rules]
        for rule in (rule for rule in rules if steps.count(rule.step) == 1):
            wanted |= {
                (rule.step, name): one
                for name, one in self.by_step[rule.step].items()
                if name not in rule.rules and (self.joined or not one.own_table)
            }
        wanted = {key: one for key, one in wanted.items() if not one.only_named}
        free = ["" if place in self._taken else title for place, title in enumerate(self._header)]
        unclear: list[Said] = []
        found = locate(self.name, free, {name: one.columns for (_, name), one in wanted.items()}, {}, unclear)
        self.faults += map(ColumnFault, unclear)
        usual: dict[str, FieldColumns] = {}
        for (step, name), one in wanted.items():
            whole = () if (column := found[name]) is None else (column,)
            called = [{*map(normalise_header, names)} for names in one.together]
            places = [at for names in called for at, title in enumerate(free) if normalise_header(title) in names]
            parts = tuple(Column(free[at].strip(), at) for at in places)
            if columns := parts if len(parts) > 1 and {*whole} <= {*parts} else whole:
                usual[name] = FieldColumns(step, name, one, CellRule(tuple(one.name for one in columns)), columns)
        return usual

    def _needed(self, step: Step) -> list[str]:
        return [name for name, one in self.by_step[step].items() if one.required]

    def _require(self, there: Mapping[str, FieldColumns], step: Step, needed: Sequence[str], where: str = "") -> None:
        for missing in (name for name in needed if name not in there and (step, name) not in self._wrong):
            why = said(
                "{file} has no column {wanted}, which each {step} needs{there}. Say which it is with {map}, or give "
                "all rows one value with {value}{where}",
                file=self.name,
                wanted=missing,
                step=STEP_NAMES[step],
                there=said("; it has: {there}", there=self._titles) if self._titles else "",
                map=setting("map", f"{missing}=COLUMN"),
                value=setting("map", f"{missing}:=VALUE"),
                where=said(", or in the map ({place})", place=where) if where else "",
            )
            self._titles = ""
            self.faults.append(ColumnFault(why, self.by_step[step][missing].dictionary))


# ---- what a row says -----------------------------------------------------------------------------------------------


FOLDER: Final = "folder"
FOLDER_ID_FIELD: Final = "parent_id"
BALANCE: Final = "op_summa"
DEBT: Final = "debt"
_EMPTY: Final = said("the cell is empty")
_DOTS: Final = said("these dots stand for a secret that was not kept: write it anew")

Values: TypeAlias = dict[str, Value]
_RowParts: TypeAlias = tuple[list[Part], list[ValueFault]]
"""The parts that a row makes, and the faults found in it: an empty value that is required is one already."""


@dataclass(frozen=True, slots=True)
class MadeRow:
    """The contract number of a row and the values of each part that it makes, by the fields; empty ones too."""

    number: Value
    values: list[tuple[Step, dict[str, Value]]]


def _make_row(table: TableColumns, row: Row) -> MadeRow:
    number = _value(table, table.number, row)
    once: dict[Step, Values] = {}
    for name, one in table.once.items() if table.joined is None else ():
        once.setdefault(one.step, {})[name] = number if name == NUMBER else _value(table, one, row)
    if (folder := once.get(Step.FOLDER)) and (by_id := folder.get(FOLDER_ID_FIELD)) and by_id.text:
        once[Step.FOLDER] = {FOLDER_ID_FIELD: by_id}
    if Step.BALANCE in once:
        once[Step.BALANCE] = _with_balance(once[Step.BALANCE])
    several = [(part.step, values) for part in table.parts for values in _several(table, part, row)]
    return MadeRow(number, [*once.items(), *several])


def balance_of_row(table: TableColumns, row: Row) -> str:
    values = {name: _value(table, one, row) for name, one in table.once.items() if one.step is Step.BALANCE}
    found = _with_balance(values).get(BALANCE)
    return found.text if found else ""


def _seal_secrets(fields: FieldTable, rows: Sequence[MadeRow], vault: Vault) -> None:
    """Put tokens in place of the rows' secrets, which go into the vault. Raises `VaultFailed`.

    Dots stay: they stand for a secret that an export has left out.
    """
    secret = {(step, name) for step, name, one in fields.names() if one.kind is FieldKind.SECRET}
    places = [
        (values, name)
        for row in rows
        for step, values in row.values
        for name, value in values.items()
        if value.text and (step, name) in secret
    ]
    texts = [values[name].text for values, name in places]
    tokens = iter(vault.seal([text for text in texts if not text.startswith(PLACEHOLDER)]))
    for (values, name), text in zip(places, texts, strict=True):
        sealed = PLACEHOLDER if text.startswith(PLACEHOLDER) else next(tokens)
        values[name] = replace(values[name], text=sealed)


def _parts_of_row(table: TableColumns, row: MadeRow) -> _RowParts:
    """The parts of a row whose secrets are sealed, and its faults: empty values, and dots in place of a secret."""
    faults = [] if row.number.text else [ValueFault(row.number.place, "", _EMPTY)]
    parts: list[Part] = []
    for step, values in row.values:
        fields = table.by_step[step]
        for name, value in values.items():
            # A row may have no balance.
            if name != NUMBER and fields[name].required and not value.text and step is not Step.BALANCE:
                faults.append(ValueFault(value.place, "", _EMPTY))
            if fields[name].kind is FieldKind.SECRET and value.text == PLACEHOLDER:
                faults.append(ValueFault(value.place, PLACEHOLDER, _DOTS))
        if there := {part_key(step, name): one for name, one in values.items() if one.text}:
            parts.append(Part(step, there))
    return parts, faults


def _several(table: TableColumns, part: PartColumns, row: Row) -> list[Values]:
    """The values of an account, a service or an attribute: none, one, or one of each text in a split cell."""
    if part.condition and part.tested and not part.condition.holds(part.tested.of(row)):
        return []
    values = {one.name: _value(table, one, row) for one in part.fields}
    if part.condition is None:
        in_main = table.joined is None
        signs = [one for one in part.fields if one.columns and not (in_main and one.field.comes_along)]
        if signs and not any(values[one.name].text for one in signs):
            return []
    split = next((one for one in part.fields if one.rule.split), None)
    if split is None:
        return [values]
    whole = values[split.name]
    texts = (text.strip() for text in whole.text.split(split.rule.split))
    return [{**values, split.name: replace(whole, text=text, split=split.rule.split)} for text in texts if text]


def _value(table: TableColumns, one: FieldColumns, row: Row) -> Value:
    """The text of a field, and its place: that of its first column that is not empty."""
    rule = one.rule
    if rule.value is not None:
        return Value(rule.value)
    texts: list[str] = []
    title = ""
    for column in one.columns:
        text = column.of(row)
        if column.place in row.truths and one.field.kind is FieldKind.FLAG:
            text = str(int(text.casefold() == "true"))
        if text:
            title = title or column.name
            texts.append(text)
    if one.name == FOLDER and one.step is Step.FOLDER:
        text = folder_path(texts if rule.are_levels else rule.between.join(texts).split(rule.split or APART))
    else:
        text = rule.between.join(texts)
    return Value(text, Place(row.line, title or one.columns[0].name, table.name if table.joined else ""))


def _with_balance(values: Values) -> Values:
    """The balance less the debt, as one sum; a text that is no amount stays as it is, for the check to name it."""
    others = {name: value for name, value in values.items() if name != DEBT}
    debt, balance = values.get(DEBT), values.get(BALANCE)
    if debt is None or not debt.text:
        return others
    try:
        owed = parse_amount(debt.text)
    except AmountError:
        return {**others, BALANCE: debt}
    if balance is None or not balance.text:
        return {**others, BALANCE: replace(debt, text=wire(-owed))}
    try:
        return {**others, BALANCE: replace(balance, text=wire(parse_amount(balance.text) - owed))}
    except AmountError:
        return others


# ---- the main table and those that are joined to it ---------------------------------------------------------------


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

    def of(self, numbers: Collection[str]) -> dict[str, list[_RowParts]]:
        """What the rows of these contract numbers make, in the order of their lines; staged before."""
        if self._database is None:
            return {}
        found: dict[str, list[_RowParts]] = {}
        counts: dict[tuple[str, str], int] = {}
        tables = self.columns
        values = {"numbers": msgspec.json.encode(sorted(set(numbers))).decode(), "most": MOST + 1}
        with self._lock, temporary_room():
            for number, step, made in self._database.execute(_sql("of_numbers"), values):
                one, columns = _read(made), tables[Step(step)]
                counts[number, step] = counts.get((number, step), 0) + 1
                if counts[number, step] <= MOST:
                    found.setdefault(number, []).append(_parts_of_row(columns, one))
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
                numbers = [_make_row(columns, row).number for row in page.rows]
                values = {"numbers": msgspec.json.encode([one.text for one in numbers]).decode()}
                with self._lock, temporary_room():
                    known = {number for (number,) in self._database.execute(_sql("known"), values)}
                for one in (one for one in numbers if one.text not in known):
                    reason = said("the main table has no such contract number") if one.text else _EMPTY
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
        made = [_make_row(columns, row) for row in rows]
        _seal_secrets(columns.fields, made, self._vault)
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
        used = [(one.step, one.name) for table in self.all_columns for one in table.used]
        absent = fields.absent(used, schema, profile)
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
        self.tables.stage(self._main, lambda row: _make_row(self.columns, row).number.text)

    def examine(self, rows: Sequence[Row], *, only_seen: bool = False) -> list[Judged]:
        """The subscriber of each row, as far as it could be read, and its faults.

        Of rows that are `only_seen`, to be examined once more, the vault keeps nothing. Raises `InputRefused` and
        `VaultFailed`.
        """
        self.stage()
        made = [_make_row(self.columns, row) for row in rows]
        _seal_secrets(self.columns.fields, made, Vault() if only_seen else self._vault)
        joined = self.tables.of([one.number.text for one in made])
        examined: list[Judged] = []
        for row, one in zip(rows, made, strict=True):
            read = [_parts_of_row(self.columns, one), *joined.get(one.number.text, ())]
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
