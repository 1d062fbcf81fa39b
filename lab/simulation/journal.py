"""The journal's disk: a database of SQLite in memory that outlives processes, and the store that each of them opens.

The blocks, triggers and the group commit are the product's; what differs is where they run. A commit is a step of its
own, some time after its first order: a process that is killed before it has written nothing, one that is killed after
it never hears of it. `copy` and `put_back` are what people do with a journal's file.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, TypeVar
from weakref import proxy

from billing.database.sql_blocks import sql_block
from checkpoints.errors import JournalUnreadable, RunTakenOver
from checkpoints.journal_file import JournalAddress
from checkpoints.queries import Queries, fill_states, schema
from checkpoints.sqlite_store import SQLITE, SqliteQueries, set_up
from checkpoints.store import Store
from checkpoints.writer import Order, commit, wake
from lab.simulation.loop import Process, SeededLoop

Result = TypeVar("Result")

DELAYS: Final = (0.0, 0.0, 0.001, 0.01, 0.2)
"""Seconds of a commit, or of an answer of the server."""


@dataclass(frozen=True, slots=True)
class Death:
    """What a process that was killed has left in a journal."""

    process: Process
    runs: Mapping[str, sqlite3.Row]
    had_orders: bool
    """Whether something of it waited for a commit."""


class Connection(sqlite3.Connection):
    """A connection that outlives its disk, and is emptied for the next: so its statements stay prepared."""

    disk: "Disk"


class Disk:
    """The file of a journal on one machine, with the locks of its runs. Some of its commits fail, for a time."""

    idle: ClassVar[list[Connection]] = []
    """Connections that earlier disks have left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.locks: dict[int, Process] = {}
        self.is_full = False
        self.failed = 0
        """Commits that have failed."""
        self.was_put_back = self.forgot = False
        """Whether a copy was put back, and whether one of them knew less than the file."""
        self.too_late = 0
        """Writes that have waited until their run was another process's."""
        self.deaths: list[Death] = []
        self._opened: list[Connection] = []
        if self.idle:
            self._use(self.idle.pop())
            for table in self.all("filled"):
                self.db.execute(f"delete from {table['name']}")  # noqa: S608 - of the schema
        else:
            self._use(self.connected())
            self.fill()

    def __del__(self) -> None:
        self.idle.extend(self._opened)

    def copy(self) -> bytes:
        return self.db.serialize()

    def put_back(self, copy: bytes) -> None:
        stood = self.rows_that_stand().total()
        # In a connection of its own: SQLite fails where a statement of the old one is not at its end.
        self._use(self.connected())
        self.db.deserialize(copy)
        self.was_put_back = True
        self.forgot |= self.rows_that_stand().total() < stood

    def _use(self, db: Connection) -> None:
        self.db = db
        # What SQLite keeps the collector does not see: nothing of it may hold the disk.
        db.disk = proxy(self)
        self._opened.append(db)

    @classmethod
    def connected(cls) -> Connection:
        db = Connection(":memory:", isolation_level=None, check_same_thread=False, cached_statements=1000)
        set_up(db)
        return db

    def fill(self) -> None:
        self.db.executescript(schema())
        fill_states(SqliteQueries(self.db))

    # ---- what can be read of the file ----

    def all(self, block: str, **values: str | int) -> list[sqlite3.Row]:
        return self.db.execute(sql_block("journal", block, "lab.simulation").text, values).fetchall()

    def newest(self, but: Collection[str] = ()) -> str | None:
        """The newest run that was not given up, and is none of these."""
        return next((run["name"] for run in self.all("names") if run["name"] not in but), None)

    def left(self, name: str) -> int:
        """The rows of a run that a resume has to work on."""
        return next(_left(run) for run in self.runs() if run["name"] == name)

    def runs(self) -> list[sqlite3.Row]:
        """The runs that were not given up, the oldest first."""
        return self.all("runs")

    def unfinished(self) -> list[str]:
        """The runs that a resume has to work on."""
        return [run["name"] for run in self.runs() if _left(run)]

    def but(self, name: str) -> set[str]:
        return {run["name"] for run in self.runs()} - {name}

    def rows_that_stand(self) -> Counter[int]:
        """How often each row of the input stands in the billing, as the journal says."""
        return Counter((row["line"] or 1) - 1 for row in self.all("stand"))

    def differences(self) -> Counter[int]:
        """How often the difference of each row to a later file was entered."""
        return Counter(row["line"] - 1 for row in self.all("differences"))

    def sources_that_stand(self) -> list[tuple[int, str]]:
        """The rows that stand, as above, each with its file, "" for one that is not known any more."""
        return [((row["line"] or 1) - 1, row["source"]) for row in self.all("stand")]

    def rows_perhaps(self) -> set[int]:
        """The rows of which no answer says whether they stand, and at which no undo has looked."""
        return {row["line"] - 1 for row in self.all("perhaps")}

    def rows_in_doubt(self) -> set[tuple[str, int]]:
        """The rows of a run of which the journal does not say whether they stand in the billing."""
        return {(row["name"], row["line"] - 1) for row in self.all("doubt")}

    def sent(self) -> dict[tuple[str, int], sqlite3.Row]:
        """The `amount` and the `lane` of each row of a run."""
        return {(row["name"], row["line"] - 1): row for row in self.all("sent")}

    def states(self, name: str) -> dict[str, int]:
        return {row["state"]: row["rows"] for row in self.all("states", run=name)}


