"""Exported files as input: undoes the apostrophes that an export puts before cells that a spreadsheet would run.

Both directions are here, so that one is the inverse of the other. An exported file is recognised by the columns that
an export adds after all others; without them, a file is read as it is. A table that was checked comes back without
the column of its faults.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, count
from typing import Final

from msgspec.structs import replace

from checkpoints.records import Refusal
from engine.job import FAULTS, Row
from engine.sources.sample import Table

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

IN_RUSSIAN: Final[Mapping[str, str]] = {
    ROW: "carbon_строка",
    LINE: "carbon_строка_файла",
    STEP: "carbon_шаг",
    "carbon_state": "carbon_состояние",
    "carbon_answer": "carbon_ответ",
    "carbon_message": "carbon_причина",
}
"""The same columns in an export for a Russian reader; either names are read back, whoever reads them."""

_NUMBERED: Final = re.compile(r"_\d+\Z")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of a formula; the last are the fullwidth forms of the first, which some spreadsheets take alike."""

_NUMBER: Final = re.compile(r"[+-]?\d[\d \u00a0\u202f]*([.,]\d+)?")


def is_of_export(name: str) -> bool:
    """Whether an export has added a column; a number after its name is allowed."""
    plain = name.strip().casefold()
    return not {plain, _NUMBERED.sub("", plain)}.isdisjoint((*COLUMNS, STEP, RUN, *IN_RUSSIAN.values()))


def named(column: str, taken: Collection[str]) -> str:
    """The name of an added column, with a number if the name is `taken`."""
    names = {name.strip().casefold() for name in taken}
    return next(free for free in chain((column,), (f"{column}_{number}" for number in count(2))) if free not in names)


def harmless(cell: str) -> str:
    """Make a cell safe: an apostrophe is put before a formula, but not before a plain number.

    A cell that begins with an apostrophe gets another one, so that it comes back exactly.
    """
    return f"'{cell}" if cell.startswith(("'", *_FORMULA)) and not _NUMBER.fullmatch(cell) else cell


def as_it_was(cell: str) -> str:
    """The original of a cell that `harmless` has returned."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell


def restored(table: Table) -> Table:
    """The table as it was before the program wrote it: cells of an export restored, faults of a check left out."""
    place = next(
        (at for at, name in enumerate(table.header) if _NUMBERED.sub("", name.strip().casefold()) in FAULTS), -1
    )
    is_of_check, of_export = place >= 0, any(map(is_of_export, table.header))
    if not is_of_check and not of_export:
        return table

    def given(cells: tuple[str, ...]) -> tuple[str, ...]:
        cells = (*cells[:place], *cells[place + 1 :]) if is_of_check else cells
        # Also where the rest was corrected since, and would get no apostrophe today.
        return tuple(cell.removeprefix("'") for cell in cells) if of_export else cells

    def entries() -> Iterator[Row | Refusal]:
        for entry in table.entries():
            if not isinstance(entry, Row):
                yield replace(entry, row=given(entry.row))
            elif not is_of_check:
                yield Row(entry.line, given(entry.cells), entry.truths)
            # A row that somebody has emptied is none any more, whatever was found in it.
            elif any(map(str.strip, cells := given(entry.cells))):
                yield Row(entry.line, cells, frozenset(one - (one > place) for one in entry.truths if one != place))

    return replace(table, header=given(table.header), entries=entries)
