"""With the journal in PostgreSQL: a fleet of workers, and claims and outcomes beside a journal in SQLite."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from benchmarks.page import Part, Size, ratio, shown
from benchmarks.rig import in_turn, processor_of_children
from benchmarks.senders import AMOUNT, NOWHERE, Entering, Ids, on_uvloop, save_list
from billing.api.client import BillingClient, ClientSettings
from checkpoints.journal import open_journal
from checkpoints.journal_file import JournalAddress, journal_in_postgres
from checkpoints.records import Change, Item
from checkpoints.states import State
from lab.crash import program as postgres_server
from lab.crash.fleet import SETTINGS, FleetBilling, FleetMachine, hand_in, looking, runs_seen, write_settings
from lab.crash.loops import loops
from lab.crash.plan import AnswerTraits, RoundPlan, Target
from lab.crash.program import ProgramUnderTest, send, without_settings
from lab.crash.proxy import JournalWay
from tools.markdown import table

# ---- rows a second of one, two and four workers over 16 billings, and what the death of a worker costs -------------
# Everything is on this machine: the workers, each with a few processes of runs, PostgreSQL, and the billings, which
# are in this process. The runs are handed in before it is measured, as `run --detach` does it.

BILLINGS: Final = (16, 16, 1)
BILLINGS_A_WORKER: Final = 4
IN_FLIGHT: Final = 4
LATENCY: Final = 0.1
LEASE: Final = 3.0
STALLED_AFTER: Final = 5.0
_WORKERS: Final = (1, 2, 4)
_KILLED_OF: Final = 2


class _Plan(RoundPlan):
    """A round without blows, in which each worker takes a fixed number of billings."""

    billings_a_worker = BILLINGS_A_WORKER


class Worked(NamedTuple):
    """A round: rows, seconds and processor seconds, calls that write and that read, and the takeovers' seconds."""

    rows: int
    seconds: float
    processor: float
    writes: int
    reads: int
    twice: int
    takeovers: Sequence[float]


