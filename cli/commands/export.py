"""`export`: writes rows of a run to files that open in a spreadsheet and can be used as input."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from checkpoints.states import State, states_where
from cli.commands.execution import with_settings
from cli.settings.flags import RUN_NAME, JournalFlags
from cli.settings.settings import Settings
from cli.show.closing import BAD, bad_export, file_of
from cli.show.files import (
    ANSWERS,
    FILES,
    REFUSED,
    STDOUT,
    OutputFile,
    make_folder,
    reads,
    suffix_of,
    write_answers,
    write_items,
)
from cli.terminal import names
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import steps_list
from cli.terminal.names import STATE_NAMES
from cli.terminal.options import option, switch
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.texts import printable
from engine.errors import nearest
from jobs.runs import refuse_purged
from texts.said import Quantity, counted, said

CHOICES: Final = ", ".join([*State, REFUSED, BAD, ANSWERS])
ALL: Final = tuple(state for states in FILES.values() for state in states)
"""The states of a whole export that goes into one file."""

FileObject: TypeAlias = Mapping[str, object]


@with_settings(
    "export", JournalFlags, BriefVoice, reads=True, about=lambda given: {"run": given["name"], "files": []}
)
async def _export(
    journal: Journal,
    settings: Settings,
    screen: Screen,
    name: str = RUN_NAME,
    state: str | None = option(
        "STATE",
        f"One of: {CHOICES}; {State.ACCEPTED} has the {State.APPLIED} too, {BAD} all {REFUSED} and {State.REJECTED}. "
        "Else a file an outcome.",
    ),
    output: Path | None = option(
        "FILE", "Where to: a file, - for stdout; without --state also a folder.", "-o", "--output"
    ),
    *,
    force: bool = switch("Overwrite what is there."),
) -> Exit:
    """Write the rows of a run to files, to be read or corrected.

    The files have the input's own columns. That of `--state bad`, corrected, is an input of `run --continue`.
    A file that has just these rows is left as it is.
    """
    path, word = output or STDOUT, (state or "").strip().casefold()
    # An accepted row that was read back is applied, and still accepted; None stands for refused rows.
    known: dict[str, Sequence[State | None]] = {
        **{str(one): (one,) for one in State},
        str(State.ACCEPTED): states_where(in_effect=True),
        REFUSED: (None,),
        BAD: FILES[State.REJECTED],
        ANSWERS: (),
    }
    if state is not None and word not in known:
        raise CommandRefused(
            "there is no state {given!r}{nearest}; there are: {known}",
            given=printable(state),
            nearest=nearest(word, known),
            known=CHOICES,
        )
    into_folder = state is None and (output is None or (path != STDOUT and (path.is_dir() or not path.suffix)))
    if not into_folder and path == STDOUT:
        screen = screen.beside_rows()
    elif word == ANSWERS:
        suffix_of(path)
    run = await journal.run(name)
    refuse_purged(run)
    if into_folder:
        files = await _write_all(run, output or Path(), journal, screen, force=force)
    else:
        wanted = known[word] if word else ALL
        target = OutputFile(path, force=force, leaves_same=True)
        files = [await _write_rows(run, word, wanted, target, settings, journal, screen)]
    if screen.voice.as_json:
        screen.emit({"run": run.name, "files": files, "exit": int(Exit.DONE), "error": None})
    return Exit.DONE


async def _write_all(run: Run, folder: Path, journal: Journal, screen: Screen, *, force: bool) -> list[FileObject]:
    """Write the accepted, rejected, unknown and manual rows of a run, one file each; empty files are left out."""
    totals = await journal.totals(run)
    files: list[FileObject] = []
    for word, states in FILES.items():
        number = totals.count(*(one for one in states if one))
        refused = totals.refused if None in states else 0
        if not number and not refused:
            continue
        # Scripts find the same names in every language.
        path = folder / (f"{run.name}-{word}.csv" if screen.voice.as_json else file_of(run, word))
        await make_folder(folder)
        rows = await write_items(OutputFile(path, force=force, leaves_same=True), run, states, journal)
        # The file of the rejected rows has the refused ones as well.
        outcomes: str = names.name_of_state(State(word), number, totals.held_back.rows) if number else names.REFUSED
        if number and refused:
            outcomes = said("{state} and refused", state=outcomes)
        screen.say(counted("{n} row[s] {outcomes}: {file}", rows, outcomes=outcomes, file=path))
        files.append(_file_object(path, [REFUSED if one is None else one for one in states], rows))
    if not files:
        all_states = tuple(STATE_NAMES[State(word)] for word in FILES)
        screen.say(
            said("Run {run} has no rows that are {states}: no file is written.", run=run.name, states=all_states)
        )
    return files


async def _write_rows(
    run: Run,
    word: str,
    wanted: Sequence[State | None],
    target: OutputFile,
    settings: Settings,
    journal: Journal,
    screen: Screen,
) -> FileObject:
    """Write rows of these states into one file, or the answers of the run; `word` is "" for all states."""
    totals = await journal.totals(run)
    if word == ANSWERS:
        if not reads(settings.catalogue.known(run)):
            raise CommandRefused(
                "run {run} is one of {job}: it writes, and has no answers", run=run.name, job=run.job
            )
        written = await write_answers(run, journal, target)
        rows = counted("{n} row[s] of answers of run {run}", written, run=run.name)
    else:
        written = await write_items(target, run, wanted, journal)
        rows = counted("{n} row[s] of run {run}", written, run=run.name)
    if word and wanted:
        held, one = totals.held_back.rows, wanted[0]
        state: str = names.name_of_state(one, totals.count(one), held) if one else names.REFUSED
        rows = counted(
            "{n} row[s] of run {run} that [is|are] {state}",
            written,
            run=run.name,
            state=said("refused or rejected") if word == BAD else state,
        )
    if len(wanted) > 1 and State.APPLIED in wanted and (applied := totals.count(State.APPLIED)):
        rows = said("{rows}, {applied} of them applied", rows=rows, applied=Quantity(applied))
    where = "stdout" if target.path == STDOUT else str(target.path)
    screen.say(said("{rows}, written to {where}", rows=rows, where=where))
    if wanted and not written and run.stage is Stage.DISCARDED and None not in wanted:
        screen.say(said("The run was given up before anything was sent: only its refused rows are kept."))
    if not written and State.REJECTED in wanted and None not in wanted and totals.refused:
        # Both words say no: this one the program's, before anything is sent.
        purpose = counted("write the [row|{n} rows] that [was|were] refused before sending", totals.refused)
        screen.say(steps_list([(bad_export(run), purpose)]))
    return _file_object(target.path, [REFUSED if one is None else one for one in wanted] or [ANSWERS], written)


def _file_object(path: Path, states: Sequence[str], number: int) -> FileObject:
    """A file for scripts; its path is null for stdout."""
    return {"file": None if path == STDOUT else str(path), "states": [*map(str, states)], "rows": number}
