"""The facts of a report: all that the journal has of a run, and nothing from elsewhere.

The same journal gives the same facts, whenever and wherever the report is made.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from checkpoints.journal import Journal
from checkpoints.merkle import MerkleTree, leaf_data, leaf_hash
from checkpoints.records import (
    Command,
    Decision,
    Item,
    ReportRoot,
    Run,
    RunHistory,
    Runner,
    Stage,
    Totals,
    Verification,
)
from checkpoints.states import State, states_where

SHOWN: Final = 200
"""Exceptions that stand in the report itself; if there are more, all of them stand in a file beside it."""

DIGEST: Final = 6
"""Bytes of the hash of each item that a report keeps, so that a check can name the item that differs."""


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """A row that is not in the billing as the input asks, or that a person decided on; `state` is None if refused."""

    line: int | None
    label: str
    amount: Decimal | None
    state: State | None
    reason: str
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The Merkle root over all items in hexadecimal, their number, and the first bytes of the hash of each."""

    root: str
    size: int
    digests: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report says of a run. `exceptions` are the first ones of `number_of_exceptions`."""

    run: Run
    totals: Totals
    history: RunHistory
    runners: Sequence[Runner]
    commands: Sequence[Command]
    verification: Verification | None
    exceptions: Sequence[ExceptionRow]
    number_of_exceptions: int
    evidence: Evidence
    before: ReportRoot | None

    @property
    def is_discarded(self) -> bool:
        """Whether the run was given up before anything was sent."""
        return self.run.stage is Stage.DISCARDED

    @property
    def is_unfinished(self) -> bool:
        """Whether rows are still to be read, approved or sent."""
        if self.is_discarded:
            return False
        waits = self.run.frozen_at is None or self.run.approved_at is None
        return waits or self.totals.count_where(to_send=True) > 0

    @property
    def in_doubt(self) -> int:
        """The number of rows of which it is not known whether they are in the billing."""
        return self.totals.count(*(state for state in states_where(settled=False) if not state.to_send))

    @property
    def is_preliminary(self) -> bool:
        """Whether the run cannot be handed over yet."""
        return self.is_unfinished or self.in_doubt > 0

    @property
    def in_effect(self) -> int:
        """The number of rows that the billing has accepted."""
        return self.totals.count_where(in_effect=True)

    @property
    def sum_in_effect(self) -> Decimal:
        """The sum of the rows that the billing has accepted."""
        return sum((self.totals.amounts.get(state, Decimal(0)) for state in states_where(in_effect=True)), Decimal(0))

    @property
    def has_money(self) -> bool:
        """Whether any row has an amount."""
        return any(self.totals.amounts.values())

    @property
    def date(self) -> datetime:
        """The moment whose state the report shows."""
        return self.history.changed_at

    @property
    def billing(self) -> str:
        """The version that the billing reported last, "" if it was never asked."""
        return next((runner.billing for runner in reversed(self.runners) if runner.billing), "")


class _Leaves:
    """Collects the evidence of items, in their order."""

    def __init__(self) -> None:
        self._tree = MerkleTree()
        self._digests = bytearray()

    def add(self, item: Item) -> None:
        """Add an item."""
        leaf = leaf_hash(leaf_data(item))
        self._tree.add(leaf)
        self._digests += leaf[:DIGEST]

    @property
    def evidence(self) -> Evidence:
        """The Merkle root over the items so far."""
        return Evidence(self._tree.root.hex(), self._tree.size, bytes(self._digests))


async def facts_of(run: Run, journal: Journal) -> ReportFacts:
    """The facts of a run, whose items are read once. Raises `JournalError`."""
    history = journal.history
    leaves, exceptions, number = _Leaves(), list[ExceptionRow](), 0
    async for one in each_exception(run, journal, seen=leaves.add):
        number += 1
        if number <= SHOWN:
            exceptions.append(one)
    evidence = leaves.evidence
    return ReportFacts(
        run=run,
        totals=await journal.totals(run),
        history=await history.of_run(run),
        runners=await history.runners(run),
        commands=await history.commands(run),
        verification=await history.last_verification(run),
        exceptions=exceptions,
        number_of_exceptions=number,
        evidence=evidence,
        before=await history.report_before(run, evidence.root),
    )


async def leaves_of(run: Run, journal: Journal) -> tuple[list[bytes], list[int]]:
    """The hashes of all items of a run, 32 bytes an item, and the numbers of these items, in their order."""
    leaves: list[bytes] = []
    numbers: list[int] = []
    async for page in journal.each_page(run, frozenset(State)):
        leaves += (leaf_hash(leaf_data(item)) for item in page)
        numbers += (item.number for item in page)
    return leaves, numbers


async def each_exception(
    run: Run, journal: Journal, *, seen: Callable[[Item], None] = lambda _: None
) -> AsyncIterator[ExceptionRow]:
    """All exceptions of a run: items in their order, then the refused rows of the input.

    All items are read for them; each is given to `seen` on the way.
    """
    decisions = {one.number: one for one in await journal.history.decisions(run)}
    async for page in journal.each_page(run, frozenset(State)):
        for item in page:
            seen(item)
            decision = decisions.get(item.number)
            if decision is not None or not item.state.in_effect:
                reason = item.message or ""
                yield ExceptionRow(item.line, item.label, item.amount, item.state, reason, decision)
    after = 0
    while page_of_refused := await journal.refusals(run, after=after):
        for _, refusal in page_of_refused:
            yield ExceptionRow(refusal.line, refusal.label, None, None, refusal.reason)
        after = page_of_refused[-1][0]
