"""Plans of rounds, drawn from a seed: a load or a fleet, its billing with faults, and the acts that disturb it.

The same seed draws the same plan. Moments depend on the progress of the load. The calls in flight at that moment
depend on the machine, so a seed repeats a round closely, not exactly.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from random import Random
from typing import Any, Final, TypeAlias

from lab.crash.loops import loops
from lab.crash.program import NoTrial
from lab.crash.proxy import Interference
from lab.crash.trials import MARKED_PAYMENT, TRIALS, By, Trial
from lab.mock.facts import CHOICES, OPENING_BALANCE, describe_quirks
from lab.mock.faults import MISPLACED, WRONG, FaultKind

ROWS: Final = 240
SETTLE: Final = 0.8
"""Seconds. The mock has its effect at once when a slot is free; the rest is a margin for a busy machine."""
TIMEOUT: Final = 1.2
"""Seconds until the load gives up on an answer; a silence in the plan lasts longer."""
MOST_IN_FLIGHT: Final = 16
"""Parallel calls at most: all of them must have had their effect within `SETTLE`."""

BALANCES: Final = "balances"
WARNING_THRESHOLD: Final = "warning-threshold"
PAYMENT: Final = "payment"
IMPORT: Final = "import"
"""The job whose rows are subscribers with all that belongs to them. It is undone as well, and has to be named."""
JOBS: Final = (BALANCES, WARNING_THRESHOLD, PAYMENT)
"""A job is drawn from these where none is named."""
ALL: Final = "all"
"""Stands for a job drawn from all jobs that write."""

REQUIRED: Final[Mapping[str, str]] = {
    BALANCES: "FINANCE_OPERATIONS.DESCR",
    WARNING_THRESHOLD: "ADMIN_ACCOUNTS.LIMIT_WARNING",
    PAYMENT: "FINANCE_OPERATIONS.STORNO",
}
"""By job of `JOBS`, a column that its look-up needs."""
TWO_BILLINGS: Final = "not of one billing"
"""The program's words for an API and a database of two billings."""

SUBSCRIBERS_A_ROW: Final = 5
"""Subscribers of the billing: folders and deleted ones share them, so that one folder has about a load's rows."""
SUBSCRIBERS_OF_IMPORTS: Final = 200
"""Subscribers of the billing before an import, which brings its own."""


# ---- acts ---------------------------------------------------------------------------------------------------------


class What(StrEnum):
    """What is done to the target of an act, to the billing, or to the journal."""

    KILL = "kill"  # SIGKILL
    FREEZE = "freeze"  # SIGSTOP, and SIGCONT some time later; in a fleet, after twice the lease
    TERMINATE = "terminate"  # SIGTERM to the load: it finishes what is in flight
    INTERRUPT = "interrupt"  # SIGINT twice: it stops at once
    RESTART = "restart"  # SIGTERM to the billing, and started again; in a fleet, PostgreSQL ends all sessions
    CRASH = "crash"  # SIGKILL to the billing, and started again
    FULL_DISK = "full-disk"  # No file of the load may grow any more, including the journal
    SECOND = "second-runner"  # A second process is started on the same run: it must be refused
    CLOCK = "clock-back"  # The load's wall clock is set back
    PAUSE = "pause"
    """`pause` from another terminal, and `continue` some time later: nothing may be sent in between."""
    PAUSE_AND_KILL = "pause-and-kill"
    """The same with SIGKILL in between: the process that resumes must start paused, and wait for `continue`."""
    SET = "set"  # `set` from another terminal: another rate, another number in flight
    STOP = "stop"  # `stop` from another terminal: it finishes what is in flight
    RESTORE = "restore"
    """The journal is copied, the load goes on and is killed, and the copy takes the journal's place."""
    ALIAS = "alias"
    """A second process is started on the same run, by another name of the journal or without its lock files."""
    SECOND_JOURNAL = "second-journal"
    """The same input is entered from another journal while the load goes on: it must be refused."""
    KILL_AND_SECOND_JOURNAL = "kill-and-second-journal"
    """The same after SIGKILL to the load, also where its journal is lost or empty."""
    OVERLAP = "overlap"
    """The same input is sent from another journal while the load sends, on this machine or on another one."""
    STRANGER = "stranger"  # Somebody else changes what rows concern that have not been sent
    UNDO = "undo-of-a-stopped-run"
    """The load is stopped and taken back, and then resumed: that must be refused."""
    CUT = "cut"
    """The connections of a worker to PostgreSQL are reset, and each new one, for twice the lease."""
    BLACK_HOLE = "black-hole"
    """Nothing passes between a worker and PostgreSQL for twice the lease, and every connection stays."""
    TERMINATE_BACKEND = "terminate-backend"  # The server ends one session of the program


