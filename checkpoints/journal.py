"""The journal: the durable memory of every run.

Writes are on the disk when they return. Reads see committed data. Several processes may have one journal open, but
only one at a time works on a run. It holds the run's lock, and each of its writes names its epoch of the run; a write
is refused once another process has raised the epoch. Reads and writes are blocks of `queries.sql`, run by a store.
"""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias

import anyio

from checkpoints import rows, transitions
from checkpoints.errors import ForbiddenTransition, NoSuchRun, RunHeld
from checkpoints.history import History
from checkpoints.journal_file import JournalAddress
from checkpoints.lease import Lease, boot_time, keep_lease, machine, take_up_run
from checkpoints.mailbox import Mailbox
from checkpoints.queries import PAGE, FoundRow, Queries, Result, Value
from checkpoints.records import (
    Contradiction,
    Differences,
    Holder,
    Item,
    NewRun,
    NewRunner,
    Purged,
    Reason,
    Refusal,
    RowAmount,
    Run,
    Shared,
    Totals,
)
from checkpoints.rows import LaneCounts, StepCount, record
from checkpoints.sentences import AS_WANTED, CONTRADICTS, DUPLICATE, ENDED, NOT_IN_EFFECT
from checkpoints.states import State
from checkpoints.store import Store
from checkpoints.stores import LookedAt, store_of
from checkpoints.transitions import Purge, check_epoch, items_of, purge_run, refuse_purged, totals_of
from texts.said import to_json

NAME_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters of a run's name, without pairs that are confused over the telephone."""


@asynccontextmanager
async def open_journal(where: Path | JournalAddress) -> "AsyncIterator[Journal]":
    """Open the journal at a path, or in PostgreSQL, and create it if it does not exist.

    A symbolic link is followed: files beside the journal are placed beside the target of the link.
    Raises `JournalUnreadable` if it cannot be opened or has several names, `JournalOtherFormat` if another version
    wrote it.
    """
    async with store_of(where).opened() as store:
        yield Journal(store)


@asynccontextmanager
async def earlier_runs(where: Path | JournalAddress) -> "AsyncIterator[Journal]":
    """The journal at a path, or in PostgreSQL, to be read only: an empty one where there is none, which is not made.

    Raises `JournalUnreadable` and `JournalOtherFormat`.
    """
    async with LookedAt(where).opened() as store:
        yield Journal(store)


UNNAMED: Final = NewRunner()
"""A runner of which nothing is noted but its process."""


Given = ParamSpec("Given")
Method: TypeAlias = Callable[Concatenate["Journal", Given], Coroutine[Any, Any, Result]]


def _writes(
    work: Callable[Concatenate[Queries, Run, Given], Result],
) -> Method[Concatenate[Run, Given], Result]:
    """The method that does this work in one transaction, durable when it returns, as the runner of the run."""

    @wraps(work)
    async def method(self: "Journal", run: Run, /, *given: Given.args, **named: Given.kwargs) -> Result:
        return await self._write(run, lambda db: work(db, run, *given, **named))

    return method


def _doubts(
    work: Callable[Concatenate[Queries, Run, Given], Sequence[FoundRow]],
) -> Method[Concatenate[Run, Given], list[Item]]:
    """As `_writes`, for work that finds the ids of items; the method returns the items as they are then."""

    @wraps(work)
    async def method(self: "Journal", run: Run, /, *given: Given.args, **named: Given.kwargs) -> list[Item]:
        found = await self._write(run, lambda db: work(db, run, *given, **named))
        ids = [row["item_id"] for row in found]
        return await self._items("items_by_id", run_id=run.run_id, ids=ids) if ids else []

    return method


def _reads(work: Callable[Concatenate[Queries, Given], Result]) -> Method[Given, Result]:
    """The method that does this work on the committed data."""

    @wraps(work)
    async def method(self: "Journal", /, *given: Given.args, **named: Given.kwargs) -> Result:
        return await self._read(lambda db: work(db, *given, **named))

    return method


