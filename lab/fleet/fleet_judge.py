"""The verdict on a round of a fleet: what the ledgers, the journal's audit and the billings' own counts say.

A pure function of the evidence: no process, no file, no clock.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from lab.crash.judge import Problem
from lab.fleet.audit import Audited, AuditedRun, TakeUp
from lab.fleet.billing import EnteredSum
from lab.fleet.billing_port import CallerCounts, Turn
from lab.fleet.round_plan import Blow, Reach, RoundPlan

_NOTHING: Final[Mapping[tuple[int, int], float]] = MappingProxyType({})
_START: Final = 1.0
"""Seconds that the start of a process takes on a machine that has time for it."""

_TRIED_AGAIN: Final = 5.0
"""Seconds after which a worker tries a run again that it was given while another process still worked on it."""

_MOST_SHOWN: Final = 3
"""Rows of one sort and billing that are named."""


@dataclass(frozen=True, slots=True)
class DealtBlow:
    """A blow that was dealt, from `at` to `until` of the wall clock; `hit` are the runs of the processes it hit."""

    blow: Blow
    reach: Reach
    host: str
    at: float
    until: float
    hit: frozenset[int] = frozenset()

    @property
    def must_be_taken_over(self) -> bool:
        """Whether others have to notice that nobody works on the runs that it hit."""
        return self.blow is Blow.KILL or (self.blow is Blow.FREEZE and self.reach is Reach.ALL)

    @property
    def concerns_all(self) -> bool:
        """Whether others than the runs that it hit may be held up by it."""
        return self.blow not in {Blow.KILL, Blow.FREEZE} or self.reach is not Reach.CHILD


@dataclass(frozen=True, slots=True)
class BillingEvidence:
    """What is to be judged of one billing: its address, what was wanted of each subscriber, and what came of it."""

    name: str
    url: str
    wanted: Mapping[int, Decimal]
    ledger: Sequence[EnteredSum]
    counts: CallerCounts


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A run that was taken over after a blow: how long after it, and how long it may take."""

    billing: str
    after: Blow
    reach: Reach
    seconds: float
    longest: float


@dataclass(frozen=True, slots=True)
class FleetVerdict:
    """Counts of rows over all billings, the takeovers that were measured, and the problems."""

    once: int
    twice: int
    lost: int
    unknown: int
    take_overs: Sequence[TakeOver]
    problems: Sequence[Problem]


def judge_fleet(
    plan: RoundPlan,
    billings: Sequence[BillingEvidence],
    audited: Audited,
    dealt: Sequence[DealtBlow],
    started: Mapping[tuple[int, int], float] = _NOTHING,
) -> FleetVerdict:
    """Judge a round that has come to its end; `started` are the starts of processes, by the run and epoch they took.

    A process whose start takes longer than a second has begun so late because of the machine: that is not counted.
    """
    runs = {run.target: run for run in audited.runs}
    by_id = {run.run_id: run for run in audited.runs}
    names = {run.run_id: one.name for one in billings if (run := runs.get(one.url)) is not None}
    problems: list[Problem] = []
    totals: Counter[str] = Counter()
    for one in billings:
        run = runs.get(one.url)
        times = Counter(entry.subscriber for entry in one.ledger)
        totals["once"] += sum(times[subscriber] == 1 for subscriber in one.wanted)
        totals["twice"] += sum(number > 1 for number in times.values())
        totals["lost"] += sum(not times[subscriber] for subscriber in one.wanted)
        found = [*_effects(one, times), *_caps(plan, one.counts), *_order(plan, one, run, audited.take_ups)]
        found += ["its run is not in the journal"] if run is None else _sums(one, run)
        problems += [Problem(one.name, what) for what in found]
    problems += [Problem(names.get(run_id, ""), what) for run_id, what in audited.offences]
    take_overs = list(_take_overs(plan, names, audited.take_ups, dealt, started))
    problems += [
        Problem(
            one.billing,
            f"taken over {one.seconds:.1f} s after the {one.after} ({one.reach}), later than {one.longest:g} s",
        )
        for one in take_overs
        if one.seconds > one.longest
    ]
    unknown = sum(number for (_, target), number in audited.steps.items() if target == "unknown")
    left = sum(run.states["unknown"] + run.states["manual"] for run in by_id.values())
    if left:
        problems.append(Problem("", f"{left} rows are left unknown"))
    return FleetVerdict(totals["once"], totals["twice"], totals["lost"], unknown, take_overs, problems)


