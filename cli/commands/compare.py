"""`compare`: two runs beside each other, as a rehearsal and its night, or last month's load and this month's."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import zip_longest
from typing import Final

from rich.console import RenderableType

from checkpoints.journal import Journal
from checkpoints.records import Reason, Run, RunRow, Stage, Totals
from checkpoints.row_comparison import Compared, Rows, Side, compare_rows
from checkpoints.states import State, states_where
from cli.commands.execution import with_settings
from cli.session.journal import open_existing
from cli.settings.flags import RUN_NAME, JournalFlags
from cli.settings.places import typed_journal
from cli.show.closing import states_object
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import drawn
from cli.terminal.options import argument, option
from cli.terminal.screen import JsonVoice, Screen
from cli.terminal.waiting import waiting
from jobs.spec.words import source_of
from texts.said import said

_FAULTS: Final = (State.REJECTED, State.UNKNOWN, State.UNCONFIRMED, State.MANUAL)
"""The states whose reasons are compared."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of a run, in numbers. `seconds` are those between its first call and its last, without stops."""

    run: Run
    totals: Totals
    faults: Mapping[str, Reason]
    calls: int
    sent: int
    seconds: float

    @property
    def entered(self) -> tuple[int, Decimal]:
        states = states_where(in_effect=True)
        return self.totals.count(*states), self.totals.amount_of(*states)

    @property
    def per_second(self) -> float | None:
        return self.sent / self.seconds if self.seconds else None


@with_settings(
    "compare", JournalFlags, JsonVoice, reads=True, about=lambda given: {"runs": [given["first"], given["second"]]}
)
async def _compare(
    journal: Journal,
    screen: Screen,
    first: str = RUN_NAME,
    second: str = argument("OTHER", "The run to compare it with."),
    other_journal: str | None = option(
        "FILE", "The journal of the other run, where that is not in this one: a file, or postgresql://HOST/DATABASE."
    ),
) -> Exit:
    """Compare two runs: rows, sums, pace and errors, and which rows only one of them has.

    Rows are compared by their keys: whose they are, and what tells them from others of the same subscriber.
    """
    async with _opened(other_journal, journal) as other:
        sides = Side(await _run(first, journal), journal), Side(await _run(second, other), other)
        rows = None
        with waiting(said("comparing the rows of two runs")):
            # Of a purged run no key is left.
            if not any(side.run.purged_at for side in sides):
                rows = await compare_rows(*sides)
            figures = [await _figures_of(side) for side in sides]
    code = Exit.DONE if rows is not None and rows.is_same else Exit.REJECTED
    if screen.voice.as_json:
        screen.emit(_object(figures, rows, code))
    else:
        screen.show(comparison(figures, rows))
    return code


@asynccontextmanager
async def _opened(address: str | None, journal: Journal) -> AsyncIterator[Journal]:
    if address is None:
        yield journal
        return
    async with open_existing(typed_journal(address, "--other-journal", os.environ)) as other:
        yield other


async def _run(name: str, journal: Journal) -> Run:
    run = await journal.run(name)
    if run.stage is Stage.DISCARDED:
        raise CommandRefused("run {run} was given up before anything was sent: there is nothing to compare", run=name)
    return run


async def _figures_of(side: Side) -> Figures:
    run, journal = side
    work = await journal.work_of(run)
    faults: dict[str, Reason] = {}
    # One kind of error can leave rows in several states.
    for one in [one for state in _FAULTS for one in await journal.reasons(run, state)]:
        items = faults[one.kind].items if one.kind in faults else 0
        faults[one.kind] = replace(one, items=items + one.items)
    return Figures(
        run,
        await journal.totals(run),
        faults,
        sum(one.calls for one in work),
        sum(one.items for one in work),
        sum((one.last - one.first).total_seconds() for one in work),
    )


def comparison(figures: list[Figures], rows: Compared | None) -> RenderableType:
    """The screen of a comparison."""
    faults = {kind: reason for one in figures for kind, reason in one.faults.items()}
    return drawn("compare.j2", both=figures, rows=rows, faults=faults, source_of=source_of)


def _object(figures: list[Figures], rows: Compared | None, code: Exit) -> Mapping[str, object]:
    def amount(row: RunRow) -> str | None:
        return None if row.amount is None else format(row.amount, "f")

    def listed(found: Rows) -> Mapping[str, object]:
        first = [
            {
                "row": row.number,
                "line": row.line,
                "label": row.label,
                "state": str(row.state),
                "amount": amount(row),
                "before": before and {"state": str(before.state), "amount": amount(before)},
            }
            for row, before in zip_longest(found.first, found.before)
        ]
        return {"rows": found.rows, "amount": format(found.sum, "f"), "first": first}

    return {
        "runs": [
            {
                "run": one.run.name,
                "job": one.run.job,
                "source": one.run.source,
                "target": one.run.target,
                "created": one.run.created_at,
                **states_object(one.totals),
                "calls": one.calls,
                "seconds": one.seconds,
                "per_second": one.per_second,
                "errors": {kind: reason.items for kind, reason in one.faults.items()},
            }
            for one in figures
        ],
        "rows": rows
        and {
            "both": rows.both,
            "changed": listed(rows.changed),
            "other_outcome": listed(rows.other_outcome),
            "only_first": listed(rows.only_first),
            "only_second": listed(rows.only_second),
        },
        "exit": int(code),
        "error": None,
    }
