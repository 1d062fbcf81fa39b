"""A fleet in the simulation: workers of several machines, a journal in PostgreSQL, one billing, and what befalls it.

Each machine has clocks of its own. A worker starts a process for a run that nobody else has, one of the billing at a
time, as `carbon-migrate worker` does; a machine that is not heard of loses its runs to the others.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import pairwise
from typing import Final

from msgspec.json import decode

from billing.api.client import BillingClient, ClientSettings
from checkpoints.errors import BillingHeld, RunHeld
from checkpoints.journal import Journal
from checkpoints.mailbox import Handed
from checkpoints.records import Run
from checkpoints.stores import store_of
from engine.pipeline.control import ControlRequest, to_json, under_control
from engine.pipeline.progress import LivePolicy
from jobs.access.gateway import Gateway
from lab.simulation.journal import Disk, Server, driver
from lab.simulation.loads import LOADS, ON_TOP
from lab.simulation.loop import START, Process
from lab.simulation.network import Sent
from lab.simulation.program import TARGET, Outcome, Program, Table
from lab.simulation.story import LATER_LOADS, Event, Kind, Schedule, World

CALL: Final = 20.0
"""Seconds after which a call ends."""
MOST_LIVES: Final = 25
"""Takings up after which nothing disturbs any more, and in peace within which all runs have to come to their ends."""
LONGEST: Final = 3600.0
"""Seconds, as well."""
REFUSED: Final = 5.0
"""Seconds until a worker tries a run again that it was refused."""
NOTICED: Final = 75.0
"""Seconds within which somebody has to go on after a blow: lease, time-outs, waits and looks together."""


class Blow(StrEnum):
    """What befalls the machine that sends, its way to the journal, or the journal's server."""

    KILL = "a process of the fleet is killed"
    POWER = "a machine loses power"
    FREEZE = "all of a machine is frozen"
    SLEEP = "a machine sleeps"
    WALL = "a machine's wall clock is set"
    CUT = "the connections to the journal are cut"
    SWALLOW = "the way to the journal swallows everything"
    NO_BILLING = "a machine has no way to the billing"
    RESTART = "PostgreSQL restarts"
    SERVER_CLOCK = "the clock of PostgreSQL is set"
    DRAIN = "a worker is drained"
    HASTY = "somebody resumes a run that another machine may have"
    ASK = "another machine asks a run to pause, and to go on"
    RESTORE = "PostgreSQL is restored from a copy"


@dataclass(frozen=True, slots=True)
class FleetSchedule(Schedule):
    """All that is drawn of a schedule with a fleet."""

    machines: int = 3
    lease: float = 15.0
    runs: int = 1
    stalled: float = 12.0
    """Seconds after which a machine that is not heard of has its runs given to others."""

    @property
    def world(self) -> type[World]:
        return FleetWorld


def draw_fleet(seed: int) -> FleetSchedule:
    random_ = random.Random(f"{seed} fleet")
    load = random_.choice([*(name for name in LOADS if name not in (*LATER_LOADS, ON_TOP)), "payment", "balances"])
    blows = [one for one in Blow if one is not Blow.RESTORE]
    kinds = random_.sample([*blows, *blows, Kind.AWAY, Kind.PAYS, Kind.STOP], random_.randint(1, 6))
    rate = random_.choice([None, None, None, 0.1])
    accounts = random_.choice([3, 9, 30])
    trouble = random_.choice([0.0, 0.0, 0.05, 0.2])
    lag = random_.choice([0.0, 0.0, 0.3, 1.5])
    events = [
        Event(random_.choice(kinds), random_.randint(1, 120), random_.random())
        for _ in range(random_.choice([1, 2, 3, 5, 8]))
    ]
    # Drawn apart, so that the schedules without it stay what they were.
    restored = random.Random(f"{seed} restored")
    if LOADS[load].is_marked and restored.random() < 0.1:  # noqa: PLR2004
        events.append(Event(Blow.RESTORE, restored.randint(1, 120), restored.random()))
    return FleetSchedule(
        seed,
        load,
        accounts,
        trouble,
        lag,
        tuple(events),
        (),
        wire=random_.random() < 0.5,  # noqa: PLR2004
        machines=random_.choice([2, 3, 3]),
        lease=random_.choice([5.0, 15.0]),
        rate=rate,
        stalled=random_.choice([2.0, 12.0]),
        runs=1 if rate or not LOADS[load].is_marked else random_.choice([1, 1, 2]),
    )