class Target(StrEnum):
    """Which processes an act reaches: the load, or those of a worker."""

    LOAD = "load"
    WORKER = "worker"  # The worker alone
    ALL = "all"  # The worker with the processes of its runs
    CHILD = "child"  # One process of a run alone


OF_LOADS: Final = tuple(What)[: tuple(What).index(What.CUT)]
OF_FLEETS: Final = (
    *((What.KILL, target) for target in tuple(Target)[1:]),
    *((What.FREEZE, target) for target in tuple(Target)[1:]),
    *((what, Target.WORKER) for what in (What.CUT, What.BLACK_HOLE, What.TERMINATE_BACKEND, What.RESTART)),
)
NEWER: Final = frozenset({What.OVERLAP, What.STRANGER, What.UNDO})
"""Acts with random streams of their own: a seed draws the other ones as it did before."""
MARKED_ONLY: Final = frozenset({What.SECOND_JOURNAL, What.KILL_AND_SECOND_JOURNAL, What.OVERLAP})
"""Acts that can be judged only if effects carry marks."""
ENDING: Final = frozenset(
    {
        What.KILL, What.TERMINATE, What.INTERRUPT, What.FULL_DISK, What.PAUSE_AND_KILL, What.STOP, What.RESTORE,
        What.KILL_AND_SECOND_JOURNAL, What.UNDO,
    }
)  # fmt: skip
"""Acts that end the process of the load."""


class Alias(StrEnum):
    """A second way to the same journal past its lock."""

    SYMBOLIC_LINK = "symbolic-link"
    HARD_LINK = "hard-link"
    NO_LOCK_FILES = "no-lock-files"  # The journal's own name, with its lock files removed


class Machine(StrEnum):
    """Where another journal is used while the load sends."""

    THIS = "this-machine"  # It must be refused
    OTHER = "other-machine"  # Nothing but the billing shows the two to each other


class Elsewhere(StrEnum):
    """What happens to the journal when the same input is entered without it."""

    OTHER_FOLDER = "other-folder"  # The journal stays; another folder's journal is named
    LOST = "lost"  # The journal is moved aside
    EMPTY = "empty"  # The journal is moved aside and replaced by an empty file


class Deed(StrEnum):
    """What a stranger does to a row that has not been sent."""

    CREATES = "creates"  # He creates what the row is to create, by hand
    ENTERS = "enters"  # He enters it from another journal, with the mark of its run
    RENAMES = "renames"  # He gives the contract number to another subscriber
    MERGES = "merges"  # He gives the subscriber the account of another one
    PAYS = "pays"  # He enters a receipt of another sum
    CHARGES = "charges"  # He enters an act of the row's sum
    DELETES = "deletes"  # He deletes what the row is about


CREATING: Final = frozenset({Deed.CREATES, Deed.ENTERS})
"""Deeds that need something that the row creates."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act, its target and its moment.

    On a load it is due once `share` of the rows are done, and `delay` seconds later; an `early` one as soon as a
    process has resumed the run. `seconds` is the length of a freeze or a pause, or how far the clock is set back.
    `words` are the settings of a `set`, or the variant of the act. `more` is the share of the rows that are done
    between a copy of the journal and the kill after it. In a fleet it is against a `worker`, and `place` is a number
    in [0, 1) for what else is chosen.
    """

    what: What
    share: float = 0.0
    delay: float = 0.0
    early: bool = False
    seconds: float = 0.0
    words: tuple[str, ...] = ()
    more: float = 0.0
    target: Target = Target.LOAD
    worker: int = 0
    place: float = 0.0

    def as_json(self) -> dict[str, object]:
        """As the results have it, where an act on a fleet is a blow."""
        if self.target is not Target.LOAD:
            return {"blow": self.what, "reach": self.target, "worker": self.worker, "place": self.place}
        found = asdict(self)
        return {"act": found.pop("what")} | {name: found[name] for name in list(found)[:6]}


