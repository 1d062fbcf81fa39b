"""Files of a run: rows of one state, answers and checked tables, as CSV, workbook or JSON lines by the suffix.

Rows of a state open in a spreadsheet and can be used as input. Where formula cells are defused, the run's name is in
the last column, so that the file is recognised when it comes back (`engine/sources/exported.py`).

Answers: each row of the input becomes one row for each object in its answer, or one row where there is none. The
columns are those of the input, then the fields of all answers, which a first pass over the answers collects.

A checked table has its own rows, the faulty cells marked and commented, and a sheet that lists them. It comes back as
input: the column of faults and the sheet of faults are known by their name, and all other cells are as they were;
each joined table has a sheet of its name. Memory does not grow with the rows.
"""

import csv
import filecmp
import io
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO, TypeAlias, TypeVar

import anyio.to_thread
import msgspec
from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Item, Refusal, Run
from checkpoints.states import State, states_where
from cli.terminal import names
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import bare_table, command, render
from cli.terminal.names import STATE_NAMES
from cli.terminal.streams import plain, waiting
from cli.terminal.texts import RUSSIAN, printable, reader, rendered
from engine.job import FAULTS
from engine.sources.exported import COLUMNS, IN_RUSSIAN, RUN, STEP, harmless, is_of_export, named
from engine.sources.workbook import address
from jobs.access.payload import payload_of
from jobs.catalogue.typed_call import CALL
from jobs.effects.answer_cells import Cell, Flat, decode_answer
from jobs.imports.column_map import TABLE_OF_STEP
from jobs.imports.subscriber import STEP_NAMES, Step, ValueFault
from jobs.spec.spec import ChainKind, JobSpec, kind_of
from jobs.spec.words import AMOUNT, ANSWER_FILE_PARAMETER, IMPORT, UNDO
from texts.said import Quantity, Said, advised, command_line, counted, in_clauses, reason_of, said, setting, wording

# ---- files, and the rows of one state in them ---------------------------------------------------------------------


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
NO_CSV: Final = frozenset(
    {
        *(".xlsx", ".xlsm", ".xls", ".ods", ".json", ".jsonl", ".ndjson", ".xml", ".html", ".htm", ".pdf"),
        *(".doc", ".docx", ".odt", ".rtf", ".zip", ".gz", ".toml"),
    }
)
"""Suffixes of files that are not written as CSV, nor made as folders."""

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


async def write_items(target: OutputFile, run: Run, states: Sequence[State | None], journal: Journal) -> int:
    """Write the rows that are in these states, in their order, then refused ones for None; returns their number."""
    written, totals = 0, await journal.totals(run)
    number = totals.count(*(state for state in states if state)) + (totals.refused if None in states else 0)
    async with written_to(target, header_of(run), of_rows=True) as put:
        with waiting(said("writing rows"), lambda: (written, number)):
            async for page in _pages(run, states, journal):
                await put(page)
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


# ---- tables by the suffix of the path; among them answers and checked tables --------------------------------------


TableCell: TypeAlias = Cell | Decimal
"""What a cell holds; a Decimal is an amount of money."""
TableRow: TypeAlias = Sequence[TableCell]
WriteRows: TypeAlias = Callable[[Sequence[TableRow]], None]
"""Writes a page of rows, also from a worker thread; raises `CommandRefused` for a cell that the file cannot hold."""
Made = TypeVar("Made")

SHEET_ROWS: Final = 1_048_576
"""Rows in a sheet of a workbook, including the header."""
_LARGEST_NUMBER: Final = 2**53
"""The largest number up to which a spreadsheet's integers are exact."""
_DIGITS: Final = 15
"""The digits of a number that a spreadsheet keeps."""
_MONEY: Final = "#,##0.00########"
_NARROWEST, _WIDEST = 8, 60
"""The widths of the columns of a workbook, in characters."""
_TOO_LONG: Final = wording("row {row}, column {column}: a cell of a workbook cannot hold so much text")


