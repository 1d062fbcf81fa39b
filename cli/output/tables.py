"""Tables as files: CSV, workbook or JSON lines, by the suffix of the path."""

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
"""Rows in a sheet of a workbook, including the header."""

_LARGEST_NUMBER: Final = 2**53
"""The largest number up to which a spreadsheet's integers are exact."""


class OutputTable(ABC):
    """A file that takes rows in order. Usable from worker threads."""

    @abstractmethod
    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows. Raises `CommandRefused` for a cell that the file cannot hold."""


class CsvTable(OutputTable):
    """A CSV file like that of `export`: cells that a spreadsheet would run as a formula are defused."""

    def __init__(self, sheet: Sheet, names: Sequence[str]) -> None:
        self._sheet = sheet
        sheet.row(names)

    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows."""
        self._sheet.all([[as_text(cell) for cell in row] for row in page])


class JsonLinesTable(OutputTable):
    """One JSON object on each line, with the values as answered."""

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        self._stream = stream
        self._names = tuple(names)
        self._encode = msgspec.json.Encoder().encode

    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows."""
        lines = [self._encode(dict(zip(self._names, row, strict=True))).decode() + "\n" for row in page]
        self._stream.writelines(lines)


class Workbook(OutputTable):
    """A workbook of one sheet, written row by row; `apart` is a folder for temporary files until it is closed.

    Texts stay texts: no cell is a formula, and 00123 keeps its zeros.
    """

    def __init__(self, path: Path, apart: Path, names: Sequence[str]) -> None:
        # Imported here: the import takes as long as the rest of a command.
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
    """A table for this many rows, put in place when the context ends well and discarded otherwise.

    Raises `CommandRefused` when the file exists, cannot be written, or cannot hold this many rows.
    """
    with replacing(target) as made, KINDS[suffix_of(target.path)](made, names, rows) as table:
        yield table


def suffix_of(path: Path) -> str:
    """The suffix of the path, which gives the format. Raises `CommandRefused` for an unknown one."""
    suffix = path.suffix.casefold()
    if suffix not in KINDS:
        raise CommandRefused(f"{printable(path)}: the name of the file says what it is to be: {', '.join(KINDS)}")
    return suffix


def is_defused(path: Path) -> bool:
    """Whether formula cells are defused at this path: only in a CSV file, where a text can be a formula."""
    return suffix_of(path) == ".csv"


def as_text(cell: Cell) -> str:
    """A cell as text, empty for None."""
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
    # A temporary folder in the same folder, readable by its owner alone, like the file.
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as apart:
        book = Workbook(path, Path(apart), names)
        try:
            yield book
        except BaseException:
            # The library closes its temporary files only on a complete save; the result is discarded.
            with suppress(CommandRefused, OSError):
                book.close()
            raise
        book.close()


KINDS: Final[Mapping[str, Callable[[Path, Sequence[str], int], AbstractContextManager[OutputTable]]]] = (
    MappingProxyType({".csv": _csv, ".xlsx": _workbook, ".jsonl": _json_lines})
)
"""The formats, by suffix."""
