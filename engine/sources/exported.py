"""Files that an export has written, as they come back: cells that a spreadsheet would run were defused in them.

Both halves stand here, the apostrophe and its taking away, for one to be the other's undoing. A file is known as one
of these by the columns that an export puts behind all others; whoever takes them out takes the file as it is.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Final

from checkpoints.records import Refusal
from engine.rows import Row, RowPage, Source

ROW: Final = "carbon_row"
LINE: Final = "carbon_line"
COLUMNS: Final = (ROW, LINE, "carbon_state", "carbon_answer", "carbon_message")
"""What stands behind the input's own columns; by the first two `run --continue` knows which row was corrected.

The first has run and number, as `k7m2q/12`; of a refused row, which has no number, `k7m2q/r5`.
"""

RUN: Final = "carbon_run"
"""What stands behind all other columns of a file of answers whose cells are defused: which run was answered."""

_NUMBERED: Final = re.compile(r"_\d+\Z")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER: Final = re.compile(r"[+-]?\d[\d \u00a0\u202f]*([.,]\d+)?")


def is_of_export(name: str) -> bool:
    """Whether a column is one that an export adds; where the input had one of that name, it got a number."""
    plain = name.strip().casefold()
    return not {plain, _NUMBERED.sub("", plain)}.isdisjoint((*COLUMNS, RUN))


def named(column: str, taken: Collection[str]) -> str:
    """What one of our columns is called beside those that are `taken`: where one has its name, it gets a number."""
    names = {name.strip().casefold() for name in taken}
    return next(free for free in chain((column,), (f"{column}_{number}" for number in count(2))) if free not in names)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula: an apostrophe goes before what is no plain number.

    One more goes before what has such an apostrophe already, for `as_it_was` to take none that was there before.
    """
    bare = cell.lstrip("'")
    return f"'{cell}" if bare.startswith(_FORMULA) and not _NUMBER.fullmatch(bare) else cell


def as_it_was(cell: str) -> str:
    """The cell that `harmless` has made this one of."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell


@dataclass(frozen=True, slots=True)
class Restored(Source):
    """An exported file: its cells, and the names of its columns, as they were before the export."""

    inner: Source

    @property
    def name(self) -> str:
        """What the rows come from."""
        return self.inner.name

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes."""
        return self.inner.digest

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""
        return _restored(self.inner.header)

    @property
    def is_read_whole(self) -> bool:
        """Whether all of it is read before anything is sent."""
        return self.inner.is_read_whole

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`."""
        for page in self.inner.pages(after):
            yield replace(page, rows=tuple(map(_row, page.rows)), refusals=tuple(map(_refusal, page.refusals)))


def restore_cells(source: Source) -> Source:
    """The source, its cells as they were where an export has written it. Raises `InputRefused`."""
    return Restored(source) if any(map(is_of_export, source.header)) else source


def _row(row: Row) -> Row:
    return replace(row, cells=_restored(row.cells))


def _refusal(refusal: Refusal) -> Refusal:
    return replace(refusal, row=_restored(refusal.row))


def _restored(cells: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(as_it_was, cells))