@dataclass(frozen=True, slots=True)
class BillingTraits:
    """The traits of the billing; `stack_rate` is entries a second, None for a billing without a stack."""

    latency_ms: float
    slots: int
    stack_rate: float | None


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """The plan of a load. `in_flight` None is an adaptive window; `faults` is the mock's fault plan, TOML."""

    seed: int
    job: str
    rows: int
    in_flight: int | None
    traits: BillingTraits
    faults: str
    acts: tuple[Act, ...]
    proxy: Interference | None = None
    without_database: bool = False
    """Whether the load works through the API alone."""
    lacking: tuple[str, ...] = ()
    """Columns that the billing lacks, as TABLE.COLUMN."""
    quirks: tuple[str, ...] = ()
    """Quirks: undocumented behaviour of the real billing, as `mock serve --quirk` takes them."""
    licence: int | None = None
    """The number of subscribers that the billing may have, until the load has come to it; None for any number."""
    undo_kills: tuple[float, ...] = ()
    """The shares of an import's undo at which it is killed."""
    undo_faults: str = ""
    """The mock's fault plan for the undo of an import."""
    own: Trial | None = None
    """The trial of a job of one's own, or of a built-in one in another way; None for the usual trial."""
    two_billings: bool = False
    """Whether the database is that of another billing than the API, for which the load must be refused."""
    settle: float = SETTLE
    timeout: float = TIMEOUT

    @property
    def trial(self) -> Trial | None:
        """None for an import."""
        return self.own or TRIALS.get(self.job)

    @property
    def subscribers(self) -> int:
        return SUBSCRIBERS_OF_IMPORTS if self.job == IMPORT else SUBSCRIBERS_A_ROW * self.rows

    @property
    def longest(self) -> float:
        """Seconds after which an unfinished experiment has failed."""
        # The steps of each subscriber come one after the other, and are all taken back.
        return loops(240.0 + (self.rows if self.job == IMPORT else 0.0))

    @property
    def api_alone(self) -> bool:
        """Whether the load has no database: a full disk would also affect Firebird's own files in its process."""
        return self.without_database or any(act.what is What.FULL_DISK for act in self.acts)

    @property
    def other_balances(self) -> bool:
        """Whether opening balances behave differently from the load's assumption, and the database shows it."""
        sets = self.job == BALANCES or (self.own is not None and self.own.key_end == str(OPENING_BALANCE))
        return sets and "type_8=adds" in self.quirks and not self.api_alone

    @property
    def refused_for(self) -> str | None:
        """The column, or `TWO_BILLINGS`, for which the load must be refused at once; None for none."""
        if self.api_alone:
            return None
        required = REQUIRED.get(self.job)
        return TWO_BILLINGS if self.two_billings else required if required in self.lacking else None

    @property
    def clock_back(self) -> float | None:
        """How far the load's clock is set back, in seconds; None for not at all."""
        return next((act.seconds for act in self.acts if act.what is What.CLOCK), None)

    def as_json(self) -> dict[str, object]:
        found = asdict(replace(self, own=None, acts=()))
        # In the order, and with the names, that the JSON has had.
        acts = [act.as_json() for act in self.acts]
        return {
            "mischief" if name == "acts" else name: acts if name == "acts" else value
            for name, value in found.items()
            if name != "own"
        }


@dataclass(frozen=True, slots=True)
class AnswerTraits:
    """How a billing answers: seconds of a write, the share of writes that each fault hits, seconds of a silence."""

    latency: float
    faults: Mapping[FaultKind, float]
    silence: float


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """The round of a fleet. Times are in seconds, `rows` are those of each billing.

    What is frozen or cut off is so for `away`, which with `until_taken_over` begins only when others have taken over
    all that a frozen worker had. `single` acts come first, each once the fleet has recovered from the one before, so
    that it can be measured how long that takes: a run must be taken over within `slack` of the moment at which it may
    be. Those of the `storm` follow each other every `every` seconds.
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
    single: tuple[Act, ...]
    storm: tuple[Act, ...]
    every: float
    longest: float
    slack: float
    until_taken_over: bool = False

    @property
    def billings_a_worker(self) -> int:
        """How many runs a worker takes: all but one of them can still do all the work."""
        return -(-self.billings // (self.workers - 1))

    def as_json(self) -> dict[str, object]:
        acts = {name: [act.as_json() for act in getattr(self, name)] for name in ("single", "storm")}
        return asdict(replace(self, single=(), storm=())) | acts


# ---- drawing a load -----------------------------------------------------------------------------------------------

Fault: TypeAlias = Mapping[str, str | float | int]
"""A `[[fault]]` of the mock's fault plan, with the names of the file."""
Stream: TypeAlias = Callable[[str], Random]
"""The random stream of each part of a seed: to fix one of them leaves the others unchanged."""


