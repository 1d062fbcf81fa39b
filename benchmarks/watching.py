"""The cost of being watched: a load with nobody at its page, and with two tabs and fifty clients that never read.

One run, whose quiet and watched spans alternate; how many rows the billing has entered in each span, its own ledger
says. The page is a process of its own, as `carbon-migrate page` is.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.cookiejar import CookieJar
from threading import Thread
from typing import Final
from urllib.parse import urljoin
from urllib.request import HTTPCookieProcessor, Request, build_opener

import msgspec

from benchmarks.loads import SLOTS, balances_command
from benchmarks.page import Part, Size, answered, ratio, shown
from benchmarks.rig import CLI, Billing, billing, line_of, started
from tools.markdown import table

SPANS: Final = (4.0, 2.0, 1.0)
"""Seconds."""
TABS: Final = 2
DEAD: Final = 50
_ROWS: Final = (60_000, 24_000, 1_500)
_PAIRS: Final = (5, 3, 1)
_BEFORE_MS: Final = 1_000.0
"""The latency until the page is there: nothing of the load is over by then."""
_PATIENCE: Final = 30.0
_LITTLE: Final = 4096
"""Bytes that the kernel keeps for a client that does not read."""


def watching(size: Size) -> Part:
    """The table, a line a latency."""
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


Watch = tuple[float, float]
"""A span of a run: rows a second, and the seconds of processor that the run's process took for a thousand."""


def _spans(size: Size, latency: float) -> tuple[list[Watch], list[Watch]]:
    """The quiet spans and the watched ones of one run."""
    spans: tuple[list[Watch], list[Watch]] = ([], [])
    with billing(_ROWS[size], slots=SLOTS, latency_ms=_BEFORE_MS) as mock, ExitStack() as stack:
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
        for number in range(_PAIRS[size] * 2):
            # Who begins alternates: quiet, watched, watched, quiet, …
            is_watched = number % 4 in {1, 2}
            with _clients(request) if is_watched else ExitStack():
                spans[is_watched].append(_watch(mock, load.pid, SPANS[size]))
        if load.poll() is not None:
            raise RuntimeError("the load ended before it was measured: give it more rows")
    return spans


def _watch(mock: Billing, process: int, seconds: float) -> Watch:
    """What the billing enters in so many seconds, and what that takes the run's process."""
    # The clock that clock_getcpuclockid(3) names, which Python does not have: precise, where /proc counts ticks.
    clock = ~process << 3 | 2
    before, began, used = mock.entered()[0], time.monotonic(), time.clock_gettime(clock)
    time.sleep(seconds)
    # A machine may stand still for a span: that is a bad figure, and no fault.
    rows = max(mock.entered()[0] - before, 1)
    return rows / (time.monotonic() - began), (time.clock_gettime(clock) - used) / rows * 1000


@contextmanager
def _clients(asked: Request) -> Iterator[None]:
    """Tabs that read what is sent, and clients that ask for it and never read."""
    cookie = asked.get_header("Cookie")
    request = f"GET {asked.selector} HTTP/1.1\r\nHost: {asked.host}\r\nCookie: {cookie}\r\n\r\n".encode()
    place, _, port = asked.host.rpartition(":")
    connections: list[socket.socket] = []
    for number in range(TABS + DEAD):
        connection = socket.socket()
        if number >= TABS:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE)
        connection.connect((place, int(port)))
        connection.sendall(request)
        connections.append(connection)
    readers = [Thread(target=_read, args=(connection,)) for connection in connections[:TABS]]
    try:
        for reader in readers:
            reader.start()
        yield
    finally:
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for reader in readers:
            reader.join()


def _read(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(65536):
            pass
