"""What a round does, drawn from its seed: the load, the billing, its faults, and the mischief done to the processes.

The same seed draws the same plan. When things happen in a round is tied to how far the load has come; what exactly is
in flight at that moment is the machine's business, so a seed repeats a round closely, not to the microsecond.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Final, TypeAlias

from cli.errors import CommandRefused
from cli.selftest.trials import TRIALS
from cli.texts import plain

ROWS: Final = 240
SETTLE: Final = 0.8
"""Seconds. The mock has its effect at once when a slot is free; this leaves room for a busy machine."""
TIMEOUT: Final = 1.2
"""Seconds until the load gives an answer up; a silence of the plan lasts longer."""
MOST_IN_FLIGHT: Final = 16
"""Calls at one time, however well the billing takes them: in `SETTLE` all of them must have had their effect."""

BALANCES: Final = "balances"
WARNING_THRESHOLD: Final = "warning-threshold"
JOBS: Final = (BALANCES, WARNING_THRESHOLD)
"""Of these two a job is drawn where none is named."""
ALL: Final = "all"
"""Stands for a job that is drawn from all that write."""

Value: TypeAlias = str | float | int
Fault: TypeAlias = Mapping[str, Value]
"""A `[[fault]]` of the mock's plan, under the names of the file."""


class Act(StrEnum):
    """Something that is done to the load or to the billing."""

    KILL = "kill"
    """SIGKILL to the load."""
    FREEZE = "freeze"
    """SIGSTOP, and SIGCONT some time later."""
    TERMINATE = "terminate"
    """SIGTERM to the load: it finishes what is in flight."""
    INTERRUPT = "interrupt"
    """SIGINT twice: it stops at once."""
    RESTART = "restart"
    """SIGTERM to the billing, and started again."""
    CRASH = "crash"
    """SIGKILL to the billing, and started again."""
    FULL_DISK = "full-disk"
    """No file of the load may grow any more, the journal's first of all."""
    SECOND = "second-runner"
    """A second process is started on the same run: it must be refused."""
    CLOCK = "clock-back"
    """The load's wall clock is set back."""
    PAUSE = "pause"
    """`pause` from another terminal, and `continue` some time later: nothing may leave in between."""
    PAUSE_AND_KILL = "pause-and-kill"
    """The same with SIGKILL in between: what takes the run up must come up paused, and wait for `continue`."""
    SET = "set"
    """`set` from another terminal: another rate, another number in flight."""
    STOP = "stop"
    """`stop` from another terminal: it finishes what is in flight."""


ENDING: Final = frozenset({Act.KILL, Act.TERMINATE, Act.INTERRUPT, Act.FULL_DISK, Act.PAUSE_AND_KILL, Act.STOP})
"""Acts after which the process of the load is gone."""


@dataclass(frozen=True, slots=True)
class Mischief:
    """One act, and when: once `share` of the rows are done, and `delay` seconds later.

    An `early` one comes as soon as a process has taken the run up, whatever it is doing then. `seconds` is how long a
    freeze or a pause lasts, or how far back the clock is set. `words` are what is set.
    """

    act: Act
    share: float
    delay: float = 0.0
    early: bool = False
    seconds: float = 0.0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traits:
    """What the billing of a round is like; `stack_rate` is entries a second, None for a billing without a stack."""

    latency_ms: float
    slots: int
    stack_rate: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A round. `in_flight` None is a window that follows the billing; `faults` the mock's fault plan, TOML."""

    seed: int
    job: str
    rows: int
    in_flight: int | None
    traits: Traits
    faults: str
    mischief: tuple[Mischief, ...]
    settle: float = SETTLE
    timeout: float = TIMEOUT

    @property
    def api_alone(self) -> bool:
        """Whether the load gets no database: a full disk would hit Firebird's own pages in its keeper as well."""
        return any(one.act is Act.FULL_DISK for one in self.mischief)

    @property
    def clock_back(self) -> float | None:
        """How far the clock of the load is set back, in seconds; None in a round that leaves it alone."""
        return next((one.seconds for one in self.mischief if one.act is Act.CLOCK), None)


def draw(seed: int, *, job: str | None = None, rows: int = ROWS, faults: str | None = None) -> Plan:
    """The round of a seed; `job` and `faults` (TOML) take the place of what would be drawn."""
    if job is not None and job != ALL and job not in TRIALS:
        raise CommandRefused(f"--job {plain(job)}: the lab knows {', '.join(TRIALS)}, and {ALL} for one of them")
    # Each part has a draw of its own: giving one of them by hand leaves the others as they were.
    chosen = _job(seed, job)
    mischief = _mischief(_draw(seed, "mischief"), needs_database=chosen == WARNING_THRESHOLD)
    plan = Plan(
        seed=seed,
        job=chosen,
        rows=rows,
        in_flight=_draw(seed, "load").choice((None, None, None, 4, 8, MOST_IN_FLIGHT)),
        traits=_traits(_draw(seed, "billing"), rows),
        faults=_as_toml(seed, _faults(_draw(seed, "faults"), TRIALS[chosen].called or TRIALS[chosen].model))
        if faults is None
        else faults,
        mischief=mischief,
    )
    # Without the database nobody can see the stacks.
    return replace(plan, traits=replace(plan.traits, stack_rate=None)) if plan.api_alone else plan


def _job(seed: int, job: str | None) -> str:
    if job == ALL:
        return _draw(seed, "job").choice(tuple(TRIALS))
    return job or _draw(seed, "job").choices(JOBS, (4, 1))[0]