def draw(
    seed: int, *, job: str | None = None, rows: int = ROWS, faults: str | None = None, own: Trial | None = None
) -> ExperimentPlan:
    """The experiment of a seed; `job` and `faults` (TOML) replace what would be drawn.

    `own` is the trial of a job of one's own, which takes the place of `job`. With given faults there is no proxy, so
    that these are the only faults. Raises `NoTrial` for an unknown job.
    """
    if own is None and job is not None and job not in {ALL, IMPORT, *TRIALS}:
        raise NoTrial(
            "the lab knows {jobs}, {all} for one of them, and {imports}", jobs=tuple(TRIALS), all=ALL, imports=IMPORT
        )

    def stream(what: str) -> Random:
        return Random(f"{seed}/{what}")

    if own is not None:
        job = own.job
    elif job == ALL:
        job = stream("job").choice(tuple(TRIALS))
    job = job or stream("job").choices(JOBS, (4, 1, 1))[0]
    trial = None if job == IMPORT and own is None else own or TRIALS[job]
    usual = trial is not None and job == PAYMENT and own is None and not _lacking(stream("columns"), job)
    if usual and _happens(stream("way"), 0.5):
        own = MARKED_PAYMENT
    tried = own or trial
    possible: tuple[str, ...]
    if tried is None:
        model, possible, most = "", ("create_answers", "deleted_numbers", "error_status", "too_long", "type_8"), 2
        drawn = _faults(stream("faults"), IMPORT, stream("model").choice(_IMPORTED))
    else:
        model, possible, most = tried.called or tried.model, _EXERCISED, 3
        drawn = _faults(stream("faults"), BALANCES if own is MARKED_PAYMENT else job, model)
    billing = stream("billing")
    # Slow enough that after a kill, a start and the settle delay some entries are still not applied.
    entries = rows if trial else 5 * rows
    rate = round(entries / billing.uniform(9.0, 13.0), 1) if _happens(billing, 0.75) else None
    windows = (None, None, None, 4, 8, MOST_IN_FLIGHT) if trial else (None, None, 8, MOST_IN_FLIGHT)
    plan = ExperimentPlan(
        seed=seed,
        job=job,
        rows=rows,
        in_flight=stream("load").choice(windows),
        traits=BillingTraits(billing.choice((5.0, 10.0, 20.0)), billing.choice((4, 16, 64)), rate),
        faults=_as_toml(seed, drawn) if faults is None else faults,
        acts=_acts(stream, trial),
        proxy=_interference(stream, model) if faults is None else None,
        quirks=_quirks(stream, possible, most),
        own=own,
    )
    two_billings = _happens(stream("billings"), 0.04)
    if trial is None:
        licensed = stream("licence")
        has_room = not _happens(licensed, 0.5)
        return replace(
            plan,
            two_billings=two_billings,
            licence=None if has_room else SUBSCRIBERS_OF_IMPORTS + round(rows * licensed.uniform(0.2, 0.8)),
            undo_kills=tuple(sorted(round(stream(f"undo {n}").uniform(0.05, 0.9), 2) for n in range(2))),
            # What the billing refuses to take back would stay.
            undo_faults=_as_toml(seed, [one for one in drawn if "text" not in one]) if faults is None else "",
        )
    alone = job != WARNING_THRESHOLD and _happens(stream("database"), 0.15)
    plan = replace(plan, without_database=alone, lacking=_lacking(stream("columns"), job) if job in JOBS else ())
    if faults is None:
        plan = _queued(stream("queue"), plan)
    if plan.api_alone:
        # Without the database neither the stacks nor the columns can be seen.
        return replace(plan, traits=replace(plan.traits, stack_rate=None), lacking=())
    return replace(plan, two_billings=two_billings and plan.refused_for is None)


_IMPORTED: Final = ("Abonents", "Users", "UsersUsluga", "AttributeValues", "FinanceOperations", "AdminAccounts")


