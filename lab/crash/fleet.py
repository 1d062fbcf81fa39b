"""The lab of a fleet: several workers, many billings in memory, one journal in PostgreSQL, and acts on all of them.

billings, PostgreSQL, the ways to it ──▶ runs are handed in ──▶ workers ──▶ acts ──▶ calm ──▶ all ended ──▶ verdict
"""

import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
import anyio.to_thread
import psycopg
from aiohttp import web
from anyio.abc import TaskGroup

from billing.database.sql_blocks import sql_block
from checkpoints.journal_file import journal_in_postgres
from lab.crash import judge, program
from lab.crash.judge import CallSeen, Dealt, Effect, Problem, Sending, TakeOver, TakeUp, Tally
from lab.crash.load import RequestedLoad, write_sheet
from lab.crash.observer import Traces
from lab.crash.plan import BALANCES, Act, AnswerTraits, RoundPlan, Target, What
from lab.crash.program import LabStopped, PostgresServer, ProgramUnderTest, Running, send
from lab.crash.proxy import WRITES, JournalWay
from lab.crash.trials import OPERATIONS, TRIALS
from lab.mock.faults import Fault, FaultKind, FaultPlan, Injector, MockAnswer
from lab.mock.port import serving
from lab.simulation.billing import Billing
from texts.said import said

SCHEMA: Final = "fleet"
SETTINGS: Final = "carbon-migrate.toml"
RESTARTED_AFTER: Final = 2.0
"""Seconds until a killed worker is started again."""
_PATIENCE: Final = 5
_START: Final = 1.0
"""Seconds that the start of a process takes on a machine that has time for it."""
_TRIED_AGAIN: Final = 5.0
"""Seconds after which a worker tries a run again that it was given while another process still worked on it."""

# ---- the billings --------------------------------------------------------------------------------------------------
# The mock of `lab.mock` is a whole billing over a real Firebird, one a process. A fleet needs a dozen at once that
# cost next to nothing. A write has its effect even when its caller has gone meanwhile.

WORKER: Final = "X-Lab-Worker"
"""The header by which a billing knows whose settings a call was made with."""
_LOOK: Final = 0.005


@asynccontextmanager
async def looking() -> AsyncIterator[Callable[[], float]]:
    """Tells when this process last looked for what has come."""
    last = time.time()

    async def look() -> None:
        nonlocal last
        while True:
            last = time.time()
            await asyncio.sleep(_LOOK)

    task = asyncio.create_task(look())
    try:
        yield lambda: last
    finally:
        task.cancel()


class FleetBilling:
    """A billing of so many subscribers, each with an account of its own, on a port that the kernel gives."""

    def __init__(self, subscribers: int, traits: AnswerTraits, seed: int, looks: Callable[[], float]) -> None:
        began = time.monotonic()
        # It has no zone.
        self.memory = Billing(lambda: time.monotonic() - began, began=datetime.now())  # noqa: DTZ005
        self.subscribers = [
            self.memory.add(
                "Abonents", account_id=self.memory.add("AdminAccounts"), contract_number=f"Д-{1000 + number}"
            )
            for number in range(subscribers)
        ]
        self.url = ""
        self.calls: list[CallSeen] = []
        delays = {FaultKind.SILENCE: traits.silence}
        faults = (
            Fault(kind, OPERATIONS, "objects.create", share, delay=delays.get(kind))
            for kind, share in sorted(traits.faults.items())
        )
        self.faults = Injector(FaultPlan(tuple(faults), seed))
        self._latency = traits.latency
        self._looks = looks

    @property
    def entered(self) -> int:
        return len(self.memory.tables[OPERATIONS])

    @property
    def effects(self) -> list[Effect]:
        found = []
        for key, one in self.memory.tables[OPERATIONS].items():
            amount, mark = Decimal(str(one["op_summa"])), judge.mark_in(one["descr"])
            found.append(Effect(OPERATIONS, key, mark, int(one["abonent_id"]), amount))
        return found

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_post("/rest_api/v2/{model}/", self._serve)
        async with serving(application, 0) as port:
            self.url = port.url
            try:
                yield
            finally:
                self.faults.end()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        worker, is_write, now = request.headers.get(WORKER, ""), bool(WRITES.search(body)), time.time()
        self.calls.append(call := CallSeen(worker, is_write, min(now, self._looks()), now))

        async def carry_out() -> MockAnswer:
            if is_write:
                await asyncio.sleep(self._latency)
            return MockAnswer(200, self.memory.answer(request.path, body, "load"))

        try:
            return await self.faults.serve(request, carry_out)
        finally:
            call.ended = time.time()


