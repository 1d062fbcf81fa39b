"""Ablations: each takes one safeguard out of the program. The simulation has to find it, and says by which seed.

    python -m tests.lab.simulation.ablations --write [SAFEGUARD …]

measures how many schedules that takes, and writes the table of docs/reliability.md, whose seeds a test repeats.
"""

import asyncio
import gc
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf, isinf
from pathlib import Path
from random import Random
from statistics import median
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from msgspec import structs

from checkpoints import journal as journal_module
from checkpoints import lease, postgres_store, rows
from checkpoints.journal import Journal
from checkpoints.journal_file import PostgresAddress
from checkpoints.lease import Lease
from checkpoints.postgres_store import parameters_of
from checkpoints.records import Run
from engine import outcomes
from engine.errors import CountsDiffer
from engine.evidence import Accepted, Busy, Lost, NotSent, RowRefused
from engine.pacing.policy import Policy
from engine.pipeline import foreign_entries, gate, intake, pipeline
from engine.pipeline.backlog import Backlog
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.gate import Ownership, window_of
from engine.pipeline.reconciler import Reconciler
from engine.pipeline.witness import Witness
from jobs.catalogue.built_in import PAYMENT
from jobs.catalogue.catalogue import JOBS
from jobs.effects import create, delete, reverse
from jobs.spec.entries import OPERATION
from jobs.undo import UndoJob
from lab.simulation import journal, program
from lab.simulation.billing import ACT
from lab.simulation.fleet import Blow, draw_fleet
from lab.simulation.judge import judge
from lab.simulation.story import (
    DELETED,
    REVERSED,
    Event,
    Kind,
    Schedule,
    Then,
    draw,
    play,
    with_backups,
    with_reversals,
    with_second,
)

Ablation = Callable[[], Any]

PAGE: Final = Path(__file__).parents[3] / "docs" / "reliability.md"
HEAD: Final = "| a safeguard that is taken out | schedules until it is missed | seed |\n|---|---:|---:|\n"
COLUMNS: Final = 3
STRIDE: Final = 100_000
"""Seeds from one start of a measurement to the next."""


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
    return lambda: patch.object(pipeline, "decide", lambda evidence, **how: real(changed(evidence), **how))


def _believes(kind: Any) -> Callable[[Any], Any]:
    def changed(evidence: Any) -> Any:
        if isinstance(evidence, kind):
            return kind(
                *(True if name == "recognised" else getattr(evidence, name) for name in kind.__struct_fields__)
            )
        return evidence

    return changed


_NO_SETTLE_ON_RESUME: Final = _swap(Witness, "wait_for_earlier_calls", _nothing)


@contextmanager
def _claims_after_the_call() -> Iterator[None]:
    """The intent is handed over, and its commit not waited for."""
    real = Journal.claim

    async def claim(self: Journal, *arguments: Any) -> None:
        task = asyncio.get_running_loop().create_task(real(self, *arguments))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    with patch.object(Journal, "claim", claim), _NO_SETTLE_ON_RESUME():
        yield


@contextmanager
def _sends_again_at_start() -> Iterator[None]:
    async def doubt(self: Journal, run: Run) -> int:
        def work(db: Any) -> int:
            statement = "update items set state = 'pending' where run_id = ? and state = 'sending'"
            return int(db._connection.execute(statement, (run.run_id,)).rowcount)

        return await self._write(run, work)

    with patch.object(Journal, "doubt", doubt), _NO_SETTLE_ON_RESUME():
        yield


@contextmanager
def _whatever_has_the_id() -> Iterator[None]:
    """In the list of an undo, and before each of its calls."""
    standing = vars(reverse)["_standing"]
    with (
        patch.object(reverse, "under_marks", _empty),
        patch.object(reverse, "_standing", lambda *of, **_: standing(*of, is_marked=True)),
        patch.object(create, "gone_since", _empty),
    ):
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
def _no_foreign_entries() -> Iterator[None]:
    with patch.object(ForeignEntries, "judge", _as_they_are), patch.object(ForeignEntries, "judge_at_call", _empty):
        yield


_CHARGING: Final = replace(PAYMENT, chain=lambda _: (OPERATION.replace("{op_type}", str(ACT)),))


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
    real = journal.block

    def block(asked: str) -> str:
        text = real(asked)
        assert asked != name or words in text
        return text.replace(words, instead) if asked == name else text

    return lambda: patch.object(journal, "block", block)


def _nobody_is_probed(address: PostgresAddress) -> dict[str, Any]:
    found = parameters_of(address)
    return {**found, "options": found["options"].partition(" -c tcp_")[0]}


