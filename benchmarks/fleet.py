"""Rows a second of a fleet of one, two and four workers over 16 billings, and what the death of a worker costs.

Everything is on this machine: the workers, each with a few processes of runs, PostgreSQL, and the billings, which are
in this process. The runs are handed in before it is measured, as `run --detach` does it.
"""

import os
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.to_thread

from benchmarks.page import Part, Size, ratio, shown
from benchmarks.rig import CLI, in_turn, processor_of_children, timed
from benchmarks.senders import AMOUNT, on_uvloop
from lab.crash import postgres_server
from lab.crash.fleet import FleetMachine, FleetProgram, write_settings
from lab.crash.fleet_billing import AnswerTraits, FleetBilling, Looks
from lab.crash.fleet_round import JournalAudit, Reach, RoundPlan
from lab.crash.loops import loops
from lab.crash.program import send, without_settings
from lab.crash.proxy import JournalWay
from tools.markdown import table

BILLINGS: Final = (16, 16, 1)
BILLINGS_A_WORKER: Final = 4
IN_FLIGHT: Final = 4
LATENCY: Final = 0.1
LEASE: Final = 3.0
STALLED_AFTER: Final = 5.0

_WORKERS: Final = (1, 2, 4)
_KILLED_OF: Final = 2
_ROWS: Final = (600, 200, 10)
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


def fleet(size: Size) -> Part:
    """Both tables: fleets in turn, and the one of two workers once more with a worker killed."""
    works = {(workers, False): partial(a_round, size, workers) for workers in _WORKERS}
    works[_KILLED_OF, True] = partial(a_round, size, _KILLED_OF, kills=True)
    found = in_turn((3, 1, 1)[size], works)
    ones = [worked.rate for worked in found[_WORKERS[0], False]]
    lines = []
    for workers in _WORKERS:
        own = found[workers, False]
        rates, allowed = [worked.rate for worked in own], workers * BILLINGS_A_WORKER * IN_FLIGHT / LATENCY
        cores = [worked.processor / worked.seconds for worked in own]
        each = [worked.processor / worked.rows * 1000 for worked in own]
        cells = [shown(rates), ratio(rates, ones), shown([rate / allowed for rate in rates], ".2f")]
        lines.append([str(workers), *cells, shown(cores, ".2f"), shown(each, ".1f")])
    whole, killed = found[_KILLED_OF, False], found[_KILLED_OF, True]
    pairs = list(zip(killed, whole, strict=True))
    takeovers = [seconds for one in killed for seconds in one.takeovers]
    cost = {
        "workers": str(_KILLED_OF),
        "a worker killed, rows/s": shown([one.rate for one in killed]),
        "to none killed": ratio([one.rate for one in killed], [one.rate for one in whole]),
        "seconds more": shown([one.seconds - other.seconds for one, other in pairs], ".1f"),
        "seconds until the first call of a run that was taken over: least, most": (
            f"{min(takeovers, default=0.0):.1f}, {max(takeovers, default=0.0):.1f}"
        ),
        "calls more": shown([one.writes - one.rows for one in killed]),
        "look-ups": shown([one.reads - other.reads for one, other in pairs]),
        "rows entered twice": str(sum(one.twice for one in [*whole, *killed])),
    }
    header = ("workers", "rows/s", "to one worker", "to what the billings allow", "processor, cores", "ms a row")
    return [table(header, lines), table([*cost], [[*cost.values()]])]


def a_round(size: Size, workers: int, *, kills: bool = False) -> Worked:
    plan = FleetPlan(
        seed=1,
        workers=workers,
        billings=BILLINGS[size],
        rows=_ROWS[size],
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


async def _work(plan: RoundPlan, folder: Path, server: postgres_server.PostgresServer, kills: bool) -> Worked:  # noqa: FBT001 - through anyio
    program, rows = FleetProgram(without_settings(os.environ)), plan.rows * plan.billings
    async with AsyncExitStack() as stack:
        looks = await stack.enter_async_context(Looks().kept())
        ports = [FleetBilling(plan.rows, plan.traits, Random(1), looks) for _ in range(plan.billings)]
        for port in ports:
            await stack.enter_async_context(port.serving())
        urls = {f"b{number:02}": port.url for number, port in enumerate(ports, 1)}
        write_settings(folder / "carbon-migrate.toml", urls, server.url, plan, "")
        await _hand_in(plan, folder, [*urls], program)
        # Nobody cuts the way of these machines to PostgreSQL, so it leads there at once.
        way = JournalWay(server.port)
        machines = [FleetMachine(f"w{number + 1}", folder, plan, program, way) for number in range(plan.workers)]
        for machine in machines:
            machine.prepare(urls, server.url)
        for port in ports:
            port.measure()
        killed_at, processor, began = 0.0, processor_of_children(), anyio.current_time()
        try:
            with anyio.fail_after(plan.longest):
                for machine in machines:
                    await machine.start()
                if kills:
                    await _until_entered(ports, rows // _QUARTER)
                    send(machines[0].processes(Reach.ALL, 0), signal.SIGKILL)
                    killed_at = time.time()
                await _until_entered(ports, rows)
                journal = JournalAudit(server.url)
                while sum(run.entered_rows for run in await anyio.to_thread.run_sync(journal.runs)) < rows:  # noqa: ASYNC110 - what the journal has
                    await anyio.sleep(_LOOK)
            seconds = anyio.current_time() - began
            for machine in machines:
                send(machine.processes(Reach.WORKER, 0), signal.SIGTERM)
                await machine.reap()
        finally:
            with anyio.CancelScope(shield=True):
                for machine in machines:
                    await machine.end()
        different = sum(len({subscriber for subscriber, _ in port.ledger}) for port in ports)
        turns = [turn.first for port in ports for turn in port.measured.turns[1:]]
        return Worked(
            rows=rows,
            seconds=seconds,
            processor=processor_of_children() - processor,
            writes=sum(port.measured.writes for port in ports),
            reads=sum(port.measured.reads for port in ports),
            twice=_entered(ports) - different,
            takeovers=[first - killed_at for first in turns] if kills else (),
        )


async def _hand_in(plan: RoundPlan, folder: Path, names: Sequence[str], program: FleetProgram) -> None:
    """Hand a run in for each billing. The first makes the journal, then two are handed in at a time."""
    rows, settings = folder / "balances.csv", folder / "carbon-migrate.toml"
    lines = ["abonent_id;amount", *(f"{1 + number};{AMOUNT}" for number in range(plan.rows))]
    rows.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = [*CLI, "run", "balances", str(rows), "--config", str(settings), "--yes", "--detach", "--quiet"]
    words += ["--no-canary", "--database", "", "--in-flight", str(plan.in_flight), "--settle", f"{plan.settle:g}"]
    words += ["--trust-journal", "--another-billing"]
    environment: Mapping[str, str] = {
        **program.environment, "XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": str(Path.cwd())
    }  # fmt: skip
    two = anyio.CapacityLimiter(2)

    async def hand_in(name: str) -> None:
        command = partial(timed, [*words, "--profile", name], cwd=folder, environment=environment)
        await anyio.to_thread.run_sync(command, limiter=two)

    first, *others = names
    await hand_in(first)
    async with anyio.create_task_group() as group:
        for name in others:
            group.start_soon(hand_in, name)


async def _until_entered(ports: Sequence[FleetBilling], rows: int) -> None:
    while _entered(ports) < rows:  # noqa: ASYNC110 - what the billings have counted
        await anyio.sleep(_POLL)


def _entered(ports: Sequence[FleetBilling]) -> int:
    return sum(port.entered for port in ports)
