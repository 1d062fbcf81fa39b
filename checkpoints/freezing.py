"""Freezing: what a page of rows becomes in the journal, within one transaction.

Each function works on the writer's connection, inside the transaction that the journal has begun.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from checkpoints import sqlite_rows as rows
from checkpoints.records import Correction, EarlierEntry, Merged, NewItem, Page, Refusal, Run
from checkpoints.statements import statement
from checkpoints.states import State

Judge = Callable[[NewItem, Sequence[EarlierEntry]], NewItem | Refusal]
"""Says what becomes of a row, given what the journal already has of the same key: kept, skipped, or refused."""


def freeze_page(db: sqlite3.Connection, run: Run, page: Page, judge: Judge) -> list[NewItem | Refusal]:
    """Freeze a page, together with where the source goes on; returns what each item became."""
    judged = judge_items(db, run, page.items, judge)
    refusals = [*page.refusals, *(entry for entry in judged if isinstance(entry, Refusal))]
    _freeze_items(db, run, judged)
    db.execute(statement("freeze_refusals"), {"run_id": run.run_id, "rows": rows.of_refusals(refusals)})
    _leave_out(db, run, page.left_out)
    db.execute(statement("move_cursor"), {"run_id": run.run_id, "cursor": page.cursor})
    return judged


def freeze_corrections(
    db: sqlite3.Connection, run: Run, page: Sequence[Correction], judge: Judge
) -> list[NewItem | Refusal]:
    """Freeze corrected rows in the place of the faulty ones; a row that is refused again replaces nothing."""
    judged = judge_items(db, run, [one.item for one in page], judge)
    taken = [one for one, verdict in zip(page, judged, strict=True) if isinstance(verdict, NewItem)]
    numbers = [one.number for one in taken if one.number is not None]
    ids = [one.refusal_id for one in taken if one.refusal_id is not None]
    when = {"run_id": run.run_id, "now": now()}
    db.execute(statement("replace_items"), {**when, "numbers": msgspec.json.encode(numbers).decode()})
    db.execute(statement("mend_refusals"), {**when, "ids": msgspec.json.encode(ids).decode()})
    _freeze_items(db, run, judged)
    return judged


def judge_items(db: sqlite3.Connection, run: Run, items: Sequence[NewItem], judge: Judge) -> list[NewItem | Refusal]:
    """Let `judge` see each item beside all that the journal has of its key, earlier rows of the page included."""
    keys = msgspec.json.encode(sorted({item.key for item in items})).decode()
    twins: defaultdict[str, list[EarlierEntry]] = defaultdict(list)
    for row in db.execute(statement("twins"), {"run_id": run.run_id, "keys": keys}):
        twin = rows.to_twin(row)
        twins[twin.key].append(twin)
    judged: list[NewItem | Refusal] = []
    for item in items:
        verdict = judge(item, twins[item.key])
        judged.append(verdict)
        if isinstance(verdict, NewItem) and verdict.skip_reason is None:
            twins[item.key].append(
                EarlierEntry(
                    run.name, item.key, item.amount, item.wanted, State.PENDING, item.line, now(), run.target
                )
            )
    return judged


def merge_rows(db: sqlite3.Connection, run: Run, merged: Sequence[Merged]) -> None:
    """Let one row of an account stand for the others."""
    for one in merged:
        items = msgspec.json.encode(one.carried).decode()
        rest = {"run_id": run.run_id, "carrier": one.carrier, "now": now()}
        summed = one.payload is not None
        if summed:
            amount = None if one.amount is None else format(one.amount, "f")
            db.execute(statement("merge_carrier"), {**rest, "payload": one.payload, "amount": amount})
        db.execute(statement("merge_rows"), {**rest, "items": items, "message": one.reason, "summed": summed})


def refuse_items(db: sqlite3.Connection, run: Run, item_ids: Collection[int], reason: str) -> None:
    """Make pending items refused rows."""
    wanted = {"run_id": run.run_id, "items": msgspec.json.encode(sorted(item_ids)).decode()}
    db.execute(statement("refuse_items"), {**wanted, "reason": reason})
    db.execute(statement("withdraw_items"), wanted)


def left_out(db: sqlite3.Connection, run: Run) -> dict[str, int]:
    """How many rows of the input never became items, by what left them out."""
    found = db.execute(statement("left_out"), {"run_id": run.run_id}).fetchone()
    return rows.to_counts(found[0]) if found else {}


def now() -> str:
    """The moment as the journal keeps it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _freeze_items(db: sqlite3.Connection, run: Run, judged: Sequence[NewItem | Refusal]) -> None:
    items = [entry for entry in judged if isinstance(entry, NewItem)]
    (last,) = db.execute(statement("last_number"), {"run_id": run.run_id}).fetchone()
    frozen = rows.of_new_items(items, last + 1)
    db.execute(statement("freeze_items"), {"run_id": run.run_id, "now": now(), "rows": frozen})


def _leave_out(db: sqlite3.Connection, run: Run, more: Mapping[str, int]) -> None:
    if any(more.values()):
        counts = Counter(left_out(db, run)) + Counter(more)
        db.execute(statement("leave_out"), {"run_id": run.run_id, "left_out": rows.of_counts(counts)})