@contextmanager
def _takes_over_without_settling() -> Iterator[None]:
    with (
        patch.object(Witness, "wait_for_earlier_calls", _nothing),
        patch.object(Reconciler, "_wait_for_earlier_calls", _nothing),
        patch.object(Reconciler, "_wait_for_last_call", _nothing),
    ):
        yield


@contextmanager
def _repeats_at_once() -> Iterator[None]:
    real = Reconciler._wait_for_last_call

    async def wait(self: Any) -> None:
        if not self._effect.repeatable:
            await real(self)

    with patch.object(Reconciler, "_wait_for_last_call", wait):
        yield


@contextmanager
def _no_epoch_in_the_fence() -> Iterator[None]:
    with patch.object(journal_module, "check_epoch", lambda *_: None):
        yield


@contextmanager
def _taken_back_counts_as_gone() -> Iterator[None]:
    """Only marks of which the journal knows nothing are asked about."""
    real = foreign_entries.known_of

    async def known_of(*arguments: Any) -> Any:
        known = await real(*arguments)
        return {mark: structs.replace(one, taken_back=False) for mark, one in known.items()}

    with patch.object(foreign_entries, "known_of", known_of):
        yield


def _marks_alone(_: Any, entries: Any, __: Any) -> Any:
    return Counter((one.run, one.number) for one in entries)


def _draw_backups(seed: int) -> Schedule:
    return with_backups(draw(seed))


def _draw_reversals(seed: int) -> Schedule:
    return with_reversals(_draw_backups(seed))


def _draw_seconds(seed: int) -> Schedule:
    return with_second(_draw_reversals(seed))


def _is_put_back(*ways: Then) -> Callable[[Schedule], bool]:
    return lambda schedule: {Then.PUT_BACK, *ways} <= {*schedule.then}


def _has(*kinds: Kind | Blow) -> Callable[[Schedule], bool]:
    return lambda schedule: bool({event.kind for event in schedule.events} & set(kinds))


def _is_killed(schedule: Schedule) -> bool:
    return bool(schedule.lag) and _has(Kind.KILL, Kind.POWER)(schedule) and not _has(Kind.RESTORE)(schedule)


def _anything(_: Schedule) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Safeguard:
    """One that is taken out; `matters` says whether a schedule can show it at all: others need not be played."""

    name: str
    taken_out: Ablation
    matters: Callable[[Schedule], bool] = _anything
    drawn: Callable[[int], Schedule] = draw


def _draw_two_ways_back(seed: int) -> Schedule:
    """Few fields that are set, set back and set again within seconds, and little besides."""
    then = (Then.UNDO, Then.UNDO_UNDO)
    return replace(draw(seed), load="warning-threshold", trouble=0.1, events=(), then=then, rate=None, rows=6)


def _draw_second_processes(seed: int) -> Schedule:
    """Processes that are frozen while others get past their lock, of a load that asks for many rows at once."""
    random_ = Random(f"{seed} second processes")
    events = [Event(Kind.ALIAS, random_.randint(1, 120), 0.5 + random_.random() / 2) for _ in range(4)]
    drawn = replace(draw(seed), load="payment", trouble=0.0, events=tuple(sorted(events, key=lambda one: one.at)))
    return replace(drawn, then=(), rate=None, by_many=True)