# ---- the workers, each as on a machine of its own -----------------------------------------------------------------


class FleetMachine:
    """A machine of the fleet, on which one worker runs, or none. Its files are in a folder of its own."""

    def __init__(self, name: str, folder: Path, plan: RoundPlan, tested: ProgramUnderTest, way: JournalWay) -> None:
        self.name = name
        self.way = way
        self.ended_at: float | None = None
        self._folder = folder / name
        self._plan = plan
        self._tested = tested
        self._worker: Running | None = None
        self._python = self._folder / "python"

    def prepare(self, billings: Mapping[str, str], postgres: str) -> None:
        """Write its settings: the billings by name, and the address of PostgreSQL by its own way."""
        self._folder.mkdir()
        words = shlex.join([sys.executable, "-P", *self._tested.launcher, self.name, str(self._python)])
        self._python.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        self._python.chmod(0o700)
        write_settings(self._folder / SETTINGS, billings, postgres, self._plan, self.name)

    async def start(self) -> None:
        """Start its worker, unless it runs."""
        if self.processes(Target.WORKER, 0):
            return
        await self.reap()
        words = ["worker", "--config", str(self._folder / SETTINGS), "--billings", str(self._plan.billings_a_worker)]
        self._worker = await program.start(
            [*words, "--stalled-after", f"{self._plan.stalled_after:g}"],
            self._folder,
            {**self._tested.environment, "XDG_STATE_HOME": str(self._folder / "state")},
            self._folder / "worker.log",
            program=(str(self._python), "-P", "-m", program.MODULE),
        )

    async def start_again(self) -> None:
        """Start its worker if it has ended some time ago, as a service manager does."""
        if self.processes(Target.WORKER, 0):
            self.ended_at = None
        elif self.ended_at is None:
            self.ended_at = time.time()
        elif time.time() - self.ended_at > RESTARTED_AFTER:
            await self.start()

    def processes(self, target: Target, place: float) -> list[int]:
        """The processes that a signal reaches; of its children the one at `place` in [0, 1)."""
        if self._worker is None or not self._worker.alive:
            return []
        worker = self._worker.pid
        children = [] if target is Target.WORKER else sorted(program.children_of(worker))
        if target is Target.CHILD:
            return children[int(place * len(children)) :][:1]
        return [worker, *children]

    async def reap(self) -> None:
        if self._worker is not None:
            await self._worker.wait()
            self._worker = None

    async def end(self) -> None:
        """Kill everything that runs here, also what has lost its worker."""
        mark = str(self._python).encode()
        while found := [process for process in program.all_processes() if mark in program.command_of(process)]:
            send(found, signal.SIGKILL)
            await anyio.sleep(0.02)
        await self.reap()


def write_settings(file: Path, billings: Mapping[str, str], postgres: str, plan: RoundPlan, name: str) -> None:
    """Write a settings file that has a profile for each billing; `name` is told to the billings with each call."""
    lines = [f'journal = "{postgres}?schema={SCHEMA}&lease={plan.lease:g}"']
    for billing, url in billings.items():
        lines += [
            f"[profile.{billing}.api]",
            f'url = "{url}"',
            f"timeout = {plan.timeout}",
            f'headers = {{"{WORKER}" = "{name}"}}',
        ]
    file.touch(mode=0o600)
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")


