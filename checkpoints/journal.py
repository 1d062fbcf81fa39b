"""The journal: the durable memory of every run, in one SQLite file.

Writes go through one thread (`writer.Writer`) and are on the disk when they return. Reads have a connection of
their own and see what was committed. Several processes may have one journal open; one of them at a time works on
a run (`lock.RunLock`).
"""

import os
import secrets
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from checkpoints import rows
from checkpoints.errors import ForbiddenTransition, JournalUnreadable, NoSuchRun
from checkpoints.lock import Holder, RunLock, read_holder
from checkpoints.records import Change, Decision, Item, NewItem, NewRun, Page, Reason, Refusal, Run, Totals, Twin
from checkpoints.statements import statement
from checkpoints.states import State
from checkpoints.store import connect, prepare
from checkpoints.writer import Writer

Result = TypeVar("Result")

Judge = Callable[[NewItem, Sequence[Twin]], NewItem | Refusal]
"""Says what becomes of a row, given what the journal already has of the same key: kept, skipped, or refused."""

NAME_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters of a run's name: none that is mistaken for another when it is read out over the telephone."""


@asynccontextmanager
async def open_journal(path: Path) -> "AsyncIterator[Journal]":
    """Open the journal at `path`, making or migrating it as needed.

    Raises `JournalUnreadable` when it cannot be, `JournalTooNew` when a later version wrote it.
    """
    await anyio.to_thread.run_sync(_make, path)
    reader = await anyio.to_thread.run_sync(connect, path)
    writer = Writer(await anyio.to_thread.run_sync(connect, path))
    try:
        yield Journal(path, reader, writer)
    finally:
        with anyio.CancelScope(shield=True):
            await writer.close()
            reader.close()


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whose balances were loaded is nobody else's business: the file is its owner's alone.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise JournalUnreadable(f"the journal {path} cannot be written: {error.strerror}") from error
    prepare(path)


