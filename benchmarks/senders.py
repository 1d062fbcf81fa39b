"""Sending to a server that gives every POST the same answer: the engine, bare loops, and the usual tools of a shell.

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
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlencode

import aiohttp
import anyio
import msgspec
import structlog
from yarl import URL

from benchmarks import rig
from benchmarks.page import Part, Plot, Size, answered, bars, curves, ratio, shown
from benchmarks.rig import Result, in_turn, peak_kib, timed
from billing.api.answers import created_id, objects
from billing.api.calls import NOTHING, Call, ChainStep, describe, filter_
from billing.api.client import BillingClient, ClientSettings
from billing.api.wire import Flight, Wire
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Item, NewItem, NewRun, Run
from checkpoints.states import State
from engine.evidence import Accepted, Evidence
from engine.job import Absent, CannotLook, Effect, Found, Job, LookUpResult, Prepared, Row, RowPage, Source
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Intake
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import LivePolicy, Progress
from jobs.access.gateway import Gateway
from jobs.spec.entries import find_mark, with_mark
from tools.markdown import table

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
        items = []
        for number, amount in (row.cells for row in rows):
            payload = msgspec.json.encode({"abonent_id": int(number), "op_summa": amount}).decode()
            told = (f"abonent {number}", f"account:{number}", payload, Decimal(amount))
            items.append(NewItem(number, *told, row=(number, amount)))
        return Prepared(tuple(items), ())

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
        found: dict[int, LookUpResult] = {}
        for item, answer in zip(items, answers, strict=True):
            mark = (run.name, item.number)
            keys = [str(one["op_id"]) for one in objects(answer) if find_mark(str(one.get("descr"))) == mark]
            found[item.item_id] = Found(keys[0], marked=True) if len(keys) == 1 else Absent()
            if len(keys) > 1:
                found[item.item_id] = CannotLook(f"entered {len(keys)} times")
        return found

    def describe(self, run_name: str, item: Item) -> str:
        """The call in one line."""
        return describe(_call(run_name, item))

    async def probe(self) -> None:
        """Ask for the version."""
        await self._client.health()


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
    earlier: Journal | None = None,
) -> tuple[Run, float]:
    """Save the list of a job, or of its plan beside `earlier` runs; the run, and the seconds for that."""
    source = job.source
    run = await journal.create_run(NewRun(job.name, recorded, url, source.name, source.digest, source.header))
    began = time.perf_counter()
    foreign = ForeignEntries(job, earlier or journal, url, again=False, own=run.name)
    await Intake(run, job, journal, Progress(), foreign=foreign).freeze_all()
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
    async with ready(url, Ids(range(1, rows + 1))) as work:
        return {"freezing": work.freezing, "sending": await work.migrate(FASTEST)}


async def bare(url: str, rows: int) -> dict[str, float]:
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
    wire = Wire(url, _HEADERS, told)

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

_FIELDS: Final = 'fields=["op_id"]'


def _argument(row: str) -> str:
    return f'arg1={{"abonent_id":{row},"op_summa":"{AMOUNT}","op_type_id":{OPENING},"descr":"{TEXT}"}}'


def _for_each_id(tool: str, folder: Path, url: str, rows: int) -> list[str]:
    ids, encoded = str(folder / "ids"), "--data-urlencode"
    Path(ids).write_text("".join(f"{one}\n" for one in range(1, rows + 1)), encoding="ascii")
    curl = ["curl", "-s", "-o", "/dev/null", encoded, "method1=objects.create"]
    if tool == "loop":
        script = f"""{" ".join(curl)} {encoded} '{_argument("'$id'")}' {encoded} '{_FIELDS}' {url}"""
        return ["sh", "-c", f"while read -r id; do {script}; done < {ids}"]
    one = ["-I", "ID", *curl, encoded, _argument("ID"), encoded, _FIELDS, url]
    if tool == "xargs":
        return ["xargs", "-a", ids, "-P", str(PROCESSES), *one]
    # parallel quotes the row itself, and joins the rest for a shell: `-q` quotes that as well.
    options = ["-q", "-j", str(PROCESSES), "--will-cite", "--joblog", str(folder / "joblog")]
    return ["parallel", *options, *one, "::::", ids]


def _curl(folder: Path, url: str, rows: int) -> list[str]:
    path = folder / "curl.conf"
    with path.open("w", encoding="ascii") as config:
        for row in range(1, rows + 1):
            pairs = [("method1", "objects.create"), ("arg1", _argument(str(row)).partition("=")[2])]
            form = urlencode([*pairs, ("fields", '["op_id"]')])
            following = "next\n" if row < rows else ""
            config.write(f'url = "{url}"\ndata = "{form}"\noutput = "/dev/null"\n{following}')
    return ["curl", "-s", "-Z", "--parallel-max", str(IN_FLIGHT), "-K", str(path)]


def _own(name: str, _: Path, url: str, rows: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.senders", name, str(rows), url.partition("/rest_api")[0]]


CONTENDERS: Final[Mapping[str, tuple[int, int, Callable[[Path, str, int], list[str]]]]] = {
    "shell loop with curl": (300, 80, partial(_for_each_id, "loop")),
    f"`xargs -P {PROCESSES}` with curl": (300, 300, partial(_for_each_id, "xargs")),
    f"GNU parallel `-j {PROCESSES} --joblog` with curl": (150, 150, partial(_for_each_id, "parallel")),
    f"`curl -Z --parallel-max {IN_FLIGHT}`": (40_000, 10_000, _curl),
    "bare aiohttp": (40_000, 10_000, partial(_own, "bare")),
    "this engine, with its journal": (40_000, 10_000, partial(_own, "engine")),
}
"""Each with its rows for immediate and for delayed answers; the engine is the last of them."""


# ---- side by side -------------------------------------------------------------------------------------------------

LATENCY_MS: Final = 20
_SHARE: Final = (1.0, 0.5, 0.002)
"""The share of its rows that each contender gets."""


def side_by_side(size: Size) -> Part:
    part: list[str | Plot] = []
    for which, serving in enumerate((rig.nginx(), rig.answering(LATENCY_MS))):
        told, server = answered(which * LATENCY_MS), "" if which else " (nginx)"
        with serving as url:
            works = {name: partial(send, name, url, which, _SHARE[size]) for name in CONTENDERS}
            found = in_turn((3, 1, 1)[size], works)
        rates = {name: [one[1] for one in sent] for name, sent in found.items()}
        *_, ours = rates.values()
        lines = []
        for name, sent in found.items():
            times = median(a / b for a, b in zip(ours, rates[name], strict=True))
            faster = ratio(ours, rates[name], ",.0f" if times >= 10 else ".2f") if rates[name] is not ours else ""
            whole, processor = f"{median(one[2] for one in sent):,.0f}", shown([one[3] for one in sent], ".3f")
            lines.append([name, f"{sent[0][0]:,}", shown(rates[name]), whole, faster, processor])
        header = ("", "rows", "rows a second, sending", "with its start", "the engine is so many times as fast")
        bare_names = {name.replace("`", ""): each for name, each in rates.items()}
        part += [
            f"Answered {told}:",
            table((*header, "processor, s a 1,000 rows"), lines),
            bars(f"{told.replace(' ', '-')}.svg", f"Rows a second, answered {told}{server}", bare_names),
        ]
    return part


def send(name: str, url: str, which: int, share: float) -> tuple[int, float, float, float]:
    """Let a contender send a share of its rows.

    Gives these rows, rows a second while sending and with its start, and seconds of the processor for 1,000 rows.
    """
    *numbers, lists = CONTENDERS[name]
    rows = max(int(numbers[which] * share), 2)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        took = timed(lists(Path(folder), f"{url}/rest_api/v2/{MODEL}/", rows))
    # Who has no list of his own says nothing, and sends from his start on.
    sending = float(msgspec.json.decode(took.said)["sending"]) if took.said.startswith("{") else took.seconds
    return rows, rows / sending, rows / took.seconds, took.processor / rows * 1000


# ---- beside bare aiohttp, in one process --------------------------------------------------------------------------

_SENDERS: Final = {"bare aiohttp": bare, "the same wire, no journal": wired, "engine with journal": engine}


def throughput(size: Size) -> Part:
    lines = []
    with rig.nginx() as at_once, rig.answering(LATENCY_MS) as after:
        for url, latency, number in ((after, LATENCY_MS, (8_000, 5_000, 200)), (at_once, 0, (20_000, 15_000, 200))):
            rows = number[size]
            works = {name: partial(on_uvloop, sender, url, rows) for name, sender in _SENDERS.items()}
            told = in_turn((5, 3, 1)[size], works).values()
            alone, wire, ours = rates = [[rows / one["sending"] for one in rounds] for rounds in told]
            lines.append([answered(latency), *map(shown, rates), ratio(ours, alone), ratio(ours, wire)])
    header = ("answer", *(f"{name}, calls/s" for name in _SENDERS))
    return [table((*header, "engine to bare aiohttp", "engine to the same wire"), lines)]


# ---- time and memory with the rows --------------------------------------------------------------------------------


def growth(size: Size) -> Part:
    sizes = ((10_000, 100_000, 1_000_000), (10_000, 100_000), (100, 1_000))[size]
    with rig.nginx() as url:
        said = [(rows, msgspec.json.decode(timed(_own("engine", Path(), url, rows)).said)) for rows in sizes]
    found = [(rows, one["freezing"], one["sending"], one["peak_kib"] / 1024) for rows, one in said]
    header = ("rows", "freezing, s", "sending, s", "µs a row, both", "peak memory", "beyond the smallest")
    lines = []
    for rows, freezing, sending, peak in found:
        each, beyond = (freezing + sending) / rows * 1e6, peak - found[0][3]
        cells = [f"{rows:,}", f"{freezing:,.1f}", f"{sending:,.1f}", f"{each:,.0f}"]
        lines.append([*cells, f"{peak:,.1f} MiB", f"{beyond:+,.1f} MiB"])
    freezes, sends, peaks = ([(one[0] / 1000, one[column]) for one in found] for column in (1, 2, 3))
    axis = "thousand rows"
    return [
        table(header, lines),
        curves("time.svg", "Seconds for all rows", {"freezing": freezes, "sending": sends}, (axis, "seconds")),
        curves("memory.svg", "Peak memory of the whole process", {"peak": peaks}, (axis, "MiB")),
    ]


async def _main(name: str, rows: int, url: str) -> None:
    figures = await {"engine": engine, "bare": bare}[name](url, rows)
    print(msgspec.json.encode({**figures, "peak_kib": await asyncio.to_thread(peak_kib)}).decode())


if __name__ == "__main__":
    quietly()
    on_uvloop(_main, sys.argv[1], int(sys.argv[2]), sys.argv[3])
