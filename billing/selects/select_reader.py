"""The rows of a select, page by page and resumable: along its key, or all read at once into a file.

Along a key each page has a short transaction of its own, and its cursor is the last key. Without a key, all rows are
read in one short transaction into an unnamed temporary file, which serves the pages: no transaction of the billing
stays open while rows are worked on. The cursor is then "rows:digest", the number and the digest of the rows taken. A
resumed reader reads the select again, and continues only if it still begins with the same rows.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from itertools import groupby, islice
from typing import IO, Any, Final, NamedTuple

import msgspec

from billing.database.columns import ColumnType, SelectColumn
from billing.database.database import Database
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import SqlStatement, Token, Value, Values, sql_block, tokens_of
from billing.errors import NoRoom, RowsChanged, StatementRefused
from billing.selects.select import Select, columns, describe, told_plainly
from texts.said import Said, ValueRefused, counted, from_json, reason_of, said, text_of, to_json

# ---- the rows of a select as text ---------------------------------------------------------------------------------
# Each value has one spelling, and a value without an exact one is refused.


LONGEST_CELL: Final = 100_000
"""Characters; a longer text is a document, not a value of a row."""

_MONEY_PLACES: Final = 2
# A double keeps this many digits of a decimal fraction exactly.
_DOUBLES_DIGITS: Final = 15
_BROKEN: Final = "\ufffd"  # fdb's mark for undecodable bytes


class SelectCellFault(msgspec.Struct, frozen=True, array_like=True):
    """The fault of a row that cannot be used: the column, and the reason as JSON.

    Rows are kept in a file until they are taken.
    """

    column: str
    told: str

    @property
    def reason(self) -> Said:
        return from_json(self.told)


class SelectedRow(msgspec.Struct, frozen=True, array_like=True):
    """The cells of a row, "" for null."""

    cells: tuple[str, ...]
    fault: SelectCellFault | None = None


def as_cells(columns: Sequence[SelectColumn]) -> Callable[[DatabaseRow], SelectedRow]:
    """The function that turns rows of these columns into cells.

    Whole numbers are plain; decimals are exact, with two places, or more if needed; dates are 2019-06-01, moments
    2019-06-01 00:00:00 with a fraction if it is not zero. A floating-point number that may not be exact, text that
    could not be decoded, and text of more than `LONGEST_CELL` characters are faults of the row.
    """
    writers = [
        partial(_decimal, column.places) if column.kind is ColumnType.DECIMAL else _WRITERS[column.kind]
        for column in columns
    ]

    def written(row: DatabaseRow) -> SelectedRow:
        cells: list[str] = []
        fault: SelectCellFault | None = None
        for column, write, value in zip(columns, writers, row, strict=True):
            try:
                cells.append("" if value is None else write(value))
            except ValueRefused as error:
                cells.append(str(value)[:LONGEST_CELL])
                fault = fault or SelectCellFault(column.name, to_json(text_of(error)))
        return SelectedRow(tuple(cells), fault)

    return written


def _decimal(places: int, value: Decimal) -> str:
    text = f"{value:.{places}f}"
    surplus = places - _MONEY_PLACES
    while surplus > 0 and text.endswith("0"):
        text = text[:-1]
        surplus -= 1
    return text


def _float(value: float) -> str:
    number = Decimal(repr(value)).normalize()
    digits = len(number.as_tuple().digits)
    if not number.is_finite() or digits > _DOUBLES_DIGITS or abs(number.adjusted()) >= _DOUBLES_DIGITS:
        raise ValueRefused(
            "{number} is a floating-point number, and perhaps not exactly what was entered: cast it in the "
            "select, as in: cast(… as numeric(18,2))",
            number=repr(value),
        )
    return format(number or abs(number), "f")


def _text(value: str) -> str:
    if _BROKEN in value:
        raise ValueRefused(
            said("has bytes that are not letters of the database's charset: WIN1251 may be the right one")
        )
    if len(value) > LONGEST_CELL:
        raise ValueRefused("is longer than {longest} characters", longest=LONGEST_CELL)
    return value


def _moment(value: datetime | time) -> str:
    text = str(value)
    return text.rstrip("0") if value.microsecond else text


_WRITERS: Final[dict[ColumnType, Callable[[Any], str]]] = {
    ColumnType.INTEGER: str,
    ColumnType.FLOAT: _float,
    ColumnType.DATE: date.isoformat,
    ColumnType.TIMESTAMP: _moment,
    ColumnType.TIME: _moment,
    ColumnType.BOOLEAN: lambda value: str(bool(value)).lower(),
    ColumnType.TEXT: _text,
}


# ---- key pages ----------------------------------------------------------------------------------------------------
# Whether a select can be read page by page along a key, at the cost of each page's own rows.
#
# This needs a simple proof: the first column is an integer key of the first table, no join can repeat a row, there is
# no grouping, limit or other order, and by Firebird's plan a page walks along an index without a sort. Any other
# select is read at once, which is always correct.


_sql: Final = partial(sql_block, "key_pages", folder="billing.selects")

SIZE: Final = "page_size"
AFTER: Final = "page_after"

_JOINS: Final = frozenset({"join", "inner", "left"})
_NO_ALIASES: Final = _JOINS | {"cross", "full", "natural", "on", "order", "right", "where"}
# Words that, at the select's own level, group, combine or limit rows.
_MORE: Final = frozenset({"fetch", "group", "having", "offset", "over", "plan", "rows", "union"})
# With one of these words a condition may hold although one of its parts between `and` does not.
_UNSURE: Final = frozenset({"or", "case"})


@dataclass(frozen=True, slots=True)
class Walk:
    """The statements of the first page and of every next page, with `:page_size` and `:page_after`.

    `along_index` tells whether Firebird reads a page along the key's index; otherwise it sorts all rows for each
    page.
    """

    first: SqlStatement
    next: SqlStatement
    along_index: bool


class _Table(NamedTuple):
    """A table of a select; after `on` its `condition` is joined, up to the next part."""

    name: str
    alias: str
    condition: Sequence[Token] = ()


def walk_of(
    database: Database, select: Select, columns: Sequence[SelectColumn], values: Values | None = None
) -> Walk | None:
    """The walk along the key of a select, None without one. Raises `DatabaseAway`."""
    if {SIZE, AFTER} & set(select.parameters):
        return None
    text = select.statement.text
    if columns[0].nullable or (end := _end_of_walkable(database, columns[0], text)) is None:
        return None
    names = ", ".join(f"c{number}" for number, _ in enumerate(columns, 1))
    first, following = (
        SqlStatement(
            "of the operator, paged",
            _sql(page).text.replace("{names}", names).replace("{select}", text[:end]),
        )
        for page in ("first_page", "next_page")
    )
    try:
        plan = describe(database, following, {**(values or {}), SIZE: 1, AFTER: 0}).plan
    except StatementRefused:
        # Not every select is allowed within another: `for update`, `with lock`, or syntax of newer Firebirds.
        return None
    along_index = bool(re.search(r"\bORDER\b", plan)) and not re.search(r"\bSORT\b", plan)
    return Walk(first, following, along_index)


def _end_of_walkable(database: Database, key: SelectColumn, text: str) -> int | None:
    """Where the order of a select begins, or its end, if its rows have a key each; None if that is not known.

    It has the form `select … from a [join b on …]… [where …] [order by …]`, the key is written first, as a column of
    the first table, nothing orders it otherwise, and a key occurs in one row: it is unique, and all joins are by
    unique columns.
    """
    level = [token for token in tokens_of(text) if not token.depth]
    words = [token.word for token in level]
    if words[0] != "select" or "from" not in words or _MORE & set(words):
        return None
    begin = words.index("from")
    rest = level[begin + 1 :]
    tables = _tables(rest)
    if not tables or (rest and rest[0].word not in {"where", "order"}):
        return None
    ordered = next((place for place, token in enumerate(rest) if token.word == "order"), len(rest))
    order = _written(rest[ordered + 2 :])
    if order[-1:] == ["ASC"]:
        order.pop()
    alias, written = tables[0].alias, _written(level[1:begin])
    item = written[: written.index(",")] if "," in written else written
    is_first = item[:2] == [alias, "."] if "." in item[:2] else item[:1] in ([key.field], ["*"])
    if not is_first or order not in ([], ["1"], [key.field], [alias, ".", key.field]):
        return None
    if key.field not in _unique(database, tables[0].name):
        return None
    if not all(_joined_once(table, _unique(database, table.name)) for table in tables[1:]):
        return None
    return rest[ordered].start if order else level[-1].end


def _joined_once(table: _Table, unique: frozenset[str]) -> bool:
    """Whether one of the parts of the condition between `and` is `x.a = y.b` with a unique column of the table."""
    if _UNSURE & {token.word for token in table.condition}:
        return False
    for is_and, part in groupby(table.condition, lambda token: token.word == "and"):
        match [] if is_and else _written(part):
            case [one, ".", first, "=", other, ".", second] if one != other and (
                (one == table.alias and first in unique) or (other == table.alias and second in unique)
            ):
                return True
    return False


def _written(tokens: Iterable[Token]) -> list[str]:
    return [token.name or token.text for token in tokens]


def _unique(database: Database, table: str) -> frozenset[str]:
    return frozenset(name for (name,) in database.query(_sql("unique_integers"), {"table": table}))


def _tables(rest: list[Token]) -> list[_Table]:
    """The tables, removed from the front of `rest`; any other syntax stays there."""
    tables: list[_Table] = []
    while rest and rest[0].name:
        name = rest.pop(0).name
        if rest and rest[0].word == "as":
            rest.pop(0)
        alias = rest.pop(0).name if rest and rest[0].name and rest[0].word not in _NO_ALIASES else name
        # The condition after `on`, up to the next part; one after `using` is cut the same way and proves nothing.
        ends = (place for place, token in enumerate(rest) if place and token.word in _NO_ALIASES)
        end = next(ends, len(rest)) if tables else 0
        tables.append(_Table(name, alias, rest[1:end]))
        del rest[:end]
        if not rest or rest[0].word not in _JOINS:
            break
        del rest[: [token.word for token in rest].index("join") + 1]
    return tables


# ---- the rows of a select, page by page and resumable -------------------------------------------------------------


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
            yield from self._kept_pages(after, size)
            return
        if self.walk is None:
            raise RowsChanged(said("the rows were read along a key, and this select has none: begin a new run"))
        write, walk = as_cells(self.columns), self.walk
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
        statement, write = self.select.statement, as_cells(self.columns)
        try:
            with tempfile.TemporaryFile() as file:
                with told_plainly(self.database, statement):
                    rows = self.database.query(statement, self.values)
                    file.writelines(_encode(write(row)) + b"\n" for row in rows)
                file.seek(0)
                taken = 0 if after is None else _skip(file, after, digest)
                while lines := list(islice(file, size)):
                    digest.update(b"".join(lines))
                    taken += len(lines)
                    yield SelectedPage(tuple(map(_row_of, lines)), _cursor(taken, digest))
        except OSError as error:
            raise NoRoom(
                "the rows cannot be kept in the temporary folder {folder}: {why}. Free some room there, or name "
                "another folder with TMPDIR",
                folder=tempfile.tempdir or "",
                why=reason_of(error),
            ) from error


def reading(
    database: Database, select: Select, values: Mapping[str, Value] | None = None, names: Sequence[str] = ()
) -> SelectReader:
    """The reader of a select; `names` replace the names of its columns.

    Raises `DatabaseAway`, `StatementRefused`.
    """
    values = values or {}
    found = columns(database, select, values, names)
    return SelectReader(database, select, values, found, walk_of(database, select, found, values))


def _skip(file: IO[bytes], after: str, digest: "hashlib.blake2b") -> int:
    """Skip the rows before a cursor; their number. Raises `RowsChanged` when they have changed."""
    rows = int(after.partition(_BETWEEN)[0])
    for line in islice(file, rows):
        digest.update(line)
    if _cursor(rows, digest) != after:
        raise RowsChanged(
            counted(
                "the first [row is|{n} rows are] no longer [the one|those] that [was|were] taken before, "
                "[or come in another order, ]and so nobody can tell which are still to come: begin a new run",
                rows,
            )
        )
    return rows


def _cursor(rows: int, digest: "hashlib.blake2b") -> str:
    return f"{rows}{_BETWEEN}{digest.hexdigest()}"
