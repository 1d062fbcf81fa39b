"""`export`: writes rows of a run to files that open in a spreadsheet and can be used as input."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from checkpoints.records import Run, Stage, Totals
from checkpoints.states import State, states_where
from cli.commands.execution import execute
from cli.output.answer_files import ANSWERS, reads, write_answers
from cli.output.item_files import REFUSED, STDOUT, OutputFile, write_items, written_to
from cli.output.tables import suffix_of
from cli.session.journal import open_existing, refuse_purged
from cli.settings.flags import JournalFlags, RunName, grouped
from cli.settings.settings import Settings
from cli.show.closing import refused_export
from cli.terminal import names
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import steps_list
from cli.terminal.names import STATE_NAMES
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.texts import printable
from engine.errors import nearest
from texts.said import Quantity, counted, said, text_of

CHOICES: Final = ", ".join([*State, REFUSED, ANSWERS])
FILES: Final[Mapping[str, tuple[State | None, ...]]] = MappingProxyType(
    {
        str(file): (
            *(state for state in State if state.export == file),
            # Refused rows are corrected together with rejected ones, so they share a file.
            *([None] if file is State.REJECTED else []),
        )
        for file in State
        if file.export == file
    }
)
"""The files of a whole export: by the state in the file's name, the states in it; None stands for refused rows."""
ALL: Final = tuple(state for states in FILES.values() for state in states)
"""The states of a whole export that goes into one file."""

app: Final = typer.Typer(add_completion=False)


