"""`export`: rows of one state as a file that opens in a spreadsheet and can be the next input."""

import csv
import io
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final, TextIO

import anyio.to_thread

from checkpoints.journal import Journal
from checkpoints.records import Item, Refusal, Run, Stage
from checkpoints.states import State
from cli.session.session import open_existing
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen
from cli.terminal.texts import markup_safe, printable, rows
from engine.sources.exported import COLUMNS, harmless, named

REFUSED: Final = "refused"
CHOICES: Final = ", ".join([*State, REFUSED, "answers"])
FILES: Final[Mapping[str, tuple[State | None, ...]]] = MappingProxyType(
    {
        "accepted": (State.ACCEPTED, State.APPLIED),
        "rejected": (State.REJECTED, None),
        "unknown": (State.UNKNOWN, State.SENDING),
        "manual": (State.MANUAL,),
    }
)
"""The files of a whole export, each with its states; None are the refused rows of the input."""
STDOUT: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file goes; without `force` one that is there is left alone."""

    path: Path
    force: bool = False


async def export_all(name: str, folder: Path, settings: Settings, screen: Screen, *, force: bool) -> Exit:
    """Write the accepted, rejected, unknown and manual rows of a run, a file each; what has no rows gets no file.

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
            async with written_to(Target(path, force=force)) as out:
                number = await _write(out, run, states, journal)
            screen.say(f"{rows(number)} {word}: {markup_safe(path)}")
            written += 1
        if not written:
            screen.say(f"Run {run.name} has no rows that are {', '.join(FILES)}: no file is written.")
    return Exit.DONE


async def _write(out: "Sheet", run: Run, states: Sequence[State | None], journal: Journal) -> int:
    written = 0
    out.row([*run.header, *columns_of(run)])
    for state in states:
        async for page in _pages(run, state, journal):
            await anyio.to_thread.run_sync(out.all, page)
            written += len(page)
    return written


async def export(name: str, state: str, target: Target, settings: Settings, screen: Screen) -> Exit:
    """Write the rows of a run that are in `state`. Raises `CommandRefused` and `JournalError`."""
    wanted = _state(state)
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        async with written_to(target) as out:
            written = await _write(out, run, (wanted,), journal)
    where = "to stdout" if target.path == STDOUT else f"to {markup_safe(target.path)}"
    screen.say(f"{rows(written)} of run {run.name} that {'is' if written == 1 else 'are'} {state}, written {where}")
    if not written and run.stage is Stage.DISCARDED and wanted is not None:
        screen.say("The run was given up before anything was sent: only its refused rows are kept.")
    return Exit.DONE


def _state(word: str) -> State | None:
    """The state of that name, None for refused rows. Raises `CommandRefused`, naming the nearest."""
    plain_word = word.strip().casefold()
    if plain_word == REFUSED:
        return None
    if plain_word in set(State):
        return State(plain_word)
    near = get_close_matches(plain_word, [*State, REFUSED], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise CommandRefused(f"there is no state {printable(word)!r}{hint} There are: {CHOICES}")


async def _pages(run: Run, state: State | None, journal: Journal) -> AsyncIterator[list[list[str]]]:
    if state is not None:
        async for items in journal.each_page(run, {state}):
            yield [of_item(item, run) for item in items]
        return
    async for refused in refused_pages(run, journal):
        yield refused


async def refused_pages(run: Run, journal: Journal) -> AsyncIterator[list[list[str]]]:
    """The refused rows of a run as rows of a file, page by page."""
    after = 0
    while page := await journal.refusals(run, after=after):
        yield [of_refusal(refusal_id, refusal, run) for refusal_id, refusal in page]
        after = page[-1][0]


def columns_of(run: Run) -> tuple[str, ...]:
    """`COLUMNS` as they stand behind the run's own: one that the input has itself gets a number."""
    return tuple(named(column, run.header) for column in COLUMNS)


def of_item(item: Item, run: Run) -> list[str]:
    """An item as a row of a file: the input's own cells, and those of `COLUMNS`."""
    cells, _ = _fitted(item.row, len(run.header))
    place = f"{run.name}/{item.number}"
    return [*cells, place, str(item.line or ""), str(item.state), item.answer or "", item.message or ""]


def of_refusal(refusal_id: int, refusal: Refusal, run: Run) -> list[str]:
    """A refused row as a row of a file, in the same way."""
    cells, surplus = _fitted(refusal.row, len(run.header))
    message = f"{refusal.column}: {refusal.reason}" if refusal.column else refusal.reason
    if surplus:
        message = f"{message}; surplus cells: {' | '.join(surplus)}"
    return [*cells, f"{run.name}/r{refusal_id}", str(refusal.line or ""), REFUSED, "", message]


def _fitted(cells: Sequence[str], width: int) -> tuple[list[str], list[str]]:
    """Exactly `width` cells, and those that are too many."""
    return [*cells[:width], *[""] * (width - len(cells))], list(cells[width:])


# ---- the file ---------------------------------------------------------------------------------------------------


class Sheet:
    """Rows of a CSV with `;`, as spreadsheets of this part of the world want it."""

    def __init__(self, stream: TextIO) -> None:
        self._writer = csv.writer(stream, delimiter=";", lineterminator="\r\n")

    def row(self, cells: Sequence[str]) -> None:
        """Write a row, its cells made harmless."""
        self._writer.writerow([harmless(cell) for cell in cells])

    def all(self, page: Sequence[Sequence[str]]) -> None:
        """Write a page of rows."""
        for cells in page:
            self.row(cells)


@asynccontextmanager
async def written_to(target: Target) -> AsyncIterator[Sheet]:
    """A sheet that stands at its place when the context ends well, and not at all when it does not.

    UTF-8 with a BOM. Raises `CommandRefused` when the file is there already or cannot be written.
    """
    if target.path == STDOUT:
        borrowed = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8-sig", newline="", write_through=True)
        try:
            yield Sheet(borrowed)
        finally:
            # It must not close what it does not own.
            borrowed.detach()
        return
    with replacing(target) as made, made.open("w", encoding="utf-8-sig", newline="") as stream:
        yield Sheet(stream)


@contextmanager
def replacing(target: Target) -> Iterator[Path]:
    """An empty file, its owner's alone, that is renamed to its place once the context ends well.

    Raises `CommandRefused` when something is there already or it cannot be written.
    """
    path = target.path
    if path.exists() and not target.force:
        raise CommandRefused(
            f"{printable(path)} is there already: name another file, or give --force to overwrite it"
        )
    try:
        # Beside its place, for a rename to be one step; its owner's alone, as the journal is.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise CommandRefused(f"{printable(path)} cannot be written: {error.strerror}") from error
    made = Path(name)
    try:
        yield made
        made.replace(path)
    except OSError as error:
        raise CommandRefused(f"{printable(path)} cannot be written: {error.strerror}") from error
    finally:
        made.unlink(missing_ok=True)
