"""Two runs compared row by row: what became of their rows, and how their frozen lists differ.

Rows of two runs are compared by their keys, a page at a time, also those of two journals, in any two stores. Of
frozen lists, a run and its plan or two plans, compared are key, subscriber, account, amount, call, before-image,
state and reason; names of runs, their times and their marks are not.
"""

import contextlib
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import merge
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import anyio.to_thread
import msgspec

from checkpoints.errors import JournalUnreadable
from checkpoints.journal import Journal
from checkpoints.journal_file import JournalAddress
from checkpoints.queries import PAGE, FoundRow, let_enter_in_any_state
from checkpoints.records import Run, RunRow
from checkpoints.rows import to_sentence
from checkpoints.sqlite_store import SqliteQueries, connect_to_look, read_only
from checkpoints.states import State
from checkpoints.stores import store_of
from texts.said import Said, from_json, said

# ---- rows of two runs ---------------------------------------------------------------------------------------------


SHOWN: Final = 10
"""Rows of each kind that are kept as examples; the rest is counted."""


class Side(NamedTuple):
    """A run, and the journal that it is in."""

    run: Run
    journal: Journal


@dataclass(slots=True)
class Rows:
    """Rows of one kind: their number, their sum, and the first of them; `before` has these of the first run."""

    rows: int = 0
    sum: Decimal = Decimal(0)
    first: list[RunRow] = field(default_factory=list)
    before: list[RunRow] = field(default_factory=list)

    def add(self, row: RunRow, amount: Decimal | None, before: RunRow | None = None) -> None:
        self.rows += 1
        self.sum += amount or 0
        if len(self.first) < SHOWN:
            self.first.append(row)
            self.before += () if before is None else (before,)


@dataclass(slots=True)
class Compared:
    """What the rows of two runs have in common: their number, and those with another sum or another outcome.

    The sum of `changed` is what the second run asks for beyond the first. `changed` and `other_outcome` have the rows
    of the second run.
    """

    both: int = 0
    changed: Rows = field(default_factory=Rows)
    other_outcome: Rows = field(default_factory=Rows)
    only_first: Rows = field(default_factory=Rows)
    only_second: Rows = field(default_factory=Rows)

    @property
    def is_same(self) -> bool:
        return not any(one.rows for one in (self.changed, self.other_outcome, self.only_first, self.only_second))


async def compare_rows(first: Side, second: Side) -> Compared:
    """Compare two runs row by row. Memory does not grow with their rows."""
    found = Compared()
    async for ours, theirs in _beside(first, second):
        if theirs is None:
            found.only_first.add(ours, ours.amount)
            continue
        found.both += 1
        if ours.amount != theirs.amount:
            found.changed.add(theirs, (theirs.amount or Decimal(0)) - (ours.amount or Decimal(0)), ours)
        if is_entered(ours) != is_entered(theirs):
            found.other_outcome.add(theirs, theirs.amount, ours)
    async for row, same in _beside(second, first):
        if same is None:
            found.only_second.add(row, row.amount)
    return found


async def rows_gone(runs: Sequence[Run], journal: Journal, own: Side) -> tuple[Rows, list[Run]]:
    """What is in the billing by these runs, in their order, and `own` lacks: each row as the last of them has it.

    With it the runs that have such rows.
    """
    found, having = Rows(), list[Run]()
    for place, run in enumerate(runs, 1):
        before, after = found.rows, 0
        while page := await journal.rows_of(run, after=after):
            after, lacking = page[-1].number, {row.key: row for row in page if is_entered(row)}
            for key in await own.journal.rows_with(own.run, lacking.keys()):
                del lacking[key]
            for later in runs[place:] if lacking else ():
                for key, row in (await journal.rows_with(later, lacking.keys())).items():
                    if is_entered(row):
                        del lacking[key]
            for row in lacking.values():
                found.add(row, row.amount)
        having += [run] if found.rows > before else []
    return found, having


def is_entered(row: RunRow) -> bool:
    """Whether the row is in the billing: by its own call that stands, or by an earlier one."""
    return (row.state.in_effect and not row.taken_back) or row.state is State.SKIPPED


async def _beside(side: Side, other: Side) -> AsyncIterator[tuple[RunRow, RunRow | None]]:
    after = 0
    while page := await side.journal.rows_of(side.run, after=after):
        after = page[-1].number
        theirs = await other.journal.rows_with(other.run, {row.key for row in page})
        for row in page:
            yield row, theirs.get(row.key)


