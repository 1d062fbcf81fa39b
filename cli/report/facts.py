"""The facts of one run for its report: all that the journal has of it, and nothing from elsewhere.

The same journal gives the same facts, whenever and wherever the report is made.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePath
from typing import Final, NamedTuple

import anyio

from checkpoints.comparison import Rows
from checkpoints.journal import Journal
from checkpoints.merkle import MerkleTree, leaf_data, leaf_hash, root_of
from checkpoints.records import Decision, Item, ReportRoot, Run, RunHistory, Stage, Totals
from checkpoints.rows import StepCount
from checkpoints.sentences import AS_WANTED, DIFFERENT, DUPLICATE, NEEDS_NONE, READ_OTHERWISE, decided
from checkpoints.states import State
from checkpoints.tally import ImportTally
from cli.session.order import gone_since
from cli.session.run_view import RunView, StepMark, mark_of
from cli.show.preview import name_rows
from cli.terminal.exits import CommandRefused
from cli.terminal.names import (
    HELD_BACK,
    NEVER_SENT,
    OUTCOMES,
    REFUSED,
    name_of_outcome,
    outcomes_of,
    reason_of_refusal,
)
from cli.terminal.texts import printable
from jobs.access.payload import payload_of
from jobs.catalogue.catalogue import Catalogue
from jobs.imports.subscriber import STEP_NAMES, Step
from jobs.runs import refuse_purged
from jobs.spec.spec import JobSpec
from jobs.spec.words import IMPORT, RUN, SINCE, UNDO
from jobs.sums import RunSums, Subscribers, each_refused, sums_of
from texts.said import Said, counted, kind_of, reason, said

SHOWN: Final = 200
"""Exceptions of a run that stand in the report itself; if there are more, all of them stand in a file beside it."""

EXTRA_SHOWN: Final = 20
"""Subscribers of an import's folders who are not in its table that stand in the report itself, in the same way."""

DIGEST: Final = 6
"""Bytes of the hash of each item that a report keeps, so that a check can name the item that differs."""

_OTHERWISE: Final = reason(
    "accepted, but the billing did not show it as it was sent when it was read back", READ_OTHERWISE
)


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
    kind: str = ""
    has_ended: bool = False
    """Whether its run has ended for good, so that it is never sent where it is still pending."""

    @property
    def outcome(self) -> Said:
        if self.state is State.PENDING and self.has_ended:
            return NEVER_SENT
        return REFUSED if self.state is None else name_of_outcome(self.state, self.kind)

    @property
    def place(self) -> str | None:
        place = self.number if self.line is None else self.line
        return None if place is None else str(place)

    @property
    def why(self) -> str:
        """Why the row is where it is; "" where that is only the decision, which stands beside it."""
        decision = self.decision
        return "" if decision and self.reason == decided(decision.who, decision.why) else self.reason


