"""Who sends: the engine, two loops that keep nothing, and the usual tools of a shell, each at its best.

All enter opening balances, one POST a row with the same form. The engine's job is defined here in full, so that the
engine, the journal and the client are measured, and not the reading of a file.
`python -m benchmarks.senders NAME ROWS URL` is one measured process; its figures are a line of JSON.
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
from typing import Final
from urllib.parse import urlencode

import aiohttp
import anyio
import msgspec
import structlog
from yarl import URL

from benchmarks.rig import Result, peak_kib
from billing.api.answers import created_id, objects
from billing.api.calls import NOTHING, Call, ChainStep, describe, filter_
from billing.api.client import BillingClient, ClientSettings
from billing.api.wire import Flight, Limits, Wire
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Item, NewItem, NewRun, Run
from checkpoints.states import State
from engine.evidence import Accepted, Evidence
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
PROCESSES: Final = 16
"""Parallel processes of those who start one for each row: more of them are slower."""
FASTEST: Final = Policy(in_flight=IN_FLIGHT, canary=False)

Heard = Callable[[float, Evidence], None]
"""Called for each finished call with its duration and its evidence."""


# ---- the engine ---------------------------------------------------------------------------------------------------


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
        evidence = await self._client.send(_call(run.name, item), row=item.item_id)
        if isinstance(evidence, Accepted):
            evidence = Accepted(created_id(evidence.result))
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
        """Send all rows; the seconds from the saved list to the last outcome on disk.

        Raises RuntimeError when a row was not accepted, unless a stop may end it before the last row.
        """
        began = time.perf_counter()
        await Pipeline(self.run, self.job, self.journal, LivePolicy(policy, Progress(), stop or Stop())).migrate()
        seconds = time.perf_counter() - began
        counts = (await self.journal.totals(self.run)).counts
        if stop is None and set(counts) != {State.ACCEPTED}:
            raise RuntimeError(f"not every row was accepted, so the figure would mean nothing: {dict(counts)}")
        return seconds


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


# ---- those that send from Python: seconds for this many rows ------------------------------------------------------

_BODY: Final = urlencode(
    {
        "method1": "objects.create",
        "arg1": f'{{"abonent_id":1111,"op_summa":"{AMOUNT}","op_type_id":{OPENING},"descr":"{TEXT} [cm k7m2q/1]"}}',
        "fields": '["op_id"]',
    }
).encode()
"""One body for all requests, so that creating it costs nothing."""
_PATH: Final = f"/rest_api/v2/{MODEL}/"
_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded"}


async def engine(url: str, rows: int) -> dict[str, float]:
    """Save the rows and send them all, with a journal."""
    async with ready(url, Ids(range(1, rows + 1))) as work:
        return {"freezing": work.freezing, "sending": await work.migrate(FASTEST)}


async def bare(url: str, rows: int) -> dict[str, float]:
    """Send with aiohttp's own session."""
    address = URL(url + _PATH)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=_HEADERS) as session:

        async def work(numbers: Iterator[int]) -> None:
            for _ in numbers:
                async with session.post(address, data=_BODY) as response:
                    msgspec.json.decode(await response.read())

        return await _in_flight(work, rows)


async def wired(url: str, rows: int) -> dict[str, float]:
    """The same over the engine's wire; the difference to the engine is its work for each row."""
    told = ClientSettings(url)
    wire = Wire(url, _HEADERS, Limits(told.connect, told.read, told.deadline, told.answer_limit))

    async def work(numbers: Iterator[int]) -> None:
        for number in numbers:
            flight = Flight(_BODY, number)
            msgspec.json.decode(await wire.post(_PATH, flight) or b"")
            wire.finish(flight, clean=True)

    try:
        return await _in_flight(work, rows)
    finally:
        await wire.close()


async def _in_flight(work: Callable[[Iterator[int]], Awaitable[None]], rows: int) -> dict[str, float]:
    numbers, began = iter(range(rows)), time.perf_counter()
    await asyncio.gather(*(work(numbers) for _ in range(IN_FLIGHT)))
    return {"sending": time.perf_counter() - began}


