"""A checked table as a workbook: its own rows, the faulty cells marked and commented, and a sheet that lists them.

It comes back as input: the column of faults and the sheet of faults are known by their name, and all other cells are
as they were (`engine/sources/exported.py`); each joined table has a sheet of its name. Memory does not grow with the
rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from cli.output.item_files import OutputFile, in_a_cell, replacing
from cli.output.marked_sheet import CheckedRow, MarkedSheet, MarkStyles, keep_in_sight, shortened, writable
from cli.output.tables import SHEET_ROWS, written_workbook
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from engine.rows import FAULTS
from jobs.imports.column_map import TABLE_OF_STEP
from jobs.imports.subscriber import ValueFault
from texts.said import said

MOST_COMMENTS: Final = 10_000
"""Comments of a workbook, which a spreadsheet keeps in memory; the column of faults has the reasons of all rows."""

MOST_OF_JOINED: Final = 50_000
"""Faults of joined tables that are kept in memory until these are written; all of them are listed at once."""

_ROWS: Final = "rows"
"""The sheet of the table, where the input has none whose name is known."""
_LONGEST_NAME: Final = 31
_TAKEN: Final = frozenset({FAULTS, "history", *TABLE_OF_STEP.values()})
"""Names of sheets that the main table cannot have: "history" is a spreadsheet's own."""
_COLUMNS: Final = (
    said("line"),
    said("column"),
    said("cell"),
    said("what it is"),
    said("reason"),
    said("cell of this workbook"),
)
_WIDTHS: Final = (10, 22, 30, 14, 90, 14)


class FaultWorkbook:
    """A checked table as it is written, with those joined to it; `apart` is a folder for temporary files."""

    def __init__(self, path: Path, apart: Path, header: Sequence[str], sheet: str = "") -> None:
        # Imported here: the import takes as long as the rest of a command.
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415
        from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # noqa: PLC0415

        self._errors: type[Exception] = XlsxWriterException
        self._book = xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": str(apart)})
        self._book.use_zip64()
        self._styles = MarkStyles(self._book, MOST_COMMENTS)
        self._table = MarkedSheet(self._book.add_worksheet(_sheet_name(sheet)), header, self._styles)
        self._list = self._book.add_worksheet(FAULTS)
        self._listed = 1
        self._joined: dict[str, MarkedSheet] = {}
        self._of_joined: defaultdict[tuple[str, int | None], list[tuple[ValueFault, bool]]] = defaultdict(list)
        self._kept = 0
        self._closed = False
        for place, (name, width) in enumerate(zip(_COLUMNS, _WIDTHS, strict=True)):
            self._list.write_string(0, place, in_a_cell(name), self._styles.head)
            self._list.set_column(place, place, width)
        keep_in_sight(self._list)

    @property
    def lacks_marks(self) -> bool:
        """Whether more was found than is marked and commented; the sheet of faults has all of it."""
        return not self._styles.comments_left or self._kept >= MOST_OF_JOINED

    def write(self, rows: Iterable[CheckedRow]) -> None:
        """Write rows of the main table; one without cells, as of a joined table, is only listed.

        Raises `CommandRefused` for more than a sheet holds, and for too long a text.
        """
        for row in rows:
            has_cells = any(row.cells)
            for fault, is_fault in row.found():
                self._enter(row, fault, is_fault=is_fault, here=self._table.place_of_next(fault) if has_cells else "")
            if has_cells:
                self._table.write(row)

    def write_joined(self, name: str, of: str, header: Sequence[str], rows: Iterable[CheckedRow]) -> None:
        """Write rows of a joined table, once all of the main one are written; what was found in these is marked here.

        `name` is the table's, and that of its sheet; faults name it as `of`. Raises what `write` raises.
        """
        if name not in self._joined:
            self._joined[name] = MarkedSheet(self._book.add_worksheet(name), header, self._styles, of)
        for row in rows:
            found = self._of_joined.pop((of, row.line), [])
            faults = [*row.faults, *(one for one, is_fault in found if is_fault)]
            warnings = [one for one, is_fault in found if not is_fault]
            self._joined[name].write(replace(row, faults=faults, warnings=warnings))

    def close(self) -> None:
        """Complete the file, which takes as long as its rows did. Raises `CommandRefused` if it cannot be written."""
        if self._closed:
            return
        self._closed = True
        for sheet in (self._table, *self._joined.values()):
            sheet.close()
        self._list.autofilter(0, 0, self._listed - 1, len(_COLUMNS) - 1)
        try:
            self._book.close()
        except self._errors as error:
            raise CommandRefused(said("the workbook cannot be written: {error}", error=error)) from error

    def _enter(self, row: CheckedRow, fault: ValueFault, *, is_fault: bool, here: str) -> None:
        """A line of the sheet of faults, if it is not full; what is of a joined table is kept for that."""
        place = fault.place
        if place.table and self._kept < MOST_OF_JOINED:
            self._of_joined[place.table, place.line].append((fault, is_fault))
            self._kept += 1
        if self._listed >= SHEET_ROWS:
            return
        line = place.line if place.line is not None else row.line
        cells = (
            f"{place.table}:{line}" if place.table else str(line or ""),
            place.column,
            fault.cell,
            in_a_cell(said("fault") if is_fault else said("to be looked at")),
            in_a_cell(fault.reason),
            here,
        )
        for column, text in enumerate(cells):
            if text:
                self._list.write_string(self._listed, column, writable(shortened(text)))
        self._listed += 1


@contextmanager
def fault_workbook(target: OutputFile, header: Sequence[str], sheet: str = "") -> Iterator[FaultWorkbook]:
    """A workbook that is put in place, mode 0600, when the context ends well, and discarded otherwise.

    Raises `CommandRefused` where it exists or cannot be written.
    """
    with (
        replacing(target) as made,
        written_workbook(made, lambda apart: FaultWorkbook(made, apart, header, sheet)) as book,
    ):
        yield book


def check_target(target: OutputFile) -> None:
    """Raise `CommandRefused` for a path that is no workbook's."""
    if target.path.suffix.casefold() != ".xlsx":
        raise CommandRefused(
            said("{path}: a checked table is written as a workbook; name it .xlsx", path=printable(target.path))
        )


def _sheet_name(wanted: str) -> str:
    """The name of the table's sheet: the one that is asked for, if a workbook can have it."""
    bad = set("[]:*?/\\") & set(wanted) or len(wanted) > _LONGEST_NAME or wanted.casefold() in _TAKEN
    return _ROWS if bad or not wanted.strip("' ") or wanted.startswith("'") or wanted.endswith("'") else wanted
