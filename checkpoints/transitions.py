"""The journal's writes to a run, and what they are judged by: conditions, pages of the intake, transitions of items.

Each function runs inside the transaction that the journal has begun, so that nothing comes in between.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final, NoReturn

from msgspec.structs import replace

from checkpoints import rows
from checkpoints.errors import ForbiddenTransition, RunHeld, RunPurged, RunTakenOver, RunUnfinished
from checkpoints.queries import MAILBOX, FoundRow, Queries, Value
from checkpoints.records import (
    Change,
    Correction,
    EarlierEntry,
    Item,
    KnownMark,
    Merged,
    NewItem,
    Page,
    PendingBefore,
    Purged,
    Refusal,
    Run,
    RunRow,
    StandingItem,
    Totals,
)
from checkpoints.rows import PURGED_VALUE, Digests, stored_keys
from checkpoints.sentences import (
    AS_WANTED,
    DIFFERENT,
    DUPLICATE,
    LEFT_OUT,
    NOT_SENT,
    NOTHING_STANDS,
    REPLACED,
    SHARED_ID,
    decided,
)
from checkpoints.states import State, states_where
from texts.said import in_clauses, to_json

NO_PAYLOADS: Final[Mapping[int, str]] = MappingProxyType({})

_NEVER: Final = "9999"
"""A moment after which nothing was sent."""

Judge = Callable[[NewItem, Sequence[EarlierEntry]], NewItem | Refusal]
"""Judges a row against the journal's items with the same key: it is kept, skipped or refused."""


# ---- conditions of a read or a write ----


def check_epoch(db: Queries, run: Run) -> None:
    """Raise `RunTakenOver` if another process has taken the run up since `run` was taken up or read."""

    def refuse(_: int) -> None:
        holder = rows.to_holder(db.first("new_owner", run_id=run.run_id))
        raise RunTakenOver(
            "run {run} was taken over by {holder}. This process sends and records nothing more; what it had in "
            "flight is looked up there",
            run=run.name,
            holder=holder.sentence,
        )

    db.check("taken_over", 0, refuse, run_id=run.run_id, epoch=run.epoch)


def refuse_held(db: Queries, run_id: int) -> None:
    """Raise `RunHeld` for a run of a whole journal that is in use, with its name and its holder's."""
    holder = rows.to_holder(db.first("holder", run_id=run_id))
    names = {row["run_id"]: row["name"] for row in db.each("runs")}
    raise RunHeld("another process works on run {run}: {holder}", run=names.get(run_id, "?"), holder=holder.sentence)


def refuse_conversion(journal: str | Path) -> NoReturn:
    """Raise `RunHeld` for a journal of an earlier format, of which a run is worked on."""
    raise RunHeld(
        "a run of {path} is worked on by an earlier carbon-migrate, under whose hands the journal would be "
        "converted: wait until it has ended, or stop it there",
        path=journal,
    )


def refuse_purged(db: Queries, run_id: int) -> None:
    """Raise `RunPurged` for a run whose rows have no content any more."""
    found = db.first("purged", run_id=run_id)
    if found is not None:
        raise RunPurged(found["name"], datetime.fromisoformat(found["purged_at"]))


def items_of(db: Queries, name: str, run_id: int, **values: Value) -> list[Item]:
    """The items of a run that a block finds. Raises `RunPurged`."""
    found = db.one(f"as_items({name})", run_id=run_id, **values)
    if found["is_purged"]:
        refuse_purged(db, run_id)
    return rows.to_items(found["items"])


# ---- intake ----


def freeze_page(db: Queries, run: Run, page: Page, judge: Judge) -> list[NewItem | Refusal]:
    """Freeze a page and its cursor in one commit; returns each item as judged."""
    # Two runs that freeze the same row at one time must see each other's.
    db.exclude_others()
    judged = whole_rows(page.items, judge_items(db, run, page.items, judge))
    refusals = [*page.refusals, *(entry for entry in judged if isinstance(entry, Refusal))]
    _freeze_items(db, run, judged, page.above)
    db.write("freeze_refusals", run_id=run.run_id, rows=rows.of_refusals(refusals))
    if any(page.left_out.values()):
        before = rows.to_counts(db.one("run_by_name", name=run.name)["left_out"])
        db.write("leave_out", run_id=run.run_id, left_out=Counter(before) + Counter(page.left_out))
    db.write("move_cursor", run_id=run.run_id, cursor=page.cursor)
    return judged


