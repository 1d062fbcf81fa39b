"""Claims and outcomes a second of a journal in SQLite, and of one in PostgreSQL, by the size of their groups.

Two tasks write at the same time, as the pipeline's do: one claims the items group by group, the other records the
outcomes of the groups that were claimed. Nothing is sent; the answers are numbers, as those of the billing are.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from benchmarks.entering import NOWHERE, Entering, Ids, on_uvloop, save_list
from benchmarks.figures import Part, Size, Spread, table
from benchmarks.machine import processor_of_family
from billing.api.client import BillingClient, ClientSettings
from checkpoints.address import JournalAddress, journal_in_postgres
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, Item, Run
from checkpoints.states import State
from lab.fleet import postgres_server

GROUPS: Final = (1, 4, 16, 64, 256)
ITEMS: Final = Size(16_000, quick=4_000, smoke=40)
"""The most items of a measurement; with small groups there are as many groups as `MOST_GROUPS`."""
MOST_GROUPS: Final = Size(500, quick=200, smoke=10)
ROUNDS: Final = Size(5, quick=3, smoke=1)
SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"
HEADER: Final = (
    "items in a group",
    f"{SQLITE}, items/s",
    f"{POSTGRES}, items/s",
    f"{POSTGRES} to {SQLITE}",
    f"processor, µs an item: {SQLITE}",
    f"{POSTGRES}, this process",
    f"{POSTGRES}, the server",
)

_AHEAD: Final = 2
"""Claimed groups that wait for their outcomes, at most."""


@dataclass(frozen=True, slots=True)
class Took:
    """What an item took: seconds, processor seconds of this process, and of the server."""

    seconds: float
    own: float
    server: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where journals are made, and how the processor's time of their server is read."""

    new: Callable[[str], Path | JournalAddress]
    server: Callable[[], float] = float


def measure(size: str) -> Part:
    """The table: both stores in turn for each size of groups, with ratios for each round."""
    found: dict[tuple[int, str], list[Took]] = {}
    with places() as stores:
        for number in range(int(ROUNDS.of(size))):
            for group in GROUPS:
                for name in stores if number % 2 == 0 else reversed(tuple(stores)):
                    items = int(min(ITEMS.of(size), group * MOST_GROUPS.of(size)))
                    took = on_uvloop(_written, stores[name], f"journal_{number}_{group}", items, group)
                    found.setdefault((group, name), []).append(took)
    return Part(table(HEADER, [_line(group, found[group, SQLITE], found[group, POSTGRES]) for group in GROUPS]))


@contextmanager
def places() -> Iterator[Mapping[str, Place]]:
    """The places of both stores, on the same disk."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, postgres_server.running(durable=True) as server:
        folder = Path(name)
        yield {
            SQLITE: Place(lambda journal: folder / journal),
            POSTGRES: Place(
                lambda journal: journal_in_postgres(f"{server.url}?schema={journal}", folder),
                partial(processor_of_family, server.process),
            ),
        }


async def _written(place: Place, name: str, items: int, group: int) -> Took:
    """Claim and record all items of a new journal."""
    async with open_journal(place.new(name)) as journal, BillingClient(ClientSettings(NOWHERE)) as client:
        run, _ = await save_list(Entering(client, Ids(range(1, items + 1))), journal)
        await journal.approve(run)
        async with journal.taken_up(await journal.run(run.name)) as ours:
            groups = [page async for page in journal.each_page(ours, {State.PENDING}, size=group)]
            began, own, server = time.perf_counter(), time.process_time(), place.server()
            await _write(journal, ours, groups)
            seconds, own, server = time.perf_counter() - began, time.process_time() - own, place.server() - server
            accepted = (await journal.totals(ours)).count(State.ACCEPTED)
    if accepted != items:
        raise RuntimeError(f"only {accepted} of {items} items were accepted: the figure would mean nothing")
    return Took(seconds / items, own / items, server / items)


async def _write(journal: Journal, run: Run, groups: Sequence[Sequence[Item]]) -> None:
    claimed, landed = anyio.create_memory_object_stream[Sequence[Item]](_AHEAD)
    async with anyio.create_task_group() as both:
        both.start_soon(_claim, journal, run, groups, claimed)
        both.start_soon(_record, journal, run, landed)


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
            changes = [Change(item.item_id, State.ACCEPTED, str(item.number)) for item in group]
            await journal.record(run, changes)


def _line(group: int, sqlite: Sequence[Took], postgres: Sequence[Took]) -> list[str]:
    def rate(of: Sequence[Took]) -> str:
        return Spread.of([1 / one.seconds for one in of]).shown()

    def micros(values: Sequence[float]) -> str:
        return Spread.of([one * 1e6 for one in values]).shown()

    return [
        str(group),
        rate(sqlite),
        rate(postgres),
        Spread.of([one.seconds / other.seconds for one, other in zip(sqlite, postgres, strict=True)]).shown(".2f"),
        micros([one.own for one in sqlite]),
        micros([one.own for one in postgres]),
        micros([one.server for one in postgres]),
    ]
