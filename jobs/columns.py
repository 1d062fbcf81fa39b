"""Finding columns in the header of a file, whatever the case and the spaces around their names."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InputRefused
from engine.job import Row


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the input: its name as the file has it, and its place, counted from 0."""

    name: str
    place: int

    def of(self, row: Row) -> str:
        """The cell of a row in this column, without the white space around it."""
        return row.cells[self.place].strip()


def find(header: Sequence[str], name: str) -> Column | None:
    """The column of that name, None where there is none."""
    wanted = name.strip().casefold()
    for place, title in enumerate(header):
        if title.strip().casefold() == wanted:
            return Column(title.strip(), place)
    return None


def required(source: str, header: Sequence[str], what: str, names: Sequence[str], setting: str) -> Column:
    """The one column that has one of `names`; `what` says what it is to hold, `setting` which parameter names it.

    Raises `InputRefused`, naming the columns that there are, when none has or several have.
    """
    found = [column for name in names if (column := find(header, name)) is not None]
    if len(found) == 1:
        return found[0]
    there = ", ".join(title.strip() for title in header)
    if not found:
        raise InputRefused(
            f"{source} has no column for {what}: none is named {' or '.join(names)}; it has: {there}. "
            f"Name the right one with --set {setting}=…"
        )
    both = " and ".join(column.name for column in found)
    raise InputRefused(f"{source} has several columns for {what}: {both}. Name the right one with --set {setting}=…")