@asynccontextmanager
async def written_to(
    target: OutputFile, names: Sequence[str], rows: int = 0, *, of_rows: bool = False
) -> AsyncIterator[Callable[[Sequence[TableRow]], Awaitable[None]]]:
    """The table that `table_at` makes, whose pages are written in a worker thread."""
    async with in_thread(table_at(target, names, rows, of_rows=of_rows)) as put:
        yield lambda page: anyio.to_thread.run_sync(put, page)


@asynccontextmanager
async def in_thread(context: AbstractContextManager[Made]) -> AsyncIterator[Made]:
    """A context that is entered in a worker thread, and left there where all went well: a workbook is made then."""
    made = await anyio.to_thread.run_sync(context.__enter__)
    try:
        yield made
        await anyio.to_thread.run_sync(context.__exit__, None, None, None)
    except BaseException:
        # Cancelled in the line before, it is not left yet; to one that was left this does nothing.
        context.__exit__(*sys.exc_info())
        raise


@contextmanager
def table_at(
    target: OutputFile, names: Sequence[str], rows: int = 0, *, of_rows: bool = False
) -> Iterator[WriteRows]:
    """A table for this many rows, put in place when the context ends well and discarded otherwise.

    Its suffix gives the format; standard output gets a CSV, and so does a file `of_rows` of a run, whatever its name.
    Names that are sentences are in the reader's language, but for JSON lines, which scripts read.
    Raises `CommandRefused` when the file exists, cannot be written, or cannot hold this many rows.
    """
    if target.path == STDOUT:
        with standard_output() as stdout:
            borrowed = io.TextIOWrapper(stdout, encoding="utf-8-sig", newline="", write_through=True)
            try:
                yield _csv_rows(borrowed, names)
            finally:
                # The wrapper must not close stdout.
                borrowed.detach()
        return
    if of_rows and target.path.suffix.casefold() in NO_CSV:
        raise CommandRefused(
            "{path} would be a CSV with the name of another format, as which nothing reads it: name it .csv",
            path=printable(target.path),
        )
    kind = _csv if of_rows else KINDS[suffix_of(target.path)]
    with replacing(target) as made, kind(made, names, rows) as put:
        yield put


def is_for_scripts(path: Path) -> bool:
    """Whether a table of this name is JSON lines, which are the same in every language."""
    return KINDS[suffix_of(path)] is _json_lines


def suffix_of(path: Path) -> str:
    """The suffix of the path, which gives the format. Raises `CommandRefused` for an unknown one."""
    suffix = path.suffix.casefold()
    if suffix not in KINDS:
        raise CommandRefused(
            "{path}: the name of the file says what it is to be: {kinds}", path=printable(path), kinds=tuple(KINDS)
        )
    return suffix


def as_text(cell: TableCell) -> str:
    """A cell as text, empty for None; money with the decimal mark of the reader's spreadsheet."""
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case Decimal():
            return format(cell, "f").replace(".", reader().decimal_mark)
        case str():
            return in_a_cell(cell)
    return str(cell)


def _csv_rows(stream: TextIO, names: Sequence[str]) -> WriteRows:
    """Rows separated by `;`, as local spreadsheets expect it, formula cells defused, and controls shown as signs."""
    writer = csv.writer(stream, delimiter=";", lineterminator="\r\n")

    def put(page: Sequence[TableRow]) -> None:
        for row in page:
            texts = (cell if type(cell) is str else as_text(cell) for cell in row)
            shown = (_CONTROL.sub(lambda control: _SIGNS.get(control[0], "\ufffd"), text) for text in texts)
            writer.writerow([harmless(text) for text in shown])

    put([names])
    return put


@contextmanager
def _csv(path: Path, names: Sequence[str], _: int) -> Iterator[WriteRows]:
    """UTF-8 with a BOM."""
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        yield _csv_rows(stream, names)