def part(whole: Table, number: int, parts: int) -> Table:
    """Some of the rows of a table, as a file of its own."""
    first, end = (len(whole.cells) * one // parts for one in (number, number + 1))
    return Table(whole.header, whole.cells[first:end], f"rows{number}.csv", range(first + 1, end + 1))


@dataclass(slots=True)
class FleetProgram(Program):
    """The program in a process of a machine."""

    call_seconds: float = CALL
    is_alone: bool = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Journal, Gateway]]:
        assert isinstance(self.disk, Server)  # noqa: S101
        place = self.disk.address(self.process.machine)
        settings = ClientSettings(TARGET, read=CALL / 2, deadline=CALL)
        async with store_of(place).opened() as store, BillingClient(settings) as client:
            yield Journal(store), Gateway(client)

    @asynccontextmanager
    async def beside(self, run: Run, journal: Journal, live: LivePolicy) -> AsyncIterator[None]:
        """Requests of other machines are served while the run is sent."""
        async with under_control(run, journal, live):
            yield

    async def ask(self, name: str, command: str, who: str) -> tuple[str, str, Handed]:
        """Ask the process that works on a run, through the journal."""
        async with self.opened() as (journal, _):
            request = to_json(ControlRequest(command))
            return who, command, await journal.mailbox.ask(await journal.run(name), who, request)

    async def unpause(self, name: str) -> None:
        """Let a run that is paused go on."""
        async with self.opened() as (journal, _):
            await journal.unpause(await journal.run(name))


