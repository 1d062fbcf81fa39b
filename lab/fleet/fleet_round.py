"""A round: a fleet from an empty folder to its verdict.

billings, PostgreSQL, the ways to it ──▶ runs are handed in ──▶ workers ──▶ blows ──▶ calm ──▶ all ended ──▶ verdict
"""

import csv
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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
from lab.crash.program import MODULE, ExitCode, start
from lab.fleet import postgres_server
from lab.fleet.audit import Audited, JournalAudit
from lab.fleet.billing import LedgerBilling
from lab.fleet.billing_port import BillingPort, Looks
from lab.fleet.blows import Blows
from lab.fleet.fleet_judge import BillingEvidence, DealtBlow, FleetVerdict, judge_fleet
from lab.fleet.journal_way import JournalWay
from lab.fleet.postgres_server import PostgresServer
from lab.fleet.round_plan import RoundPlan
from lab.fleet.workers import FleetMachine, FleetProgram, write_settings
from texts.said import said

_HANDED_IN_AT_ONCE: Final = 4
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
            fleet = _Fleet(folder, plan, self._program, server, ports, tell)
            for name in fleet.names:
                way = JournalWay(server.port)
                await stack.enter_async_context(way.serving())
                fleet.add(name, way)
            try:
                problems = await fleet.work()
                audited = await fleet.audited()
            finally:
                with anyio.CancelScope(shield=True):
                    await fleet.end()
        verdict = judge_fleet(plan, fleet.evidence(), audited, fleet.dealt, fleet.started)
        return FleetRound(
            plan=plan,
            verdict=verdict,
            dealt=tuple(fleet.dealt),
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


class _Fleet:
    """The parts of one round, at work."""

    def __init__(
        self,
        folder: Path,
        plan: RoundPlan,
        program: FleetProgram,
        server: PostgresServer,
        ports: Mapping[str, BillingPort],
        tell: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._program = program
        self._server = server
        self._ports = ports
        self._tell = tell
        self._machines: list[FleetMachine] = []
        self._audit = JournalAudit(server.url)
        self._blows: Blows | None = None
        draw = Random(f"{plan.seed}/rows")
        self._wanted = {
            name: {subscriber: Decimal(draw.randrange(1, 300_000)) / 100 for subscriber in port.billing.subscribers}
            for name, port in ports.items()
        }

    @property
    def names(self) -> list[str]:
        """The names of the machines."""
        return [f"w{number}" for number in range(1, self._plan.workers + 1)]

    @property
    def dealt(self) -> list[DealtBlow]:
        """The blows so far."""
        return self._blows.dealt if self._blows is not None else []

    @property
    def started(self) -> Mapping[tuple[int, int], float]:
        """When the processes were started that have taken runs up, by run and epoch."""
        return self._blows.started if self._blows is not None else {}

    def add(self, name: str, way: JournalWay) -> None:
        """Prepare a machine with its way to PostgreSQL, which is served."""
        machine = FleetMachine(name, self._folder, self._plan, self._program, way)
        machine.prepare(self._urls, self._server.url_by(way.port))
        self._machines.append(machine)

    @property
    def _urls(self) -> dict[str, str]:
        return {name: port.url for name, port in self._ports.items()}

    async def work(self) -> list[Problem]:
        """Hand the runs in, and let the fleet work through all blows to the end. Raises `HandInFailed`."""
        await self._hand_in()
        # Only now: the rows are read faster than they may be sent.
        await anyio.to_thread.run_sync(self._audit.install, self._plan.rate)
        for port in self._ports.values():
            port.measure()
        self._blows = Blows(self._plan, self._machines, self._server, self._audit)
        try:
            with anyio.fail_after(self._plan.longest):
                async with anyio.create_task_group() as beside:
                    await self._go_through(self._blows, beside)
                    beside.cancel_scope.cancel()
        except TimeoutError:
            return [Problem("", f"it did not come to its end in {self._plan.longest:g} s")]
        return []

    async def _go_through(self, blows: Blows, beside: TaskGroup) -> None:
        self._tell(said("all runs are handed in: the workers begin, and one blow after the other is dealt"))
        for machine in self._machines:
            await machine.start()
        await blows.deal_single(beside, self._is_entered)
        self._tell(said("from now on a blow each second"))
        await blows.deal_storm(beside, self._is_entered)
        self._tell(said("no more blows: what is left is to be entered"))
        for port in self._ports.values():
            port.is_calm = True
        await blows.recover()
        while await self._is_going_on():
            await blows.start_workers()
            await anyio.sleep(_LOOK)

    def _is_entered(self) -> bool:
        """Whether so many sums are in the billings as there are rows."""
        return sum(len(port.billing.ledger) for port in self._ports.values()) >= self._rows

    @property
    def _rows(self) -> int:
        return self._plan.rows * len(self._ports)

    async def _is_going_on(self) -> bool:
        """Whether a run has rows that are not entered, or a process still works on it."""
        try:
            runs = await anyio.to_thread.run_sync(self._audit.runs)
            owners = await anyio.to_thread.run_sync(self._audit.owners)
        except psycopg.Error:
            return True
        entered = sum(run.entered_rows for run in runs)
        return entered < self._rows or any(owner.is_at_work for owner in owners)

    async def audited(self) -> Audited:
        """What the journal says at the end."""
        return await anyio.to_thread.run_sync(self._audit.read)

    def evidence(self) -> list[BillingEvidence]:
        """What the billings say at the end."""
        return [
            BillingEvidence(name, port.url, self._wanted[name], tuple(port.billing.ledger), port.measured)
            for name, port in self._ports.items()
        ]

    async def end(self) -> None:
        """Kill all that was started."""
        for machine in self._machines:
            await machine.end()

    # ---- handing in ----

    async def _hand_in(self) -> None:
        settings = self._folder / "carbon-migrate.toml"
        write_settings(settings, self._urls, self._server.url, self._plan, "")
        limiter = anyio.CapacityLimiter(_HANDED_IN_AT_ONCE)

        refused: list[HandInFailed] = []

        async def hand_in(name: str) -> None:
            async with limiter:
                try:
                    await self._hand_in_one(name, settings)
                except HandInFailed as error:
                    refused.append(error)

        # The first one makes the journal.
        first, *others = self._ports
        await hand_in(first)
        async with anyio.create_task_group() as group:
            for name in others:
                group.start_soon(hand_in, name)
        if refused:
            raise refused[0]

    async def _hand_in_one(self, name: str, settings: Path) -> None:
        rows = self._folder / f"{name}.csv"
        with rows.open("w", encoding="utf-8", newline="") as stream:
            sheet = csv.writer(stream, delimiter=";")
            sheet.writerow(["abonent_id", "amount"])
            sheet.writerows((subscriber, f"{amount:.2f}") for subscriber, amount in self._wanted[name].items())
        plan, log = self._plan, self._folder / f"{name}.log"
        words = ["run", "balances", str(rows), "--config", str(settings), "--profile", name, "--yes", "--detach"]
        words += ["--database", "", "--in-flight", str(plan.in_flight)]
        words += ["--settle", f"{plan.settle:g}", "--stop-after-errors", "0", "--trust-journal", "--another-billing"]
        with log.open("wb") as stream_of_log:
            process = await start(
                words,
                self._folder,
                {**self._program.environment, "XDG_STATE_HOME": str(self._folder / "state")},
                program=("-m", MODULE),
                stdout=stream_of_log,
                stderr=subprocess.STDOUT,
            )
            code = await process.wait()
        await process.aclose()
        if code != ExitCode.DONE:
            raise HandInFailed(log.read_text(encoding="utf-8", errors="replace"))
