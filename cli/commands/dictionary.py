"""`dictionary`: collects the names of an import, proposes their ids in the billing, and writes them to be checked."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import anyio.to_thread

from cli.commands.execution import execute
from cli.output.item_files import OutputFile, refuse_present
from cli.output.tables import suffix_of, table_at
from cli.session.session import open_billing
from cli.settings.flags import Flags, parse_pairs
from cli.settings.order_flags import MAP_WORDS, ImportFlags, RowFlags, map_file_of, map_pairs_of
from cli.settings.settings import Settings
from cli.terminal.drawing import drawn
from cli.terminal.exits import Exit
from cli.terminal.layout import labelled, steps_list
from cli.terminal.options import Part, argument, as_command, option, options_of, switch
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.texts import WHOLE, printable
from cli.terminal.waiting import bytes_read, waiting
from engine.rows import STDIN, RowPage
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from jobs.imports.column_map import ColumnMap, read_map
from jobs.imports.dictionary import (
    COLUMNS,
    NameStanding,
    NamesUsed,
    ProposedDictionary,
    propose,
    read_dictionary,
)
from jobs.imports.names_there import NamesThere, noun_of, read_names, word_of
from jobs.imports.subscriber import Step
from jobs.imports.tables import SubscriberReader
from texts.remedies import DATABASE, command_line, setting
from texts.said import counted, said, text_of

TablesRead: TypeAlias = tuple[RowFlags, ImportFlags, RowFlags]
"""The columns of the table, those joined to it, and how it is read, as they were given."""
_END: Final[RowPage | None] = None


@as_command("dictionary")
def _dictionary(  # noqa: PLR0913 - each is a flag or a group of them
    file: str = argument("FILE", "The table, a row a subscriber; - for standard input."),
    *,
    output: Path = option(
        "FILE", "Where to: .csv, .xlsx or .jsonl.", "-o", "--output", default=Path("dictionary.csv")
    ),
    old: Path | None = option(
        "FILE", "A dictionary to complete: what was decided in it stays as it is.", "--dictionary"
    ),
    force: bool = switch("Overwrite the file of -o."),
    mapping: Annotated[RowFlags, Part("mapping", mapping=MAP_WORDS)],
    joined: Annotated[ImportFlags, Part("accounts", "services", "attributes")],
    reading: Annotated[RowFlags, Part("columns", "encoding", "delimiter", "sheet")],
    flags: Flags,
    voice: BriefVoice,
) -> None:
    """Collect names of tariffs, services and folders for an import.

    It writes them with their probable ids in the billing, for a person to check.
    """
    target = OutputFile(output, force=force)
    execute(
        lambda settings, screen: make_dictionary(file, (mapping, joined, reading), target, old, settings, screen),
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
    name, used, rows, refused = await _names_of(file, tables)
    there: NamesThere | None = None
    if settings.api_url.value:
        async with open_billing(settings) as billing:
            with waiting(said("reading the names of the billing")):
                there = await read_names(billing.gateway)
    proposed = await anyio.to_thread.run_sync(propose, used.names, there or NamesThere(), before)

    def write() -> None:
        with table_at(target, COLUMNS, len(proposed.rows)) as put:
            put([row.cells for row in proposed.rows])

    await anyio.to_thread.run_sync(write)
    code = Exit.DONE if proposed.count(NameStanding.MATCHED) == len(proposed.rows) else Exit.REJECTED
    unnamed = [kind for kind in proposed.kinds if there is None or not there.knows(kind)]
    told = {"file": name, "rows": rows, "path": target.path, "proposed": proposed, "noun_of": noun_of}
    shown = drawn("dictionary.j2", Standing=NameStanding, **told)
    screen.result(shown, good=code is Exit.DONE)
    for note in _notes(refused, None if there is None else unnamed):
        screen.result(labelled(said("note:"), note, "yellow"), good=False)
    # What to type next: the same again, or a trial of the import.
    words = (printable(file, WHOLE), *_typed(tables), "--dictionary", printable(target.path, WHOLE))
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
                "rows": rows,
                "refused": refused,
                "names": len(proposed.rows),
                **_counts(proposed, None),
                "kinds": {word_of(kind): _counts(proposed, kind) for kind in proposed.kinds},
                "kinds_without_names": [word_of(kind) for kind in unnamed],
                "exit": int(code),
                "error": None,
            }
        )
    return code


def _typed(tables: TablesRead) -> tuple[str, ...]:
    words: list[str] = []
    for group in tables:
        for name, row in options_of(type(group)).items():
            value = getattr(group, name)
            if value != type(group).__dataclass_fields__[name].default:
                given = value if isinstance(value, list) else [value]
                words += [printable(word, WHOLE) for one in given for word in (row.flags_of(name)[0], one)]
    return tuple(words)


async def _names_of(file: str, tables: TablesRead) -> tuple[str, NamesUsed, int, int]:
    """The name of the table, the names in it, and how many rows it has, and how many that could not be read.

    It is read a page at a time, so that a signal is heard between two of them.
    """
    mapping, joined, reading = tables
    named = tuple(name.strip() for name in (reading.columns or "").split(",") if name.strip())
    layout = Layout(reading.encoding, reading.delimiter or "", reading.sheet or "", named)
    source = open_input(None if file == STDIN else Path.cwd() / file, layout)

    def read_columns() -> ColumnMap:
        map_file, pairs = map_file_of(mapping.mapping), map_pairs_of(mapping.mapping)
        given = {Step.ACCOUNT: joined.accounts, Step.SERVICE: joined.services, Step.ATTRIBUTE: joined.attributes}
        paths = {step: str(Path.cwd() / path) for step, path in given.items() if path is not None}
        read = read_map(Path(map_file)) if map_file else ColumnMap()
        return read.with_tables(paths).with_pairs(parse_pairs(pairs, "--map", example="field=column"))

    columns = await anyio.to_thread.run_sync(read_columns)
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
    return source.name, used, rows, refused


def _counts(proposed: ProposedDictionary, kind: str | None) -> Mapping[str, int]:
    return {str(standing): proposed.count(standing, kind) for standing in NameStanding}


def _notes(refused: int, unnamed: Sequence[str] | None) -> Iterator[str]:
    """What is to be known beside; `unnamed` are the kinds that the billing does not tell, None without a billing."""
    if unnamed is None:
        yield said(
            "no billing is set, so nothing is proposed: give {flag}, and {database} or {variable}",
            flag=setting("api-url", "URL"),
            database=setting("database", "PATH"),
            variable=DATABASE,
        )
    for kind in unnamed or ():
        yield said(
            "{noun}: the billing does not tell these names; look the ids up there, and fill them in",
            noun=noun_of(kind),
        )
    if refused:
        yield counted(
            "{n} row cannot be read, and its names are not in the dictionary",
            "{n} rows cannot be read, and their names are not in the dictionary",
            refused,
        )
