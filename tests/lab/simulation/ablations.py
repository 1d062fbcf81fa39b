"""Ablations: each takes one safeguard out of the program. The simulation has to find it, and says by which seed."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from msgspec import structs

from checkpoints import journal as journal_module
from checkpoints import lease, rows
from checkpoints.journal import Journal
from checkpoints.lease import Lease
from checkpoints.records import Run
from engine import outcomes
from engine.errors import CountsDiffer
from engine.evidence import Accepted, Busy, Lost, NotSent, RowRefused
from engine.pacing.policy import Policy
from engine.pipeline import gate, intake, pipeline
from engine.pipeline.backlog import Backlog
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.gate import window_of
from engine.pipeline.ownership import Ownership
from engine.pipeline.reconciler import Reconciler
from engine.pipeline.witness import Updates, Witness
from lab.simulation import postgres

Ablation = Callable[[], Any]


def _swap(target: object, name: str, value: object) -> Ablation:
    return lambda: patch.object(target, name, value)


async def _nothing(*_: object, **__: object) -> None:
    return None


async def _empty(*_: object, **__: object) -> dict[int, object]:
    return {}


async def _as_they_are(_: object, items: object) -> object:
    return items


def _decides(changed: Callable[[Any], Any]) -> Ablation:
    real = outcomes.decide
    return lambda: patch.object(
        pipeline, "decide", lambda evidence, *, repeatable: real(changed(evidence), repeatable=repeatable)
    )


def _believes(kind: Any) -> Callable[[Any], Any]:
    def changed(evidence: Any) -> Any:
        if isinstance(evidence, kind):
            return kind(
                *(True if name == "recognised" else getattr(evidence, name) for name in kind.__struct_fields__)
            )
        return evidence

    return changed


@contextmanager
def _claims_after_the_call() -> Iterator[None]:
    """The intent is handed over, and its commit not waited for."""
    real = Journal.claim

    async def claim(self: Journal, *arguments: Any) -> None:
        task = asyncio.get_running_loop().create_task(real(self, *arguments))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    with patch.object(Journal, "claim", claim):
        yield


@contextmanager
def _sends_again_at_start() -> Iterator[None]:
    async def doubt(self: Journal, run: Run) -> int:
        def work(db: Any) -> int:
            statement = "update items set state = 'pending' where run_id = ? and state = 'sending'"
            return int(db._connection.execute(statement, (run.run_id,)).rowcount)

        return await self._write(run, work)

    with patch.object(Journal, "doubt", doubt):
        yield


@contextmanager
def _no_epoch() -> Iterator[None]:
    with (
        patch.object(journal_module, "check_epoch", lambda *_: None),
        patch.object(Ownership, "confirm", _nothing),
    ):
        yield


@contextmanager
def _no_lanes() -> Iterator[None]:
    real = pipeline.Pipeline._read_page

    async def read_page(self: Any, after: int) -> list[Any]:
        return [structs.replace(item, lane=str(item.number)) for item in await real(self, after)]

    with patch.object(pipeline.Pipeline, "_read_page", read_page):
        yield


@contextmanager
def _undo_does_not_end_its_run() -> Iterator[None]:
    async def approve(self: Journal, run: Run) -> None:
        await self._write(run, lambda db: db.write("approve_run", run_id=run.run_id, now=rows.now()))

    with patch.object(Journal, "approve", approve):
        yield


@contextmanager
def _counts_before_the_epoch() -> Iterator[None]:
    async def check_sums(self: Any) -> None:
        totals = await self._journal.totals(self._run)
        kept = {state: count for state, count in self._progress.counts.items() if count}
        if kept != dict(totals.counts):
            raise CountsDiffer("the counts differ")

    with patch.object(pipeline.Pipeline, "_check_sums", check_sums):
        yield


# ---- of a fleet ----


def _of_clock(name: str) -> Ablation:
    shown = SimpleNamespace(CLOCK_BOOTTIME=time.CLOCK_BOOTTIME, clock_gettime=lambda _: getattr(time, name)())
    return _swap(lease, "time", shown)


def _in_block(name: str, words: str, instead: str) -> Ablation:
    """A block of PostgreSQL with other words in it."""
    real = postgres.block

    def block(asked: str) -> str:
        text = real(asked)
        assert asked != name or words in text
        return text.replace(words, instead) if asked == name else text

    return lambda: patch.object(postgres, "block", block)


@contextmanager
def _takes_over_without_settling() -> Iterator[None]:
    with (
        patch.object(Witness, "_wait_for_earlier_calls", _nothing),
        patch.object(Reconciler, "_wait_for_earlier_calls", _nothing),
        patch.object(Reconciler, "_wait_for_last_call", _nothing),
    ):
        yield


@contextmanager
def _no_epoch_in_the_fence() -> Iterator[None]:
    with patch.object(journal_module, "check_epoch", lambda *_: None):
        yield


FLEET: Final[Mapping[str, Ablation]] = {
    "the lease is not looked at before the write": _swap(Lease, "is_valid", lambda _: True),
    "the lease goes by the wall clock": _of_clock("time"),
    "the lease goes by a clock that stands still while the machine sleeps": _of_clock("monotonic"),
    "who takes over does not raise the epoch": _in_block("take_up", "epoch = runs.epoch + 1", "epoch = runs.epoch"),
    "no write names its epoch": _no_epoch_in_the_fence,
    "who takes over does not settle": _takes_over_without_settling,
    "the pace is not handed over": _swap(Ownership, "carry_on", lambda *_: None),
    "two machines work on one billing": _in_block("other_machine", "r.machine <> :machine", "false"),
}
"""Safeguards of what several machines work on, which schedules of a fleet have to miss."""


ABLATIONS: Final[Mapping[str, Ablation]] = {
    "a lost answer counts as not sent": _decides(lambda seen: NotSent("lost") if isinstance(seen, Lost) else seen),
    "a lost answer counts as accepted": _decides(lambda seen: Accepted("1") if isinstance(seen, Lost) else seen),
    "busy is believed from a proxy": _decides(_believes(Busy)),
    "a refusal is believed from a proxy": _decides(_believes(RowRefused)),
    "no settle delay before a look-up": _swap(Reconciler, "_wait_for_last_call", _nothing),
    "no settle delay when a run is resumed": _swap(Witness, "_wait_for_earlier_calls", _nothing),
    "the intent is not waited for": _claims_after_the_call,
    "what was being sent is sent again at the start": _sends_again_at_start,
    "no epoch": _no_epoch,
    "the epoch is not confirmed before a call": _swap(Ownership, "confirm", _nothing),
    "no look before a call": _swap(Witness, "at_call", _nothing),
    "entries of other journals are not looked for": _swap(ForeignEntries, "judge", _as_they_are),
    "entries of others since the list do not count": _swap(ForeignEntries, "judge_at_call", _empty),
    "rows of an account at the same time": _no_lanes,
    "the account of a row in doubt stays open": _swap(Backlog, "shut", lambda self, item: self.finish(item)),
    "changes since the list are not looked at": _swap(Updates, "at_call", _nothing),
    "an undo does not end its run": _undo_does_not_end_its_run,
    "an undo of an undo restores what was entered anew": _swap(Journal, "entered_anew", _empty),
    "the window has no end": _swap(gate, "window_of", lambda _: window_of(Policy(in_flight=9))),
    "counts are compared when the run may be another's": _counts_before_the_epoch,
    "earlier runs do not count": _swap(intake, "against_earlier", lambda item, *_: item),
    **FLEET,
}