# ---- two frozen lists: a run and its plan, or a plan and the previous plan ----------------------------------------


_WAS: Final = ("was", "planned", "newest")
"""The keys of a payload that hold the before-image, and the last operation on the account."""

Plain = Callable[[str], str]
"""Converts a payload to the form that is compared, for example without secrets."""


class ListRow(msgspec.Struct, frozen=True, array_like=True):
    """A row of a list, as in the block `list_differences`; if the list lacks it, all None but that it is refused."""

    key: str | None = None
    line: int | None = None
    label: str | None = None
    lane: str | None = None
    amount: Decimal | None = None
    payload: str | None = None
    wanted: str | None = None
    state: str | None = None
    message: Said | None = None


_NOWHERE: Final = ListRow()


@dataclass(frozen=True, slots=True)
class ListDifference:
    """A row that differs: the `kind` in a few words, and both sides, "" where the kind says all.

    `amounts` are the row's amounts in the older and in the newer list, None if the list lacks the row.
    """

    kind: str
    line: int | None
    label: str
    then: str = ""
    now: str = ""
    amounts: tuple[Decimal | None, Decimal | None] = (None, None)


@dataclass(frozen=True, slots=True)
class ListDifferences:
    """The differences between two lists: the number of rows of each kind, and the first ones in input order."""

    counts: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[ListDifference] = ()


_Judge = Callable[[ListRow, ListRow, Plain], ListDifference | None]


async def differences_from_plan(
    plans: Path, plan: Run, journal: Path, run: Run, *, size: int, plain: Plain
) -> ListDifferences:
    """Compare the list of a run with that of its plan, rows and refusals; `size` limits the examples.

    Both journals are opened read-only; memory does not grow with their rows. Raises `JournalUnreadable`.
    """
    return await anyio.to_thread.run_sync(_compare, plans, plan, journal, run, _from_plan, size, plain)


async def changes_between_plans(plans: Path, before: Run, plan: Run, *, size: int, plain: Plain) -> ListDifferences:
    """Compare a plan with the previous plan; of rows with the same key the first counts.

    The journal is opened read-only; memory does not grow with its rows. Raises `JournalUnreadable`.
    """
    return await anyio.to_thread.run_sync(_compare, plans, before, plans, plan, _between_plans, size, plain)


def _compare(older: Path, old: Run, newer: Path, new: Run, judge: _Judge, size: int, plain: Plain) -> ListDifferences:
    counts: Counter[str] = Counter()
    examples: list[ListDifference] = []
    decode = msgspec.json.Decoder(ListRow, dec_hook=to_sentence).decode
    try:
        with contextlib.closing(connect_to_look(newer)) as connection:
            connection.execute("attach database ? as older", (read_only(older),))
            # All blocks read the same state of both.
            connection.execute("begin")
            db, lists = SqliteQueries(connection), {"old": old.run_id, "new": new.run_id}
            sides = (
                [decode(text) if text else _NOWHERE for text in (row["before"], row["now"])]
                for row in db.each("list_differences", first_only=judge is _between_plans, **lists)
            )
            found: Iterator[ListDifference] = filter(None, (judge(then, now, plain) for then, now in sides))
            if judge is _from_plan:
                refusals = map(_refusal, db.each("refusal_differences", **lists))
                # Both are in input order; rows of a select have no lines.
                found = merge(found, refusals, key=lambda one: one.line or 0)
            for one in found:
                counts[one.kind] += 1
                if len(examples) < size:
                    examples.append(one)
    except sqlite3.Error as error:
        raise JournalUnreadable(
            "{newer} and {older} cannot be compared: {error}", newer=newer, older=older, error=error
        ) from error
    return ListDifferences(counts, examples)


def _refusal(row: FoundRow) -> ListDifference:
    reason = from_json(row["reason"])
    if row["is_new"]:
        return ListDifference(said("refused now"), row["line"], row["label"], now=reason)
    return ListDifference(said("no longer refused"), row["line"], row["label"], then=reason)


