"""A round: a fleet from an empty folder to its verdict.

billings, PostgreSQL, the ways to it ──▶ runs are handed in ──▶ workers ──▶ blows ──▶ calm ──▶ all ended ──▶ verdict
"""

import csv
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.to_thread
import psycopg
from anyio.abc import TaskGroup

from lab.crash.errors import LabStopped
from lab.crash.judge import Problem
from lab.crash.program import ExitCode, send, start
from lab.crash.proxy import JournalWay
from lab.fleet import postgres_server
from lab.fleet.audit import JournalAudit, Owner, TakeUp
from lab.fleet.billing import LedgerBilling
from lab.fleet.billing_port import BillingPort, Looks
from lab.fleet.fleet_judge import BillingEvidence, DealtBlow, FleetVerdict, judge_fleet
from lab.fleet.postgres_server import PostgresServer
from lab.fleet.round_plan import Blow, FleetBlow, Reach, RoundPlan
from lab.fleet.workers import FleetMachine, FleetProgram, started_at, write_settings
from texts.said import said

# ---- the blows of a round, dealt one after the other to the fleet and to PostgreSQL -------------------------------


class Blows:
    """Deals the blows of a plan; `dealt` are those so far.

    `started` says, by run and epoch, when the process was started that has taken the run up, where it was seen.
    """

    def __init__(
        self, plan: RoundPlan, machines: Sequence[FleetMachine], server: PostgresServer, audit: JournalAudit
    ) -> None:
        self.dealt: list[DealtBlow] = []
        self.started: dict[tuple[int, int], float] = {}
        self._plan = plan
        self._machines = machines
        self._server = server
        self._audit = audit
        self._frozen: set[int] = set()
        self._ended_at: dict[str, float] = {}

    async def deal_single(self, beside: TaskGroup, is_over: Callable[[], bool]) -> None:
        """Deal the single blows, until all rows are entered; what lasts goes on in the group `beside`."""
        for blow in self._plan.single:
            await self._wait_for_work()
            if is_over():
                return
            if (dealt := await self._deal(blow, beside)) is not None:
                await self._wait_until_recovered(dealt)

    async def deal_storm(self, beside: TaskGroup, is_over: Callable[[], bool]) -> None:
        """Deal the blows of the storm, as `deal_single` does."""
        for blow in self._plan.storm:
            await anyio.sleep(self._plan.every)
            await self.start_workers()
            if is_over():
                return
            await self._deal(blow, beside)

    async def _wait_for_work(self) -> None:
        """Wait until some more rows of each run are in the billing, or it has come to its end."""
        began: dict[int, int] = {}
        while True:
            await self.start_workers()
            with suppress(psycopg.Error):
                runs = await anyio.to_thread.run_sync(self._audit.runs)
                working = {one.run_id for one in await self._owners() if one.is_at_work}
                for run in runs:
                    began.setdefault(run.run_id, run.entered_rows)
                at_work = {run.run_id for run in runs if run.entered_rows >= began[run.run_id] + self._plan.in_flight}
                if all(run.run_id in at_work & working or run.is_entered for run in runs):
                    return
            await anyio.sleep(_LOOK_AT_BLOWS)

    async def _wait_until_recovered(self, dealt: DealtBlow) -> None:
        """Wait until what lasts of a blow is over, and others have taken up its runs, if they must."""
        await anyio.sleep(max(dealt.until - time.time(), 0.0))
        if dealt.must_be_taken_over:
            await self._wait_until_taken_over(dealt)
        while self._frozen:  # noqa: ASYNC110 - looked at as all else
            await anyio.sleep(_LOOK_AT_BLOWS)

    async def _wait_until_taken_over(self, dealt: DealtBlow) -> None:
        while True:
            await self.start_workers()
            with suppress(psycopg.Error):
                ups = await self._take_ups()
                runs = await anyio.to_thread.run_sync(self._audit.runs)
                ended = {run.run_id for run in runs if run.is_entered}
                if dealt.hit <= ended | {up.run_id for up in ups if up.at > dealt.at}:
                    return
            await anyio.sleep(_LOOK_AT_BLOWS)

    async def start_workers(self) -> None:
        """Start the workers that have ended some time ago, as a service manager does."""
        now = time.time()
        for machine in self._machines:
            if machine.is_running:
                self._ended_at.pop(machine.name, None)
            elif now - self._ended_at.setdefault(machine.name, now) > RESTARTED_AFTER:
                await machine.start()

    async def recover(self) -> None:
        """Let everything go on that was frozen, cut or killed."""
        send(self._frozen, signal.SIGCONT)
        self._frozen.clear()
        for machine in self._machines:
            machine.way.mend()
            await machine.start()

    async def _deal(self, blow: FleetBlow, beside: TaskGroup) -> DealtBlow | None:
        """Deal a blow, None where there was nothing to hit."""
        machine = self._machine_of(blow)
        now = time.time()
        begun = DealtBlow(blow.blow, blow.reach, machine.name, now, now)
        dealt: DealtBlow | None
        match blow.blow:
            case Blow.KILL | Blow.FREEZE:
                dealt = await self._strike(machine, blow, begun, beside)
            case Blow.CUT | Blow.BLACK_HOLE:
                (machine.way.cut if blow.blow is Blow.CUT else machine.way.swallow)()
                dealt = replace(begun, until=now + self._plan.away)
                beside.start_soon(self._mend, machine)
            case Blow.TERMINATE:
                done = False
                with suppress(psycopg.Error):
                    done = await anyio.to_thread.run_sync(self._audit.terminate_one, blow.place)
                dealt = replace(begun, until=time.time()) if done else None
            case Blow.RESTART:
                await anyio.to_thread.run_sync(self._server.restart)
                dealt = replace(begun, until=time.time())
        if dealt is not None:
            self.dealt.append(dealt)
        return dealt

    def _machine_of(self, blow: FleetBlow) -> FleetMachine:
        """The machine of a blow, or the next one that works on a run."""
        following = [*self._machines[blow.worker :], *self._machines[: blow.worker]]
        return next((one for one in following if one.processes(Reach.CHILD, blow.place)), following[0])

    async def _strike(
        self, machine: FleetMachine, blow: FleetBlow, begun: DealtBlow, beside: TaskGroup
    ) -> DealtBlow | None:
        processes = machine.processes(blow.reach, blow.place)
        if not processes:
            return None
        freezes, whole = blow.blow is Blow.FREEZE, blow.reach is not Reach.CHILD
        # The worker's own death ends its children in order: their runs need somebody else as well.
        orphans = machine.processes(Reach.ALL, 0) if whole and not freezes else ()
        hit = await self._runs_of({*processes, *orphans})
        send(processes, signal.SIGSTOP if freezes else signal.SIGKILL)
        now = time.time()
        dealt = replace(begun, at=now, until=now + self._plan.away if freezes else now, hit=hit)
        if freezes:
            self._frozen.update(processes)
            beside.start_soon(self._thaw, processes, dealt)
        elif whole:
            await machine.reap()
            self._ended_at[machine.name] = now
        return dealt

    async def _thaw(self, processes: Sequence[int], dealt: DealtBlow) -> None:
        if self._plan.until_taken_over and dealt.must_be_taken_over:
            await self._wait_until_taken_over(dealt)
        await anyio.sleep(self._plan.away)
        send(processes, signal.SIGCONT)
        self._frozen.difference_update(processes)

    async def _mend(self, machine: FleetMachine) -> None:
        await anyio.sleep(self._plan.away)
        machine.way.mend()

    async def _runs_of(self, processes: set[int]) -> frozenset[int]:
        """The runs that these processes work on; none while PostgreSQL is away."""
        try:
            owners = await self._owners()
        except psycopg.Error:
            return frozenset()
        return frozenset(one.run_id for one in owners if one.process in processes and one.is_at_work)

    async def _take_ups(self) -> list[TakeUp]:
        ups = await anyio.to_thread.run_sync(self._audit.take_ups)
        for up in ups:
            if (up.run_id, up.epoch) not in self.started and (moment := started_at(up.process)) is not None:
                self.started[up.run_id, up.epoch] = moment
        return ups

    async def _owners(self) -> list[Owner]:
        return await anyio.to_thread.run_sync(self._audit.owners)


