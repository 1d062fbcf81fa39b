"""The lab of a fleet: several workers, many billings in memory, one journal in PostgreSQL, and blows to all of them.

billings, PostgreSQL, the ways to it ──▶ runs are handed in ──▶ workers ──▶ blows ──▶ calm ──▶ all ended ──▶ verdict
"""

import csv
import os
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.to_thread
import psycopg
from anyio.abc import TaskGroup

from lab.crash import postgres_server
from lab.crash.errors import LabStopped
from lab.crash.fleet_billing import WORKER, FleetBilling, looking
from lab.crash.fleet_round import (
    SCHEMA,
    BillingEvidence,
    Blow,
    DealtBlow,
    FleetBlow,
    FleetRound,
    JournalAudit,
    Reach,
    RoundPlan,
    judge_fleet,
)
from lab.crash.judge import Problem
from lab.crash.postgres_server import PostgresServer
from lab.crash.program import MODULE, ExitCode, Running, all_processes, children_of, command_of, send, start, stat_of
from lab.crash.proxy import JournalWay
from texts.said import said

# ---- the workers, each as on a machine of its own -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FleetProgram:
    """How the program is started: its environment, and the launcher that makes a process one of another machine.

    A test of the lab names a launcher there that breaks the program.
    """

    environment: Mapping[str, str]
    launcher: Sequence[str] = ("-m", "lab.crash.machine")


class FleetMachine:
    """A machine of the fleet, on which one worker runs, or none. Its files are in a folder of its own."""

    def __init__(self, name: str, folder: Path, plan: RoundPlan, program: FleetProgram, way: JournalWay) -> None:
        self.name = name
        self.way = way
        self.ended_at: float | None = None
        self._folder = folder / name
        self._plan = plan
        self._program = program
        self._worker: Running | None = None
        self._python = self._folder / "python"

    def prepare(self, billings: Mapping[str, str], postgres: str) -> None:
        """Write its settings: the billings by name, and the address of PostgreSQL by its own way."""
        self._folder.mkdir()
        words = shlex.join([sys.executable, "-P", *self._program.launcher, self.name, str(self._python)])
        self._python.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        self._python.chmod(0o700)
        write_settings(self._folder / SETTINGS, billings, postgres, self._plan, self.name)

    async def start(self) -> None:
        """Start its worker, unless it runs."""
        if self.processes(Reach.WORKER, 0):
            return
        await self.reap()
        words = ["worker", "--config", str(self._folder / SETTINGS), "--billings", str(self._plan.billings_a_worker)]
        self._worker = await start(
            [*words, "--stalled-after", f"{self._plan.stalled_after:g}"],
            self._folder,
            {**self._program.environment, "XDG_STATE_HOME": str(self._folder / "state")},
            self._folder / "worker.log",
            program=(str(self._python), "-P", "-m", MODULE),
        )

    async def start_again(self) -> None:
        """Start its worker if it has ended some time ago, as a service manager does."""
        if self.processes(Reach.WORKER, 0):
            self.ended_at = None
        elif self.ended_at is None:
            self.ended_at = time.time()
        elif time.time() - self.ended_at > RESTARTED_AFTER:
            await self.start()

    def processes(self, reach: Reach, place: float) -> list[int]:
        """The processes that a signal reaches; of its children the one at `place` in [0, 1)."""
        if self._worker is None or not self._worker.alive:
            return []
        worker = self._worker.pid
        children = [] if reach is Reach.WORKER else sorted(children_of(worker))
        if reach is Reach.CHILD:
            return children[int(place * len(children)) :][:1]
        return [worker, *children]

    async def reap(self) -> None:
        if self._worker is not None:
            await self._worker.wait()
            self._worker = None

    async def end(self) -> None:
        """Kill everything that runs here, also what has lost its worker."""
        mark = str(self._python).encode()
        while found := [process for process in all_processes() if mark in command_of(process)]:
            send(found, signal.SIGKILL)
            await anyio.sleep(0.02)
        await self.reap()


SETTINGS: Final = "carbon-migrate.toml"
RESTARTED_AFTER: Final = 2.0
"""Seconds until a killed worker is started again."""


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


# ---- the round ----------------------------------------------------------------------------------------------------


