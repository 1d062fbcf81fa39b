"""`validate`: the record of a run for others who have the same export: titles, counts and sums, and no cell."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Final

import anyio.to_thread
import tomli_w

from checkpoints.journal import Journal
from checkpoints.records import Run, Verification, figures_by_name
from checkpoints.states import State
from cli.commands.execution import with_settings
from cli.page.nameless import blanked
from cli.session.journal import usable_run
from cli.settings.flags import RUN_NAME_OR_NONE, JournalFlags
from cli.show.files import REFUSED, STDOUT, OutputFile, refuse_present, write_whole
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.options import argument, option, switch
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.streams import waiting
from engine.errors import InputRefused
from engine.pacing.policy import ALL
from engine.sources.sample import FileOnDisk
from jobs.catalogue.catalogue import JOBS
from jobs.imports.column_map import TABLE_OF_STEP, ColumnMap, read_map
from jobs.imports.tables import TableColumns
from jobs.rows.input import Input, input_of_parameters
from jobs.spec.columns import Column, locate, normalise_header
from jobs.spec.spec import JobSpec
from jobs.spec.words import IMPORT, MAP
from jobs.sums import each_refused, sums_of
from texts.said import PROGRAM, command_line, counted, said, two_decimals

FORMAT: Final = 1
HIDDEN: Final = "…"
OTHER: Final = "another text"
"""Stands for a reason that is the billing's text and not a sentence of this program."""
_HEAD: Final = """\
# A validation record of carbon-migrate: titles of columns, counts and sums; no cell of a row, no path, no address.
# Read it before you hand it in.
"""
_REASONED: Final = (State.REJECTED, State.SKIPPED, State.UNKNOWN, State.UNCONFIRMED, State.MANUAL)
_KINDS: Final = 1_000
"""Kinds of reasons whose texts are looked at."""
_LONGEST: Final = 40
_NUMBER: Final = re.compile(r"\d{5}")
_FEWEST: Final = 10
_SELECT: Final = "throttle-sql"


@with_settings("validate", JournalFlags, BriefVoice, reads=True, about=lambda given: {"run": given["name"]})
async def _validate(
    journal: Journal,
    screen: Screen,
    file: Path = argument("FILE", "The file to write, or - for stdout."),
    name: str | None = RUN_NAME_OR_NONE,
    program: str = option("NAME", "The program that the export comes from, as UTM5.", required=True),
    program_version: str = option("VERSION", "The version of that program.", required=True),
    *,
    force: bool = switch("Overwrite the file."),
) -> Exit:
    """Write the record of a verified run, for others who have the same export.

    The record has titles of columns, counts and sums, and no cell of a row, no name, path or address:
    docs/validated.md says how to hand it in.
    """
    target, is_stdout = OutputFile(file, force=force), file == STDOUT
    if not is_stdout:
        refuse_present(target)
    run = await usable_run(name, journal, "validate")
    spec, verification = JOBS.get(run.job), await journal.history.last_verification(run)
    if spec is None or not run.header:
        raise CommandRefused("run {run} has no table of a built-in job: name the run of an import", run=run.name)
    if verification is None:
        raise CommandRefused(
            "run {run} was never verified, and a record says what that found; type {command} first",
            run=run.name,
            command=command_line("verify", run.name),
        )
    with waiting(said("reading the rows of the run")):
        titles, runners = await _safe_titles(run, journal), await journal.history.runners(run)
        columns = {field: " + ".join(titles[one.place] for one in found) for field, found in _columns_of(run, spec)}
        record = {
            "format": FORMAT,
            "program": program,
            "version": program_version,
            # Several if they have changed on the way.
            PROGRAM: ", ".join(dict.fromkeys(one.version for one in runners if one.version)),
            "billing": ", ".join(dict.fromkeys(one.billing for one in runners if one.billing)),
            "job": run.job,
            "settings": ", ".join(_settings(run, spec)),
            "pacing": {one: HIDDEN if one == _SELECT else value for one, value in run.policy.items() if one in ALL},
            "columns": columns,
            "rows": await _rows(run, spec, journal),
            "reasons": await _reasons(run, journal),
            "verified": _findings(verification),
        }
    await anyio.to_thread.run_sync(write_whole, target, f"{_HEAD}{tomli_w.dumps(record)}".encode())
    if is_stdout:
        screen = screen.beside_rows()
    where = "stdout" if is_stdout else str(file)
    screen.say(
        said("the record of run {run} is in {where}; read it before you hand it in", run=run.name, where=where)
    )
    if not columns and run.parameters.get(MAP):
        screen.say(said("it has no titles of columns: the map of the run is gone, or was changed since"))
    elif hidden := sum(title.count(HIDDEN) for title in columns.values()):
        screen.say(
            counted(
                "{n} title[s] may be [a cell of a row and is|cells of rows and are] left out: … stands for [it|each]",
                hidden,
            )
        )
    if screen.voice.as_json:
        screen.emit({"run": run.name, "file": None if is_stdout else str(file), "record": record})
    return Exit.DONE


