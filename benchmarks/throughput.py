"""Calls a second of the engine with its journal, beside a bare aiohttp loop that keeps nothing, pair by pair.

Both send from one process with uvloop, 64 in flight; what differs is the work that the engine does for each row:
claim and outcome durable, the form made, evidence judged, counts kept.
"""

from typing import Final

from benchmarks import rig
from benchmarks.bare import bare
from benchmarks.entering import engine, on_uvloop
from benchmarks.figures import Part, Size, Spread, table

LATENCY_MS: Final = 20
PAIRS: Final = Size(7, quick=3, smoke=1)
AT_ONCE: Final = Size(20_000, quick=15_000, smoke=200)
AFTER: Final = Size(8_000, quick=5_000, smoke=200)
HEADER: Final = ("answer", "bare aiohttp, calls/s", "engine with journal, calls/s", "ratio")


def measure(size: str) -> Part:
    """The table: both in turn, the ratio pair by pair."""
    with rig.nginx() as url:
        at_once = _pairs(size, url, int(AT_ONCE.of(size)))
    with rig.answering(LATENCY_MS) as url:
        after = _pairs(size, url, int(AFTER.of(size)))
    return Part(table(HEADER, [_line(f"after {LATENCY_MS} ms", after), _line("at once", at_once)]))


def _pairs(size: str, url: str, rows: int) -> list[tuple[float, float]]:
    """Calls a second of both, so many times; who begins alternates."""
    pairs = []
    for number in range(int(PAIRS.of(size))):
        if number % 2:
            second, first = _of_engine(url, rows), _of_bare(url, rows)
        else:
            first, second = _of_bare(url, rows), _of_engine(url, rows)
        pairs.append((first, second))
    return pairs


def _of_bare(url: str, rows: int) -> float:
    return rows / on_uvloop(bare, url, rows)


def _of_engine(url: str, rows: int) -> float:
    _, sending = on_uvloop(engine, url, rows)
    return rows / sending


def _line(answer: str, pairs: list[tuple[float, float]]) -> list[str]:
    return [
        answer,
        Spread.of([one for one, _ in pairs]).shown(),
        Spread.of([two for _, two in pairs]).shown(),
        Spread.of([two / one for one, two in pairs]).shown(".2f"),
    ]
