"""The facts of one run for its report: all that the journal has of it, and nothing from elsewhere.

The same journal gives the same facts, whenever and wherever the report is made.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from checkpoints.journal import Journal
from checkpoints.merkle import MerkleTree, leaf_data, leaf_hash
from checkpoints.records import Command, Decision, Item, Run, RunHistory, Runner, Stage, Totals, Verification
from checkpoints.rows import StepCount
from checkpoints.sentences import AS_WANTED
from checkpoints.states import State, states_where
from checkpoints.tally import ImportTally
from cli.session.stages import StepMark, mark_of
from jobs.access.payload import payload_of
from jobs.catalogue.catalogue import Catalogue
from jobs.imports.subscriber import STEP_NAMES, Step
from jobs.spec.import_words import IMPORT
from jobs.spec.spec import JobSpec
from jobs.spec.undo_words import UNDO
from jobs.sums import RunSums, Subscribers, each_refused, sums_of
from texts.said import said

SHOWN: Final = 200
"""Exceptions of a run that stand in the report itself; if there are more, all of them stand in a file beside it."""

EXTRA_SHOWN: Final = 20
"""Subscribers of an import's folders who are not in its table that stand in the report itself, in the same way."""

DIGEST: Final = 6
"""Bytes of the hash of each item that a report keeps, so that a check can name the item that differs."""


NOT_AS_SENT: Final = said("accepted, but the billing did not show it as it was sent when it was read back")


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """A row that is not in the billing as the input asks, or that a person decided on; `state` is None if refused.

    Rows that are still to be sent are none. `number` is that of its item, None for a refused row. Its `amount` is its
    own, also where another row carries it, whose number is `merged_into`; of an undo it is what it takes back.
    """

    line: int | None
    number: int | None
    label: str
    amount: Decimal | None
    state: State | None
    reason: str
    decision: Decision | None = None
    merged_into: int | None = None

    @property
    def place(self) -> int | None:
        """Its line in the input; of an item without one, which a query has given, its number."""
        return self.number if self.line is None else self.line


@dataclass(frozen=True, slots=True)
class Evidence:
    """The Merkle root over all items in hexadecimal, their number, and the first bytes of the hash of each.

    In place of these bytes stands the root itself, where a report has no rows.
    """

    root: str
    size: int
    digests: bytes = field(repr=False)


@dataclass(slots=True)
class Exceptions:
    """The exceptions of a run: their number, and the first of them."""

    number: int = 0
    first: list[ExceptionRow] = field(default_factory=list)

    def add(self, one: ExceptionRow) -> None:
        """Add an exception."""
        self.number += 1
        if self.number <= SHOWN:
            self.first.append(one)


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """What a report says of a run. `undone_by` are the runs that have taken rows of it back, with their number.

    `spec` is the kind of its job; None for an undo, and where its declaration gives that job no more.

    An import has counts of its `steps`, and so has an undo of one; `persons_taken_back` of its subscribers.
    """

    run: Run
    totals: Totals
    sums: RunSums
    history: RunHistory
    runners: Sequence[Runner]
    commands: Sequence[Command]
    verification: Verification | None
    exceptions: Exceptions
    evidence: Evidence
    undone_by: Mapping[str, int]
    spec: JobSpec | None
    steps: Sequence[StepCount] = ()

    @property
    def is_discarded(self) -> bool:
        """Whether the run was given up before anything was sent."""
        return self.run.stage is Stage.DISCARDED

    @property
    def is_unfinished(self) -> bool:
        """Whether rows are still to be read, approved or sent."""
        if self.is_discarded or self.run.ended_at:
            return False
        waits = self.run.frozen_at is None or self.run.approved_at is None
        return waits or self.totals.count_where(to_send=True) > 0

    @property
    def in_doubt(self) -> int:
        """The number of rows of which it is not known whether they are in the billing."""
        return self.totals.count(*(state for state in states_where(settled=False) if not state.to_send))

    @property
    def persons(self) -> int:
        """The number of subscribers that an import has created, or that its undo has taken back."""
        return sum(one.items for one in self.steps if one.step == Step.SUBSCRIBER and one.state.in_effect)

    @property
    def tally(self) -> ImportTally | None:
        """The tally that the last verification of an import has made."""
        return self.verification.tally if self.verification else None

    @property
    def is_undo(self) -> bool:
        """Whether the run takes another one back."""
        return self.run.job == UNDO

    @property
    def writes(self) -> bool:
        """Whether the job changes anything in the billing."""
        return self.spec is None or self.spec.writes

    @property
    def step(self) -> StepMark | None:
        """The step of a job file that the run is, None for one from the command line."""
        return mark_of(self.run)

    @property
    def persons_taken_back(self) -> int:
        """The number of subscribers that an import has created and that were taken back since."""
        return sum(one.taken_back for one in self.steps if one.step == Step.SUBSCRIBER)

    @property
    def subscribers(self) -> Subscribers | None:
        """The subscribers of an import, None for any other run."""
        return self.sums.subscribers if self.run.job == IMPORT else None

    @property
    def billing(self) -> str:
        """The version that the billing reported last, "" if it was never asked."""
        return next((runner.billing for runner in reversed(self.runners) if runner.billing), "")