def _happens(draw: Random, share: float) -> bool:
    return draw.random() < share


def _between(draw: Random, least: float, most: float, digits: int = 3) -> float:
    return round(draw.uniform(least, most), digits)


OPTIONAL: Final = (
    "ABONENTS.EMAIL", "ABONENTS.NEED_RECALC", "ABONENTS.SMS", "ABONENTS.TARIF_NEXT_DATE", "ADMIN_ACCOUNTS.limit",
    "FINANCE_OPERATIONS.CODE1C", "FINANCE_OPERATIONS.SYNC1C", "USERS.MAC", "USERS_USLUGA.NEXT_DATE",
)  # fmt: skip
"""Columns that the jobs in `JOBS` do not need."""


def _lacking(draw: Random, job: str) -> tuple[str, ...]:
    """Columns that the billing lacks: usually none, rarely one that the job needs."""
    if not _happens(draw, 0.35):
        return ()
    lacking = draw.sample(OPTIONAL, draw.randint(1, 4))
    return (REQUIRED[job],) if _happens(draw, 0.06 / 0.35) else tuple(sorted(lacking))


_WITHOUT_WEIGHT: Final = frozenset(
    {"storno_call", "storno_type_8", "deleted_numbers", "too_long", "closed_period", "in_filters"}
)
"""Quirks that no experiment exercises: none takes back what it enters, creates a number, dates back, or probes."""
_OF_ANSWERS: Final = ("list_errors", "value_types")
_EXERCISED: Final = tuple(sorted(CHOICES.keys() - _WITHOUT_WEIGHT - set(_OF_ANSWERS)))


def _quirks(stream: Stream, possible: Sequence[str], most: int) -> tuple[str, ...]:
    """The quirks of the billing, of which half of the experiments have none, and those of its answers' form."""
    draw, answers = stream("quirks"), stream("answers")
    names = sorted(draw.sample(possible, draw.randint(1, most))) if _happens(draw, 0.5) else []
    values = {name: draw.choice(CHOICES[name][1:]) for name in names}
    names = [name for name in _OF_ANSWERS if _happens(answers, 0.25)]
    values |= {name: answers.choice(CHOICES[name][1:]) for name in names}
    return tuple(describe_quirks(values))


# ---- its faults ---------------------------------------------------------------------------------------------------


def _share(draw: Random) -> float:
    return _between(draw, 0.01, 0.04)


_WAITS: Final[tuple[Fault, ...]] = ({}, {"retry_after": 1}, {"retry_after": "date", "delay": 2})
_DRAWN: Final[Mapping[str, Callable[[Random], Fault]]] = {
    "effect-then-silence": lambda draw: {"delay": _between(draw, 1.5 * TIMEOUT, 2.5 * TIMEOUT, 2)},
    "slow": lambda draw: {"delay": _between(draw, 0.1, 0.6, 2)},
    "trickle": lambda draw: {"delay": _between(draw, 0.1, 0.6, 2)},
    "503": lambda draw: draw.choice(_WAITS),
    "429": lambda draw: draw.choice(_WAITS),
    "busy": lambda draw: {"tries": draw.randint(1, 3)},
    "stop": lambda draw: {"times": draw.randint(1, 2)},
}
"""Kinds of fault with additional draws."""
_KINDS: Final = sorted(
    (
        *_DRAWN,
        *("reset-before-effect", "reset-after-effect", "500-before-effect", "500-after-effect", "502-after-effect"),
        *("504-after-effect", "half-answer", "invalid-json-after-effect", "other-encoding", "foreign-answer"),
        "redirect-before-effect",
    )
)
"""Kinds of fault; `cabinet-error` applies to no job. Another list would draw other faults for the same seed."""

_ALWAYS: Final = "redirect-after-effect"
"""Part of every experiment: a client that follows it sends twice, and no other fault shows that."""
_REJECTION: Final = "нет счета для проведения финансовой операции"
_OF_ANY_MODEL: Final = 0.2
_WRITES: Final[Mapping[str, Fault]] = {
    BALANCES: {"method": "objects.create"},
    WARNING_THRESHOLD: {"method": "save"},
    PAYMENT: {"method": "add_payment"},
    # What comes after an account that is refused for good is not sent then.
    IMPORT: {"model": "Users", "method": "objects.create"},
}


