"""The engine's work in all benchmarks: it enters opening balances, one call a row, each with its mark.

The job is defined here in full, so that the engine, the journal and the client are measured, and not the reading of a
file. `python -m benchmarks.entering ROWS URL` is one measured process; its figures are a line of JSON.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

import anyio
import msgspec
import structlog

from benchmarks.machine import peak_kib
from billing.api.answers import created_id, judge, objects
from billing.api.calls import NOTHING, Call, ChainStep, describe, filter_
from billing.api.client import BillingClient, ClientSettings
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Item, NewItem, NewRun, Run, Totals
from checkpoints.states import State
from engine.evidence import Evidence
from engine.job import Absent, CannotLook, Effect, Found, Job, LookUpResult, Prepared
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.intake import Intake, Repeat
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import Progress
from engine.rows import Row, RowPage, Source
from jobs.access.gateway import Gateway
from jobs.spec.entries import find_mark, with_mark

MODEL: Final = "FinanceOperations"
TEXT: Final = "Миграция балансов"
AMOUNT: Final = "50.50"
OPENING: Final = 8
NOWHERE: Final = "http://127.0.0.1:9"
"""The address of an API that is never called."""
IN_FLIGHT: Final = 64
FASTEST: Final = Policy(in_flight=IN_FLIGHT, canary=False)

Result = TypeVar("Result")

Heard = Callable[[float, Evidence], None]
"""Called for each finished call with its duration and its evidence."""


class Ids(Source):
    """A source of subscribers' ids without a file, since reading files is not measured."""

    name, digest, header, is_read_whole = "numbers", "", ("abonent_id", "amount"), False

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = ids

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """Pages of a thousand rows."""
        for first in range(int(after or 0), len(self._ids), 1000):
            ids = self._ids[first : first + 1000]
            yield RowPage(tuple(Row(None, (str(one), AMOUNT)) for one in ids), (), str(first + len(ids)))


class Entering(Effect, Job):
    """A job and its effect: an opening balance for each id. Lost calls are looked up by their mark."""

    name = "entering"
    source: Source = Ids(())

    def __init__(self, client: BillingClient, source: Source, heard: Heard | None = None) -> None:
        self.effect = self
        self.source = source
        self._client = client
        self._heard = heard

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Make every row an item of a lane of its own."""
        return Prepared(tuple(map(_item, rows)), ())

    async def send(self, run: Run, item: Item) -> Evidence:
        """Enter the operation, its comment marked with run and item."""
        began = time.monotonic()
        evidence = judge(await self._client.send(_call(run.name, item), row=item.item_id), created_id)
        if self._heard is not None:
            self._heard(time.monotonic() - began, evidence)
        return evidence

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Look up the operations by their marks; a few queries at a time, as the jobs do."""
        wanted = [{"abonent_id": int(item.key), "op_type_id": OPENING} for item in items]
        answers = await Gateway(self._client).ask([filter_(MODEL, one, "op_id", "descr") for one in wanted])
        return {item.item_id: _sighting(run, item, answer) for item, answer in zip(items, answers, strict=True)}

    def describe(self, run_name: str, item: Item) -> str:
        """The call in one line."""
        return describe(_call(run_name, item))

    async def probe(self) -> None:
        """Ask for the version."""
        await self._client.health()


def _sighting(run: Run, item: Item, answer: object) -> LookUpResult:
    marked = [one for one in objects(answer) if find_mark(str(one.get("descr"))) == (run.name, item.number)]
    if len(marked) > 1:
        return CannotLook(f"entered {len(marked)} times")
    return Found(str(marked[0]["op_id"]), marked=True) if marked else Absent()


def _item(row: Row) -> NewItem:
    number, amount = row.cells
    payload = msgspec.json.encode({"abonent_id": int(number), "op_summa": amount}).decode()
    return NewItem(number, f"abonent {number}", f"account:{number}", payload, Decimal(amount), row=row.cells)


def _call(run_name: str, item: Item) -> Call:
    payload = msgspec.json.decode(item.payload)
    arguments = {**payload, "op_type_id": OPENING, "descr": with_mark(TEXT, run_name, item.number)}
    return Call(MODEL, (ChainStep("objects.create", arguments),), ("op_id",))


@dataclass(frozen=True, slots=True)
class Ready:
    """A run whose list is saved and approved; `freezing` is the time for that in seconds."""

    run: Run
    job: Entering
    journal: Journal
    freezing: float

    async def migrate(self, policy: Policy, stop: Stop | None = None) -> float:
        """Send all rows, or until a stop; returns the seconds from the saved list to the last outcome on disk."""
        began = time.perf_counter()
        await Pipeline(self.run, self.job, self.journal, LivePolicy(policy, Progress(), stop or Stop())).migrate()
        return time.perf_counter() - began

    async def totals(self) -> Totals:
        """The current totals of the rows."""
        return await self.journal.totals(self.run)


@asynccontextmanager
async def ready(url: str, source: Source, heard: Heard | None = None) -> AsyncIterator[Ready]:
    """A run in a journal of its own on this disk, with its list of rows saved."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        async with open_journal(Path(folder) / "journal.db") as journal, BillingClient(ClientSettings(url)) as client:
            job = Entering(client, source, heard)
            run, freezing = await save_list(job, journal, url)
            await journal.approve(run)
            yield Ready(await journal.run(run.name), job, journal, freezing)


async def save_list(
    job: Job,
    journal: Journal,
    url: str = NOWHERE,
    recorded: Mapping[str, str] = NOTHING,
    *,
    enter: Repeat = Repeat.ONCE,
) -> tuple[Run, float]:
    """Save the list of a job; the run, and the seconds for that."""
    source = job.source
    run = await journal.create_run(NewRun(job.name, recorded, url, source.name, source.digest, source.header))
    began = time.perf_counter()
    await Intake(run, job, journal, Progress(), enter=enter).freeze_all()
    return run, time.perf_counter() - began


async def freeze(source: Source) -> float:
    """Seconds to save all rows of a source."""
    async with ready(NOWHERE, source) as work:
        return work.freezing


async def engine(url: str, rows: int) -> tuple[float, float]:
    """Save this many rows and send them all; the seconds of both. Raises when a row was not accepted."""
    async with ready(url, Ids(range(1, rows + 1))) as work:
        seconds = await work.migrate(FASTEST)
        accepted = (await work.totals()).count(State.ACCEPTED)
        if accepted != rows:
            raise RuntimeError(f"only {accepted} of {rows} rows were accepted: the figure would mean nothing")
        return work.freezing, seconds


def on_uvloop(work: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
    """Run a coroutine function on uvloop, as the command line does."""
    return anyio.run(work, *arguments, backend_options={"use_uvloop": True})


def quietly() -> None:
    """Log to stderr, so that stdout has only the figures."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


async def _main(rows: int, url: str) -> None:
    freezing, sending = await engine(url, rows)
    peak = await asyncio.to_thread(peak_kib)
    print(msgspec.json.encode({"freezing": freezing, "sending": sending, "peak_kib": peak}).decode())


if __name__ == "__main__":
    quietly()
    on_uvloop(_main, int(sys.argv[1]), sys.argv[2])
