"""What a workbook is to its reader, of whichever kind it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from engine.errors import InputRefused
from engine.sources.raw.source import LONGEST_CELL
from engine.sources.workbook.cells import Cell, CellFault, address

LAST_ROW: Final = 1_048_576
LAST_COLUMN: Final = 16_384
"""The largest sheet that the programs know."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row of a sheet that holds something: its number from 1, and its cells from column A, "" for empty ones.

    The last cell is not empty.
    """

    number: int
    cells: list[Cell]


class Book(Protocol):
    """A workbook. Each call reads it anew, as a stream; all of them raise `InputRefused`."""

    @property
    def words(self) -> str:
        """What it is, for the note on how the input is read."""
        ...

    @property
    def sheets(self) -> tuple[str, ...]:
        """The names of the sheets of cells, in their order."""
        ...

    def filled(self) -> tuple[str, ...]:
        """The names of the sheets that hold something."""
        ...

    def rows(self, sheet: str) -> Iterator[SheetRow]:
        """The rows of a sheet that hold something, in their order."""
        ...

    def merged(self, sheet: str, row: int) -> str | None:
        """Some cells that are merged into one and touch the row, as A1:B1; None where there are none."""
        ...


NO_VALUE: Final = CellFault(
    "holds a formula without its value: open the workbook in Excel or LibreOffice, save it, and take that file"
)
"""A formula that nobody has worked out."""


CONTRADICTS_ITSELF: Final = CellFault(
    "has a value that is not of the kind that it names: open the workbook in Excel or LibreOffice, save it, and take "
    "that file"
)
"""A cell whose content nobody can tell: two values, or one where its kind has another."""


def an_error(error: str) -> CellFault:
    """A formula that came to nothing."""
    return CellFault(f"holds the error {error[:40]}")


def bad_value(reason: object) -> CellFault:
    """A cell whose value is not of its kind."""
    return CellFault(f"holds what its kind does not allow: {reason}")


def too_long(name: str, column: int, row: int) -> InputRefused:
    """The refusal of a cell that cannot be meant."""
    return InputRefused(f"{name}, cell {address(column, row)} is longer than {LONGEST_CELL} characters")


def out_of_order(name: str, column: int, row: int) -> InputRefused:
    """The refusal of a cell that comes after a later one, or lies where no program has one."""
    return InputRefused(f"{name} is broken: the cell {address(column, row)} is out of its order, or beyond any sheet")


def misplaced(name: str, where: str, row: int) -> InputRefused:
    """The refusal of a cell that says that it stands elsewhere than it does."""
    return InputRefused(f"{name} is broken: a cell in row {row} says that it is {where[:20]!r}")


def unreadable_texts(name: str, error: OSError) -> InputRefused:
    """The refusal of a workbook whose texts cannot be put aside."""
    return InputRefused(
        f"the texts of {name} cannot be kept in a temporary file: {error.strerror or error}. Free some room there, "
        "or name another folder with TMPDIR"
    )
