"""Two runs beside each other, as `compare` and the page show them: their figures, and the rows that differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import accumulate, pairwise, zip_longest
from typing import Final, NamedTuple

from checkpoints.comparison import Compared, Rows, Side, compare_rows
from checkpoints.records import Reason, Run, RunRow, SentSpan, Stage, Totals
from checkpoints.states import State, states_where
from cli.show.closing import read_back_object, states_object
from cli.terminal.exits import CommandRefused
from cli.terminal.names import HELD_BACK, NEVER_SENT, STATE_NAMES, outcomes_of
from texts.said import said

_FAULTS: Final = (State.REJECTED, State.UNKNOWN, State.UNCONFIRMED, State.MANUAL)
"""The states whose reasons are compared."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of a run, in numbers."""

    run: Run
    totals: Totals
    faults: Mapping[str, Reason]
    calls: int
    seconds: float
    per_second: float | None

    @property
    def entered(self) -> tuple[int, Decimal]:
        states = states_where(in_effect=True)
        return self.totals.count(*states), self.totals.amount_of(*states)


class Line(NamedTuple):
    """A figure of both runs; `unit` names the filter of a template, and the function of the page, that writes it."""

    name: str
    unit: str
    first: object
    second: object


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs; `rows` is None where one of them is purged: no key of its rows is left."""

    both: tuple[Figures, Figures]
    rows: Compared | None

    @property
    def is_same(self) -> bool:
        return self.rows is not None and self.rows.is_same

    @property
    def lines(self) -> Iterator[Line]:
        first, second = self.both
        yield Line(said("rows read"), "count", first.totals.read, second.totals.read)
        yield Line(said("rows entered"), "count", first.entered[0], second.entered[0])
        if first.entered[1] or second.entered[1]:
            yield Line(said("sum entered"), "money", first.entered[1], second.entered[1])
        one, other = (
            outcomes_of(side.totals, has_ended=first.totals.has_ended and second.totals.has_ended)
            for side in (first, second)
        )
        for name in (NEVER_SENT, *STATE_NAMES.values(), HELD_BACK):
            if name in one or name in other:
                yield Line(name, "count", *(found[name].rows if name in found else 0 for found in (one, other)))
        if first.totals.refused or second.totals.refused:
            yield Line(said("refused"), "count", first.totals.refused, second.totals.refused)
        if first.totals.different or second.totals.different:
            yield Line(said("rows not as sent"), "count", first.totals.different, second.totals.different)
        if first.totals.gap or second.totals.gap:
            yield Line(said("difference of their sums"), "money", first.totals.gap, second.totals.gap)
        yield Line(said("calls"), "count", first.calls, second.calls)
        yield Line(said("time of sending"), "duration", first.seconds, second.seconds)
        yield Line(said("rows a second while sending"), "rate", first.per_second, second.per_second)

    @property
    def errors(self) -> Iterator[tuple[Reason, int, int]]:
        """Each kind of error, by a reason of it, and how many rows of each run have it."""
        first, second = (one.faults for one in self.both)
        for kind, reason in {**first, **second}.items():
            yield reason, first[kind].items if kind in first else 0, second[kind].items if kind in second else 0

    @property
    def facts(self) -> dict[str, object]:
        """All of it for scripts; sums are plain decimals."""
        rows = self.rows
        return {
            "runs": [
                {
                    "run": one.run.name,
                    "job": one.run.job,
                    "source": one.run.source,
                    "target": one.run.target,
                    "created": one.run.created_at,
                    **states_object(one.totals),
                    **read_back_object(one.totals),
                    "calls": one.calls,
                    "seconds": one.seconds,
                    "per_second": one.per_second,
                    "errors": {kind: reason.items for kind, reason in one.faults.items()},
                }
                for one in self.both
            ],
            "rows": rows
            and {
                "both": rows.both,
                "changed": _rows_object(rows.changed),
                "other_outcome": _rows_object(rows.other_outcome),
                "only_first": _rows_object(rows.only_first),
                "only_second": _rows_object(rows.only_second),
            },
        }


async def compare_runs(sides: Sequence[Side]) -> Comparison:
    """Compare two runs. Raises `CommandRefused` and `JournalError`."""
    for run, _ in sides:
        if run.stage is Stage.DISCARDED:
            raise CommandRefused(
                "run {run} was given up before anything was sent: there is nothing to compare", run=run.name
            )
    first, second = sides
    rows = None if any(side.run.purged_at for side in sides) else await compare_rows(first, second)
    return Comparison((await _figures_of(first), await _figures_of(second)), rows)


async def _figures_of(side: Side) -> Figures:
    run, journal = side
    spans = await journal.history.sent_by_time(run, MOST_SPANS)
    pace = pace_of(spans)
    faults: dict[str, Reason] = {}
    # One kind of error can leave rows in several states.
    for one in [one for state in _FAULTS for one in await journal.reasons(run, state)]:
        items = faults[one.kind].items if one.kind in faults else 0
        faults[one.kind] = replace(one, items=items + one.items)
    return Figures(
        run,
        await journal.totals(run),
        faults,
        sum(one.calls for one in spans),
        pace.seconds if pace else 0.0,
        pace and pace.average,
    )


# ---- the pace of a whole run --------------------------------------------------------------------------------------


MOST_SPANS: Final = 240
"""Points of a chart, which is some 800 pixels wide."""
STILL: Final = 10.0
"""Seconds without a row after which a run counts as held: a slow one has shorter gaps."""
FEW: Final = 5
"""Seconds of sending below which a pace is chance: rows are claimed, and counted, several at once."""
PEAK: Final = 60
"""Seconds of a peak at least: over less, whole seconds and groups of rows would be seen, and not the speed."""


class RunPace(NamedTuple):
    """How fast a run was in the `seconds` in which it has sent, without the times in which it was `still`."""

    seconds: float
    average: float | None
    peak: float | None
    still: Sequence[tuple[float, float]]


def pace_of(spans: Sequence[SentSpan]) -> RunPace | None:
    """The pace of a run by its spans, as all that tells an average has it; None for one that has sent nothing."""
    if not spans:
        return None
    first, length = spans[0].at, spans[0].seconds
    gaps = [(before, after) for before, after in pairwise(spans) if after.at - before.at - length >= STILL]
    still = [(float(before.at + length), float(after.at)) for before, after in gaps]
    seconds = float(spans[-1].at + length - first) - sum(to - since for since, to in still)
    # From the first claim of each time of sending to its last one: as for a peak, without the rows of the first.
    firsts = [spans[0], *(after for _, after in gaps)]
    sent, moving = sum(one.sent for one in spans) - sum(one.sent for one in firsts), seconds - length * len(firsts)
    average, peak = sent / moving if moving >= FEW else None, _peak(spans, still)
    return RunPace(seconds, average if average is None or peak is None else min(average, peak), peak, still)


def _peak(spans: Sequence[SentSpan], still: Sequence[tuple[float, float]]) -> float | None:
    """The most rows a second over at least a minute, without the time in which it was still; None for a shorter run.

    A moment is that of a claim of several rows, which makes up for what was sent since the claim before. So it is
    counted from one claim to another: without the rows of the first, with those of the last.
    """
    sums, found = [0, *accumulate(one.sent for one in spans)], list[float]()
    clock = [one.at - sum(max(min(one.at, to) - since, 0.0) for since, to in still) for one in spans]
    for first, began in enumerate(clock):
        last = next((place for place, at in enumerate(clock) if at - began >= PEAK), None)
        if last is not None:
            found.append((sums[last + 1] - sums[first + 1]) / (clock[last] - began))
    return max(found, default=None)


def _rows_object(found: Rows) -> Mapping[str, object]:
    first = [
        {
            "row": row.number,
            "line": row.line,
            "label": row.label,
            "state": str(row.state),
            "amount": _amount(row),
            "before": before and {"state": str(before.state), "amount": _amount(before)},
        }
        for row, before in zip_longest(found.first, found.before)
    ]
    return {"rows": found.rows, "amount": format(found.sum, "f"), "first": first}


def _amount(row: RunRow) -> str | None:
    return None if row.amount is None else format(row.amount, "f")
