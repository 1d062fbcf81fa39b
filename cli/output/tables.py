"""Tables as files: CSV, workbook or JSON lines, by the suffix of the path."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol, TextIO, TypeAlias, TypeVar

import anyio.from_thread
import anyio.to_thread
import msgspec

from cli.output.item_files import OutputFile, Sheet, in_a_cell, replacing
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from jobs.effects.answer_cells import Cell
from texts.said import Quantity

TableCell: TypeAlias = Cell | Decimal
"""What a cell holds; a Decimal is an amount of money."""
TableRow: TypeAlias = Sequence[TableCell]

SHEET_ROWS: Final = 1_048_576
"""Rows in a sheet of a workbook, including the header."""

_LARGEST_NUMBER: Final = 2**53
"""The largest number up to which a spreadsheet's integers are exact."""

_DIGITS: Final = 15
"""The digits of a number that a spreadsheet keeps."""

_MONEY: Final = "#,##0.00########"
_NARROWEST: Final = 8
_WIDEST: Final = 60
"""The widths of the columns of a workbook, in characters."""


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
        # A sentence is its English text, in files that scripts read.
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows."""
        lines = [self._encode(dict(zip(self._names, row, strict=True))).decode() + "\n" for row in page]
        self._stream.writelines(lines)


class Workbook(OutputTable):
    """A workbook of one sheet, written row by row; `apart` is a folder for temporary files until it is closed.

    Texts stay texts: no cell is a formula, and 00123 keeps its zeros. The names stand in a header that stays in sight
    and filters; each column is as wide as its longest cell.
    """

    def __init__(self, path: Path, apart: Path, names: Sequence[str]) -> None:
        # Imported here: the import takes as long as the rest of a command.
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415
        from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # noqa: PLC0415

        self._errors: type[Exception] = XlsxWriterException
        self._book = xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": str(apart)})
        self._book.use_zip64()
        self._sheet = self._book.add_worksheet()
        self._money = self._book.add_format({"num_format": _MONEY})
        self._widths = [_NARROWEST] * len(names)
        self._head(names)
        self._next = 1

    def write(self, page: Sequence[TableRow]) -> None:
        """Write a page of rows. Raises `CommandRefused` for a text that is too long for a cell."""
        for row in page:
            for place, cell in enumerate(row):
                self._put(place, cell)
            self._next += 1

    def close(self) -> None:
        """Complete the file. Raises `CommandRefused` where it cannot be written."""
        for place, width in enumerate(self._widths):
            self._sheet.set_column(place, place, width)
        self._sheet.autofilter(0, 0, self._next - 1, len(self._widths) - 1)
        try:
            self._book.close()
        except self._errors as error:
            raise CommandRefused("the workbook cannot be written: {error}", error=error) from error

    def _head(self, names: Sequence[str]) -> None:
        style = self._book.add_format({"bold": True, "bg_color": "#DDE6F0", "bottom": 1})
        for place, name in enumerate(names):
            self._write_text(0, place, name, style)
        self._sheet.freeze_panes(1, 0)
        # An id or a contract number is a text; a spreadsheet need not mark each as a mistake.
        self._sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})

    def _put(self, place: int, cell: TableCell) -> None:
        if cell is None or cell == "":
            return
        if isinstance(cell, Decimal) and _is_kept(cell):
            self._widen(place, as_text(cell))
            self._sheet.write_number(self._next, place, float(cell), self._money)
        elif isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) < _LARGEST_NUMBER:
            self._widen(place, str(cell))
            self._sheet.write_number(self._next, place, cell)
        else:
            self._write_text(self._next, place, as_text(cell))

    def _write_text(self, row: int, place: int, text: str, style: object = None) -> None:
        self._widen(place, text)
        if self._sheet.write_string(row, place, text, style):
            raise CommandRefused(
                "row {row}, column {column}: a cell of a workbook cannot hold so much text; write a .csv or "
                ".jsonl file",
                row=Quantity(row + 1),
                column=place + 1,
            )

    def _widen(self, place: int, text: str) -> None:
        # Room for the sign of the filter, and for the blanks between thousands.
        self._widths[place] = min(max(self._widths[place], len(text) + 3), _WIDEST)


def _is_kept(amount: Decimal) -> bool:
    """Whether a spreadsheet keeps all digits of an amount."""
    return Decimal(f"{float(amount):.{_DIGITS}g}") == amount


async def write_table(
    target: OutputFile, names: Sequence[str], rows: int, pages: AsyncIterator[Sequence[TableRow]]
) -> None:
    """Write so many rows in a worker thread; the pages, none of them empty, come from the event loop.

    Raises `CommandRefused` as `table_at` does, and what the pages raise.
    """

    def write() -> None:
        with table_at(target, names, rows) as table:
            while page := anyio.from_thread.run(partial(anext, pages, [])):
                table.write(page)

    await anyio.to_thread.run_sync(write)


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
        raise CommandRefused(
            "{path}: the name of the file says what it is to be: {kinds}", path=printable(path), kinds=tuple(KINDS)
        )
    return suffix


def is_defused(path: Path) -> bool:
    """Whether formula cells are defused at this path: only in a CSV file, where a text can be a formula."""
    return suffix_of(path) == ".csv"


def as_text(cell: TableCell) -> str:
    """A cell as text, empty for None."""
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case Decimal():
            return format(cell, "f")
        case str():
            return in_a_cell(cell)
    return str(cell)


@contextmanager
def _csv(path: Path, names: Sequence[str], _: int) -> Iterator[OutputTable]:
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        yield CsvTable(Sheet(stream), names)


@contextmanager
def _json_lines(path: Path, names: Sequence[str], _: int) -> Iterator[OutputTable]:
    with path.open("w", encoding="utf-8") as stream:
        yield JsonLinesTable(stream, names)


class _Closed(Protocol):
    """What is complete when it is closed."""

    def close(self) -> None: ...


Book = TypeVar("Book", bound=_Closed)


@contextmanager
def written_workbook(path: Path, opened: Callable[[Path], Book]) -> Iterator[Book]:
    """A workbook while it is written to `path`; `opened` makes it, with a folder for its temporary files."""
    # In the same folder, readable by its owner alone, like the file.
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as apart:
        book = opened(Path(apart))
        try:
            yield book
        except BaseException:
            # The library closes its temporary files only on a complete save; the result is discarded.
            with suppress(CommandRefused, OSError):
                book.close()
            raise
        book.close()


@contextmanager
def _workbook(path: Path, names: Sequence[str], rows: int) -> Iterator[OutputTable]:
    if rows >= SHEET_ROWS:
        raise CommandRefused(
            "a sheet holds {most} rows, and there are {rows}: write a .csv file",
            most=Quantity(SHEET_ROWS - 1),
            rows=Quantity(rows),
        )
    with written_workbook(path, lambda apart: Workbook(path, apart, names)) as book:
        yield book


KINDS: Final[Mapping[str, Callable[[Path, Sequence[str], int], AbstractContextManager[OutputTable]]]] = (
    MappingProxyType({".csv": _csv, ".xlsx": _workbook, ".jsonl": _json_lines})
)
"""The formats, by suffix."""
