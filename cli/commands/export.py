"""`export`: writes rows of a run to files that open in a spreadsheet and can be used as input."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from checkpoints.records import Stage
from checkpoints.states import State
from cli.commands.execution import execute
from cli.output.answer_files import ANSWERS, reads, write_answers
from cli.output.item_files import REFUSED, STDOUT, OutputFile, write_items, written_to
from cli.output.tables import suffix_of
from cli.session.journal import open_existing
from cli.settings.flags import Flags, RunName, grouped
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen, Voice
from cli.terminal.texts import markup_safe, printable, rows

CHOICES: Final = ", ".join([*State, REFUSED, ANSWERS])
FILES: Final[Mapping[str, tuple[State | None, ...]]] = MappingProxyType(
    {
        str(file): (
            *sorted((state for state in State if state.export == file), key=lambda state: state is not file),
            # Refused rows are corrected together with rejected ones, so they share a file.
            *([None] if file is State.REJECTED else []),
        )
        for file in State
        if file.export == file
    }
)
"""The files of a whole export: by the state in the file's name, the states in it; None stands for refused rows."""

app: Final = typer.Typer(add_completion=False)


@app.command("export")
@grouped
def _export(
    name: RunName,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help=f"One of: {CHOICES}; else a file each.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to; `-` for stdout. A folder without --state."),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    flags: Flags,
    voice: Voice,
) -> None:
    """Write the rows of a run to files, to be read or corrected.

    The files have the input's own columns: a rejected row, corrected, is an input of --continue.
    """

    async def work(settings: Settings, screen: Screen) -> Exit:
        if state is None:
            return await export_all(name, output or Path(), settings, screen, force=force)
        target = OutputFile(output or STDOUT, force=force)
        if state.strip().casefold() == ANSWERS:
            return await export_answers(name, target, settings, screen)
        return await export_state(name, state, target, settings, screen)

    execute(work, flags, voice, only_reads=True)


async def export_all(name: str, folder: Path, settings: Settings, screen: Screen, *, force: bool) -> Exit:
    """Write the accepted, rejected, unknown and manual rows of a run, one file each; empty files are left out.

    Raises `CommandRefused` and `JournalError`.
    """
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        totals = await journal.totals(run)
        written = 0
        for word, states in FILES.items():
            number = totals.count(*(state for state in states if state)) + (totals.refused if None in states else 0)
            if not number:
                continue
            path = folder / f"{run.name}-{word}.csv"
            async with written_to(OutputFile(path, force=force)) as out:
                number = await write_items(out, run, states, journal)
            screen.say(f"{rows(number)} {word}: {markup_safe(path)}")
            written += 1
        if not written:
            screen.say(f"Run {run.name} has no rows that are {', '.join(FILES)}: no file is written.")
    return Exit.DONE


async def export_state(name: str, state: str, target: OutputFile, settings: Settings, screen: Screen) -> Exit:
    """Write the rows of a run that are in `state`. Raises `CommandRefused` and `JournalError`."""
    wanted = _parse_state(state)
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        async with written_to(target) as out:
            written = await write_items(out, run, (wanted,), journal)
    where = "to stdout" if target.path == STDOUT else f"to {markup_safe(target.path)}"
    screen.say(f"{rows(written)} of run {run.name} that {'is' if written == 1 else 'are'} {state}, written {where}")
    if not written and run.stage is Stage.DISCARDED and wanted is not None:
        screen.say("The run was given up before anything was sent: only its refused rows are kept.")
    return Exit.DONE


def _parse_state(word: str) -> State | None:
    """The state of that name, None for refused rows. Raises `CommandRefused` with the nearest name."""
    plain_word = word.strip().casefold()
    if plain_word == REFUSED:
        return None
    if plain_word in set(State):
        return State(plain_word)
    near = get_close_matches(plain_word, [*State, REFUSED], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise CommandRefused(f"there is no state {printable(word)!r}{hint} There are: {CHOICES}")


async def export_answers(name: str, target: OutputFile, settings: Settings, screen: Screen) -> Exit:
    """Write the answers of a run. Raises `CommandRefused` and `JournalError`."""
    if target.path != STDOUT:
        suffix_of(target.path)
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        if not reads(run.job, run.parameters):
            raise CommandRefused(f"run {run.name} is one of {run.job}: it writes, and has no answers")
        written = await write_answers(run, journal, target)
    where = "to stdout" if target.path == STDOUT else f"to {markup_safe(target.path)}"
    screen.say(f"{rows(written)} of answers of run {run.name}, written {where}")
    return Exit.DONE