def _left(run: sqlite3.Row) -> int:
    return 0 if run["ended_at"] else int(run["open"] if run["frozen_at"] and run["approved_at"] else 1)


class MemoryStore(Store):
    """The store of a journal in one process."""

    def __init__(self, disk: Disk, process: Process, loop: SeededLoop) -> None:
        self.address = JournalAddress(Path("/simulated") / disk.name)
        self._disk, self._process, self._loop = disk, process, loop
        self._orders: list[Order] = []
        process.at_death.append(self._died)

    async def read(self, work: Callable[[Queries], Result]) -> Result:
        if not self._loop.is_in_thread:
            await asyncio.sleep(0)
        try:
            return work(SqliteQueries(self._disk.db))
        except sqlite3.Error as error:
            raise JournalUnreadable("the journal cannot be read: {error}", error=error) from error

    async def write(self, work: Callable[[Queries], Result]) -> Result:
        """Run `work` with the next commit, together with all that waits for it."""
        order = Order(lambda db: work(SqliteQueries(db)), self._loop.create_future())
        self._orders.append(order)
        if len(self._orders) == 1:
            with self._loop.outside():
                self._loop.call_later(self._loop.draw.choice(DELAYS), self._commit)
        return await order.future  # type: ignore[no-any-return]

    def _commit(self) -> None:
        group = self._orders
        if not self._process.is_alive or not group:
            return
        if self._process.frozen_until > self._loop.now:
            self._loop.call_later(self._process.frozen_until - self._loop.now, self._commit)
            return
        self._orders = []
        if self._disk.is_full:
            self._disk.failed += 1
            for order in group:
                order.error = JournalUnreadable("the journal cannot be written: {error}", error="disk full")
        else:
            commit(self._disk.db, SQLITE, group)
            self._disk.too_late += any(isinstance(order.error, RunTakenOver) for order in group)
        wake(group)

    def _died(self) -> None:
        if self._process.was_killed:
            runs = {run["name"]: run for run in self._disk.all("death")}
            self._disk.deaths.append(Death(self._process, runs, had_orders=bool(self._orders)))
        self._disk.locks = {run: owner for run, owner in self._disk.locks.items() if owner is not self._process}

    async def lock(self, run_id: int) -> bool:
        return self._disk.locks.setdefault(run_id, self._process) is self._process

    async def unlock(self, run_id: int) -> None:
        if self._disk.locks.get(run_id) is self._process:
            del self._disk.locks[run_id]

    async def is_locked(self, run_id: int) -> bool:
        return run_id in self._disk.locks

    async def locked_runs(self, run_ids: Collection[int]) -> set[int]:
        return set(run_ids) & self._disk.locks.keys()

    async def size(self) -> int:
        return len(self._disk.copy())

    async def clean(self) -> None:
        """In memory nobody finds what was removed."""
