"""The interface of workbooks of all formats, and their faults."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from engine.errors import InputRefused
from engine.sources.raw.source import LONGEST_CELL
from engine.sources.workbook.cells import Cell, CellFault, address
from texts.said import Quantity, said

LAST_ROW: Final = 1_048_576
LAST_COLUMN: Final = 16_384
"""The size of the largest sheet in Excel and LibreOffice."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A non-empty row of a sheet: its number from 1, and its cells from column A, "" for empty ones.

    The last cell is not empty.
    """

    number: int
    cells: list[Cell]


class Book(Protocol):
    """A workbook. Each call reads it again, as a stream; all calls raise `InputRefused`."""

    @property
    def words(self) -> str:
        """The name of the format, for the note on how the input is read."""
        ...

    @property
    def sheets(self) -> tuple[str, ...]:
        """The names of the sheets of cells, in order."""
        ...

    def filled(self) -> tuple[str, ...]:
        """The names of the sheets that are not empty."""
        ...

    def rows(self, sheet: str) -> Iterator[SheetRow]:
        """The non-empty rows of a sheet, in order."""
        ...

    def merged(self, sheet: str, row: int) -> str | None:
        """A range of merged cells that touches the row, such as A1:B1; None for none."""
        ...


NO_VALUE: Final = CellFault(
    said("holds a formula without its value: open the workbook in Excel or LibreOffice, save it, and take that file")
)
"""A formula without a calculated value."""


CONTRADICTS_ITSELF: Final = CellFault(
    said(
        "has a value that is not of the kind that it names: open the workbook in Excel or LibreOffice, save it, and "
        "take that file"
    )
)
"""A cell with an ambiguous value: two values, or one that does not match its type."""


def an_error(error: str) -> CellFault:
    """The fault of a cell with an error value."""
    return CellFault(said("holds the error {error}", error=error[:40]))


def bad_value(error: ValueError) -> CellFault:
    """The fault of a cell whose value does not match its type."""
    return CellFault(said("holds what its kind does not allow: {error}", error=error))


def too_long(name: str, column: int, row: int) -> InputRefused:
    """The refusal of a workbook with a cell that is too long."""
    return InputRefused(
        "{file}, cell {cell} is longer than {most} characters",
        file=name,
        cell=address(column, row),
        most=Quantity(LONGEST_CELL),
    )


def out_of_order(name: str, column: int, row: int) -> InputRefused:
    """The refusal of a workbook with a cell out of order, or outside the largest sheet."""
    return InputRefused(
        "{file} is broken: the cell {cell} is out of its order, or beyond any sheet",
        file=name,
        cell=address(column, row),
    )


def misplaced(name: str, where: str, row: int) -> InputRefused:
    """The refusal of a workbook with a cell whose address is in another row."""
    return InputRefused(
        "{file} is broken: a cell in row {row} says that it is {cell!r}", file=name, row=row, cell=where[:20]
    )


def unreadable_texts(name: str, error: OSError) -> InputRefused:
    """The refusal of a workbook whose texts cannot be kept in a temporary file."""
    return InputRefused(
        "the texts of {file} cannot be kept in a temporary file: {error}. Free some room there, or name another "
        "folder with TMPDIR",
        file=name,
        error=error.strerror or error,
    )