@dataclass(slots=True)
class FleetWorld(World):
    """The world of a schedule with a fleet."""

    processes: list[Process] = field(default_factory=list)
    down_until: dict[str, float] = field(default_factory=dict)
    """Until when nothing of a machine runs."""
    starts: Counter[str] = field(default_factory=Counter)
    """How often a machine has come up after it had lost power."""
    given: dict[str, str] = field(default_factory=dict)
    """The machine that has each input's run."""
    blows: list[tuple[float, float, StrEnum, str]] = field(default_factory=list)
    asked: list[tuple[str, str, Handed]] = field(default_factory=list)
    walls: dict[str, float] = field(default_factory=dict)
    stolen: list[str] = field(default_factory=list)
    is_done: bool = False

    @property
    def fleet(self) -> FleetSchedule:
        assert isinstance(self.schedule, FleetSchedule)  # noqa: S101
        return self.schedule

    @property
    def server(self) -> Server:
        assert isinstance(self.disks[0], Server)  # noqa: S101
        return self.disks[0]

    @contextmanager
    def doors(self) -> Iterator[None]:
        """What is simulated, PostgreSQL too."""
        server = Server(self.loop, self.fleet.lease, self._reaches)
        self.disks.append(server)
        with World.doors(self), driver(server, lambda: self.processes):
            yield

    def _reaches(self, what: str) -> None:
        self.reached[what] += 1
        self.loop.happened(what)

    def new_process(self, machine: str, table: Table) -> FleetProgram:
        number = len(self.processes) + 1
        clocks = random.Random(f"{self.schedule.seed} {machine}")
        process = Process(f"{machine}p{number}", number, machine, clocks.uniform(0, 1e6), clocks.uniform(0.98, 1.02))
        process.boot = f"{machine} {self.starts[machine]}"
        process.wall = self.walls.setdefault(machine, clocks.uniform(-3600, 3600))
        self.processes.append(process)
        return self.started(FleetProgram, process, self.server, table)

    def takes_up(self, process: Process, disk: Disk, run: str, epoch: int) -> None:
        self.stolen += self._stolen_by(process)
        World.takes_up(self, process, disk, run, epoch)

    # ---- the story ----

    async def tell(self) -> None:
        self.network.on_call.append(self._events())
        tables = [part(self.table, number, self.fleet.runs) for number in range(self.fleet.runs)]
        self.files = {one.name: one for one in tables}
        names = [f"m{number}" for number in range(1, self.fleet.machines + 1)]
        await asyncio.gather(*(self.loop.create_task(self._works(machine, tables)) for machine in names))
        self.is_done = True
        await asyncio.gather(*self.beside)
        await asyncio.sleep(10)
        self.billing.work_off()
        self.problems += judged(self)

    async def _works(self, machine: str, tables: list[Table]) -> None:
        """A worker, from the first run to the end of all."""
        while not self.is_done:
            # Who has restored a journal goes on with it at once.
            if not self.put_back():
                await asyncio.sleep(self.draw.uniform(1, 4))
            table = next((one for one in tables if self._is_for(machine, one)), None)
            if not self.given and all(self._is_at_end(one) for one in tables):
                self.is_done = True
            elif self._is_over(2):
                states = [self.server.states(self.name_of(one) or "") for one in tables]
                self.problems.append(f"the fleet comes to no end: {states}")
                self.is_done = True
            elif table is not None:
                self.given[table.name] = machine
                if self._is_over(1):
                    self.peace()
                await self._goes_on(machine, table)
                if self.given.get(table.name) == machine:
                    del self.given[table.name]

    async def _goes_on(self, machine: str, table: Table) -> None:
        name, program = self.name_of(table), self.new_process(machine, table)
        self.main, self.program = program.process, program
        await self.live(program, partial(program.resume, name) if name else program.run)
        if not any(one.process is program.process for one in self.take_ups):
            await asyncio.sleep(REFUSED)

    def _is_for(self, machine: str, table: Table) -> bool:
        """Whether a worker may take the run of this input now: nobody who is heard of works on the billing."""
        owners = self.given.values()
        if self._is_down(machine) or machine in owners or not all(self._is_stalled(owner) for owner in owners):
            return False
        return (machine == "m1" or self.name_of(table) is not None) and not self._is_at_end(table)

    def _is_over(self, parts: int) -> bool:
        """Whether so many parts of the time are over: in the first anything may happen, the second one is peace."""
        return len(self.take_ups) > parts * MOST_LIVES or self.loop.now - START > parts * LONGEST

    def _is_down(self, machine: str) -> bool:
        return self.down_until.get(machine, 0.0) > self.loop.now

    def _is_stalled(self, machine: str) -> bool:
        silent = max(self.down_until.get(machine, 0.0), self.server.swallowed.get(machine, 0.0))
        return (
            silent > self.loop.now
            and self.loop.now - max(at for at, _, _, who in self.blows if who == machine) > self.fleet.stalled
        )

    def name_of(self, table: Table) -> str | None:
        found = self.server.db.execute(
            "select name from runs where source = ? and discarded_at is null order by run_id desc", (table.name,)
        ).fetchone()
        return found and str(found["name"])

    def _is_at_end(self, table: Table) -> bool:
        name = self.name_of(table)
        return name is not None and self.server.left(name) == 0

    def peace(self) -> None:
        """Let the faults end."""
        World.peace(self)
        self.network.cut_off.clear()

    # ---- what happens ----

    def happens(self, event: Event) -> None:  # noqa: C901, PLR0912 - a table
        """Let an event happen to the machine that has sent last."""
        process = self.network.calls[-1].process
        machine, much, loop, server = process.machine, event.much, self.loop, self.server
        if self._is_over(1) or self.is_done:
            return
        loop.happened(f"{machine}: {event.kind}")
        self.reached[event.kind] += 1
        lasts: dict[StrEnum, float] = {Blow.SLEEP: 900**much, Blow.POWER: 60.0}
        lasts |= dict.fromkeys((Blow.FREEZE, Blow.SWALLOW), 0.3 * 300**much)
        seconds, in_half = lasts.get(event.kind, 0.0), bool(int(much * 1000) % 2)
        if event.kind in LASTING:
            self.blows.append((loop.now, loop.now + seconds, event.kind, machine))
        match event.kind:
            case Blow.KILL | Blow.POWER:
                process.lost_power = event.kind is Blow.POWER
                process.fuse = 1 + int(much * 60)
                if event.kind is Blow.POWER:
                    self.starts[machine] += 1
                    self._goes_down(machine, seconds, lambda one: setattr(one, "fuse", process.fuse))
            case Blow.FREEZE:
                # Its processes alone, or its kernel too, as where a virtual machine is stopped.
                self._goes_down(machine, seconds, lambda one: loop.freeze(one, seconds), is_silent=in_half)
            case Blow.SLEEP:
                self._goes_down(machine, seconds, lambda one: loop.sleep(one, seconds), is_silent=True)
                # It wakes up with the time at which it fell asleep.
                self._sets_clock(machine, -seconds * in_half)
            case Blow.WALL:
                self._sets_clock(machine, (much - 0.5) * 7200)
            case Blow.CUT:
                server.end_sessions(machine)
                if much > 0.5:  # noqa: PLR2004
                    # As where a machine is moved to another host.
                    moved = 30 ** (2 * much - 1)
                    self._goes_down(machine, moved, lambda one: loop.freeze(one, moved))
            case Blow.SWALLOW:
                server.swallow(machine, seconds)
            case Blow.NO_BILLING:
                self.network.cut_off.add(machine)
                loop.call_later(1 + much * 60, self.network.cut_off.discard, machine)
            case Blow.RESTART:
                server.restart(much * 20)
            case Blow.RESTORE:
                self.copy, self.due = server.copy(), len(self.network.calls) + int(much * 60)
            case Blow.SERVER_CLOCK:
                server.set_clock((much - 0.2) * 600)
            case Blow.DRAIN:
                if self.program and self.program.live:
                    self.program.live.stop("the worker")
            case Blow.HASTY:
                self.beside.append(loop.create_task(self._hasty(self._other_than(machine, much))))
            case Blow.ASK:
                self.beside.append(loop.create_task(self._ask(self._other_than(machine, much), much)))
            case _:
                self.main = process
                World.happens(self, event)

    def _other_than(self, machine: str, much: float) -> str:
        others = [f"m{number}" for number in range(1, self.fleet.machines + 1) if f"m{number}" != machine]
        return others[int(much * len(others))]

    def _goes_down(
        self, machine: str, seconds: float, each: Callable[[Process], None], *, is_silent: bool = False
    ) -> None:
        if self._is_down(machine):
            return
        self.down_until[machine] = self.loop.now + seconds
        if is_silent:
            self.server.hears_nothing(machine, seconds)
        for one in self.processes:
            if one.machine == machine and one.is_alive and one.frozen_until <= self.loop.now:
                each(one)

    def _sets_clock(self, machine: str, seconds: float) -> None:
        self.walls[machine] += seconds
        for one in self.processes:
            one.wall = self.walls[one.machine]

    async def _hasty(self, machine: str) -> None:
        table = self.draw.choice([*self.files.values()])
        if (name := self.name_of(table)) and not self._is_down(machine):
            program = self.new_process(machine, table)
            await self.live(program, partial(self._resumes, program, name))

    async def _resumes(self, program: FleetProgram, name: str) -> Outcome:
        try:
            return await program.resume(name)
        except (BillingHeld, RunHeld) as error:
            what = "billing" if isinstance(error, BillingHeld) else "run"
            self._reaches(f"a machine is refused while another one works on the {what}")
            raise

    async def _ask(self, machine: str, much: float) -> None:
        name = self.name_of(part(self.table, 0, self.fleet.runs))
        if name is None or self._is_down(machine):
            return
        await self._asks(machine, name, "pause")
        await asyncio.sleep(much * 40)
        # A run that is paused goes on only when it is told so, by whoever works on it, or in the journal. A copy
        # that was made in the pause, once it is put back, has the run paused again.
        while not self.is_done and (
            self.copy is not None or any(one.process.is_alive for one in self.take_ups) or self.server.left(name)
        ):
            if await self._asks(machine, name, "continue") and self.copy is None:
                return
            program = self.new_process(machine, self.table)
            await self.live(program, partial(program.unpause, name))
            await asyncio.sleep(3)

    async def _asks(self, machine: str, name: str, command: str) -> bool:
        """Ask what works on a run; whether it was carried out."""
        program = self.new_process(machine, self.table)
        who = f"{program.process.name} on {machine}"
        found = await self.live(program, partial(program.ask, name, command, who))
        if found is None:
            return False
        self.asked.append(found)
        handed = found[2]
        self._reaches("a request is answered" if handed.answer else "a request is not answered")
        return bool(handed.answer) and not decode(handed.answer)["refused"]

    # ---- what a judge has to know at the moment ----

    def _stolen_by(self, process: Process) -> Iterator[str]:
        """Who renews its lease and has its locks, and loses the billing to a process on another machine."""
        now, server = self.loop.now, self.server
        for other in {one.process.number: one.process for one in server.owners.values()}.values():
            sends = any(one.process is other for one in self.take_ups)
            is_heard = now - server.heard.get(other.number, 0.0) < server.lease * 0.9
            if sends and is_heard and other.machine != process.machine and not server.wall:
                yield f"{process.name} takes the billing from {other.name}, which renews its lease"