# ---- the journal --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A run: the address of its billing, its rows, and those entered.

    `process` is the last one that has worked on it, None where it has ended its work in order.
    """

    run_id: int
    target: str
    rows: int
    entered_rows: int
    process: int | None = None

    @property
    def is_entered(self) -> bool:
        """Whether all of its rows are in the billing."""
        return self.entered_rows == self.rows

    @property
    def is_at_work(self) -> bool:
        """Whether a process may work on it: it has not ended its work in order, and is still there."""
        return self.process is not None and Path(f"/proc/{self.process}").exists()


def asked(url: str, name: str, *values: object) -> list[Any]:
    """The rows of a block of journals.sql in the journal at an address, over a connection of its own. Blocks.

    Raises `psycopg.Error` while the server is away.
    """
    text: Any = sql_block("journals", name, "lab.crash").text
    way = f"-c search_path={SCHEMA}"
    with closing(psycopg.connect(url, autocommit=True, connect_timeout=_PATIENCE, options=way)) as connection:
        cursor = connection.execute(text, values or None)
        return cursor.fetchall() if cursor.description else []


def runs_seen(url: str) -> list[RunSeen]:
    return [RunSeen(*row) for row in asked(url, "runs")]


def take_ups(url: str) -> list[TakeUp]:
    return [TakeUp(*row) for row in asked(url, "take_ups")]


# ---- the round ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class FleetRound:
    """The result of a round: the acts, the counts over all billings, the measured takeovers, and the problems."""

    plan: RoundPlan
    dealt: Sequence[Dealt]
    problems: list[Problem]
    tally: Tally = field(default_factory=Counter)
    take_overs: list[TakeOver] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not self.problems


async def run_round(
    folder: Path, plan: RoundPlan, tested: ProgramUnderTest, tell: Callable[[str], None] = lambda _: None
) -> FleetRound:
    """Run a round to its verdict in a folder of its own, which is kept. `tell` gets a sentence now and then.

    Raises `LabStopped`.
    """
    began = anyio.current_time()
    shutil.rmtree(folder, ignore_errors=True)
    await anyio.Path(folder).mkdir(parents=True)
    async with AsyncExitStack() as stack:
        server = await anyio.to_thread.run_sync(stack.enter_context, program.running_postgres())
        looks = await stack.enter_async_context(looking())
        billings: dict[str, FleetBilling] = {}
        for number in range(1, plan.billings + 1):
            billing = FleetBilling(plan.rows, plan.traits, 100 * plan.seed + number, looks)
            await stack.enter_async_context(billing.serving())
            billings[f"b{number:02}"] = billing
        urls = {name: billing.url for name, billing in billings.items()}
        machines = []
        for number in range(1, plan.workers + 1):
            way = JournalWay(server.port)
            await stack.enter_async_context(way.serving())
            machines.append(FleetMachine(f"w{number}", folder, plan, tested, way))
            machines[-1].prepare(urls, server.url_by(way.port))
        fleet = _Fleet(plan, billings, machines, server, tell)
        draw = Random(f"{plan.seed}/rows")
        wanted = {
            name: {one: Decimal(draw.randrange(1, 300_000)) / 100 for one in billing.subscribers}
            for name, billing in billings.items()
        }
        write_settings(folder / SETTINGS, urls, server.url, plan, "")
        try:
            await hand_in(folder, plan, tested, wanted, "--stop-after-errors", "0")
            problems = await fleet.work()
        finally:
            with anyio.CancelScope(shield=True):
                for machine in machines:
                    await machine.end()
        found = FleetRound(plan, fleet.dealt, problems, take_overs=fleet.take_overs)
        for name, billing in billings.items():
            await _judge(folder, fleet, name, billing, wanted[name], found)
    found.injected = sum((billing.faults.injected for billing in billings.values()), Counter[str]())
    found.seconds = anyio.current_time() - began
    return found


async def _judge(
    folder: Path, fleet: "_Fleet", name: str, billing: FleetBilling, wanted: Mapping[int, Decimal], found: FleetRound
) -> None:
    """Judge what a fleet has done to a billing."""
    trial, url, effects = TRIALS[BALANCES], fleet.server.url, billing.effects
    objects = {trial.key(subscriber): subscriber for subscriber in wanted}
    asked_for = RequestedLoad((), {key: wanted[one] for key, one in objects.items()}, objects)
    journal = journal_in_postgres(f"{url}?schema={SCHEMA}", folder)
    books = await judge.read_journal(journal, trial, asked_for, Traces(), target=billing.url)
    run_id = next((run.run_id for run in runs_seen(url) if run.target == billing.url), 0)
    books = replace(
        books,
        effects=effects,
        entered=(len(effects), judge.sum_of(one.value for one in effects)),
        steps={(source, target): n for run, source, target, n in asked(url, "steps_of_runs") if run == run_id},
    )
    sent = Sending(
        plan=fleet.plan,
        calls=billing.calls,
        take_ups=[up for up in take_ups(url) if up.run_id == run_id],
        offences=[what for run, what in asked(url, "offences") if run == run_id],
        take_overs=[one for one in fleet.take_overs if one.billing == name],
    )
    tally, problems = judge.judge(books)
    found.tally += tally
    found.problems += [Problem(name, one.text) for one in (*problems, *judge.judge_sending(sent))]


async def hand_in(
    folder: Path, plan: RoundPlan, tested: ProgramUnderTest, wanted: Mapping[str, Mapping[int, Decimal]], *more: str
) -> None:
    """Hand in a run for each billing, with `more` words, several at once. Raises `LabStopped`."""
    limiter = anyio.CapacityLimiter(4)
    environment = {**tested.environment, "XDG_STATE_HOME": str(folder / "state")}
    refused: list[str] = []

    async def hand_in_at(name: str) -> None:
        rows = folder / f"{name}.csv"
        lines = ((subscriber, f"{amount:.2f}") for subscriber, amount in wanted[name].items())
        write_sheet(rows, [("abonent_id", "amount"), *lines], "utf-8")
        words = ["run", "balances", str(rows), "--config", str(folder / SETTINGS), "--profile", name, "--yes"]
        words += ["--detach", "--database", "", "--in-flight", str(plan.in_flight), "--settle", f"{plan.settle:g}"]
        words += ["--trust-journal", "--another-billing", *more]
        async with limiter:
            ended = await (await program.start(words, folder, environment, folder / f"{name}.log")).wait()
        if ended.exit != program.ExitCode.DONE:
            refused.append(ended.said)

    # The first one makes the journal.
    first, *others = wanted
    await hand_in_at(first)
    async with anyio.create_task_group() as group:
        for name in others:
            group.start_soon(hand_in_at, name)
    if refused:
        raise LabStopped(refused[0])


@dataclass(slots=True)
class _Fleet:
    """The parts of one round at work, the acts on them, in `dealt`, and how soon runs were taken over after some."""

    plan: RoundPlan
    billings: Mapping[str, FleetBilling]
    machines: Sequence[FleetMachine]
    server: PostgresServer
    tell: Callable[[str], None]
    dealt: list[Dealt] = field(default_factory=list)
    take_overs: list[TakeOver] = field(default_factory=list)
    _frozen: set[int] = field(default_factory=set)

    async def work(self) -> list[Problem]:
        """Let the fleet work on the runs that were handed in, through all acts to the end."""
        # Only now: the rows are read faster than they may be sent.
        await anyio.to_thread.run_sync(asked, self.server.url, "install")
        await anyio.to_thread.run_sync(asked, self.server.url, "set_rate", self.plan.rate)
        for billing in self.billings.values():
            billing.calls.clear()
        try:
            with anyio.fail_after(self.plan.longest):
                async with anyio.create_task_group() as beside:
                    await self._go_through(beside)
                    beside.cancel_scope.cancel()
        except TimeoutError:
            return [Problem("", f"it did not come to its end in {self.plan.longest:g} s")]
        return []

    async def _go_through(self, beside: TaskGroup) -> None:
        """Carry out the acts, until all rows are entered; what lasts of them goes on in the group `beside`."""
        self.tell(said("all runs are handed in: the workers begin, and one blow after the other is dealt"))
        for machine in self.machines:
            await machine.start()
        for act in self.plan.single:
            await self._wait_for_work()
            if self._is_entered():
                break
            if (dealt := await self._deal(act, beside)) is not None:
                # Until what lasts of it is over, and others have taken up its runs, if they must.
                await anyio.sleep(max(dealt.until - time.time(), 0.0))
                self.take_overs += await self._until_taken_over(dealt)
                await self._until(lambda: not self._frozen)
        self.tell(said("from now on a blow each second"))
        for act in self.plan.storm:
            await anyio.sleep(self.plan.every)
            await self._start_workers()
            if self._is_entered():
                break
            await self._deal(act, beside)
        self.tell(said("no more blows: what is left is to be entered"))
        for billing in self.billings.values():
            billing.faults.set(FaultPlan())
        send(self._frozen, signal.SIGCONT)
        self._frozen.clear()
        for machine in self.machines:
            machine.way.mend()
            await machine.start()
        # All rows are entered, and no process works on a run any more.
        await self._until(lambda: all(run.is_entered and not run.is_at_work for run in runs_seen(self.server.url)))

    def _is_entered(self) -> bool:
        return sum(one.entered for one in self.billings.values()) >= self.plan.rows * self.plan.billings

    # ---- what is waited for ----

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, as the journal shows; meanwhile workers that have ended are started again."""
        while True:
            await self._start_workers()
            with suppress(psycopg.Error):
                if await anyio.to_thread.run_sync(is_so):
                    return
            await anyio.sleep(0.25)

    async def _start_workers(self) -> None:
        for machine in self.machines:
            await machine.start_again()

    async def _wait_for_work(self) -> None:
        """Wait until some more rows of each run are in the billing, or it has come to its end."""
        began: dict[int, int] = {}

        def is_so() -> bool:
            runs = runs_seen(self.server.url)
            for run in runs:
                began.setdefault(run.run_id, run.entered_rows)
            some = self.plan.in_flight
            return all(
                run.is_entered or (run.is_at_work and run.entered_rows >= began[run.run_id] + some) for run in runs
            )

        await self._until(is_so)

    async def _until_taken_over(self, dealt: Dealt) -> list[TakeOver]:
        """Wait until others have taken up the runs that an act has hit, if they must; how long each took.

        A process whose start takes longer than a second has begun so late because of the machine, which is not
        counted.
        """
        took: dict[int, float] = {}
        names: dict[int, str] = {}
        of_url = {billing.url: name for name, billing in self.billings.items()}

        def is_so() -> bool:
            for up in take_ups(self.server.url):
                if up.run_id in dealt.hit - took.keys() and up.at > dealt.at:
                    starting = up.at - (_started_at(up.process) or up.at)
                    took[up.run_id] = up.at - dealt.at - max(starting - _START, 0.0)
            runs = runs_seen(self.server.url)
            names.update((run.run_id, of_url[run.target]) for run in runs)
            return dealt.hit <= took.keys() | {run.run_id for run in runs if run.is_entered}

        if dealt.must_be_taken_over:
            await self._until(is_so)
        frozen = self.plan.lease if dealt.blow is What.FREEZE else 0.0
        longest = max(self.plan.stalled_after, _TRIED_AGAIN) + self.plan.slack + frozen
        return [TakeOver(names[run], dealt.blow, dealt.reach, seconds, longest) for run, seconds in took.items()]

    # ---- acts ----

    async def _deal(self, act: Act, beside: TaskGroup) -> Dealt | None:
        """Carry out an act, None where there was nothing to hit."""
        following = [*self.machines[act.worker :], *self.machines[: act.worker]]
        # The next one that works on a run.
        machine = next((one for one in following if one.processes(Target.CHILD, act.place)), following[0])
        at, until, hit = time.time(), 0.0, frozenset[int]()
        processes: list[int] = []
        match act.what:
            case What.KILL | What.FREEZE:
                freezes, whole = act.what is What.FREEZE, act.target is not Target.CHILD
                processes = machine.processes(act.target, act.place)
                # The worker's own death ends its children in order: their runs need somebody else as well.
                struck = {*processes, *(machine.processes(Target.ALL, 0) if whole and not freezes else ())}
                with suppress(psycopg.Error):
                    runs = await anyio.to_thread.run_sync(runs_seen, self.server.url)
                    hit = frozenset(run.run_id for run in runs if run.is_at_work and run.process in struck)
                send(processes, signal.SIGSTOP if freezes else signal.SIGKILL)
                at = time.time()
                until = (at + self.plan.away if freezes else at) if processes else 0.0
                if processes and whole and not freezes:
                    await machine.reap()
                    machine.ended_at = at
            case What.CUT | What.BLACK_HOLE:
                (machine.way.cut if act.what is What.CUT else machine.way.swallow)()
                until = at + self.plan.away
            case What.TERMINATE_BACKEND:
                with suppress(psycopg.Error):
                    if sessions := await anyio.to_thread.run_sync(asked, self.server.url, "backends"):
                        session = sessions[int(act.place * len(sessions))]
                        await anyio.to_thread.run_sync(asked, self.server.url, "terminate", *session)
                        until = time.time()
            case What.RESTART:
                await anyio.to_thread.run_sync(self.server.restart)
                until = time.time()
        if not until:
            return None
        dealt = Dealt(act.what, act.target, machine.name, at, until, hit)
        self.dealt.append(dealt)
        if processes and act.what is What.FREEZE:
            self._frozen.update(processes)
            beside.start_soon(self._thaw, processes, dealt)
        elif act.what in {What.CUT, What.BLACK_HOLE}:
            asyncio.get_running_loop().call_later(self.plan.away, machine.way.mend)
        return dealt

    async def _thaw(self, processes: Sequence[int], dealt: Dealt) -> None:
        if self.plan.until_taken_over:
            await self._until_taken_over(dealt)
        await anyio.sleep(self.plan.away)
        send(processes, signal.SIGCONT)
        # The round may be over by now, and what they were about to do they do only now.
        await anyio.sleep(self.plan.settle)
        self._frozen.difference_update(processes)


def _started_at(process: int) -> float | None:
    """When a process was started, in seconds of the wall clock; None where it has ended."""
    if not (fields := program.stat_of(process)):
        return None
    # The field of proc(5), stat, behind the name of the process.
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