@contextmanager
def _json_lines(path: Path, names: Sequence[str], _: int) -> Iterator[WriteRows]:
    with path.open("w", encoding="utf-8") as stream:
        # One JSON object on each line; a sentence is its English text, in files that scripts read.
        encode, keys = msgspec.json.Encoder(enc_hook=str).encode, [str(name) for name in names]
        yield lambda page: stream.writelines(
            f"{encode(dict(zip(keys, row, strict=True))).decode()}\n" for row in page
        )


@contextmanager
def _workbook(path: Path, names: Sequence[str], rows: int) -> Iterator[WriteRows]:
    if rows >= SHEET_ROWS:
        raise CommandRefused(
            "a sheet holds {most} rows, and there are {rows}: write a .csv file",
            most=Quantity(SHEET_ROWS - 1),
            rows=Quantity(rows),
        )
    with _book(path) as book:
        too_long = wording(
            "row {row}, column {column}: a cell of a workbook cannot hold so much text; write a .csv or .jsonl file"
        )
        names = [in_a_cell(name) for name in names]
        sheet, money = BookSheet(book, names, too_long=too_long), book.book.add_format({"num_format": _MONEY})
        longest = [len(name) for name in names]

        def put(page: Sequence[TableRow]) -> None:
            for row in page:
                for place, cell in enumerate(row):
                    text = as_text(cell)
                    longest[place] = max(longest[place], len(text))
                    if isinstance(cell, Decimal) and Decimal(f"{float(cell):.{_DIGITS}g}") == cell:
                        sheet.sheet.write_number(sheet.row, place, float(cell), money)
                    elif isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) < _LARGEST_NUMBER:
                        sheet.sheet.write_number(sheet.row, place, cell)
                    elif text:
                        sheet.put(place, text)
                sheet.row += 1

        yield put
        for place, width in enumerate(longest):
            # Room for the sign of the filter, and for the blanks between thousands.
            sheet.sheet.set_column(place, place, min(max(width + 3, _NARROWEST), _WIDEST))


OpenTable: TypeAlias = Callable[[Path, Sequence[str], int], AbstractContextManager[WriteRows]]
KINDS: Final[Mapping[str, OpenTable]] = {".csv": _csv, ".xlsx": _workbook, ".jsonl": _json_lines}
"""The formats, by suffix."""


# ---- workbooks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Book:
    """A workbook as it is written: the library's own, how its headings look, and its sheets."""

    book: Any
    head: object
    sheets: "list[BookSheet]" = field(default_factory=list)


@contextmanager
def _book(path: Path) -> Iterator[Book]:
    """A workbook, whose end takes as long as its rows did. Raises `CommandRefused` if it cannot be written."""
    # Imported here: the import takes as long as the rest of a command.
    import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415
    from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # noqa: PLC0415

    # Its temporary files are in the same folder, readable by its owner alone, like the file.
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as apart:
        made = xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": apart})
        made.use_zip64()
        book = Book(made, made.add_format({"bold": True, "bg_color": "#DDE6F0", "bottom": 1}))
        try:
            yield book
        except BaseException:
            # The library closes its temporary files only on a complete save; the result is discarded.
            with suppress(XlsxWriterException, OSError):
                made.close()
            raise
        for sheet in book.sheets:
            sheet.sheet.autofilter(0, 0, sheet.row - 1, sheet.width - 1)
        try:
            made.close()
        except XlsxWriterException as error:
            raise CommandRefused("the workbook cannot be written: {error}", error=error) from error


