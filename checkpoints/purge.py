"""The purge of a finished run: what tells of people is removed from its rows, what proves its totals may stay.

    kept always         the run with its job, billing, times, digest of its input, and totals; of each row in effect
                        its number, its state, its times, the kind of its call, and digests of its key, lane and
                        values
    kept with totals    all rows, each with its number, line, amounts, state, times, and the id of its operation
    removed             names, cells, calls with their before-images, answers, messages, reasons of refusals and of
                        decisions, the extra subscribers of a tally

Digests keep the same row from being entered again (`checkpoints/rows.py`). Rows that entered nothing need none.
Removed texts stay in free pages of the file until it is rewritten (`SqliteStore.clean`).
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from checkpoints import rows
from checkpoints.errors import RunUnfinished
from checkpoints.queries import MAILBOX, Queries
from checkpoints.records import Purged, Run, Totals
from checkpoints.rows import Digests

_PAGE: Final = 1000


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
        raise RunUnfinished("run {run} is not at its end: it is not purged", run=run.name)
    db.write("begin_purging", secret=secrets.token_hex(rows.SECRET_BYTES))
    db.write("mark_cleaned", is_cleaned=0)
    db.write("forget_extra_subscribers", run_id=run.run_id)
    for table in MAILBOX:
        db.write(f"remove({table})", run_id=run.run_id)
    before = db.one("contents", run_id=run.run_id)
    if purge.keep_totals:
        refusals, removed = db.write("purge_refusals", run_id=run.run_id), 0
        db.write("purge_decisions", run_id=run.run_id)
    else:
        db.write("remove_decisions", run_id=run.run_id)
        db.write("remove(commands)", run_id=run.run_id)
        refusals = db.write("remove(refusals)", run_id=run.run_id)
        removed = db.write("remove_items", run_id=run.run_id)
    digests = Digests(db.one("purging")["secret"]) if is_first else None
    emptied, last = 0, 0
    while page := db.all("to_purge", run_id=run.run_id, after=last, size=_PAGE):
        kept = []
        for row in page:
            key, lane, wanted = row["key"], row["lane"], row["wanted"]
            # A row that was purged before has its digests already.
            if digests is not None:
                key, lane = digests.of_key(run.job, key), digests.of_key(run.job, lane)
                wanted = digests.of_values(row["amount"], wanted)
            kept.append((row["item_id"], key, lane, purge.empty(row["payload"]), wanted))
        emptied += db.write("purge_items", run_id=run.run_id, rows=kept, keep_totals=purge.keep_totals)
        last = page[-1]["item_id"]
    calls = before["items"] if is_first else 0
    return Purged(emptied, removed, refusals, calls, before["answers"], before["messages"])