def fleet(size: Size) -> Part:
    works = {(workers, False): partial(a_round, size, workers) for workers in _WORKERS}
    works[_KILLED_OF, True] = partial(a_round, size, _KILLED_OF, kills=True)
    found = in_turn((3, 1, 1)[size], works)
    rates = {which: [one.rows / one.seconds for one in rounds] for which, rounds in found.items()}
    lines = []
    for workers in _WORKERS:
        own, rounds = rates[workers, False], found[workers, False]
        allowed = workers * BILLINGS_A_WORKER * IN_FLIGHT / LATENCY
        cells = [shown(own), ratio(own, rates[_WORKERS[0], False]), shown([rate / allowed for rate in own], ".2f")]
        cells.append(shown([one.processor / one.seconds for one in rounds], ".2f"))
        lines.append([str(workers), *cells, shown([one.processor / one.rows * 1000 for one in rounds], ".1f")])
    whole, killed = found[_KILLED_OF, False], found[_KILLED_OF, True]
    pairs = list(zip(killed, whole, strict=True))
    takeovers = [seconds for one in killed for seconds in one.takeovers]
    cost = {
        "workers": str(_KILLED_OF),
        "a worker killed, rows/s": shown(rates[_KILLED_OF, True]),
        "to none killed": ratio(rates[_KILLED_OF, True], rates[_KILLED_OF, False]),
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
    plan = _Plan(
        seed=1,
        workers=workers,
        billings=BILLINGS[size],
        rows=(600, 200, 10)[size],
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
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        postgres_server.running_postgres(durable=True) as server,
    ):
        return on_uvloop(_work, plan, Path(folder), server, kills)


async def _work(plan: RoundPlan, folder: Path, server: postgres_server.PostgresServer, kills: bool) -> Worked:  # noqa: FBT001 - through anyio
    program, rows = ProgramUnderTest(without_settings(os.environ)), plan.rows * plan.billings

    async def entered(wanted: int) -> None:
        while sum(port.entered for port in ports) < wanted:  # noqa: ASYNC110 - what the billings have counted
            await anyio.sleep(0.02)

    async with AsyncExitStack() as stack:
        looks = await stack.enter_async_context(looking())
        ports = [FleetBilling(plan.rows, plan.traits, 1, looks) for _ in range(plan.billings)]
        for port in ports:
            await stack.enter_async_context(port.serving())
        urls = {f"b{number:02}": port.url for number, port in enumerate(ports, 1)}
        write_settings(folder / SETTINGS, urls, server.url, plan, "")
        amounts = {one: Decimal(AMOUNT) for one in ports[0].subscribers}
        await hand_in(folder, plan, program, dict.fromkeys(urls, amounts), "--no-canary")
        # Nobody cuts the way of these machines to PostgreSQL, so it leads there at once.
        way = JournalWay(server.port)
        machines = [FleetMachine(f"w{number + 1}", folder, plan, program, way) for number in range(plan.workers)]
        for machine in machines:
            machine.prepare(urls, server.url)
        for port in ports:
            port.calls.clear()
        killed_at, processor, began = 0.0, processor_of_children(), anyio.current_time()
        try:
            with anyio.fail_after(plan.longest):
                for machine in machines:
                    await machine.start()
                if kills:
                    await entered(rows // 4)
                    send(machines[0].processes(Target.ALL, 0), signal.SIGKILL)
                    killed_at = time.time()
                await entered(rows)
                while sum(run.entered_rows for run in await anyio.to_thread.run_sync(runs_seen, server.url)) < rows:  # noqa: ASYNC110 - what the journal has
                    await anyio.sleep(0.2)
            seconds = anyio.current_time() - began
            for machine in machines:
                send(machine.processes(Target.WORKER, 0), signal.SIGTERM)
                await machine.reap()
        finally:
            with anyio.CancelScope(shield=True):
                for machine in machines:
                    await machine.end()
        calls = [call for port in ports for call in port.calls]
        writes = [call for call in calls if call.is_write]
        turns = [
            after.early
            for port in ports
            for before, after in pairwise(call for call in port.calls if call.is_write)
            if before.worker != after.worker
        ]
        return Worked(
            rows=rows,
            seconds=seconds,
            processor=processor_of_children() - processor,
            writes=len(writes),
            reads=len(calls) - len(writes),
            twice=sum(len(port.effects) - len({one.subject for one in port.effects}) for port in ports),
            takeovers=[first - killed_at for first in turns] if kills else (),
        )


# ---- claims and outcomes a second of a journal in SQLite and of one in PostgreSQL, by the size of their groups -----
# Two tasks write at the same time, as the pipeline's do: one claims the items group by group, the other records the
# outcomes of the groups that were claimed. Nothing is sent; the answers are numbers, as those of the billing are.

_STORES: Final = ("SQLite", "PostgreSQL")
_AHEAD: Final = 2
"""Claimed groups that wait for their outcomes, at most."""


def journals(size: Size) -> Part:
    lines = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        postgres_server.running_postgres(durable=True) as server,
    ):
        for group in (1, 4, 16, 64, 256):
            # With small groups there are not so many items, but enough groups.
            items = min((16_000, 4_000, 40)[size], group * (500, 200, 10)[size])
            works = {store: partial(_stored, Path(name), server, store, items, group) for store in _STORES}
            sqlite, postgres = ([*zip(*rounds, strict=True)] for rounds in in_turn((5, 3, 1)[size], works).values())
            rates = [[1 / seconds for seconds in store[0]] for store in (sqlite, postgres)]
            micros = [[one * 1e6 for one in column] for column in (sqlite[1], postgres[1], postgres[2])]
            lines.append([str(group), *map(shown, rates), ratio(rates[1], rates[0]), *map(shown, micros)])
    sqlite_name, postgres_name = _STORES
    header = ("items in a group", *(f"{store}, items/s" for store in _STORES), f"{postgres_name} to {sqlite_name}")
    header = (*header, f"processor, µs an item: {sqlite_name}", f"{postgres_name}, this process")
    return [table((*header, f"{postgres_name}, the server"), lines)]


def _stored(
    folder: Path, server: postgres_server.PostgresServer, store: str, items: int, group: int
) -> tuple[float, float, float]:
    """What an item took: seconds, processor seconds of this process, and of the server."""
    new = f"journal_{time.monotonic_ns()}"
    if store == _STORES[0]:
        return on_uvloop(_written, folder / new, float, items, group)
    place = journal_in_postgres(f"{server.url}?schema={new}", folder)
    return on_uvloop(_written, place, partial(_processor_of_family, server.process), items, group)


async def _written(
    place: Path | JournalAddress, of_server: Callable[[], float], items: int, size: int
) -> tuple[float, float, float]:

    async def claim(claimed: MemoryObjectSendStream[Sequence[Item]]) -> None:
        async with claimed:
            for group in groups:
                await journal.claim(ours, [item.item_id for item in group])
                await claimed.send(group)

    async def record(landed: MemoryObjectReceiveStream[Sequence[Item]]) -> None:
        async with landed:
            async for group in landed:
                changes = [Change(item.item_id, State.ACCEPTED, str(item.number)) for item in group]
                await journal.record(ours, changes)

    async with open_journal(place) as journal, BillingClient(ClientSettings(NOWHERE)) as client:
        run, _ = await save_list(Entering(client, Ids(range(1, items + 1))), journal)
        await journal.approve(run)
        async with journal.taken_up(await journal.run(run.name)) as ours:
            groups = [page async for page in journal.each_page(ours, {State.PENDING}, size=size)]
            began, own, server = time.perf_counter(), time.process_time(), of_server()
            claimed, landed = anyio.create_memory_object_stream[Sequence[Item]](_AHEAD)
            async with anyio.create_task_group() as both:
                both.start_soon(claim, claimed)
                both.start_soon(record, landed)
            seconds, own, server = time.perf_counter() - began, time.process_time() - own, of_server() - server
            accepted = (await journal.totals(ours)).count(State.ACCEPTED)
    if accepted != items:
        raise RuntimeError(f"only {accepted} of {items} items were accepted: the figure would mean nothing")
    return seconds / items, own / items, server / items


def _processor_of_family(process: int) -> float:
    """Processor seconds of a server and its children, those that have ended included."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    ticks = 0
    for one in (process, *children):
        try:
            fields = Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        # utime, stime, cutime, cstime (proc(5)); the third field is the first after the name.
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