def _faults(draw: Random, job: str, model: str) -> list[Fault]:
    kinds = draw.sample(_KINDS, draw.randint(5, 9))
    faults: list[Fault] = []
    for kind in [_ALWAYS, *kinds]:
        # Sometimes the version call and look-ups are hit as well, and a process cannot begin.
        where: Fault = {} if _happens(draw, _OF_ANY_MODEL) else {"model": model}
        fault: Fault = {"kind": kind, **where, "share": _share(draw)}
        faults.append({**fault, **_DRAWN[kind](draw)} if kind in _DRAWN else fault)
    if _happens(draw, 0.5):
        # Of writing calls alone: a refused read concerns no row and ends the process.
        writes = {"model": model, **_WRITES.get(job, {})}
        faults.append({"kind": "busy", **writes, "share": 0.01, "text": _REJECTION})
    if _happens(draw, 0.3):
        since = _between(draw, 1.0, 4.0, 1)
        faults.append({"kind": "refuse", "from": since, "to": round(since + draw.uniform(0.3, 1.5), 1)})
    return faults


def _queued(draw: Random, plan: ExperimentPlan) -> ExperimentPlan:
    """The plan with a queue before some requests, which the settle delay outlasts.

    Not with acts whose journal does not know of calls that still wait: it would have to wait for what nobody can see.
    """
    forgetting = MARKED_ONLY | {What.RESTORE}
    if not _happens(draw, 0.25) or forgetting & {act.what for act in plan.acts}:
        return plan
    # Longer than `TIMEOUT`, so that effects come when nobody waits for their answer any more.
    longest = 1.8
    fault: Fault = {"kind": "queued", "share": _share(draw), "delay": _between(draw, TIMEOUT, longest, 2)}
    return replace(plan, faults=plan.faults + _entry(fault), settle=plan.settle + longest)


def _as_toml(seed: int, faults: list[Fault]) -> str:
    return "".join((f"seed = {seed}\n", *map(_entry, faults)))


def _entry(fault: Fault) -> str:
    lines = (f'{name} = "{one}"\n' if isinstance(one, str) else f"{name} = {one}\n" for name, one in fault.items())
    return "".join(("\n[[fault]]\n", *lines))


LONGEST_DELAY: Final = 0.15
"""Seconds. A held request must have had its effect within `SETTLE`, including its time in the billing's slots."""


def _interference(stream: Stream, model: str) -> Interference | None:
    """The proxy of half of the experiments; it accepts all connections, so none is refused there.

    In some it speaks in the billing's place as well.
    """
    draw, words = stream("proxy"), stream("words")
    drawn = None
    if _happens(draw, 0.5):
        kinds = draw.sample(sorted(MISPLACED), draw.randint(2, 4))
        drawn = Interference(
            seed=draw.randrange(1_000_000),
            shares={kind: _share(draw) for kind in kinds},
            model="" if _happens(draw, _OF_ANY_MODEL) else model,
            delay=_between(draw, 0.02, LONGEST_DELAY),
        )
    if not _happens(words, 0.3):
        return drawn
    wrong = words.sample(sorted(WRONG), words.randint(1, 3))
    shares = {kind: _share(words) for kind in wrong}
    if drawn is None:
        return Interference(words.randrange(1_000_000), shares, model)
    return replace(drawn, shares={**drawn.shares, **shares})


# ---- its acts -----------------------------------------------------------------------------------------------------


def _acts(stream: Stream, trial: Trial | None) -> tuple[Act, ...]:
    """At least two kills and four other acts, in the order of their moments; `trial` is None for an import.

    The names of the streams are part of the seed: other names would draw other acts for the same seed.
    """
    impossible: set[What] = set()
    if trial is None:
        # What is there from another journal is left as it is, and not refused; and it needs the database.
        impossible |= {*MARKED_ONLY, What.FULL_DISK}
    else:
        if trial.job == WARNING_THRESHOLD:
            impossible.add(What.FULL_DISK)
        if trial.by is not By.MARK:
            impossible |= MARKED_ONLY
        if trial.once and trial.unreadable:
            # The effects after the copy could not be identified.
            impossible.add(What.RESTORE)
    draw = stream("mischief")
    others = draw.sample([what for what in OF_LOADS if what is not What.KILL and what not in NEWER], 4)
    whats = [What.KILL] * 2 + [What.KILL if what in impossible else what for what in others]
    acts = sorted((_one(draw, what) for what in whats), key=lambda act: act.share)
    return tuple(sorted((*acts, *_newer(stream, acts, trial)), key=lambda act: act.share))


