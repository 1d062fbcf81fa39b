"""The lease of a billing, by real processes with a journal in PostgreSQL: frozen, cut off, and taken over."""

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from lab.crash.loops import loops
from tests.cli.conftest import Place
from tests.postgres_server import PostgresServer

LEASE: Final = round(loops(4))
"""Seconds: a process that is only slow does not lose it."""
TIMEOUT: Final = ("--timeout", "2")
"""A call ends within twice that."""
ROWS: Final = 60


@pytest.fixture
def shared(place: Place, postgres_server: PostgresServer) -> Place:
    """A billing whose journal is in PostgreSQL, with a short lease."""
    place.billing.latency = 0.05
    return replace(place, cli=place.cli.on_machine("one", f"{postgres_server.new_journal()}&lease={LEASE}"))


async def lapsed(place: Place) -> None:
    """Wait until the lease of the run should have been renewed long ago."""
    with anyio.fail_after(loops(30)):
        while place.asked("select is_lapsed from last_runners") != [(True,)]:  # noqa: ASYNC110 - the server's clock
            await anyio.sleep(0.05)


async def test_a_frozen_process_sends_nothing_more_and_another_takes_over(shared: Place) -> None:
    balances = shared.balances(ROWS)
    other = shared.cli.on_machine("other")
    async with shared.cli.started("run", "balances", balances.path, "--yes", "--rate", "15", *TIMEOUT) as load:
        await shared.traffic.reaches(20)
        load.signal(signal.SIGSTOP)
        await lapsed(shared)
        arrived, began = shared.traffic.arrived, time.monotonic()
        async with other.started("resume", "--settle", "0.3", "--json") as resuming:
            await shared.traffic.reaches(arrived + 1)
            assert time.monotonic() - began > LEASE
            load.signal(signal.SIGCONT)
            ended = await load.ended(None)
            resumed = await resuming.ended(None)
    assert (ended.exit, resumed.exit) == (3, 0), (ended.err, resumed.err)
    assert resumed.closing["states"] == {"accepted": ROWS}
    found = await shared.found()
    assert (found.rows, found.sum, found.most_for_one) == (ROWS, balances.sum, 1)


async def test_a_process_that_was_frozen_for_longer_than_its_lease_stops_by_itself(shared: Place) -> None:
    balances = shared.balances(ROWS)
    async with shared.cli.started("run", "balances", balances.path, "--yes", "--rate", "15", *TIMEOUT) as load:
        await shared.traffic.reaches(20)
        load.signal(signal.SIGSTOP)
        await lapsed(shared)
        arrived = shared.traffic.arrived
        load.signal(signal.SIGCONT)
        ended = await load.ended(None)
        assert (ended.exit, shared.traffic.arrived) == (3, arrived), ended.err
    assert f"the lease of the billing ran out after {LEASE} s without a renewal" in ended.words
    assert "carbon-migrate resume" in ended.words
    resumed = await shared.cli("resume", "--settle", "0.3", "--json")
    assert resumed.closing["states"] == {"accepted": ROWS}
    assert (await shared.found()).most_for_one == 1


@pytest.mark.parametrize("how", ["cut", "black hole"])
async def test_without_the_journal_nothing_new_leaves_and_the_next_process_goes_on(shared: Place, how: str) -> None:
    balances = shared.balances(ROWS)
    journal = shared.cli.environment["CARBON_MIGRATE_JOURNAL"]
    server = urlsplit(journal)
    async with proxy(server.port or 0) as way:
        behind = shared.cli.on_machine("behind", journal.replace(f":{server.port}/", f":{way.port}/"))
        async with behind.started("run", "balances", balances.path, "--yes", "--rate", "15", *TIMEOUT) as load:
            await shared.traffic.reaches(20)
            await (way.cut() if how == "cut" else way.swallow())
            # A lease later nothing leaves, whatever was claimed.
            await anyio.sleep(LEASE)
            arrived = shared.traffic.arrived
            ended = await load.ended(None)
            assert (ended.exit, shared.traffic.arrived) == (3, arrived), ended.err
        resumed = await shared.cli("resume", "--settle", "0.3", "--json", may_end_with=(0,))
    assert resumed.closing["states"] == {"accepted": ROWS}
    found = await shared.found()
    assert (found.rows, found.sum, found.most_for_one) == (ROWS, balances.sum, 1)


async def test_two_runs_of_one_billing_go_on_on_one_machine_and_not_on_two(shared: Place) -> None:
    balances = shared.balances(ROWS)
    head, *lines = balances.path.read_text().splitlines()
    files = [shared.cli.folder / f"{place}.csv" for place in range(3)]
    for place, file in enumerate(files):
        file.write_text("\n".join([head, *lines[place * 20 : place * 20 + 20]]) + "\n")
    one, two, three = files
    async with shared.cli.started(
        "run", "balances", one, "--yes", "--rate", "0.5", "--in-flight", "1", *TIMEOUT
    ) as load:
        await shared.traffic.reaches(1)
        ((name,),) = shared.asked("select name from runs")
        beside = await shared.cli("run", "balances", two, "--yes", "--json")
        assert beside.closing["states"] == {"accepted": 20}
        # As another machine would have noted it.
        shared.asked("update runners set machine = 'another one', host = 'runner-7' where ended_at is null")
        refused = await shared.cli("run", "balances", three, "--yes", may_end_with=(2,))
        assert f"another machine works on this billing, with run {name}: process" in refused.words
        assert "on runner-7, since" in refused.words
        journal = shared.cli.environment["CARBON_MIGRATE_JOURNAL"]
        status = f"carbon-migrate status {name} --journal '{journal}'"
        assert f"{status} shows where it stands. With --detach a worker takes this in its turn" in refused.words
        # Nobody wants that run: it is given up, with all that it has read, and nothing is to be gone on with.
        assert shared.asked("select count(*) from runs where discarded_at is null") == [(2,)]
        begun = shared.asked("select count(*) from items join runs using (run_id) where discarded_at is not null")
        assert begun == [(0,)]
        load.signal(signal.SIGKILL)
        await load.ended(None)
    began = time.monotonic()
    resumed = await shared.cli("resume", str(name), "--settle", "0.1", "--rate", "none", "--json")
    # For all that this machine knows, the other one is only cut off: its lease and its calls are waited for.
    assert time.monotonic() - began > LEASE
    assert resumed.closing["states"] == {"accepted": 20}
    assert (await shared.found()).most_for_one == 1


class Way:
    """A way to the server that can be cut, or swallow whatever comes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._ends: list[SocketStream] = []
        self._open = anyio.Event()
        self._open.set()

    async def cut(self) -> None:
        """Close all connections, and take no new ones that lead anywhere."""
        await self.swallow()
        for end in self._ends:
            await end.aclose()

    async def swallow(self) -> None:
        """Pass nothing on any more, and keep every connection."""
        self._open = anyio.Event()

    async def join(self, client: SocketStream, server: SocketStream) -> None:
        self._ends += [client, server]
        async with anyio.create_task_group() as group:
            group.start_soon(self._pass, client, server)
            group.start_soon(self._pass, server, client)

    async def _pass(self, source: SocketStream, target: SocketStream) -> None:
        with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            async for part in source:
                await self._open.wait()
                await target.send(part)
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await target.send_eof()


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Way]:
    """A proxy before the server's port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    way = Way(int(listener.listeners[0].extra(SocketAttribute.local_port)))  # noqa: S610 - of a socket

    async def serve(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", port) as server:
            await way.join(client, server)

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield way
        group.cancel_scope.cancel()
