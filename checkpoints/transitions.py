"""Sending's writes to the journal: the transitions of items, a group in one transaction.

Each function runs inside the transaction that the journal has begun.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from checkpoints import rows
from checkpoints.errors import ForbiddenTransition
from checkpoints.queries import Queries, Value
from checkpoints.records import Change, Item, Run
from checkpoints.sentences import SHARED_ID, decided
from checkpoints.states import State

NO_PAYLOADS: Final[Mapping[int, str]] = MappingProxyType({})


def claim_items(db: Queries, run: Run, item_ids: Sequence[int], payloads: Mapping[int, str] = NO_PAYLOADS) -> None:
    """Make the intent to send these items durable: pending → sending, with one more attempt.

    `payloads` are new ones of those that were completed. Raises `ForbiddenTransition`, and claims none, if one of
    them is not pending or not of this run, or if the run has ended.
    """
    when = rows.now()
    if payloads:
        db.write("keep", run_id=run.run_id, kept=payloads.items(), now=when)
    db.check("claim", _all_of(item_ids), run_id=run.run_id, ids=item_ids, now=when)


def record_changes(db: Queries, run: Run, changes: Sequence[Change]) -> list[Item]:
    """Record the outcomes of items; returns the items that become unknown because two share a created id.

    Both items are returned: the one recorded now, and the one accepted before. Raises `ForbiddenTransition`, and
    records none, if a transition is not in the table of states or an item is not of this run.
    """
    recorded = _all_of([change.item_id for change in changes])
    db.check("record", recorded, run_id=run.run_id, changes=rows.of_changes(changes), now=rows.now())
    created = [change.item_id for change in changes if change.created]
    if not created:
        return []
    return _doubt(db, "doubt_shared_ids", created, run_id=run.run_id, **rows.of_template(SHARED_ID))


def doubt_answers(db: Queries, run: Run, item_ids: Collection[int], why: str) -> list[Item]:
    """Turn those of the items that are accepted into unknown ones; returns them."""
    message, kind = rows.of_reason(why)
    return _doubt(db, "doubt_answers", item_ids, run_id=run.run_id, why=message, kind=kind)


def decide_item(  # noqa: PLR0913 - what a decision is
    db: Queries, run: Run, item: Item, state: State, *, who: str, why: str, answer: str | None = None
) -> None:
    """Record a person's decision on a manual item, and change its state; `answer` is the id that it has created.

    Raises `ForbiddenTransition` if the item is not manual, or the state may not follow.
    """
    when = rows.now()
    decision: dict[str, Value] = {"item_id": item.item_id, "who": who, "state": state, "why": why}
    if not db.write("decide", run_id=run.run_id, now=when, **decision):
        raise ForbiddenTransition(
            "item {number} ({label}) is not manual: nobody has to decide", number=item.number, label=item.label
        )
    change = rows.of_changes([Change(item.item_id, state, answer=answer, message=decided(who, why))])
    db.write("record", run_id=run.run_id, now=when, changes=change)


def _all_of(item_ids: Collection[int]) -> Callable[[int], None]:
    """A judge that raises `ForbiddenTransition` if not all items were written, because one belongs to another run."""
    wanted = len(set(item_ids))

    def judge(written: int) -> None:
        if written != wanted:
            raise ForbiddenTransition(
                f"{wanted} items were to be written and {written} are of this run, and of none that has ended"
            )

    return judge


def _doubt(db: Queries, name: str, item_ids: Collection[int], **more: Value) -> list[Item]:
    """Run a block that makes items unknown; returns these items."""
    doubted = [row["item_id"] for row in db.all(name, ids=item_ids, now=rows.now(), **more)]
    return rows.to_items(db.items("items_by_id", ids=doubted)) if doubted else []
