"""Claims and outcomes a second of a journal in SQLite, and of one in PostgreSQL, by the size of their groups.

Two tasks write at the same time, as the pipeline's do: one claims the items group by group, the other records the
outcomes of the groups that were claimed. Nothing is sent; the answers are numbers, as those of the billing are.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from benchmarks.page import Part, Size, ratio, shown
from benchmarks.rig import in_turn
from benchmarks.senders import NOWHERE, Entering, Ids, on_uvloop, save_list
from billing.api.client import BillingClient, ClientSettings
from checkpoints.address import JournalAddress, journal_in_postgres
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from lab.crash import postgres_server
from tools.markdown import table

_GROUPS: Final = (1, 4, 16, 64, 256)
_ITEMS: Final = (16_000, 4_000, 40)
"""The most items of a measurement; with small groups there are as many groups as `_MOST_GROUPS`."""
_MOST_GROUPS: Final = (500, 200, 10)
_STORES: Final = ("SQLite", "PostgreSQL")
_AHEAD: Final = 2
"""Claimed groups that wait for their outcomes, at most."""

Took = tuple[float, float, float]
"""What an item took: seconds, processor seconds of this process, and of the server."""


def journals(size: Size) -> Part:
    """The table: both stores in turn for each size of groups, with ratios for each round."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, postgres_server.running(durable=True) as server:
        for group in _GROUPS:
            items = min(_ITEMS[size], group * _MOST_GROUPS[size])
            works = {store: partial(_round, Path(name), server, store, items, group) for store in _STORES}
            sqlite, postgres = ([*zip(*rounds, strict=True)] for rounds in in_turn((5, 3, 1)[size], works).values())
            rates = [[1 / seconds for seconds in store[0]] for store in (sqlite, postgres)]
            micros = [[one * 1e6 for one in column] for column in (sqlite[1], postgres[1], postgres[2])]
            lines.append([str(group), *map(shown, rates), ratio(rates[1], rates[0]), *map(shown, micros)])
    sqlite_name, postgres_name = _STORES
    header = ("items in a group", *(f"{store}, items/s" for store in _STORES), f"{postgres_name} to {sqlite_name}")
    header = (*header, f"processor, µs an item: {sqlite_name}", f"{postgres_name}, this process")
    return [table((*header, f"{postgres_name}, the server"), lines)]


def _round(folder: Path, server: postgres_server.PostgresServer, store: str, items: int, group: int) -> Took:
    new = f"journal_{time.monotonic_ns()}"
    if store == _STORES[0]:
        return on_uvloop(_written, folder / new, float, items, group)
    place = journal_in_postgres(f"{server.url}?schema={new}", folder)
    return on_uvloop(_written, place, partial(_processor_of_family, server.process), items, group)


async def _written(place: Path | JournalAddress, of_server: Callable[[], float], items: int, group: int) -> Took:
    """Claim and record all items of a new journal."""
    async with open_journal(place) as journal, BillingClient(ClientSettings(NOWHERE)) as client:
        run, _ = await save_list(Entering(client, Ids(range(1, items + 1))), journal)
        await journal.approve(run)
        async with journal.taken_up(await journal.run(run.name)) as ours:
            groups = [page async for page in journal.each_page(ours, {State.PENDING}, size=group)]
            began, own, server = time.perf_counter(), time.process_time(), of_server()
            claimed, landed = anyio.create_memory_object_stream[Sequence[Item]](_AHEAD)
            async with anyio.create_task_group() as both:
                both.start_soon(_claim, journal, ours, groups, claimed)
                both.start_soon(_record, journal, ours, landed)
            seconds, own, server = time.perf_counter() - began, time.process_time() - own, of_server() - server
            accepted = (await journal.totals(ours)).count(State.ACCEPTED)
    if accepted != items:
        raise RuntimeError(f"only {accepted} of {items} items were accepted: the figure would mean nothing")
    return seconds / items, own / items, server / items


async def _claim(
    journal: Journal,
    run: Run,
    groups: Sequence[Sequence[Item]],
    claimed: MemoryObjectSendStream[Sequence[Item]],
) -> None:
    async with claimed:
        for group in groups:
            await journal.claim(run, [item.item_id for item in group])
            await claimed.send(group)


async def _record(journal: Journal, run: Run, landed: MemoryObjectReceiveStream[Sequence[Item]]) -> None:
    async with landed:
        async for group in landed:
            await journal.record(run, [Change(item.item_id, State.ACCEPTED, str(item.number)) for item in group])


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
