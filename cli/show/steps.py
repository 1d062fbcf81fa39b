"""The steps of an import: how many of each kind there are, what becomes of them, and how many subscribers they make.

The rows of such a run are steps, several for each row of its table; people count subscribers.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from rich.table import Table
from rich.text import Text

from billing.api.error_catalogue import LICENCE
from checkpoints.journal import Journal
from checkpoints.records import Reason, Run, Totals
from checkpoints.rows import LaneCounts, StepCount
from checkpoints.sentences import AS_WANTED, DUPLICATE, NOT_SENT
from checkpoints.states import State
from cli.terminal.layout import render
from cli.terminal.names import STATE_NAMES
from cli.terminal.texts import WHOLE, count, printable
from jobs.imports.subscriber import DIFFERENT, LANE, STEP_NAMES, Step
from jobs.spec.words import COLUMN, IMPORT, SWITCHES, UNDO, VALUES, YES
from texts.remedies import command_line
from texts.said import Quantity, Said, counted, said

FAILED: Final = said("failed")


@dataclass(frozen=True, slots=True)
class StepColumn:
    """A column of the table: what became of steps, or will."""

    name: Said
    style: str
    holds: Callable[[StepCount], bool]


_SKIPPED: Final = (
    StepColumn(said("as wanted"), "dim", lambda one: one.kind == AS_WANTED),
    StepColumn(said("different"), "yellow", lambda one: one.kind == DIFFERENT),
    StepColumn(STATE_NAMES[State.SKIPPED], "dim", lambda one: one.kind not in {"", AS_WANTED, DIFFERENT}),
)
_OPEN: Final = (
    StepColumn(said("left"), "bold", lambda one: one.state.to_send),
    StepColumn(said("unclear"), "yellow", lambda one: one.state.in_doubt or one.state is State.MANUAL),
    StepColumn(FAILED, "red", lambda one: one.state is State.REJECTED),
)
_LEFT_ALONE: Final = StepColumn(STATE_NAMES[State.SKIPPED], "dim", lambda one: one.state is State.SKIPPED)

_COLUMNS: Final[Mapping[tuple[bool, bool], Sequence[StepColumn]]] = MappingProxyType(
    {
        (False, False): (
            StepColumn(said("new"), "bold", lambda one: one.state is State.PENDING and not one.changes),
            StepColumn(said("to change"), "bold yellow", lambda one: one.state is State.PENDING and one.changes),
            *_SKIPPED,
        ),
        (False, True): (
            StepColumn(said("made"), "green", lambda one: one.state.in_effect),
            *_OPEN,
            *_SKIPPED,
        ),
        (True, False): (
            StepColumn(said("to take back"), "bold", lambda one: one.state is State.PENDING),
            _LEFT_ALONE,
        ),
        (True, True): (
            StepColumn(said("taken back"), "green", lambda one: one.state.in_effect),
            *_OPEN,
            _LEFT_ALONE,
        ),
    }
)
"""The columns of an import and of its undo, before anything is sent and afterwards."""

STATES_OF_STEPS: Final[Mapping[State, Said]] = MappingProxyType({**STATE_NAMES, State.REJECTED: FAILED})
"""The names of the states of steps: one that another has kept from being sent was not rejected by the billing."""


@dataclass(frozen=True, slots=True)
class StepsFacts:
    """The steps of a run by kind and state, and its subscribers; those of an undo are taken back."""

    counts: Sequence[StepCount] = ()
    subscribers: LaneCounts = field(default_factory=LaneCounts)
    is_undo: bool = False

    @property
    def folders_asked_again(self) -> int:
        """The folders that several rows have asked for at one time; that is no fault of the input."""
        return sum(one.items for one in self.counts if one.step == Step.FOLDER and one.kind == DUPLICATE)


async def steps_of(run: Run, journal: Journal) -> StepsFacts | None:
    """The steps of an import, or of its undo; None for any other run, and for one whose content was purged."""
    if run.job not in {IMPORT, UNDO} or run.purged_at is not None:
        return None
    counts = await journal.step_counts(run)
    if run.job == IMPORT:
        return StepsFacts(counts, await journal.lane_counts(run, LANE, DIFFERENT))
    if not any(one.step for one in counts):
        return None
    # The subscribers of an undo are those that the import has created.
    own = [one for one in counts if one.step == Step.SUBSCRIBER]
    subscribers = LaneCounts(
        all=sum(one.items for one in own),
        open=sum(one.items for one in own if not one.state.settled),
        rejected=sum(one.items for one in own if one.state is State.REJECTED),
        sent=sum(one.items for one in own if one.state is not State.SKIPPED),
    )
    return StepsFacts(counts, subscribers, is_undo=True)


def steps_table(facts: StepsFacts, *, begun: bool) -> Table:
    """A row a kind of step, and a column an outcome that there is."""
    outcomes = [one for one in _COLUMNS[facts.is_undo, begun] if any(map(one.holds, facts.counts))]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(render(said("step")), no_wrap=True)
    for one in outcomes:
        table.add_column(render(one.name), justify="right")

    def add(name: Text, steps: Collection[str]) -> None:
        counts = [one for one in facts.counts if one.step in steps]
        numbers = [(sum(each.items for each in counts if one.holds(each)), one.style) for one in outcomes]
        if any(number for number, _ in numbers):
            table.add_row(
                name, *(Text(count(number), style) if number else Text("–", "dim") for number, style in numbers)
            )

    for step in Step:
        add(render(STEP_NAMES[step]), {step})
    if len(table.rows) > 1:
        add(render(said("all"), "dim"), set(Step))
    return table


def reasons_of_steps(reasons: Sequence[Reason]) -> list[Reason]:
    """The reasons that are to be read: not those of steps that are as wanted, and causes before what followed."""
    told = [one for one in reasons if one.kind != AS_WANTED]
    return sorted(told, key=lambda one: one.kind == NOT_SENT)


def to_send_of(facts: StepsFacts, to_send: int) -> Said:
    """What is to be sent, with the subscribers that it is for."""
    return counted(
        "{n} step; subscribers: {subscribers}",
        "{n} steps; subscribers: {subscribers}",
        to_send,
        subscribers=Quantity(facts.subscribers.sent),
    )


def subscribers_line(facts: StepsFacts) -> Said:
    """How many subscribers of a run that has begun are complete, and how many are not."""
    known = facts.subscribers
    if facts.is_undo:
        done = known.sent - known.open - known.rejected
        return counted(
            "{n} subscriber of the run; taken back: {done}",
            "{n} subscribers of the run; taken back: {done}",
            known.all,
            done=Quantity(done),
        )
    complete = known.all - known.open - known.rejected - known.left_alone
    if complete == known.all:
        return counted("{n} subscriber, complete", "{n} subscribers, all complete", known.all)
    left = (
        *((said("not at their end: {n}", n=Quantity(known.open)),) if known.open else ()),
        *((said("with a rejected step: {n}", n=Quantity(known.rejected)),) if known.rejected else ()),
        *((said("there before, and different: {n}", n=Quantity(known.left_alone)),) if known.left_alone else ()),
    )
    return counted(
        "{n} subscriber: complete {complete}; {left}",
        "{n} subscribers: complete {complete}; {left}",
        known.all,
        complete=Quantity(complete),
        left=left,
    )


def entered_line(facts: StepsFacts) -> Said | None:
    """The sum of the opening balances that are entered; None without any."""
    entered = [one for one in facts.counts if one.step == Step.BALANCE and one.state.in_effect]
    if not entered or facts.is_undo:
        return None
    return counted(
        "{n} opening balance entered, {sum}",
        "{n} opening balances entered, {sum}",
        sum(one.items for one in entered),
        sum=sum((one.amount for one in entered), Decimal(0)),
    )


def steps_object(facts: StepsFacts | None) -> Mapping[str, object]:
    """The steps of an import for scripts; nothing for any other run."""
    if facts is None:
        return {}
    by_step: dict[str, dict[str, int]] = {}
    for one in facts.counts:
        word = f"{one.state}: {one.kind}" if one.kind else str(one.state)
        words = by_step.setdefault(one.step, {})
        words[word] = words.get(word, 0) + one.items
    known = facts.subscribers
    subscribers = {
        "all": known.all,
        "not_settled": known.open,
        "with_rejected_steps": known.rejected,
        "different": known.left_alone,
    }
    return {"subscribers": subscribers, "by_step": by_step}


def import_again(run: Run, file: str) -> str:
    """The command that imports another file as a run has imported its own."""
    given, flags = run.parameters, list[str]()
    for name in VALUES:
        if value := given.get(name):
            flags += [f"--{name}", printable(value, WHOLE)]
    flags += [f"--{name}" for name in SWITCHES if given.get(name) == YES]
    for name, column in given.items():
        if name.startswith(COLUMN):
            flags += ["--map", f"{name.removeprefix(COLUMN)}={printable(column, WHOLE)}"]
    return command_line(IMPORT, file, *flags)


def next_steps_of_import(run: Run, totals: Totals) -> list[tuple[str, str]]:
    """What to type of an import that stopped, or has rows that were not entered."""
    steps: list[tuple[str, str]] = []
    if totals.count_where(open=True) and totals.count_where(in_effect=True):
        steps.append((command_line("undo", run.name), said("or take back what it has created so far")))
    if run.frozen_at is not None and (totals.count(State.REJECTED) or totals.refused):
        file = f"{run.name}-{State.REJECTED}.csv"
        write = said("write the rows that were not entered, each once and whole: {file}", file=file)
        again = said("import that file, once it is corrected: what is there already is left as it is")
        steps += [(command_line("export", run.name), write), (import_again(run, file), again)]
    return steps


def licence_hint(stopped: str) -> Said | None:
    """What to do about a licence that was used up; None for a run that stopped for another reason."""
    if LICENCE.casefold() not in stopped.casefold():
        return None
    return said(
        "the licence of the billing has no room for more subscribers: have it extended and resume, or take back what "
        "is there of this import"
    )
