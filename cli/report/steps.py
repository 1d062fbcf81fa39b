"""An import in a report: its subscribers, steps and opening balances; its rows are steps, which nobody counts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Final

from checkpoints.sentences import AS_WANTED
from checkpoints.states import State
from checkpoints.step_counts import StepCount
from cli.report.facts import ReportedRun
from cli.report.sums import LEFT_OUT, REFUSED, STATES, Line, at_least, refused_line
from cli.report.tables import ReportTable, Section, TableWriter
from cli.terminal.names import OUTCOMES
from jobs.imports.subscriber import DIFFERENT, STEP_NAMES, Step
from jobs.sums import Subscribers, sum_over
from texts.said import Quantity, Said, Value, counted, said


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A column of the table of steps: what became of them."""

    name: Said
    holds: Callable[[StepCount], bool]


_OUTCOMES: Final = (
    _Outcome(said("In the billing"), lambda one: one.state.in_effect),
    _Outcome(said("There before"), lambda one: one.kind == AS_WANTED),
    _Outcome(said("Left as it was"), lambda one: one.kind == DIFFERENT),
    _Outcome(said("Skipped"), lambda one: one.kind not in {"", AS_WANTED, DIFFERENT}),
    _Outcome(said("Rejected"), lambda one: one.state is State.REJECTED),
    _Outcome(said("In doubt"), lambda one: one.state.counts_money and not one.state.in_effect),
    _Outcome(said("To be sent"), lambda one: one.state is State.PENDING),
)


def import_sections(one: ReportedRun, write: TableWriter) -> Iterator[Section]:
    """What became of the subscribers of an import, of their steps, and of their opening balances."""
    subscribers, balances = import_tables([one], write)
    yield Section(write.text(said("What was asked, and what came of it")), (subscribers,))
    title = write.text(said("Steps of the subscribers"))
    yield Section(title, (_steps(one.steps, write),), after=_left_as_it_was(one.steps, write))
    notes = at_least(one.sums.whole, sum(one.totals.left_out.values()))
    yield Section(write.text(said("Control sums")), (balances,), after=" ".join(map(write.text, notes)))


def import_tables(runs: Sequence[ReportedRun], write: TableWriter) -> tuple[ReportTable, ReportTable]:
    """The subscribers of imports by what became of them, and their opening balances."""
    known = reduce(Subscribers.__add__, [one.subscribers for one in runs if one.subscribers])
    rows = ((name, Quantity(number)) for name, number in _subscribers(known))
    head = (said("Subscribers"), said("Number"))
    columns = (said("Opening balances"), said("Number"), said("Amount"))
    balances = ((name, Quantity(number), amount) for name, number, amount in _balances(runs))
    return (
        write.table(head, rows, widths=(76, 24), numbers={1}, has_sum=True),
        write.table(columns, balances, widths=(60, 16, 24), numbers={1, 2}),
    )


def _subscribers(known: Subscribers) -> Iterator[tuple[Said, int]]:
    yield said("in the billing with all that belongs to them"), known.complete
    yield said("with a rejected step"), known.known.rejected
    if known.known.left_alone:
        yield said("there before, and different from the file"), known.known.left_alone
    if known.known.open:
        yield said("not at their end"), known.known.open
    yield REFUSED, known.refused
    if known.left_out:
        yield LEFT_OUT, known.left_out
    yield said("all subscribers of the file"), known.all


def _steps(steps: Sequence[StepCount], write: TableWriter) -> ReportTable:
    outcomes = [_OUTCOMES[0], *(it for it in _OUTCOMES[1:] if any(map(it.holds, steps)))]
    there = [step for step in Step if any(one.step == step for one in steps)]
    rows: list[tuple[Value, ...]] = [(STEP_NAMES[step], *_numbers(steps, outcomes, step)) for step in there]
    if len(there) > 1:
        rows.append((said("all"), *_numbers(steps, outcomes)))
    width = 70 // len(outcomes)
    return write.table(
        (said("Step"), *(it.name for it in outcomes)),
        rows,
        widths=(100 - width * len(outcomes), *[width] * len(outcomes)),
        numbers=range(1, len(outcomes) + 1),
        has_sum=len(there) > 1,
    )


def _numbers(steps: Sequence[StepCount], outcomes: Sequence[_Outcome], step: Step | None = None) -> list[Quantity]:
    mine = [one for one in steps if step is None or one.step == step]
    return [Quantity(sum(one.items for one in mine if outcome.holds(one))) for outcome in outcomes]


def _left_as_it_was(steps: Sequence[StepCount], write: TableWriter) -> str:
    left = sum(one.items for one in steps if one.kind == DIFFERENT)
    if not left:
        return ""
    told = counted(
        "{n} step has found another value there, and left it: see the exceptions.",
        "{n} steps have found other values there, and left them: see the exceptions.",
        left,
    )
    return write.text(told)


def _balances(runs: Sequence[ReportedRun]) -> Iterator[Line]:
    sums = [one.sums for one in runs]
    asked, entered = sum_over(sums, lambda one: one.whole), sum_over(sums, lambda one: one.in_effect)
    missing = asked - entered
    yield said("asked for by the file"), asked.rows, asked.amount
    yield said("accepted by the billing"), entered.rows, entered.amount
    yield said("asked for, and not accepted"), missing.rows, missing.amount
    if (refused := sum_over(sums, lambda one: one.refused)).rows:
        open_or_left = [it for it in STATES if not it.in_effect]
        left = ((it, sum_over(sums, lambda one, it=it: one.of(it))) for it in open_or_left)  # type: ignore[misc]
        for name, number, amount in (
            refused_line(refused),
            *((OUTCOMES[it], sub.rows, sub.amount) for it, sub in left),
        ):
            if number:
                yield said("of these: {outcome}", outcome=name), number, amount
    if read := [one.verification.result for one in runs if one.verification]:
        gap = sum((Decimal(it["found"]) - Decimal(it["expected"]) for it in read), Decimal(0))
        yield said("difference when they were read back"), sum(int(it["different"]) for it in read), gap


# ---- the verdict ------------------------------------------------------------------------------------------------


def entered_by_import(one: ReportedRun, known: Subscribers) -> Said:
    """What an import has entered, for the verdict."""
    return counted(
        "{n} of {asked} subscribers is in the billing with all that belongs to them; opening balances of {sum} are "
        "entered",
        "{n} of {asked} subscribers are in the billing with all that belongs to them; opening balances of {sum} are "
        "entered",
        known.complete,
        asked=Quantity(known.all),
        sum=one.sums.in_effect.amount,
    )


def left_by_import(one: ReportedRun, known: Subscribers) -> Iterator[Said]:
    """What an import has not entered, for the verdict."""
    if missing := known.known.rejected + known.refused:
        yield counted("{n} subscriber is missing or not whole", "{n} subscribers are missing or not whole", missing)
    if different := sum(it.items for it in one.steps if it.kind == DIFFERENT):
        yield counted(
            "{n} value that was there already is another one than in the file",
            "{n} values that were there already are others than in the file",
            different,
        )
