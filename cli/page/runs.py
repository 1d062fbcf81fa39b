"""The runs of a journal as the page lists them: those of all billings, or of one."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import anyio

from checkpoints.journal import Journal
from checkpoints.records import Totals
from checkpoints.states import State
from cli.fleet.overview import FleetJournal, sums_lines, view_of
from cli.page.feed import ACCEPTED, ASKED, PAUSE, profile_of_run
from cli.session.run_view import RunView
from cli.settings.known_billings import KnownBillings
from cli.terminal.language import CatalogueLanguage
from cli.terminal.texts import printable
from jobs.spec.words import source_of
from texts.said import Language

MOST_RUNS: Final = 200
"""The first runs, which are listed; the others are counted."""


class RunList:
    """The runs of a journal, those first that need a person, then those that are worked on.

    The rows of a run that nobody works on are counted once, those of others as seldom as that takes long.
    """

    def __init__(self, journal: Journal, known: KnownBillings) -> None:
        self._fleet = FleetJournal(journal)
        self._known = known
        self._count_after = 0.0
        """When the rows of what is worked on may be counted again, on the clock of the event loop."""
        self._one_at_a_time = anyio.Lock()

    async def look(self, language: CatalogueLanguage, billing: str = "") -> dict[str, object]:
        """The first runs, the number of those that are not listed, and what all come to; of one billing or of all."""
        async with self._one_at_a_time:
            began = anyio.current_time()
            recount = began >= self._count_after
            runs = await self._fleet.look(self._known, recount=recount)
            if recount:
                now = anyio.current_time()
                self._count_after = now + PAUSE * (now - began)
        view = view_of(one for one in runs if billing in ("", one.name))
        sums = sums_lines(view.sums, language) if view.runs else ()
        return {
            "runs": [_entry(one, language) for one in view.runs[:MOST_RUNS]],
            "more": len(view.runs[MOST_RUNS:]),
            "billings": sorted({one.name for one in runs}),
            "summary": [printable(language.render(line)) for line in sums],
        }


def _entry(one: RunView, language: Language) -> dict[str, object]:
    run, totals, holder = one.run, one.totals, one.holder
    asked, accepted = _sum_of(totals, *ASKED), _sum_of(totals, *ACCEPTED)
    stage = language.render(one.stage_text)
    return {
        "run": run.name,
        "job": run.job,
        "source": printable(language.render(source_of(run))),
        "billing": printable(one.name),
        "target": printable(run.target),
        "profile": profile_of_run(run, language),
        "group": one.group.name.lower(),
        "stage": one.stage,
        "stage_text": stage,
        "where": printable(language.render(one.where)),
        "needs": [printable(language.render(need.sentence)) for need in one.needs],
        "begun": run.created_at.isoformat(),
        "asked": asked["rows"],
        "asked_sum": asked["sum"],
        "accepted": accepted["rows"],
        "accepted_sum": accepted["sum"],
        "is_held": holder is not None,
        "per_second": round(one.per_second, 2),
        "seconds_left": one.seconds_left,
    }


def _sum_of(totals: Totals, *states: State) -> Mapping[str, object]:
    """The number of rows in these states, and their sum as decimal text."""
    amount = sum((totals.amounts.get(state, Decimal(0)) for state in states), Decimal(0))
    return {"rows": totals.count(*states), "sum": format(amount, "f")}
