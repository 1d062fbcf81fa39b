"""The story of one schedule: a load that is killed, frozen and disturbed at drawn moments, until it is at its end.

A *schedule* is drawn as a whole before it runs: its load, the share of requests with a fault, and its events, each
with the number of the request after which it happens. So events can be taken away one by one, and the rest remains.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from functools import partial
from importlib import import_module
from typing import Any, Final

from billing.api.wire import Wire
from billing.errors import BillingError
from checkpoints.errors import BillingHeld, ForbiddenTransition, JournalError
from engine.errors import CountsDiffer, EngineError
from engine.pacing.policy import Policy
from lab.simulation import loop as simulated
from lab.simulation.billing import SET_BALANCE, Billing
from lab.simulation.journal import Disk
from lab.simulation.loads import LOADS, STRANGE, UNMARKED, Load, population
from lab.simulation.loop import START, Killed, NoEnd, Process, SeededLoop, replaced
from lab.simulation.network import Connection, DirectWire, Network, Sent
from lab.simulation.program import CommandRefused, Machines, Outcome, Program, Table

ROWS: Final = 30
MOST_LIVES: Final = 25
"""Lives after which nothing disturbs any more."""
MOST_REFUSALS: Final = 5
LAST_LIVES: Final = 12
"""Lives in peace within which a run has to come to its end."""
IN_FLIGHT: Final = 4
SETTLE: Final = 4.0
"""Seconds of the settle delay: longer than the billing and its stacks hold anything."""
EXPECTED: Final = (JournalError, EngineError, BillingError, BillingHeld, CommandRefused, Killed)


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


class Then(StrEnum):
    """What is done when the run is at its end."""

    VERIFY = "verify"
    AGAIN = "the same rows again"
    ELSEWHERE = "the same rows with another journal"
    UNDO = "undo"
    UNDO_UNDO = "undo of the undo"
    CLOSE = "close"
    RESUME = "resume"


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


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens after the request number `at`; `much` says how long or to whom, from 0 to 1."""

    kind: Kind
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
    tries: int = 10
    """Calls of a row after which it is left for another time."""
    rows: int = ROWS


def draw(seed: int, *, wire: bool = False) -> Schedule:
    """Draw a schedule."""
    random_ = random.Random(f"{seed} story")
    load = random_.choice([*(name for name in LOADS if name != UNMARKED), "payment", "balances"])
    # A field of an account whose subscriber has another one by now is set for ever (not mended yet).
    possible = [kind for kind in Kind if kind is not Kind.MERGES or not LOADS[load].is_repeatable]
    kinds = random_.sample(possible, random_.randint(1, 6))
    number = random_.choice([0, 1, 2, 3, 5, 8, 12])
    then = random_.choice(WAYS)
    accounts, trouble = random_.choice([3, 9, 30]), random_.choice([0.0, 0.02, 0.1, 0.3])
    lag = random_.choice([0.0, 0.0, 0.3, 1.5])
    events = [Event(random_.choice(kinds), random_.randint(1, 160), random_.random()) for _ in range(number)]
    leaves_stopped = random_.random() < 0.5  # noqa: PLR2004
    if load == "payment" and random.Random(f"{seed} unmarked").random() < 0.3:  # noqa: PLR2004
        # What has no mark is known to its own journal alone.
        load = UNMARKED
        events = [event for event in events if event.kind not in {Kind.OTHER, Kind.RESTORE}]
        then = tuple(one for one in then if one is not Then.ELSEWHERE)
    return Schedule(
        seed,
        load,
        accounts,
        trouble,
        lag,
        tuple(sorted(events, key=lambda one: one.at)),
        then,
        leaves_stopped,
        wire,
        random.Random(f"{seed} tries").choice((10, 10, 2)),
    )


