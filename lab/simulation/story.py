"""The story of one schedule: a load that is killed, frozen and disturbed at drawn moments, until it is at its end.

A *schedule* is drawn as a whole before it runs: its load, the share of requests with a fault, and its events, each
with the number of the request after which it happens. So events can be taken away one by one, and the rest remains.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from functools import partial
from importlib import import_module
from typing import Any, Final, NamedTuple, TypeVar

from billing.api.wire import Wire
from billing.errors import BillingError
from checkpoints.errors import BillingHeld, ForbiddenTransition, JournalError
from checkpoints.records import RowFigures
from engine.errors import CountsDiffer, EngineError
from engine.pacing.holds import PAUSED
from engine.pacing.policy import Policy
from engine.pipeline.intake import Repeat
from engine.pipeline.progress import LivePolicy
from jobs.rows.input import REPEAT
from jobs.spec.words import SINCE
from lab.simulation import loop as simulated
from lab.simulation.billing import RECEIPT, Billing, Effect
from lab.simulation.journal import Disk
from lab.simulation.loads import LOADS, ON_TOP, STRANGE, UNMARKED, Load, population, row_of_comment
from lab.simulation.loop import START, Killed, NoEnd, Process, SeededLoop, replaced
from lab.simulation.network import NO_SOCKET, Connection, DirectWire, Network, Sent
from lab.simulation.program import Machines, Outcome, Program, Table

Kindred = TypeVar("Kindred", bound=Program)

ROWS: Final = 30
MOST_LIVES: Final = 25
"""Lives after which nothing disturbs any more."""
MOST_REFUSALS: Final = 5
LAST_LIVES: Final = 12
"""Lives in peace within which a run has to come to its end."""
IN_FLIGHT: Final = 4
SETTLE: Final = 4.0
"""Seconds of the settle delay: longer than the billing and its stacks hold anything."""
STOOD_STILL: Final = 1.0
"""Seconds after which a process that was frozen sends nothing that it has not checked again."""
EXPECTED: Final = (JournalError, EngineError, BillingError, BillingHeld, Killed)


class Kind(StrEnum):
    """What happens."""

    KILL = "the process is killed"
    FREEZE = "the process is frozen"
    POWER = "the machine loses power"
    DISK = "the journal's disk is full for a while"
    AWAY = "the billing is away for a while"
    READ_ONLY = "the billing saves nothing for a while"
    STOP = "somebody stops the run"
    RESTORE = "a copy of the journal is put back"
    OTHER = "another machine enters the same rows with another journal"
    ALIAS = "a second process gets past the lock of the run"
    CLOCK = "somebody sets the clock"
    EQUAL = "somebody enters what a row asks for"
    PAYS = "somebody pays"
    DELETES = "somebody deletes a subscriber"
    MERGES = "somebody merges two accounts"
    RENUMBERS = "somebody gives a contract number to another subscriber"
    PAUSE = "somebody pauses the run for a while"
    SET = "somebody sets window and rate of the run"
    REVERSES = "somebody reverses an operation"
    REMOVES = "somebody deletes a service"
    PUT_BACK = "the billing is put back from its backup"


class Then(StrEnum):
    """What is done when the run is at its end."""

    VERIFY = "verify"
    AGAIN = "the same rows again"
    ELSEWHERE = "the same rows with another journal"
    UNDO = "undo"
    UNDO_UNDO = "undo of the undo"
    CLOSE = "close"
    RESUME = "resume"
    PURGE = "purge"
    PUT_BACK = "the billing is put back"
    ENTER = "what the billing does not show any more is entered on top"
    DELTA = "a later file of the same rows"
    SECOND = "a second load of another kind"
    OVER = "a second load on top of what the first has entered"
    FIRST = "the first load once more"


WAYS: Final[tuple[tuple[Then, ...], ...]] = (
    (),
    (),
    (),
    (Then.VERIFY,),
    (Then.AGAIN,),
    (Then.ELSEWHERE,),
    (Then.UNDO,),
    (Then.UNDO, Then.RESUME),
    (Then.UNDO, Then.UNDO_UNDO),
    (Then.UNDO, Then.AGAIN, Then.UNDO_UNDO),
    (Then.CLOSE, Then.RESUME),
    (Then.CLOSE, Then.AGAIN),
)
"""What is done with a run that is at its end, in this order."""

LATER: Final = (Kind.PAUSE, Kind.SET, Kind.REVERSES, Kind.REMOVES, Kind.PUT_BACK)
LATER_WAYS: Final[tuple[tuple[Then, ...], ...]] = (
    (Then.VERIFY, Then.ELSEWHERE, Then.VERIFY),
    (Then.PURGE, Then.AGAIN, Then.VERIFY),
    (Then.UNDO, Then.PURGE, Then.AGAIN),
    (Then.PURGE, Then.UNDO),
)
LATER_LOADS: Final = ("delete-services", "import")
APART: Final = (*LATER_LOADS, UNMARKED, ON_TOP)
"""What is drawn by a second generator, so that the schedules without it stay what they were."""

BACKUP_WAYS: Final[tuple[tuple[Then, ...], ...]] = (
    (),
    (Then.VERIFY, Then.AGAIN),
    (Then.PUT_BACK, Then.VERIFY, Then.ENTER, Then.VERIFY),
    (Then.PUT_BACK, Then.AGAIN, Then.ENTER),
    (Then.PUT_BACK, Then.UNDO, Then.AGAIN),
    (Then.PUT_BACK, Then.ENTER, Then.UNDO),
    (Then.PUT_BACK, Then.ENTER, Then.PUT_BACK, Then.ENTER),
    (Then.PUT_BACK, Then.CLOSE, Then.ENTER),
    (Then.UNDO, Then.PUT_BACK, Then.AGAIN),
    (Then.UNDO, Then.PUT_BACK, Then.ENTER),
    (Then.UNDO, Then.PUT_BACK, Then.UNDO_UNDO),
    (Then.UNDO, Then.AGAIN, Then.PUT_BACK, Then.ENTER),
    (Then.UNDO, Then.UNDO_UNDO, Then.PUT_BACK, Then.ENTER),
)
DELTA_WAYS: Final[tuple[tuple[Then, ...], ...]] = (
    (Then.DELTA, Then.VERIFY, Then.AGAIN),
    (Then.DELTA, Then.UNDO, Then.DELTA),
    (Then.DELTA, Then.UNDO, Then.UNDO_UNDO),
    (Then.DELTA, Then.DELTA),
    (Then.DELTA, Then.PUT_BACK, Then.ENTER),
    (Then.DELTA, Then.UNDO, Then.PUT_BACK, Then.DELTA),
    (Then.PUT_BACK, Then.DELTA, Then.ENTER),
)
"""What is done where a billing is put back, and with a later file."""

REVERSED: Final = ("payment", "payment by contract number", UNMARKED, ON_TOP)
DELETED: Final = ("connect-service", "attribute")
REVERSAL_WAYS: Final[tuple[tuple[Then, ...], ...]] = (
    (Then.UNDO,),
    (Then.UNDO, Then.RESUME),
    (Then.UNDO, Then.VERIFY, Then.AGAIN),
    (Then.PUT_BACK, Then.UNDO),
    (Then.PUT_BACK, Then.UNDO, Then.AGAIN),
    (Then.PUT_BACK, Then.ENTER, Then.UNDO),
    (Then.UNDO, Then.PUT_BACK, Then.AGAIN),
    (Then.UNDO, Then.PUT_BACK, Then.ENTER),
    (Then.UNDO, Then.AGAIN, Then.PUT_BACK, Then.ENTER),
)
"""What is taken back by storno and by deletion, and what is done where it is."""

SECONDS: Final = {
    "payment": "balances",
    "payment by contract number": "balances",
    "balances": "payment",
    "connect-service": "delete-services",
}
"""The load of another kind that comes after one, over the same subscribers."""
SECOND_WAYS: Final[tuple[tuple[Then, ...], ...]] = (
    (Then.SECOND, Then.VERIFY, Then.FIRST, Then.AGAIN),
    (Then.SECOND, Then.UNDO, Then.FIRST, Then.AGAIN, Then.VERIFY),
    (Then.SECOND, Then.UNDO, Then.UNDO_UNDO, Then.FIRST, Then.AGAIN),
    (Then.SECOND, Then.UNDO, Then.FIRST, Then.UNDO, Then.AGAIN),
    (Then.SECOND, Then.FIRST, Then.UNDO, Then.SECOND, Then.UNDO),
    (Then.UNDO, Then.SECOND, Then.FIRST, Then.UNDO_UNDO),
    (Then.UNDO, Then.SECOND, Then.UNDO, Then.FIRST, Then.AGAIN),
    (Then.OVER, Then.VERIFY, Then.FIRST, Then.AGAIN),
    (Then.OVER, Then.UNDO, Then.FIRST, Then.AGAIN),
)
"""What is done where two loads of different kinds are about the same subscribers."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens after the request number `at`; `much` says how long or to whom, from 0 to 1."""

    kind: StrEnum
    at: int
    much: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that is drawn of one schedule."""

    seed: int
    load: str
    accounts: int
    trouble: float
    lag: float
    events: tuple[Event, ...]
    then: tuple[Then, ...]
    leaves_stopped: bool = False
    """Whether a run that was stopped is left so, and what follows is done with it."""
    wire: bool = False
    rate: float | None = None
    streams: bool = False
    """Whether rows are sent while the list is still made, as those of a query are."""
    tries: int = 10
    """Calls of a row after which it is left for another time."""
    rows: int = ROWS
    by_many: bool = False
    """Whether the billing is known to tell of many values by one question."""
    reverses: bool = False
    """Whether its run is taken back by storno or by deletion."""
    second: str = ""
    """The load of another kind that may come after it."""
    notes_gone: bool = False
    """Whether what an undo has found gone counts as taken back."""
    lease: float = 0.0
    """Seconds that a process may send without hearing from its journal, and that its successor waits."""

    @property
    def world(self) -> "type[World]":
        return World


def draw(seed: int, *, wire: bool = False, by_many: bool = False) -> Schedule:
    random_, later = random.Random(f"{seed} story"), random.Random(f"{seed} later")
    load = random_.choice([*(name for name in LOADS if name not in APART), "payment", "balances"])
    kinds = random_.sample([kind for kind in Kind if kind not in LATER], random_.randint(1, 6))
    number = random_.choice([0, 1, 2, 3, 5, 8, 12])
    then = random_.choice(WAYS)
    accounts = random_.choice([3, 9, 30])
    trouble = random_.choice([0.0, 0.02, 0.1, 0.3])
    lag = random_.choice([0.0, 0.0, 0.3, 1.5])
    events = [Event(random_.choice(kinds), random_.randint(1, 160), random_.random()) for _ in range(number)]
    leaves_stopped = random_.random() < 0.5  # noqa: PLR2004
    events += [
        Event(later.choice(LATER), later.randint(1, 160), later.random())
        for _ in range(later.choice([0, 0, 0, 0, 1, 3]))
    ]
    if not then and later.random() < 0.7:  # noqa: PLR2004
        then = later.choice(LATER_WAYS)
    if later.random() < 0.1:  # noqa: PLR2004
        load = later.choice(LATER_LOADS)
    rate = later.choice([None, None, None, None, 20.0, 4.0])
    streams = later.random() < 0.15  # noqa: PLR2004
    if load == "payment" and random.Random(f"{seed} unmarked").random() < 0.3:  # noqa: PLR2004
        # What has no mark is known to its own journal alone.
        load = UNMARKED
        events = [event for event in events if event.kind not in {Kind.OTHER, Kind.RESTORE}]
        then = tuple(one for one in then if one is not Then.ELSEWHERE)
    tries = random.Random(f"{seed} tries").choice((10, 10, 2))
    drawn = Schedule(
        seed, load, accounts, trouble, lag, tuple(events), then, leaves_stopped, wire, rate, streams, tries
    )
    return replace(drawn, by_many=by_many)


def with_backups(drawn: Schedule) -> Schedule:
    """The schedule with a billing that is put back, or with a later file of the same rows."""
    random_ = random.Random(f"{drawn.seed} backups")
    load, ways = drawn.load, BACKUP_WAYS
    if random_.random() < 0.3:  # noqa: PLR2004
        load, ways = ON_TOP, DELTA_WAYS
    elif load == UNMARKED:
        load = "payment"
    events = [Event(Kind.PUT_BACK, random_.randint(1, 160), random_.random())] if random_.random() < 0.3 else []  # noqa: PLR2004
    return replace(drawn, load=load, events=(*drawn.events, *events), then=random_.choice(ways))


def with_reversals(drawn: Schedule) -> Schedule:
    """The schedule with an undo by storno or by deletion, during which the billing may be put back."""
    random_ = random.Random(f"{drawn.seed} reversals")
    if random_.random() < 0.3:  # noqa: PLR2004
        return drawn
    load = random_.choice((*REVERSED, *DELETED))
    events = [event for event in drawn.events if load != UNMARKED or event.kind not in {Kind.OTHER, Kind.RESTORE}]
    events += [
        Event(Kind.PUT_BACK, random_.randint(60, 400), random_.random()) for _ in range(random_.choice([0, 1, 1, 2]))
    ]
    then = random_.choice(REVERSAL_WAYS)
    return replace(drawn, load=load, events=tuple(events), then=then, reverses=True)


def with_second(drawn: Schedule) -> Schedule:
    """The schedule with a second load of another kind."""
    random_ = random.Random(f"{drawn.seed} second")
    drawn = replace(drawn, notes_gone=True)
    if random_.random() < 0.6:  # noqa: PLR2004
        return drawn
    load = random_.choice([*SECONDS])
    events = tuple(one for one in drawn.events if one.kind not in {Kind.OTHER, Kind.RESTORE})
    then = random_.choice(SECOND_WAYS)
    return replace(drawn, load=load, second=SECONDS[load], events=events, then=then, reverses=False)


AT_ONCE: Final = 0.1
"""Seconds between the writes of two processes and the moments when they are noted, in either order."""


@dataclass(slots=True)
class TakeUp:
    """A run that a process has taken up."""

    disk: Disk
    run: str
    epoch: int
    process: Process
    moment: float

    def follows(self, other: "TakeUp") -> bool:
        """Whether another process has taken up the run of that one, after it.

        Of two that do so at once either may be noted first. Their epochs tell, but not once a copy was put back.
        """
        at_once = self.moment - other.moment < AT_ONCE and self.epoch < other.epoch
        is_later = self.moment > other.moment and self.process is not other.process and not at_once
        return is_later and (self.disk, self.run) == (other.disk, other.run)


@dataclass(frozen=True, slots=True)
class Limit:
    """The calls that a process may have in flight from a moment on, and its calls a second."""

    who: str
    moment: float
    in_flight: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` has said of a run, and from when to when it has read."""

    disk: Disk
    run: str
    began: float
    ended: float
    said: RowFigures