class BookSheet:
    """A sheet, written row by row: its header stays in sight, and filters once the file is complete.

    Texts stay texts: no cell is a formula, and 00123 keeps its zeros.
    """

    def __init__(
        self, book: Book, header: Sequence[str], name: str | None = None, *, too_long: str = _TOO_LONG
    ) -> None:
        self.sheet = book.book.add_worksheet(name or rendered(said("Sheet1")))
        self.width = len(header)
        self.row = 0
        self._too_long = too_long
        book.sheets.append(self)
        for place, one in enumerate(header):
            self.put(place, one, book.head)
        self.row = 1
        self.sheet.freeze_panes(1, 0)
        # An id or a contract number is a text; a spreadsheet need not mark each as a mistake.
        self.sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})

    def put(self, place: int, text: str, style: object = None) -> None:
        """Write a text in the present row. Raises `CommandRefused` for one that is too long for a cell."""
        if self.sheet.write_string(self.row, place, writable(text), style):
            raise CommandRefused(self._too_long, row=Quantity(self.row + 1), column=place + 1)


def writable(text: str) -> str:
    """A text without what no file can hold: halves of characters."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


# ---- the answers of a run that reads, as a table ------------------------------------------------------------------

ANSWERS: Final = "answers"
"""The name of the answers in `export --state`."""

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
    """The parameters that a run keeps for its answer file.

    Raises `CommandRefused` for a job without answers, and for a file that no run can keep.
    """
    output = f"-o {path}"
    if not reads(spec):
        raise CommandRefused(
            "{output}: {job} writes, and there are no answers to be kept; {command} has its rows",
            output=output,
            job=spec.name,
            command=advised("export"),
        )
    if path == STDOUT:
        raise CommandRefused(
            "{output}: a run keeps the name of its file, to write it also after a kill. Name one; or leave -o "
            "out, and have the answers on stdout afterwards with {command}",
            output=output,
            command=command_line("export", "RUN", "--state", ANSWERS, "-o", "-"),
        )
    suffix_of(path)
    return {ANSWER_FILE_PARAMETER: str(Path.cwd() / path)}


async def write_answers(run: Run, journal: Journal, target: OutputFile) -> int:
    """Write the answers so far; returns the number of rows. Raises `CommandRefused` and `JournalError`."""
    fields, names, rows = await _columns_of_answers(run, journal)
    mark: tuple[str, ...] = ()
    # Formula cells are defused only in a CSV file, where a text can be a formula.
    if target.path == STDOUT or suffix_of(target.path) == ".csv":
        names, mark = (*names, named(RUN, names)), (run.name,)
    async with written_to(target, names, rows) as put:
        async for page in _answer_pages(run, journal, fields, mark):
            await put(page)
    return rows


async def first_rows(run: Run, journal: Journal) -> RenderableType:
    """The first rows of the answers, and the command that writes all of them."""
    fields, names, rows = await _columns_of_answers(run, journal)
    table = bare_table(*(Column(Text(printable(name, 60)), overflow="fold") for name in names))
    async for page in _answer_pages(run, journal, fields):
        for row in page[: MAX_ANSWERS_SHOWN - table.row_count]:
            table.add_row(*(Text(printable(as_text(cell), 120)) for cell in row))
        if table.row_count >= MAX_ANSWERS_SHOWN:
            break
    more = rows - table.row_count
    number = (
        counted("… and {n} row[s] more; all of them as a file:", more)
        if more > 0
        else counted("{n} row[s]; as a file:", rows)
    )
    as_file = command(command_line("export", run.name, "--state", ANSWERS, "-o", f"{run.name}.csv"))
    return Group(Text(""), table, render(number, "dim"), as_file)


async def _columns_of_answers(run: Run, journal: Journal) -> tuple[tuple[str, ...], tuple[str, ...], int]:
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


async def _answer_pages(
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


# ---- a checked table as a workbook --------------------------------------------------------------------------------


MOST_COMMENTS: Final = 10_000
"""Comments of a workbook, which a spreadsheet keeps in memory; the column of faults has the reasons of all rows."""
MOST_OF_JOINED: Final = 50_000
"""Faults of joined tables that are kept in memory until these are written; all of them are listed at once."""
_LONGEST: Final = 4_000
"""Characters of what is told in one cell or comment; the sheet of faults has each fault by itself."""
_LETTERS_A_LINE, _LINE_HEIGHT, _LEAST_HEIGHT = 48, 16, 34
_LONGEST_NAME: Final = 31
_TAKEN: Final = frozenset({*FAULTS, "history", *TABLE_OF_STEP.values()})
"""Names of sheets that the main table cannot have: "history" is a spreadsheet's own."""


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row of the input with what was found in it; `truths` are the places of cells that hold a boolean."""

    line: int | None
    cells: Sequence[str]
    faults: Sequence[ValueFault] = ()
    warnings: Sequence[ValueFault] = ()
    truths: frozenset[int] = frozenset()

    def found(self) -> Iterator[tuple[ValueFault, bool]]:
        yield from ((one, True) for one in self.faults)
        yield from ((one, False) for one in self.warnings)


class MarkedSheet(BookSheet):
    """The sheet of a table; `of` is the name by which faults name a joined one, "" for the main one."""

    def __init__(self, of_book: "FaultWorkbook", book: Book, header: Sequence[str], name: str, of: str = "") -> None:
        self._book = of_book
        self._of = of
        self._places = {name.strip(): place for place, name in enumerate(header)}
        # An exported table is restored when it comes back: its cells are made harmless once more.
        self._spell = harmless if any(map(is_of_export, header)) else str
        super().__init__(book, [*map(self._spell, header), named(in_a_cell(said("carbon_faults")), header)], name)
        self.reasons = len(header)
        """The place of the column of faults."""
        self.sheet.set_column(0, self.reasons - 1, 18)
        self.sheet.set_column(self.reasons, self.reasons, 70)

    def write(self, row: CheckedRow) -> None:
        """Write a row. Raises `CommandRefused` for more than a sheet holds, and for too long a text."""
        if self.row >= SHEET_ROWS:
            raise CommandRefused(
                "a sheet holds {most} rows, and the table has more: check it in parts", most=Quantity(SHEET_ROWS - 1)
            )
        reasons: list[str] = []
        marked: dict[int, tuple[bool, list[str]]] = {}
        for fault, is_fault in row.found():
            reason = fault.described()
            reasons.append(reason if is_fault else said("to be looked at: {reason}", reason=reason))
            if (place := self.place_of(fault)) is not None:
                worst, texts = marked.get(place, (False, []))
                marked[place] = (worst or is_fault, [*texts, in_a_cell(fault.reason)])
        for place, cell in enumerate(row.cells[: self.reasons]):
            style = self._book.marks[marked[place][0]] if place in marked else None
            if place in row.truths:
                self.sheet.write_boolean(self.row, place, cell.casefold() == "true", style)
            elif cell:
                self.put(place, self._spell(cell), style)
            elif style is not None:
                self.sheet.write_blank(self.row, place, None, style)
        for place, (_, texts) in list(marked.items())[: self._book.comments_left]:
            text = shortened("\n".join(texts))
            lines = sum(1 + len(line) // _LETTERS_A_LINE for line in text.split("\n"))
            height = max(_LEAST_HEIGHT, (lines + 1) * _LINE_HEIGHT)
            look = {"author": "carbon-migrate", "width": 320, "font_size": 9, "height": height}
            self.sheet.write_comment(self.row, place, writable(text), look)
            self._book.comments_left -= 1
        if reasons:
            self.put(self.reasons, shortened(in_a_cell(in_clauses(reasons))), self._book.marks[bool(row.faults)])
        self.row += 1

    def place_of(self, fault: ValueFault) -> int | None:
        """The column of this table that a fault is of; None for another table, a constant or a whole row."""
        return None if fault.place.table != self._of else self._places.get(fault.place.column.strip())


def shortened(text: str) -> str:
    """A text that is not too long for a cell."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