def _settings(run: Run, spec: JobSpec) -> Sequence[str]:
    """The names of what was given to the job and to its input; a value may be a path or the name of a person."""
    rows, empty = input_of_parameters(run.parameters), Input()
    of_job = (
        one.name for one in spec.parameters if run.parameters.get(one.name, "no") not in {"", "no", one.default}
    )
    of_input = (one.name for one in fields(Input) if getattr(rows, one.name) != getattr(empty, one.name))
    return [*of_job, *(name for name in of_input if name != "file")]


def _columns_of(run: Run, spec: JobSpec) -> Iterator[tuple[str, Sequence[Column]]]:
    """The columns of the table by the fields that they were read as; none if the map is gone or has changed."""
    given, file = input_of_parameters(run.parameters).mapping, run.parameters.get(MAP)
    with suppress(InputRefused, OSError):
        if run.job != IMPORT:
            wanted = {one.name: one.columns for one in spec.parameters if one.columns is not None}
            found = locate(run.source, run.header, wanted, given)
            yield from ((name, [column]) for name, column in found.items() if column is not None)
            return
        if file and FileOnDisk(Path(file)).digest != run.parameters[f"{MAP}_sha256"]:
            return
        tables = {step: run.parameters.get(name, "") for step, name in TABLE_OF_STEP.items()}
        read = (read_map(Path(file)) if file else ColumnMap()).with_tables(tables).with_pairs(given)
        table = TableColumns(run.source, run.header, read)
        yield from ((one.name, one.columns) for one in table.once.values() if one.columns)
        for part in table.parts:
            yield from ((f"{part.step}.{one.name}", one.columns) for one in part.fields if one.columns)


async def _safe_titles(run: Run, journal: Journal) -> list[str]:
    """The titles of the table, `HIDDEN` in place of each that may be a cell.

    That is one which a cell equals, or which is long or has a long number. Where one has digits alone, the header
    may be a row itself: then all are hidden.
    """
    titles = [title.strip() for title in run.header]
    if any(re.search(r"\d", title) and not any(map(str.isalpha, title)) for title in titles):
        return [HIDDEN] * len(titles)
    wanted, cells = {normalise_header(title) for title in titles}, set[str]()

    def look(rows: Iterable[Sequence[str]]) -> None:
        cells.update(wanted.intersection(normalise_header(cell) for row in rows for cell in row))

    async for page in journal.each_page(run, frozenset(State)):
        look(item.row for item in page)
    async for _, refusal, _ in each_refused(run, journal, None):
        look([refusal.row])
    return [
        HIDDEN if len(title) > _LONGEST or _NUMBER.search(title) or normalise_header(title) in cells else title
        for title in titles
    ]


async def _reasons(run: Run, journal: Journal) -> Mapping[str, Mapping[str, int]]:
    """The rows that were not entered, by state and by why: sentences of this program without their values."""
    found, totals = {REFUSED: Counter[str]()}, await journal.totals(run)
    async for _, refusal, _ in each_refused(run, journal, None):
        found[REFUSED][_reason(refusal.reason)] += 1
    for state in _REASONED:
        counts = found[str(state)] = Counter[str]()
        for one in await journal.reasons(run, state, size=_KINDS):
            counts[_reason(one.example)] += one.items
        counts[OTHER] += totals.count(state) - counts.total()
    return {state: dict((+counts).most_common()) for state, counts in found.items() if +counts}


def _reason(text: str) -> str:
    return blanked(text, numbers=False) or OTHER


async def _rows(run: Run, spec: JobSpec, journal: Journal) -> Mapping[str, object]:
    """What became of the rows, in numbers; of an import its rows are subscribers, and it has steps by state."""
    totals, sums = await journal.totals(run), await sums_of(run, journal, spec)
    states = {str(state): number for state, number in totals.counts.items() if number}
    read, entered = sums.asked.rows, sums.done.rows
    counts = {"read": read, "entered": entered, "refused": totals.refused, "left_out": sums.left_out}
    return {**counts, "steps" if sums.subscribers else "states": states}


def _findings(verification: Verification) -> Mapping[str, object]:
    """What the verification has found. A sum of few rows is not told: it may be that of one."""
    tally, found = verification.tally, figures_by_name(verification.rows, verification.accounts)
    many = verification.rows.as_wanted + verification.rows.different >= _FEWEST
    counts = {name: one for name, one in found.items() if isinstance(one, int)}
    sums = {name: two_decimals(Decimal(one)) for name, one in found.items() if isinstance(one, str) and many}
    return {**counts, **sums, **({"groups_different": tally.different, "not_in_file": tally.extra} if tally else {})}