# ---- one billing ------------------------------------------------------------------------------------------------


def _effects(one: BillingEvidence, times: Counter[int]) -> Iterator[str]:
    twice = [subscriber for subscriber, number in times.items() if number > 1]
    lost = [subscriber for subscriber in one.wanted if not times[subscriber]]
    other = [entry for entry in one.ledger if one.wanted.get(entry.subscriber) != entry.amount]
    if twice:
        named = ", ".join(f"{subscriber} {times[subscriber]} times" for subscriber in twice[:_MOST_SHOWN])
        yield f"{len(twice)} rows had their effect more than once: subscriber {named}"
    if lost:
        yield f"{len(lost)} rows had no effect: subscriber {', '.join(map(str, lost[:_MOST_SHOWN]))}"
    for entry in other[:_MOST_SHOWN]:
        yield f"subscriber {entry.subscriber} got {entry.amount}, which was not wanted"


def _sums(one: BillingEvidence, run: AuditedRun) -> Iterator[str]:
    wanted = sum(one.wanted.values(), Decimal(0))
    entered = sum((entry.amount for entry in one.ledger), Decimal(0))
    if not wanted == entered == run.entered:
        yield f"{wanted} was wanted, {entered} is in the billing, and {run.entered} in the journal"


def _caps(plan: RoundPlan, counts: CallerCounts) -> Iterator[str]:
    """What came too fast. So many calls as may be in flight can be anywhere between the pacing and the billing."""
    most = plan.rate + plan.in_flight + 1
    if counts.most_in_flight > plan.in_flight:
        yield f"{counts.most_in_flight} writes were in flight at once, and {plan.in_flight} is the limit"
    for kind, number in (("writes", counts.most_writes), ("reading calls", counts.most_reads)):
        if number > most:
            yield f"{number} {kind} came within a second, and {plan.rate} is the limit"


def _order(
    plan: RoundPlan, one: BillingEvidence, run: AuditedRun | None, take_ups: Sequence[TakeUp]
) -> Iterator[str]:
    """Workers that wrote after another had taken over from them: later than their lease, or after its writes."""
    before: tuple[int, Turn] | None = None
    ups = [up for up in take_ups if run is not None and up.run_id == run.run_id]
    for turn in one.counts.turns:
        epoch = max((up.epoch for up in ups if up.host == turn.worker and up.at <= turn.first), default=0)
        own_last = max((up.epoch for up in ups if up.host == turn.worker and up.at <= turn.last), default=0)
        later = [up for up in ups if up.epoch > own_last and up.at + plan.lease < turn.last]
        if later:
            yield (
                f"{turn.worker} wrote {turn.last - later[0].at:.1f} s after {later[0].host} had taken over, and its "
                f"lease was one of {plan.lease:g} s"
            )
        if before is not None and epoch <= before[0]:
            yield (
                f"{turn.writes} writes of {turn.worker} (epoch {epoch}) came after {before[1].worker} had written "
                f"(epoch {before[0]})"
            )
        else:
            before = epoch, turn


# ---- takeovers --------------------------------------------------------------------------------------------------


def _take_overs(
    plan: RoundPlan,
    names: Mapping[int, str],
    take_ups: Sequence[TakeUp],
    dealt: Sequence[DealtBlow],
    started: Mapping[tuple[int, int], float],
) -> Iterator[TakeOver]:
    """How long after each blow its runs were taken over, unless another blow came in between."""
    for blow in dealt:
        longest = _longest(plan, blow)
        for run_id in blow.hit if longest else ():
            following = (up for up in take_ups if up.run_id == run_id and up.at > blow.at)
            # Without one it had come to its end: that its rows are entered is judged by itself.
            if (found := next(following, None)) is None:
                continue
            between = (one for one in dealt if one is not blow and one.at < found.at and one.until > blow.at)
            if not any(one.concerns_all or run_id in one.hit for one in between):
                starting = found.at - started.get((run_id, found.epoch), found.at)
                seconds = found.at - blow.at - max(starting - _START, 0.0)
                yield TakeOver(names.get(run_id, ""), blow.blow, blow.reach, seconds, longest)


def _longest(plan: RoundPlan, blow: DealtBlow) -> float:
    """Seconds until others must have taken over, 0 where they need not."""
    if not blow.must_be_taken_over:
        return 0.0
    noticed = max(plan.stalled_after, _TRIED_AGAIN)
    return noticed + plan.slack + (plan.lease if blow.blow is Blow.FREEZE else 0.0)