def _from_plan(old: ListRow, new: ListRow, plain: Plain) -> ListDifference | None:
    if old.key is None:
        return _difference(old, new, said("new"), now=_state_and_amount(new))
    if new.key is None:
        return _difference(old, new, said("gone"), then=_state_and_amount(old))
    (call, was), (now_call, now_was) = _call(old, plain), _call(new, plain)
    compared: tuple[tuple[str, object, object, str, str], ...] = (
        (said("another amount"), old.amount, new.amount, _amount(old), _amount(new)),
        (
            said("{then} then, now {now}", then=said(str(old.state)), now=said(str(new.state))),
            old.state,
            new.state,
            old.message or "",
            new.message or "",
        ),
        (said("another reason"), old.message, new.message, old.message or "", new.message or ""),
        (said("another subscriber or account"), _whose(old), _whose(new), _whose(old), _whose(new)),
        (said("another call"), (call, old.wanted), (now_call, new.wanted), *_apart(old, new, call, now_call)),
        (said("something else would be overwritten"), was, now_was, _values(was), _values(now_was)),
        (said("another line"), old.line, new.line, str(old.line), str(new.line)),
    )
    for kind, before, after, then, now in compared:
        if before != after:
            return _difference(old, new, kind, then, now)
    return None


def _between_plans(old: ListRow, new: ListRow, plain: Plain) -> ListDifference | None:
    """The difference in effect between two plans of a row, None if there is none; messages do not count."""
    if old.key is None:
        return _difference(old, new, said("new"))
    if new.key is None:
        return _difference(old, new, said("refused now") if new.state else said("gone"))
    if old.amount != new.amount:
        return _difference(old, new, said("another amount"))
    if old.state != new.state:
        return _difference(old, new, said("{before} before, now {now}", before=str(old.state), now=str(new.state)))
    if plain(old.payload or "") != plain(new.payload or ""):
        return _difference(old, new, said("another call"))
    return None


def _difference(old: ListRow, new: ListRow, kind: str, then: str = "", now: str = "") -> ListDifference:
    label = new.label or old.label or new.key or old.key or ""
    return ListDifference(kind, new.line or old.line, label, then, now, (old.amount, new.amount))


def _whose(row: ListRow) -> str:
    return f"{row.label}, {row.lane}"


def _call(row: ListRow, plain: Plain) -> tuple[dict[str, object], dict[str, object]]:
    payload = msgspec.json.decode(plain(row.payload or "{}"), type=dict[str, object])
    was: dict[str, object] = {name: payload.pop(name) for name in _WAS if name in payload}
    return payload, was


def _apart(old: ListRow, new: ListRow, call: Mapping[str, Any], now_call: Mapping[str, Any]) -> tuple[str, str]:
    """What the calls of a row set, or their arguments that differ."""
    then, now = (
        {(name, str(value)) for _, given in one.get("steps", ()) for name, value in given.items()}
        for one in (call, now_call)
    )
    return old.wanted or _listed(sorted(then - now)), new.wanted or _listed(sorted(now - then))


def _values(was: Mapping[str, object]) -> str:
    values = was.get("was")
    newest = [("op_id", was["newest"])] if was.get("newest") else []
    return _listed([*(values.items() if isinstance(values, dict) else ()), *newest]) or "nothing"


def _listed(values: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values)


def _state_and_amount(row: ListRow) -> str:
    return f"{row.state} {_amount(row)}".strip()


def _amount(row: ListRow) -> str:
    return "" if row.amount is None else format(row.amount, "f")


# ---- a copy of one run's list in a file, to compare ---------------------------------------------------------------


_ELSEWHERE: Final = {"undoes": None, "carried_by": None}
"""Rows of other runs, and later ones, which a list alone does not have."""


@asynccontextmanager
async def list_file(where: JournalAddress, run: Run) -> AsyncIterator[Path]:
    """A SQLite file with the list of a run, for as long as the context lasts: the journal's own, or a copy.

    The copy, under the same ids, is in a folder that only this user can read. Raises `JournalUnreadable`.
    """
    if where.postgres is None:
        yield where.path
        return

    def copy(file: Path) -> None:
        with store_of(where).look() as old, store_of(file).filled() as new:
            if old is None:
                return
            let_enter_in_any_state(new)
            new.write("copy(runs)", rows=[dict(old.one("run_by_name", name=run.name))])
            with old.snapshot():
                for table, key in (("items", "number"), ("refusals", "refusal_id")):
                    after = 0
                    while page := old.all(f"page_of_{table}", run_id=run.run_id, after=after, size=PAGE):
                        new.write(f"copy({table})", rows=[dict(row) | _ELSEWHERE for row in page])
                        after = page[-1][key]

    with tempfile.TemporaryDirectory(prefix="carbon-migrate-") as folder:
        file = Path(folder) / "list"
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(copy, file)
        yield file