class Journal:
    """The runs of a journal and their items. Created by `open_journal`."""

    def __init__(self, store: Store) -> None:
        self.address, self.path, self.name = store.address, store.address.path, str(store.address)
        self.kept_copy, self.size, self.clean = store.kept_copy, store.size, store.clean
        self._store, self._read, self._leases = store, store.read, dict[int, Lease]()
        self.history, self.mailbox, self.kept_secrets = History(store), Mailbox(store), KeptSecrets(store)

    # ---- runs ----

    async def create_run(self, new: NewRun) -> Run:
        """Create a run; its name is random, so that the marks of two journals do not collide."""
        name = "".join(secrets.choice(NAME_LETTERS) for _ in range(5))
        made: dict[str, Value] = {one: getattr(new, one) for one in NewRun.__slots__}
        await self._store.do("create_run", name=name, now=rows.now(), **made)
        return await self.run(name)

    async def run(self, name: str) -> Run:
        """The run of that name. Raises `NoSuchRun`, which lists the journal's runs."""
        found = await self._store.first("run_by_name", name=name)
        if found is None:
            raise NoSuchRun(self.name, name, [run.name for run in await self.runs()])
        return rows.to_run(found)

    async def runs(self) -> list[Run]:
        return [rows.to_run(row) for row in await self._store.all("runs")]

    async def at_work(self, run: Run) -> list[Run]:
        """The other runs of the run's billing that may send, and that a process works on."""
        found = [rows.to_run(row) for row in await self._store.all("at_work", run_id=run.run_id)]
        return [one for one in found if await self._store.is_locked(one.run_id)]

    async def money_beside(self, run: Run, other: Run) -> AsyncIterator[str]:
        """The payloads of the rows left of two runs that enter money on one account."""
        for after in range(0, await self.last_number(run), PAGE):
            beside = {"run_id": run.run_id, "other": other.run_id, "after": after, "size": PAGE}
            for row in await self._store.all("money_beside", **beside):
                yield row["payload"]
                yield row["other"]

    async def approve(self, run: Run) -> None:
        """Approve the run, which may send from now on. An undo ends the run that it takes back."""
        await self._do(run, "approve_run", "end_undone", now=rows.now())

    async def end(self, run: Run, who: str, why: str) -> None:
        """End the run for good: its pending rows are never sent. A run that has ended stays as it is."""
        await self._do(run, "end_run", who=who, why=why, now=rows.now())

    async def is_out_of_date(self, undo: Run, undone: Run) -> bool:
        """Whether the list of an undo is not that of what stands of its run any more."""
        found = await self._store.all("out_of_date", run_id=undo.run_id, undone=undone.run_id)
        return bool(found)

    async def discard(self, run: Run) -> None:
        await self._do(run, "discard_run", "delete_items", now=rows.now())

    async def pause(self, run: Run, who: str) -> None:
        """Pause the run, in every process that takes it up; a paused run stays unchanged."""
        await self._store.do("pause_run", run_id=run.run_id, who=who, now=rows.now())

    async def unpause(self, run: Run) -> None:
        await self._store.do("unpause_run", run_id=run.run_id)

    async def keep_policy(self, run: Run, policy: Mapping[str, str]) -> None:
        """Keep the settings of the run for every process that takes it up."""
        await self._do(run, "keep_policy", policy=policy)

    # ---- the runner of a run ----

    @asynccontextmanager
    async def taken_up(self, run: Run, runner: NewRunner = UNNAMED) -> AsyncIterator[Run]:
        """Be the run's only runner for as long as the context lasts; gives the run under this process's epoch.

        Raises `RunHeld` with the holder's name if another process is. The lock keeps a second runner out; the epoch
        refuses the writes of a runner that the lock did not stop.
        """
        async with self._locked(run):
            ours = await self.take_up(run, runner)
            try:
                async with keep_lease(self.lease_of(ours), ours, self._store):
                    yield ours
            finally:
                await self.history.end_runner(ours)

    @asynccontextmanager
    async def _locked(self, run: Run) -> AsyncIterator[None]:
        if not await self._store.lock(run.run_id):
            holder = (await self._latest_holder(run)).sentence
            raise RunHeld("another process works on this run: {holder}", holder=holder)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._store.unlock(run.run_id)

    async def take_up(self, run: Run, runner: NewRunner = UNNAMED) -> Run:
        """Raise the run's epoch, for a caller that holds its lock; the run as it is now. Raises as `take_up_run`."""
        began, seconds = boot_time(), self.address.lease
        taken, earlier = await self._store.write(lambda db: take_up_run(db, run, runner, seconds))
        self._leases[run.run_id] = Lease(seconds, began, earlier)
        return taken

    def lease_of(self, run: Run) -> Lease:
        return self._leases.get(run.run_id) or Lease()

    async def confirm(self, run: Run) -> None:
        await self._read(lambda db: check_epoch(db, run))

    async def again(self, run: Run) -> Run:
        """Read the run again, under the same epoch. Raises `RunTakenOver`."""

        def work(db: Queries) -> Run:
            found = rows.to_run(db.one("run_by_name", name=run.name))
            if found.epoch != run.epoch:
                check_epoch(db, run)
            return found

        return await self._read(work)

    async def holder(self, run: Run) -> Holder | None:
        return await self._latest_holder(run) if await self._store.is_locked(run.run_id) else None

    async def busy(self, run: Run) -> Holder | None:
        """The process that keeps this machine from sending the run now: its holder, or another machine's sender."""
        if (holder := await self.holder(run)) or not self.address.lease:
            return holder
        other = await self._store.first("other_machine", run_id=run.run_id, machine=machine())
        return None if other is None else rows.to_holder(other)

    async def _latest_holder(self, run: Run) -> Holder:
        return await self._read(lambda db: rows.to_holder(db.first("holder", run_id=run.run_id)))

    # ---- intake ----

    freeze = _writes(transitions.freeze_page)
    correct = _writes(transitions.freeze_corrections)
    refuse = _writes(transitions.refuse_items)
    merge = _writes(transitions.merge_rows)
    judged = _reads(transitions.judge_items)
    twins = _reads(transitions.twins_of)
    pending_before = _reads(transitions.pending_before)
    known_marks = _reads(transitions.known_marks)
    standing_in_lanes = _reads(transitions.standing_items)
    left_open = _reads(transitions.left_open)
    set_since = _reads(transitions.set_since)
    set_before = _reads(transitions.set_before)
    entered_anew = _reads(transitions.entered_anew)

    half_undone = _reads(transitions.half_undone)

    async def last_number(self, run: Run) -> int:
        return int((await self._one("last_number", run_id=run.run_id))["number"])

    async def end_intake(self, run: Run) -> None:
        """Mark the list as complete; all rows that contradict each other become refusals."""
        blocks = ("refuse_conflicts", "withdraw_conflicts", "end_intake")
        await self._do(run, *blocks, reason=to_json(CONTRADICTS), now=rows.now())
        await self._store.analyze(run.run_id)

    async def find_refusal(
        self, run: Run, *, refusal_id: int | None = None, line: int | None = None
    ) -> tuple[int, bool] | None:
        """Find a refused row by id, or by line; returns its id and whether it was corrected, None for no row."""
        found = await self._store.all("find_refusals", run_id=run.run_id, refusal_id=refusal_id, line=line)
        return (found[0]["refusal_id"], bool(found[0]["is_mended"])) if found else None

    # ---- rows that share a lane (account) ----

    async def shared_lanes(self, run: Run) -> Shared:
        (found,) = await self._store.records(Shared, "shared_lanes", run_id=run.run_id)
        return found

    async def shared_items(self, run: Run, *, after: str = "") -> list[Item]:
        """The pending items of up to 100 shared lanes after the lane `after`, by lane and number.

        And those that are skipped because what they ask for is there.
        """
        return await self._items("shared_items", run_id=run.run_id, after=after, size=100, as_wanted=AS_WANTED)

    async def carried(self, run: Run, number: int) -> list[int]:
        return [row["number"] for row in await self._store.all("carries", run_id=run.run_id, number=number)]

    async def first_in_lanes(self, run: Run, lanes: Collection[str]) -> dict[str, tuple[int, str]]:
        """The number and key of the first item with a possible effect in each of these lanes, by lane."""
        found = await self._store.all("first_in_lanes", run_id=run.run_id, lanes=lanes)
        return {row["lane"]: (row["number"], row["key"]) for row in found}

    # ---- sending and outcomes ----

    claim = _writes(transitions.claim_items)
    record = _doubts(transitions.record_changes)
    doubt_answers = _doubts(transitions.doubt_answers)
    decide = _writes(transitions.decide_item)

    async def keep(self, run: Run, payloads: Mapping[int, str]) -> None:
        """Replace the payloads of items that are not sent yet, by item_id, after their before-images changed."""
        await self._do(run, "keep", kept=payloads.items(), now=rows.now())

    async def doubt(self, run: Run) -> int:
        """Turn every `sending` item of an ended process into `unknown`; returns their number."""
        message, kind = rows.of_reason(ENDED)
        return await self._do(run, "doubt", why=message, kind=kind, now=rows.now())

    async def note_seen(self, run: Run, seen: Mapping[int, Sequence[str]]) -> None:
        """Keep what a look-up has shown of manual items to the person who decides, by item_id: ids in the billing.

        Once that person has decided that an item is to be sent, the same objects say nothing new of it.
        """
        kept = [(item_id, json.dumps(list(ids))) for item_id, ids in seen.items()]
        await self._do(run, "note_seen", seen=kept)

    # ---- reading ----

    async def items(self, run: Run, states: Collection[State], *, after: int = 0, size: int = 1000) -> list[Item]:
        """Up to `size` items in one of `states` whose number is greater than `after`, by number."""
        return await self._items("items", run_id=run.run_id, after=after, states=states, size=size)

    async def each_page(self, run: Run, states: Collection[State], *, size: int = 1000) -> AsyncIterator[list[Item]]:
        after = 0
        while page := await self.items(run, states, after=after, size=size):
            yield page
            after = page[-1].number

    async def find(self, run: Run, word: str) -> list[Item]:
        return await self._items("find_items", run_id=run.run_id, word=word)

    async def items_by_key(self, run: Run, keys: Collection[str]) -> list[Item]:
        return await self._items("items_by_key", run_id=run.run_id, keys=keys, duplicate=DUPLICATE)

    rows_of = _reads(transitions.rows_of_run)

    rows_with = _reads(transitions.rows_with_keys)

    async def differences(self, run: Run) -> Differences:
        (found,) = await self._store.records(Differences, "differences", run_id=run.run_id)
        return found

    async def contradiction(self, run: Run) -> Contradiction | None:
        """Two rows of a delta with one key: one asks for what is entered already, the other for another sum."""
        found = await self._store.records(Contradiction, "contradiction", run_id=run.run_id, duplicate=DUPLICATE)
        return found[0] if found else None

    async def replaced_in_lanes(self, run: Run) -> int:
        """The number of rows in place of which another row of their account counts, and not their sum."""
        return int((await self._one("replaced_in_lanes", run_id=run.run_id))["items"])

    async def followed_by(self, run: Run) -> list[str]:
        """The deltas whose differences to rows of this run stand, or may stand, the newest last."""
        return [str(row["name"]) for row in await self._store.all("followed_by", run_id=run.run_id)]

    async def differences_on(self, item_ids: Collection[int]) -> dict[int, str]:
        """The items of a run, of these, on top of which a delta's difference stands or may stand, with that delta."""
        return {int(row["item_id"]): str(row["run"]) for row in await self._store.all("differences_on", ids=item_ids)}

    async def last_unsettled(self, run: Run, before: int) -> list[Item]:
        return await self._items("last_unsettled", run_id=run.run_id, before=before)

    async def refusals(
        self, run: Run, *, after: int = 0, size: int = 1000, code: str = ""
    ) -> list[tuple[int, Refusal]]:
        """Up to `size` refused rows whose id is greater than `after`, with their ids; by a code of their reasons."""

        def work(db: Queries) -> list[tuple[int, Refusal]]:
            like = f'%"code":"{code}"%' if code else "%"
            found = db.all("refusals", run_id=run.run_id, after=after, size=size, like=like)
            refuse_purged(db, run.run_id)
            return [(row["refusal_id"], rows.record(Refusal, row)) for row in found]

        return await self._read(work)

    async def refusal_kinds(self, run: Run, *, size: int = 20) -> list[Reason]:
        """Why rows were refused, by the sentences that say it; the kind is the column."""
        return await self._store.records(Reason, "refusal_kinds", run_id=run.run_id, size=size)

    async def totals(self, run: Run) -> Totals:
        return await self._read(lambda db: totals_of(db, run))

    async def amounts_of_rows(self, run: Run, numbers: Collection[int]) -> dict[int, RowAmount]:
        found = await self._store.all("amounts_of_rows", run_id=run.run_id, numbers=numbers)
        return {int(row["number"]): rows.record(RowAmount, row) for row in found}

    async def absolute_sum(self, run: Run, states: Collection[State]) -> Decimal:
        """The sum of the absolute amounts of all items in one of `states`."""
        return Decimal((await self._one("absolute_sum", run_id=run.run_id, states=states))["amount"])

    async def reasons(self, run: Run, state: State, *, size: int = 20) -> list[Reason]:
        return await self._store.records(Reason, "reasons", run_id=run.run_id, state=state, size=size)

    async def step_counts(self, run: Run) -> list[StepCount]:
        """The items of a run whose rows have steps, by step, state and kind of reason."""
        return await self._store.records(StepCount, "step_counts", run_id=run.run_id)

    async def lane_counts(self, run: Run, prefix: str = "", kind: str = "") -> LaneCounts:
        """The lanes of a run whose names begin with a prefix; `kind` is that of skipped items to be counted."""
        (found,) = await self._store.records(LaneCounts, "lane_counts", run_id=run.run_id, prefix=prefix, kind=kind)
        return found

    async def cells_of_lanes(self, run: Run, lanes: Collection[str]) -> dict[str, tuple[str, ...]]:
        found = await self._store.all("cells_of_lanes", run_id=run.run_id, lanes=lanes)
        return {row["lane"]: rows.to_cells(row["row"]) for row in found}

    # ---- undo ----

    async def in_effect(self, run: Run, *, after: int = 0, size: int = 1000) -> list[Item]:
        """Up to `size` items after number `after` that are in effect, or may be, and were not taken back."""
        return await self._items("in_effect", run_id=run.run_id, after=after, size=size)

    async def in_effect_last_first(self, run: Run, *, before: int | None = None, size: int = 1000) -> list[Item]:
        """The accepted ones of them from the last to the first: up to `size` before number `before`, None for all."""
        return await self._items("in_effect_last_first", run_id=run.run_id, before=before, size=size)

    async def note_gone(self, undo: Run) -> None:
        """Count as taken back what an undo that is at its end has found not to be in effect any more."""
        await self._store.do("note_gone", run_id=undo.run_id, gone=sorted(NOT_IN_EFFECT))

    async def taken_back(self, run: Run) -> dict[str, int]:
        """The runs that have taken back effects of this one, not restored since, each with its number of items."""
        found = await self._store.all("taken_back", run_id=run.run_id, gone=sorted(NOT_IN_EFFECT))
        return {str(row["name"]): int(row["items"]) for row in found}

    async def lanes_gone(self, run: Run, lanes: Collection[str]) -> set[str]:
        """Of these lanes those whose subscriber the run has created, and another one has taken back."""
        return {str(row["lane"]) for row in await self._store.all("lanes_gone", run_id=run.run_id, lanes=lanes)}

    async def found_changed(self, run: Run, *, after: int = 0) -> list[Item]:
        """Up to 1,000 accepted items after number `after` whose calls have found something else than the list."""
        return await self._items("found_changed", run_id=run.run_id, after=after, size=1000)

    async def unproven(self, run: Run) -> int:
        """The number of its rows in effect that may be somebody else's, and were not taken back."""
        return int((await self._one("unproven", run_id=run.run_id))["items"])

    async def made_by_others(self, run: Run, found: Sequence[tuple[int, str]]) -> dict[int, str]:
        """Of items with the id of the object that was found for each, those whose object another run has made.

        That run is for the same billing, and in this journal.
        """
        rows = await self._store.all("made_by_others", found=list(found), target=run.target) if found else []
        return {int(row["item_id"]): str(row["run"]) for row in rows}

    async def restored_by(self, item_ids: Collection[int]) -> dict[int, tuple[str, int, str]]:
        """Of these items those whose object an undo of an undo has made anew: its run, its number and its payload."""
        found = await self._store.all("restored_by", ids=item_ids) if item_ids else ()
        return {int(row["asked"]): (str(row["run"]), int(row["number"]), str(row["payload"])) for row in found}

    async def lane_mates(self, run: Run, lanes: Collection[str]) -> list[Item]:
        """The items of these lanes that are in effect, or may be, in order."""
        return await self._items("lane_mates", run_id=run.run_id, lanes=lanes)

    async def mates_in_shared_lanes(self, run: Run, lanes: Collection[str]) -> tuple[list[Item], set[int]]:
        """Those of these items that are not alone in their lane, in order; and the ids of those taken back since."""
        items = await self._items("mates_in_shared_lanes", run_id=run.run_id, lanes=lanes)
        return items, await self.taken_back_of(items)

    async def taken_back_of(self, items: Sequence[Item]) -> set[int]:
        """The ids of those of these items that were taken back, and not restored since."""
        found = await self._store.all("taken_back_of", ids=[item.item_id for item in items])
        return {int(row["item_id"]) for row in found}

    async def standing_by_lane(self, run: Run, *, after: str = "", size: int = 100) -> list[Item]:
        """The accepted items not taken back, of up to `size` lanes after `after`, by lane and number."""
        return await self._items("standing_by_lane", run_id=run.run_id, after=after, size=size)

    # ---- purging ----

    async def purge(self, run: Run, purge: Purge) -> Purged:
        """Remove what a finished run holds of people. Raises `RunHeld`, `RunTakenOver` and `RunUnfinished`."""
        async with self._locked(run):
            return await self._write(run, lambda db: purge_run(db, run, purge))

    async def is_cleaned(self) -> bool:
        """Whether nothing that was purged is left in the file."""
        return all(row["is_cleaned"] for row in await self._store.all("purging"))

    # ---- reads and writes ----

    async def _do(self, run: Run, *names: str, **values: Value) -> int:
        """Run blocks in one transaction, as the runner of `run`; returns the number of rows that the last wrote."""
        return await self._write(run, lambda db: [db.write(name, run_id=run.run_id, **values) for name in names][-1])

    async def _write(self, run: Run, work: Callable[[Queries], Result]) -> Result:
        """Write as the runner of `run`; raises `RunTakenOver`, and writes nothing, if its epoch is out of date."""

        # In the transaction of the write, so no other process can write in between.
        def fenced(db: Queries) -> Result:
            check_epoch(db, run)
            return work(db)

        try:
            return await self._store.write(fenced)
        except ForbiddenTransition:
            # A step after that of another process may fail before the epoch has been judged.
            await self.confirm(run)
            raise

    async def _one(self, name: str, /, **values: Value) -> FoundRow:
        return await self._read(lambda db: db.one(name, **values))

    async def _items(self, name: str, /, *, run_id: int, **values: Value) -> list[Item]:
        return await self._read(lambda db: items_of(db, name, run_id, **values))


