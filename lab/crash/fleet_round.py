"""A round of a fleet: its plan, what is known of it at its end, and the verdict on that.

The journal is read through triggers and statements of the lab's own, see fleet_audit.sql. The verdict is a pure
function of the evidence: no process, no file, no clock.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import class_row

from billing.database.sql_blocks import sql_block
from lab.crash.fleet_billing import AnswerTraits, CallerCounts, Turn
from lab.crash.judge import Problem
from lab.crash.loops import loops
from lab.crash.proxy import PLAIN

SCHEMA: Final = "fleet"
_PATIENCE: Final = 5
_START: Final = 1.0
"""Seconds that the start of a process takes on a machine that has time for it."""
_TRIED_AGAIN: Final = 5.0
"""Seconds after which a worker tries a run again that it was given while another process still worked on it."""
_MOST_SHOWN: Final = 3
"""Rows of one sort and billing that are named."""

Row = TypeVar("Row")


# ---- the plan of a round, drawn from its seed --------------------------------------------------------------------


class Blow(StrEnum):
    """What is done to the fleet."""

    KILL = "kill"  # SIGKILL
    FREEZE = "freeze"  # SIGSTOP, and SIGCONT after twice the lease
    CUT = "cut"
    """The connections of a worker to PostgreSQL are reset, and each new one, for twice the lease."""
    BLACK_HOLE = "black-hole"
    """Nothing passes between a worker and PostgreSQL for twice the lease, and every connection stays."""
    TERMINATE = "terminate-backend"  # The server ends one session of the program
    RESTART = "restart"  # PostgreSQL ends all sessions and comes up again


class Reach(StrEnum):
    """Which processes of a worker a signal reaches."""

    WORKER = "worker"  # The worker alone
    ALL = "all"  # The worker with the processes of its runs
    CHILD = "child"  # One process of a run alone


@dataclass(frozen=True, slots=True)
class FleetBlow:
    """One blow: against which worker, how far it reaches, and a number in [0, 1) for what else is chosen."""

    blow: Blow
    reach: Reach
    worker: int
    place: float


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """A round. Times are in seconds, `rows` are those of each billing.

    What is frozen or cut off is so for `away`, which with `until_taken_over` begins only when others have taken over
    all that a frozen worker had. `single` blows are dealt first, each once the fleet has recovered from the one
    before, so that it can be measured how long that takes: a run must be taken over within `slack` of the moment at
    which it may be. Those of the `storm` follow each other every `every` seconds.
    """

    seed: int
    workers: int
    billings: int
    rows: int
    lease: float
    away: float
    stalled_after: float
    timeout: float
    settle: float
    in_flight: int
    rate: int
    traits: AnswerTraits
    single: tuple[FleetBlow, ...]
    storm: tuple[FleetBlow, ...]
    every: float
    longest: float
    slack: float
    until_taken_over: bool = False

    @property
    def billings_a_worker(self) -> int:
        """How many runs a worker takes: all but one of them can still do all the work."""
        return -(-self.billings // (self.workers - 1))


KINDS: Final = (
    *((Blow.KILL, reach) for reach in Reach),
    *((Blow.FREEZE, reach) for reach in Reach),
    *((blow, Reach.WORKER) for blow in tuple(Blow)[2:]),
)
_WORKERS: Final = 3


def draw_round(seed: int, *, quick: bool = False) -> RoundPlan:
    draw = Random(seed)
    faults = {fault: round(draw.uniform(0.002, 0.01), 4) for fault in PLAIN}

    def blows(number: int) -> Iterator[FleetBlow]:
        """So many blows: of each kind one, in a random order, before any comes again."""
        while number > 0:
            for blow, reach in draw.sample(KINDS, min(number, len(KINDS))):
                yield FleetBlow(blow, reach, draw.randrange(_WORKERS), draw.random())
            number -= len(KINDS)

    # In loops: on a slow machine a process would lose a lease of so many seconds again and again.
    lease, timeout = loops(1.25 if quick else 2.5), loops(0.8 if quick else 1.6)
    return RoundPlan(
        seed=seed,
        workers=_WORKERS,
        billings=3 if quick else 12,
        rows=80 if quick else 2500,
        lease=lease,
        away=2 * lease,
        stalled_after=loops(1.7 if quick else 4.2),
        timeout=timeout,
        settle=loops(0.4),
        in_flight=draw.randint(3, 8),
        rate=draw.choice((20, 25) if quick else (40, 50, 60)),
        traits=AnswerTraits(latency=round(draw.uniform(0.005, 0.03), 4), faults=faults, silence=3 * timeout),
        single=tuple(blows(2 if quick else len(KINDS))),
        storm=tuple(blows(4 if quick else 4 * len(KINDS))),
        every=1.0,
        longest=loops(250 if quick else 2500),
        slack=loops(1.7),
    )


# ---- the journal --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakeUp:
    """A process of the machine `host` has taken a run up, at a time of the server's clock, in seconds."""

    run_id: int
    epoch: int
    host: str
    process: int
    at: float


