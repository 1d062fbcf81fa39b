"""The earlier runs of a journal, opened for reading only."""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from checkpoints import rows
from checkpoints.journal_file import JournalAddress
from checkpoints.queries import Queries, Result
from checkpoints.records import EarlierEntry, Item, KnownMark, NewItem, Run, StandingItem
from checkpoints.store import Reader
from checkpoints.stores import look_into
from checkpoints.transitions import known_marks, standing_items, twins_of


class Earlier:
    """The items of all runs, by business key; none without a journal.

    A worker thread reads, one at a time, and closing waits for it.
    """

    def __init__(self) -> None:
        self.opened = contextlib.ExitStack()
        self.reader: Reader | None = None

    async def twins(self, job: str, items: Sequence[NewItem]) -> list[list[EarlierEntry]]:
        return await self._read(lambda db: twins_of(db, job, items), [[] for _ in items])

    async def known_marks(self, marks: Collection[tuple[str, int, str]]) -> list[KnownMark]:
        return await self._read(lambda db: known_marks(db, marks), [])

    async def standing_in_lanes(
        self, job: str, target: str, items: Sequence[NewItem | Item], own: str
    ) -> list[StandingItem]:
        return await self._read(lambda db: standing_items(db, job, target, items, own), [])

    async def _read(self, work: Callable[[Queries], Result], nothing: Result) -> Result:
        return nothing if self.reader is None else await self.reader.do(work)


@asynccontextmanager
async def earlier_runs(where: Path | JournalAddress) -> AsyncIterator[Earlier]:
    """The runs of a journal, opened read-only; no runs if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    earlier = Earlier()
    try:
        db = await anyio.to_thread.run_sync(earlier.opened.enter_context, look_into(where))
        earlier.reader = None if db is None else Reader(earlier.opened, db)
        yield earlier
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync((earlier.reader or earlier.opened).close)


def runs_of(where: Path | JournalAddress) -> list[Run]:
    """The runs of a journal, the oldest first, read-only and at once; none if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    with look_into(where) as db:
        return [] if db is None else [rows.to_run(row) for row in db.each("runs")]
