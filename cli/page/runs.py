"""The runs of a journal as the page lists them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State, states_where
from cli.session.stages import describe_stage, stage_of
from cli.terminal.texts import printable
from texts.said import Language

MOST_RUNS: Final = 200
"""The latest runs, which are listed; the others are counted."""


async def list_runs(journal: Journal, language: Language) -> dict[str, object]:
    """The latest runs, the newest first, and the number of those that are older."""
    runs = await journal.runs()
    latest = runs[: -MOST_RUNS - 1 : -1]
    return {"runs": [await _entry(run, journal, language) for run in latest], "more": len(runs) - len(latest)}


async def _entry(run: Run, journal: Journal, language: Language) -> dict[str, object]:
    totals = await journal.totals(run)
    is_held = await journal.holder(run) is not None
    asked, accepted = asked_of(totals), sum_of(totals, *states_where(in_effect=True))
    return {
        "run": run.name,
        "job": run.job,
        "source": printable(run.source),
        "target": printable(run.target),
        "stage": stage_of(run, totals, is_held=is_held),
        "stage_text": language.render(describe_stage(run, totals, is_held=is_held)),
        "begun": run.created_at.isoformat(),
        "asked": asked["rows"],
        "asked_sum": asked["sum"],
        "accepted": accepted["rows"],
        "accepted_sum": accepted["sum"],
        "is_held": is_held,
    }


def asked_of(totals: Totals) -> Mapping[str, object]:
    """The rows and the sum of a run; a corrected row is counted once, as the row that replaced it."""
    return sum_of(totals, *(state for state in State if state is not State.REPLACED))


def sum_of(totals: Totals, *states: State) -> Mapping[str, object]:
    """The number of rows in these states, and their sum as decimal text."""
    amount = sum((totals.amounts.get(state, Decimal(0)) for state in states), Decimal(0))
    return {"rows": totals.count(*states), "sum": format(amount, "f")}
