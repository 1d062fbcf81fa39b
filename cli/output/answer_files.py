"""Answers of a run that reads, as a file, or the first of them on the screen.

Each row of the input becomes one row for each object in its answer, or one row where there is none. The columns are
those of the input, then the fields of all answers, which a first pass over the answers collects. Where formula cells
are defused, the run's name is in the last column, so that the file is recognised when it comes back as input.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import anyio.to_thread
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import states_where
from cli.output.item_files import STDOUT, OutputFile, written_to
from cli.output.tables import TableRow, as_text, csv_rows, suffix_of, write_table
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import command, render
from cli.terminal.texts import printable
from engine.sources.exported import RUN, named
from jobs.catalogue.typed_call import CALL
from jobs.effects.answer_cells import Flat, decode_answer
from jobs.spec.spec import ChainKind, JobSpec, kind_of
from texts.remedies import Remedy, command_line
from texts.said import Quantity, counted

ANSWERS: Final = "answers"
"""The name of the answers in `export --state`."""

ANSWER_FILE_PARAMETER: Final = "input_answers"
"""The parameter that holds the path of the run's answer file."""

MAX_ANSWERS_SHOWN: Final = 20
"""Rows that are shown where no file was named."""

_PAGE: Final = 200
_MOST_FIELDS: Final = 10_000
"""Fields of all answers of a run: each is a column of every row. No model has a hundred."""
_AGAIN: Final = "answer_"


def reads(spec: JobSpec | None) -> bool:
    """Whether a job gives answers; nothing is known of those of an undo, and of a job whose declaration is gone."""
    if spec is None:
        return False
    return kind_of(spec.template()) is ChainKind.READS if spec.name == CALL else not spec.writes


def checked(spec: JobSpec, path: Path) -> dict[str, str]:
    """The parameters that a run keeps for its answer file, checked before anything is sent.

    Raises `CommandRefused` for a job without answers, and for a file that cannot be written.
    """
    output = f"-o {path}"
    if not reads(spec):
        raise CommandRefused(
            "{output}: {job} writes, and there are no answers to be kept; {command} has its rows",
            output=output,
            job=spec.name,
            command=Remedy("export"),
        )
    if path == STDOUT:
        raise CommandRefused(
            "{output}: a run keeps the name of its file, to write it also after a kill. Name one; or leave -o "
            "out, and have the answers on stdout afterwards with {command}",
            output=output,
            command=command_line("export", "RUN", "--state", ANSWERS, "-o", "-"),
        )
    suffix_of(path)
    path = Path.cwd() / path
    if not path.parent.is_dir():
        raise CommandRefused("{flag}: there is no folder {folder}", flag=f"-o {path}", folder=path.parent)
    if path.exists():
        raise CommandRefused(
            "{flag}: this file is there already; name another one, or take it away", flag=f"-o {path}"
        )
    return {ANSWER_FILE_PARAMETER: str(path)}


async def write_answers(run: Run, journal: Journal, target: OutputFile) -> int:
    """Write the answers so far; returns the number of rows. Raises `CommandRefused` and `JournalError`."""
    fields, names, rows = await _layout(run, journal)
    mark: tuple[str, ...] = ()
    # Formula cells are defused only in a CSV file, where a text can be a formula.
    if target.path == STDOUT or suffix_of(target.path) == ".csv":
        names, mark = (*names, named(RUN, names)), (run.name,)
    pages = _pages(run, journal, fields, mark)
    if target.path == STDOUT:
        async with written_to(target) as sheet:
            put = csv_rows(sheet, names)
            async for page in pages:
                await anyio.to_thread.run_sync(put, page)
    else:
        await write_table(target, names, rows, pages)
    return rows


async def first_rows(run: Run, journal: Journal) -> RenderableType:
    """The first rows of the answers, and the command that writes all of them."""
    fields, names, rows = await _layout(run, journal)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(Text(printable(name, 60)), overflow="fold")
    async for page in _pages(run, journal, fields):
        for row in page[: MAX_ANSWERS_SHOWN - table.row_count]:
            table.add_row(*(Text(printable(as_text(cell), 120)) for cell in row))
        if table.row_count >= MAX_ANSWERS_SHOWN:
            break
    more = rows - table.row_count
    number = (
        counted("… and {n} row more; all of them as a file:", "… and {n} rows more; all of them as a file:", more)
        if more > 0
        else counted("{n} row; as a file:", "{n} rows; as a file:", rows)
    )
    as_file = command(command_line("export", run.name, "--state", ANSWERS, "-o", f"{run.name}.csv"))
    return Group(Text(""), table, render(number, "dim"), as_file)


# ---- from items to rows -----------------------------------------------------------------------------------------


async def _layout(run: Run, journal: Journal) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """The fields of all answers, the names of all columns, and the number of rows.

    A field with the name of an input column is marked as an answer.
    """
    fields, number = dict[str, None](), 0
    async for page in journal.each_page(run, states_where(in_effect=True), size=_PAGE):
        found = [one for item in page for one in _objects(item)]
        number += len(found)
        for one in found:
            fields.update(dict.fromkeys(one))
        if len(fields) > _MOST_FIELDS:
            raise CommandRefused(
                "the answers of run {run} have more than {most} different fields, which no model of the billing "
                "has: there is no file of them",
                run=run.name,
                most=Quantity(_MOST_FIELDS),
            )
    names, taken = list(run.header), {name.strip().casefold() for name in run.header}
    for name in fields:
        while name.casefold() in taken:
            name = f"{_AGAIN}{name}"  # noqa: PLW2901 - the name under which the field is told
        taken.add(name.casefold())
        names.append(name)
    return tuple(fields), tuple(names), number


async def _pages(
    run: Run, journal: Journal, fields: Sequence[str], mark: Sequence[str] = ()
) -> AsyncIterator[list[TableRow]]:
    """The rows of the file: the cells of the input, the fields of an answer, and the mark as the last cell."""
    width = len(run.header)
    async for page in journal.each_page(run, states_where(in_effect=True), size=_PAGE):
        rows: list[TableRow] = []
        for item in page:
            cells = [*item.row[:width], *[""] * (width - len(item.row))]
            rows += [[*cells, *(one.get(field) for field in fields), *mark] for one in _objects(item)]
        yield rows


def _objects(item: Item) -> list[Flat]:
    """The objects in the answer to a row; an empty one for an empty answer, so that the row is kept."""
    return decode_answer(item.answer) or [{}]
