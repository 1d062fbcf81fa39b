"""`export`: rows of one state as a file that opens in a spreadsheet and can be the next input."""

import csv
import io
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TextIO

import anyio.to_thread

from checkpoints.journal import Journal
from checkpoints.records import Item, Refusal, Run, Stage
from checkpoints.states import State
from cli.errors import CommandRefused
from cli.exits import Exit
from cli.screen import Screen
from cli.sessions import open_existing
from cli.settings import Settings
from cli.texts import plain, rows, shown

REFUSED: Final = "refused"
CHOICES: Final = ", ".join([*State, REFUSED])
COLUMNS: Final = ("carbon_line", "carbon_state", "carbon_answer", "carbon_message")
STDOUT: Final = Path("-")

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER: Final = re.compile(r"[+-]?\d[\d \u00a0\u202f]*([.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file goes; without `force` one that is there is left alone."""

    path: Path
    force: bool = False


async def export(name: str, state: str, target: Target, settings: Settings, screen: Screen) -> Exit:
    """Write the rows of a run that are in `state`. Raises `CommandRefused` and `JournalError`."""
    wanted = _state(state)
    async with open_existing(settings.journal.value) as journal:
        run = await journal.run(name)
        written = 0
        async with written_to(target) as out:
            out.row([*run.header, *COLUMNS])
            async for page in _pages(run, wanted, journal):
                await anyio.to_thread.run_sync(out.all, page)
                written += len(page)
    where = "to stdout" if target.path == STDOUT else f"to {shown(target.path)}"
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
    raise CommandRefused(f"there is no state {plain(word)!r}{hint} There are: {CHOICES}")


async def _pages(run: Run, state: State | None, journal: Journal) -> AsyncIterator[list[list[str]]]:
    width = len(run.header)
    if state is not None:
        async for items in journal.each_page(run, {state}):
            yield [_of_item(item, width) for item in items]
        return
    after = 0
    while page := await journal.refusals(run, after=after):
        yield [_of_refusal(refusal, width) for _, refusal in page]
        after = page[-1][0]


def _of_item(item: Item, width: int) -> list[str]:
    cells, _ = _fitted(item.row, width)
    return [*cells, str(item.line or ""), str(item.state), item.answer or "", item.message or ""]


def _of_refusal(refusal: Refusal, width: int) -> list[str]:
    cells, surplus = _fitted(refusal.row, width)
    message = f"{refusal.column}: {refusal.reason}" if refusal.column else refusal.reason
    if surplus:
        message = f"{message}; surplus cells: {' | '.join(surplus)}"
    return [*cells, str(refusal.line or ""), REFUSED, "", message]


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


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula: an apostrophe goes before what is no plain number."""
    if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


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
    with _replacing(target) as stream:
        yield Sheet(stream)


@contextmanager
def _replacing(target: Target) -> Iterator[TextIO]:
    """A file that is renamed to its place once it is complete."""
    path = target.path
    if path.exists() and not target.force:
        raise CommandRefused(f"{plain(path)} is there already: name another file, or give --force to overwrite it")
    try:
        # Beside its place, for a rename to be one step; its owner's alone, as the journal is.
        handle, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise CommandRefused(f"{plain(path)} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8-sig", newline="") as stream:
            yield stream
        Path(made).replace(path)
    except OSError as error:
        raise CommandRefused(f"{plain(path)} cannot be written: {error.strerror}") from error
    finally:
        Path(made).unlink(missing_ok=True)
