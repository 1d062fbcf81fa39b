"""`export_state`: rows of one state as a file that opens in a spreadsheet and can be used as input."""

import csv
import filecmp
import io
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TextIO

import anyio.to_thread
import msgspec

from checkpoints.journal import Journal
from checkpoints.records import Item, Refusal, Run
from checkpoints.states import State
from cli.terminal import names
from cli.terminal.exits import CommandRefused
from cli.terminal.names import STATE_NAMES
from cli.terminal.streams import plain
from cli.terminal.texts import RUSSIAN, printable, reader, rendered
from cli.terminal.waiting import waiting
from engine.sources.exported import COLUMNS, IN_RUSSIAN, STEP, harmless, named
from jobs.access.payload import payload_of
from jobs.imports.subscriber import STEP_NAMES, Step
from jobs.spec.words import AMOUNT, IMPORT, UNDO
from texts.remedies import setting
from texts.said import Said, reason_of, said, wording

REFUSED: Final = "refused"
STDOUT: Final = Path("-")
FILES: Final[Mapping[str, tuple[State | None, ...]]] = {
    str(file): (
        *(state for state in State if state.export == file),
        # Refused rows are corrected together with rejected ones, so they share a file.
        *([None] if file is State.REJECTED else []),
    )
    for file in State
    if file.export == file
}
"""The files of a whole export: by the state in the file's name, the states in it; None stands for refused rows."""
_WORKBOOKS: Final = frozenset({".xlsx", ".xlsm", ".xls", ".ods"})

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SIGNS: Final = {chr(code): chr(0x2400 + code) for code in range(0x20)} | {"\x7f": "\u2421"}
"""Controls as signs, ␛ for ESC, ␀ for NUL; � is for those without one and for what is no character.

A terminal that shows the file would obey them, and many programs end a text at a NUL. Tabs and line ends stay.
"""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """The path of a file; an existing file is overwritten only with `force`.

    With `leaves_same` one that would be written just so is left as it is, and any other refused once all is written.
    """

    path: Path
    force: bool = False
    leaves_same: bool = False


async def write_items(out: "Sheet", run: Run, states: Sequence[State | None], journal: Journal) -> int:
    """Write the rows that are in these states, in their order, then refused ones for None; returns their number."""
    written, totals = 0, await journal.totals(run)
    number = totals.count(*(state for state in states if state)) + (totals.refused if None in states else 0)
    out.row(header_of(run))
    with waiting(said("writing rows"), lambda: (written, number)):
        async for page in _pages(run, states, journal):
            await anyio.to_thread.run_sync(out.all, page)
            written += len(page)
    return written


async def _pages(run: Run, states: Sequence[State | None], journal: Journal) -> AsyncIterator[list[list[str]]]:
    """The rows in pages; of an import each step has the whole cells of its row of the table.

    Rejected ones of an import have the rows of the table in place of the steps, each once, with the first of its
    steps that was refused. The journal keeps the cells with the step of the subscriber alone.
    """
    wanted, last, after = {state for state in states if state is not None}, "", 0
    is_import, once = run.job == IMPORT, run.job == IMPORT and wanted == {State.REJECTED}
    async for items in journal.each_page(run, wanted):
        cells = await journal.cells_of_lanes(run, {item.lane for item in items}) if is_import else {}
        lines: list[list[str]] = []
        for item in items:
            whole = item if item.row else msgspec.structs.replace(item, row=cells.get(item.lane, ()))
            # A folder that was refused refuses the subscribers in it, and these have the rows.
            if not once or (item.lane != last and whole.row):
                lines.append(of_item(whole, run))
            last = item.lane
        yield lines
    while None in states and (page := await journal.refusals(run, after=after)):
        yield [of_refusal(refusal_id, refusal, run) for refusal_id, refusal in page]
        after = page[-1][0]


def header_of(run: Run) -> list[str]:
    """The first row of a file: the run's own columns, then those of `COLUMNS`."""
    own = [_OF_AN_UNDO.get(name, name) for name in run.header] if _is_for_accountant(run) else run.header
    return [*own, *columns_of(run)]


def columns_of(run: Run, language: str | None = None) -> tuple[str, ...]:
    """The names of `COLUMNS` after the run's own columns; a name that the input already has gets a number.

    They are in the reader's language, if no other is named. An import has one for the step as well.
    """
    row, line, *others = COLUMNS
    columns = (row, line, STEP, *others) if run.job == IMPORT else COLUMNS
    if (language or reader().name) == RUSSIAN:
        columns = tuple(map(IN_RUSSIAN.__getitem__, columns))
    return tuple(named(column, run.header) for column in columns)


_OF_AN_UNDO: Final = {
    "run": "загрузка",
    "row": "строка",
    "key": "ключ",
    "label": "абонент",
    AMOUNT: "сумма",
    "answer": "операция",
}
"""The columns of an undo's rows, for a Russian reader."""


def _is_for_accountant(run: Run) -> bool:
    """Whether a file is a list of an undo, which nobody reads back, for a Russian reader."""
    return run.job == UNDO and reader().name == RUSSIAN


def of_item(item: Item, run: Run) -> list[str]:
    """An item as a row of a file: the cells of the input, then those of `COLUMNS`."""
    step = [in_words(word := payload_of(item).step, STEP_NAMES[Step(word)])] if run.job == IMPORT else []
    state = in_words(item.state, names.name_of_outcome(item.state, item.kind, STATE_NAMES))
    own = [f"{run.name}/{item.number}", str(item.line or ""), *step, state, item.answer or ""]
    return [*_fitted(item.row, run), *own, in_a_cell(item.message or "")]


