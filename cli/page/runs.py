"""The runs of a journal as the page lists them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import anyio

from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State
from cli.page.facts import ACCEPTED, ASKED, PAUSE
from cli.page.snapshot import profile_of_run
from cli.session.stages import describe_stage, stage_of
from cli.terminal.texts import printable
from jobs.spec.undo_words import source_of
from texts.said import Language

MOST_RUNS: Final = 200
"""The latest runs, which are listed; the others are counted."""


class RunList:
    """The runs of a journal.

    The rows of a run that nobody works on are counted once, those of others as seldom as that takes long.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._counted: dict[int, _CountedRun] = {}
        self._one_at_a_time = anyio.Lock()

    async def look(self, language: Language) -> dict[str, object]:
        """The latest runs, the newest first, and the number of those that are older."""
        async with self._one_at_a_time:
            runs = await self._journal.runs()
            latest = runs[: -MOST_RUNS - 1 : -1]
            found = [await self._look_at(run) for run in latest]
            self._counted = {one.run.run_id: one for one in found}
        return {"runs": [_entry(one, language) for one in found], "more": len(runs) - len(latest)}

    async def _look_at(self, run: Run) -> "_CountedRun":
        is_held = await self._journal.holder(run) is not None
        before, began = self._counted.get(run.run_id), anyio.current_time()
        if before is not None and before.holds_for(run, began, is_held=is_held):
            return replace(before, run=run)
        totals = await self._journal.totals(run)
        now = anyio.current_time()
        return _CountedRun(run, is_held, totals, now + PAUSE * (now - began))


@dataclass(frozen=True, slots=True)
class _CountedRun:
    """A run with its rows, which need not be counted again before `until` while somebody works on it."""

    run: Run
    is_held: bool
    totals: Totals
    until: float

    def holds_for(self, run: Run, now: float, *, is_held: bool) -> bool:
        """Whether the count is good enough for the run as it is now.

        Who takes a run up raises its epoch, and nobody else changes the state of a row.
        """
        if is_held or self.is_held:
            return is_held and self.is_held and now < self.until
        return self.run == run


def _entry(one: _CountedRun, language: Language) -> dict[str, object]:
    run, is_held, totals = one.run, one.is_held, one.totals
    asked, accepted = _sum_of(totals, *ASKED), _sum_of(totals, *ACCEPTED)
    return {
        "run": run.name,
        "job": run.job,
        "source": printable(language.render(source_of(run))),
        "target": printable(run.target),
        "profile": profile_of_run(run, language),
        "stage": stage_of(run, totals, is_held=is_held),
        "stage_text": language.render(describe_stage(run, totals, is_held=is_held)),
        "begun": run.created_at.isoformat(),
        "asked": asked["rows"],
        "asked_sum": asked["sum"],
        "accepted": accepted["rows"],
        "accepted_sum": accepted["sum"],
        "is_held": is_held,
    }


def _sum_of(totals: Totals, *states: State) -> Mapping[str, object]:
    """The number of rows in these states, and their sum as decimal text."""
    amount = sum((totals.amounts.get(state, Decimal(0)) for state in states), Decimal(0))
    return {"rows": totals.count(*states), "sum": format(amount, "f")}