def freeze_corrections(db: Queries, run: Run, page: Sequence[Correction], judge: Judge) -> list[NewItem | Refusal]:
    """Freeze corrected rows into the run of the faulty ones, in one commit; returns each row as judged.

    A corrected rejected item becomes replaced, a corrected refused row is marked as mended, so that the run's counts
    and sums have each row once. A row that is refused again replaces nothing.
    """
    db.exclude_others()
    judged = judge_items(db, run, [one.item for one in page], judge)
    taken = [one for one, verdict in zip(page, judged, strict=True) if isinstance(verdict, NewItem)]
    numbers = [one.number for one in taken if one.number is not None]
    ids = [one.refusal_id for one in taken if one.refusal_id is not None]
    db.write("replace_items", run_id=run.run_id, numbers=numbers, now=rows.now(), **rows.of_template(REPLACED))
    db.write("mend_refusals", run_id=run.run_id, ids=ids, now=rows.now())
    _freeze_items(db, run, judged)
    return judged


def judge_items(db: Queries, run: Run, items: Sequence[NewItem], judge: Judge) -> list[NewItem | Refusal]:
    """Judge each item against the journal's items with its key, earlier rows of the page included."""
    new: defaultdict[str, list[EarlierEntry]] = defaultdict(list)
    judged: list[NewItem | Refusal] = []
    now, often = rows.now(), Counter([item.key for item in items])
    for item, twins in zip(items, twins_of(db, run.job, items), strict=True):
        verdict = judge(item, [*twins, *new.get(item.key, ())])
        judged.append(verdict)
        if often[item.key] > 1 and isinstance(verdict, NewItem) and verdict.skip_reason is None:
            new[item.key].append(
                EarlierEntry(
                    *(run.name, item.key, item.amount, item.wanted, State.PENDING, item.line, now, now, run.target)
                )
            )
    return judged


def whole_rows(items: Sequence[NewItem], judged: Sequence[NewItem | Refusal]) -> list[NewItem | Refusal]:
    """The items as judged; a row that makes several is refused as a whole, once, where one of them is.

    What it asks for beside its own lane, as a folder for many rows, is kept.
    """
    reasons: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for item, one in zip(items, judged, strict=True):
        if item.line is not None and isinstance(one, Refusal):
            reasons[item.line, item.lane].append(one.reason)
    if not reasons:
        return [*judged]
    kept: list[NewItem | Refusal] = []
    rows_of = {key: tuple(dict.fromkeys(each)) for key, each in reasons.items()}
    cells = {(item.line, item.lane): item.row for item in items if item.row}
    for item, one in zip(items, judged, strict=True):
        row = (item.line or 0, item.lane)
        if row not in reasons:
            kept.append(one)
        elif isinstance(one, Refusal) and (told := rows_of.pop(row, None)):
            why = in_clauses(told) if len(told) > 1 else told[0]
            kept.append(replace(one, reason=why, row=one.row or cells.get(row, ())))
    return kept


def twins_of(db: Queries, job: str, items: Sequence[NewItem]) -> list[list[EarlierEntry]]:
    digests = digests_of(db)
    twins: defaultdict[str, list[EarlierEntry]] = defaultdict(list)
    for row in db.each("earlier", job=job, keys=stored_keys(digests, job, {item.key for item in items})):
        twin = rows.record(EarlierEntry, row)
        twins[twin.key].append(twin)
    return [
        [_as_asked(twin, item, digests) for twin in twins[item.key]] if item.key in twins else [] for item in items
    ]


