"""Plans of rounds: the fleet, its billings, and what is done to both, all drawn from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from lab.crash.fleet_billing import AnswerTraits
from lab.crash.loops import loops
from lab.crash.proxy import PLAIN


class Blow(StrEnum):
    """What is done to the fleet."""

    KILL = "kill"
    """SIGKILL."""
    FREEZE = "freeze"
    """SIGSTOP, and SIGCONT after twice the lease."""
    CUT = "cut"
    """The connections of a worker to PostgreSQL are reset, and each new one, for twice the lease."""
    BLACK_HOLE = "black-hole"
    """Nothing passes between a worker and PostgreSQL for twice the lease, and every connection stays."""
    TERMINATE = "terminate-backend"
    """The server ends one session of the program."""
    RESTART = "restart"
    """PostgreSQL ends all sessions and comes up again."""


class Reach(StrEnum):
    """Which processes of a worker a signal reaches."""

    WORKER = "worker"
    """The worker alone."""
    ALL = "all"
    """The worker with the processes of its runs."""
    CHILD = "child"
    """One process of a run alone."""


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
    """The round of a seed: the whole fleet, or a small one."""
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
