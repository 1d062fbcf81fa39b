"""Plans of experiments, drawn from a seed.

The same seed draws the same plan. Moments depend on the progress of the load. The calls in flight at that moment
depend on the machine, so a seed repeats an experiment closely, not exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final, TypeAlias

from lab.crash.errors import UnknownJob
from lab.crash.experiment_plan import (
    BALANCES,
    FROZEN,
    IMPORT,
    JOBS,
    MARKED_ONLY,
    MOST_IN_FLIGHT,
    NEWER,
    PAYMENT,
    REQUIRED,
    ROWS,
    SETTLE,
    SUBSCRIBERS_OF_IMPORTS,
    TIMEOUT,
    WARNING_THRESHOLD,
    Act,
    BillingTraits,
    Disturbance,
    ExperimentPlan,
)
from lab.crash.journals import Alias, Elsewhere, Machine
from lab.crash.proxy import MISPLACED, WRONG, Interference
from lab.crash.stranger import CREATING, Deed
from lab.crash.trials import MARKED_PAYMENT, TRIALS, By, Trial
from lab.mock.quirks import CHOICES

ALL: Final = "all"
"""Stands for a job drawn from all jobs that write."""

Value: TypeAlias = str | float | int
Fault: TypeAlias = Mapping[str, Value]
"""A `[[fault]]` of the mock's fault plan, with the names of the file."""


def draw(
    seed: int, *, job: str | None = None, rows: int = ROWS, faults: str | None = None, own: Trial | None = None
) -> ExperimentPlan:
    """The experiment of a seed; `job` and `faults` (TOML) replace what would be drawn.

    `own` is the trial of a job of one's own, which takes the place of `job`.

    With given faults there is no proxy, so that these are the only faults.
    """
    if own is None and job is not None and job not in {ALL, IMPORT, *TRIALS}:
        raise UnknownJob(
            "the lab knows {jobs}, {all} for one of them, and {imports}", jobs=tuple(TRIALS), all=ALL, imports=IMPORT
        )
    # Each part has its own random stream, so fixing one of them leaves the others unchanged.
    chosen = _job(seed, job) if own is None else own.job
    if chosen == IMPORT:
        return _import(seed, rows, faults)
    trial = own or TRIALS[chosen]
    model = trial.called or trial.model
    plan = ExperimentPlan(
        seed=seed,
        job=chosen,
        rows=rows,
        in_flight=_draw(seed, "load").choice((None, None, None, 4, 8, MOST_IN_FLIGHT)),
        traits=_traits(_draw(seed, "billing"), rows),
        faults=_as_toml(seed, _faults(_draw(seed, "faults"), chosen, model)) if faults is None else faults,
        # The text is part of the seed: another text would draw other disturbances for the same seed.
        disturbances=_disturbances(_draw(seed, "mischief"), _acts(trial)),
        proxy=_misleading(seed, _interference(_draw(seed, "proxy"), model), model) if faults is None else None,
        without_database=chosen != WARNING_THRESHOLD and _draw(seed, "database").random() < _WITHOUT_DATABASE,
        quirks=(*_quirks(_draw(seed, "quirks"), _EXERCISED, 3), *_answer_quirks(_draw(seed, "answers"))),
        lacking=_lacking(_draw(seed, "columns"), chosen) if chosen in JOBS else (),
        own=own,
    )
    plan = replace(plan, disturbances=_with_newer(seed, plan.disturbances, trial))
    if chosen == PAYMENT and own is None and not plan.lacking and _draw(seed, "way").random() < _IN_THE_USUAL_WAY:
        model, writes = MARKED_PAYMENT.model, _faults(_draw(seed, "faults"), BALANCES, MARKED_PAYMENT.model)
        plan = replace(
            plan,
            own=MARKED_PAYMENT,
            faults=_as_toml(seed, writes) if faults is None else faults,
            proxy=plan.proxy and replace(plan.proxy, model=plan.proxy.model and model),
        )
    if faults is None:
        plan = _queued(_draw(seed, "queue"), plan)
    if not plan.api_alone:
        two = _draw(seed, "billings").random() < _TWO_BILLINGS and plan.refused_for is None
        return replace(plan, two_billings=two)
    # Without the database neither the stacks nor the columns can be seen.
    return replace(plan, traits=replace(plan.traits, stack_rate=None), lacking=())