def standing_items(
    db: Queries, job: str, target: str, items: Sequence[NewItem | Item], own: str
) -> list[StandingItem]:
    """The items in the lanes of these whose effect stands, of the job's runs for a target other than the run `own`.

    An item of a purged run has its lane and, if it is that of one of `items`, its key in plain.
    """

    def asked(digests: Digests | None) -> list[FoundRow]:
        lanes = stored_keys(digests, job, {item.lane for item in items})
        return db.all("standing_in_lanes", job=job, target=target, lanes=lanes, own=own)

    standing, digests = asked(None), None
    if secret := standing[0]["secret"]:
        digests = Digests(secret)
        standing = asked(digests)
    plain = {stored: key for key, stored in stored_keys(digests, job, {item.key for item in items})}
    return [
        rows.record(StandingItem, row, key=plain.get(row["key"], row["key"]))
        for row in standing
        if row["run"] is not None
    ]


def _setters(
    db: Queries, keys: Collection[str], lanes: Collection[str], states: Collection[State], **other: Value
) -> list[StandingItem]:
    asked = {"keys": [[key] for key in keys], "lanes": [[lane] for lane in lanes]}
    return [rows.record(StandingItem, row) for row in db.each("setters", **asked, states=states, **other)]


def left_open(
    db: Queries, target: str, keys: Collection[str], lanes: Collection[str], own: str
) -> list[StandingItem]:
    """The items with these keys or lanes, of other runs than `own` for a target, whose calls may leave or arrive."""
    return _setters(db, keys, lanes, states_where(open=True), after=0, target=target, own=own, kind="")


def set_since(db: Queries, run: Run, keys: Collection[str], lanes: Collection[str]) -> list[StandingItem]:
    """The items with these keys or lanes that later runs have sent, or left as they were wanted, and that stand."""
    states, after = states_where(counts_money=True), run.run_id
    return _setters(db, keys, lanes, states, after=after, target=run.target, own=run.name, kind=AS_WANTED)


def set_before(db: Queries, target: str, lanes: Collection[str], own: str) -> list[StandingItem]:
    """The items with these lanes, of other runs than `own` for a target, that are in effect."""
    return _setters(db, (), lanes, states_where(in_effect=True), after=0, target=target, own=own, kind="")


def known_marks(db: Queries, marks: Collection[tuple[str, int, str, str]]) -> list[KnownMark]:
    digests = digests_of(db)

    def is_one(asked: str, kept: str, job: str) -> bool:
        return (asked, kept) in stored_keys(digests, job, [asked])

    return [
        rows.record(
            KnownMark,
            row,
            in_lane=is_one(row["lane"], row["item_lane"], row["job"]),
            in_row=is_one(row["row_key"], row["first_key"], row["first_job"]),
        )
        for row in db.each("known_marks", marks=marks)
    ]


def entered_anew(db: Queries, item_ids: Sequence[int]) -> dict[int, str]:
    """The undoing items whose own undo would restore an entry that a run has entered again, with that run.

    Of items that undo nothing those whose own entry a later run has entered again.

    Raises `RunPurged` if what would be restored is not known any more.
    """
    restored, digests = db.all("restored", ids=item_ids), digests_of(db)
    for row in restored:
        if row["purged_at"]:
            raise RunPurged(row["run"], datetime.fromisoformat(row["purged_at"]))
    forms = [
        (row["item_id"], key, row["job"], row["target"])
        for row in restored
        for _, key in stored_keys(digests, row["job"], [row["key"]])
    ]
    return {row["item_id"]: row["run"] for row in reversed(db.all("entered_anew", restored=forms))}


def half_undone(db: Queries, undos: Sequence[int], run: Run, keys: Sequence[str]) -> int | None:
    """The one of these undos that is still to take back, or restore, an entry of the run's job with such a key."""
    found = db.first("half_undone", undos=undos, job=run.job, target=run.target, keys=keys)
    return None if found is None else found["undo_id"]


def digests_of(db: Queries) -> Digests | None:
    """The digests of the journal, None if nothing of it was purged."""
    found = db.first("purging")
    return None if found is None else Digests(found["secret"])


def _as_asked(twin: EarlierEntry, item: NewItem, digests: Digests | None) -> EarlierEntry:
    """The twin with its values in plain if they are the item's; other values of a purged run are not known."""
    if not twin.is_purged or digests is None:
        return twin
    if twin.wanted == digests.of_values(item.amount, item.wanted):
        return replace(twin, amount=item.amount, wanted=item.wanted)
    return replace(twin, wanted=PURGED_VALUE)


