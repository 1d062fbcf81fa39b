"""Rows in pages, whatever they come from."""

from collections.abc import Iterable, Iterator
from typing import Final

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import Row, RowPage

LONGEST_CELL: Final = 1_000_000
"""Characters of one cell; what is longer is taken for a mistake of the file."""

LARGEST_PAGE: Final = 4_000_000
"""Characters of a page, beyond which it ends early: memory must not depend on how long the cells are."""

LONGEST_LABEL: Final = 60


def paged(name: str, entries: Iterable[Row | Refusal], after: str | None, page_rows: int) -> Iterator[RowPage]:
    """The entries after the cursor, which is the line of the last entry before; lines only ever grow.

    A page holds `page_rows` entries at most, and cells of `LARGEST_PAGE` characters or a little more.
    Raises `InputRefused`, calling the input `name`, where there is no entry at all, and for a cell that is too long.
    """
    start = int(after) if after is not None else 0
    rows: list[Row] = []
    refusals: list[Refusal] = []
    size = line = 0
    for entry in entries:
        line = entry.line or 0
        if line <= start:
            continue
        if isinstance(entry, Row):
            rows.append(entry)
            length = sum(map(len, entry.cells))
            if length > LONGEST_CELL:
                _refuse_long_cells(name, entry)
            size += length + len(entry.cells)
        else:
            refusals.append(entry)
            size += sum(map(len, entry.row)) + len(entry.row)
        if len(rows) + len(refusals) >= page_rows or size >= LARGEST_PAGE:
            yield RowPage(tuple(rows), tuple(refusals), str(line))
            rows, refusals, size = [], [], 0
    if line == 0:
        raise no_rows(name)
    if rows or refusals:
        yield RowPage(tuple(rows), tuple(refusals), str(line))


def _refuse_long_cells(name: str, row: Row) -> None:
    for column, cell in enumerate(row.cells, 1):
        if len(cell) > LONGEST_CELL:
            raise InputRefused(f"{name}, line {row.line}: column {column} is longer than {LONGEST_CELL} characters")


def no_rows(name: str) -> InputRefused:
    """The refusal of an input that has nothing but a header."""
    return InputRefused(f"{name} has a header and no rows: there is nothing to do")


def wrong_width(line: int, cells: list[str], width: int) -> Refusal:
    """The refusal of a row that has more or fewer cells than the header."""
    return Refusal(
        line=line,
        column=None,
        label=label_of(cells),
        reason=f"the header has {width} {'cell' if width == 1 else 'cells'}, this row {len(cells)}",
        row=tuple(cells),
    )


def label_of(cells: Iterable[str]) -> str:
    """What a row that is refused is called: its first cell."""
    return next(iter(cells), "").strip()[:LONGEST_LABEL]
