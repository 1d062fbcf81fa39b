"""Rows a second of a fleet of one, two and four workers over 16 billings, and what the death of a worker costs.

Everything is on this machine: the workers, each with a few processes of runs, PostgreSQL, and the billings, which are
in this process. The runs are handed in before it is measured, as `run --detach` does it.
"""

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.to_thread

from benchmarks.entering import AMOUNT, on_uvloop
from benchmarks.figures import Part, Size, Spread, table
from lab.crash.loops import loops
from lab.crash.program import send, start, without_settings
from lab.crash.proxy import JournalWay
from lab.fleet import postgres_server
from lab.fleet.audit import JournalAudit
from lab.fleet.billing import FIRST, LedgerBilling
from lab.fleet.billing_port import AnswerTraits, BillingPort, Looks
from lab.fleet.postgres_server import PostgresServer
from lab.fleet.round_plan import Reach, RoundPlan
from lab.fleet.workers import FleetMachine, FleetProgram, write_settings

WORKERS: Final = (1, 2, 4)
BILLINGS: Final = Size(16, quick=16, smoke=1)
ROWS: Final = Size(600, quick=200, smoke=10)
ROUNDS: Final = Size(3, quick=1, smoke=1)
BILLINGS_A_WORKER: Final = 4
IN_FLIGHT: Final = 4
LATENCY: Final = 0.1
LEASE: Final = 3.0
STALLED_AFTER: Final = 5.0

HEADER: Final = ("workers", "rows/s", "to one worker", "to what the billings allow", "processor, cores", "ms a row")
COST_HEADER: Final = (
    "workers",
    "a worker killed, rows/s",
    "to none killed",
    "seconds more",
    "seconds until the first call of a run that was taken over: least, most",
    "calls more",
    "look-ups",
    "rows entered twice",
)

_HANDED_IN_AT_ONCE: Final = 2
_QUARTER: Final = 4
_POLL: Final = 0.02
_LOOK: Final = 0.2


@dataclass(frozen=True, slots=True)
class FleetPlan(RoundPlan):
    """A round without blows, in which each worker takes a fixed number of billings."""

    @property
    def billings_a_worker(self) -> int:
        """How many runs a worker takes."""
        return BILLINGS_A_WORKER


class CountedPort(BillingPort):
    """A billing that counts the calls that read."""

    reads = 0

    def read_arrived(self) -> None:
        """Note that a reading call has come."""
        self.reads += 1
        BillingPort.read_arrived(self)


@dataclass(frozen=True, slots=True)
class Worked:
    """A round: rows, seconds and processor seconds, calls that write and that read, and the takeovers' seconds."""

    rows: int
    seconds: float
    processor: float
    writes: int
    reads: int
    twice: int
    takeovers: Sequence[float]

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def measure(size: str) -> Part:
    """Both tables: fleets in turn, and the one of two workers once more with a worker killed."""
    found: dict[int, list[Worked]] = {number: [] for number in WORKERS}
    killed: list[Worked] = []
    for number in range(int(ROUNDS.of(size))):
        for workers in WORKERS if number % 2 == 0 else reversed(WORKERS):
            found[workers].append(_round(size, workers))
            if workers == _KILLED_OF:
                killed.append(_round(size, workers, kills=True))
    goodput = table(HEADER, [_line(workers, found) for workers in WORKERS])
    return Part(f"{goodput}\n\n{table(COST_HEADER, [_cost(found[_KILLED_OF], killed)])}")


_KILLED_OF: Final = 2


def _line(workers: int, found: Mapping[int, Sequence[Worked]]) -> list[str]:
    own, one = found[workers], found[WORKERS[0]]
    allowed = workers * BILLINGS_A_WORKER * IN_FLIGHT / LATENCY
    return [
        str(workers),
        Spread.of([worked.rate for worked in own]).shown(),
        Spread.of([worked.rate / first.rate for worked, first in zip(own, one, strict=True)]).shown(".2f"),
        Spread.of([worked.rate / allowed for worked in own]).shown(".2f"),
        Spread.of([worked.processor / worked.seconds for worked in own]).shown(".2f"),
        Spread.of([worked.processor / worked.rows * 1000 for worked in own]).shown(".1f"),
    ]


def _cost(whole: Sequence[Worked], killed: Sequence[Worked]) -> list[str]:
    pairs = list(zip(killed, whole, strict=True))
    takeovers = [seconds for one in killed for seconds in one.takeovers]
    return [
        str(_KILLED_OF),
        Spread.of([one.rate for one in killed]).shown(),
        Spread.of([one.rate / other.rate for one, other in pairs]).shown(".2f"),
        Spread.of([one.seconds - other.seconds for one, other in pairs]).shown(".1f"),
        f"{min(takeovers, default=0.0):.1f}, {max(takeovers, default=0.0):.1f}",
        Spread.of([one.writes - one.rows for one in killed]).shown(),
        Spread.of([one.reads - other.reads for one, other in pairs]).shown(),
        str(sum(one.twice for one in [*whole, *killed])),
    ]


