"""Exported files as input: undoes the apostrophes that an export puts before cells that a spreadsheet would run.

Both directions are here, so that one is the inverse of the other. An exported file is recognised by the columns that
an export adds after all others; without them, a file is read as it is. A table that was checked comes back without
the column of its faults.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Final

from checkpoints.records import Refusal
from engine.rows import FAULTS, DerivedSource, Row, RowPage, Source

ROW: Final = "carbon_row"
LINE: Final = "carbon_line"
COLUMNS: Final = (ROW, LINE, "carbon_state", "carbon_answer", "carbon_message")
"""The columns after the input's own; by the first two, `run --continue` finds the row that was corrected.

The first holds run and number, such as `k7m2q/12`; for a refused row, which has no number, `k7m2q/r5`.
"""

RUN: Final = "carbon_run"
"""The last column of an exported file of answers: the run of the answers."""

STEP: Final = "carbon_step"
"""The column after these of a run whose rows have steps: the step of the row."""

_NUMBERED: Final = re.compile(r"_\d+\Z")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of a formula; the last are the fullwidth forms of the first, which some spreadsheets take alike."""

_NUMBER: Final = re.compile(r"[+-]?\d[\d \u00a0\u202f]*([.,]\d+)?")


def is_of_export(name: str) -> bool:
    """Whether an export has added a column; a number after its name is allowed."""
    plain = name.strip().casefold()
    return not {plain, _NUMBERED.sub("", plain)}.isdisjoint((*COLUMNS, STEP, RUN))


def named(column: str, taken: Collection[str]) -> str:
    """The name of an added column, with a number if the name is `taken`."""
    names = {name.strip().casefold() for name in taken}
    return next(free for free in chain((column,), (f"{column}_{number}" for number in count(2))) if free not in names)


def harmless(cell: str) -> str:
    """Make a cell safe: an apostrophe is put before a formula, but not before a plain number.

    A cell that begins with such an apostrophe gets another one, so that `as_it_was` restores it exactly.
    """
    bare = cell.lstrip("'")
    return f"'{cell}" if bare.startswith(_FORMULA) and not _NUMBER.fullmatch(bare) else cell


def as_it_was(cell: str) -> str:
    """The original of a cell that `harmless` has returned."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell


class Restored(DerivedSource):
    """An exported file, with its cells and column names as they were before the export."""

    __slots__ = ()

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""
        return _restored(self._inner.header)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`."""
        for page in self._inner.pages(after):
            yield replace(page, rows=tuple(map(_row, page.rows)), refusals=tuple(map(_refusal, page.refusals)))


class WithoutFaults(DerivedSource):
    """A table that was checked, without its column of faults: it is the table that was given, corrected."""

    __slots__ = ("_place",)

    def __init__(self, inner: Source, place: int) -> None:
        super().__init__(inner)
        self._place = place

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the other columns."""
        return self._without(self._inner.header)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`."""
        for page in self._inner.pages(after):
            # A row that somebody has emptied is none any more, whatever was found in it.
            rows = tuple(row for row in map(self._row, page.rows) if any(map(str.strip, row.cells)))
            refusals = tuple(replace(one, row=self._without(one.row)) for one in page.refusals)
            yield replace(page, rows=rows, refusals=refusals)

    def _row(self, row: Row) -> Row:
        truths = frozenset(place - (place > self._place) for place in row.truths if place != self._place)
        return replace(row, cells=self._without(row.cells), truths=truths)

    def _without(self, cells: tuple[str, ...]) -> tuple[str, ...]:
        return (*cells[: self._place], *cells[self._place + 1 :])


def restore_cells(source: Source) -> Source:
    """The source as it was before the program wrote it: cells of an export restored, faults of a check left out.

    Raises `InputRefused`.
    """
    place = next((place for place, name in enumerate(source.header) if _is_of_check(name)), None)
    own = source if place is None else WithoutFaults(source, place)
    return Restored(own) if any(map(is_of_export, own.header)) else own


def _is_of_check(name: str) -> bool:
    return _NUMBERED.sub("", name.strip().casefold()) == FAULTS


def _row(row: Row) -> Row:
    return replace(row, cells=_restored(row.cells))


def _refusal(refusal: Refusal) -> Refusal:
    return replace(refusal, row=_restored(refusal.row))


def _restored(cells: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(as_it_was, cells))