@app.command("export")
@grouped
def _export(
    name: RunName,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"One of: {CHOICES}; {State.ACCEPTED} has the {State.APPLIED} too. Else a file an outcome.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where to: a file, - for stdout; without --state also a folder."
        ),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Write the rows of a run to files, to be read or corrected.

    The files have the input's own columns: a rejected row, corrected, is an input of --continue.
    """

    async def work(settings: Settings, screen: Screen) -> Exit:
        target = OutputFile(output or STDOUT, force=force)
        if state is None and (output is None or _is_folder(output)):
            return await export_all(name, output or Path(), settings, screen, force=force)
        if target.path == STDOUT:
            screen = screen.beside_rows()
        if state is not None and state.strip().casefold() == ANSWERS:
            return await export_answers(name, target, settings, screen)
        return await export_rows(name, state, target, settings, screen)

    execute(
        work,
        flags.whole(),
        voice.whole(),
        only_reads=True,
        failure=lambda code, error: {"run": name, "files": [], "exit": int(code), "error": text_of(error)},
    )


def _is_folder(path: Path) -> bool:
    return path != STDOUT and (path.is_dir() or not path.suffix)


async def export_all(name: str, folder: Path, settings: Settings, screen: Screen, *, force: bool) -> Exit:
    """Write the accepted, rejected, unknown and manual rows of a run, one file each; empty files are left out.

    Raises `CommandRefused` and `JournalError`.
    """
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        refuse_purged(run)
        totals = await journal.totals(run)
        files: list[dict[str, object]] = []
        for word, states in FILES.items():
            number = totals.count(*(state for state in states if state)) + (totals.refused if None in states else 0)
            if not number:
                continue
            path = folder / f"{run.name}-{word}.csv"
            async with written_to(OutputFile(path, force=force)) as out:
                number = await write_items(out, run, states, journal)
            screen.say(
                counted(
                    "{n} row {outcomes}: {file}",
                    "{n} rows {outcomes}: {file}",
                    number,
                    outcomes=_outcomes(State(word), totals, states),
                    file=path,
                )
            )
            files.append(_file_object(path, states, number))
        if not files:
            screen.say(
                said(
                    "Run {run} has no rows that are {states}: no file is written.",
                    run=run.name,
                    states=tuple(STATE_NAMES[State(word)] for word in FILES),
                )
            )
    return _close(run, files, screen)


async def export_rows(name: str, state: str | None, target: OutputFile, settings: Settings, screen: Screen) -> Exit:
    """Write the rows of a run that are in `state`, or without one all that a whole export has, to one file.

    Raises `CommandRefused` and `JournalError`.
    """
    wanted = ALL if state is None else _parse_state(state)
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        refuse_purged(run)
        totals = await journal.totals(run)
        applied = totals.count(State.APPLIED)
        async with written_to(target) as out:
            written = await write_items(out, run, wanted, journal)
    name_of_state = None if state is None else _name_of(wanted[0])
    screen.say(_written(run, written, name_of_state, applied if len(wanted) > 1 else 0, target))
    if not written and run.stage is Stage.DISCARDED and None not in wanted:
        screen.say(said("The run was given up before anything was sent: only its refused rows are kept."))
    if not written and State.REJECTED in wanted and None not in wanted and totals.refused:
        # Both words say no: this one the program's, before anything is sent.
        purpose = counted(
            "write the {n} row that was refused before sending",
            "write the {n} rows that were refused before sending",
            totals.refused,
        )
        screen.say(steps_list([(refused_export(run), purpose)]))
    return _close(run, [_file_object(target.path, wanted, written)], screen)


def _written(run: Run, number: int, state: str | None, applied: int, target: OutputFile) -> str:
    """How many rows were written where; `applied` of them are, where that is not said by their state."""
    where = _place(target)
    match state, applied:
        case None, 0:
            return counted(
                "{n} row of run {run}, written to {where}",
                "{n} rows of run {run}, written to {where}",
                number,
                run=run.name,
                where=where,
            )
        case None, _:
            return counted(
                "{n} row of run {run}, {applied} of them applied, written to {where}",
                "{n} rows of run {run}, {applied} of them applied, written to {where}",
                number,
                run=run.name,
                applied=Quantity(applied),
                where=where,
            )
        case str(), 0:
            return counted(
                "{n} row of run {run} that is {state}, written to {where}",
                "{n} rows of run {run} that are {state}, written to {where}",
                number,
                run=run.name,
                state=state,
                where=where,
            )
        case _:
            return counted(
                "{n} row of run {run} that is {state}, {applied} of them applied, written to {where}",
                "{n} rows of run {run} that are {state}, {applied} of them applied, written to {where}",
                number,
                run=run.name,
                state=state or "",
                applied=Quantity(applied),
                where=where,
            )


def _name_of(state: State | None) -> str:
    return names.REFUSED if state is None else STATE_NAMES[state]


def _outcomes(state: State, totals: Totals, states: Sequence[State | None]) -> str:
    """What the rows of a file are: the state of its name, and refused where it has refused rows, too."""
    if None not in states or not totals.refused:
        return STATE_NAMES[state]
    if not totals.count(*(one for one in states if one)):
        return names.REFUSED
    return said("{state} and refused", state=STATE_NAMES[state])


def _parse_state(word: str) -> tuple[State | None, ...]:
    """The states that are meant by a name; None stands for refused rows.

    An accepted row that was read back is applied, and still accepted. Raises `CommandRefused` with the nearest name.
    """
    plain_word = word.strip().casefold()
    if plain_word == REFUSED:
        return (None,)
    if plain_word in set(State):
        state = State(plain_word)
        return states_where(in_effect=True) if state is State.ACCEPTED else (state,)
    hint = nearest(plain_word, [*State, REFUSED, ANSWERS])
    raise CommandRefused(
        "there is no state {given!r}{nearest}; there are: {known}", given=printable(word), nearest=hint, known=CHOICES
    )


def _place(target: OutputFile) -> str:
    return "stdout" if target.path == STDOUT else str(target.path)


def _file_object(path: Path, states: Sequence[State | None], number: int) -> dict[str, object]:
    """A file for scripts; its path is null for stdout."""
    return {
        "file": None if path == STDOUT else str(path),
        "states": [REFUSED if state is None else str(state) for state in states],
        "rows": number,
    }


def _close(run: Run, files: Sequence[Mapping[str, object]], screen: Screen) -> Exit:
    if screen.voice.as_json:
        screen.emit({"run": run.name, "files": files, "exit": int(Exit.DONE), "error": None})
    return Exit.DONE


async def export_answers(name: str, target: OutputFile, settings: Settings, screen: Screen) -> Exit:
    """Write the answers of a run. Raises `CommandRefused` and `JournalError`."""
    if target.path != STDOUT:
        suffix_of(target.path)
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        refuse_purged(run)
        if not reads(settings.catalogue.known(run)):
            raise CommandRefused(
                "run {run} is one of {job}: it writes, and has no answers", run=run.name, job=run.job
            )
        written = await write_answers(run, journal, target)
    screen.say(
        counted(
            "{n} row of answers of run {run}, written to {where}",
            "{n} rows of answers of run {run}, written to {where}",
            written,
            run=run.name,
            where=_place(target),
        )
    )
    return _close(run, [{**_file_object(target.path, (), written), "states": [ANSWERS]}], screen)