async def run_round(
    folder: Path, plan: RoundPlan, program: FleetProgram, tell: Callable[[str], None] = lambda _: None
) -> FleetRound:
    """Run a round to its verdict in a folder of its own, which is kept. `tell` gets a sentence now and then.

    Raises `LabStopped`.
    """
    began = anyio.current_time()
    shutil.rmtree(folder, ignore_errors=True)
    await anyio.Path(folder).mkdir(parents=True)
    async with AsyncExitStack() as stack:
        server = await anyio.to_thread.run_sync(stack.enter_context, postgres_server.running())
        looks = await stack.enter_async_context(looking())
        billings = {}
        for number in range(1, plan.billings + 1):
            billing = FleetBilling(plan.rows, plan.traits, Random(f"{plan.seed}/billing/{number}"), looks)
            await stack.enter_async_context(billing.serving())
            billings[f"b{number:02}"] = billing
        urls = {name: billing.url for name, billing in billings.items()}
        machines = []
        for number in range(1, plan.workers + 1):
            way = JournalWay(server.port)
            await stack.enter_async_context(way.serving())
            machines.append(FleetMachine(f"w{number}", folder, plan, program, way))
            machines[-1].prepare(urls, server.url_by(way.port))
        fleet = _Fleet(plan, billings, machines, server, JournalAudit(server.url), tell)
        draw = Random(f"{plan.seed}/rows")
        wanted = {
            name: {one: Decimal(draw.randrange(1, 300_000)) / 100 for one in billing.subscribers}
            for name, billing in billings.items()
        }
        write_settings(folder / SETTINGS, urls, server.url, plan, "")
        try:
            await _hand_in(folder, plan, program, wanted)
            problems = await fleet.work()
            audited = await anyio.to_thread.run_sync(fleet.audit.read)
        finally:
            with anyio.CancelScope(shield=True):
                for machine in machines:
                    await machine.end()
    evidence = [
        BillingEvidence(name, billing.url, wanted[name], billing.ledger, billing.measured)
        for name, billing in billings.items()
    ]
    judged = judge_fleet(plan, evidence, audited, fleet.dealt, fleet.started)
    return replace(
        judged,
        injected=sum((billing.done for billing in billings.values()), Counter[str]()),
        seconds=anyio.current_time() - began,
        problems=[*problems, *judged.problems],
    )


async def _hand_in(
    folder: Path, plan: RoundPlan, program: FleetProgram, wanted: Mapping[str, Mapping[int, Decimal]]
) -> None:
    """Hand in a run for each billing, several at once. Raises `LabStopped`."""
    limiter = anyio.CapacityLimiter(4)
    environment = {**program.environment, "XDG_STATE_HOME": str(folder / "state")}
    refused: list[str] = []

    async def hand_in(name: str) -> None:
        rows = folder / f"{name}.csv"
        with rows.open("w", encoding="utf-8", newline="") as stream:
            sheet = csv.writer(stream, delimiter=";")
            sheet.writerow(["abonent_id", "amount"])
            sheet.writerows((subscriber, f"{amount:.2f}") for subscriber, amount in wanted[name].items())
        words = ["run", "balances", str(rows), "--config", str(folder / SETTINGS), "--profile", name, "--yes"]
        words += ["--detach", "--database", "", "--in-flight", str(plan.in_flight), "--settle", f"{plan.settle:g}"]
        words += ["--stop-after-errors", "0", "--trust-journal", "--another-billing"]
        async with limiter:
            ended = await (await start(words, folder, environment, folder / f"{name}.log")).wait()
        if ended.exit != ExitCode.DONE:
            refused.append(ended.said)

    # The first one makes the journal.
    first, *others = wanted
    await hand_in(first)
    async with anyio.create_task_group() as group:
        for name in others:
            group.start_soon(hand_in, name)
    if refused:
        raise LabStopped(refused[0])


