"""Foreign entries: entries of the billing that match a row and were entered by no run of this journal.

The journal knows only its own runs. A run of the same file with another journal, or with one that was lost, has left
its marks in the billing. Such a row is refused until the operator asks to enter it again.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from checkpoints.records import KnownMark, NewItem, Refusal
from engine.errors import Words, setting
from engine.job import Entries, Job, Marked

LOOKS_ENTERED: Final = "looks as if entered already"
"""The kind of a row beside which the billing has an equal entry without a mark."""

FOREIGN: Final = "entered from another journal"
"""The kind of a row that was entered by a run unknown to this journal."""


KnownMarks = Callable[[Collection[tuple[str, int]]], Awaitable[Sequence[KnownMark]]]
"""Gives those of the marks (pairs of run and number) whose items the journal has."""


class ForeignEntries:
    """Checks new items of a run for `target` against the entries of the billing.

    `own` is the name of the run, `known` reads the journal of the real runs; with `again` foreign entries become
    notes, not refusals. `words` renders the remedies in refusals.
    """

    def __init__(
        self, job: Job, known: KnownMarks, target: str, *, again: bool, own: str = "", words: Words = str
    ) -> None:
        self._job = job
        self._known = known
        self._target = target
        self._again = again
        self._own = own
        self._words = words

    async def judge(self, items: Sequence[NewItem]) -> list[NewItem | Refusal]:
        """Return each item unchanged, with a note, or refused. Raises `LookUpFailed`, `JournalError`."""
        sendable = [item for item in items if item.skip_reason is None]
        entries_by_key = await self._job.find_entries(sendable) if sendable else {}
        marks = {(one.run, one.number) for entries in entries_by_key.values() for one in entries.marked}
        known = {(one.run, one.number): one for one in await self._known(marks)} if marks else {}
        return [self._judged(item, entries_by_key.get(item.key, Entries()), known) for item in items]

    def _judged(
        self, item: NewItem, entries: Entries, known: Mapping[tuple[str, int], KnownMark]
    ) -> NewItem | Refusal:
        if item.skip_reason is not None:
            return item
        reasons = [why for one in entries.marked if (why := self._foreign(one, known.get((one.run, one.number))))]
        if reasons and not self._again:
            on_top = f"If it is meant to be entered on top, run with {self._words(setting('again'))}"
            return Refusal(item.line, None, item.label, f"{reasons[-1]}. {on_top}", item.row)
        notes = [f"{LOOKS_ENTERED}: {entries.unmarked}"] if entries.unmarked else []
        return replace(item, note="; ".join([*reasons, *notes])) if reasons or notes else item

    def _foreign(self, entry: Marked, known: KnownMark | None) -> str | None:
        """Why an entry is foreign; None if the journal knows it as an effect on the same target."""
        if known is None:
            whose = "this run, in a newer copy of this journal" if entry.run == self._own else f"run {entry.run}"
            return f"{FOREIGN}: {whose}, {entry.text}"
        if known.target != self._target:
            return (
                f"run {known.run} has entered it by the address {known.target}, which leads to this same billing: "
                f"{entry.text}; {self._words(setting('api-url', known.target))} goes on there"
            )
        if not known.had_effect:
            return f"run {known.run} has it as {known.state}, and yet it is in the billing: {entry.text}"
        return None
