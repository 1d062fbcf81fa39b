"""The copy of a whole journal into an empty one, from a file or PostgreSQL into either.

All tables are copied with their ids, page by page, in one transaction of the target, out of one snapshot of the
source. Before it is committed, the totals and the Merkle root of each run are compared.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import anyio.from_thread
import anyio.to_thread

from checkpoints import rows
from checkpoints.address import JournalAddress
from checkpoints.errors import JournalNotCopied, NoJournal
from checkpoints.intake_pages import totals_of
from checkpoints.merkle import MerkleTree, leaf_data, leaf_hash
from checkpoints.queries import PAGE, FoundRow, Queries, fill_states, let_enter_in_any_state, values_of
from checkpoints.records import Run, Totals
from checkpoints.states import State
from checkpoints.stores import AnyStore, store_of


class _Table(NamedTuple):
    """A table, and the columns by which it is read page by page, none for a table of one row."""

    name: str
    keys: tuple[str, ...]


TABLES: Final = (
    _Table("runs", ("run_id",)),
    _Table("purging", ()),
    _Table("items", ("item_id",)),
    _Table("refusals", ("refusal_id",)),
    _Table("decisions", ("decision_id",)),
    _Table("commands", ("command_id",)),
    _Table("runners", ("run_id", "epoch")),
    _Table("verifications", ("verification_id",)),
    _Table("reports", ("report_id",)),
)
"""The tables that are copied, in the order of their references.

The others are made anew: those of states from `states.py`, the owners of billings, of which a copy has none, and the
mailbox, which is of processes that work now.
"""


@dataclass(frozen=True, slots=True)
class CopiedRun:
    """A run, which is the same in both journals: its totals, and the Merkle root over its items in hexadecimal."""

    run: Run
    totals: Totals
    root: str


@dataclass(frozen=True, slots=True)
class CopiedJournal:
    """What was copied: the rows of each table, and the runs, the oldest first."""

    rows: Mapping[str, int]
    runs: tuple[CopiedRun, ...]


Beside: TypeAlias = Callable[[Queries, Queries], None]
"""Copies what a journal's users keep with it, from the snapshot of the source, before the target is committed."""


async def copy_journal(
    source: Path | JournalAddress, target: Path | JournalAddress, beside: Beside = lambda _old, _new: None
) -> CopiedJournal:
    """Copy a journal into one that is new or empty; the source is only read, and no run of it is taken up meanwhile.

    What `beside` copies is committed with it. Raises `NoJournal`, `JournalNotCopied` for a target with runs and for a
    copy that is not equal, `RunHeld`, and what opening either raises. The target has the whole journal or none, also
    after a kill.
    """
    return await anyio.to_thread.run_sync(_copy, store_of(source), store_of(target), beside)


def _copy(source: AnyStore, target: AnyStore, beside: Beside) -> CopiedJournal:
    with source.look_while_idle() as old:
        if old is None:
            raise NoJournal("there is no journal {journal}", journal=str(source.address))
        # Both may wait for each other longer than a run ever does.
        old.write("take_time")
        with old.snapshot(), target.filled() as new:
            if new.first("runs") is not None:
                raise JournalNotCopied(
                    "{journal} is a journal with runs already: nothing was copied. Name one that is new or empty",
                    journal=str(target.address),
                )
            new.write("take_time")
            copied = CopiedJournal(_copy_tables(old, new), tuple(_compared(old, new)))
            beside(old, new)
            return copied


def _copy_tables(old: Queries, new: Queries) -> dict[str, int]:
    new.write("defer_references")
    let_enter_in_any_state(new)
    counts = {table.name: _copy_table(table, old, new) for table in TABLES}
    fill_states(new)
    new.write("fill_billings")
    new.write("move_counters")
    return counts


def _copy_table(table: _Table, old: Queries, new: Queries) -> int:
    copied = 0
    columns = _of_copied_runner if table.name == "runners" else values_of
    for page in _pages(table, old):
        anyio.from_thread.check_cancelled()
        new.write(f"copy({table.name})", rows=[columns(row) for row in page])
        copied += len(page)
    return copied


def _of_copied_runner(row: FoundRow) -> dict[str, object]:
    # Of a journal in a file it has no lease; of any journal it has begun in another one, which may have sent since.
    no_lease = {"machine": "", "renewed_at": rows.now(), "lease_ms": 0, "call_ms": 0}
    return no_lease | values_of(row) | {"server": ""}


def _pages(table: _Table, db: Queries) -> Iterator[list[FoundRow]]:
    after: dict[str, int] = dict.fromkeys(table.keys, 0)
    while page := db.all(f"page_of_{table.name}", size=PAGE, **{f"after_{key}": after[key] for key in after}):
        yield page
        if not after:
            return
        after = {key: page[-1][key] for key in after}


def _compared(old: Queries, new: Queries) -> Iterator[CopiedRun]:
    """The runs of both. Raises `JournalNotCopied` for one that is not equal."""
    for row in old.all("runs"):
        run = rows.to_run(row)
        there, here = (CopiedRun(run, totals_of(db, run), root_of_run(db, run)) for db in (old, new))
        if there != here:
            raise JournalNotCopied(
                "run {run} would not be the same in the copy, so nothing was copied: its root is {there}, and "
                "that of the copy {here}",
                run=run.name,
                there=there.root,
                here=here.root,
            )
        yield here


def root_of_run(db: Queries, run: Run) -> str:
    """The Merkle root over all items of a run in hexadecimal, that of a report; memory does not grow with them."""
    tree = MerkleTree()
    after = 0
    while items := rows.to_items(db.items("items", run_id=run.run_id, after=after, states=list(State), size=PAGE)):
        anyio.from_thread.check_cancelled()
        for item in items:
            tree.add(leaf_hash(leaf_data(item)))
        after = items[-1].number
    return tree.root.hex()
