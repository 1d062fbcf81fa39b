"""Nothing is silent at a terminal: whatever a command waits for, it says so, and how long that takes."""

import asyncio
import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from lab.crash.loops import loop_now
from tests.cli.conftest import PATIENCE, Cli, Place, place_in
from tests.cli.forking import Command, command_server
from tests.connections import served_connections
from tests.firebird_server import FirebirdServer
from tests.postgres_server import PostgresServer

SILENCE: Final = 2.0
"""Seconds that a command may be silent, on a machine whose loop takes `LOOP`."""
LOOP: Final = 1.27
"""Seconds that 20 million `s += i * i` take there."""
SAMPLED: Final = 0.1
"""The share of a loop that is measured."""
HELD: Final = 5.0
"""Seconds that an answer is held."""
WIDTH: Final = 80
READERS: Final = anyio.CapacityLimiter(100)


class SlowProxy:
    """Stands before a server and holds some of its answers for a while, by their numbers."""

    def __init__(self, port: int, held: Collection[int]) -> None:
        self._port = port
        self._held = held
        self._answers = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)

        async def requests() -> None:
            while part := await reader.read(65536):
                to_server.write(part)
            to_server.close()

        async def answers() -> None:
            while part := await from_server.read(65536):
                place, self._answers = self._answers, self._answers + 1
                if place in self._held:
                    await asyncio.sleep(HELD)
                writer.write(part)
            writer.close()

        try:
            await asyncio.gather(requests(), answers(), return_exceptions=True)
        finally:
            to_server.close()


@dataclass(slots=True)
class Typed:
    """What is typed at a terminal, which answers of which server are held for it, and what was seen of it."""

    place: Place
    words: Sequence[str | Path]
    api: Collection[int] = ()
    firebird: Collection[int] = ()
    postgres: Collection[int] = ()
    exits: Collection[int] = (0,)
    shows: Sequence[str] = ()
    without: Collection[str] = ()
    """Settings that it does without."""

    began: float = 0.0
    moments: list[float] = field(default_factory=list)
    text: str = ""
    exit: int | None = None

    @property
    def name(self) -> str:
        return " ".join(map(str, self.words[:2]))

    @property
    def silence(self) -> float:
        return max(later - earlier for earlier, later in pairwise([self.began, *self.moments]))

    @property
    def lines(self) -> list[str]:
        """The waiting lines that were drawn; what is erased by the next one, as the answer of the command is not."""
        return re.findall(r"\r\x1b\[K([^\r\n\x1b]+)(?=\r\x1b\[K)", self.text)


def watch(terminal: int, typed: Typed) -> None:
    """Read what is shown at a terminal until its process has ended, and note when."""
    with os.fdopen(terminal, "rb", 0) as shown, suppress(OSError):
        while part := shown.read(65536):
            typed.moments.append(time.monotonic())
            typed.text += part.decode("utf-8", "replace")


@asynccontextmanager
async def slowly(typed: Typed) -> AsyncIterator[dict[str, str]]:
    """The environment of a command, whose ways to the servers lead through proxies that hold answers."""
    environment = {**typed.place.cli.environment, "COLUMNS": str(WIDTH), "TERM": "xterm"}
    for name in typed.without:
        del environment[name]
    ways: dict[str, tuple[Collection[int], Callable[[str], int]]] = {
        "CARBON_MIGRATE_API_URL": (typed.api, lambda url: urlsplit(url).port or 0),
        "CARBON_MIGRATE_DATABASE": (typed.firebird, lambda dsn: int(dsn.split("/")[1].split(":")[0])),
        "CARBON_MIGRATE_JOURNAL": (typed.postgres, lambda url: urlsplit(url).port or 0),
    }
    async with AsyncExitStack() as stack:
        for name, (held, port_of) in ways.items():
            if held:
                port = port_of(environment[name])
                slow = await stack.enter_async_context(served_connections(SlowProxy(port, held).serve))
                environment[name] = environment[name].replace(str(port), str(slow), 1)
        yield environment


async def type_all(everything: Sequence[Typed]) -> None:
    """Type all of it at once, each at a terminal of its own, until all have ended that end by themselves."""
    async with anyio.create_task_group() as readers, AsyncExitStack() as stack:
        commands: list[tuple[Typed, Command]] = []
        for typed in everything:
            environment = await stack.enter_async_context(slowly(typed))
            master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, WIDTH, 0, 0))
            typed.began = time.monotonic()
            words = [*map(str, typed.words)]
            command = await command_server().start(words, typed.place.cli.folder, environment, slave, slave)
            os.close(slave)
            commands.append((typed, await stack.enter_async_context(command)))
            stack.callback(command.kill)
            readers.start_soon(partial(anyio.to_thread.run_sync, watch, master, typed, limiter=READERS))
        with anyio.fail_after(PATIENCE):
            for typed, command in commands:
                if typed.exits:
                    typed.exit = await command.wait()


@pytest.fixture
async def shared(
    firebird_server: FirebirdServer, postgres_server: PostgresServer, tmp_path: Path
) -> AsyncIterator[Place]:
    """A billing whose database is on a server, and a journal on another one."""
    async with place_in(tmp_path / "shared", firebird_server.populated(abonents=300, seed=3)) as place:
        place.cli.environment["CARBON_MIGRATE_JOURNAL"] = f"{postgres_server.new_journal()}&lease=60"
        yield place


