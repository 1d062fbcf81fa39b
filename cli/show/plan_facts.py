"""The facts of a plan: collected from the rehearsed list, the billing and the previous plan."""

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.api.calls import version
from checkpoints.journal import Journal
from checkpoints.list_differences import ListDifferences, changes_between_plans
from checkpoints.records import Run
from checkpoints.states import State
from cli.show.preview import PreviewFacts, plan_of
from cli.show.value_changes import ValueChanges
from engine.job import Job
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, in_one_spelling
from jobs.access.vault import mask_secrets
from jobs.spec.chain_kind import CREATE, DELETE, SET
from jobs.spec.spec import JobSpec
from jobs.sums import sums_of
from jobs.value_changes import row_changes
from texts.said import said

SHOWN: Final = 3
"""Requests that are shown in full."""

MAX_GROUPS_SHOWN: Final = 20
"""Rows of each kind that are shown; the rest is counted."""

_DONE: Final = {CREATE: said("new"), SET: said("to be changed"), DELETE: said("to be deleted")}
"""The effect of a call that contains a step of this method."""

_CALLED: Final = said("to be called")

_ASKED: Final = 16
"""Reading calls that are timed to measure the billing's pace."""


@dataclass(frozen=True, slots=True)
class ReadingPace:
    """The pace of reading calls: calls a second, with `at_once` in flight."""

    per_second: float
    at_once: int

    def seconds_for(self, rows: int) -> float:
        """Seconds that this many calls take."""
        return rows / self.per_second


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """A group of rows to be sent: what is done to them, their number and their sum."""

    word: str
    rows: int
    sum: Decimal


@dataclass(frozen=True, slots=True)
class Known:
    """The number of refused rows whose amount can be read, and their sum."""

    rows: int
    sum: Decimal


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The facts of a plan. `before` is the previous plan of the same input, `changes` the differences from it."""

    plan: PreviewFacts
    kinds: Sequence[PlannedGroup]
    values: ValueChanges
    refused: Known
    requests: Sequence[str]
    pace: ReadingPace
    before: Run | None
    refused_before: int
    changes: ListDifferences | None


async def plan_facts(run: Run, job: Job, gateway: Gateway, journal: Journal, spec: JobSpec | None) -> PlanFacts:
    """Collect the facts of a saved list; `spec` is the kind of its job. Raises `LookUpFailed`."""
    plan = await plan_of(run, job, journal)
    first = await journal.items(run, {State.PENDING}, size=SHOWN)
    before = await _plan_before(run, journal)
    kinds, values = await _planned(run, gateway, journal)
    refused = (await sums_of(run, journal, spec)).refused
    return PlanFacts(
        plan=plan,
        kinds=kinds,
        values=values,
        refused=Known(refused.rows - refused.unreadable, refused.amount),
        requests=[job.effect.describe(run.name, item) for item in first],
        pace=await _pace(gateway),
        before=before,
        refused_before=(await journal.totals(before)).refused if before else 0,
        changes=await changes_between_plans(journal.path, before, run, size=MAX_GROUPS_SHOWN, plain=_plain)
        if before
        else None,
    )


def _plain(payload: str) -> str:
    """A payload in comparable form: secrets masked, each value normalised."""
    return in_one_spelling(mask_secrets(payload))


async def _planned(run: Run, gateway: Gateway, journal: Journal) -> tuple[list[PlannedGroup], ValueChanges]:
    """What is done to all rows to be sent, by kind and by value; they are read once for both."""
    rows, sums = Counter[str](), defaultdict[str, Decimal](Decimal)
    values = ValueChanges()
    async for page in row_changes(run, journal, gateway.profile):
        for change in page:
            values.add(change)
            word = _kind_of(change.payload)
            rows[word] += 1
            sums[word] += change.item.amount or 0
    return [PlannedGroup(word, number, sums[word]) for word, number in rows.items()], values


def _kind_of(payload: Payload) -> str:
    methods = dict(payload.steps)
    for method, word in _DONE.items():
        if method in methods:
            return word
    return _CALLED


async def _plan_before(run: Run, journal: Journal) -> Run | None:
    same = [one for one in await journal.runs() if is_kept(one) and same_input(one, run) and one.run_id < run.run_id]
    return same[-1] if same else None


def is_kept(plan: Run) -> bool:
    """Whether the plan's list is complete and was not deleted."""
    return plan.frozen_at is not None and plan.discarded_at is None


def same_input(one: Run, other: Run) -> bool:
    """Whether two plans have the same job and input; the file may have been edited between them."""
    return (one.job, one.target, one.source) == (other.job, other.target, other.source)


async def _pace(gateway: Gateway) -> ReadingPace:
    """The pace of calls that change nothing; the median of several rounds, to ignore a single slow answer."""
    rounds: list[float] = []
    at_once = gateway.asked_at_once
    for _ in range(_ASKED // at_once):
        begun = time.monotonic()
        await gateway.ask([version()] * at_once)
        rounds.append(time.monotonic() - begun)
    return ReadingPace(at_once / max(statistics.median(rounds), 1e-6), at_once)