def of_refusal(refusal_id: int, refusal: Refusal, run: Run) -> list[str]:
    """A refused row as a row of a file, with the same columns."""
    why = names.reason_of_refusal(refusal)
    if surplus := refusal.row[len(run.header) :]:
        why = said("{why}; surplus cells: {cells}", why=why, cells=" | ".join(surplus))
    step = [""] if run.job == IMPORT else []
    own = [f"{run.name}/r{refusal_id}", str(refusal.line or ""), *step, in_words(REFUSED, names.REFUSED), ""]
    return [*_fitted(refusal.row, run), *own, in_a_cell(why)]


def in_words(word: str, name: Said) -> str:
    """A state or a step: its word, which scripts read, or what a Russian reader calls it."""
    return in_a_cell(name) if reader().name == RUSSIAN else str(word)


def _fitted(cells: Sequence[str], run: Run) -> list[str]:
    width = len(run.header)
    fitted = [*cells[:width], *[""] * (width - len(cells))]
    if _is_for_accountant(run):
        # A Russian spreadsheet takes 123.45 for a text, or for a day.
        return [
            cell.replace(".", ",") if name == AMOUNT else cell for name, cell in zip(run.header, fitted, strict=True)
        ]
    return fitted


def in_a_cell(text: str) -> str:
    """A sentence in the language of whoever asks for the file; what comes back as input is no sentence."""
    return plain(rendered(text))


# ---- the file ---------------------------------------------------------------------------------------------------


class Sheet:
    """Rows of a CSV file separated by `;`, as local spreadsheets expect it."""

    def __init__(self, stream: TextIO) -> None:
        self._writer = csv.writer(stream, delimiter=";", lineterminator="\r\n")

    def row(self, cells: Sequence[str]) -> None:
        """Write a row, with formula cells defused, and controls shown as signs."""
        shown = (_CONTROL.sub(lambda control: _SIGNS.get(control[0], "\ufffd"), cell) for cell in cells)
        self._writer.writerow([harmless(cell) for cell in shown])

    def all(self, page: Sequence[Sequence[str]]) -> None:
        for cells in page:
            self.row(cells)


@asynccontextmanager
async def written_to(target: OutputFile) -> AsyncIterator[Sheet]:
    """A sheet whose file is put in place when the context ends well, and discarded otherwise.

    UTF-8 with a BOM. Raises `CommandRefused` when the file exists or cannot be written.
    """
    if target.path == STDOUT:
        with standard_output() as stdout:
            borrowed = io.TextIOWrapper(stdout, encoding="utf-8-sig", newline="", write_through=True)
            try:
                yield Sheet(borrowed)
            finally:
                # The wrapper must not close stdout.
                borrowed.detach()
        return
    if target.path.suffix.casefold() in _WORKBOOKS:
        raise CommandRefused(
            "{path} would be a CSV with the name of a workbook, which no spreadsheet opens: name it .csv",
            path=printable(target.path),
        )
    with replacing(target) as made, made.open("w", encoding="utf-8-sig", newline="") as stream:
        yield Sheet(stream)


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Standard output as the file that is written to it. Raises `CommandRefused` when its disk is full."""
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()
    except OSError as error:
        raise CommandRefused("standard output cannot be written: {why}", why=reason_of(error)) from error


async def make_folder(path: Path) -> None:
    """Make a folder with those above it, where it is not there. Raises `CommandRefused`."""
    try:
        await anyio.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandRefused("{path} cannot be made: {why}", path=printable(path), why=reason_of(error)) from error


def refuse_present(target: OutputFile, *, is_in_folder: bool = False) -> None:
    """Raise `CommandRefused` for a path that exists, unless it is to be overwritten; a folder may have been named."""
    path = printable(target.path)
    if target.path.exists() and not (target.path.is_file() or target.path.is_dir()):
        # A device or a pipe would be replaced by a file, for all who use it.
        raise CommandRefused("{path} is not a regular file: name another one", path=path)
    if target.path.exists() and not target.force:
        other = wording("{path} is there already: name another file, or give {force} to overwrite it")
        if is_in_folder:
            other = wording("{path} is there already: name another folder, or give {force} to overwrite it")
        raise CommandRefused(other, path=path, force=setting("force"))


@contextmanager
def replacing(target: OutputFile) -> Iterator[Path]:
    """An empty file, mode 0600, that is renamed to its final path when the context ends well.

    Raises `CommandRefused` when the path exists or cannot be written.
    """
    path, made = target.path, Path()
    compares = target.leaves_same and not target.force and path.is_file()
    if not compares:
        refuse_present(target)
    try:
        # In the same folder, so that the rename is atomic; mode 0600, like the journal.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        made = Path(name)
        yield made
        if not compares:
            made.replace(path)
        elif not filecmp.cmp(made, path, shallow=False):
            # Somebody may have edited it.
            refuse_present(target)
    except OSError as error:
        raise CommandRefused("{path} cannot be written: {why}", path=printable(path), why=reason_of(error)) from error
    finally:
        if made.name:
            made.unlink(missing_ok=True)


def write_whole(target: OutputFile, made: bytes) -> None:
    """Write all of a file, or of stdout. Raises `CommandRefused` as `replacing` and `standard_output` do."""
    if target.path == STDOUT:
        with standard_output() as stdout:
            stdout.write(made)
    else:
        with replacing(target) as path:
            path.write_bytes(made)
