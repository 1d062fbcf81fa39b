"""`dictionary`: collects the names of an import, proposes their ids in the billing, and writes them to be checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import anyio.to_thread
import typer
from rich.console import RenderableType

from cli.commands.execution import execute
from cli.output.item_files import OutputFile, refuse_present
from cli.output.tables import suffix_of, table_at
from cli.session.session import open_billing
from cli.settings.flags import Flags, argument, flag, grouped, parse_pairs, same
from cli.settings.order_flags import MAP_WORDS, ImportFlags, RowFlags, map_file_of, map_pairs_of
from cli.settings.settings import Settings
from cli.show.parts import facts, stack
from cli.terminal.exits import Exit
from cli.terminal.layout import labelled, render, steps_list
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.texts import WHOLE, printable
from cli.terminal.waiting import bytes_read, waiting
from engine.rows import STDIN, RowPage
from engine.sources.detect import open_input
from engine.sources.raw.charset import AUTO
from engine.sources.raw.sample import Layout
from jobs.imports.column_map import ColumnMap, read_map
from jobs.imports.dictionary import (
    COLUMNS,
    NameStanding,
    NamesUsed,
    ProposedDictionary,
    propose,
    read_dictionary,
    unknown_kinds,
)
from jobs.imports.names_there import NamesThere, noun_of, read_names, word_of
from jobs.imports.subscriber import Step
from jobs.imports.tables import SubscriberReader
from texts.remedies import DATABASE, command_line, setting
from texts.said import Quantity, counted, enumerated, said, text_of

_END: Final[RowPage | None] = None

app: Final = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class TablesRead:
    """The tables of an import, and how they are read."""

    mapping: list[str] | None = same(RowFlags, "mapping", MAP_WORDS)
    accounts: Path | None = same(ImportFlags, "accounts")
    services: Path | None = same(ImportFlags, "services")
    attributes: Path | None = same(ImportFlags, "attributes")
    columns: str | None = same(RowFlags, "columns")
    encoding: str = same(RowFlags, "encoding")
    delimiter: str | None = same(RowFlags, "delimiter")
    sheet: str | None = same(RowFlags, "sheet")

    @property
    def map(self) -> ColumnMap:
        """The map that was given. Raises `CommandRefused` and `InputRefused`."""
        file, pairs = map_file_of(self.mapping), map_pairs_of(self.mapping)
        read = read_map(Path(file)) if file else ColumnMap()
        joined = {Step.ACCOUNT: self.accounts, Step.SERVICE: self.services, Step.ATTRIBUTE: self.attributes}
        tables = {step: str(Path.cwd() / path) for step, path in joined.items() if path is not None}
        return read.with_tables(tables).with_pairs(parse_pairs(pairs, "--map", example="field=column"))

    @property
    def layout(self) -> Layout:
        """How the main table is read."""
        columns = tuple(name.strip() for name in (self.columns or "").split(",") if name.strip())
        return Layout(self.encoding, self.delimiter or "", self.sheet or "", columns)

    @property
    def words(self) -> tuple[str, ...]:
        """What was given, as it is typed."""
        given = {
            "--accounts": self.accounts,
            "--services": self.services,
            "--attributes": self.attributes,
            "--columns": self.columns,
            "--encoding": None if self.encoding == AUTO else self.encoding,
            "--delimiter": self.delimiter,
            "--sheet": self.sheet,
        }
        pairs = [("--map", word) for word in self.mapping or ()]
        pairs += [(flag, str(value)) for flag, value in given.items() if value is not None]
        return tuple(printable(word, WHOLE) for pair in pairs for word in pair)


@app.command("dictionary")
@grouped
def _dictionary(  # noqa: PLR0913 - each is a flag or a group of them
    file: Annotated[str, argument("FILE", "The table, a row a subscriber; - for standard input.")],
    *,
    output: Annotated[
        Path,
        flag("-o --output", "FILE", "Where to: .csv, .xlsx or .jsonl."),
    ] = Path("dictionary.csv"),
    old: Annotated[
        Path | None,
        flag("--dictionary", "FILE", "A dictionary to complete: what was decided in it stays as it is."),
    ] = None,
    force: Annotated[bool, flag("--force", None, "Overwrite the file of -o.")] = False,
    tables: TablesRead,
    flags: Flags,
    voice: BriefVoice,
) -> None:
    """Collect names of tariffs, services and folders for an import.

    It writes them with their probable ids in the billing, for a person to check.
    """
    target = OutputFile(output, force=force)

    execute(
        lambda settings, screen: make_dictionary(file, tables, target, old, settings, screen),
        flags,
        voice.whole(),
        only_reads=True,
        failure=lambda code, error: {"file": file, "dictionary": None, "exit": int(code), "error": text_of(error)},
    )


async def make_dictionary(
    file: str, tables: TablesRead, target: OutputFile, old: Path | None, settings: Settings, screen: Screen
) -> Exit:
    """Read the names of a table, propose their ids, and write the dictionary.

    Returns 1 where names are still without an id, or proposals not confirmed. Raises `CommandRefused`,
    `InputRefused`, `LookUpFailed` and `BillingError`; nothing was written then.
    """
    suffix_of(target.path)
    refuse_present(target)
    before = None if old is None else await anyio.to_thread.run_sync(partial(read_dictionary, old, is_checked=False))
    read = await _names_of(file, tables)
    there: NamesThere | None = None
    if settings.api_url.value:
        async with open_billing(settings) as billing:
            with waiting(said("reading the names of the billing")):
                there = await read_names(billing.gateway)
    proposed = await anyio.to_thread.run_sync(propose, read.used.names, there or NamesThere(), before)

    def write() -> None:
        with table_at(target, COLUMNS, len(proposed.rows)) as put:
            put([row.cells for row in proposed.rows])

    await anyio.to_thread.run_sync(write)
    code = Exit.DONE if proposed.count(NameStanding.MATCHED) == len(proposed.rows) else Exit.REJECTED
    screen.result(_closing(read, target.path, proposed), good=code is Exit.DONE)
    for note in _notes(read, proposed, there):
        screen.result(labelled(said("note:"), note, "yellow"), good=False)
    # What to type next: the same again, or a trial of the import.
    words = (printable(file, WHOLE), *tables.words, "--dictionary", printable(target.path, WHOLE))
    if code is Exit.DONE:
        trial = command_line("import", *words, "--sample", "20", "--folder", "NAME")
        screen.result(steps_list([(trial, said("try it with a few rows"))]))
    else:
        again = command_line("dictionary", *words, "-o", printable(target.path, WHOLE), "--force")
        screen.result(steps_list([(again, said("once it is checked, see what is left"))]), good=False)
    if screen.voice.as_json:
        screen.emit(
            {
                "file": file,
                "dictionary": str(target.path),
                "rows": read.rows,
                "refused": read.refused,
                "names": len(proposed.rows),
                **_counts(proposed, None),
                "kinds": {word_of(kind): _counts(proposed, kind) for kind in proposed.kinds},
                "kinds_without_names": [word_of(kind) for kind in unknown_kinds(proposed, there or NamesThere())],
                "exit": int(code),
                "error": None,
            }
        )
    return code


@dataclass(frozen=True, slots=True)
class NamesRead:
    """The names of a table, and how many rows it has; `refused` rows could not be read."""

    file: str
    used: NamesUsed
    rows: int = 0
    refused: int = 0


async def _names_of(file: str, tables: TablesRead) -> NamesRead:
    """Read the table, a page at a time, so that a signal is heard between two of them."""
    source = open_input(None if file == STDIN else Path.cwd() / file, tables.layout)
    columns = await anyio.to_thread.run_sync(lambda: tables.map)
    used = NamesUsed(columns.fields)
    reader = SubscriberReader(source, columns, (used,))
    pages: Iterator[RowPage] = await anyio.to_thread.run_sync(lambda: iter(reader.source.pages(None)))
    rows = refused = 0
    name = printable(source.name, WHOLE)
    with waiting(
        lambda: counted("reading {source}: {n} row", "reading {source}: {n} rows", rows, source=name),
        lambda: bytes_read(file),
    ):
        while (page := await anyio.to_thread.run_sync(next, pages, _END)) is not None:
            await anyio.to_thread.run_sync(reader.examine, page.rows)
            rows += len(page.rows)
            refused += len(page.refusals)
    return NamesRead(source.name, used, rows, refused)


def _counts(proposed: ProposedDictionary, kind: str | None) -> Mapping[str, int]:
    return {str(standing): proposed.count(standing, kind) for standing in NameStanding}


def _closing(read: NamesRead, path: Path, proposed: ProposedDictionary) -> RenderableType:
    near, open_ = proposed.count(NameStanding.NEAR), proposed.count(NameStanding.OPEN)
    confirm = counted(
        "{n} proposal to confirm in the column checked", "{n} proposals to confirm in the column checked", near
    )
    fill_in = counted("{n} id to fill in", "{n} ids to fill in", open_)
    left = [clause for clause, number in ((confirm, near), (fill_in, open_)) if number]
    summary = said("Check the dictionary: {left}.", left=enumerated(left))
    if not left:
        summary = said("All names have their ids.") if proposed.rows else said("The table has no names to look up.")
    kinds = [
        (
            noun_of(kind),
            said(
                "{matched} matched, {near} to confirm, {open} open",
                matched=Quantity(proposed.count(NameStanding.MATCHED, kind)),
                near=Quantity(proposed.count(NameStanding.NEAR, kind)),
                open=Quantity(proposed.count(NameStanding.OPEN, kind)),
            ),
        )
        for kind in proposed.kinds
    ]
    rows = counted("{file}, {n} row", "{file}, {n} rows", read.rows, file=read.file)
    table = facts((said("table"), rows), (said("dictionary"), render(str(path))), *kinds)
    return stack(table, "", render(summary, "bold"))


def _notes(read: NamesRead, proposed: ProposedDictionary, there: NamesThere | None) -> Iterator[str]:
    if there is None:
        yield said(
            "no billing is set, so nothing is proposed: give {flag}, and {database} or {variable}",
            flag=setting("api-url", "URL"),
            database=setting("database", "PATH"),
            variable=DATABASE,
        )
    for kind in () if there is None else unknown_kinds(proposed, there):
        yield said(
            "{noun}: the billing does not tell these names; look the ids up there, and fill them in",
            noun=noun_of(kind),
        )
    if read.refused:
        yield counted(
            "{n} row cannot be read, and its names are not in the dictionary",
            "{n} rows cannot be read, and their names are not in the dictionary",
            read.refused,
        )