def pending_before(
    db: Queries, run: Run, lanes: Collection[str], before: int, counts: Callable[[str], bool]
) -> dict[str, PendingBefore]:
    """What the pending items before item number `before` whose payload `counts` do in these lanes, by lane."""
    found: dict[str, PendingBefore] = {}
    for row in db.each("pending_before", run_id=run.run_id, lanes=lanes, before=before):
        if counts(row["payload"]):
            known = found.get(row["lane"])
            amount = Decimal(row["amount"] or 0) + (known.amount if known else 0)
            found[row["lane"]] = PendingBefore(row["payload"], amount)
    return found


def merge_rows(db: Queries, run: Run, merged: Sequence[Merged]) -> None:
    """Merge rows of an account into one; does nothing to an approved run."""
    for one in merged:
        who: dict[str, Value] = {"run_id": run.run_id, "carrier": one.carrier, "now": rows.now()}
        summed = one.payload is not None
        if summed:
            db.write(
                "merge_carrier",
                payload=one.payload,
                amount=None if one.amount is None else format(one.amount, "f"),
                **who,
            )
        message, kind = rows.of_reason(one.reason)
        db.write("merge_rows", items=one.carried, message=message, kind=kind, summed=summed, **who)


def refuse_items(db: Queries, run: Run, reasons: Mapping[int, str]) -> None:
    """Turn pending items, by item_id, into refused rows; does nothing to an approved run."""
    db.write("refuse_items", run_id=run.run_id, reasons=[(item_id, to_json(why)) for item_id, why in reasons.items()])
    db.write("withdraw_items", run_id=run.run_id, items=reasons.keys())


def rows_of_run(db: Queries, run: Run, *, after: int = 0) -> list[RunRow]:
    """Up to 1,000 rows of the run behind number `after`, without duplicates of the input."""
    found = db.all("rows_of", run_id=run.run_id, after=after, size=1000, duplicate=DUPLICATE)
    return [rows.record(RunRow, row) for row in found]


def rows_with_keys(db: Queries, run: Run, keys: Collection[str]) -> dict[str, RunRow]:
    """The rows of the run with these keys."""
    found = db.all("rows_with", run_id=run.run_id, keys=keys, duplicate=DUPLICATE)
    return {row["key"]: rows.record(RunRow, row) for row in found}


def totals_of(db: Queries, run: Run) -> Totals:
    return totals_of_runs(db, [run.run_id])[run.run_id][0]


def totals_of_runs(db: Queries, run_ids: Collection[int], since: str = _NEVER) -> dict[int, tuple[Totals, int]]:
    """The totals of these runs, each with the number of its items in effect that its runner sent after `since`."""
    found: defaultdict[int, list[FoundRow]] = defaultdict(list)
    kinds: dict[str, Value] = {
        "held_back": f"{NOT_SENT}:",
        "nothing_stands": sorted(NOTHING_STANDS),
        "left_out": LEFT_OUT,
        "different": DIFFERENT,
    }
    for row in db.each("totals_of_runs", ids=run_ids, since=since, **kinds) if run_ids else ():
        found[row["run_id"]].append(row)
    return {
        run_id: (rows.to_totals(of_run), sum(row["recent"] for row in of_run)) for run_id, of_run in found.items()
    }


def _freeze_items(db: Queries, run: Run, judged: Sequence[NewItem | Refusal], above: int = 0) -> None:
    items = [entry for entry in judged if isinstance(entry, NewItem)]
    last = max(above, db.one("last_number", run_id=run.run_id)["number"])
    db.write("freeze_items", run_id=run.run_id, rows=rows.of_new_items(items, last + 1), now=rows.now())


# ---- sending ----