def on_uvloop(work: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
    """Run a coroutine function on uvloop, as the command line does."""
    return anyio.run(work, *arguments, backend_options={"use_uvloop": True})


def quietly() -> None:
    """Log to stderr, so that stdout has only the figures."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


# ---- the tools of a shell, and ourselves as processes -------------------------------------------------------------
# Each takes a folder, the URL of the model and a number of rows, writes its list there in a format of its own, and
# is the command that sends it. The loop is the vendor's own recipe, with the encoding that its one-liners lack.

_CURL: Final = ("curl", "-s", "-o", "/dev/null")
_FIELDS: Final = 'fields=["op_id"]'


def _argument(row: str) -> str:
    return f'arg1={{"abonent_id":{row},"op_summa":"{AMOUNT}","op_type_id":{OPENING},"descr":"{TEXT}"}}'


def _ids(folder: Path, rows: int) -> str:
    path = folder / "ids"
    path.write_text("".join(f"{one}\n" for one in range(1, rows + 1)), encoding="ascii")
    return str(path)


def _with_curl(url: str) -> list[str]:
    form = ("method1=objects.create", _argument("ID"), _FIELDS)
    return [*_CURL, *(word for pair in form for word in ("--data-urlencode", pair)), url]


def _loop(folder: Path, url: str, rows: int) -> list[str]:
    script = (
        f"while read -r id; do {' '.join(_CURL)} --data-urlencode method1=objects.create "
        f"""--data-urlencode '{_argument("'$id'")}' --data-urlencode '{_FIELDS}' {url}; done < {_ids(folder, rows)}"""
    )
    return ["sh", "-c", script]


def _xargs(folder: Path, url: str, rows: int) -> list[str]:
    return ["xargs", "-a", _ids(folder, rows), "-P", str(PROCESSES), "-I", "ID", *_with_curl(url)]


def _parallel(folder: Path, url: str, rows: int) -> list[str]:
    # parallel quotes the row itself, and joins the rest for a shell: `-q` quotes that as well.
    options = ["-q", "-j", str(PROCESSES), "--will-cite", "--joblog", str(folder / "joblog"), "-I", "ID"]
    return ["parallel", *options, *_with_curl(url), "::::", _ids(folder, rows)]


def _curl(folder: Path, url: str, rows: int) -> list[str]:
    path = folder / "curl.conf"
    with path.open("w", encoding="ascii") as config:
        for row in range(1, rows + 1):
            pairs = [("method1", "objects.create"), ("arg1", _argument(str(row)).partition("=")[2])]
            form = urlencode([*pairs, ("fields", '["op_id"]')])
            following = "next\n" if row < rows else ""
            config.write(f'url = "{url}"\ndata = "{form}"\noutput = "/dev/null"\n{following}')
    return ["curl", "-s", "-Z", "--parallel-max", str(IN_FLIGHT), "-K", str(path)]


def own(name: str, url: str, rows: int) -> list[str]:
    """The command of one of ours."""
    return [sys.executable, "-m", "benchmarks.senders", name, str(rows), url.partition("/rest_api")[0]]


CONTENDERS: Final[Mapping[str, tuple[int, int, Callable[[Path, str, int], list[str]]]]] = {
    "shell loop with curl": (300, 80, _loop),
    f"`xargs -P {PROCESSES}` with curl": (300, 300, _xargs),
    f"GNU parallel `-j {PROCESSES} --joblog` with curl": (150, 150, _parallel),
    f"`curl -Z --parallel-max {IN_FLIGHT}`": (40_000, 10_000, _curl),
    "bare aiohttp": (40_000, 10_000, lambda _, url, rows: own("bare", url, rows)),
    "this engine, with its journal": (40_000, 10_000, lambda _, url, rows: own("engine", url, rows)),
}
"""Each with its rows for immediate and for delayed answers; the engine is the last of them."""


async def _main(name: str, rows: int, url: str) -> None:
    figures = await {"engine": engine, "bare": bare}[name](url, rows)
    print(msgspec.json.encode({**figures, "peak_kib": await asyncio.to_thread(peak_kib)}).decode())


if __name__ == "__main__":
    quietly()
    on_uvloop(_main, sys.argv[1], int(sys.argv[2]), sys.argv[3])
