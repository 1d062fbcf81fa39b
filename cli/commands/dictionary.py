"""`dictionary`: collects the names of an import, proposes their ids in the billing, and writes them to be checked."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import anyio.to_thread

from cli.commands.execution import close, with_settings
from cli.session.session import open_billing
from cli.settings.flags import MAP_WORDS, Flags, ImportFlags, RowFlags, parse_pairs, split_map
from cli.settings.settings import Settings
from cli.show.files import OutputFile, is_for_scripts, refuse_present, suffix_of, written_to
from cli.terminal.exits import Exit
from cli.terminal.layout import drawn, labelled, steps_list
from cli.terminal.options import Part, argument, option, options_of, switch
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.streams import bytes_read, waiting
from cli.terminal.texts import RUSSIAN, WHOLE, printable, reader
from engine.job import STDIN, RowPage
from engine.sources.detect import open_input
from engine.sources.sample import Layout
from jobs.imports.column_map import ColumnMap, read_map
from jobs.imports.dictionary import COLUMNS, IN_RUSSIAN, NameStanding, NamesUsed, propose, read_dictionary
from jobs.imports.names_there import NamesThere, noun_of, read_names, word_of
from jobs.imports.subscriber import Step
from jobs.imports.tables import SubscriberReader
from texts.said import DATABASE, command_line, counted, said

_END: Final[RowPage | None] = None


@with_settings(
    "dictionary",
    Flags,
    BriefVoice,
    reads=True,
    about=lambda given: {"file": given["file"], "dictionary": None},
)
async def _dictionary(
    settings: Settings,
    screen: Screen,
    file: str = argument("FILE", "The table, a row a subscriber; - for standard input."),
    *,
    output: Path = option(
        "FILE", "Where to: .csv, .xlsx or .jsonl.", "-o", "--output", default=Path("dictionary.csv")
    ),
    old: Path | None = option(
        "FILE", "A dictionary to complete: what was decided in it stays as it is.", "--dictionary"
    ),
    force: bool = switch("Overwrite the file of -o."),
    table: Annotated[RowFlags, Part("mapping", "columns", "encoding", "delimiter", "sheet", mapping=MAP_WORDS)],
    joined: Annotated[ImportFlags, Part("accounts", "services", "attributes")],
) -> Exit:
    """Collect names of tariffs, services and folders for an import.

    It writes them with their probable ids in the billing, for a person to check.
    """
    target = OutputFile(output, force=force)
    suffix_of(target.path)
    refuse_present(target)
    before = None if old is None else await anyio.to_thread.run_sync(partial(read_dictionary, old, is_checked=False))
    name, used, rows, refused = await _names_of(file, table, joined)
    there: NamesThere | None = None
    if settings.api_url.value:
        async with open_billing(settings) as billing:
            with waiting(said("reading the names of the billing")):
                there = await read_names(billing.gateway)
    proposed = await anyio.to_thread.run_sync(propose, used.names, there or NamesThere(), before)

    own_words = IN_RUSSIAN if reader().name == RUSSIAN and not is_for_scripts(target.path) else {}

    def counts(kind: str | None) -> Mapping[str, int]:
        return {str(standing): proposed.count(standing, kind) for standing in NameStanding}

    async with written_to(target, [own_words.get(name, name) for name in COLUMNS], len(proposed.rows)) as put:
        await put([row.cells(own_words) for row in proposed.rows])
    is_done = proposed.count(NameStanding.MATCHED) == len(proposed.rows)
    unnamed = [kind for kind in proposed.kinds if there is None or not there.knows(kind)]
    look = [
        said("{noun}: the billing does not tell these names; look the ids up there, and fill them in", noun=noun)
        for noun in map(noun_of, unnamed)
    ]
    unset = said(
        "no billing is set, so nothing is proposed: give --api-url URL, and --database PATH or {variable}",
        variable=DATABASE,
    )
    unread = counted("{n} row[s] cannot be read, and [its|their] names are not in the dictionary", refused)
    notes = [*used.several(there or NamesThere()), *([unset] if there is None else look)]
    notes += [unread] if refused else []
    # What to type next: the same again, or a trial of the import.
    path, words = printable(target.path, WHOLE), [printable(file, WHOLE)]
    for group in (table, joined):
        for field, row in options_of(type(group)).items():
            value, flag_ = getattr(group, field), row.flags_of(field)[0]
            if value != type(group).__dataclass_fields__[field].default:
                given = value if isinstance(value, list) else [value]
                words += [printable(word, WHOLE) for one in given for word in (flag_, one)]
    trial = command_line("import", *words, "--dictionary", path, "--sample", "20", "--folder", "NAME")
    again = command_line("dictionary", *words, "--dictionary", path, "-o", path, "--force")
    step = (
        (trial, said("try it with a few rows")) if is_done else (again, said("once it is checked, see what is left"))
    )
    told = {"checked": own_words.get("checked", "checked"), "file": name, "rows": rows, "path": target.path}
    head = drawn("dictionary.j2", Standing=NameStanding, proposed=proposed, noun_of=noun_of, **told)
    screen.result(head, good=is_done)
    for note in notes:
        screen.result(labelled(said("note:"), note, "yellow"), good=False)
    facts = {
        "file": file,
        "dictionary": str(target.path),
        "rows": rows,
        "refused": refused,
        "names": len(proposed.rows),
        **counts(None),
        "kinds": {word_of(kind): counts(kind) for kind in proposed.kinds},
        "kinds_without_names": [word_of(kind) for kind in unnamed],
        "error": None,
    }
    return close(screen, Exit.DONE if is_done else Exit.REJECTED, steps_list([step]), facts)


async def _names_of(file: str, reading: RowFlags, joined: ImportFlags) -> tuple[str, NamesUsed, int, int]:
    """The name of the table, the names in it, and how many rows it has, and how many that could not be read.

    It is read a page at a time, so that a signal is heard between two of them.
    """
    named = tuple(name.strip() for name in (reading.columns or "").split(",") if name.strip())
    layout = Layout(reading.encoding, reading.delimiter or "", reading.sheet or "", named)
    source = open_input(None if file == STDIN else Path.cwd() / file, layout)

    def read_columns() -> ColumnMap:
        map_file, pairs = split_map(reading.mapping)
        given = {Step.ACCOUNT: joined.accounts, Step.SERVICE: joined.services, Step.ATTRIBUTE: joined.attributes}
        paths = {step: str(Path.cwd() / path) for step, path in given.items() if path is not None}
        read = read_map(Path(map_file)) if map_file else ColumnMap()
        return read.with_tables(paths).with_pairs(parse_pairs(pairs, "--map", example="field=column"))

    columns = await anyio.to_thread.run_sync(read_columns)
    used = NamesUsed(columns.fields)
    # A field that is still missing keeps no name from being collected.
    reader = SubscriberReader(source, columns, (used,), goes_on=True)
    pages: Iterator[RowPage] = await anyio.to_thread.run_sync(lambda: iter(reader.source.pages(None)))
    rows = refused = 0
    name = printable(source.name, WHOLE)
    with waiting(lambda: counted("reading {source}: {n} row[s]", rows, source=name), lambda: bytes_read(file)):
        while (page := await anyio.to_thread.run_sync(next, pages, _END)) is not None:
            await anyio.to_thread.run_sync(reader.examine, page.rows)
            rows += len(page.rows)
            refused += len(page.refusals)
    return source.name, used, rows, refused
