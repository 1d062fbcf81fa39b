"""The earlier runs of a journal, opened for reading only."""

import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from checkpoints import rows
from checkpoints.address import JournalAddress
from checkpoints.intake_pages import standing_items, twins_of
from checkpoints.queries import Queries
from checkpoints.records import EarlierEntry, Item, KnownMark, NewItem, Run, StandingItem
from checkpoints.stores import look_into

Result = TypeVar("Result")


class Earlier:
    """The items of all runs, by business key; none without a journal.

    A worker thread reads, one at a time; a cancelled task leaves its thread inside, for which the close waits.
    """

    def __init__(self, where: Path | JournalAddress) -> None:
        self._where = where
        self._opened = contextlib.ExitStack()
        self._inside = threading.Lock()
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._db: Queries | None = None

    def open(self) -> None:
        """Open the journal; blocks. Raises `JournalUnreadable` and `JournalOtherFormat`."""
        self._db = self._opened.enter_context(look_into(self._where))

    def close(self) -> None:
        """Close it once no thread is inside; blocks."""
        with self._inside:
            self._db = None
            self._opened.close()

    async def twins(self, job: str, items: Sequence[NewItem]) -> list[list[EarlierEntry]]:
        """For each item of a job, the items with its key whose effect stands, on any target."""
        return await self._read(lambda db: twins_of(db, job, items), [[] for _ in items])

    async def known_marks(self, marks: Collection[tuple[str, int]]) -> list[KnownMark]:
        """Those of the marks (pairs of run and number) whose items are in the journal."""
        return await self._read(
            lambda db: [rows.to_known_mark(row) for row in db.each("known_marks", marks=marks)], []
        )

    async def standing_in_lanes(
        self, job: str, target: str, items: Sequence[NewItem | Item], own: str
    ) -> list[StandingItem]:
        """The items in the lanes of these whose effect stands, of the job's runs for a target but the run `own`."""
        return await self._read(lambda db: standing_items(db, job, target, items, own), [])

    async def _read(self, work: Callable[[Queries], Result], nothing: Result) -> Result:
        def reading() -> Result:
            with self._inside:
                return nothing if self._db is None else self._db.attempt(work)

        return await anyio.to_thread.run_sync(reading, limiter=self._one_at_a_time)


@asynccontextmanager
async def earlier_runs(where: Path | JournalAddress) -> AsyncIterator[Earlier]:
    """The runs of a journal, opened read-only; no runs if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    earlier = Earlier(where)
    try:
        await anyio.to_thread.run_sync(earlier.open)
        yield earlier
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(earlier.close)


def runs_of(where: Path | JournalAddress) -> list[Run]:
    """The runs of a journal, the oldest first, read-only and at once; none if there is no journal.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    with look_into(where) as db:
        return [] if db is None else [rows.to_run(row) for row in db.each("runs")]