def claim_items(db: Queries, run: Run, item_ids: Sequence[int], payloads: Mapping[int, str] = NO_PAYLOADS) -> None:
    """Make the intent to send these items durable: pending → sending, with one more attempt.

    `payloads` are new ones of those that were completed. Raises `ForbiddenTransition`, and claims none, if one of
    them is not pending or not of this run, or if the run has ended.
    """
    when = rows.now()
    if payloads:
        db.later("keep", run_id=run.run_id, kept=payloads.items(), now=when)
    _write_all(db, "claim", item_ids, run_id=run.run_id, ids=item_ids, now=when)


def record_changes(db: Queries, run: Run, changes: Sequence[Change]) -> Sequence[FoundRow]:
    """Record the outcomes of items; returns the ids of those that become unknown because two share a created id.

    Both are returned: that of the item recorded now, and of the one accepted before. Raises `ForbiddenTransition`,
    and records none, if a transition is not in the table of states or an item is not of this run.
    """
    who: dict[str, Value] = {"run_id": run.run_id, "now": rows.now()}
    _write_all(db, "record", [change.item_id for change in changes], changes=rows.of_changes(changes), **who)
    created = [change.item_id for change in changes if change.created]
    return db.later("doubt_shared_ids", ids=created, **rows.of_template(SHARED_ID), **who) if created else []


def doubt_answers(db: Queries, run: Run, item_ids: Collection[int], why: str) -> Sequence[FoundRow]:
    """Turn those of the items that are accepted into unknown ones; returns their ids."""
    message, kind = rows.of_reason(why)
    return db.later("doubt_answers", ids=item_ids, run_id=run.run_id, why=message, kind=kind, now=rows.now())


def decide_item(
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


def _write_all(db: Queries, name: str, item_ids: Collection[int], **values: Value) -> None:
    """Run a block that writes these items. Raises `ForbiddenTransition` if one belongs to another run."""
    wanted = len(set(item_ids))

    def refuse(written: int) -> None:
        raise ForbiddenTransition(
            f"{wanted} items were to be written and {written} are of this run, and of none that has ended"
        )

    db.check(name, wanted, refuse, **values)


# ---- purging ----


_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge of one run: the parameters that it keeps, and whether its rows keep what proves its totals.

    `empty` takes from a payload all but the kind of its call, by which rows of one lane are told apart. What tells of
    people is removed from the rows, what proves the totals may stay:

        kept always         the run with its job, billing, times, digest of its input, and totals; of each row in
                            effect its number, its state, its times, the kind of its call, and digests of its key,
                            lane and values
        kept with totals    all rows, each with its number, line, amounts, state, times, and the id of its operation
        removed             names, cells, calls with their before-images, answers, messages, reasons of refusals and
                            of decisions, the extra subscribers of a tally

    Digests keep the same row from being entered again (`checkpoints/rows.py`). Rows that entered nothing need none.
    Removed texts stay in free pages of the file until it is rewritten (`SqliteStore.clean`).
    """

    parameters: Mapping[str, str]
    empty: Callable[[str], str]
    keep_totals: bool


def purge_run(db: Queries, run: Run, purge: Purge) -> Purged:
    """Remove the content of a run's rows, in the open transaction. Raises `RunUnfinished`, and removes nothing.

    A run that was purged with its totals can be purged once more without them.
    """
    is_first = db.first("purged", run_id=run.run_id) is None
    kept_totals = None if purge.keep_totals else rows.of_totals(totals_of(db, run))
    if not db.write(
        "begin_purge", run_id=run.run_id, parameters=purge.parameters, totals=kept_totals, now=rows.now()
    ):
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
        emptied_rows = []
        for row in page:
            key, lane, wanted = row["key"], row["lane"], row["wanted"]
            # A row that was purged before has its digests already.
            if digests is not None:
                key, lane = digests.of_key(run.job, key), digests.of_key(run.job, lane)
                wanted = digests.of_values(row["amount"], wanted)
            emptied_rows.append((row["item_id"], key, lane, purge.empty(row["payload"]), wanted))
        emptied += db.write("purge_items", run_id=run.run_id, rows=emptied_rows, keep_totals=purge.keep_totals)
        last = page[-1]["item_id"]
    calls = before["items"] if is_first else 0
    return Purged(emptied, removed, refusals, calls, before["answers"], before["messages"])
