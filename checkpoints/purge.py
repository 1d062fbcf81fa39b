"""The purge of a finished run: what tells of people is removed from its rows, what proves its totals may stay.

    kept always         the run with its job, billing, times, digest of its input, and totals; of each row in effect
                        its number, its state, its times, the kind of its call, and digests of its key, lane and
                        values
    kept with totals    all rows, each with its number, line, amounts, state, times, and the id of its operation
    removed             names, cells, calls with their before-images, answers, messages, reasons of refusals and of
                        decisions, the extra subscribers of a tally

Digests keep the same row from being entered again (`checkpoints/digests.py`). Rows that entered nothing need none.
Removed texts stay in free pages of the file until it is rewritten (`SqliteStore.clean`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from checkpoints import sqlite_rows as rows
from checkpoints.digests import Digests, new_secret
from checkpoints.errors import RunUnfinished
from checkpoints.queries import Queries
from checkpoints.records import Purged, Run, Totals
from texts.said import said


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge of one run: the parameters that it keeps, and whether its rows keep what proves its totals.

    `empty` takes from a payload all but the kind of its call, by which rows of one lane are told apart.
    """

    parameters: Mapping[str, str]
    empty: Callable[[str], str]
    keep_totals: bool


def purge_run(db: Queries, run: Run, purge: Purge, totals: Totals, now: str) -> Purged:
    """Remove the content of a run's rows, in the open transaction. Raises `RunUnfinished`, and removes nothing.

    A run that was purged with its totals can be purged once more without them.
    """
    is_first = db.first("purged", run_id=run.run_id) is None
    kept_totals = None if purge.keep_totals else rows.of_totals(totals)
    if not db.write("begin_purge", run_id=run.run_id, parameters=purge.parameters, totals=kept_totals, now=now):
        raise RunUnfinished(said("run {run} is not at its end: it is not purged", run=run.name))
    db.write("begin_purging", secret=new_secret())
    db.write("mark_cleaned", is_cleaned=0)
    db.write("forget_extra_subscribers", run_id=run.run_id)
    before = db.one("contents", run_id=run.run_id)
    if purge.keep_totals:
        refusals, removed = db.write("purge_refusals", run_id=run.run_id), 0
        db.write("purge_decisions", run_id=run.run_id)
    else:
        db.write("remove_decisions", run_id=run.run_id)
        db.write("remove_commands", run_id=run.run_id)
        refusals = db.write("remove_refusals", run_id=run.run_id)
        removed = db.write("remove_items", run_id=run.run_id)
    digests = Digests(db.one("purging")["secret"])
    db.define("purged_key", 2, digests.of_key)
    db.define("purged_values", 2, digests.of_values)
    db.define("purged_payload", 1, purge.empty)
    emptied = db.write(
        "purge_items", run_id=run.run_id, job=run.job, is_first=is_first, keep_totals=purge.keep_totals
    )
    calls = before["items"] if is_first else 0
    return Purged(emptied, removed, refusals, calls, before["answers"], before["messages"])