def _import(seed: int, rows: int, faults: str | None) -> ExperimentPlan:
    """The experiment of a seed with an import: `rows` are subscribers, each with several steps."""
    drawn = _faults(_draw(seed, "faults"), IMPORT, _draw(seed, "model").choice(_IMPORTED))
    licensed = _draw(seed, "licence")
    return ExperimentPlan(
        seed=seed,
        job=IMPORT,
        rows=rows,
        in_flight=_draw(seed, "load").choice((None, None, 8, MOST_IN_FLIGHT)),
        traits=_traits(_draw(seed, "billing"), rows * _STEPS),
        faults=_as_toml(seed, drawn) if faults is None else faults,
        disturbances=_with_newer(seed, _disturbances(_draw(seed, "mischief"), _IMPORT_ACTS), None),
        proxy=_misleading(seed, _interference(_draw(seed, "proxy"), ""), "") if faults is None else None,
        two_billings=_draw(seed, "billings").random() < _TWO_BILLINGS,
        quirks=(*_quirks(_draw(seed, "quirks"), _IMPORT_QUIRKS, 2), *_answer_quirks(_draw(seed, "answers"))),
        licence=SUBSCRIBERS_OF_IMPORTS + round(rows * licensed.uniform(0.2, 0.8))
        if licensed.random() < _LICENSED
        else None,
        undo_kills=tuple(sorted(round(_draw(seed, f"undo {n}").uniform(0.05, 0.9), 2) for n in range(_UNDO_KILLS))),
        # What the billing refuses to take back would stay.
        undo_faults=_as_toml(seed, [one for one in drawn if "text" not in one]) if faults is None else "",
    )


_IMPORTED: Final = ("Abonents", "Users", "UsersUsluga", "AttributeValues", "FinanceOperations", "AdminAccounts")
_STEPS: Final = 5
"""Steps of a subscriber, about."""
_LICENSED: Final = 0.5
_UNDO_KILLS: Final = 2
_IMPORT_QUIRKS: Final = ("create_answers", "deleted_numbers", "error_status", "too_long", "type_8")
"""Quirks that an import may meet; the others concern the comments of operations."""


def _job(seed: int, job: str | None) -> str:
    if job == ALL:
        return _draw(seed, "job").choice(tuple(TRIALS))
    return job or _draw(seed, "job").choices(JOBS, (4, 1, 1))[0]


def _draw(seed: int, what: str) -> Random:
    return Random(f"{seed}/{what}")


def _traits(draw: Random, rows: int) -> BillingTraits:
    # Slow enough that after a kill, a start and the settle delay some entries are still not applied.
    rate = round(rows / draw.uniform(9.0, 13.0), 1) if draw.random() < _STACKED else None
    return BillingTraits(draw.choice((5.0, 10.0, 20.0)), draw.choice((4, 16, 64)), rate)


_STACKED: Final = 0.75
_WITHOUT_DATABASE: Final = 0.15


_LACKING: Final = 0.35
_REFUSED: Final = 0.06
OPTIONAL: Final = (
    "ABONENTS.EMAIL",
    "ABONENTS.NEED_RECALC",
    "ABONENTS.SMS",
    "ABONENTS.TARIF_NEXT_DATE",
    "ADMIN_ACCOUNTS.limit",
    "FINANCE_OPERATIONS.CODE1C",
    "FINANCE_OPERATIONS.SYNC1C",
    "USERS.MAC",
    "USERS_USLUGA.NEXT_DATE",
)
"""Columns that the jobs in `JOBS` do not need."""


def _lacking(draw: Random, job: str) -> tuple[str, ...]:
    """Columns that the billing lacks: usually none, rarely one that the job needs."""
    if draw.random() >= _LACKING:
        return ()
    lacking = draw.sample(OPTIONAL, draw.randint(1, 4))
    return tuple(sorted(lacking)) if draw.random() >= _REFUSED / _LACKING else (REQUIRED[job],)


_QUIRKY: Final = 0.5
_WITHOUT_WEIGHT: Final = frozenset({"storno_call", "storno_type_8", "deleted_numbers", "too_long", "closed_period"})
"""Quirks that no experiment exercises: none takes back what it enters, creates what has a number, or dates back."""
_OF_ANSWERS: Final = ("list_errors", "value_types")
_EXERCISED: Final = sorted(CHOICES.keys() - _WITHOUT_WEIGHT - set(_OF_ANSWERS))
_ODD_ANSWERS: Final = 0.25


def _quirks(draw: Random, possible: Sequence[str], most: int) -> tuple[str, ...]:
    """The quirks of the billing; half of the experiments have none."""
    if draw.random() >= _QUIRKY:
        return ()
    return _chosen(draw, sorted(draw.sample(possible, draw.randint(1, most))))


def _answer_quirks(draw: Random) -> tuple[str, ...]:
    """The quirks of its answers' form, from a stream of their own."""
    return _chosen(draw, [name for name in _OF_ANSWERS if draw.random() < _ODD_ANSWERS])


