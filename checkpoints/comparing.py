"""How the list of a run differs from that of a plan, which is in a journal of its own.

What is compared is all that says what is sent, to whom, over what, or why not: key, subscriber, account, amount,
call, what the call overwrites, state and reason. Names of runs, their times and marks are no part of a list.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import merge
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from checkpoints.earlier_runs import connect_to_look, read_only
from checkpoints.errors import JournalUnreadable
from checkpoints.queries import Queries
from checkpoints.records import Run

OVERWRITES: Final = "something else would be overwritten"
_WAS: Final = ("was", "planned")
"""What a payload keeps of what its call overwrites."""


class Side(msgspec.Struct, frozen=True, array_like=True):
    """A row of one of the lists, in the order of the block `list_differences`; all None where the list lacks it."""

    key: str | None = None
    line: int | None = None
    label: str | None = None
    lane: str | None = None
    amount: Decimal | None = None
    payload: str | None = None
    wanted: str | None = None
    state: str | None = None
    message: str | None = None


_NOWHERE: Final = Side()


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differs: the `kind` in a few words, and both sides of it, "" where the kind says all."""

    kind: str
    line: int | None
    label: str
    then: str = ""
    now: str = ""


@dataclass(frozen=True, slots=True)
class Differences:
    """How two lists differ: how many rows of each kind, and the first of them in the order of the input."""

    counts: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[Difference] = ()


async def list_differences(
    journal: Path, run: Run, plans: Path, plan: Run, *, size: int, plain: Callable[[str], str]
) -> Differences:
    """How the list of `run` differs from that of `plan`, of whose payloads their `plain` texts count.

    Both journals are only read; memory does not grow with their rows. Raises `JournalUnreadable`.
    """
    return await anyio.to_thread.run_sync(_compare, journal, run, plans, plan, size, plain)


def _compare(journal: Path, run: Run, plans: Path, plan: Run, size: int, plain: Callable[[str], str]) -> Differences:
    counts: Counter[str] = Counter()
    examples: list[Difference] = []
    wanted = {"old": plan.run_id, "new": run.run_id}
    try:
        with _opened(journal, plans) as db:
            # Both in the order of the input; rows of a select have no lines.
            for one in merge(_of_rows(db, wanted, plain), _of_refusals(db, wanted), key=lambda one: one.line or 0):
                counts[one.kind] += 1
                if len(examples) < size:
                    examples.append(one)
    except sqlite3.Error as error:
        raise JournalUnreadable(f"{journal} and {plans} cannot be compared: {error}") from error
    return Differences(counts, examples)


@contextlib.contextmanager
def _opened(journal: Path, plans: Path) -> Iterator[Queries]:
    """Both journals, none of whose bytes can be changed through this."""
    with contextlib.closing(connect_to_look(journal)) as connection:
        connection.execute("attach database ? as plans", (read_only(plans),))
        # One moment of each for both blocks.
        connection.execute("begin")
        yield Queries(connection)


def _of_rows(db: Queries, wanted: Mapping[str, int], plain: Callable[[str], str]) -> Iterator[Difference]:
    decode = msgspec.json.Decoder(Side).decode
    for row in db.each("list_differences", **wanted):
        old, new = row["before"], row["now"]
        found = _difference(decode(old) if old else _NOWHERE, decode(new) if new else _NOWHERE, plain)
        if found is not None:
            yield found


def _of_refusals(db: Queries, wanted: Mapping[str, int]) -> Iterator[Difference]:
    for row in db.each("refusal_differences", **wanted):
        if row["is_new"]:
            yield Difference("refused now", row["line"], row["label"], now=row["reason"])
        else:
            yield Difference("no longer refused", row["line"], row["label"], then=row["reason"])


def _difference(old: Side, new: Side, plain: Callable[[str], str]) -> Difference | None:
    line, label = new.line or old.line, new.label or old.label or ""
    if old.key is None:
        return Difference("new", line, label, now=_as_journal_error(new))
    if new.key is None:
        return Difference("gone", line, label, then=_as_journal_error(old))
    kind, then, now = _kind(old, new, plain)
    return Difference(kind, line, label, then, now) if kind else None


def _kind(old: Side, new: Side, plain: Callable[[str], str]) -> tuple[str, str, str]:
    """What differs first, and both sides of it; "" where nothing does."""
    (before, was), (call, there) = _call(old, plain), _call(new, plain)
    compared: tuple[tuple[str, object, object, str, str], ...] = (
        ("another amount", old.amount, new.amount, _amount(old), _amount(new)),
        (f"{old.state} then, now {new.state}", old.state, new.state, old.message or "", new.message or ""),
        ("another reason", old.message, new.message, old.message or "", new.message or ""),
        ("another subscriber or account", _whose(old), _whose(new), _whose(old), _whose(new)),
        ("another call", (before, old.wanted), (call, new.wanted), old.wanted or "", new.wanted or ""),
        (OVERWRITES, was, there, _values(was), _values(there)),
        ("another line", old.line, new.line, str(old.line), str(new.line)),
    )
    for kind, before_all, now_all, then, now in compared:
        if before_all != now_all:
            return kind, then, now
    return "", "", ""


def _whose(side: Side) -> str:
    return f"{side.label}, {side.lane}"


def _call(side: Side, plain: Callable[[str], str]) -> tuple[dict[str, object], dict[str, object]]:
    """What is sent, and what there is before."""
    payload = msgspec.json.decode(plain(side.payload or "{}"), type=dict[str, object])
    was: dict[str, object] = {name: payload.pop(name) for name in _WAS if name in payload}
    return payload, was


def _values(was: Mapping[str, object]) -> str:
    values = was.get("was")
    return ", ".join(f"{name} {value}" for name, value in values.items()) if isinstance(values, dict) else "nothing"


def _as_journal_error(side: Side) -> str:
    return f"{side.state} {_amount(side)}".strip()


def _amount(side: Side) -> str:
    return "" if side.amount is None else format(side.amount, "f")
