"""The rows of two runs, compared by their keys, a page at a time: also of two journals, in any two stores."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from checkpoints.journal import Journal
from checkpoints.records import Run, RunRow
from checkpoints.states import State

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