def _round(size: str, workers: int, *, kills: bool = False) -> Worked:
    plan = FleetPlan(
        seed=1,
        workers=workers,
        billings=int(BILLINGS.of(size)),
        rows=int(ROWS.of(size)),
        lease=LEASE,
        away=0.0,
        stalled_after=STALLED_AFTER,
        timeout=10.0,
        settle=0.5,
        in_flight=IN_FLIGHT,
        rate=0,
        traits=AnswerTraits(latency=LATENCY, faults={}, silence=0.0),
        single=(),
        storm=(),
        every=0.0,
        longest=loops(500),
        slack=0.0,
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, postgres_server.running(durable=True) as server:
        return on_uvloop(_work, plan, Path(folder), server, kills)


async def _work(plan: RoundPlan, folder: Path, server: PostgresServer, kills: bool) -> Worked:  # noqa: FBT001 - through anyio
    program, rows = FleetProgram(without_settings(os.environ)), plan.rows * plan.billings
    async with AsyncExitStack() as stack:
        looks = await stack.enter_async_context(Looks().kept())
        ports = [CountedPort(LedgerBilling(plan.rows), plan.traits, Random(1), looks) for _ in range(plan.billings)]
        for port in ports:
            await stack.enter_async_context(port.serving())
        urls = {f"b{number:02}": port.url for number, port in enumerate(ports, 1)}
        await _hand_in(plan, folder, urls, server, program)
        # Nobody cuts the way of these machines to PostgreSQL, so it leads there at once.
        way = JournalWay(server.port)
        machines = [FleetMachine(f"w{number + 1}", folder, plan, program, way) for number in range(plan.workers)]
        for machine in machines:
            machine.prepare(urls, server.url)
        for port in ports:
            port.reads = 0
        processor, began = _processor_of_children(), anyio.current_time()
        try:
            with anyio.fail_after(plan.longest):
                for machine in machines:
                    await machine.start()
                killed_at = await _kill(machines[0], ports, rows) if kills else None
                await _until_entered(ports, rows, JournalAudit(server.url))
            seconds = anyio.current_time() - began
            for machine in machines:
                send(machine.processes(Reach.WORKER, 0), signal.SIGTERM)
                await machine.reap()
        finally:
            with anyio.CancelScope(shield=True):
                for machine in machines:
                    await machine.end()
        entered = [len(port.billing.ledger) for port in ports]
        different = [len({entry.subscriber for entry in port.billing.ledger}) for port in ports]
        turns = [turn.first for port in ports for turn in port.measured.turns[1:]]
        return Worked(
            rows=rows,
            seconds=seconds,
            processor=_processor_of_children() - processor,
            writes=sum(port.measured.writes for port in ports),
            reads=sum(port.reads for port in ports),
            twice=sum(entered) - sum(different),
            takeovers=[first - killed_at for first in turns] if killed_at is not None else (),
        )


async def _hand_in(
    plan: RoundPlan, folder: Path, urls: Mapping[str, str], server: PostgresServer, program: FleetProgram
) -> None:
    """Hand a run in for each billing. Raises RuntimeError with what the program says."""
    settings, rows = folder / "carbon-migrate.toml", folder / "balances.csv"
    write_settings(settings, urls, server.url, plan, "")
    lines = ["abonent_id;amount", *(f"{FIRST + number};{AMOUNT}" for number in range(plan.rows))]
    rows.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["run", "balances", str(rows), "--config", str(settings), "--yes", "--detach", "--quiet", "--no-canary"]
    words += ["--database", "", "--in-flight", str(plan.in_flight), "--settle", f"{plan.settle:g}"]
    words += ["--trust-journal", "--another-billing"]
    environment = {**program.environment, "XDG_STATE_HOME": str(folder / "state")}
    limiter = anyio.CapacityLimiter(_HANDED_IN_AT_ONCE)

    async def hand_in(name: str) -> None:
        log = folder / f"{name}.log"
        async with limiter:
            with log.open("wb") as output:
                process = await start(
                    [*words, "--profile", name], folder, environment, stdout=output, stderr=subprocess.STDOUT
                )
                code = await process.wait()
            await process.aclose()
        if code:
            raise RuntimeError(log.read_text(encoding="utf-8", errors="replace"))

    # The first one makes the journal.
    first, *others = urls
    await hand_in(first)
    async with anyio.create_task_group() as group:
        for name in others:
            group.start_soon(hand_in, name)


async def _kill(machine: FleetMachine, ports: Sequence[CountedPort], rows: int) -> float:
    """Kill a worker with the processes of its runs, once a quarter of the rows is entered; the moment (time.time)."""
    while _entered(ports) < rows // _QUARTER:  # noqa: ASYNC110 - what the billings have counted
        await anyio.sleep(_POLL)
    send(machine.processes(Reach.ALL, 0), signal.SIGKILL)
    return time.time()


async def _until_entered(ports: Sequence[CountedPort], rows: int, journal: JournalAudit) -> None:
    """Wait until all rows are in the billings, and the journal knows it."""
    while _entered(ports) < rows:  # noqa: ASYNC110 - as above
        await anyio.sleep(_POLL)
    while sum(run.entered_rows for run in await anyio.to_thread.run_sync(journal.runs)) < rows:  # noqa: ASYNC110
        await anyio.sleep(_LOOK)


def _entered(ports: Sequence[CountedPort]) -> int:
    return sum(len(port.billing.ledger) for port in ports)


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