def _chosen(draw: Random, quirks: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}={_as_typed(draw.choice(CHOICES[name][1:]))}" for name in quirks)


def _as_typed(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


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
"""Kinds of fault, each with its additional draws; `cabinet-error` applies to neither job."""

_ALWAYS: Final = "redirect-after-effect"
"""Part of every experiment: a client that follows it sends twice, and no other fault shows that."""

_REJECTION: Final = "нет счета для проведения финансовой операции"
_OF_ANY_MODEL: Final = 0.2
_REJECTS: Final = 0.5
_REFUSES: Final = 0.3


_REFUSING: Final[Fault] = {"model": "Users", "method": "objects.create"}
"""The calls of an import of which some are refused for good: what comes after them is not sent then."""

_WRITES: Final = {BALANCES: "objects.create", WARNING_THRESHOLD: "save", PAYMENT: "add_payment"}


def _faults(draw: Random, job: str, model: str) -> list[Fault]:
    kinds = draw.sample(sorted(_KINDS), draw.randint(5, 9))
    faults: list[Fault] = []
    for kind in [_ALWAYS, *kinds]:
        # Sometimes the version call and look-ups are hit as well, and a process cannot begin.
        where: dict[str, Value] = {} if draw.random() < _OF_ANY_MODEL else {"model": model}
        faults.append({"kind": kind, **where, "share": _share(draw), **_KINDS.get(kind, _nothing)(draw)})
    if draw.random() < _REJECTS:
        # Of writing calls alone: a refused read concerns no row and ends the process.
        method: Fault = {"method": _WRITES[job]} if job in _WRITES else {}
        writes = _REFUSING if job == IMPORT else {"model": model, **method}
        faults.append({"kind": "busy", **writes, "share": 0.01, "text": _REJECTION})
    if draw.random() < _REFUSES:
        since = round(draw.uniform(1.0, 4.0), 1)
        faults.append({"kind": "refuse", "from": since, "to": round(since + draw.uniform(0.3, 1.5), 1)})
    return faults


_QUEUED: Final = 0.25
_LONGEST_QUEUE: Final = 1.8
"""Seconds. Longer than `TIMEOUT`, so that effects come when nobody waits for their answer any more."""
_FORGETTING: Final = MARKED_ONLY | {Act.RESTORE}
"""Acts with a journal that does not know of calls that still wait: it would have to wait for what nobody can see."""


def _queued(draw: Random, plan: ExperimentPlan) -> ExperimentPlan:
    """The plan with a queue before some requests, which the settle delay outlasts; from a stream of its own."""
    if draw.random() >= _QUEUED or _FORGETTING & {one.act for one in plan.disturbances}:
        return plan
    fault: Fault = {"kind": "queued", "share": _share(draw), "delay": round(draw.uniform(TIMEOUT, _LONGEST_QUEUE), 2)}
    return replace(plan, faults=plan.faults + _entry(fault), settle=plan.settle + _LONGEST_QUEUE)


def _as_toml(seed: int, faults: list[Fault]) -> str:
    return "".join((f"seed = {seed}\n", *map(_entry, faults)))


def _entry(fault: Fault) -> str:
    return "".join(("\n[[fault]]\n", *(f"{name} = {_toml(value)}\n" for name, value in fault.items())))


def _toml(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


# ---- the proxy --------------------------------------------------------------------------------------------------

_PROXIED: Final = 0.5
"""The share of experiments with a proxy. The proxy accepts all connections, so none is refused there."""
LONGEST_DELAY: Final = 0.15
"""Seconds. A held request must have had its effect within `SETTLE`, including its time in the billing's slots."""


def _interference(draw: Random, model: str) -> Interference | None:
    if draw.random() >= _PROXIED:
        return None
    kinds = draw.sample(sorted(MISPLACED), draw.randint(2, 4))
    return Interference(
        seed=draw.randrange(1_000_000),
        shares={kind: _share(draw) for kind in kinds},
        model="" if draw.random() < _OF_ANY_MODEL else model,
        delay=round(draw.uniform(0.02, LONGEST_DELAY), 3),
    )


_MISLED: Final = 0.3


def _misleading(seed: int, drawn: Interference | None, model: str) -> Interference | None:
    """The proxy, which speaks in the billing's place as well in some experiments; from a stream of its own."""
    draw = _draw(seed, "words")
    if draw.random() >= _MISLED:
        return drawn
    kinds = draw.sample(sorted(WRONG), draw.randint(1, 3))
    shares = {kind: _share(draw) for kind in kinds}
    if drawn is None:
        return Interference(draw.randrange(1_000_000), shares, model)
    return replace(drawn, shares={**drawn.shares, **shares})


# ---- disturbances -----------------------------------------------------------------------------------------------

_EARLY: Final = 0.25
_AT_THE_END: Final = 0.4
_LONGEST_FREEZE: Final = 2 * TIMEOUT
_DAY: Final = 86_400.0
_RATES: Final = ("none", "15", "40", "200")
_IN_FLIGHT: Final = ("auto", "1", "3", str(MOST_IN_FLIGHT))


_IMPORT_ACTS: Final = frozenset(Act) - MARKED_ONLY - NEWER - {Act.FULL_DISK}
"""Of an import from another journal what is there is left as it is, and not refused; and it needs the database."""


def _acts(trial: Trial) -> frozenset[Act]:
    """The acts that can be judged in an experiment with this job."""
    acts = set(Act) - NEWER
    if trial.job == WARNING_THRESHOLD:
        acts.remove(Act.FULL_DISK)
    if trial.by is not By.MARK:
        acts -= MARKED_ONLY
    if trial.once and trial.unreadable:
        # The effects after the copy could not be identified.
        acts.remove(Act.RESTORE)
    return frozenset(acts)


def _disturbances(draw: Random, possible: frozenset[Act]) -> tuple[Disturbance, ...]:
    """At least two kills and four other acts, in the order of their moments."""
    others = draw.sample([act for act in Act if act is not Act.KILL and act not in NEWER], 4)
    acts = [Act.KILL] * 2 + [act if act in possible else Act.KILL for act in others]
    return tuple(sorted((_one(draw, act) for act in acts), key=lambda one: one.share))


_STRANGERS: Final = 0.5
_OVERLAPS: Final = 0.25
_UNDONE: Final = 0.12
_IN_THE_USUAL_WAY: Final = 0.5
_TWO_BILLINGS: Final = 0.04


def _with_newer(seed: int, drawn: tuple[Disturbance, ...], trial: Trial | None) -> tuple[Disturbance, ...]:
    """The disturbances with those that have streams of their own; `trial` is None for an import."""
    strangers, overlaps, undone = (_draw(seed, what) for what in ("strangers", "overlap", "undone"))
    more: list[Disturbance] = []
    deeds = (Deed.CREATES,) if trial is None else [one for one in Deed if trial.creates or one not in CREATING]
    if strangers.random() < _STRANGERS:
        more += (
            Disturbance(Act.STRANGER, round(strangers.uniform(0.02, 0.5), 3), words=(strangers.choice(deeds),))
            for _ in range(strangers.randint(1, 3))
        )
    if trial is not None and trial.by is By.MARK and overlaps.random() < _OVERLAPS:
        share = round(overlaps.uniform(0.05, 0.5), 3)
        alone = MARKED_ONLY.isdisjoint(one.act for one in drawn)
        # A second journal would be refused with the name of the other run.
        machine = overlaps.choice(tuple(Machine)) if alone else Machine.THIS
        more.append(Disturbance(Act.OVERLAP, share, words=(machine,)))
    if (trial is None or not (trial.unreadable or trial.may_ask)) and undone.random() < _UNDONE:
        more.append(Disturbance(Act.UNDO, round(undone.uniform(0.2, 0.7), 3)))
    return tuple(sorted((*drawn, *more), key=lambda one: one.share))


def _one(draw: Random, act: Act) -> Disturbance:
    share, delay = round(draw.uniform(0.01, 0.9), 3), round(draw.uniform(0.0, 0.08), 3)
    early = act is Act.KILL and draw.random() < _EARLY
    if early:
        # Between the start of a resuming process and the middle of its look-ups.
        delay = round(draw.uniform(0.0, SETTLE + 0.4), 3)
    seconds = 0.0
    words: tuple[str, ...] = ()
    more = 0.0
    match act:
        case Act.FREEZE:
            seconds = round(draw.uniform(0.1, _LONGEST_FREEZE), 2)
        case Act.CLOCK:
            seconds = round(draw.uniform(60.0, 2 * _DAY))
        case Act.PAUSE | Act.PAUSE_AND_KILL:
            seconds = round(draw.uniform(0.1, 1.0), 2)
        case Act.SET:
            words = (f"rate={draw.choice(_RATES)}", f"in-flight={draw.choice(_IN_FLIGHT)}")
        case Act.RESTORE:
            more = round(draw.uniform(0.01, 0.3), 3)
        case Act.ALIAS:
            words = (draw.choice(tuple(Alias)), FROZEN)
        case Act.SECOND_JOURNAL:
            words = (Elsewhere.OTHER_FOLDER,)
            share = 1.0 if draw.random() < _AT_THE_END else share
        case Act.KILL_AND_SECOND_JOURNAL:
            words = (draw.choice(tuple(Elsewhere)),)
    return Disturbance(act, share, delay, early, seconds, words, more)