def _newer(stream: Stream, drawn: Sequence[Act], trial: Trial | None) -> Iterator[Act]:
    strangers, overlaps, undone = (stream(what) for what in ("strangers", "overlap", "undone"))
    deeds = (Deed.CREATES,) if trial is None else [one for one in Deed if trial.creates or one not in CREATING]
    if _happens(strangers, 0.5):
        for _ in range(strangers.randint(1, 3)):
            share = _between(strangers, 0.02, 0.5)
            yield Act(What.STRANGER, share, words=(strangers.choice(deeds),))
    if trial is not None and trial.by is By.MARK and _happens(overlaps, 0.25):
        share = _between(overlaps, 0.05, 0.5)
        alone = MARKED_ONLY.isdisjoint(act.what for act in drawn)
        # A second journal would be refused with the name of the other run.
        yield Act(What.OVERLAP, share, words=(overlaps.choice(tuple(Machine)) if alone else Machine.THIS,))
    if (trial is None or not (trial.unreadable or trial.may_ask)) and _happens(undone, 0.12):
        yield Act(What.UNDO, _between(undone, 0.2, 0.7))


_RATES: Final = ("none", "15", "40", "200")
_IN_FLIGHT: Final = ("auto", "1", "3", str(MOST_IN_FLIGHT))


def _one(draw: Random, what: What) -> Act:
    act = Act(what, _between(draw, 0.01, 0.9), _between(draw, 0.0, 0.08))
    more: dict[str, Any] = {}
    match what:
        case What.KILL if _happens(draw, 0.25):
            # Between the start of a resuming process and the middle of its look-ups.
            more = {"early": True, "delay": _between(draw, 0.0, SETTLE + 0.4)}
        case What.FREEZE:
            more = {"seconds": _between(draw, 0.1, 2 * TIMEOUT, 2)}
        case What.CLOCK:
            more = {"seconds": round(draw.uniform(60.0, 2 * 86_400.0))}
        case What.PAUSE | What.PAUSE_AND_KILL:
            more = {"seconds": _between(draw, 0.1, 1.0, 2)}
        case What.SET:
            more = {"words": (f"rate={draw.choice(_RATES)}", f"in-flight={draw.choice(_IN_FLIGHT)}")}
        case What.RESTORE:
            more = {"more": _between(draw, 0.01, 0.3)}
        case What.ALIAS:
            more = {"words": (draw.choice(tuple(Alias)),)}
        case What.SECOND_JOURNAL:
            more = {"words": (Elsewhere.OTHER_FOLDER,), "share": 1.0 if _happens(draw, 0.4) else act.share}
        case What.KILL_AND_SECOND_JOURNAL:
            more = {"words": (draw.choice(tuple(Elsewhere)),)}
    return replace(act, **more)


# ---- drawing a fleet ----------------------------------------------------------------------------------------------

_PLAIN: Final = (
    FaultKind.RESET_BEFORE,
    FaultKind.UNAVAILABLE,
    FaultKind.RESET_AFTER,
    FaultKind.CRASH_AFTER,
    FaultKind.SILENCE,
)
"""What a network does in place of an answer."""
_WORKERS: Final = 3


def draw_round(seed: int, *, quick: bool = False) -> RoundPlan:
    draw = Random(seed)
    faults = {fault: _between(draw, 0.002, 0.01, 4) for fault in _PLAIN}

    def acts(number: int) -> Iterator[Act]:
        """So many acts: of each kind one, in a random order, before any comes again."""
        while number > 0:
            for what, target in draw.sample(OF_FLEETS, min(number, len(OF_FLEETS))):
                yield Act(what, target=target, worker=draw.randrange(_WORKERS), place=draw.random())
            number -= len(OF_FLEETS)

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
        traits=AnswerTraits(latency=_between(draw, 0.005, 0.03, 4), faults=faults, silence=3 * timeout),
        single=tuple(acts(2 if quick else len(OF_FLEETS))),
        storm=tuple(acts(4 if quick else 4 * len(OF_FLEETS))),
        every=1.0,
        longest=loops(250 if quick else 2500),
        slack=loops(1.7),
    )