@dataclass(slots=True)
class Turn:
    """A load with its file, whose rows have numbers of their own, and its run with the undos of that."""

    load: Load
    table: Table
    before: int = 0
    """How many numbers others have before its own."""
    runs: list[str] = field(default_factory=list)


class Entry(NamedTuple):
    """An effect of a row, with the journal and the run that have brought it about; `sign` is -1 for a taking back."""

    effect: Effect
    row: int
    disk: Disk
    run: str
    sign: int
    left: float
    whose: object


@dataclass(slots=True)
class World:
    """All that a schedule has, and what the judge reads of it."""

    loop: SeededLoop
    schedule: Schedule
    load: Load
    table: Table
    billing: Billing
    network: Network
    reached: Counter[str]
    draw: random.Random
    machines: Machines = field(default_factory=Machines)
    disks: list[Disk] = field(default_factory=list)
    take_ups: list[TakeUp] = field(default_factory=list)
    frozen: list[tuple[Process, float, float]] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    beside: list["asyncio.Task[Any]"] = field(default_factory=list)
    copy: bytes | None = None
    due: int = 0
    """The request after which the copy is put back."""
    main: Process | None = None
    program: Program | None = None
    lives: int = 0
    working: Counter[Disk] = field(default_factory=Counter)
    is_over: bool = False
    before: dict[int, Decimal] = field(default_factory=dict)
    files: dict[str, Table] = field(default_factory=dict)
    """The files that a process can open, by their names."""
    turns: list[Turn] = field(default_factory=list)
    """The loads of the schedule: the first one, and a second one once it has come."""
    turn: Turn = field(init=False)
    """The one whose programs are begun."""
    at_first: Callable[[], Billing] = field(default=partial(Billing, float))
    """Makes a billing as this one was at first."""

    # ---- what the judge asks ----

    def entries(self, *, lost: bool = False) -> Iterator[Entry]:
        """The effects of rows, as the ledger has them, or those that the billing has lost."""
        of_process = {take_up.process.name: take_up for take_up in self.take_ups}
        runs: dict[tuple[Disk, str], tuple[int, Turn]] = {}
        for disk, run in [(one, run) for one in self.disks for run in one.runs()]:
            sign, turn = runs[disk, run["undone"]] if run["undone"] else (-1, self._turn_of(run["job"]))
            runs[disk, run["name"]] = -sign, turn
        for effect in self.billing.lost if lost else self.billing.ledger:
            take_up = of_process.get(effect.who)
            if take_up is None:
                continue
            sign, turn = runs.get((take_up.disk, take_up.run), (1, self.turns[0]))
            if effect.model != turn.load.model or effect.what == "saved":
                continue
            if effect.what == "reversed":
                # As if the opposite was entered; of another type it is another's.
                if effect.after["op_type_id"] != turn.load.op_type:
                    continue
                effect = replace(effect, what="created")  # noqa: PLW2901
            if (row := turn.load.row_of(effect)) is not None:
                whose = (effect.after or effect.before).get("abonent_id")
                yield Entry(effect, turn.before + row, take_up.disk, take_up.run, sign, effect.left, whose)

    def _turn_of(self, job: str) -> Turn:
        return next((one for one in self.turns if one.load.job == job), self.turns[0])

    @property
    def rows(self) -> dict[int, tuple[Load, tuple[str, ...]]]:
        """By their numbers, the rows of all loads: the load and the cells of each."""
        return {
            row: (turn.load, cells)
            for turn in self.turns
            for row, cells in zip(turn.table.numbers, turn.table.cells, strict=True)
        }

    def in_force(self, who: str, since: float, until: float) -> tuple[int, float | None]:
        """The widest window and the highest rate of a process in some time."""
        limits = [one for one in self.limits if one.who == who and one.moment <= until]
        ends = [*(one.moment for one in limits[1:]), until]
        late = [one for one, end in zip(limits, ends, strict=True) if end > since]
        rates = [one.rate for one in late if one.rate is not None]
        return max(one.in_flight for one in late), max(rates) if len(rates) == len(late) else None

    def has_thawed(self, who: str, since: float, until: float) -> bool:
        """Whether a process was frozen, so shortly that it may send unchecked, and went on within some time."""
        return any(
            process.name == who and since < thawed <= until and seconds <= STOOD_STILL
            for process, thawed, seconds in self.frozen
        )

    def waits_for_person(self, disk: Disk, name: str) -> bool:
        """Whether all that is left of a run are steps, and a person has to decide on others before them."""
        states = disk.states(name)
        return (
            self.load.has_steps and "manual" in states and not states.keys() & {"sending", "unknown", "unconfirmed"}
        )

    def taken_away(self, effects: Iterable[Effect]) -> list[Effect]:
        """What somebody, or a second load, has deleted or reversed, of these effects."""
        others = {"somebody", *(one.effect.who for one in self.entries() if one.row > ROWS)}
        taken = (one for one in effects if one.model == self.load.model and one.who in others)
        return [one for one in taken if one.what == "deleted" or one.after.get("storno")]

    # ---- lives of a command ----

    def policy_of(self, process: Process) -> Policy:
        """What a process that begins may do."""
        rate = self.schedule.rate
        self.limits.append(Limit(process.name, self.loop.now, IN_FLIGHT, rate))
        return Policy(
            in_flight=IN_FLIGHT,
            rate=rate,
            settle=SETTLE,
            min_disk=0,
            page=11,
            stop_after_errors=None,
            retry_floor=1000.0,
            tries=self.schedule.tries,
        )

    def new_program(self, disk: Disk, machine: str) -> Program:
        self.lives += 1
        ahead, rate = self.draw.uniform(0, 1000), self.draw.choice([1.0, 1.0, 0.999, 1.001])
        return self.started(
            Program, Process(f"p{self.lives}", self.lives, machine, ahead, rate), disk, self.turn.table
        )

    def started(self, kind: type[Kindred], process: Process, disk: Disk, table: Table) -> Kindred:
        """The program in a process, which says what it takes up."""
        return kind(
            self.loop,
            process,
            disk,
            self.machines,
            table,
            self.policy_of(process),
            self.turn.load,
            partial(self.takes_up, process, disk),
            streams=self.schedule.streams,
            by_many=self.schedule.by_many,
            notes_gone=self.schedule.notes_gone,
        )

    def takes_up(self, process: Process, disk: Disk, run: str, epoch: int) -> None:
        self.take_ups.append(TakeUp(disk, run, epoch, process, self.loop.now))
        self.loop.happened(f"takes up run {run} for the {epoch}. time", process)

    async def live(self, program: Program, command: Callable[[], Any]) -> Any:  # noqa: ANN401
        """One life of a process; what its command gives, None where it has ended otherwise."""
        self.working[program.disk] += 1
        try:
            outcome = await self.loop.start(program.process, command())
            if isinstance(outcome, Outcome):
                self.loop.happened(f"ends with {outcome.open} rows left. {outcome.why[:300]}", program.process)
        except (CountsDiffer, ForbiddenTransition) as error:
            self.problems.append(f"the program contradicts itself: {error!r}")
        except EXPECTED as error:
            if not isinstance(error, Killed):
                self.loop.happened(f"ends: {str(error)[:110]}", program.process)
        except Exception as error:  # noqa: BLE001 - is told
            self.problems.append(f"the program fails: {error!r}")
        else:
            return outcome
        finally:
            self.working[program.disk] -= 1
        return None

    async def to_the_end(
        self, disk: Disk, machine: str, begins: Callable[[Program], Any], *, known: set[str]
    ) -> str | None:
        """Begin a run and resume it until nothing is left; its name, None where the program refuses to begin."""
        refused = 0
        for life in range(MOST_LIVES + LAST_LIVES):
            if life >= MOST_LIVES:
                self.peace()
            name = disk.newest(known)
            program = self.new_program(disk, machine)
            if disk is self.disks[0]:
                self.main, self.program = program.process, program
            command = partial(begins, program) if name is None else partial(program.resume, name)
            outcome = await self.live(program, command)
            name = disk.newest(known)
            refused += isinstance(outcome, Outcome) or not program.process.was_killed
            if name is None and (refused > MOST_REFUSALS or (isinstance(outcome, Outcome) and not outcome.open)):
                return None
            waits = isinstance(outcome, Outcome) and name is not None and self.waits_for_person(disk, name)
            # Left in the middle: with rows that stand, and none of which nobody knows.
            is_left = self.schedule.leaves_stopped and program.was_stopped and not disk.rows_in_doubt()
            if name is not None and (waits or disk.left(name) == 0 or (is_left and disk.rows_that_stand())):
                return name
            pauses = [0.0, 0.5, 3.0, 40.0] if program.process.was_killed else [1.0, 40.0, 90.0]
            # A second process may wait for half an hour for what the billing does not show.
            is_held = life >= MOST_LIVES and self.working[disk]
            await asyncio.sleep(300.0 if is_held else self.draw.choice(pauses))
            self.put_back()
        if disk.newest(known):
            self.problems.append(f"run {disk.newest(known)} comes to no end: {disk.states(disk.newest(known) or '')}")
        return disk.newest(known)

    def peace(self) -> None:
        if self.network.trouble:
            self.loop.happened("the faults end")
        self.network.trouble, self.network.is_away, self.billing.refuses = 0.0, False, ""
        for disk in self.disks:
            disk.is_full = False

    def put_back(self) -> bool:
        """Put the copy of the journal in its place, if there is one and nobody works with it; whether it was done."""
        if self.copy is None or len(self.network.calls) < self.due or self.working[self.disks[0]]:
            return False
        self.disks[0].put_back(self.copy)
        self.copy = None
        self.reached["a copy is put back"] += 1
        self.loop.happened("the copy of the journal is put back")
        return True

    # ---- the story ----

    @contextmanager
    def doors(self) -> Iterator[None]:
        """Put what is simulated in the place of what the program would open."""
        wire = Wire if self.schedule.wire else partial(DirectWire, self.network)
        with replaced(
            [
                (import_module("billing.api.client"), "Wire", wire),
                (import_module("billing.api.wire"), "_socket", lambda _: NO_SOCKET),
                (import_module("jobs.rows.input"), "open_input", lambda path, _: self.files[path.name]),
            ]
        ):
            yield

    async def tell(self) -> None:
        disk = Disk("one.journal")
        self.disks.append(disk)
        self.files = {self.table.name: self.table}
        self.network.on_call.append(self._events())
        known: set[str] = set()
        run = await self.to_the_end(disk, "one", Program.run, known=known)
        await asyncio.gather(*self.beside)
        self.copy, self.is_over = None, True
        if run is not None:
            known.add(run)
            await self._after(disk, run, known)
        self.peace()
        self.network.on_call.clear()
        for one in self.disks:
            for name in one.unfinished():
                await self.to_the_end(one, f"of {one.name}", partial(Program.resume, name=name), known=one.but(name))
        await asyncio.sleep(10)
        self.billing.work_off()

    async def _after(self, disk: Disk, run: str, known: set[str]) -> None:
        self.turn.runs = [run]
        for what in self.schedule.then:
            undone = self.turn.runs
            self.loop.happened(f"then: {what}")
            self.reached[what] += 1
            match what:
                case Then.VERIFY:
                    for one in undone[:1]:
                        await self._verify(disk, one)
                case Then.AGAIN:
                    await self._again(disk, undone[1:], known)
                case Then.ELSEWHERE:
                    other = Disk("two.journal")
                    self.disks.append(other)
                    await self.to_the_end(other, "two", Program.run, known=set())
                case Then.UNDO | Then.UNDO_UNDO:
                    if len(undone) == (1 if what is Then.UNDO else 2):
                        back = partial(Program.undo, name=undone[-1], way=self.turn.load.way_back)
                        if name := await self._begin(disk, back, known):
                            undone.append(name)
                case Then.RESUME:
                    program = self.new_program(disk, "one")
                    await self.live(program, partial(program.resume, run))
                case Then.CLOSE | Then.PURGE:
                    program = self.new_program(disk, "one")
                    await self.live(program, partial(program.close if what is Then.CLOSE else program.purge, run))
                case Then.PUT_BACK:
                    self._put_back_billing(self.draw.random())
                    await asyncio.sleep(100)
                case Then.ENTER:
                    await self._enter(disk, known)
                case Then.DELTA:
                    name = await self._later(disk, run, known)
                    self.turn.runs = [name or run]
                case Then.SECOND | Then.OVER:
                    await self._second(disk, known, {REPEAT: Repeat.AGAIN} if what is Then.OVER else {})
                case Then.FIRST:
                    self.turn = self.turns[0]

    def _put_back_billing(self, much: float) -> None:
        """Put the billing back to before one of its last effects; others enter what has its ids then."""
        if not (ledger := self.billing.ledger):
            return
        self.billing.put_back(self.at_first(), ledger[int(much * len(ledger))].moment - simulated.STEP)
        self.loop.happened(f"the billing is put back, without {len(self.billing.lost)} effects")
        self._for_a_while(self.network, "is_away", 10 + much * 60, value=True, after=False)
        for _ in range(10 if self.schedule.reverses else int(much * 10)):
            subscriber = self.draw.randint(1, self.schedule.accounts)
            self._somebody(Kind.PAYS, subscriber)
            self.billing.add("UsersUsluga", "somebody", abonent_id=subscriber, usluga_id=2, manager_id=1)
            if self.schedule.reverses:
                self.billing.add("AttributeValues", "somebody", abonent_id=subscriber, attribute_id=8)

    async def _enter(self, disk: Disk, known: set[str]) -> None:
        """Enter the rows again, and do what the refusal of those advises that the billing does not show any more."""
        program = self.new_program(disk, "one")
        program.skips_bad = False
        await self.live(program, program.run)
        if program.gone:
            rows = [self.table.cells[number - 1] for number in program.gone]
            again = Table(self.table.header, rows, f"bad{self.lives}.csv", program.gone)
            self.files[again.name] = again
            await self._begin(disk, partial(Program.run, table=again, more={REPEAT: Repeat.AGAIN}), known)
        elif disk.newest(known):
            await self._begin(disk, Program.run, known)

    async def _later(self, disk: Disk, run: str, known: set[str]) -> str | None:
        """Enter a later file of the same rows: some have another sum, and some are gone."""
        draw, rows = self.draw, [*zip(self.table.numbers, self.table.cells, strict=True)]
        later = {
            number: (whose, f"{draw.randint(1, 900)}.{number:02}" if draw.random() < 0.5 else amount)  # noqa: PLR2004
            for number, (whose, amount) in rows
            if draw.random() < 0.9  # noqa: PLR2004
        }
        table = Table(self.table.header, [*later.values()], f"later{self.lives}.csv", [*later])
        self.files[table.name] = table
        return await self._begin(disk, partial(Program.run, table=table, more={SINCE: run}), known)

    async def _second(self, disk: Disk, known: set[str], more: Mapping[str, str]) -> None:
        """Turn to the second load, and enter it, unless it has been."""
        if len(self.turns) > 1:
            self.turn = self.turns[1]
            return
        load, billing = LOADS[self.schedule.second], self.billing
        whose: Iterable[tuple[int, int]] = ((one, one) for one in range(1, self.schedule.accounts + 1))
        if load.takes_away:
            services = billing.tables["UsersUsluga"].items()
            whose = ((row, pk) for pk, one in services if (row := row_of_comment(one)))
        rows = {ROWS + row: load.cells(row, pk, self.draw) for row, pk in sorted(whose)}
        table = Table(load.header, [*rows.values()], "second.csv", [*rows])
        self.files[table.name], self.turn = table, Turn(load, table, ROWS)
        self.turns.append(self.turn)
        name = await self._begin(disk, partial(Program.run, more=more), known)
        self.turn.runs += [name] if name else []

    async def _begin(self, disk: Disk, begins: Callable[[Program], Any], known: set[str]) -> str | None:
        name = await self.to_the_end(disk, "one", begins, known=known)
        known.update([name] if name else [])
        return name

    async def _again(self, disk: Disk, undos: list[str], known: set[str]) -> None:
        # A field has no history: an undo that lies half done would take back what is set again meanwhile.
        for undo in (one for one in undos if disk.left(one)):
            await self.to_the_end(disk, "one", partial(Program.resume, name=undo), known=disk.but(undo))
        await self._begin(disk, Program.run, known)

    async def _verify(self, disk: Disk, run: str) -> None:
        program, began = self.new_program(disk, "one"), self.loop.now - START
        verdict = await self.live(program, partial(program.verify, run))
        # What is there without a mark may be another's.
        if isinstance(verdict, RowFigures) and self.turn.load.is_marked:
            self.verdicts.append(Verdict(disk, run, began, self.loop.now - START, verdict))

    def _events(self) -> Callable[[Sent], None]:
        rest = sorted(self.schedule.events, key=lambda one: one.at)

        def seen(_: Sent) -> None:
            while rest and len(self.network.calls) >= rest[0].at:
                self.happens(rest.pop(0))
            if self.copy is not None and len(self.network.calls) == self.due and self.main and self.main.is_alive:
                self.main.fuse = 1

        return seen

    def happens(self, event: Event) -> None:  # noqa: C901
        loop, process, much = self.loop, self.main, event.much
        if process is None or not process.is_alive:
            return
        loop.happened(f"{event.kind}")
        self.reached[event.kind] += 1
        subscriber = 1 + int(much * (self.schedule.accounts - 1))
        match event.kind:
            case Kind.KILL | Kind.POWER:
                process.fuse = 1 + int(much * 60)
            case Kind.FREEZE:
                self._freeze(process, 0.1 * 3000**much)
            case Kind.DISK:
                self._for_a_while(self.disks[0], "is_full", 1 + much * 60, value=True, after=False)
            case Kind.AWAY:
                self._for_a_while(self.network, "is_away", 1 + much * 90, value=True, after=False)
            case Kind.READ_ONLY:
                self._for_a_while(self.billing, "refuses", 1 + much * 60, value="Сохранение отключено", after="")
            case Kind.STOP:
                if self.program and self.program.live:
                    self.program.was_stopped = True
                    self.program.live.stop("somebody")
            case Kind.PAUSE | Kind.SET:
                if self.program and self.program.live:
                    self._steers(self.program, self.program.live, event)
            case Kind.PUT_BACK:
                self._put_back_billing(much)
            case Kind.CLOCK:
                loop.wall += (much - 0.5) * 7200
            case Kind.RESTORE if not self.is_over:
                self.copy, self.due = self.disks[0].copy(), len(self.network.calls) + int(much * 60)
            case Kind.OTHER:
                if len(self.disks) == 1:
                    other = Disk("two.journal")
                    self.disks.append(other)
                    begins = self.to_the_end(other, "two", Program.run, known=set())
                    self.beside.append(loop.create_task(begins))
            case Kind.ALIAS:
                if much > 0.3:  # noqa: PLR2004
                    self._freeze(process, 0.1 * 1000**much)
                self.beside.append(loop.create_task(self._alias()))
            case kind:
                self._somebody(kind, subscriber)

    def _steers(self, program: Program, live: LivePolicy, event: Event) -> None:
        who, much = program.process.name, event.much
        if event.kind is Kind.PAUSE:

            def goes_on() -> None:
                live.unpause()
                policy = live.policy
                self.limits.append(Limit(who, self.loop.now, policy.in_flight or 0, policy.rate))

            live.pause("somebody")
            self.limits.append(Limit(who, self.loop.now, 0, live.policy.rate))
            self.loop.call_later(1 + much * 60, goes_on)
            return
        policy = replace(live.policy, in_flight=1 + int(much * IN_FLIGHT), rate=(None, 2.0, 10.0)[int(much * 9) % 3])
        live.take(policy)
        if PAUSED not in live.progress.holds:
            self.limits.append(Limit(who, self.loop.now, policy.in_flight or 0, policy.rate))

    def _freeze(self, process: Process, seconds: float) -> None:
        self.frozen.append((process, self.loop.now - START + seconds, seconds))
        self.loop.freeze(process, seconds)

    def _for_a_while(self, what: object, name: str, seconds: float, *, value: object, after: object) -> None:
        setattr(what, name, value)
        self.loop.call_later(seconds, setattr, what, name, after)

    async def _alias(self) -> None:
        disk = self.disks[0]
        if name := disk.newest(set()):
            disk.locks.clear()
            self.machines.sending.clear()
            program = self.new_program(disk, "one")
            await self.live(program, partial(program.resume, name))

    def _somebody(self, kind: StrEnum, subscriber: int) -> None:
        billing, load = self.billing, self.load
        match kind:
            case Kind.PAYS:
                self._somebody_enters(subscriber, RECEIPT, str(100 + STRANGE))
            case Kind.DELETES:
                billing.change("Abonents", subscriber, "somebody", deleted=1)
            case Kind.MERGES:
                other = 1 + subscriber % self.schedule.accounts
                account = billing.tables["Abonents"][other]["account_id"]
                billing.change("Abonents", subscriber, "somebody", account_id=account)
            case Kind.RENUMBERS:
                other = 1 + subscriber % self.schedule.accounts
                numbers = [billing.tables["Abonents"][one]["contract_number"] for one in (subscriber, other)]
                billing.change("Abonents", subscriber, "somebody", contract_number=numbers[1])
                billing.change("Abonents", other, "somebody", contract_number=numbers[0])
            case Kind.REVERSES if operations := billing.tables["FinanceOperations"]:
                pk = sorted(operations)[subscriber % len(operations)]
                billing.change("FinanceOperations", pk, "somebody", storno=1)
            case Kind.REMOVES if services := billing.tables["UsersUsluga"]:
                billing.remove("UsersUsluga", sorted(services)[subscriber % len(services)], "somebody")
            case Kind.EQUAL:
                values = dict(zip(load.header, self.table.cells[subscriber % len(self.table.cells)], strict=True))
                if load.op_type:
                    self._somebody_enters(int(values[load.header[0]]), load.op_type, values["amount"])

    def _somebody_enters(self, subscriber: int, op_type: int, summa: str) -> None:
        values = {"abonent_id": subscriber, "op_type_id": op_type, "op_summa": summa}
        self.billing.add("FinanceOperations", "somebody", **values, op_date="2026-11-01 00:00:00")