class EnteredRow(NamedTuple):
    """A row that is in the billing; its `place` is its line, or its number where the rows have no lines."""

    place: str
    label: str
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The Merkle root over all items in hexadecimal, their number, and the first bytes of the hash of each.

    In place of these bytes stands the root itself, where a report has no rows.
    """

    root: str
    size: int
    digests: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRun(RunView):
    """What a report says of a run. `undone_by` are the runs that have taken rows of it back, with their number.

    `spec` is the kind of its job; None for an undo, and where its declaration gives that job no more.

    An import has counts of its `steps`, and so has an undo of one.
    """

    sums: RunSums
    history: RunHistory
    exceptions: Sequence[ExceptionRow]
    """The first of them, of so many as `exceptions_in_all`."""
    exceptions_in_all: int
    evidence: Evidence
    undone_by: Mapping[str, int]
    spec: JobSpec | None
    steps: Sequence[StepCount] = ()
    annex: Sequence[EnteredRow] = ()
    """The first rows in the billing, in their order: one more than are shown, where there are more."""
    since: tuple[str, ...] = ()
    """Of a delta the runs whose rows its own were compared with."""
    gone: Rows | None = None
    """The rows of these runs that the delta's file lacks; None where that is not known."""

    @property
    def persons(self) -> int:
        """The subscribers that an import has created, or that its undo has taken back."""
        return sum(one.items for one in self.steps if one.step == Step.SUBSCRIBER and one.state.in_effect)

    @property
    def subscribers(self) -> Subscribers | None:
        return self.sums.subscribers if self.run.job == IMPORT else None

    @property
    def tally(self) -> ImportTally | None:
        return self.verification.tally if self.verification else None

    @property
    def writes(self) -> bool:
        return self.spec is None or self.spec.writes

    @property
    def does(self) -> Said | str:
        """What a run does, with the name of its job; the name alone where its declaration is gone."""
        if self.is_undo:
            return said("take run {run} back ({job})", run=self.run.parameters[RUN], job=self.run.job)
        if self.spec is None:
            return self.run.job
        return said("{summary} ({job})", summary=self.spec.summary, job=self.run.job)

    @property
    def went_away(self) -> Said:
        """The rows that a delta's file lacks."""
        if self.gone is None:
            return said("Which rows of run {base} its file lacks is not known.", base=self.since)
        if not self.gone.rows:
            return said("Its file has all rows of run {base}.", base=self.since)
        return counted(
            "{n} row[s] of run {base} [is|are] not in its file, {sum} in total, and nothing was sent for [it|them]: "
            "{rows}.",
            self.gone.rows,
            base=self.since,
            sum=self.gone.sum,
            rows=name_rows(self.gone, len(self.gone.first)),
        )

    @property
    def missing(self) -> int:
        """The rows that the billing has rejected, that were held back, or that were refused before."""
        return self.totals.count(State.REJECTED) + self.totals.refused

    @property
    def left_open(self) -> list[tuple[Said, int]]:
        """What needs a person, and of how many rows."""
        there = outcomes_of(self.totals, OUTCOMES)
        open_ones = (*map(OUTCOMES.get, (State.MANUAL, State.UNKNOWN, State.UNCONFIRMED, State.REJECTED)), HELD_BACK)
        told = [(name, there[name].rows) for name in open_ones if name in there]
        told.append((said("refused before sending"), self.totals.refused))
        told.append((said("not in the billing as it was sent"), self.totals.different))
        unfinished = [(said("not at its end"), self.totals.count_where(to_send=True))] if self.is_unfinished else []
        return unfinished + [(what, number) for what, number in told if number]

    @property
    def steps_by_outcome(self) -> dict[Step, Counter[str]]:
        """The steps of an import by their kind, and by what became of them, as sections.j2 names it."""
        counts = {step: Counter[str]() for step in Step if any(one.step == step for one in self.steps)}
        for one in self.steps:
            outcome = {
                State.SKIPPED: {AS_WANTED: "before", DIFFERENT: "different", "": ""}.get(one.kind, "skipped"),
                State.REJECTED: "rejected",
                State.PENDING: "open",
            }.get(one.state, "doubtful" if one.state.counts_money else "")
            counts[Step(one.step)]["entered" if one.state.in_effect else outcome] += one.items
        return counts

    @property
    def steps_left(self) -> int:
        """The steps of an import that have found another value there, and left it."""
        return sum(one.items for one in self.steps if one.kind == DIFFERENT)