# ---- secrets of rows in PostgreSQL, encrypted; the journal has no key, and cannot read them -----------------------


UNCLAIMED: Final = 3600
"""Seconds after which the secrets of no known run are deleted."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """An encrypted secret: its token and its batch, the id of its key, and its bytes as a text."""

    token: str
    batch: str
    key_id: str
    sealed: str


@dataclass(frozen=True, slots=True)
class KeysInUse:
    """The keys of the kept secrets, with how many each has, and the key that came into use last, "" for none."""

    kept: Mapping[str, int]
    newest: str


class KeptSecrets:
    """The encrypted secrets of an open journal in PostgreSQL. Raises what the store's `read` and `write` raise."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, rows: Sequence[SealedSecret]) -> None:
        """Keep secrets; those of a token that is there already take its place."""
        await self._store.write(lambda db: keep_secrets(db, rows))

    async def find(self, tokens: Collection[str]) -> list[SealedSecret]:
        return await self._store.records(SealedSecret, "secrets_by_token", tokens=tokens)

    async def keys_of(self, batch: str) -> frozenset[str]:
        """The ids of the keys that open the secrets of a batch, none where nothing of it is kept."""
        return frozenset(row["key_id"] for row in await self._store.all("keys_of_secrets", batch=batch))

    async def keys_in_use(self) -> KeysInUse:
        def work(db: Queries) -> KeysInUse:
            newest = db.first("newest_secret_key")
            kept = {row["key_id"]: row["kept"] for row in db.each("keys_of_secrets", batch="")}
            return KeysInUse(kept, newest["answer"] if newest else "")

        return await self._store.read(work)

    async def forget(self, batch: str, needed: Collection[str]) -> None:
        """Delete the secrets of a batch, and old ones of batches that are not `needed`."""
        await self._store.do("forget_secrets", batch=batch, needed=needed, unclaimed=UNCLAIMED)


def keep_secrets(db: Queries, rows: Sequence[SealedSecret]) -> None:
    """Keep secrets in the open transaction, and note their keys."""
    db.write("keep_secrets", rows=[asdict(row) for row in rows])
    for key_id in sorted({row.key_id for row in rows}):
        db.write("note_secret_key", key_id=key_id)


def pages_of_secrets(db: Queries, batches: Collection[str]) -> Iterator[list[SealedSecret]]:
    """The secrets of these batches, page by page in the order of their tokens."""
    after = ""
    while found := db.all("page_of_secrets", batches=batches, after=after, size=PAGE):
        page = [record(SealedSecret, row) for row in found]
        yield page
        after = page[-1].token
