"""The verdict on an import: compares what its journal reports with what the billing holds.

A pure function of the evidence: no process, no file, no clock.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from checkpoints.states import State
from jobs.imports.subscriber import Step
from lab.crash.import_table import WantedSubscriber, step_key
from lab.crash.judge import Problem, Verdict, step_problems, verdict_of
from lab.crash.program import ExitCode
from texts.said import counted, said

Group: TypeAlias = tuple[str, str]
"""What subscribers are counted by: `folder` with its path, or `tariff` with its id."""

Held: TypeAlias = Mapping[str, tuple[str, ...]]
"""What the billing holds: the value of each object by the key of the step that creates or sets it."""

_SET: Final = frozenset({Step.TARIFF, Step.THRESHOLD, Step.LIMIT})
"""Steps that set a field: sent again, they have the same effect."""


@dataclass(frozen=True, slots=True)
class ImportItem:
    """An item of the journal: a step of a subscriber, or a folder; `needs` are the keys of those before it.

    What is `unproven` was found after a kill, and may be a stranger's: an undo leaves it alone.
    """

    key: str
    step: str
    state: State
    attempts: int
    needs: tuple[str, ...] = ()
    message: str = ""
    unproven: bool = False

    @property
    def has_effect(self) -> bool:
        """Whether the billing has what it asks for, as the journal says."""
        return self.state.in_effect or self.state is State.SKIPPED


@dataclass(frozen=True, slots=True)
class GroupTotal:
    """The subscribers of a group, and the sum of their balances."""

    subscribers: int
    balance: Decimal


@dataclass(frozen=True, slots=True)
class UndoneImport:
    """What is left of an import that was taken back: its exit code, what is held, and the tables that differ."""

    exit: int
    held: Held
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportBooks:
    """The complete final state of an import.

    `subscribers` are those of the good rows, `folders` the keys of the folders to be created, `faulty` the number of
    faulty rows; `refused` the lines that the journal has refused. `totals` are the billing's own counts and sums of
    new subscribers, `orphans` counts rows without their parent by table. `steps` counts every step of an item.
    `refusals` are the texts with which the billing refuses rows for good. `touched` are the numbers of subscribers
    that a stranger has created meanwhile: what he has is not held here.
    """

    subscribers: Sequence[WantedSubscriber]
    folders: frozenset[str]
    faulty: int
    refused: int
    items: Sequence[ImportItem]
    held: Held
    totals: Mapping[Group, GroupTotal]
    orphans: Mapping[str, int]
    steps: Mapping[tuple[str, str], int]
    verified: int
    refusals: tuple[str, ...] = ()
    undone: UndoneImport | None = None
    touched: frozenset[str] = frozenset()

    def is_touched(self, key: str) -> bool:
        """Whether a step is of a subscriber that a stranger has created."""
        return key.partition("/")[0] in self.touched

    @property
    def wanted(self) -> Mapping[str, str]:
        """What is to be held, by key; of a folder that it is there."""
        found = dict.fromkeys(self.folders, "")
        for one in self.subscribers:
            found |= one.things
        return found


def judge_import(books: ImportBooks) -> Verdict:
    """Judge an import, and its undo if there was one."""
    tally: Counter[str] = Counter()
    problems = [
        *_input_problems(books),
        *_item_problems(books, tally),
        *_stray_problems(books, tally),
        *_total_problems(books),
        *_rejection_problems(books),
        *step_problems(books.steps, sum(item.attempts for item in books.items)),
        *_verify_problems(books),
        *_undo_problems(books),
    ]
    return verdict_of(tally, books.items, books.steps, problems)


def _input_problems(books: ImportBooks) -> Iterator[Problem]:
    """Check that each good row has all its items once, and each faulty one is refused."""
    seen = Counter(item.key for item in books.items)
    wanted = books.wanted
    for key in wanted.keys() - seen.keys():
        yield Problem(key, said("stands in the input and was never frozen"))
    for key, times in seen.items():
        if key not in wanted:
            yield Problem(key, said("was frozen and does not stand in the input"))
        elif times > 1:
            yield Problem(key, said("was frozen {times} times", times=times))
    if books.refused != books.faulty:
        yield Problem(
            "", said("faulty rows: {faulty}; refused: {refused}", faulty=books.faulty, refused=books.refused)
        )


def _item_problems(books: ImportBooks, tally: Counter[str]) -> Iterator[Problem]:
    """Check each step by itself: its state, how often the billing has it, and its value."""
    wanted = books.wanted
    for item in books.items:
        there = books.held.get(item.key, ())
        if not item.state.settled:
            if books.is_touched(item.key) and not there:
                tally["asked"] += 1
                continue
            yield Problem(item.key, said("left {state}, with {times}", state=item.state, times=_times(there)))
        elif not item.has_effect:
            if there and item.step not in _SET:
                yield Problem(
                    item.key, said("is {state} and had its effect: {times}", state=item.state, times=_times(there))
                )
        elif not there:
            if books.is_touched(item.key) and (
                item.step != Step.SUBSCRIBER or item.unproven or item.state is State.SKIPPED
            ):
                continue
            tally["lost"] += 1
            yield Problem(item.key, said("is {state} and had no effect", state=item.state))
        elif len(there) > 1:
            tally["twice"] += 1
            yield Problem(item.key, said("had its effect {times}", times=_times(there)))
        elif there[0] != (value := wanted.get(item.key, there[0])):
            yield Problem(item.key, said("asked for {wanted}, the billing has {value}", wanted=value, value=there[0]))
        else:
            tally["once"] += 1


def _times(there: Sequence[str]) -> str:
    if not there:
        return said("no effect")
    return counted("{n} time ({values})", "{n} times ({values})", len(there), values=tuple(there))


def _stray_problems(books: ImportBooks, tally: Counter[str]) -> Iterator[Problem]:
    """Check for what no row asks for, and for what is without its subscriber or folder."""
    wanted = books.wanted
    for key, there in books.held.items():
        if key not in wanted:
            tally["foreign"] += len(there)
            yield Problem(key, said("is in the billing, and no row asks for it: {values}", values=there))
    for table, count in books.orphans.items():
        yield Problem(
            "",
            counted(
                "{n} row of {table} is without its subscriber or folder",
                "{n} rows of {table} are without their subscriber or folder",
                count,
                table=table,
            ),
        )


def _total_problems(books: ImportBooks) -> Iterator[Problem]:
    """Check the counts and sums by folder and tariff, to the kopeck."""
    has_effect = {item.key for item in books.items if item.has_effect}
    counts: Counter[Group] = Counter()
    sums: defaultdict[Group, Decimal] = defaultdict(Decimal)
    for one in books.subscribers:
        if (key := step_key(one.number, Step.SUBSCRIBER)) not in has_effect:
            continue
        if one.number in books.touched and key not in books.held:
            continue
        balance = one.balance if step_key(one.number, Step.BALANCE) in has_effect else Decimal(0)
        tariff = one.tariff if step_key(one.number, Step.TARIFF) in has_effect else None
        for group in (("folder", "/".join(one.folder)), ("tariff", str(tariff or ""))):
            counts[group] += 1
            sums[group] += balance
    for group in counts.keys() | books.totals.keys():
        asked = GroupTotal(counts[group], sums[group])
        there = books.totals.get(group, GroupTotal(0, Decimal(0)))
        if asked != there:
            yield Problem(
                " ".join(group),
                said(
                    "subscribers accepted: {asked}, with {sum}; in the billing: {there}, with {total}",
                    asked=asked.subscribers,
                    sum=asked.balance,
                    there=there.subscribers,
                    total=there.balance,
                ),
            )


def _rejection_problems(books: ImportBooks) -> Iterator[Problem]:
    """Check that what is rejected was refused by the billing, as it was told to, or needs what was."""
    rejected = {item.key for item in books.items if item.state is State.REJECTED}
    for item in books.items:
        if item.key not in rejected or not rejected.isdisjoint(item.needs) or books.is_touched(item.key):
            continue
        if not any(text.casefold() in item.message.casefold() for text in books.refusals):
            yield Problem(
                item.key, said("is rejected, and nothing is wrong with it: {message}", message=item.message)
            )


def _verify_problems(books: ImportBooks) -> Iterator[Problem]:
    states = {item.state for item in books.items}
    if any(not item.state.settled and books.is_touched(item.key) for item in books.items):
        # Steps wait for a person, and others for them.
        return
    if any(not state.settled for state in states):
        expected = ExitCode.UNDECIDED
    else:
        expected = ExitCode.REJECTED if State.REJECTED in states else ExitCode.DONE
    if books.verified != expected:
        yield Problem("", said("verify ended with {verified}", verified=books.verified))


def judge_undone(undone: UndoneImport) -> Verdict:
    """Judge an import that was stopped and taken back."""
    return verdict_of(Counter(), (), {}, [*_left_problems(undone)])


def _undo_problems(books: ImportBooks) -> Iterator[Problem]:
    if books.undone is None:
        return
    # Where a stranger was at work, what may be his stays, with all that belongs to it.
    kept = any(item.unproven for item in books.items) if books.touched else False
    if not kept:
        yield from _left_problems(books.undone)


def _left_problems(undone: UndoneImport) -> Iterator[Problem]:
    """Check that nothing is left of an import that was taken back, and nothing else has changed."""
    if undone.exit != ExitCode.DONE:
        yield Problem("", said("undo ended with {exit}", exit=undone.exit))
    for key, there in undone.held.items():
        yield Problem(key, said("is left after the undo: {values}", values=there))
    for table in undone.changed:
        yield Problem("", said("{table} is not as it was before the import", table=table))
