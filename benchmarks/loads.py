"""Whole commands on a mock billing: what a look before each row costs, an import, and what being watched costs.

The import is proven by an experiment of the crash lab, judged by what the billing holds; then its speed is measured
beside opening balances, in pairs, and its memory.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any, Final
from urllib.parse import urljoin
from urllib.request import HTTPCookieProcessor, Request, build_opener

import anyio
import msgspec

from benchmarks.page import Part, Size, answered, ratio, shown
from benchmarks.rig import (
    CLI,
    Billing,
    billing,
    closing_of,
    fault_plan,
    in_turn,
    line_of,
    scratch,
    started,
    timed,
    with_peak,
)
from lab.crash.experiment import Lab
from lab.crash.load import DICTIONARY, TABLE, draw_rows, write_table
from lab.crash.plan import IMPORT, Act, BillingTraits, ExperimentPlan, What
from lab.crash.program import ProgramUnderTest, without_settings
from tools.markdown import table

SLOTS: Final = 16
LATENCY_MS: Final = 20.0

# ---- a look before each row ---------------------------------------------------------------------------------------


def looking(size: Size) -> Part:

    def load(latency: float, *, database: bool, trusts: bool) -> float:
        with billing((3_800, 800, 40)[size], slots=SLOTS, latency_ms=latency) as mock:
            words = [*balances_command(mock), "--in-flight", str(SLOTS), *mock.flags(database=database)]
            return closing_of(timed([*words, *(["--trust-journal"] if trusts else [])]).said).rate

    lines = []
    for latency in (LATENCY_MS, 0.0):
        for database, through in ((True, "the database"), (False, "the API alone")):
            works = {trusts: partial(load, latency, database=database, trusts=trusts) for trusts in (False, True)}
            found = in_turn((5, 2, 1)[size], works)
            lines.append([answered(latency), through, *map(shown, found.values()), ratio(found[False], found[True])])
    header = ("answer", "asked through", "looking, rows/s", "trusting the journal, rows/s", "looking to trusting")
    return [table(header, lines)]


def balances_command(mock: Billing) -> list[str]:
    # Several subscribers may share an account; the effect on the others is not measured here.
    return [*CLI, "run", "balances", mock.balances(), "--set", "op_type=2"]


# ---- an import ----------------------------------------------------------------------------------------------------

FAULTS: Final = 0.03
"""The share of requests that fail in the proof."""
_NOMINAL: Final = SLOTS / (LATENCY_MS / 1000)
_WINDOW: Final = ("--max-in-flight", str(4 * SLOTS))
_STEPS: Final = 5
"""Steps of a subscriber, about."""


def importing(size: Size) -> Part:
    return [_proof(size), _speed(size), _memory(size)]


def _proof(size: Size) -> str:
    kills = (10, 10, 2)[size]
    plan = ExperimentPlan(
        seed=1,
        job=IMPORT,
        rows=(20_000, 1_000, 20)[size],
        in_flight=None,
        traits=BillingTraits(latency_ms=5.0, slots=SLOTS, stack_rate=None),
        faults=fault_plan(FAULTS),
        acts=tuple(Act(What.KILL, number / (kills + 1)) for number in range(1, kills + 1)),
        undo_kills=(0.3, 0.6),
        undo_faults=fault_plan(FAULTS),
    )
    with scratch() as folder:
        settings = folder / "no settings.toml"
        settings.touch()
        environment = without_settings(os.environ) | {"PYTHONPATH": str(Path.cwd())}
        experiment = anyio.run(Lab(folder, ProgramUnderTest(environment, settings)).run, plan)
    tally = experiment.tally
    if not tally:
        raise RuntimeError(f"the import has come to no end: {experiment.problems}")
    good = sum(row.things is not None for row in draw_rows(Random(f"{plan.seed}/input"), plan.rows))
    figures: dict[str, Any] = {
        "subscribers": f"{good:,}",
        "faulty rows": f"{plan.rows - good:,}",
        "steps": f"{experiment.rows:,}",
        "requests that failed": f"{experiment.injected.total():,}",
        "kills": sum(event.act is What.KILL for event in experiment.events),
        "in effect once": f"{tally['once']:,}",
        "twice": tally["twice"],
        "lost": tally["lost"],
        "of no row": tally["foreign"],
        "the verdict after the undo": "; ".join(one.text for one in experiment.problems[:3])
        or "as before the import",
        "minutes": f"{experiment.seconds / 60:.1f}",
    }
    return table([*figures], [[*map(str, figures.values())]])


def _speed(size: Size) -> str:
    """Calls a second of an import, and of as many opening balances as it has steps."""
    subscribers = (2_000, 400, 20)[size]

    def load(*, imports: bool) -> float:
        with billing(_STEPS * subscribers, slots=SLOTS, latency_ms=LATENCY_MS) as mock:
            if imports:
                write_subscribers(mock.folder, subscribers)
            words = [*CLI, *import_words(mock)] if imports else balances_command(mock)
            return closing_of(timed([*words, *mock.flags(), *_WINDOW]).said).rate

    works = {imports: partial(load, imports=imports) for imports in (False, True)}
    balances, imported = in_turn((3, 2, 1)[size], works).values()
    nominal = [_NOMINAL] * len(balances)
    to_slots = f"balances to the {_NOMINAL:,.0f} of the slots"
    header = ("balances, calls/s", "import, calls/s", "import to balances", to_slots, "import to the same")
    ratios = (ratio(imported, balances), ratio(balances, nominal), ratio(imported, nominal))
    return table(header, [[shown(balances), shown(imported), *ratios]])


def import_words(mock: Billing) -> list[str]:
    return ["import", str(mock.folder / TABLE), "--dictionary", str(mock.folder / DICTIONARY)]


def write_subscribers(folder: Path, subscribers: int) -> int:
    """Write a table without faulty rows, one row in memory at a time; returns the number of its steps."""
    rows = write_table(folder, draw_rows(Random(1), subscribers, faulty=0.0))
    return sum(len(row.things) for row in rows if row.things is not None)


def _memory(size: Size) -> str:
    found = []
    for subscribers in ((2_000, 200_000), (2_000, 20_000), (20, 40))[size]:
        with billing(100, slots=SLOTS, latency_ms=0.0) as mock:
            steps = write_subscribers(mock.folder, subscribers)
            words = [*import_words(mock), *mock.flags(), *_WINDOW]
            *_, closing, peak = timed(with_peak("from cli.main import main\nmain()", *words)).said.splitlines()
        found.append((subscribers, steps, int(peak) / 1024, closing_of(closing).seconds))
    lines = [
        [f"{rows:,}", f"{steps:,}", f"{peak:,.1f} MiB", f"{peak - found[0][2]:+,.1f} MiB", f"{seconds:,.0f}"]
        for rows, steps, peak, seconds in found
    ]
    return table(("rows", "steps", "peak memory", "beyond the smallest", "seconds"), lines)


# ---- a load with nobody at its page, and with tabs and clients that never read ------------------------------------
# One run, whose quiet and watched spans alternate; how many rows the billing has entered in each span, its own ledger
# says. The page is a process of its own, as `carbon-migrate page` is.

SPANS: Final = (4.0, 2.0, 1.0)
"""Seconds."""
TABS: Final = 2
DEAD: Final = 50
_PATIENCE: Final = 30.0

Watch = tuple[float, float]
"""A span of a run: rows a second, and the seconds of processor that the run's process took for a thousand."""