@dataclass(slots=True)
class TakeUp:
    """A run that a process has taken up."""

    disk: Disk
    run: str
    epoch: int
    process: Process
    moment: float


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
    frozen: list[tuple[Process, float]] = field(default_factory=list)
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

    # ---- lives of a command ----

    def new_program(self, disk: Disk, machine: str) -> Program:
        """A process that will do something."""
        self.lives += 1
        ahead, rate = self.draw.uniform(0, 1000), self.draw.choice([1.0, 1.0, 0.999, 1.001])
        process = Process(f"p{self.lives}", self.lives, machine, ahead, rate)

        def takes_up(run: str, epoch: int) -> None:
            self.take_ups.append(TakeUp(disk, run, epoch, process, self.loop.now))
            self.loop.happened(f"takes up run {run} for the {epoch}. time", process)

        policy = Policy(
            in_flight=IN_FLIGHT,
            settle=SETTLE,
            min_disk=0,
            page=11,
            stop_after_errors=None,
            retry_floor=1000.0,
            tries=self.schedule.tries,
        )
        # Where rows are left out, a copy that is put back while the list is made gives their marks to other rows
        # (not mended yet).
        skips_bad = not any(event.kind is Kind.RESTORE for event in self.schedule.events)
        return Program(
            self.loop,
            process,
            disk,
            self.machines,
            self.table,
            policy,
            self.load.job,
            self.load.given,
            takes_up,
            skips_bad,
        )

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
            # Left in the middle: with rows that stand, and none of which nobody knows.
            is_left = self.schedule.leaves_stopped and program.was_stopped and not disk.rows_in_doubt()
            if name is not None and (disk.left(name) == 0 or (is_left and disk.rows_that_stand())):
                return name
            await asyncio.sleep(
                self.draw.choice([0.0, 0.5, 3.0, 40.0] if program.process.was_killed else [1.0, 40.0, 90.0])
            )
            self.put_back()
        if disk.newest(known):
            self.problems.append(f"run {disk.newest(known)} comes to no end: {disk.states(disk.newest(known) or '')}")
        return disk.newest(known)

    def peace(self) -> None:
        """Let the faults end."""
        if self.network.trouble:
            self.loop.happened("the faults end")
        self.network.trouble, self.network.is_away, self.billing.refuses = 0.0, False, ""
        for disk in self.disks:
            disk.is_full = False

    def put_back(self) -> None:
        """Put the copy of the journal in its place, now that nobody works with it."""
        if self.copy is not None and len(self.network.calls) >= self.due and not self.working[self.disks[0]]:
            self.disks[0].put_back(self.copy)
            self.copy = None
            self.reached["a copy is put back"] += 1
            self.loop.happened("the copy of the journal is put back")

    # ---- the story ----

    async def tell(self) -> None:
        """The whole story."""
        disk = Disk("one.journal")
        self.disks.append(disk)
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
        undone: list[str] = [run]
        for what in self.schedule.then:
            self.loop.happened(f"then: {what}")
            self.reached[what] += 1
            match what:
                case Then.VERIFY:
                    program = self.new_program(disk, "one")
                    await self.live(program, partial(program.verify, run))
                case Then.AGAIN:
                    name = await self.to_the_end(disk, "one", Program.run, known=known)
                    known.update([name] if name else [])
                case Then.ELSEWHERE:
                    other = Disk("two.journal")
                    self.disks.append(other)
                    await self.to_the_end(other, "two", Program.run, known=set())
                case Then.UNDO | Then.UNDO_UNDO:
                    if len(undone) == (1 if what is Then.UNDO else 2):
                        back = partial(Program.undo, name=undone[-1], way=self.load.way_back)
                        name = await self.to_the_end(disk, "one", back, known=known)
                        if name:
                            undone.append(name)
                            known.add(name)
                case Then.RESUME:
                    program = self.new_program(disk, "one")
                    await self.live(program, partial(program.resume, run))
                case Then.CLOSE:
                    program = self.new_program(disk, "one")
                    await self.live(program, partial(program.close, run))

    def _events(self) -> Callable[[Sent], None]:
        rest = list(self.schedule.events)

        def seen(_: Sent) -> None:
            while rest and len(self.network.calls) >= rest[0].at:
                self._happens(rest.pop(0))
            if self.copy is not None and len(self.network.calls) == self.due and self.main and self.main.is_alive:
                self.main.fuse = 1

        return seen

    def _happens(self, event: Event) -> None:  # noqa: C901, PLR0912
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
            case Kind.CLOCK:
                loop.wall += (much - 0.5) * 7200
            case Kind.RESTORE if not self.is_over:
                self.copy, self.due = self.disks[0].copy(), len(self.network.calls) + int(much * 60)
            case Kind.OTHER:
                if len(self.disks) == 1:
                    other = Disk("two.journal")
                    self.disks.append(other)
                    self.beside.append(loop.create_task(self._beside(other)))
            case Kind.ALIAS:
                if much > 0.3:  # noqa: PLR2004
                    self._freeze(process, 0.1 * 1000**much)
                self.beside.append(loop.create_task(self._alias()))
            case _:
                self._somebody(event.kind, subscriber)

    def _freeze(self, process: Process, seconds: float) -> None:
        self.frozen.append((process, self.loop.now - START + seconds))
        self.loop.freeze(process, seconds)

    def _for_a_while(self, what: object, name: str, seconds: float, *, value: object, after: object) -> None:
        setattr(what, name, value)
        self.loop.call_later(seconds, setattr, what, name, after)

    async def _beside(self, disk: Disk) -> None:
        await self.to_the_end(disk, "two", Program.run, known=set())

    async def _alias(self) -> None:
        disk = self.disks[0]
        if name := disk.newest(set()):
            disk.locks.clear()
            self.machines.sending.clear()
            program = self.new_program(disk, "one")
            await self.live(program, partial(program.resume, name))

    def _somebody(self, kind: Kind, subscriber: int) -> None:
        billing, load = self.billing, self.load
        match kind:
            case Kind.PAYS:
                billing.add(
                    "FinanceOperations",
                    "somebody",
                    abonent_id=subscriber,
                    op_type_id=2,
                    op_summa=str(100 + STRANGE),
                    op_date="2026-11-01 00:00:00",
                )
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
            case Kind.EQUAL:
                values = dict(zip(load.header, self.table.cells[subscriber % len(self.table.cells)], strict=True))
                if load.has_money:
                    kind_ = SET_BALANCE if load.job == "balances" else 2
                    billing.add(
                        "FinanceOperations",
                        "somebody",
                        abonent_id=int(values[load.header[0]]),
                        op_type_id=kind_,
                        op_summa=values["amount"],
                        op_date="2026-11-01 00:00:00",
                    )