LATE: Final = 1.0
"""Seconds between the turn of a call and its leaving, where nothing is asked again."""
LASTING: Final = frozenset({Blow.KILL, Blow.POWER, Blow.FREEZE, Blow.SLEEP, Blow.CUT, Blow.SWALLOW, Blow.RESTART})
"""Blows after which somebody has to go on."""


# ---- the judge of a fleet ----------------------------------------------------------------------------------------


def judged(world: FleetWorld) -> Iterator[str]:
    """What is wrong with the fleet, beside what the judge of all schedules finds."""
    yield from world.stolen
    for row in world.server.db.execute("select * from offences"):
        yield f"process {row['process']} wrote row {row['number']} of run {row['run_id']} under an old epoch"
    yield from _one_sends(world)
    yield from _requests(world)
    yield from _goes_on(world)


def _one_sends(world: FleetWorld) -> Iterator[str]:
    """One owner at a time sends, in the order in which they took the billing; none without a lease; none too fast."""
    taken = {one.process.name: place for place, one in enumerate(world.take_ups)}
    calls = [call for call in world.network.calls if call.writes and call.process.name in taken]
    last: Sent | None = None
    for call in calls:
        place = taken[call.process.name]
        if last is not None and place < taken[last.process.name] and call.process.machine != last.process.machine:
            yield f"{call.process.name} sends at {call.left - START:.3f}, after its next owner {last.process.name}"
        if last is None or place >= taken[last.process.name]:
            last = call
    # Where questions are asked again, a call leaves some time after its turn. A pace is as old as the server says; a
    # journal that was put back does not know when the last call left.
    is_exact = not (world.schedule.trouble or world.server.wall or world.server.was_put_back)
    for before, call in pairwise(calls):
        gap, rate = call.left - before.left, world.fleet.rate
        if is_exact and rate and before.process is not call.process and gap < 1 / rate - LATE:
            yield f"{call.process.name} sends {gap:.3f} s after {before.process.name}, at a rate of {rate} a second"


def _requests(world: FleetWorld) -> Iterator[str]:
    """A request is carried out once where it was answered, at most once where it was taken, else never."""
    found = [row["who"] for row in world.server.db.execute("select who from commands")]
    for who, command, handed in world.asked:
        most = 1 if handed.is_taken else 0
        if found.count(who) > most:
            yield f"the request to {command} of {who} was carried out {found.count(who)} times: {handed}"


def _goes_on(world: FleetWorld) -> Iterator[str]:
    """After a blow somebody goes on, unless another one comes in between."""
    moments = sorted([one.moment for one in world.take_ups] + [call.left for call in world.network.calls])
    for blow in world.blows:
        at, _, kind, machine = blow
        others = (one for one in world.blows if one is not blow)
        is_alone = not any(until > at - NOTICED and began < at + NOTICED for began, until, _, _ in others)
        # Where somebody has set the server's clock back, a lease lapses so much later.
        latest = at + NOTICED + world.server.set_back
        if is_alone and moments[-1] > latest and not any(at < moment <= latest for moment in moments):
            yield f"nobody goes on within {latest - at:g} s after {machine}: {kind}"
