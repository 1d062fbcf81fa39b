"""The copy of a whole journal into an empty one, from a file or PostgreSQL into either.

All tables are copied with their ids, page by page, in one transaction of the target, out of one snapshot of the
source. Before it is committed, the totals and the Merkle root of each run are compared.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import anyio.from_thread
import anyio.to_thread

from checkpoints import rows
from checkpoints.errors import JournalNotCopied
from checkpoints.journal_file import JournalAddress
from checkpoints.merkle import MerkleTree, leaf_data, leaf_hash
from checkpoints.queries import PAGE, Queries, Value, fill_states, let_enter_in_any_state
from checkpoints.records import Run, Totals
from checkpoints.states import State
from checkpoints.stores import AnyStore, store_of
from checkpoints.transitions import totals_of

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "runs": ("run_id",),
    "purging": ("is_cleaned",),
    "items": ("item_id",),
    "refusals": ("refusal_id",),
    "decisions": ("decision_id",),
    "commands": ("command_id",),
    "runners": ("run_id", "epoch"),
    "verifications": ("verification_id",),
    "reports": ("report_id",),
}
"""The tables that are copied, in the order of their references, and the columns by which each is read page by page.

The others are made anew: those of states from `states.py`, the owners of billings, of which a copy has none, and the
mailbox, which is of processes that work now.
"""


@dataclass(frozen=True, slots=True)
class CopiedRun:
    """A run, the same in both journals: its totals, and the Merkle root over its items, that of a report, as hex."""

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

    What `beside` copies is committed with it. Raises `JournalNotCopied` for no journal, a target with runs and a copy
    that is not equal, `RunHeld`, and what opening either raises. The target has the whole journal or none, also
    after a kill.
    """
    return await anyio.to_thread.run_sync(_copy, store_of(source), store_of(target), beside)


def _copy(source: AnyStore, target: AnyStore, beside: Beside) -> CopiedJournal:
    with source.look_while_idle() as old:
        if old is None:
            raise JournalNotCopied("there is no journal {journal}", journal=str(source.address))
        old.write("begin_copy")
        with old.snapshot(), target.filled() as new:
            if new.first("runs") is not None:
                raise JournalNotCopied(
                    "{journal} is a journal with runs already: nothing was copied. Name one that is new or empty",
                    journal=str(target.address),
                )
            new.write("begin_copy")
            let_enter_in_any_state(new)
            counts = {table: _copy_table(table, keys, old, new) for table, keys in TABLES.items()}
            fill_states(new)
            new.write("end_copy")
            copied = CopiedJournal(counts, tuple(_compared(old, new)))
            beside(old, new)
            return copied


def _copy_table(table: str, keys: tuple[str, ...], old: Queries, new: Queries) -> int:
    # In a file a runner has no lease; any runner has begun in another journal, which may have sent since.
    no_lease = {"machine": "", "renewed_at": rows.now(), "lease_ms": 0, "call_ms": 0}
    copied, after = 0, dict.fromkeys(keys, -1)
    block = f"page({', '.join((table, *keys))})"
    while page := old.all(block, size=PAGE, **{f"after_{key}": value for key, value in after.items()}):
        anyio.from_thread.check_cancelled()
        found = [dict(row) for row in page]
        if table == "runners":
            found = [no_lease | row | {"server": ""} for row in found]
        new.write(f"copy({table})", rows=found)
        copied += len(page)
        after = {key: page[-1][key] for key in keys}
    return copied


def _compared(old: Queries, new: Queries) -> Iterator[CopiedRun]:
    """The runs of both. Raises `JournalNotCopied` for one that is not equal."""
    for row in old.all("runs"):
        run = rows.to_run(row)
        sides = []
        for db in (old, new):
            tree, after = MerkleTree(), 0
            of_page: dict[str, Value] = {"run_id": run.run_id, "states": list(State), "size": PAGE}
            while items := rows.to_items(db.one("as_items(items)", after=after, **of_page)["items"]):
                anyio.from_thread.check_cancelled()
                for item in items:
                    tree.add(leaf_hash(leaf_data(item)))
                after = items[-1].number
            sides.append(CopiedRun(run, totals_of(db, run), tree.root.hex()))
        there, here = sides
        if there != here:
            raise JournalNotCopied(
                "run {run} would not be the same in the copy, so nothing was copied: its root is {there}, and "
                "that of the copy {here}",
                run=run.name,
                there=there.root,
                here=here.root,
            )
        yield here