async def facts_of_run(run: Run, journal: Journal, catalogue: Catalogue, *, only_sums: bool = False) -> ReportedRun:
    """The facts of a run, whose items are read once. Raises `JournalError`.

    A report of many runs has `only_sums` of each, and its root: its memory does not grow with the rows. Of a purged
    run the totals are left, and a root that says nothing, over no rows.
    """
    history, spec, tree, digests = journal.history, catalogue.known(run), MerkleTree(), bytearray()
    exceptions, number, annex, totals = list[ExceptionRow](), 0, list[EnteredRow](), await journal.totals(run)

    def seen(item: Item) -> None:
        leaf = leaf_hash(leaf_data(item))
        tree.add(leaf)
        if not only_sums:
            digests.extend(leaf[:DIGEST])

    since, gone = tuple[str, ...](), None
    if SINCE in run.parameters and not only_sums:
        since, gone, _ = await gone_since(run, journal, journal)
    sums = await sums_of(run, journal, spec)
    if not only_sums:
        async for one in each_exception(run, totals, journal, spec, has_money=sums.has_money, seen=seen):
            number += 1
            if number <= SHOWN:
                exceptions.append(one)
    elif run.purged_at is None:
        async for page in journal.each_page(run, frozenset(State)):
            for item in page:
                seen(item)
    if not only_sums and run.purged_at is None:
        async for rows in each_standing(run, totals, journal):
            annex += rows[: SHOWN + 1 - len(annex)]
            if len(annex) > SHOWN:
                break
    return ReportedRun(
        run=run,
        totals=totals,
        sums=sums,
        history=await history.of_run(run),
        runners=() if only_sums else await history.runners(run),
        commands=() if only_sums else await history.commands(run),
        verification=await history.last_verification(run),
        exceptions=exceptions,
        exceptions_in_all=number,
        evidence=Evidence(tree.root.hex(), tree.size, tree.root if only_sums else bytes(digests)),
        undone_by={} if only_sums else await journal.taken_back(run),
        spec=spec,
        steps=await journal.step_counts(run) if run.job in {IMPORT, UNDO} and not only_sums else (),
        annex=annex,
        since=since,
        gone=gone,
    )


async def each_standing(run: Run, totals: Totals, journal: Journal) -> AsyncIterator[list[EnteredRow]]:
    """The rows that the billing has, as far as is known, in their order; of an import subscribers with balances."""
    after, last = 0, list[EnteredRow]()
    there = {State.APPLIED} if totals.different else {State.APPLIED, State.ACCEPTED}
    while page := await journal.in_effect(run, after=after):
        after = page[-1].number
        found = [item for item in page if item.state in there]
        if run.job == IMPORT:
            gone = await journal.lanes_gone(run, {item.lane for item in found})
            found = [item for item in found if item.lane not in gone and payload_of(item).step in _ENTERED]
        rows = last
        for row in (EnteredRow(str(item.line or item.number), item.label, item.amount) for item in found):
            if run.job == IMPORT and rows and rows[-1][:2] == row[:2]:
                # The balance stands behind its subscriber.
                rows.pop()
            rows.append(row)
        rows, last = rows[:-1], rows[-1:]
        yield rows
    yield last


_ENTERED: Final = frozenset({Step.SUBSCRIBER, Step.BALANCE})
"""The steps of a row of an import that stand for it."""


