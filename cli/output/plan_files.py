"""The files of a plan: a folder with the rows of each kind, or one table of what changes, old and new.

The table is a CSV, a workbook or JSON lines. It has a row for each field that a row of the input changes.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import anyio
import anyio.to_thread

from billing.directory.values import AMOUNTS
from billing.profile import Profile
from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from cli.output.item_files import OutputFile, header_of, of_item, refuse_present, write_items, written_to
from cli.output.tables import KINDS, TableCell, TableRow, write_table
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import reason_of
from jobs.value_changes import ChangeKind, FieldChange, RowChange, row_changes
from texts.said import Said, said

COLUMNS_OF_CHANGES: Final = ("line", "row", "label", "model", "object", "change", "field", "old", "new")
"""`line` is that of the input, `row` the number in the plan; `object` is the key by which the billing finds it."""

ISSUED: Final = said("(issued by the billing)")

_CHANGES: Final[Mapping[ChangeKind, Said]] = MappingProxyType(
    {
        ChangeKind.CHANGED: said("changed"),
        ChangeKind.NEW: said("new"),
        ChangeKind.REMOVED: said("removed"),
    }
)

SAVED: Final[Mapping[str, State | None]] = MappingProxyType(
    {"to-send": State.PENDING, "skipped": State.SKIPPED, "refused": None}
)
"""The files of rows, each with the state of its rows; None stands for refused rows."""
LOOK_ALIKES: Final = "look-alikes"
VALUE_CHANGES: Final = "value-changes"


def is_table(out: OutputFile) -> bool:
    """Whether the path is that of one table, and not of a folder."""
    return out.path.suffix.casefold() in KINDS and not out.path.is_dir()


def check_free(out: OutputFile) -> None:
    """Refuse a table that is there, or a folder that has files of a plan. Raises `CommandRefused`."""
    if is_table(out):
        refuse_present(out)
        return
    for name in (*SAVED, LOOK_ALIKES, VALUE_CHANGES):
        refuse_present(_file_in(out, name), is_in_folder=True)


async def write_plan(
    out: OutputFile,
    run: Run,
    lines: int,
    look_alikes: AsyncIterator[Sequence[Item]],
    journal: Journal,
    profile: Profile,
) -> None:
    """Write a plan into its folder or table; `lines` are the rows of the table.

    Raises `CommandRefused` and `JournalError`.
    """
    if is_table(out):
        await _write_value_changes(out, lines, run, journal, profile)
        return
    try:
        await anyio.Path(out.path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandRefused("{path} cannot be made: {why}", path=out.path, why=reason_of(error)) from error
    for name, state in SAVED.items():
        async with written_to(_file_in(out, name)) as sheet:
            await write_items(sheet, run, (state,), journal)
    async with written_to(_file_in(out, LOOK_ALIKES)) as sheet:
        sheet.row(header_of(run))
        async for page in look_alikes:
            await anyio.to_thread.run_sync(sheet.all, [of_item(item, run) for item in page])
    await _write_value_changes(_file_in(out, VALUE_CHANGES), lines, run, journal, profile)


def _file_in(folder: OutputFile, name: str) -> OutputFile:
    return replace(folder, path=folder.path / f"{name}.csv")


# ---- old and new values -----------------------------------------------------------------------------------------


async def _write_value_changes(target: OutputFile, lines: int, run: Run, journal: Journal, profile: Profile) -> None:
    await write_table(target, COLUMNS_OF_CHANGES, lines, _pages(run, journal, profile))


async def _pages(run: Run, journal: Journal, profile: Profile) -> AsyncIterator[list[TableRow]]:
    async for page in row_changes(run, journal, profile):
        # An empty page would end the table.
        if lines := [line for change in page for line in _lines(change)]:
            yield lines


def _lines(change: RowChange) -> Iterator[TableRow]:
    item = change.item
    for one in change.fields:
        new = ISSUED if one.issued else _cell(one, one.new)
        yield (
            item.line,
            item.number,
            item.label,
            change.model,
            change.key,
            _CHANGES[change.kind],
            one.name,
            _cell(one, one.old),
            new,
        )


def _cell(one: FieldChange, value: str | None) -> TableCell:
    """A value as a cell: money is a number, anything else, also an id, a text."""
    return Decimal(value) if value is not None and one.name in AMOUNTS else value