@dataclass(slots=True)
class _Fleet:
    """The parts of one round at work, and the blows that are dealt to them, in `dealt`.

    `started` says, by run and epoch, when the process was started that has taken the run up, where it was seen.
    """

    plan: RoundPlan
    billings: Mapping[str, FleetBilling]
    machines: Sequence[FleetMachine]
    server: PostgresServer
    audit: JournalAudit
    tell: Callable[[str], None]
    dealt: list[DealtBlow] = field(default_factory=list)
    started: dict[tuple[int, int], float] = field(default_factory=dict)
    _frozen: set[int] = field(default_factory=set)

    async def work(self) -> list[Problem]:
        """Let the fleet work on the runs that were handed in, through all blows to the end."""
        # Only now: the rows are read faster than they may be sent.
        await anyio.to_thread.run_sync(self.audit.install, self.plan.rate)
        for billing in self.billings.values():
            billing.measure()
        try:
            with anyio.fail_after(self.plan.longest):
                async with anyio.create_task_group() as beside:
                    await self._go_through(beside)
                    beside.cancel_scope.cancel()
        except TimeoutError:
            return [Problem("", f"it did not come to its end in {self.plan.longest:g} s")]
        return []

    async def _go_through(self, beside: TaskGroup) -> None:
        """Deal the blows, until all rows are entered; what lasts of them goes on in the group `beside`."""
        self.tell(said("all runs are handed in: the workers begin, and one blow after the other is dealt"))
        for machine in self.machines:
            await machine.start()
        for blow in self.plan.single:
            await self._wait_for_work()
            if self._is_entered():
                break
            if (dealt := await self._deal(blow, beside)) is not None:
                # Until what lasts of it is over, and others have taken up its runs, if they must.
                await anyio.sleep(max(dealt.until - time.time(), 0.0))
                await self._until_taken_over(dealt)
                await self._until(lambda: not self._frozen)
        self.tell(said("from now on a blow each second"))
        for blow in self.plan.storm:
            await anyio.sleep(self.plan.every)
            await self._start_workers()
            if self._is_entered():
                break
            await self._deal(blow, beside)
        self.tell(said("no more blows: what is left is to be entered"))
        for billing in self.billings.values():
            billing.is_calm = True
        send(self._frozen, signal.SIGCONT)
        self._frozen.clear()
        for machine in self.machines:
            machine.way.mend()
            await machine.start()
        await self._until(self._is_over)

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
            runs = self.audit.runs()
            for run in runs:
                began.setdefault(run.run_id, run.entered_rows)
            some = self.plan.in_flight
            return all(
                run.is_entered or (run.is_at_work and run.entered_rows >= began[run.run_id] + some) for run in runs
            )

        await self._until(is_so)

    async def _until_taken_over(self, dealt: DealtBlow) -> None:
        """Wait until others have taken up the runs that a blow has hit, if they must."""

        def is_so() -> bool:
            ups = self.audit.take_ups()
            for up in ups:
                if (up.run_id, up.epoch) not in self.started and (moment := _started_at(up.process)) is not None:
                    self.started[up.run_id, up.epoch] = moment
            ended = {run.run_id for run in self.audit.runs() if run.is_entered}
            return dealt.hit <= ended | {up.run_id for up in ups if up.at > dealt.at}

        if dealt.must_be_taken_over:
            await self._until(is_so)

    def _is_over(self) -> bool:
        """Whether all rows are entered, and no process works on a run any more."""
        runs = self.audit.runs()
        entered = sum(run.entered_rows for run in runs)
        return entered >= self.plan.rows * self.plan.billings and not any(run.is_at_work for run in runs)

    # ---- blows ----

    async def _deal(self, blow: FleetBlow, beside: TaskGroup) -> DealtBlow | None:
        """Deal a blow, None where there was nothing to hit."""
        following = [*self.machines[blow.worker :], *self.machines[: blow.worker]]
        # The next one that works on a run.
        machine = next((one for one in following if one.processes(Reach.CHILD, blow.place)), following[0])
        at, until, hit = time.time(), 0.0, frozenset[int]()
        processes: list[int] = []
        match blow.blow:
            case Blow.KILL | Blow.FREEZE:
                freezes, whole = blow.blow is Blow.FREEZE, blow.reach is not Reach.CHILD
                processes = machine.processes(blow.reach, blow.place)
                # The worker's own death ends its children in order: their runs need somebody else as well.
                struck = {*processes, *(machine.processes(Reach.ALL, 0) if whole and not freezes else ())}
                with suppress(psycopg.Error):
                    runs = await anyio.to_thread.run_sync(self.audit.runs)
                    hit = frozenset(run.run_id for run in runs if run.is_at_work and run.process in struck)
                send(processes, signal.SIGSTOP if freezes else signal.SIGKILL)
                at = time.time()
                until = (at + self.plan.away if freezes else at) if processes else 0.0
                if processes and whole and not freezes:
                    await machine.reap()
                    machine.ended_at = at
            case Blow.CUT | Blow.BLACK_HOLE:
                (machine.way.cut if blow.blow is Blow.CUT else machine.way.swallow)()
                until = at + self.plan.away
            case Blow.TERMINATE:
                with suppress(psycopg.Error):
                    if await anyio.to_thread.run_sync(self.audit.terminate_one, blow.place):
                        until = time.time()
            case Blow.RESTART:
                await anyio.to_thread.run_sync(self.server.restart)
                until = time.time()
        if not until:
            return None
        dealt = DealtBlow(blow.blow, blow.reach, machine.name, at, until, hit)
        self.dealt.append(dealt)
        if blow.blow is Blow.FREEZE:
            self._frozen.update(processes)
            beside.start_soon(self._thaw, processes, dealt)
        elif blow.blow in {Blow.CUT, Blow.BLACK_HOLE}:

            async def mend() -> None:
                await anyio.sleep(self.plan.away)
                machine.way.mend()

            beside.start_soon(mend)
        return dealt

    async def _thaw(self, processes: Sequence[int], dealt: DealtBlow) -> None:
        if self.plan.until_taken_over:
            await self._until_taken_over(dealt)
        await anyio.sleep(self.plan.away)
        send(processes, signal.SIGCONT)
        # The round may be over by now, and what they were about to do they do only now.
        await anyio.sleep(self.plan.settle)
        self._frozen.difference_update(processes)


def _started_at(process: int) -> float | None:
    """When a process was started, in seconds of the wall clock; None where it has ended."""
    if not (fields := stat_of(process)):
        return None
    # The field of proc(5), stat, behind the name of the process.
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