class Journal:
    """Runs and their items. Made by `open_journal`."""

    def __init__(self, path: Path, reader: sqlite3.Connection, writer: Writer) -> None:
        self.path = path
        self._reader = reader
        self._reading = anyio.CapacityLimiter(1)
        self._writer = writer

    # ---- runs ----

    async def create_run(self, new: NewRun) -> Run:
        """Enter a run; its name is short, new, and drawn at random so that two journals' marks never meet."""
        name = "".join(secrets.choice(NAME_LETTERS) for _ in range(5))
        await self._writer.do(lambda db: db.execute(statement("create_run"), rows.of_new_run(new, name, _now())))
        return await self.run(name)

    async def run(self, name: str) -> Run:
        """The run of that name. Raises `NoSuchRun`, naming those that there are."""
        found = await self._read(lambda db: db.execute(statement("run_by_name"), {"name": name}).fetchone())
        if found is None:
            known = ", ".join(run.name for run in (await self.runs())[-10:]) or "none yet"
            raise NoSuchRun(f"{self.path} has no run {name!r}; its runs: {known}")
        return rows.to_run(found)

    async def runs(self) -> list[Run]:
        """All runs, the oldest first."""
        found = await self._read(lambda db: db.execute(statement("runs")).fetchall())
        return [rows.to_run(row) for row in found]

    async def approve(self, run: Run) -> None:
        """From now on the run may send."""
        await self._writer.do(_run_statement("approve_run", run, now=_now()))

    async def end_intake(self, run: Run) -> None:
        """The list is complete. Rows that contradict each other become refusals, all of them."""

        def work(db: sqlite3.Connection) -> None:
            for name in ("refuse_conflicts", "withdraw_conflicts"):
                db.execute(statement(name), {"run_id": run.run_id})
            db.execute(statement("end_intake"), {"run_id": run.run_id, "now": _now()})

        await self._writer.do(work)

    async def discard(self, run: Run) -> None:
        """Give the run up; does nothing to one that was approved, for it may have sent."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(statement("discard_run"), {"run_id": run.run_id, "now": _now()})
            db.execute(statement("delete_items"), {"run_id": run.run_id})

        await self._writer.do(work)

    def lock(self, run: Run) -> RunLock:
        """The lock that makes us the run's one runner."""
        return RunLock(self._lock_path(run))

    def holder(self, run: Run) -> Holder | None:
        """Who works on the run now."""
        return read_holder(self._lock_path(run))

    def _lock_path(self, run: Run) -> Path:
        return self.path.with_name(f"{self.path.name}-{run.name}.lock")

    # ---- items: writing ----

    async def freeze(self, run: Run, page: Page, judge: Judge) -> list[NewItem | Refusal]:
        """Freeze a page in one commit, together with where the source goes on; returns what each item became."""

        def work(db: sqlite3.Connection) -> list[NewItem | Refusal]:
            judged = _judge_page(db, run, page.items, judge)
            items = [entry for entry in judged if isinstance(entry, NewItem)]
            refusals = [*page.refusals, *(entry for entry in judged if isinstance(entry, Refusal))]
            (last,) = db.execute(statement("last_number"), {"run_id": run.run_id}).fetchone()
            db.execute(
                statement("freeze_items"),
                {"run_id": run.run_id, "now": _now(), "rows": rows.of_new_items(items, last + 1)},
            )
            db.execute(statement("freeze_refusals"), {"run_id": run.run_id, "rows": rows.of_refusals(refusals)})
            db.execute(statement("move_cursor"), {"run_id": run.run_id, "cursor": page.cursor})
            return judged

        return await self._writer.do(work)

    async def claim(self, item_ids: Sequence[int]) -> None:
        """Make the intent to send these durable: pending → sending, one attempt more.

        Raises `ForbiddenTransition`, and claims none, when one of them is not pending.
        """
        ids = msgspec.json.encode(item_ids).decode()
        await self._writer.do(lambda db: db.execute(statement("claim"), {"ids": ids, "now": _now()}))

    async def record(self, changes: Sequence[Change]) -> None:
        """Make what became of items durable.

        Raises `ForbiddenTransition`, and records none, when one of the steps is not in the table of states.
        """
        packed = rows.of_changes(changes)
        await self._writer.do(lambda db: db.execute(statement("record"), {"changes": packed, "now": _now()}))

    async def doubt(self, run: Run) -> int:
        """At start: every `sending` becomes `unknown`, for whoever sent it is gone; returns how many."""
        return await self._writer.do(
            lambda db: db.execute(statement("doubt"), {"run_id": run.run_id, "now": _now()}).rowcount
        )

    async def decide(self, item: Item, state: State, *, who: str, why: str) -> None:
        """Record a person's decision on a manual item, and follow it, in one commit.

        Raises `ForbiddenTransition` when the item is not manual or the state not one that a person may choose.
        """
        change = rows.of_changes([Change(item.item_id, state, message=f"decided by {who}: {why}")])
        decision = {"item_id": item.item_id, "now": _now(), "who": who, "state": state, "why": why}

        def work(db: sqlite3.Connection) -> None:
            if not db.execute(statement("decide"), decision).rowcount:
                raise ForbiddenTransition(f"item {item.number} ({item.label}) is not manual: nobody has to decide")
            db.execute(statement("record"), {"changes": change, "now": decision["now"]})

        await self._writer.do(work)

    # ---- items: reading ----

    async def find(self, run: Run, word: str) -> list[Item]:
        """The items of that business key, label or number."""
        found = await self._read(
            lambda db: db.execute(statement("find_items"), {"run_id": run.run_id, "word": word}).fetchall()
        )
        return [rows.to_item(row) for row in found]

    async def decisions(self, run: Run) -> list[Decision]:
        """What people decided of the run's items, the oldest first."""
        found = await self._read(lambda db: db.execute(statement("decisions"), {"run_id": run.run_id}).fetchall())
        return [Decision(row[0], row[1], State(row[2]), *row[3:]) for row in found]

    async def items(self, run: Run, states: Collection[State], *, after: int = 0, size: int = 1000) -> list[Item]:
        """Up to `size` items in one of `states` whose number is greater than `after`, by number."""
        wanted = {
            "run_id": run.run_id,
            "after": after,
            "states": msgspec.json.encode(sorted(states)).decode(),
            "size": size,
        }
        found = await self._read(lambda db: db.execute(statement("items"), wanted).fetchall())
        return [rows.to_item(row) for row in found]

    async def each_page(self, run: Run, states: Collection[State], *, size: int = 1000) -> AsyncIterator[list[Item]]:
        """All items in one of `states`, page by page, each page read when it is wanted."""
        after = 0
        while page := await self.items(run, states, after=after, size=size):
            yield page
            after = page[-1].number

    async def refusals(self, run: Run, *, after: int = 0, size: int = 1000) -> list[tuple[int, Refusal]]:
        """Up to `size` refused rows whose id is greater than `after`, with their ids."""
        wanted = {"run_id": run.run_id, "after": after, "size": size}
        found = await self._read(lambda db: db.execute(statement("refusals"), wanted).fetchall())
        return [(row[0], rows.to_refusal(row[1:])) for row in found]

    async def totals(self, run: Run) -> Totals:
        """Counts and exact sums by state."""

        def work(db: sqlite3.Connection) -> Totals:
            db.execute("begin")
            try:
                states = db.execute(statement("totals"), {"run_id": run.run_id}).fetchall()
                (refused,) = db.execute(statement("count_refusals"), {"run_id": run.run_id}).fetchone()
            finally:
                db.execute("rollback")
            return Totals(
                {State(state): count for state, count, _ in states},
                {State(state): Decimal(amount) for state, _, amount in states},
                refused,
            )

        return await self._read(work)

    async def reasons(self, run: Run, state: State, *, size: int = 20) -> list[Reason]:
        """What the items of `state` have to say, the commonest first."""
        wanted = {"run_id": run.run_id, "state": state, "size": size}
        found = await self._read(lambda db: db.execute(statement("reasons"), wanted).fetchall())
        return [rows.to_reason(row) for row in found]

    async def shared_lanes(self, run: Run) -> int:
        """How many lanes (accounts) more than one pending item reaches."""
        (count,) = await self._read(
            lambda db: db.execute(statement("shared_lanes"), {"run_id": run.run_id}).fetchone()
        )
        return int(count)

    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        def guarded() -> Result:
            try:
                return work(self._reader)
            except sqlite3.Error as error:
                raise JournalUnreadable(f"the journal {self.path} cannot be read: {error}") from error

        return await anyio.to_thread.run_sync(guarded, limiter=self._reading)


def _judge_page(db: sqlite3.Connection, run: Run, items: Sequence[NewItem], judge: Judge) -> list[NewItem | Refusal]:
    """Let `judge` see each item beside all that the journal has of its key, earlier rows of the page included."""
    keys = msgspec.json.encode(sorted({item.key for item in items})).decode()
    twins: defaultdict[str, list[Twin]] = defaultdict(list)
    for row in db.execute(statement("twins"), {"run_id": run.run_id, "keys": keys}):
        twin = rows.to_twin(row)
        twins[twin.key].append(twin)
    judged: list[NewItem | Refusal] = []
    for item in items:
        verdict = judge(item, twins[item.key])
        judged.append(verdict)
        if isinstance(verdict, NewItem) and verdict.skip_reason is None:
            twins[item.key].append(Twin(run.name, item.key, item.amount, State.PENDING, item.line, _now()))
    return judged


def _run_statement(name: str, run: Run, **values: str) -> Callable[[sqlite3.Connection], None]:
    def work(db: sqlite3.Connection) -> None:
        db.execute(statement(name), {"run_id": run.run_id, **values})

    return work


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