SAFEGUARDS: Final = (
    Safeguard(
        "a lost answer counts as not sent",
        _decides(lambda seen: NotSent("lost") if isinstance(seen, Lost) else seen),
    ),
    Safeguard(
        "a lost answer counts as accepted",
        _decides(lambda seen: Accepted("1") if isinstance(seen, Lost) else seen),
    ),
    Safeguard("a proxy's 429 or 503 is believed", _decides(_believes(Busy))),
    Safeguard("a proxy's refusal is believed", _decides(_believes(RowRefused))),
    Safeguard("no settle delay before a look-up", _swap(Reconciler, "_wait_for_last_call", _nothing)),
    Safeguard(
        "no settle delay before a call is repeated",
        _repeats_at_once,
        drawn=_draw_two_ways_back,
    ),
    Safeguard(
        "no settle delay when a run is resumed",
        _NO_SETTLE_ON_RESUME,
        lambda one: bool(one.lag) and _has(Kind.RESTORE)(one),
    ),
    # Alone neither of these two is missed: what was left in doubt is looked for after the settle delay in any case.
    Safeguard("the intent is not waited for, nor the settle delay of a resume", _claims_after_the_call, _is_killed),
    Safeguard("what was being sent is sent again, without a settle delay", _sends_again_at_start, _is_killed),
    Safeguard("no epoch", _no_epoch, _has(Kind.ALIAS)),
    Safeguard("the epoch is not confirmed before a call", _swap(Ownership, "confirm", _nothing), _has(Kind.ALIAS)),
    Safeguard("no look before a call", _swap(Witness, "at_call", _nothing)),
    # Alone the look at the list is not missed: the one before each call covers for it.
    Safeguard(
        "entries of other journals are looked for neither in the list nor at the call",
        _no_foreign_entries,
        lambda one: Then.ELSEWHERE in one.then or _has(Kind.OTHER, Kind.EQUAL)(one),
    ),
    Safeguard(
        "entries of others since the list do not count",
        _swap(ForeignEntries, "judge_at_call", _empty),
        _has(Kind.OTHER, Kind.EQUAL, Kind.PAYS),
    ),
    Safeguard(
        "changes since the list are not looked at",
        _swap(Witness, "overtaken", _nothing),
        _has(Kind.RENUMBERS, Kind.MERGES, Kind.DELETES),
    ),
    Safeguard("rows of an account at the same time", _no_lanes),
    Safeguard(
        "the account of a row in doubt stays open", _swap(Backlog, "shut", lambda self, item: self.finish(item))
    ),
    Safeguard(
        "an undo does not end its run",
        _undo_does_not_end_its_run,
        lambda one: one.leaves_stopped and Then.UNDO in one.then and _has(Kind.STOP)(one),
    ),
    Safeguard(
        "an undo of an undo restores what was entered anew",
        _swap(Journal, "entered_anew", _empty),
        lambda one: one.then == (Then.UNDO, Then.AGAIN, Then.UNDO_UNDO),
    ),
    Safeguard("receipts are entered as charges", _swap(program, "JOBS", {**JOBS, PAYMENT.name: _CHARGING})),
    Safeguard("the window has no end", _swap(gate, "window_of", lambda _: window_of(Policy(in_flight=9)))),
    Safeguard(
        "counts are compared when the run may be another's",
        _counts_before_the_epoch,
        _has(Kind.ALIAS, Kind.FREEZE),
    ),
    Safeguard(
        "earlier runs do not count",
        _swap(intake, "against_earlier", lambda item, *_: item),
        lambda one: Then.AGAIN in one.then,
    ),
    Safeguard(
        "a process that stood still sends what was at its turn",
        _swap(Ownership, "may_leave", lambda self: self.lease.is_valid()),
        drawn=_draw_second_processes,
    ),
    # Of a billing that is put back from its backup, and of later files.
    Safeguard(
        "rows that the billing does not show any more are not held against the journal",
        _swap(ForeignEntries, "_against_journal", lambda _, item, *__: item),
        _is_put_back(),
        _draw_backups,
    ),
    Safeguard(
        "what is there again after it was taken back is not asked about",
        _taken_back_counts_as_gone,
        _is_put_back(Then.UNDO),
        _draw_backups,
    ),
    Safeguard(
        "what an undo has restored counts as not shown",
        _swap(foreign_entries, "shown_of", _marks_alone),
        _is_put_back(Then.UNDO_UNDO, Then.ENTER),
        _draw_backups,
    ),
    Safeguard(
        "an undo takes back whatever has the id of its row's entry",
        _whatever_has_the_id,
        _is_put_back(Then.UNDO),
        _draw_backups,
    ),
    Safeguard(
        "a storno is sent without a look for its operation",
        _swap(reverse.StornoReversal, "outdated", _empty),
        lambda one: one.reverses and one.load in REVERSED and _has(Kind.PUT_BACK)(one),
        _draw_reversals,
    ),
    Safeguard(
        "whatever has the id of a service or an attribute is deleted",
        _swap(delete, "in_the_way", _nothing),
        lambda one: one.reverses and one.load in DELETED and _has(Kind.PUT_BACK)(one),
        _draw_reversals,
    ),
    Safeguard(
        "the difference of a row counts as its whole sum",
        _swap(intake, "asked_for", lambda one: (one.amount, None)),
        lambda one: one.then.count(Then.DELTA) > 1,
        _draw_backups,
    ),
    # Of a second load of another kind.
    Safeguard(
        "opening balances are set over what earlier runs have entered",
        _swap(ForeignEntries, "_over", lambda *_: ()),
        lambda one: one.second == "balances",
        _draw_seconds,
    ),
    # The look of a load for such services is not missed alone: what it has entered before is gone, and asked about.
    Safeguard(
        "an undo does not look for what the undo of a deletion has restored",
        _swap(UndoJob, "_restored", _empty),
        lambda one: one.second == "delete-services",
        _draw_seconds,
    ),
    # Of what several machines work on.
    Safeguard(
        "the lease is not looked at before the write", _swap(Lease, "is_valid", lambda _: True), drawn=draw_fleet
    ),
    Safeguard("the lease goes by the wall clock", _of_clock("time"), drawn=draw_fleet),
    Safeguard(
        "the lease goes by a clock that stands still while the machine sleeps",
        _of_clock("monotonic"),
        drawn=draw_fleet,
    ),
    Safeguard(
        "who takes over does not raise the epoch",
        _in_block("take_up", "epoch = runs.epoch + 1", "epoch = runs.epoch"),
        drawn=draw_fleet,
    ),
    Safeguard("no write names its epoch", _no_epoch_in_the_fence, drawn=draw_fleet),
    Safeguard("who takes over does not settle", _takes_over_without_settling, drawn=draw_fleet),
    Safeguard(
        "a restored journal counts as one that knows all calls",
        _swap(Lease, "knows_all_calls", True),
        _has(Blow.RESTORE),
        draw_fleet,
    ),
    Safeguard(
        "the pace is not handed over",
        _swap(Ownership, "carry_on", lambda *_: None),
        lambda one: bool(one.rate) and not one.trouble,
        draw_fleet,
    ),
    Safeguard(
        "two machines work on one billing",
        _in_block("other_machine", "r.machine <> :machine", "false"),
        drawn=draw_fleet,
    ),
    Safeguard(
        "the server does not probe whether a silent machine is there",
        _swap(postgres_store, "parameters_of", _nobody_is_probed),
        _has(Blow.POWER),
        drawn=draw_fleet,
    ),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The schedules from each of several seeds on until the loss of a safeguard was found, and the first seed."""

    schedules: Sequence[float]
    seed: int | None

    def row(self, safeguard: Safeguard, most: int, before: str) -> str:
        """The row of the table; where none was found, it keeps the seed of the row before."""
        half = median(self.schedules)
        seed = before.rstrip(" |").rpartition(" ")[2] if self.seed is None else self.seed
        return f"| {safeguard.name} | {f'more than {most:,}' if isinf(half) else f'{round(half):,}'} | {seed} |"


def measure(safeguard: Safeguard, starts: range, most: int) -> Found:
    """Look for the loss of a safeguard, from each of the seeds on."""
    took, seeds = [], []
    for start in starts:
        found = next((seed for seed in range(start, start + most) if is_missed(safeguard, seed)), None)
        took.append(inf if found is None else found - start + 1)
        seeds += [] if found is None else [found]
    return Found(took, min(seeds, default=None))


def is_missed(safeguard: Safeguard, seed: int) -> bool:
    """Whether the schedule of a seed is wrong without the safeguard."""
    schedule = safeguard.drawn(seed)
    if not safeguard.matters(schedule):
        return False
    with safeguard.taken_out():
        found = play(schedule, judge)[1]
    # Loops and tasks of many schedules lie about in circles.
    gc.collect()
    return bool(found)


def table() -> dict[str, int]:
    """The seeds that docs/reliability.md keeps, by the safeguard."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(HEAD)
    rows = (line.strip("| ").split(" | ") for line in rest.partition("\n\n")[0].splitlines())
    return {row[0]: int(row[-1]) for row in rows if len(row) == COLUMNS}


def main() -> None:
    """Measure, and write the table."""
    parser = ArgumentParser()
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--most", type=int, default=700)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("names", nargs="*")
    wanted = parser.parse_args()
    starts = range(0, wanted.starts * STRIDE, STRIDE)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(HEAD)
    rows, _, after = rest.partition("\n\n")
    old = {row.split(" | ")[0].strip("| "): row for row in rows.splitlines()}
    new: list[str] = []
    for safeguard in SAFEGUARDS:
        if wanted.names and safeguard.name not in wanted.names:
            new += [old[safeguard.name]] if safeguard.name in old else []
            continue
        found = measure(safeguard, starts, wanted.most)
        new.append(found.row(safeguard, wanted.most, old.get(safeguard.name, "")))
        sys.stdout.write(new[-1] + "\n")
        sys.stdout.flush()
    if wanted.write:
        PAGE.write_text(before + HEAD + "\n".join(new) + "\n\n" + after, encoding="utf-8")


if __name__ == "__main__":
    main()
