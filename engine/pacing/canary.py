"""The canary: a run begins with one row, then ten, then a hundred, and waits for the outcomes of each step.

A fault of the whole input, or of the call, shows in the first rows, and the run stops before all rows repeat it.
"""

from collections.abc import Collection, Mapping
from typing import Final

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from checkpoints.states import State, states_where
from engine.statistics import error_group
from texts.remedies import Remedy, setting
from texts.said import Given, said

STEPS: Final = (1, 10, 100)
"""Rows of each step; after the last step all rows follow."""

WATCHED: Final = 10
"""Number of first rows in which a new error stops the run."""


class Canary:
    """The canary steps of a run in this process. `known` are error texts that the run has shown before.

    A step without a single answered row is repeated.
    """

    def __init__(self, *, wanted: bool, known: Collection[str] = ()) -> None:
        self._left = list(STEPS) if wanted else []
        self._known = {error_group(text) for text in known}
        self._answered = 0
        self._watched = WATCHED if wanted else 0

    @property
    def rows(self) -> int | None:
        return self._left[0] if self._left else None

    @property
    def why(self) -> str:
        """The present step, in words; "" when the steps are over."""
        return said("trial rows first: {rows}", rows=self._left[0]) if self._left else ""

    def answered(self) -> None:
        self._answered += 1
        self._watched -= 1

    def alarm(self, item: Item, error: str, run_name: str, *, tries: int | None = None) -> str | None:
        """The stop message if `item` is one of the first rows and `error` is new, None otherwise.

        `tries` is the number of tries of a row that was not refused but left pending.
        """
        if self._watched < 0 or not self._left or error_group(error) in self._known:
            return None
        where = said("row {row}", row=item.number)
        if item.line:
            where = said("row {row}, line {line}", row=item.number, line=item.line)
        slots: dict[str, Given] = {
            "watched": WATCHED,
            "where": where,
            "label": item.label,
            "error": error,
            "resume": Remedy("resume", run_name),
            "no_canary": setting("no-canary"),
        }
        if tries is not None:
            return said(
                "one of the first {watched} rows was tried {tries} times in vain and is left for another time: "
                "{where} ({label}): {error}. {resume} tries it again; with {no_canary} the others do not wait for it",
                tries=tries,
                **slots,
            )
        return said(
            "one of the first {watched} rows met an error that this run has not met before: {where} ({label}): "
            "{error}. If it is only this row, {resume} goes on with the others; with {no_canary} it does not begin "
            "with a few rows",
            **slots,
        )

    def passed(self) -> None:
        if self._left and self._answered:
            del self._left[0]
        self._answered = 0


async def canary_of(run: Run, journal: Journal, counts: Mapping[State, int], *, wanted: bool) -> Canary:
    if not wanted or any(counts.get(state) for state in states_where(in_effect=True)):
        return Canary(wanted=False)
    known = [*await journal.reasons(run, State.REJECTED), *await journal.reasons(run, State.UNCONFIRMED)]
    return Canary(wanted=True, known=[reason.example for reason in known])
