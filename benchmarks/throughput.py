"""Calls a second of the engine with its journal, beside a bare aiohttp loop that keeps nothing, in turn.

Both send the same bytes to the same server from one process with uvloop; what differs is the work that the engine
does for each row: claim and outcome durable, evidence judged, counts kept.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import anyio
import msgspec

from benchmarks.figures import Spread, table
from billing.client import BillingClient, ClientSettings
from checkpoints.journal import open_journal
from checkpoints.records import Item, NewItem, NewRun, Run
from checkpoints.states import State
from engine.evidence import Evidence
from engine.intake import Intake
from engine.job import Absent, Job, Prepared, Reading, Row, RowPage, Sighting, Source
from engine.pipeline import Pipeline
from engine.policy import Policy
from engine.progress import Progress
from engine.stop import Stop
from jobs.balances import BALANCES, Balances
from jobs.kinds import parameters_of
from jobs.services import Services

IN_FLIGHT = 64
PAIRS = 5


class _Numbers:
    """A `Source` of row numbers, for what is measured begins behind the journal."""

    name, digest, header, checked_whole = "numbers", "", ("abonent_id", "amount"), False

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """A thousand a page."""
        for first in range(int(after or 0), self._rows, 1000):
            last = min(first + 1000, self._rows)
            yield RowPage(tuple(Row(None, (str(n), "50.50")) for n in range(first, last)), (), str(last))


class _Entered:
    """The `balances` job with its own call, its rows taken as they are."""

    name, repeatable = "balances", False

    def __init__(self, client: BillingClient, source: Source) -> None:
        self.source = source
        self._job = Balances(Services(client), source, parameters_of(BALANCES, {}))

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Every row an item of a lane of its own."""
        return Prepared(tuple(map(_item, rows)), ())

    async def send(self, run: Run, item: Item) -> Evidence:
        """The job's own call."""
        return await self._job.send(run, item)

    async def undrained(self, items: Sequence[Item]) -> str | None:  # noqa: ARG002 - the door
        """Nothing to wait for."""
        return None

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, Sighting]:  # noqa: ARG002 - the door
        """Nothing is lost here; if it were, the sums below would show it."""
        return {item.item_id: Absent() for item in items}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, Reading]:  # noqa: ARG002 - the door
        """Not measured."""
        return {}

    async def probe(self) -> None:
        """Not measured."""


def _item(row: Row) -> NewItem:
    number, amount = row.cells
    payload = msgspec.json.encode({"abonent_id": int(number), "op_summa": amount}).decode()
    return NewItem(number, f"abonent {number}", f"account:{number}", payload, line=row.line, row=row.cells)


@contextmanager
def answering(latency_ms: float) -> Iterator[str]:
    """A server in a process of its own; its URL."""
    command = [sys.executable, "-m", "benchmarks.answering", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


async def bare(url: str, rows: int) -> float:
    """Calls a second of 64 workers that share one iterator: what aiohttp alone can do, tuned, keeping nothing."""
    body = (
        b"method1=objects.create&arg1=%7B%22abonent_id%22%3A1111%2C%22op_summa%22%3A%2250.50%22%2C%22op_type_id%22%3A8"
        b"%2C%22descr%22%3A%22%D0%9C%D0%B8%D0%B3%D1%80%D0%B0%D1%86%D0%B8%D1%8F%20%5Bcm%20k7m2q%2F1%5D%22%7D"
        b"&fields=%5B%22op_id%22%5D"
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    numbers = iter(range(rows))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in numbers:
            async with session.post(url, data=body, headers=headers) as response:
                msgspec.json.decode(await response.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
        return rows / (time.perf_counter() - began)


async def engine(url: str, rows: int) -> float:
    """Calls a second of the pipeline, from a frozen list to the last outcome on the disk."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        async with open_journal(Path(folder) / "journal.db") as journal, BillingClient(ClientSettings(url)) as client:
            job: Job = _Entered(client, _Numbers(rows))
            run = await journal.create_run(NewRun("balances", {}, url, "numbers"))
            await Intake(run, job, journal, Progress()).freeze_all()
            await journal.approve(run)
            run = await journal.run(run.name)
            began = time.perf_counter()
            await Pipeline(run, job, journal, Policy(in_flight=IN_FLIGHT), Progress(), Stop()).migrate()
            seconds = time.perf_counter() - began
            accepted = (await journal.totals(run)).count(State.ACCEPTED)
            assert accepted == rows, f"{accepted} of {rows} accepted"  # noqa: S101 - or the figure means nothing
            return rows / seconds


def measure() -> str:
    """The table: both in turn, the ratio pair by pair."""
    lines = []
    for latency_ms, rows in ((20, 15_000), (0, 30_000)):
        with answering(latency_ms) as url:
            pairs = [(_run(bare, url, rows), _run(engine, url, rows)) for _ in range(PAIRS)]
        lines.append(
            [
                f"{latency_ms} ms",
                Spread.of([one for one, _ in pairs]).shown(),
                Spread.of([two for _, two in pairs]).shown(),
                Spread.of([two / one for one, two in pairs]).shown(".2f"),
            ]
        )
    return table(["answer after", "bare aiohttp, calls/s", "engine with journal, calls/s", "ratio"], lines)


def _run(what: Callable[[str, int], Awaitable[float]], url: str, rows: int) -> float:
    return anyio.run(what, url, rows, backend_options={"use_uvloop": True})


if __name__ == "__main__":
    print(measure())