class _Leaves:
    """Collects the evidence of items, in their order: with something of the hash of each, or their root alone."""

    def __init__(self, *, only_root: bool = False) -> None:
        self._tree = MerkleTree()
        self._digests = bytearray()
        self._only_root = only_root

    def add(self, item: Item) -> None:
        """Add an item."""
        leaf = leaf_hash(leaf_data(item))
        self._tree.add(leaf)
        if not self._only_root:
            self._digests += leaf[:DIGEST]

    @property
    def evidence(self) -> Evidence:
        """The Merkle root over the items so far."""
        root = self._tree.root
        return Evidence(root.hex(), self._tree.size, root if self._only_root else bytes(self._digests))


async def facts_of_run(run: Run, journal: Journal, catalogue: Catalogue) -> ReportedRun:
    """The facts of a run, whose items are read once. Raises `JournalError`."""
    history = journal.history
    leaves, exceptions = _Leaves(), Exceptions()
    spec = catalogue.known(run)
    sums = await sums_of(run, journal, spec)
    async for one in each_exception(run, journal, spec, has_money=sums.has_money, seen=leaves.add):
        exceptions.add(one)
    return ReportedRun(
        run=run,
        totals=await journal.totals(run),
        sums=sums,
        history=await history.of_run(run),
        runners=await history.runners(run),
        commands=await history.commands(run),
        verification=await history.last_verification(run),
        exceptions=exceptions,
        evidence=leaves.evidence,
        undone_by=await journal.taken_back(run),
        spec=spec,
        steps=await journal.step_counts(run) if run.job in {IMPORT, UNDO} else (),
    )


async def sums_of_run(run: Run, journal: Journal, catalogue: Catalogue) -> ReportedRun:
    """What a report of many runs says of one: sums and root; its memory does not grow with the rows.

    Of a purged run the totals are left, and a root that says nothing, over no rows.
    """
    leaves = _Leaves(only_root=True)
    spec = catalogue.known(run)
    if run.purged_at is None:
        async for page in journal.each_page(run, frozenset(State)):
            for item in page:
                leaves.add(item)
    return ReportedRun(
        run=run,
        totals=await journal.totals(run),
        sums=await sums_of(run, journal, spec),
        history=await journal.history.of_run(run),
        runners=(),
        commands=(),
        verification=await journal.history.last_verification(run),
        exceptions=Exceptions(),
        evidence=leaves.evidence,
        undone_by={},
        spec=spec,
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
    run: Run,
    journal: Journal,
    spec: JobSpec | None,
    *,
    has_money: bool,
    seen: Callable[[Item], None] = lambda _: None,
) -> AsyncIterator[ExceptionRow]:
    """All exceptions of a run: items in their order, then the refused rows of the input.

    All items are read for them; each is given to `seen` on the way. The cells of refused rows have amounts where the
    run `has_money`.
    """
    decisions = {one.number: one for one in await journal.history.decisions(run)}
    verification = await journal.history.last_verification(run)
    differs = verification is not None and int(verification.result["different"]) > 0
    async for page in journal.each_page(run, frozenset(State)):
        shown: list[tuple[Item, str]] = []
        for item in page:
            seen(item)
            not_as_sent = differs and item.state is State.ACCEPTED
            # A row that was read back as sent is applied.
            told = item.number in decisions or not_as_sent or not (item.state.in_effect or item.state.to_send)
            reason = NOT_AS_SENT if not_as_sent else item.message or ""
            if told and not (run.job == IMPORT and item.state is State.SKIPPED and item.kind == AS_WANTED):
                shown.append((item, _of_step(item, reason) if run.job == IMPORT else reason))
        asked = await journal.amounts_of_rows(run, [item.number for item, _ in shown]) if shown else {}
        for item, reason in shown:
            own = asked[item.number]
            decision = decisions.get(item.number)
            yield ExceptionRow(
                item.line, item.number, item.label, own.amount, item.state, reason, decision, own.merged_into
            )
    async for refusal, amount in each_refused(run, journal, spec):
        yield ExceptionRow(refusal.line, None, refusal.label, amount if has_money else None, None, refusal.reason)


def _of_step(item: Item, reason: str) -> str:
    """The reason with the step that it is about."""
    return said("{step}: {reason}", step=STEP_NAMES[Step(payload_of(item).step)], reason=reason)
