"""Jobs in real processes, each on a mock billing of its own: planned, killed in the middle, resumed, verified."""

import math
import shutil
import signal
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from aiohttp import web
from aiohttp.typedefs import Handler

from billing.database.database import attach
from billing.database.dsn import Dsn
from lab.mock.server import MockBilling, running
from tests.cli.conftest import PATIENCE, Cli, Ended, clean_environment

AT_ONE_TIME = 3
"""Flows; each is a process that starts most of the time."""

COMPARED = '["id","contract_number","name","parent_id"]'
"""The fields of the subscribers by which API and database are seen to be one billing; nothing else asks for these."""


async def _opens(request: web.Request) -> bool:
    """Whether the request is of those with which each command opens a billing: its version, and which one it is."""
    if request.path.endswith("/Version/"):
        return True
    form = await request.post()
    return (form.get("method1"), form.get("fields")) == ("objects.filter", COMPARED)


class Arrivals:
    """Counts the calls that arrive, those that open the billing left out; with a model, those on it alone."""

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.number = 0
        self._changed = anyio.Event()
        self._most = math.inf
        self._released = anyio.Event()

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        wanted = not self.model or f"/{self.model}/" in f"{request.path}/"
        if wanted and not await _opens(request):
            self.number += 1
            self._changed.set()
            self._changed = anyio.Event()
            if self.number > self._most:
                await self._released.wait()
        return await handler(request)

    @contextmanager
    def held_after(self, number: int) -> Iterator[None]:
        """Let calls after so many wait: however fast the billing is, the command does not end in this context."""
        self._most, self._released = number, anyio.Event()
        try:
            yield
        finally:
            self._most = math.inf
            self._released.set()

    async def reach(self, number: int) -> None:
        """Wait until so many have arrived."""
        with anyio.fail_after(PATIENCE):
            while self.number < number:
                await self._changed.wait()


@dataclass(frozen=True, slots=True)
class Flow:
    """A billing, and a command line that is set up for it."""

    cli: Cli
    billing: MockBilling
    arrivals: Arrivals

    @property
    def folder(self) -> Path:
        return self.cli.folder

    def write(self, text: str, name: str = "rows.csv") -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.billing.database.query(sql)]

    def files_with(self, words: Sequence[str]) -> set[str]:
        """The files of the folder that hold one of these words, recordings unpacked."""
        kept = {path.name: _bytes_of(path) for path in self.folder.iterdir() if path.is_file()}
        return {name for name, data in kept.items() if any(word.encode() in data for word in words)}

    async def go(
        self,
        *arguments: str,
        kill_at: int,
        killed: Callable[[], None] = lambda: None,
        run_only: Sequence[str] = (),
        may_end_with: Sequence[int] = (0,),
        verify_ends_with: int = 0,
    ) -> dict[str, Any]:
        """Plan, run, kill when so many calls have arrived, look, resume, verify; what the resuming closes with."""
        await self.cli("plan", *arguments)
        assert self.arrivals.number == 0
        run = ("run", *arguments, *run_only, "--yes", "--in-flight", "4", "--no-canary", "--record", "first.gz")
        with self.arrivals.held_after(kill_at):
            async with self.cli.started(*run) as started:
                await started.until(partial(self.arrivals.reach, kill_at))
                started.signal(signal.SIGKILL)
                ended: Ended = await started.ended()
        assert ended.exit == -signal.SIGKILL, ended.err
        killed()
        resume = ("resume", "--json", "--yes", "--settle", "0.1", "--record", "second.gz")
        closing = (await self.cli(*resume, may_end_with=may_end_with)).closing
        assert closing["calls"] > 0
        await self.cli("verify", closing["run"], may_end_with=(verify_ends_with,))
        return closing


@asynccontextmanager
async def flow(
    template: Path, folder: Path, statements: Sequence[tuple[str, Sequence[object]]] = ()
) -> AsyncIterator[Flow]:
    """A flow in a folder that is made for it; the statements are done before the billing is served."""
    work, file = folder / "work", folder / "billing.fdb"
    await anyio.Path(work).mkdir(parents=True)
    await anyio.to_thread.run_sync(shutil.copy, template, file)
    await anyio.to_thread.run_sync(_execute, file, statements)
    arrivals = Arrivals()
    async with running(Dsn(str(file)), middlewares=[arrivals.count], latency=0.03) as billing:
        environment = clean_environment() | {
            "CARBON_MIGRATE_API_URL": billing.url,
            "CARBON_MIGRATE_DATABASE": str(file),
            "COLUMNS": "200",
        }
        yield Flow(Cli(work, environment), billing, arrivals)


async def all_of(cases: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Take all cases to their end, a few at one time."""
    limiter = anyio.CapacityLimiter(AT_ONE_TIME)

    async def one(case: Callable[[], Awaitable[None]]) -> None:
        async with limiter:
            await case()

    async with anyio.create_task_group() as group:
        for case in cases:
            group.start_soon(one, case)


def _execute(file: Path, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
    connection = attach(Dsn(str(file)))
    try:
        for sql, values in statements:
            connection.cursor().execute(sql, values)
        connection.commit()
    finally:
        connection.close()


def _bytes_of(path: Path) -> bytes:
    data = path.read_bytes()
    return b"".join(_unpacked(data)) if path.suffix == ".gz" else data


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What can be unpacked of a recording, whose process may have been killed."""
    pack = zlib.decompressobj(wbits=31)
    yield pack.decompress(data)
