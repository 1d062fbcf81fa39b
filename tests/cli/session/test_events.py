"""What happens of a run is told to readers beside it, and none of them changes how it comes out."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from anyio.abc import SocketStream

from checkpoints.journal import Journal, open_journal
from checkpoints.records import NewRun, Run, Totals
from checkpoints.states import State
from cli.session import door
from cli.session.door import DoorLimits, serve_clients
from cli.session.events import (
    LAST_WORDS,
    Events,
    Held,
    HoldEnded,
    LiveRun,
    NeedsPerson,
    RunBegan,
    RunEnded,
    RunEvent,
    RunReader,
    RunReaders,
)
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import Interrupts
from engine.pacing.holds import PAUSED, Stop, StopKind
from engine.pipeline.progress import Progress
from lab.crash.loops import loops
from tests.virtual_clock import run as on_virtual_clock
from texts.said import ValueRefused


class Listener:
    """Keeps what it hears, and ends when it has heard the end."""

    def __init__(self) -> None:
        self.heard: list[RunEvent] = []

    async def __call__(self, _: LiveRun, events: Events) -> None:
        async for event in events:
            self.heard.append(event)
            if isinstance(event, RunEnded):
                return


async def hang(*_: object) -> None:
    await anyio.sleep_forever()


async def fail(*_: object) -> None:
    raise ZeroDivisionError


async def fail_to_hear(_: LiveRun, events: Events) -> None:
    raise ZeroDivisionError(await events.receive())


@dataclass
class Told:
    """The readers of a run, and what the run tells them by."""

    run: Run
    progress: Progress = field(default_factory=Progress)
    stop: Stop = field(default_factory=Stop)

    @asynccontextmanager
    async def to(self, journal: Journal, *beside: RunReader) -> AsyncIterator[RunReaders]:
        interrupts = Interrupts(self.stop, Screen(Voice()))
        readers = RunReaders(self.run, journal, self.progress, interrupts)
        async with readers.following(beside):
            yield readers

    def closing(self, code: Exit = Exit.DONE, totals: Totals | None = None) -> Closing:
        return Closing(code, self.run.name, self.run.job, totals or Totals())


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path / "told.journal") as opened:
        yield opened


@pytest.fixture
async def told(journal: Journal) -> Told:
    return Told(await journal.create_run(NewRun("balances", {}, "http://billing", "rows.csv")))


def kinds(heard: Sequence[RunEvent]) -> list[type]:
    return [type(event) for event in heard]


async def test_a_run_is_told_in_the_order_in_which_it_happens(told: Told, journal: Journal) -> None:
    listener = Listener()
    async with told.to(journal, listener) as readers:
        await readers.begin(told.run, taken_up=True)
        holds = told.progress.holds
        holds.put(PAUSED, "paused by olga")
        holds.put(PAUSED, "paused by olga and ivan")
        holds.put("rate", "the rate of the night")
        holds.lift(PAUSED)
        readers.close(told.closing(), told.run, told.stop)
        holds.lift("rate")
    began, *holds_told, ended = listener.heard
    assert isinstance(began, RunBegan)
    assert began.taken_up
    assert [(type(one), one.who) for one in holds_told if isinstance(one, Held | HoldEnded)] == [
        (Held, PAUSED),
        (Held, "rate"),
        (HoldEnded, PAUSED),
    ]
    assert isinstance(ended, RunEnded)
    assert ended.closing.exit is Exit.DONE


@pytest.mark.parametrize(
    ("code", "counts", "stopped", "needs"),
    [
        (Exit.UNDECIDED, {State.MANUAL: 2, State.ACCEPTED: 5}, False, (2, "reconcile")),
        (Exit.STOPPED, {State.PENDING: 80, State.REJECTED: 20}, True, (80, "resume")),
        # Reached with the last row, a limit needs nobody, and says so by nothing.
        (Exit.REJECTED, {}, True, None),
    ],
)
async def test_a_limit_that_was_reached_and_rows_to_decide_on_need_a_person(
    code: Exit, counts: dict[State, int], stopped: bool, needs: tuple[int, str] | None, told: Told, journal: Journal
) -> None:
    listener, limit = Listener(), "20 of 100 rows were rejected"
    if stopped:
        told.stop.request(StopKind.BUDGET, limit)
    async with told.to(journal, listener) as readers:
        readers.close(told.closing(code, Totals(counts=counts)), told.run, told.stop)
    assert kinds(listener.heard) == [*([NeedsPerson] if needs else []), RunEnded]
    if needs and isinstance(need := listener.heard[0], NeedsPerson):
        rows, command = needs
        assert need.rows == rows
        assert not stopped or need.why == limit
        assert any(f"{command} {told.run.name}" in one for one in need.commands)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandRefused("the answer was no"), Exit.REFUSED),
        (ZeroDivisionError("oh"), Exit.FAULT),
        # Nobody has told its place: nothing says that nothing was sent.
        (ValueRefused("no number"), Exit.FAULT),
    ],
)
async def test_an_error_is_told_with_its_exit_code(
    told: Told, journal: Journal, error: Exception, code: Exit
) -> None:
    listener = Listener()
    with pytest.raises(type(error)):
        async with told.to(journal, listener) as readers, readers.working(told.run):
            raise error
    (ended,) = listener.heard
    assert isinstance(ended, RunEnded)
    assert (ended.closing.exit, ended.closing.error) == (code, str(error))


async def test_of_a_run_that_another_process_holds_nothing_is_told(told: Told, journal: Journal) -> None:
    listener = Listener()
    with anyio.fail_after(loops(5)), pytest.raises(CommandRefused):
        async with told.to(journal, hang, listener):
            raise CommandRefused("another process works on it")
    assert listener.heard == []


async def test_the_fault_of_one_reader_is_no_matter_for_the_run_or_the_others(told: Told, journal: Journal) -> None:
    listener = Listener()
    async with told.to(journal, fail, fail_to_hear, listener) as readers:
        await readers.begin(told.run, taken_up=False)
        readers.close(told.closing(), told.run, told.stop)
    assert kinds(listener.heard) == [RunBegan, RunEnded]


def test_a_reader_that_hangs_is_given_its_time_and_no_more(told: Told, journal: Journal) -> None:
    async def ended_after() -> float:
        began = anyio.current_time()
        async with Told(told.run).to(journal, hang, hang) as readers:
            readers.close(told.closing(), told.run, told.stop)
        return anyio.current_time() - began

    assert on_virtual_clock(ended_after()) == pytest.approx(LAST_WORDS)


# ---- Whatever a client of a door does, it delays nobody, and the next one is answered


PATIENCE = loops(30)
QUICK = DoorLimits(clients=3, idle=0.2, unread=0.2)
MUCH = "x" * 1_000_000
GET = b"GET / HTTP/1.1\r\nHost: door\r\n\r\n"


@asynccontextmanager
async def door_served(limits: DoorLimits = QUICK) -> AsyncIterator[int]:
    """The port of an application that says much; what its server raises, the test raises."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=MUCH if request.path == "/" else "well")

    application = web.Application(client_max_size=1000)
    application.router.add_route("*", "/{any:.*}", answer)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve_clients, listening, application, limits)
            yield listening.getsockname()[1]
            tasks.cancel_scope.cancel()


