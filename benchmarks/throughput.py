"""Calls a second of the engine with its journal, compared with loops without durability, round by round.

All send from one process with uvloop, 64 in flight. A bare aiohttp loop is the usual hand-written solution. The loop
over the engine's wire handles HTTP as the engine does, so the difference is the engine's work for each row: durable
claim and outcome, the form, the evidence, the counts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks import rig
from benchmarks.bare import bare, wired
from benchmarks.entering import engine, on_uvloop
from benchmarks.figures import Part, Size, Spread, table

LATENCY_MS: Final = 20
ROUNDS: Final = Size(5, quick=3, smoke=1)
AT_ONCE: Final = Size(20_000, quick=15_000, smoke=200)
AFTER: Final = Size(8_000, quick=5_000, smoke=200)
BARE: Final = "bare aiohttp"
WIRED: Final = "the same wire, no journal"
ENGINE: Final = "engine with journal"
HEADER: Final = (
    "answer",
    f"{BARE}, calls/s",
    f"{WIRED}, calls/s",
    f"{ENGINE}, calls/s",
    "engine to bare aiohttp",
    "engine to the same wire",
)


def measure(size: str) -> Part:
    """The table: all in turn, with ratios for each round."""
    with rig.nginx() as url:
        at_once = _rounds(size, url, int(AT_ONCE.of(size)))
    with rig.answering(LATENCY_MS) as url:
        after = _rounds(size, url, int(AFTER.of(size)))
    return Part(table(HEADER, [_line(f"after {LATENCY_MS} ms", after), _line("at once", at_once)]))


def _rounds(size: str, url: str, rows: int) -> Mapping[str, Sequence[float]]:
    """Calls a second of each sender; the order is reversed each round."""
    found: dict[str, list[float]] = {name: [] for name in SENDERS}
    for number in range(int(ROUNDS.of(size))):
        for name in SENDERS if number % 2 == 0 else reversed(tuple(SENDERS)):
            found[name].append(rows / SENDERS[name](url, rows))
    return found


def _of_engine(url: str, rows: int) -> float:
    _, sending = on_uvloop(engine, url, rows)
    return sending


SENDERS: Final[Mapping[str, Callable[[str, int], float]]] = {
    BARE: lambda url, rows: on_uvloop(bare, url, rows),
    WIRED: lambda url, rows: on_uvloop(wired, url, rows),
    ENGINE: _of_engine,
}
"""Each sends this many rows, and returns the seconds."""


def _line(answer: str, found: Mapping[str, Sequence[float]]) -> list[str]:
    def ratio(to: str) -> str:
        return Spread.of([a / b for a, b in zip(found[ENGINE], found[to], strict=True)]).shown(".2f")

    return [answer, *(Spread.of(found[name]).shown() for name in SENDERS), ratio(BARE), ratio(WIRED)]