def play(schedule: Schedule, judge: Callable[[World], list[str]]) -> tuple[World, list[str]]:
    """Run a schedule on a loop of its own, and judge it: the world, and what is wrong."""
    found: list[World] = []

    async def story(loop: SeededLoop) -> None:
        reached: Counter[str] = Counter()
        seed = str(schedule.seed)
        load = LOADS[schedule.load]
        draws = random.Random(f"{seed} world")
        accounts = schedule.accounts if load.shares else schedule.rows
        billing = Billing(lambda: loop.now - START, lambda: draws.random() * schedule.lag)
        population(billing, accounts)
        network = Network(loop, billing, seed, schedule.trouble, reached)
        loop.connect = partial(Connection, loop, network)
        cells = tuple(load.cells(row, 1 + (row - 1) % accounts, draws) for row in range(1, schedule.rows + 1))
        table = Table(load.header, cells)
        world = World(loop, replace(schedule, accounts=accounts), load, table, billing, network, reached, draws)
        found.append(world)
        world.before = {account: billing.balance(account) for account in billing.tables["AdminAccounts"]}
        wire = Wire if schedule.wire else partial(DirectWire, network)
        doors = [
            (import_module("billing.api.client"), "Wire", wire),
            (import_module("jobs.job"), "open_rows", lambda *_, **__: table),
        ]
        with replaced(doors):
            await world.tell()

    try:
        simulated.run(schedule.seed, story)
    except NoEnd as error:
        found[0].problems.append(f"no end: {error}")
    world = found[0]
    world.problems += [f"an error that nobody has handled: {error!r}" for error in world.loop.errors]
    return world, [*world.problems, *judge(world)]