class FaultWorkbook:
    """A checked table as it is written, with those joined to it."""

    def __init__(self, book: Book, header: Sequence[str], sheet: str) -> None:
        self._book = book
        colours = {True: "#F8C9C4", False: "#FCE8B2"}
        self.marks = {worst: book.book.add_format({"bg_color": colour}) for worst, colour in colours.items()}
        self.comments_left = MOST_COMMENTS
        self._table = MarkedSheet(self, book, header, sheet)
        columns = {
            said("line"): 10,
            said("column"): 22,
            said("cell"): 30,
            said("what it is"): 14,
            said("reason"): 90,
            said("cell of this workbook"): 14,
        }
        self._list = BookSheet(book, [in_a_cell(name) for name in columns], in_a_cell(said("carbon_faults")))
        for place, width in enumerate(columns.values()):
            self._list.sheet.set_column(place, place, width)
        self._joined: dict[str, MarkedSheet] = {}
        self._of_joined: defaultdict[tuple[str, int | None], list[tuple[ValueFault, bool]]] = defaultdict(list)
        self._kept = 0

    @property
    def lacks_marks(self) -> bool:
        """Whether more was found than is marked and commented; the sheet of faults has all of it."""
        return not self.comments_left or self._kept >= MOST_OF_JOINED

    def write(self, rows: Iterable[CheckedRow]) -> None:
        """Write rows of the main table as its sheet does; one without cells, as of a joined one, is only listed."""
        for row in rows:
            has_cells = any(row.cells)
            for fault, is_fault in row.found():
                place = fault.place
                if place.table and self._kept < MOST_OF_JOINED:
                    self._of_joined[place.table, place.line].append((fault, is_fault))
                    self._kept += 1
                if self._list.row >= SHEET_ROWS:
                    continue
                line = place.line if place.line is not None else row.line
                column = self._table.place_of(fault)
                cells = (
                    f"{place.table}:{line}" if place.table else str(line or ""),
                    place.column,
                    fault.cell,
                    in_a_cell(said("fault") if is_fault else said("to be looked at")),
                    in_a_cell(fault.reason),
                    # Its cell, or its reasons where it has none here.
                    address(self._table.reasons if column is None else column, self._table.row + 1)
                    if has_cells
                    else "",
                )
                for at, text in enumerate(cells):
                    if text:
                        self._list.put(at, shortened(text))
                self._list.row += 1
            if has_cells:
                self._table.write(row)

    def write_joined(self, name: str, of: str, header: Sequence[str], rows: Iterable[CheckedRow]) -> None:
        """Write rows of a joined table, once all of the main one are written; what was found in these is marked here.

        `name` is the table's, and that of its sheet; faults name it as `of`. Raises what `write` raises.
        """
        if name not in self._joined:
            self._joined[name] = MarkedSheet(self, self._book, header, name, of)
        for row in rows:
            found = self._of_joined.pop((of, row.line), [])
            faults = [*row.faults, *(one for one, is_fault in found if is_fault)]
            warnings = [one for one, is_fault in found if not is_fault]
            self._joined[name].write(replace(row, faults=faults, warnings=warnings))


@contextmanager
def fault_workbook(target: OutputFile, header: Sequence[str], wanted: str = "") -> Iterator[FaultWorkbook]:
    """A workbook that is put in place, mode 0600, when the context ends well, and discarded otherwise.

    The sheet of the table has the name that is wanted, if a workbook can have it. Raises `CommandRefused` where the
    file exists or cannot be written.
    """
    bad = set("[]:*?/\\") & set(wanted) or len(wanted) > _LONGEST_NAME or wanted.casefold() in _TAKEN
    bad = bad or not wanted.strip("' ") or wanted.startswith("'") or wanted.endswith("'")
    sheet = rendered(said("rows")) if bad else wanted
    with replacing(target) as made, _book(made) as book:
        yield FaultWorkbook(book, header, sheet)


def check_target(target: OutputFile) -> None:
    """Raise `CommandRefused` for a path that is no workbook's."""
    if target.path.suffix.casefold() != ".xlsx":
        raise CommandRefused(
            "{path}: a checked table is written as a workbook; name it .xlsx", path=printable(target.path)
        )