async def each_exception(
    run: Run,
    totals: Totals,
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
    differs = totals.different > 0
    async for page in journal.each_page(run, frozenset(State)):
        shown: list[tuple[Item, str]] = []
        for item in page:
            seen(item)
            not_as_sent = differs and item.state is State.ACCEPTED
            # A row that was read back as sent is applied.
            is_to_be_sent = item.state.to_send and not run.ended_at
            told = item.number in decisions or not_as_sent or not (item.state.in_effect or is_to_be_sent)
            why = _OTHERWISE if not_as_sent else item.message or ""
            if item.state is State.SKIPPED:
                told &= not (run.job == IMPORT and item.kind in {AS_WANTED, NEEDS_NONE})
                # A row of a delta that is entered already is in the billing as its file asks.
                told &= SINCE not in run.parameters or item.kind == DUPLICATE
            if told:
                shown.append((item, why))
        for row in await _rows_of(run, journal, shown, decisions):
            yield row
    async for _, refusal, amount in each_refused(run, journal, spec):
        yield ExceptionRow(
            refusal.line, None, refusal.label, amount if has_money else None, None, reason_of_refusal(refusal)
        )


async def _rows_of(
    run: Run, journal: Journal, shown: Sequence[tuple[Item, str]], decisions: Mapping[int, Decision]
) -> list[ExceptionRow]:
    asked = await journal.amounts_of_rows(run, [item.number for item, _ in shown]) if shown else {}
    rows: list[ExceptionRow] = []
    for item, told in shown:
        own, why = asked[item.number], told
        if run.job == IMPORT:
            why = said("{step}: {reason}", step=STEP_NAMES[Step(payload_of(item).step)], reason=told)
        decision = decisions.get(item.number)
        rows.append(
            ExceptionRow(
                *(item.line, item.number, item.label, own.amount, item.state, why),
                *(decision, own.merged_into, kind_of(told), run.ended_at is not None),
            )
        )
    return rows


PAGE: Final = 50
"""Rows of a page of what was rejected."""


async def rejected_page(
    run: Run, journal: Journal, spec: JobSpec | None, after: str
) -> tuple[list[ExceptionRow], str | None]:
    """The next rejected rows, then refused ones, and behind which place there are further ones, None for none.

    A place is the number of an item, or of a refused row its id behind an r.
    """
    rows: list[ExceptionRow] = []
    if not after.startswith("r"):
        items = await journal.items(run, {State.REJECTED}, after=int(after or 0), size=PAGE + 1)
        rows = await _rows_of(run, journal, [(item, item.message or "") for item in items[:PAGE]], {})
        if len(items) > PAGE:
            return rows, str(items[PAGE - 1].number)
        after = "r0"
    last = int(after.removeprefix("r") or 0)
    async for refusal_id, refusal, amount in each_refused(run, journal, spec, last):
        if len(rows) == PAGE:
            return rows, f"r{last}"
        last, why = refusal_id, reason_of_refusal(refusal)
        rows.append(ExceptionRow(refusal.line, None, refusal.label, amount, None, why))
    return rows, None


# ---- the subject of a report --------------------------------------------------------------------------------------


class SubjectKind(StrEnum):
    """What a report is of; the value stands in its stamp."""

    RUN = "run"
    """One run."""
    UNDO = "undo"
    """A run and the undo that takes it back; with the undo of the undo, three."""
    FILE = "file"
    """The runs of one round of a job file."""
    CAMPAIGN = "campaign"
    """Runs of all billings; its report has of each run its sums and its root, and no rows."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The runs that a report is of, the oldest first; those of a job file in the order of its steps."""

    kind: SubjectKind
    runs: tuple[Run, ...]

    @property
    def main(self) -> Run:
        return self.runs[-1]


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report says, run by run. `root` is the root over the roots of the runs, of one run its own."""

    kind: SubjectKind
    runs: tuple[ReportedRun, ...]
    root: str
    before: ReportRoot | None

    @property
    def main(self) -> ReportedRun:
        return self.runs[-1]

    @property
    def file(self) -> StepMark | None:
        """The job file of the report, None for a report of one run or of an undo."""
        return self.main.step if self.kind is SubjectKind.FILE else None

    @property
    def steps_not_begun(self) -> tuple[int, ...]:
        if self.file is None:
            return ()
        begun = {one.step.number for one in self.runs if one.step}
        return tuple(number for number in range(1, self.file.steps + 1) if number not in begun)

    @property
    def is_unfinished(self) -> bool:
        """Whether rows are still to be read, approved or sent, or steps to be begun."""
        return bool(self.steps_not_begun) or any(one.is_unfinished for one in self.runs)

    @property
    def in_doubt(self) -> int:
        return sum(one.in_doubt for one in self.runs)

    @property
    def is_preliminary(self) -> bool:
        """Whether nothing can be handed over with this report yet."""
        return self.is_unfinished or self.in_doubt > 0 or self.lacks_money is not None

    @property
    def lacks_money(self) -> ReportedRun | None:
        """The first run of whose money the billing has shown another sum than was accepted."""
        return next((one for one in self.runs if one.totals.gap), None)

    @property
    def exceptions(self) -> int:
        return sum(one.exceptions_in_all for one in self.runs)

    @property
    def date(self) -> datetime:
        """The moment whose state the report shows."""
        return max(one.history.changed_at for one in self.runs)

    @property
    def zone(self) -> str:
        return f"UTC{self.date.astimezone().isoformat()[-6:]}"

    @property
    def name(self) -> str:
        main = self.main.run.name
        return main if self.file is None else f"{PurePath(self.file.file).name} · {main}"

    @property
    def by_billing(self) -> list[list[ReportedRun]]:
        """The runs of each billing, in the order in which the billings were begun."""
        targets = dict.fromkeys(one.run.target for one in self.runs)
        return [[one for one in self.runs if one.run.target == target] for target in targets]


async def subject_of(word: str, journal: Journal, *, is_file: bool) -> Subject:
    """The subject that a name stands for: of an undo with what it takes back, of a job file its last round.

    Raises `NoSuchRun`, and `CommandRefused` for a job file without runs in the journal.
    """
    if is_file:
        path = str(await anyio.Path(word).resolve())
        marked = [run for run in await journal.runs() if (mark := mark_of(run)) and mark.file == path]
        sent = [run for run in marked if run.stage is not Stage.DISCARDED]
        if not sent:
            raise CommandRefused(
                "the journal has no run of the job file {file}: name a run instead", file=printable(path)
            )
        return await again(SubjectKind.FILE, [sent[-1].name], journal)
    run = await journal.run(word)
    return await again(SubjectKind.UNDO if run.job == UNDO else SubjectKind.RUN, [word], journal)


async def again(kind: str, names: Sequence[str], journal: Journal) -> Subject:
    """The subject as it is now of a report that was of these runs. Raises `NoSuchRun` and `ValueError`."""
    runs, subject = [await journal.run(name) for name in names], SubjectKind(kind)
    mark = mark_of(runs[-1])
    if subject in {SubjectKind.RUN, SubjectKind.UNDO}:
        runs = runs[-1:]
        while subject is SubjectKind.UNDO and runs[0].job == UNDO:
            runs.insert(0, await journal.run(runs[0].parameters[RUN]))
    elif subject is SubjectKind.FILE:
        if mark is None:
            raise CommandRefused("run {run} is not a step of a job file", run=runs[-1].name)
        of_round = [
            (one.number, run)
            for run in await journal.runs()
            if (one := mark_of(run)) and (one.file, one.round, run.target) == (mark.file, mark.round, runs[-1].target)
            if run.stage is not Stage.DISCARDED
        ]
        # A step that was begun anew has several runs: in the order in which they began.
        runs = [run for _, run in sorted(of_round, key=lambda one: one[0])]
    return Subject(subject, tuple(runs))


async def campaign_of(journal: Journal, since: datetime | None) -> Subject:
    """All runs of a journal that were not given up, begun at that moment or later. Raises `CommandRefused`."""
    runs = [run for run in await journal.runs() if run.stage is not Stage.DISCARDED]
    chosen = tuple(run for run in runs if since is None or run.created_at >= since)
    if not chosen:
        raise CommandRefused(
            said("{journal} has no runs yet", journal=journal.name)
            if since is None
            else said("{journal} has no run that was begun since {moment}", journal=journal.name, moment=since)
        )
    return Subject(SubjectKind.CAMPAIGN, chosen)


async def facts_of(subject: Subject, journal: Journal, catalogue: Catalogue) -> ReportFacts:
    """The facts of a report. Raises `JournalError`, also for a run whose rows were purged."""
    of_many = subject.kind is SubjectKind.CAMPAIGN
    for run in subject.runs if not of_many else ():
        refuse_purged(run)
    runs = tuple([await facts_of_run(run, journal, catalogue, only_sums=of_many) for run in subject.runs])
    roots = [one.evidence.root for one in runs]
    root = roots[0] if len(roots) == 1 else root_of(leaf_hash(bytes.fromhex(one)) for one in roots).hex()
    return ReportFacts(subject.kind, runs, root, await journal.history.report_before(subject.main, root))
