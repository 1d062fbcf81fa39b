"""The rows of a select as text: each value has one spelling, and a value without an exact one is refused."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from billing.database.columns import ColumnType, SelectColumn
from billing.database.reader import DatabaseRow
from texts.said import Said, said

LONGEST_CELL: Final = 100_000
"""Characters; a longer text is a document, not a value of a row."""

_MONEY_PLACES: Final = 2
# A double keeps this many digits of a decimal fraction exactly.
_DOUBLES_DIGITS: Final = 15
_BROKEN: Final = "\ufffd"  # fdb's mark for undecodable bytes


class CellTrouble(StrEnum):
    """Why the value of a cell has no exact text."""

    FLOAT = "float"
    CHARSET = "charset"
    LENGTH = "length"


class SelectCellFault(msgspec.Struct, frozen=True, array_like=True):
    """The fault of a row that cannot be used: the column, the trouble, and the number that causes it, if one does.

    Rows are kept in a file until they are taken, and so the sentence is made when it is asked for.
    """

    column: str
    trouble: CellTrouble
    number: str = ""

    @property
    def reason(self) -> Said:
        """The reason, as a sentence."""
        match self.trouble:
            case CellTrouble.FLOAT:
                return said(
                    "{number} is a floating-point number, and perhaps not exactly what was entered: cast it in the "
                    "select, as in: cast(… as numeric(18,2))",
                    number=self.number,
                )
            case CellTrouble.CHARSET:
                return said("has bytes that are not letters of the database's charset: WIN1251 may be the right one")
            case CellTrouble.LENGTH:
                return said("is longer than {longest} characters", longest=LONGEST_CELL)


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
    writers = [_writer(column) for column in columns]

    def written(row: DatabaseRow) -> SelectedRow:
        try:
            return SelectedRow(
                tuple("" if value is None else write(value) for write, value in zip(writers, row, strict=True))
            )
        except _Unwritten:
            return faulty(row)

    def faulty(row: DatabaseRow) -> SelectedRow:
        cells: list[str] = []
        faults: list[SelectCellFault] = []
        for column, write, value in zip(columns, writers, row, strict=True):
            try:
                cells.append("" if value is None else write(value))
            except _Unwritten as error:
                cells.append(str(value)[:LONGEST_CELL])
                faults.append(SelectCellFault(column.name, error.trouble, error.number))
        return SelectedRow(tuple(cells), faults[0])

    return written


class _Unwritten(Exception):
    """Raised for a value that has no exact text."""

    def __init__(self, trouble: CellTrouble, number: str = "") -> None:
        super().__init__(trouble)
        self.trouble = trouble
        self.number = number


def _writer(column: SelectColumn) -> Callable[[Any], str]:
    if column.kind is ColumnType.DECIMAL:
        return lambda value: _decimal(value, column.places)
    return _WRITERS[column.kind]


def _decimal(value: Decimal, places: int) -> str:
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
        raise _Unwritten(CellTrouble.FLOAT, repr(value))
    return format(number or abs(number), "f")


def _text(value: str) -> str:
    if _BROKEN in value:
        raise _Unwritten(CellTrouble.CHARSET)
    if len(value) > LONGEST_CELL:
        raise _Unwritten(CellTrouble.LENGTH)
    return value


def _moment(value: datetime | time) -> str:
    text = str(value)
    return text.rstrip("0") if value.microsecond else text


def _truth(value: object) -> str:
    return "true" if value else "false"


_WRITERS: Final[dict[ColumnType, Callable[[Any], str]]] = {
    ColumnType.INTEGER: str,
    ColumnType.FLOAT: _float,
    ColumnType.DATE: date.isoformat,
    ColumnType.TIMESTAMP: _moment,
    ColumnType.TIME: _moment,
    ColumnType.BOOLEAN: _truth,
    ColumnType.TEXT: _text,
}