RESTARTED_AFTER: Final = 2.0
"""Seconds until a killed worker is started again."""
_LOOK_AT_BLOWS: Final = 0.25


# ---- a round ------------------------------------------------------------------------------------------------------


_HANDED_IN_AT_ONCE: Final = 4
_SETTINGS: Final = "carbon-migrate.toml"
_LOOK: Final = 0.5
"""Seconds between two looks whether all has ended."""


@dataclass(frozen=True, slots=True)
class FleetRound:
    """The result of a round."""

    plan: RoundPlan
    verdict: FleetVerdict
    dealt: tuple[DealtBlow, ...]
    injected: Counter[str]
    seconds: float
    problems: tuple[Problem, ...]

    @property
    def holds(self) -> bool:
        """Whether the round has passed."""
        return not self.problems


class HandInFailed(LabStopped):
    """Raised when a run cannot be handed in; the text is what the program says."""


class FleetLab:
    """Runs rounds in folders under `folder`."""

    def __init__(self, folder: Path, program: FleetProgram) -> None:
        self._folder = folder
        self._program = program

    def folder_of(self, plan: RoundPlan) -> Path:
        """The folder of a round."""
        return self._folder / f"fleet-{plan.seed}"

    async def run(self, plan: RoundPlan, tell: Callable[[str], None] = lambda _: None) -> FleetRound:
        """Run a round to its verdict; its folder is kept. `tell` gets a sentence now and then.

        Raises `NoPostgres`, `HandInFailed`.
        """
        began = anyio.current_time()
        folder = self.folder_of(plan)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        async with _postgres() as server, AsyncExitStack() as stack:
            looks = await stack.enter_async_context(Looks().kept())
            ports = {}
            for number in range(1, plan.billings + 1):
                draw = Random(f"{plan.seed}/billing/{number}")
                port = ports[f"b{number:02}"] = BillingPort(LedgerBilling(plan.rows), plan.traits, draw, looks)
                await stack.enter_async_context(port.serving())
            urls = {name: port.url for name, port in ports.items()}
            machines = []
            for number in range(1, plan.workers + 1):
                way = JournalWay(server.port)
                await stack.enter_async_context(way.serving())
                machines.append(FleetMachine(f"w{number}", folder, plan, self._program, way))
                machines[-1].prepare(urls, server.url_by(way.port))
            audit = JournalAudit(server.url)
            fleet = _Fleet(plan, ports, machines, audit, Blows(plan, machines, server, audit), tell)
            draw = Random(f"{plan.seed}/rows")
            wanted = {
                name: {one: Decimal(draw.randrange(1, 300_000)) / 100 for one in port.billing.subscribers}
                for name, port in ports.items()
            }
            write_settings(folder / _SETTINGS, urls, server.url, plan, "")
            try:
                await _hand_in(folder, plan, self._program, wanted)
                problems = await fleet.work()
                audited = await anyio.to_thread.run_sync(audit.read)
            finally:
                with anyio.CancelScope(shield=True):
                    for machine in machines:
                        await machine.end()
        evidence = [
            BillingEvidence(name, port.url, wanted[name], tuple(port.billing.ledger), port.measured)
            for name, port in ports.items()
        ]
        verdict = judge_fleet(plan, evidence, audited, fleet.blows.dealt, fleet.blows.started)
        return FleetRound(
            plan=plan,
            verdict=verdict,
            dealt=tuple(fleet.blows.dealt),
            injected=sum((Counter(map(str, port.done.elements())) for port in ports.values()), Counter[str]()),
            seconds=anyio.current_time() - began,
            problems=(*problems, *verdict.problems),
        )