def watching(size: Size) -> Part:
    lines = []
    for latency in ((20.0, 0.0), (20.0, 0.0), (200.0,))[size]:
        alone, watched = _spans(size, latency)
        cells = [answered(latency)]
        for column, form in enumerate((",.0f", ".3f")):
            quiet, seen = ([one[column] for one in spans] for spans in (alone, watched))
            cells += [shown(quiet, form), shown(seen, form), ratio(seen, quiet, ".3f")]
        lines.append(cells)
    header = ("answer", "alone, rows/s", "watched, rows/s", "watched to alone")
    of_processor = ("the run's processor alone, s a 1,000 rows", "watched", "watched to alone")
    return [table((*header, *of_processor), lines)]


def _spans(size: Size, latency: float) -> tuple[list[Watch], list[Watch]]:
    spans: tuple[list[Watch], list[Watch]] = ([], [])
    # The latency until the page is there: nothing of the load is over by then.
    with billing((60_000, 24_000, 1_500)[size], slots=SLOTS, latency_ms=1_000.0) as mock, ExitStack() as stack:
        words = [*balances_command(mock), *mock.flags(), "--in-flight", str(SLOTS), "--trust-journal"]
        load = stack.enter_context(started(words))
        while not mock.entered()[0]:
            if load.poll() is not None:
                raise RuntimeError("the load did not begin")
            time.sleep(0.05)
        page = stack.enter_context(started([*CLI, "page", "--json", "--journal", str(mock.folder / "journal")]))
        address = str(msgspec.json.decode(line_of(page))["address"])
        cookies = CookieJar()
        opener = build_opener(HTTPCookieProcessor(cookies))
        opener.open(address, timeout=_PATIENCE).close()
        mock.change(latency=latency / 1000)
        with opener.open(urljoin(address, "/api/runs"), timeout=_PATIENCE) as runs:
            events = f"/api/runs/{msgspec.json.decode(runs.read())['runs'][0]['run']}/events"
        request = Request(urljoin(address, events))  # noqa: S310 - our own page
        cookies.add_cookie_header(request)
        for number in range((5, 3, 1)[size] * 2):
            # Who begins alternates: quiet, watched, watched, quiet, …
            is_watched = number % 4 in {1, 2}
            with _clients(request) if is_watched else ExitStack():
                # The clock that clock_getcpuclockid(3) names, which Python does not have: precise, unlike /proc.
                clock = ~load.pid << 3 | 2
                before, began, used = mock.entered()[0], time.monotonic(), time.clock_gettime(clock)
                time.sleep(SPANS[size])
                # A machine may stand still for a span: that is a bad figure, and no fault.
                rows = max(mock.entered()[0] - before, 1)
                processor = (time.clock_gettime(clock) - used) / rows * 1000
                spans[is_watched].append((rows / (time.monotonic() - began), processor))
        if load.poll() is not None:
            raise RuntimeError("the load ended before it was measured: give it more rows")
    return spans


@contextmanager
def _clients(asked: Request) -> Iterator[None]:
    """Tabs that read what is sent, and clients that ask for it and never read."""
    cookie = asked.get_header("Cookie")
    request = f"GET {asked.selector} HTTP/1.1\r\nHost: {asked.host}\r\nCookie: {cookie}\r\n\r\n".encode()
    place, _, port = asked.host.rpartition(":")

    def read(connection: socket.socket) -> None:
        with suppress(OSError):
            while connection.recv(65536):
                pass

    def end(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    with ExitStack() as stack:
        for number in range(TABS + DEAD):
            connection = socket.socket()
            if number >= TABS:
                # The bytes that the kernel keeps for a client that does not read.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((place, int(port)))
            connection.sendall(request)
            if number < TABS:
                reader = Thread(target=read, args=(connection,))
                reader.start()
                stack.callback(reader.join)
            stack.callback(end, connection)
        yield