def _draw(seed: int, what: str) -> Random:
    return Random(f"{seed}/{what}")


def _traits(draw: Random, rows: int) -> Traits:
    # So slow that after a kill, a start and the settle delay there is still something in it that has no effect yet.
    rate = round(rows / draw.uniform(9.0, 13.0), 1) if draw.random() < _STACKED else None
    return Traits(draw.choice((5.0, 10.0, 20.0)), draw.choice((4, 16, 64)), rate)


_STACKED: Final = 0.75


# ---- faults -----------------------------------------------------------------------------------------------------


def _share(draw: Random) -> float:
    return round(draw.uniform(0.01, 0.04), 3)


def _delayed(least: float, most: float) -> Callable[[Random], dict[str, Value]]:
    return lambda draw: {"delay": round(draw.uniform(least, most), 2)}


def _waits(draw: Random) -> dict[str, Value]:
    ways: tuple[dict[str, Value], ...] = ({}, {"retry_after": 1}, {"retry_after": "date", "delay": 2})
    return draw.choice(ways)


def _nothing(_: Random) -> dict[str, Value]:
    return {}


_KINDS: Final[Mapping[str, Callable[[Random], dict[str, Value]]]] = {
    "reset-before-effect": _nothing,
    "reset-after-effect": _nothing,
    "effect-then-silence": _delayed(1.5 * TIMEOUT, 2.5 * TIMEOUT),
    "slow": _delayed(0.1, 0.6),
    "trickle": _delayed(0.1, 0.6),
    "half-answer": _nothing,
    "500-before-effect": _nothing,
    "500-after-effect": _nothing,
    "502-after-effect": _nothing,
    "504-after-effect": _nothing,
    "503": _waits,
    "429": _waits,
    "busy": lambda draw: {"tries": draw.randint(1, 3)},
    "stop": lambda draw: {"times": draw.randint(1, 2)},
    "invalid-json-after-effect": _nothing,
    "other-encoding": _nothing,
    "foreign-answer": _nothing,
    "redirect-before-effect": _nothing,
}
"""Kinds that are drawn, with what else is drawn for each; `cabinet-error` concerns neither job."""

_ALWAYS: Final = "redirect-after-effect"
"""In every round: whoever follows it sends twice, and no other fault would show that."""

_REJECTION: Final = "нет счета для проведения финансовой операции"
_OF_ANY_MODEL: Final = 0.2
_REJECTS: Final = 0.5
_REFUSES: Final = 0.3


def _faults(draw: Random, model: str) -> list[Fault]:
    kinds = draw.sample(sorted(_KINDS), draw.randint(5, 9))
    faults: list[Fault] = []
    for kind in [_ALWAYS, *kinds]:
        # Now and then the version and the look-ups are hit as well, and a process cannot even begin.
        where: dict[str, Value] = {} if draw.random() < _OF_ANY_MODEL else {"model": model}
        faults.append({"kind": kind, **where, "share": _share(draw), **_KINDS.get(kind, _nothing)(draw)})
    if draw.random() < _REJECTS:
        faults.append({"kind": "busy", "model": model, "share": 0.01, "text": _REJECTION})
    if draw.random() < _REFUSES:
        since = round(draw.uniform(1.0, 4.0), 1)
        faults.append({"kind": "refuse", "from": since, "to": round(since + draw.uniform(0.3, 1.5), 1)})
    return faults


def _as_toml(seed: int, faults: list[Fault]) -> str:
    lines = [f"seed = {seed}"]
    for fault in faults:
        lines += ["", "[[fault]]", *(f"{name} = {_toml(value)}" for name, value in fault.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


# ---- mischief ---------------------------------------------------------------------------------------------------

_OTHERS: Final = tuple(act for act in Act if act is not Act.KILL)
_EARLY: Final = 0.25
_LONGEST_FREEZE: Final = 2 * TIMEOUT
_DAY: Final = 86_400.0
_RATES: Final = ("none", "15", "40", "200")
_IN_FLIGHT: Final = ("auto", "1", "3", str(MOST_IN_FLIGHT))


def _mischief(draw: Random, *, needs_database: bool) -> tuple[Mischief, ...]:
    """Two kills at least, three other acts, in the order of their moments."""
    acts = [Act.KILL] * draw.randint(2, 3) + draw.sample(_OTHERS, 3)
    if needs_database:
        acts = [Act.KILL if act is Act.FULL_DISK else act for act in acts]
    return tuple(sorted((_one(draw, act) for act in acts), key=lambda one: one.share))


def _one(draw: Random, act: Act) -> Mischief:
    share, delay = round(draw.uniform(0.01, 0.9), 3), round(draw.uniform(0.0, 0.08), 3)
    early = act is Act.KILL and draw.random() < _EARLY
    if early:
        # From the moment of taking up into the middle of looking up.
        delay = round(draw.uniform(0.0, SETTLE + 0.4), 3)
    seconds = 0.0
    words: tuple[str, ...] = ()
    match act:
        case Act.FREEZE:
            seconds = round(draw.uniform(0.1, _LONGEST_FREEZE), 2)
        case Act.CLOCK:
            seconds = round(draw.uniform(60.0, 2 * _DAY))
        case Act.PAUSE | Act.PAUSE_AND_KILL:
            seconds = round(draw.uniform(0.1, 1.0), 2)
        case Act.SET:
            words = (f"rate={draw.choice(_RATES)}", f"in-flight={draw.choice(_IN_FLIGHT)}")
    return Mischief(act, share, delay, early, seconds, words)
