"""An import in a report: its subscribers, steps and opening balances; its rows are steps, which nobody counts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from checkpoints.states import State
from checkpoints.step_counts import LaneCounts, StepCount
from cli.report.facts import ReportedRun
from cli.report.sums import LEFT_OUT, REFUSED, Line
from cli.report.tables import ReportTable, Section, TableWriter
from jobs.imports.subscriber import AS_WANTED, DIFFERENT, STEP_NAMES, Step
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


def import_sections(one: ReportedRun, subscribers: LaneCounts, write: TableWriter) -> Iterator[Section]:
    """What became of the subscribers of an import, of their steps, and of their opening balances."""
    head = (said("Subscribers"), said("Number"))
    rows = ((name, Quantity(number)) for name, number in _subscribers(one, subscribers))
    table = write.table(head, rows, widths=(76, 24), numbers={1}, has_sum=True)
    yield Section(write.text(said("What was asked, and what came of it")), (table,))
    title = write.text(said("Steps of the subscribers"))
    yield Section(title, (_steps(one.steps, write),), after=_left_as_it_was(one.steps, write))
    columns = (said("Opening balances"), said("Number"), said("Amount"))
    balances = ((name, Quantity(number), amount) for name, number, amount in _balances(one))
    sums = write.table(columns, balances, widths=(60, 16, 24), numbers={1, 2})
    yield Section(write.text(said("Control sums")), (sums,))


def _subscribers(one: ReportedRun, known: LaneCounts) -> Iterator[tuple[Said, int]]:
    yield said("in the billing with all that belongs to them"), complete(known)
    yield said("with a rejected step"), known.rejected
    if known.left_alone:
        yield said("there before, and different from the file"), known.left_alone
    if known.open:
        yield said("not at their end"), known.open
    yield REFUSED, one.totals.refused
    if one.left_out:
        yield LEFT_OUT, one.left_out
    yield said("all subscribers of the file"), known.all + one.totals.refused + one.left_out


def complete(known: LaneCounts) -> int:
    """The number of subscribers that are in the billing with all their steps."""
    return known.all - known.open - known.rejected - known.left_alone


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


def _balances(one: ReportedRun) -> Iterator[Line]:
    asked = [it for it in one.steps if it.step == Step.BALANCE]
    entered = [it for it in asked if it.state.in_effect]
    rows, amount = _sum(asked)
    done, sum_done = _sum(entered)
    yield said("asked for by the file"), rows, amount
    yield said("accepted by the billing"), done, sum_done
    yield said("asked for, and not accepted"), rows - done, amount - sum_done
    if one.verification is not None:
        result = one.verification.result
        gap = Decimal(result["found"]) - Decimal(result["expected"])
        yield said("difference when they were read back"), int(result["different"]), gap


def _sum(counts: Sequence[StepCount]) -> tuple[int, Decimal]:
    return sum(it.items for it in counts), sum((it.amount for it in counts), Decimal(0))


# ---- the verdict ------------------------------------------------------------------------------------------------


def entered_by_import(one: ReportedRun, known: LaneCounts) -> Said:
    """What an import has entered, for the verdict."""
    entered = sum((it.amount for it in one.steps if it.step == Step.BALANCE and it.state.in_effect), Decimal(0))
    return counted(
        "{n} of {asked} subscribers is in the billing with all that belongs to them; opening balances of {sum} are "
        "entered",
        "{n} of {asked} subscribers are in the billing with all that belongs to them; opening balances of {sum} are "
        "entered",
        complete(known),
        asked=Quantity(known.all + one.totals.refused),
        sum=entered,
    )


def left_by_import(one: ReportedRun, known: LaneCounts) -> Iterator[Said]:
    """What an import has not entered, for the verdict."""
    if missing := known.rejected + one.totals.refused:
        yield counted("{n} subscriber is missing or not whole", "{n} subscribers are missing or not whole", missing)
    if different := sum(it.items for it in one.steps if it.kind == DIFFERENT):
        yield counted(
            "{n} value that was there already is another one than in the file",
            "{n} values that were there already are others than in the file",
            different,
        )
