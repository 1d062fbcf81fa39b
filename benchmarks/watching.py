"""The cost of being watched: a load with nobody at its page, and with two tabs and fifty clients that never read.

One run, whose quiet and watched spans alternate; how many rows the billing has entered in each span, its own ledger
says. The page is a process of its own, as `carbon-migrate page` is.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from threading import Thread
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from benchmarks import rig
from benchmarks.figures import Part, Size, Spread, table

SLOTS: Final = 16
LATENCIES_MS: Final = {"full": (20.0, 0.0), "quick": (20.0, 0.0), "smoke": (200.0,)}
ROWS: Final = Size(60_000, quick=24_000, smoke=1_500)
SPAN: Final = Size(4.0, quick=2.0, smoke=1.0)
"""Seconds."""
BEFORE_MS: Final = 1_000.0
"""The latency until the page is there: nothing of the load is over by then."""
PAIRS: Final = Size(5, quick=3, smoke=1)
TABS: Final = 2
DEAD: Final = 50
MODEL: Final = "FinanceOperations"
HEADER: Final = (
    "answer",
    "alone, rows/s",
    "watched, rows/s",
    "watched to alone",
    "the run's processor alone, s a 1,000 rows",
    "watched",
    "watched to alone",
)
_PATIENCE: Final = 30.0
_LITTLE: Final = 4096
"""Bytes that the kernel keeps for a client that does not read."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A span of a run: rows a second, and the seconds of processor that the run's process took for a thousand."""

    rate: float
    processor: float


def measure(size: str) -> Part:
    """The table, a line a latency."""
    lines = []
    for latency in LATENCIES_MS[size]:
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
            alone, watched = _spans(Path(folder), size, latency)
        cells = _compared([one.rate for one in alone], [one.rate for one in watched], ",.0f")
        cells += _compared([one.processor for one in alone], [one.processor for one in watched], ".3f")
        lines.append([f"after {latency:.0f} ms" if latency else "at once", *cells])
    return Part(table(HEADER, lines))


def _compared(alone: Sequence[float], watched: Sequence[float], form: str) -> list[str]:
    ratio = Spread.of([one / other for one, other in zip(watched, alone, strict=True)])
    return [Spread.of(alone).shown(form), Spread.of(watched).shown(form), ratio.shown(".3f")]


def _spans(folder: Path, size: str, latency: float) -> tuple[list[Watch], list[Watch]]:
    """The quiet spans and the watched ones of one run."""
    ids = rig.populated(folder / "billing.fdb", int(ROWS.of(size)))
    lines = ["abonent_id;amount", *(f"{key};50,50" for key in ids)]
    (folder / "balances.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spans: tuple[list[Watch], list[Watch]] = ([], [])
    with ExitStack() as stack:
        mock = stack.enter_context(rig.mock(folder / "billing.fdb", slots=SLOTS, latency_ms=BEFORE_MS))
        flags = ["--yes", "--quiet", "--no-canary", "--in-flight", str(SLOTS), "--set", "op_type=2"]
        flags += ["--trust-journal", "--api-url", mock.url, "--database", str(folder / "billing.fdb")]
        load = stack.enter_context(_command(folder, "run", "balances", str(folder / "balances.csv"), *flags))
        _wait_for_rows(mock, load)
        with _command(folder, "page", "--json") as page:
            address = urlsplit(_address(page))
            cookie = _open(address)
            mock.set(latency=latency / 1000)
            events = f"/api/runs/{_first_run(address, cookie)}/events"
            for number in range(int(PAIRS.of(size)) * 2):
                # Who begins alternates: quiet, watched, watched, quiet, …
                is_watched = number % 4 in {1, 2}
                with _clients(address, cookie, events) if is_watched else ExitStack():
                    spans[is_watched].append(_watch(mock, load.pid, SPAN.of(size)))
        if load.poll() is not None:
            raise RuntimeError("the load ended before it was measured: ROWS are too few")
    return spans


@contextmanager
def _command(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "cli", *arguments, "--journal", str(folder / "journal")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _address(page: "subprocess.Popen[str]") -> str:
    line = page.stdout.readline() if page.stdout is not None else ""
    return str(msgspec.json.decode(line)["address"])


def _entered(mock: rig.Mock) -> int:
    effects = mock.effects()
    return int(effects[MODEL]["effects"]) if MODEL in effects else 0


def _wait_for_rows(mock: rig.Mock, load: "subprocess.Popen[str]") -> None:
    while not _entered(mock):
        if load.poll() is not None:
            raise RuntimeError("the load did not begin")
        time.sleep(0.05)


def _watch(mock: rig.Mock, process: int, seconds: float) -> Watch:
    """What the billing enters in so many seconds, and what that takes the run's process."""
    before, began, used = _entered(mock), time.monotonic(), _processor(process)
    time.sleep(seconds)
    rows, passed, taken = _entered(mock) - before, time.monotonic() - began, _processor(process) - used
    # A machine may stand still for a span: that is a bad figure, and no fault.
    return Watch(max(rows, 1) / passed, taken / max(rows, 1) * 1000)


def _processor(process: int) -> float:
    """Seconds of processor that a process has taken, all its threads together."""
    # The clock that clock_getcpuclockid(3) names, which Python does not have: precise, where /proc counts ticks.
    return time.clock_gettime(~process << 3 | 2)


def _open(address: SplitResult) -> str:
    """Open the page; its cookie."""
    headers, _ = _asked(address, f"{address.path}?{address.query}")
    return headers["Set-Cookie"].partition(";")[0]


def _first_run(address: SplitResult, cookie: str) -> str:
    _, body = _asked(address, "/api/runs", Cookie=cookie)
    return str(msgspec.json.decode(body)["runs"][0]["run"])


def _asked(address: SplitResult, path: str, **headers: str) -> tuple[HTTPMessage, bytes]:
    """The headers and the body of an answer of the page."""
    connection = HTTPConnection(address.netloc, timeout=_PATIENCE)
    with closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.headers, answer.read()


@contextmanager
def _clients(address: SplitResult, cookie: str, events: str) -> Iterator[None]:
    """Tabs that read what is sent, and clients that ask for it and never read."""
    request = f"GET {events} HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {cookie}\r\n\r\n".encode()
    connections: list[socket.socket] = []
    for number in range(TABS + DEAD):
        connection = socket.socket()
        if number >= TABS:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE)
        connection.connect((address.hostname, address.port))
        connection.sendall(request)
        connections.append(connection)
    readers = [Thread(target=_read, args=(connection,)) for connection in connections[:TABS]]
    try:
        for reader in readers:
            reader.start()
        yield
    finally:
        _end(connections, readers)


def _read(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(65536):
            pass


def _end(connections: Sequence[socket.socket], readers: Sequence[Thread]) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    for reader in readers:
        reader.join()
