"""The canary: a run begins with one row, then ten, then a hundred, and each step waits for what came of it.

What is wrong with the whole input, or with the call, shows in the first rows: then the run stops before it has been
done ten thousand times.
"""

from collections.abc import Collection
from typing import Final

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State
from engine.errors import Remedy, Said, setting
from engine.statistics import error_group

STEPS: Final = (1, 10, 100)
"""Rows of each step; after the last all go."""

WATCHED: Final = 10
"""Rows that may meet no error that is new."""


class Canary:
    """The steps of one taking up of a run. `known` are texts of errors that people have seen of this run before.

    A step of which no row was answered says nothing, and is made again.
    """

    def __init__(self, *, wanted: bool, known: Collection[str] = ()) -> None:
        self._left = list(STEPS) if wanted else []
        self._known = {error_group(text) for text in known}
        self._answered = 0
        self._watched = WATCHED if wanted else 0

    @property
    def rows(self) -> int | None:
        """How many rows of the list the next pass may take; None for all."""
        return self._left[0] if self._left else None

    @property
    def why(self) -> str:
        """What it keeps the run at, "" when at nothing."""
        return f"canary: {self._left[0]} first" if self._left else ""

    def answered(self) -> None:
        """The billing took a row, or refused it."""
        self._answered += 1
        self._watched -= 1

    def alarm(self, item: Item, error: str, run_name: str, *, tries: int | None = None) -> Said | None:
        """Why the run should stop: `item` has met an error, one of the first and a new one. None when it is not.

        `tries` is how often it was tried, where the row was not refused but left for another time.
        """
        if self._watched < 0 or not self._left or error_group(error) in self._known:
            return None
        where = f"row {item.number}" + (f", line {item.line}" if item.line else "")
        resume, no_canary = Remedy("resume", run_name), setting("no-canary")
        if tries is not None:
            return (
                f"one of the first {WATCHED} rows was tried {tries} times in vain and is left for another time: ",
                f"{where} ({item.label}): {error}. ",
                resume,
                " tries it again; with ",
                no_canary,
                " the others do not wait for it",
            )
        return (
            f"one of the first {WATCHED} rows met an error that this run has not met before: {where} ",
            f"({item.label}): {error}. If it is only this row, ",
            resume,
            " goes on with the others; with ",
            no_canary,
            " it does not begin with a few rows",
        )

    def passed(self) -> None:
        """A pass is over, with what came of all its rows."""
        if self._left and self._answered:
            del self._left[0]
        self._answered = 0


async def canary_of(run: Run, journal: Journal, *, wanted: bool) -> Canary:
    """The canary of a run as it stands; one that has accepted rows has been begun with care, and needs none."""
    if not wanted or (await journal.totals(run)).count_where(in_effect=True):
        return Canary(wanted=False)
    known = await journal.reasons(run, State.REJECTED)
    return Canary(wanted=True, known=[reason.example for reason in known])