@dataclass(frozen=True, slots=True)
class AuditedRun:
    """A run: the address of its billing, its rows, those entered with their sum, and those that nobody knows.

    `process` is the last one that has worked on it, None where it has ended its work in order.
    """

    run_id: int
    target: str
    rows: int
    entered_rows: int
    entered: Decimal
    left: int
    process: int | None = None

    @property
    def is_entered(self) -> bool:
        """Whether all of its rows are in the billing."""
        return self.entered_rows == self.rows

    @property
    def is_at_work(self) -> bool:
        """Whether a process may work on it: it has not ended its work in order, and is still there."""
        return self.process is not None and Path(f"/proc/{self.process}").exists()


@dataclass(frozen=True, slots=True)
class Audited:
    """All that the journal says at the end.

    `offences` are what it shows itself to be wrong with runs; `unknown` counts the rows that became so on the way.
    """

    runs: Sequence[AuditedRun]
    take_ups: Sequence[TakeUp]
    offences: Sequence[tuple[int, str]]
    unknown: int


class JournalAudit:
    """Looks into a journal at an address, over a connection of its own each time. All of it blocks.

    Raises `psycopg.Error` while the server is away.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def install(self, rate: int) -> None:
        """Install the triggers in the journal, which is there, and set the rate of all runs that it has."""
        with closing(self._connect()) as connection:
            connection.execute(_sql("install"))
            connection.execute(_sql("set_rate"), (rate,))

    def _found(self, kind: type[Row], name: str) -> list[Row]:
        with closing(self._connect()) as connection, connection.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(_sql(name)).fetchall()

    def runs(self) -> list[AuditedRun]:
        return self._found(AuditedRun, "runs")

    def take_ups(self) -> list[TakeUp]:
        return self._found(TakeUp, "take_ups")

    def read(self) -> Audited:
        with closing(self._connect()) as connection:
            ((unknown,),) = connection.execute(_sql("unknown")).fetchall()
            offences = connection.execute(_sql("offences")).fetchall()
        return Audited(self.runs(), self.take_ups(), offences, unknown)

    def terminate_one(self, place: float) -> bool:
        """End the session of a process of the program, chosen by `place` in [0, 1); False where there is none."""
        with closing(self._connect()) as connection:
            sessions = connection.execute(_sql("backends")).fetchall()
            if sessions:
                connection.execute(_sql("terminate"), sessions[int(place * len(sessions))])
        return bool(sessions)

    def _connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        way = f"-c search_path={SCHEMA}"
        return psycopg.connect(self._url, autocommit=True, connect_timeout=_PATIENCE, options=way)


def _sql(name: str) -> Any:  # noqa: ANN401 - psycopg takes texts that are in the source alone
    return sql_block("fleet_audit", name, "lab.crash").text


# ---- the verdict --------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class BillingEvidence:
    """What is to be judged of one billing: its address, what was wanted of each subscriber, and what came of it."""

    name: str
    url: str
    wanted: Mapping[int, Decimal]
    ledger: Sequence[tuple[int, Decimal]]
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
class FleetRound:
    """The result of a round: counts of rows over all billings, the takeovers that were measured, and the problems."""

    plan: RoundPlan
    once: int
    twice: int
    lost: int
    unknown: int
    dealt: Sequence[DealtBlow]
    take_overs: Sequence[TakeOver]
    problems: Sequence[Problem]
    injected: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not self.problems


def judge_fleet(
    plan: RoundPlan,
    billings: Sequence[BillingEvidence],
    audited: Audited,
    dealt: Sequence[DealtBlow],
    started: Mapping[tuple[int, int], float],
) -> FleetRound:
    """Judge a round that has come to its end; `started` are the starts of processes, by the run and epoch they took.

    A process whose start takes longer than a second has begun so late because of the machine: that is not counted.
    """
    by_url = {run.target: run for run in audited.runs}
    names = {run.run_id: one.name for one in billings if (run := by_url.get(one.url)) is not None}
    problems: list[Problem] = []
    totals: Counter[str] = Counter()
    for one in billings:
        run = by_url.get(one.url)
        times = Counter(subscriber for subscriber, _ in one.ledger)
        totals["once"] += sum(times[subscriber] == 1 for subscriber in one.wanted)
        totals["twice"] += sum(number > 1 for number in times.values())
        totals["lost"] += sum(not times[subscriber] for subscriber in one.wanted)
        ups = [up for up in audited.take_ups if run is not None and up.run_id == run.run_id]
        found = [*_effects(one, times, run), *_order(plan, one.counts.turns, ups)]
        if one.counts.most_in_flight > plan.in_flight:
            found.append(
                f"{one.counts.most_in_flight} writes were in flight at once, and {plan.in_flight} is the limit"
            )
        # So many calls as may be in flight can be anywhere between the pacing and the billing.
        for kind, number in (("writes", one.counts.most_writes), ("reading calls", one.counts.most_reads)):
            if number > plan.rate + plan.in_flight + 1:
                found.append(f"{number} {kind} came within a second, and {plan.rate} is the limit")
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
    if left := sum(run.left for run in audited.runs):
        problems.append(Problem("", f"{left} rows are left unknown"))
    return FleetRound(
        plan, totals["once"], totals["twice"], totals["lost"], audited.unknown, dealt, take_overs, problems
    )


def _effects(one: BillingEvidence, times: Counter[int], run: AuditedRun | None) -> Iterator[str]:
    twice = [subscriber for subscriber, number in times.items() if number > 1]
    if twice:
        named = ", ".join(f"{subscriber} {times[subscriber]} times" for subscriber in twice[:_MOST_SHOWN])
        yield f"{len(twice)} rows had their effect more than once: subscriber {named}"
    lost = [subscriber for subscriber in one.wanted if not times[subscriber]]
    if lost:
        yield f"{len(lost)} rows had no effect: subscriber {', '.join(map(str, lost[:_MOST_SHOWN]))}"
    other = [entry for entry in one.ledger if one.wanted.get(entry[0]) != entry[1]]
    for subscriber, amount in other[:_MOST_SHOWN]:
        yield f"subscriber {subscriber} got {amount}, which was not wanted"
    if run is None:
        yield "its run is not in the journal"
        return
    wanted = sum(one.wanted.values(), Decimal(0))
    entered = sum((amount for _, amount in one.ledger), Decimal(0))
    if not wanted == entered == run.entered:
        yield f"{wanted} was wanted, {entered} is in the billing, and {run.entered} in the journal"


def _order(plan: RoundPlan, turns: Sequence[Turn], ups: Sequence[TakeUp]) -> Iterator[str]:
    """Workers that wrote after another had taken over from them: later than their lease, or after its writes."""
    before: tuple[int, Turn] | None = None
    for turn in turns:
        own = [up for up in ups if up.host == turn.worker and up.at <= turn.last]
        epoch = max((up.epoch for up in own if up.at <= turn.first), default=0)
        last = max((up.epoch for up in own), default=0)
        later = [up for up in ups if up.epoch > last and up.at + plan.lease < turn.last]
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


def _take_overs(
    plan: RoundPlan,
    names: Mapping[int, str],
    take_ups: Sequence[TakeUp],
    dealt: Sequence[DealtBlow],
    started: Mapping[tuple[int, int], float],
) -> Iterator[TakeOver]:
    """How long after each blow its runs were taken over, unless another blow came in between."""
    for blow in dealt:
        frozen = plan.lease if blow.blow is Blow.FREEZE else 0.0
        longest = max(plan.stalled_after, _TRIED_AGAIN) + plan.slack + frozen
        for run_id in blow.hit if blow.must_be_taken_over else ():
            following = (up for up in take_ups if up.run_id == run_id and up.at > blow.at)
            # Without one it had come to its end: that its rows are entered is judged by itself.
            if (found := next(following, None)) is None:
                continue
            between = (one for one in dealt if one is not blow and one.at < found.at and one.until > blow.at)
            # One process that is killed or frozen holds up its own runs alone.
            if all(
                one.blow in {Blow.KILL, Blow.FREEZE} and one.reach is Reach.CHILD and run_id not in one.hit
                for one in between
            ):
                starting = found.at - started.get((run_id, found.epoch), found.at)
                seconds = found.at - blow.at - max(starting - _START, 0.0)
                yield TakeOver(names.get(run_id, ""), blow.blow, blow.reach, seconds, longest)
