"""A fleet in the simulation: its schedules hold, what is broken is found, and its server is as PostgreSQL is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from checkpoints.errors import JournalError, RunHeld
from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import LEASE, journal_in_postgres
from checkpoints.lease import BillingPace
from checkpoints.mailbox import Handed, TakenRequest
from checkpoints.records import NewRunner, Run
from checkpoints.stores import store_of
from lab.simulation import loop as simulated
from lab.simulation.campaign import FLEET, WIRED, as_table, drawn, shrunk
from lab.simulation.fleet import draw_fleet
from lab.simulation.journal import Server, driver
from lab.simulation.judge import judge
from lab.simulation.loop import Killed, Process, SeededLoop
from lab.simulation.story import play
from tests.checkpoints.samples import all_items, frozen_run, new_item
from tests.checkpoints.shells import shell
from tests.checkpoints.test_lease import WINDOW
from tests.postgres_server import PostgresServer

SENDS: Final = NewRunner("run", call_seconds=120)
STEPS: Final = 90
"""More than a process takes that does nothing with its run."""
SEEDS: Final = 20
"""Orders in which two processes come to one lock."""
PART: Final = 10
FIXED: Final = 20
"""Schedules that never change."""
MANY: Final = 420
"""As many as take a minute, the fixed ones among them."""


def wrong_in(first: int, number: int) -> list[object]:
    seeds = range(FLEET + 1 + first * WIRED, FLEET + 1 + (first + number) * WIRED, WIRED)
    assert all(drawn(seed) == draw_fleet(seed) for seed in seeds)
    played = [(draw_fleet(seed), *play(draw_fleet(seed), judge)) for seed in seeds]
    return [
        (one.seed, problems, as_table(shrunk(one, world, problems)[0])) for one, world, problems in played if problems
    ]


@pytest.mark.loops(60)
@pytest.mark.parametrize("first", range(0, FIXED, PART))
def test_of_some_fixed_fleets_none_is_wrong(first: int) -> None:
    assert wrong_in(first, PART) == []


@pytest.mark.prove
@pytest.mark.loops(600)
@pytest.mark.parametrize("first", range(FIXED, MANY, MANY // 4))
def test_of_many_fleets_none_is_wrong(first: int) -> None:
    assert wrong_in(first, min(MANY // 4, MANY - first)) == []


# ---- who is gone -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def opened(server: Server, machine: str) -> AsyncIterator[Journal]:
    place = server.address(machine)
    async with store_of(place).opened() as store:
        yield Journal(store)


async def begins(server: Server) -> Run:
    async with opened(server, "m1") as journal:
        return await frozen_run(journal, new_item("a"))


async def works(server: Server, machine: str, run: Run, seconds: float = 0.1) -> int:
    async with opened(server, machine) as journal, journal.taken_up(run, SENDS) as ours:
        await asyncio.sleep(seconds)
        await journal.confirm(ours)
        return ours.epoch


@pytest.mark.parametrize("has_power", [True, False], ids=["killed", "without power"])
def test_a_process_that_is_gone_at_any_step_keeps_no_other_machine_from_its_run(has_power: bool) -> None:
    """Before and after the lock, the note of its work, the note of its end and the unlocking."""

    async def story(loop: SeededLoop, fuse: int) -> tuple[bool, bool]:
        server, first = Server(loop, LEASE, lambda _: None), Process("p2", 2, "m1")
        first.fuse, first.lost_power = fuse, not has_power
        with driver(server):
            run = await loop.start(Process("p1", 1, "m1"), begins(server))
            with suppress(Killed):
                await loop.start(first, works(server, "m1", run))
            held = bool(server.owners)
            await asyncio.sleep(LEASE + 1)
            assert await loop.start(Process("p3", 3, "m2"), works(server, "m2", run))
        return first.was_killed, held

    seen = [simulated.run(fuse, partial(story, fuse=fuse))[0] for fuse in range(1, STEPS)]
    # It has died at each step, also with the lock.
    assert seen[0][0]
    assert not seen[-1][0]
    assert any(held for _, held in seen) is not has_power


def test_of_two_machines_that_resume_the_run_of_a_frozen_one_at_once_one_goes_on() -> None:
    async def story(loop: SeededLoop) -> set[type]:
        server, frozen = Server(loop, LEASE, lambda _: None), Process("p2", 2, "m1")
        others = [Process(f"p{number}", number, f"m{number}") for number in (3, 4)]
        with driver(server):
            run = await loop.start(Process("p1", 1, "m1"), begins(server))
            loop.start(frozen, works(server, "m1", run, LEASE))
            await asyncio.sleep(1)
            loop.freeze(frozen, 10 * LEASE)
            await asyncio.sleep(2 * LEASE)
            ends = [loop.start(one, works(server, one.machine, run, LEASE)) for one in others]
            return {type(one) for one in await asyncio.gather(*ends, return_exceptions=True)}

    assert [simulated.run(seed, story)[0] for seed in range(SEEDS)] == [{int, RunHeld}] * SEEDS


# ---- the server in memory, and PostgreSQL -----------------------------------------------------------------------


async def refused(work: Awaitable[object]) -> str:
    """The kind of error with which something is refused, "" where it is not."""
    try:
        await work
    except JournalError as error:
        return type(error).__name__
    return ""


async def what_happens(journal: Journal, other: Journal, sql: Callable[[str], object]) -> list[object]:
    """The life of a lease on two connections to one journal: what each says."""

    async def carry_out(request: TakenRequest) -> str:
        return f"{request.who} has said {request.text}"

    async def asked(run: Run, patience: float) -> list[Handed]:
        return [await other.mailbox.ask(run, "somebody", text, patience) for text in ("this", "that")]

    async def enter(into: Journal, run: Run) -> Run:
        async with into.taken_up(run, SENDS) as taken:
            return taken

    run, beside = await frozen_run(journal, new_item("a")), await frozen_run(journal, new_item("b"))
    (item,) = await all_items(journal, run)
    async with journal.taken_up(run, SENDS) as ours:
        seen: list[object] = [ours.epoch, await refused(enter(other, run)), await other.holder(run) is not None]
        journal.lease_of(ours).pace = lambda: BillingPace(WINDOW, since_call=30.0)
        # Who sends for another run of the billing, and is heard of, keeps other machines out.
        sql("update runners set machine = 'another one'")
        seen.append(await refused(other.take_up(beside, SENDS)))
        sql("update runners set renewed_at = renewed_at - {minute}")
        seen += [await other.holder(run), (await enter(other, run)).epoch]
        seen += [await refused(journal.claim(ours, [item.item_id])), await asked(ours, 0.2)]
    theirs = await other.take_up(run, SENDS)
    lease = other.lease_of(theirs)
    seen += [theirs.epoch, round(lease.until_free), round(lease.until_calls_end), lease.carried is None]
    await other.history.note_free(theirs, "here")
    await other.history.note_calls_ended(theirs)
    serving = asyncio.create_task(other.mailbox.serve(theirs, carry_out))
    seen.append(await asked(theirs, 10))
    serving.cancel()
    # Its lock was ended, and its connection with it, which is not opened again.
    seen.append(await refused(enter(journal, run)))
    async with other.taken_up(run, SENDS) as ours:
        lease = other.lease_of(ours)
        seen += [ours.epoch, round(lease.until_free), round(lease.until_calls_end)]
        seen.append(await refused(other.confirm(theirs)))
        await other.claim(ours, [item.item_id])
        lease.pace = lambda: BillingPace(WINDOW, since_call=30.0)
    carried = other.lease_of(await other.take_up(beside, SENDS)).carried
    assert carried is not None
    assert carried.since_call is not None
    return [*seen, carried.window, round(carried.since_call, -1)]


def test_the_server_in_memory_is_as_postgresql_is(postgres_server: PostgresServer, tmp_path: Path) -> None:
    address = journal_in_postgres(postgres_server.new_journal(), tmp_path)

    async def real() -> list[object]:
        async with open_journal(address) as journal, open_journal(address) as other:
            with shell(address) as sql:
                return await what_happens(
                    journal, other, lambda text: sql.execute(text.format(minute="interval '1 minute'"))
                )

    async def in_memory(server: Server) -> list[object]:
        place = server.address("m1")
        async with store_of(place).opened() as one, store_of(place).opened() as two:
            return await what_happens(
                Journal(one), Journal(two), lambda text: server.db.execute(text.format(minute="60"))
            )

    async def story(loop: SeededLoop) -> list[object]:
        server = Server(loop, LEASE, lambda _: None)
        with driver(server):
            return await loop.start(Process("p1", 1, "m1"), in_memory(server))

    expected = asyncio.run(real())
    for seed in range(5):
        assert simulated.run(seed, story)[0] == expected