async def is_well(port: int) -> None:
    """Another client is answered, as soon as there is room for it."""
    with anyio.fail_after(PATIENCE):
        async with aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientError):
                    async with http.get(f"http://127.0.0.1:{port}/well") as answer:
                        assert await answer.text() == "well"
                        return


async def is_shown_out(client: SocketStream) -> None:
    """Wait until the other side has closed."""
    with anyio.fail_after(PATIENCE), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            await client.receive()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        GET[:10],
        GET[:-2],
        GET[:-2] + b"X: " + b"x" * 1_000_000,
        b"x" * 1_000_000,
        b"\r\n" * 5000,
        b"\xff\x00\n" * 1000,
        b"\x16\x03\x01" * 99,
    ],
    ids=range(8),
)
async def test_one_who_sends_nothing_that_can_be_answered_is_shown_out_in_the_end(sent: bytes) -> None:
    async with door_served() as port, await anyio.connect_tcp("127.0.0.1", port) as client:
        with suppress(anyio.BrokenResourceError):
            await client.send(sent or GET)
        await is_well(port)
        await is_shown_out(client)


async def test_those_who_never_read_are_dropped_and_delay_nobody() -> None:
    async with door_served() as port, AsyncExitStack() as deaf:
        for _ in range(QUICK.clients):
            client = await deaf.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))
            await client.send(GET * 20)
        await is_well(port)


async def test_one_too_many_is_not_let_in_until_another_goes() -> None:
    async with door_served(DoorLimits(clients=1)) as port:
        async with await anyio.connect_tcp("127.0.0.1", port) as inside:
            await inside.send(b"GET /well HTTP/1.1\r\nHost: door\r\n\r\n")
            await inside.receive()
            async with await anyio.connect_tcp("127.0.0.1", port) as one_more:
                await is_shown_out(one_more)
        await is_well(port)


async def test_one_who_cannot_be_accepted_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, left = asyncio.get_running_loop(), 1
    accept = loop.sock_accept

    async def without_files(listener: socket.socket) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise OSError(24, "Too many open files")
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", without_files)
    monkeypatch.setattr(door, "_BREATH", 0.01)
    async with door_served() as port:
        await is_well(port)
    assert left == 0