@pytest.fixture
async def own(billing_template: Path, tmp_path: Path) -> AsyncIterator[Callable[[str], Place]]:
    """Gives a billing of its own with a journal in a file, by name: two commands cannot send to one billing."""
    async with AsyncExitStack() as stack:
        places: dict[str, Place] = {}
        for name in ("run", "resume", "undo", "reconcile"):
            file = Path(shutil.copy(billing_template, tmp_path / f"{name}.fdb"))
            places[name] = await stack.enter_async_context(place_in(tmp_path / name, file))
        yield places.__getitem__


async def stopped(place: Place) -> str:
    return await place.stopped("balances", place.balances(6).path, "--rate", "2", calls=2, by=signal.SIGINT)


@pytest.mark.loops(150)
async def test_no_command_is_silent_for_long_whatever_it_waits_for(
    shared: Place, own: Callable[[str], Place], tmp_path: Path
) -> None:
    loop = loop_now(SAMPLED)
    runs: dict[str, str] = {}

    async def prepare(name: str, made: Awaitable[str]) -> None:
        runs[name] = await made

    async with anyio.create_task_group() as group:
        group.start_soon(prepare, "shared", shared.entered(4))
        group.start_soon(prepare, "resume", stopped(own("resume")))
        group.start_soon(prepare, "undo", own("undo").entered(4))
        group.start_soon(prepare, "reconcile", own("reconcile").entered(4))
    elsewhere = replace(shared, cli=Cli(tmp_path / "elsewhere", shared.cli.environment | {"XDG_STATE_HOME": "state"}))
    elsewhere.cli.folder.mkdir()
    rows = shared.balances(40, "rows.csv").path
    people = shared.write("name;contract_number\nAnna;77001\nOleg;77002\n", "people.csv")
    load_words = ("run", "balances", shared.balances(60, "load.csv").path, "--yes", "--again", "--rate", "1")
    async with shared.cli.started(*load_words, "--json") as load:
        await load.until(lambda: shared.traffic.reaches(6))
        (held,) = [run["run"] for run in (await shared.cli.closing("status"))["runs"] if run["holder"] is not None]
        load.signal(signal.SIGSTOP)
        done = runs["shared"]
        everything = [
            Typed(shared, ("plan", "balances", rows), api={0}, firebird={8}, exits={0, 1, 2}),
            Typed(
                shared,
                ("plan", "balances", rows, "--lang", "ru"),
                api={0, 20},
                exits={0, 1, 2},
                without={"CARBON_MIGRATE_DATABASE"},
                shows=["rows.csv: 0 строк", "ответов", "осталось"],
            ),
            Typed(shared, ("verify", done), postgres={0}, firebird={12}),
            Typed(shared, ("doctor",), firebird={0}, postgres={0}, exits={0, 2}),
            Typed(shared, ("export", done), postgres={0, 30}),
            Typed(shared, ("report", done, "--pdf"), postgres={0, 30}),
            Typed(shared, ("status",), postgres={0}),
            Typed(shared, ("status", "--all"), postgres={0}),
            Typed(
                shared,
                ("journal", "copy", shared.cli.environment["CARBON_MIGRATE_JOURNAL"], "copy.journal"),
                exits={2},
            ),
            Typed(shared, ("dictionary", people), api={1}, exits={0, 1}),
            Typed(shared, ("import", people, "--check"), api={0}, firebird={8}, exits={0, 2}),
            Typed(own("reconcile"), ("reconcile", runs["reconcile"]), api={0}),
            Typed(shared, ("pause", held), exits={0}, shows=["of at most 0:10"]),
            Typed(elsewhere, ("set", held, "rate=5"), exits={2}, shows=["of at most 0:10"]),
            Typed(shared, ("status", held, "--watch"), exits=()),
            Typed(shared, ("worker",), postgres={0}, exits=()),
            Typed(shared, ("mock", "init", "b.fdb", "--abonents", "5000")),
            Typed(own("run"), ("run", "balances", own("run").balances(4).path, "--yes"), api={0, 3}),
            Typed(own("resume"), ("resume", runs["resume"], "--rate", "none", "--settle", "0.1"), api={0, 3}),
            Typed(own("undo"), ("undo", runs["undo"], "--set", "way=opposite", "--yes"), api={0, 3}),
        ]
        await type_all(everything)
        load.signal(signal.SIGKILL)
        await load.ended()
    for typed in everything:
        assert not typed.exits or typed.exit in typed.exits, (typed.name, typed.exit, typed.text)
        assert all(part in typed.text for part in typed.shows), (typed.name, typed.text)
        assert all(len(line) < WIDTH for line in typed.lines), (typed.name, typed.lines)
    found = {typed.name: round(typed.silence, 1) for typed in everything}
    allowed = SILENCE * max(1.0, loop / LOOP, loop_now(SAMPLED) / LOOP)
    assert {name: seconds for name, seconds in found.items() if seconds > allowed} == {}