@asynccontextmanager
async def _postgres() -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of its own, for as long as the context lasts."""
    running = postgres_server.running()
    server = await anyio.to_thread.run_sync(running.__enter__)
    try:
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(running.__exit__, None, None, None)


@dataclass(frozen=True, slots=True)
class _Fleet:
    """The parts of one round, at work."""

    plan: RoundPlan
    ports: Mapping[str, BillingPort]
    machines: Sequence[FleetMachine]
    audit: JournalAudit
    blows: Blows
    tell: Callable[[str], None]

    async def work(self) -> list[Problem]:
        """Let the fleet work on the runs that were handed in, through all blows to the end."""
        # Only now: the rows are read faster than they may be sent.
        await anyio.to_thread.run_sync(self.audit.install, self.plan.rate)
        for port in self.ports.values():
            port.measure()
        try:
            with anyio.fail_after(self.plan.longest):
                async with anyio.create_task_group() as beside:
                    await self._go_through(beside)
                    beside.cancel_scope.cancel()
        except TimeoutError:
            return [Problem("", f"it did not come to its end in {self.plan.longest:g} s")]
        return []

    async def _go_through(self, beside: TaskGroup) -> None:
        self.tell(said("all runs are handed in: the workers begin, and one blow after the other is dealt"))
        for machine in self.machines:
            await machine.start()
        await self.blows.deal_single(beside, self._is_entered)
        self.tell(said("from now on a blow each second"))
        await self.blows.deal_storm(beside, self._is_entered)
        self.tell(said("no more blows: what is left is to be entered"))
        for port in self.ports.values():
            port.is_calm = True
        await self.blows.recover()
        while await self._is_going_on():
            await self.blows.start_workers()
            await anyio.sleep(_LOOK)

    def _is_entered(self) -> bool:
        """Whether so many sums are in the billings as there are rows."""
        entered = sum(len(port.billing.ledger) for port in self.ports.values())
        return entered >= self.plan.rows * self.plan.billings

    async def _is_going_on(self) -> bool:
        """Whether a run has rows that are not entered, or a process still works on it."""
        try:
            runs = await anyio.to_thread.run_sync(self.audit.runs)
            owners = await anyio.to_thread.run_sync(self.audit.owners)
        except psycopg.Error:
            return True
        entered = sum(run.entered_rows for run in runs)
        return entered < self.plan.rows * self.plan.billings or any(owner.is_at_work for owner in owners)


async def _hand_in(
    folder: Path, plan: RoundPlan, program: FleetProgram, wanted: Mapping[str, Mapping[int, Decimal]]
) -> None:
    """Hand in a run for each billing, several at once. Raises `HandInFailed`."""
    limiter = anyio.CapacityLimiter(_HANDED_IN_AT_ONCE)
    refused: list[str] = []

    async def hand_in(name: str) -> None:
        rows, log = folder / f"{name}.csv", folder / f"{name}.log"
        with rows.open("w", encoding="utf-8", newline="") as stream:
            sheet = csv.writer(stream, delimiter=";")
            sheet.writerow(["abonent_id", "amount"])
            sheet.writerows((subscriber, f"{amount:.2f}") for subscriber, amount in wanted[name].items())
        words = ["run", "balances", str(rows), "--config", str(folder / _SETTINGS), "--profile", name, "--yes"]
        words += ["--detach", "--database", "", "--in-flight", str(plan.in_flight), "--settle", f"{plan.settle:g}"]
        words += ["--stop-after-errors", "0", "--trust-journal", "--another-billing"]
        async with limiter:
            with log.open("wb") as said_there:
                environment = {**program.environment, "XDG_STATE_HOME": str(folder / "state")}
                process = await start(words, folder, environment, stdout=said_there, stderr=subprocess.STDOUT)
            code = await process.wait()
            await process.aclose()
        if code != ExitCode.DONE:
            refused.append(log.read_text(encoding="utf-8", errors="replace"))

    # The first one makes the journal.
    first, *others = wanted
    await hand_in(first)
    async with anyio.create_task_group() as group:
        for name in others:
            group.start_soon(hand_in, name)
    if refused:
        raise HandInFailed(refused[0])
