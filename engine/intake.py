"""The intake: from the source's rows to the frozen list, a page a commit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import anyio
import anyio.to_thread
import structlog

from checkpoints.journal import Journal, Judge
from checkpoints.records import NewItem, Page, Refusal, Run, Twin
from checkpoints.states import OPEN, State
from engine.errors import InputRefused
from engine.job import Prepared, Row, RowPage, Source
from engine.progress import Progress
from engine.sources.original import STANDARD_INPUT

log = structlog.get_logger(__name__)


DUPLICATE = "a duplicate in the input"
"""The kind of a skipped row that says again what an earlier row of the same input has said."""


class Listener(Protocol):
    """Who waits for what the intake has frozen."""

    def more(self) -> None:
        """Another page is frozen."""
        ...

    def end_intake(self) -> None:
        """The list is complete."""
        ...


class Supplier(Protocol):
    """What the intake asks of a job."""

    @property
    def repeatable(self) -> bool:
        """Whether its calls may be sent again."""
        ...

    @property
    def source(self) -> Source:
        """Where its rows come from. Raises `InputRefused`."""
        ...

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Turn rows into items and refusals. Raises `LookUpFailed`."""
        ...


class Intake:
    """Freezes the rest of a run's rows, from where its last frozen page ended.

    Raises `InputRefused` when the input as a whole cannot be taken or is no longer the one that the run began with.
    """

    def __init__(
        self, run: Run, job: Supplier, journal: Journal, progress: Progress, *, enter_again: bool = False
    ) -> None:
        self._run = run
        self._job = job
        self._journal = journal
        self._progress = progress
        self._judge = judge_for(run, repeatable=job.repeatable, enter_again=enter_again)

    async def freeze_all(self, listener: Listener | None = None) -> None:
        """Read, prepare and freeze page after page; tell `listener` of each."""
        source = self._job.source
        if await anyio.to_thread.run_sync(lambda: source.digest) != self._run.source_digest:
            raise InputRefused(_other(source.name, self._run))
        pages = source.pages(self._run.cursor)
        while (page := await anyio.to_thread.run_sync(_next, pages)) is not None:
            await self._freeze(page)
            if listener:
                listener.more()
        await self._journal.end_intake(self._run)
        self._progress.intake_ended = True
        log.info("the list is frozen")
        if listener:
            listener.end_intake()

    async def _freeze(self, page: RowPage) -> None:
        prepared = await self._job.prepare(page.rows)
        refusals = (*page.refusals, *prepared.refusals)
        # What is handed to the journal is written, cancelled or not: it has to be counted too.
        with anyio.CancelScope(shield=True):
            judged = await self._journal.freeze(self._run, Page(prepared.items, refusals, page.cursor), self._judge)
            items = [entry for entry in judged if isinstance(entry, NewItem)]
            skipped = sum(item.skip_reason is not None for item in items)
            self._progress.frozen(len(items) - skipped, skipped, len(judged) - len(items) + len(refusals))


def _other(name: str, run: Run) -> str:
    """What to do about an input that is not the one that the run began with."""
    if name == STANDARD_INPUT:
        return (
            f"{name} has other rows than those that run {run.name} began with and did not read to their end. "
            "Pipe the same rows in again and resume, or start a new run with these"
        )
    return (
        f"{name} is no longer the file that run {run.name} began with, and was not read to its end then. "
        "Put the old file back and resume, or start a new run with the new one"
    )


def _next(pages: Iterator[RowPage]) -> RowPage | None:
    return next(pages, None)


def judge_for(run: Run, *, repeatable: bool, enter_again: bool) -> Judge:
    """The judge of a run's rows: what must not be entered twice is held against all that the journal has."""
    check_earlier: Callable[[NewItem, Twin], NewItem | Refusal | None] = (
        _allow if repeatable or enter_again else against_earlier
    )

    def judge(item: NewItem, twins: Sequence[Twin]) -> NewItem | Refusal:
        for twin in twins:
            check = _against_same_input if twin.run == run.name else check_earlier
            verdict = check(item, twin)
            if verdict is not None:
                return verdict
        return item

    return judge


def _against_same_input(item: NewItem, twin: Twin) -> NewItem | Refusal | None:
    where = f"line {twin.line}" if twin.line else "an earlier row"
    if twin.amount == item.amount:
        return replace(item, skip_reason=f"{DUPLICATE}: the same key and amount as {where}")
    return Refusal(
        item.line,
        None,
        item.label,
        f"contradicts {where}: the same key with {twin.amount} there and {item.amount} here",
        item.row,
        conflict=item.key,
    )


def against_earlier(item: NewItem, twin: Twin) -> NewItem | Refusal:
    """What becomes of a row that must not be entered twice, and of which an earlier run has a twin."""
    if twin.state in OPEN or twin.state is State.MANUAL:
        reason = f"run {twin.run} has this row as {twin.state}: take that run to its end first"
    elif twin.amount == item.amount:
        return replace(item, skip_reason=f"entered by an earlier run: {twin.run}, {twin.changed_at[:16]} UTC")
    else:
        reason = (
            f"run {twin.run} has entered {twin.amount} for this key on {twin.changed_at[:10]}; the input says "
            f"{item.amount}: if it is meant to be entered on top, run with --again"
        )
    return Refusal(item.line, None, item.label, reason, item.row)


def _allow(_item: NewItem, _twin: Twin) -> None:
    return None