def play(schedule: Schedule, judge: Callable[[World], list[str]]) -> tuple[World, list[str]]:
    """Run a schedule on a loop of its own, and judge it: the world, and what is wrong."""
    found: list[World] = []

    async def story(loop: SeededLoop) -> None:
        reached: Counter[str] = Counter()
        seed = str(schedule.seed)
        load = LOADS[schedule.load]
        if schedule.reverses and load.op_type:
            load = replace(load, way_back={**load.way_back, "way": "storno"})
        draws = random.Random(f"{seed} world")
        accounts = schedule.accounts if load.shares else schedule.rows

        def at_first() -> Billing:
            billing = Billing(lambda: loop.now - START, lambda: draws.random() * schedule.lag, adds=load.adds)
            population(billing, accounts, services=load.model == "UsersUsluga" and load.takes_away)
            return billing

        billing = at_first()
        network = Network(loop, billing, seed, schedule.trouble, reached)
        loop.connect = partial(Connection, loop, network)
        cells = tuple(load.cells(row, 1 + (row - 1) % accounts, draws) for row in range(1, schedule.rows + 1))
        table = Table(load.header, cells)
        own = replace(schedule, accounts=accounts)
        world = schedule.world(loop, own, load, table, billing, network, reached, draws)
        world.turn = Turn(load, table)
        world.turns.append(world.turn)
        world.at_first = at_first
        found.append(world)
        world.before = {account: billing.balance(account) for account in billing.tables["AdminAccounts"]}
        with world.doors():
            await world.tell()

    try:
        simulated.run(schedule.seed, story)
    except NoEnd as error:
        found[0].problems.append(f"no end: {error}")
    world = found[0]
    world.problems += [f"an error that nobody has handled: {error!r}" for error in world.loop.errors]
    return world, [*world.problems, *judge(world)]
