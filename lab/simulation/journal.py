"""The journal's disk: a database of SQLite in memory that outlives processes, and the store that each of them opens.

The blocks, triggers and the group commit are the product's; what differs is where they run. A commit is a step of its
own, some time after its first order: a process that is killed before it has written nothing, one that is killed after
it never hears of it. `copy` and `put_back` are what people do with a journal's file.
"""

import asyncio
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Collection
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from checkpoints.address import JournalAddress
from checkpoints.errors import JournalUnreadable
from checkpoints.queries import Queries
from checkpoints.sqlite_connection import SQLITE, connect, set_up
from checkpoints.sqlite_queries import SqliteQueries
from checkpoints.store import Store
from checkpoints.stores import filled
from checkpoints.writer import Order, commit, wake
from lab.simulation.loop import Process, SeededLoop
from texts.said import said

Result = TypeVar("Result")

DELAYS: Final = (0.0, 0.0, 0.001, 0.01, 0.2)
"""Seconds of a commit."""


class Disk:
    """The file of a journal on one machine, with the locks of its runs. Some of its commits fail, for a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.locks: dict[int, Process] = {}
        self.is_full = False
        self.commits = 0
        self.put_back(_image())
        self.was_put_back = False

    def copy(self) -> bytes:
        """A copy of the file."""
        return self.db.serialize()

    def put_back(self, copy: bytes) -> None:
        """Put a copy in place of the file."""
        # In a connection of its own: SQLite fails where a statement of the old one is not at its end.
        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.db.deserialize(copy)
        set_up(self.db)
        self.was_put_back = True

    # ---- what can be read of the file ----

    def newest(self, but: Collection[str] = ()) -> str | None:
        """The newest run that was not given up, and is none of these."""
        rows = self.db.execute("select name from runs where discarded_at is null order by run_id desc").fetchall()
        return next((row["name"] for row in rows if row["name"] not in but), None)

    def left(self, name: str) -> int:
        """The rows of a run that a resume has to work on."""
        (row,) = self.db.execute(
            "select frozen_at, approved_at, ended_at, (select count(*) from items where run_id = runs.run_id "
            "and state in (select state from states where open)) as open from runs where name = ?",
            (name,),
        )
        return 0 if row["ended_at"] else int(row["open"] if row["frozen_at"] and row["approved_at"] else 1)

    def runs(self) -> list[sqlite3.Row]:
        """The runs that were not given up, the oldest first; `undone` is the run that one takes back."""
        return self.db.execute(
            "select name, job, approved_at, ended_at, parameters ->> 'run' as undone from runs "
            "where discarded_at is null order by run_id"
        ).fetchall()

    def unfinished(self) -> list[str]:
        """The runs that a resume has to work on."""
        return [run["name"] for run in self.runs() if self.left(run["name"])]

    def but(self, name: str) -> set[str]:
        """All runs but one."""
        return {run["name"] for run in self.runs()} - {name}

    def rows_that_stand(self) -> Counter[int]:
        """How often each row of the input stands in the billing, as the journal says."""
        return Counter(
            (row["line"] or 1) - 1
            for row in self.db.execute(
                "select line from items where state in ('accepted', 'applied') and taken_back = 0 and undoes is null"
            )
        )

    def rows_in_doubt(self) -> set[tuple[str, int]]:
        """The rows of a run of which the journal does not say whether they stand in the billing."""
        found = self.db.execute(
            "select name, line from items join runs using (run_id) where line is not null "
            "and state in ('sending', 'unknown', 'unconfirmed')"
        )
        return {(row["name"], row["line"] - 1) for row in found}

    def lanes(self) -> dict[tuple[str, int], str]:
        """The account of each row of a run."""
        found = self.db.execute("select name, line, lane from items join runs using (run_id) where line is not null")
        return {(row["name"], row["line"] - 1): row["lane"] for row in found}

    def sum_of(self, name: str) -> Decimal:
        """The sum of what a run has entered."""
        found = self.db.execute(
            "select coalesce(decimal_sum(amount), '0') as amount from items join runs using (run_id) where name = ? "
            "and state in ('accepted', 'applied')",
            (name,),
        )
        return Decimal(found.fetchone()["amount"])

    def states(self, name: str) -> dict[str, int]:
        """The rows of a run by their states."""
        found = self.db.execute(
            "select state, count(*) as rows from items join runs using (run_id) where name = ? group by state",
            (name,),
        )
        return {row["state"]: row["rows"] for row in found}


class MemoryStore(Store):
    """The store of a journal in one process."""

    def __init__(self, disk: Disk, process: Process, loop: SeededLoop) -> None:
        self.address = JournalAddress(Path("/simulated") / disk.name)
        self._disk, self._process, self._loop = disk, process, loop
        self._orders: list[Order] = []
        process.at_death.append(self._died)

    async def read(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` on the committed data."""
        if not self._loop.is_in_thread:
            await asyncio.sleep(0)
        try:
            return work(SqliteQueries(self._disk.db))
        except sqlite3.Error as error:
            raise JournalUnreadable(said("the journal cannot be read: {error}", error=error)) from error

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` with the next commit, together with all that waits for it."""
        order = Order(lambda db: work(SqliteQueries(db)), self._loop.create_future())
        self._orders.append(order)
        if len(self._orders) == 1:
            with self._loop.outside():
                self._loop.call_later(self._loop.draw.choice(DELAYS), self._commit)
        return await order.future  # type: ignore[no-any-return]

    def _commit(self) -> None:
        group, self._orders = self._orders, []
        if not self._process.is_alive or not group:
            return
        if self._process.frozen_until > self._loop.now:
            self._orders = group
            self._loop.call_later(self._process.frozen_until - self._loop.now, self._commit)
            return
        if self._disk.is_full:
            for order in group:
                order.error = JournalUnreadable(said("the journal cannot be written: {error}", error="disk full"))
        else:
            commit(self._disk.db, SQLITE, group)
            self._disk.commits += 1
        wake(group)

    def _died(self) -> None:
        self._disk.locks = {run: owner for run, owner in self._disk.locks.items() if owner is not self._process}

    async def lock(self, run_id: int) -> bool:
        """Take the lock of a run."""
        return self._disk.locks.setdefault(run_id, self._process) is self._process

    async def unlock(self, run_id: int) -> None:
        """Release the lock of a run."""
        if self._disk.locks.get(run_id) is self._process:
            del self._disk.locks[run_id]

    async def is_locked(self, run_id: int) -> bool:
        """Whether the lock of a run is held."""
        return run_id in self._disk.locks

    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        """Those of the runs whose locks are held."""
        return set(run_ids) & self._disk.locks.keys()

    async def size(self) -> int:
        """The bytes of the file."""
        return len(self._disk.copy())

    async def clean(self) -> None:
        """Rewrite the file."""
        self._disk.db.execute("vacuum")


@cache
def _image() -> bytes:
    """A journal without runs, as the product makes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.journal"
        with filled(path):
            pass
        memory = sqlite3.connect(":memory:")
        made = connect(path)
        made.backup(memory)
        made.close()
    image = bytearray(memory.serialize())
    # Journals on a disk keep a log beside them; one in memory has none (file format of SQLite, bytes 18 and 19).
    image[18:20] = b"\x01\x01"
    return bytes(image)
