"""Rows as a file: CSV, a workbook, or a JSON object a line, by the end of its name."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, TextIO, TypeAlias

import msgspec

from cli.output.item_files import OutputFile, Sheet, replacing
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from jobs.effects.answer_cells import Cell

TableRow: TypeAlias = Sequence[Cell]

SHEET_ROWS: Final = 1_048_576
"""Rows that a sheet of a workbook has, its header among them."""

_LARGEST_NUMBER: Final = 2**53
"""A spreadsheet's numbers are exact up to here."""


class OutputTable(ABC):
    """A file that takes rows in their order. Works in threads."""

    @abstractmethod
    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows. Raises `CommandRefused` for a cell that the file cannot hold."""


class CsvTable(OutputTable):
    """A CSV as `export` writes it: cells that a spreadsheet would run as a formula are defused."""

    def __init__(self, sheet: Sheet, names: Sequence[str]) -> None:
        self._sheet = sheet
        sheet.row(names)

    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows."""
        self._sheet.all([[as_text(cell) for cell in row] for row in page])


class JsonLinesTable(OutputTable):
    """An object a line, its values as they were answered."""

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        self._stream = stream
        self._names = tuple(names)
        self._encode = msgspec.json.Encoder().encode

    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows."""
        lines = [self._encode(dict(zip(self._names, row, strict=True))).decode() + "\n" for row in page]
        self._stream.writelines(lines)


class Workbook(OutputTable):
    """A sheet, written row by row; `apart` is a folder for what is held back until it is closed.

    Texts stay texts: no cell is a formula, and 00123 keeps its zeros.
    """

    def __init__(self, path: Path, apart: Path, names: Sequence[str]) -> None:
        # It takes as long to import as all of the rest of a command.
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415
        from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # noqa: PLC0415

        self._errors: type[Exception] = XlsxWriterException
        self._book = xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": str(apart)})
        self._book.use_zip64()
        self._sheet = self._book.add_worksheet()
        self._next = 0
        self.write([names])

    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows. Raises `CommandRefused` for a text that is too long for a cell."""
        for row in page:
            for place, cell in enumerate(row):
                self._put(place, cell)
            self._next += 1

    def close(self) -> None:
        """Complete the file. Raises `CommandRefused` where it cannot be written."""
        try:
            self._book.close()
        except self._errors as error:
            raise CommandRefused(f"the workbook cannot be written: {error}") from error

    def _put(self, place: int, cell: Cell) -> None:
        if cell is None or cell == "":
            return
        if isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) < _LARGEST_NUMBER:
            self._sheet.write_number(self._next, place, cell)
        elif self._sheet.write_string(self._next, place, as_text(cell)):
            raise CommandRefused(
                f"row {self._next + 1:,}, column {place + 1}: a cell of a workbook cannot hold so much text; "
                "write a .csv or .jsonl file"
            )


@contextmanager
def table_at(target: OutputFile, names: Sequence[str], rows: int) -> Iterator[OutputTable]:
    """A table of so many rows that stands at its place when the context ends well, and not at all when it does not.

    Raises `CommandRefused` when the file is there already, cannot be written, or cannot hold so much.
    """
    with replacing(target) as made, KINDS[suffix_of(target.path)](made, names, rows) as table:
        yield table


def suffix_of(path: Path) -> str:
    """The end of a name that says what the file is to be. Raises `CommandRefused` for any other."""
    suffix = path.suffix.casefold()
    if suffix not in KINDS:
        raise CommandRefused(f"{printable(path)}: the name of the file says what it is to be: {', '.join(KINDS)}")
    return suffix


def is_defused(path: Path) -> bool:
    """Whether cells of a table there are defused: of a CSV alone, for in no other file a text can be a formula."""
    return suffix_of(path) == ".csv"


def as_text(cell: Cell) -> str:
    """A cell as text; nothing where there is nothing."""
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
    return str(cell)


@contextmanager
def _csv(path: Path, names: Sequence[str], _: int) -> Iterator[OutputTable]:
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        yield CsvTable(Sheet(stream), names)


@contextmanager
def _json_lines(path: Path, names: Sequence[str], _: int) -> Iterator[OutputTable]:
    with path.open("w", encoding="utf-8") as stream:
        yield JsonLinesTable(stream, names)


@contextmanager
def _workbook(path: Path, names: Sequence[str], rows: int) -> Iterator[OutputTable]:
    if rows >= SHEET_ROWS:
        raise CommandRefused(f"a sheet holds {SHEET_ROWS - 1:,} rows, and there are {rows:,}: write a .csv file")
    # Beside its place, its owner's alone: what is written there is the same.
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as apart:
        book = Workbook(path, Path(apart), names)
        try:
            yield book
        except BaseException:
            # What it holds open it lets go of only when it is complete; nobody will see that.
            with suppress(CommandRefused, OSError):
                book.close()
            raise
        book.close()


KINDS: Final[Mapping[str, Callable[[Path, Sequence[str], int], AbstractContextManager[OutputTable]]]] = (
    MappingProxyType({".csv": _csv, ".xlsx": _workbook, ".jsonl": _json_lines})
)
"""What can be written, by the end of the name."""
