"""Sending to a server that gives every POST the same answer.

Everybody is side by side, the engine beside bare loops, and its time and memory with the rows.
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from benchmarks import rig
from benchmarks.page import Part, Size, answered, bars, curves, ratio, shown
from benchmarks.rig import in_turn, timed
from benchmarks.senders import CONTENDERS, MODEL, bare, engine, on_uvloop, own, wired
from tools.markdown import table

LATENCY_MS: Final = 20


# ---- side by side -------------------------------------------------------------------------------------------------

_ROUNDS: Final = (3, 1, 1)
_SHARE: Final = (1.0, 0.5, 0.002)
"""The share of its rows that each contender gets."""


def side_by_side(size: Size) -> Part:
    """A table and a plot for an immediate answer, and for one after 20 ms."""
    with rig.nginx() as url:
        at_once = in_turn(_ROUNDS[size], {name: partial(send, name, url, 0, _SHARE[size]) for name in CONTENDERS})
    with rig.answering(LATENCY_MS) as url:
        after = in_turn(_ROUNDS[size], {name: partial(send, name, url, 1, _SHARE[size]) for name in CONTENDERS})
    later = answered(LATENCY_MS)
    return [
        "Answered at once:",
        *_compared("at-once.svg", "Rows a second, answered at once (nginx)", at_once),
        f"Answered {later}:",
        *_compared(f"{later.replace(' ', '-')}.svg", f"Rows a second, answered {later}", after),
    ]


Sent = tuple[int, float, float, float]
"""A load: rows, rows a second while sending and with its start, and seconds of the processor for 1,000 rows."""


def send(name: str, url: str, which: int, share: float) -> Sent:
    """Let a contender send a share of its rows."""
    *numbers, lists = CONTENDERS[name]
    rows = max(int(numbers[which] * share), 2)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        took = timed(lists(Path(folder), f"{url}/rest_api/v2/{MODEL}/", rows))
    # Who has no list of his own says nothing, and sends from his start on.
    sending = float(msgspec.json.decode(took.said)["sending"]) if took.said.startswith("{") else took.seconds
    return rows, rows / sending, rows / took.seconds, took.processor / rows * 1000


def _compared(plot: str, title: str, found: Mapping[str, Sequence[Sent]]) -> Part:
    rates = {name: [one[1] for one in sent] for name, sent in found.items()}
    *_, ours = rates.values()
    lines = []
    for name, sent in found.items():
        of_each = [a / b for a, b in zip(ours, rates[name], strict=True)]
        times = shown(of_each, ",.0f" if median(of_each) >= 10 else ".2f") if rates[name] is not ours else ""
        whole = f"{median(one[2] for one in sent):,.0f}"
        processor = shown([one[3] for one in sent], ".3f")
        lines.append([name, f"{sent[0][0]:,}", shown(rates[name]), whole, times, processor])
    header = ("", "rows", "rows a second, sending", "with its start", "the engine is so many times as fast")
    return [
        table((*header, "processor, s a 1,000 rows"), lines),
        bars(plot, title, {name.replace("`", ""): each for name, each in rates.items()}),
    ]


# ---- beside bare aiohttp ------------------------------------------------------------------------------------------

_SENDERS: Final = {"bare aiohttp": bare, "the same wire, no journal": wired, "engine with journal": engine}


def throughput(size: Size) -> Part:
    """The table: all in turn, in one process, with ratios for each round."""
    lines = []
    with rig.nginx() as at_once, rig.answering(LATENCY_MS) as after:
        for url, latency, number in ((after, LATENCY_MS, (8_000, 5_000, 200)), (at_once, 0, (20_000, 15_000, 200))):
            works = {name: partial(_rate, name, url, number[size]) for name in _SENDERS}
            alone, wire, ours = rates = [*in_turn((5, 3, 1)[size], works).values()]
            lines.append([answered(latency), *map(shown, rates), ratio(ours, alone), ratio(ours, wire)])
    header = ("answer", *(f"{name}, calls/s" for name in _SENDERS))
    return [table((*header, "engine to bare aiohttp", "engine to the same wire"), lines)]


def _rate(name: str, url: str, rows: int) -> float:
    return rows / on_uvloop(_SENDERS[name], url, rows)["sending"]


# ---- time and memory with the rows --------------------------------------------------------------------------------


def growth(size: Size) -> Part:
    """The table, with the growth of each run over the smallest, and plots of both."""
    sizes = ((10_000, 100_000, 1_000_000), (10_000, 100_000), (100, 1_000))[size]
    with rig.nginx() as url:
        said: list[dict[str, Any]] = [msgspec.json.decode(timed(own("engine", url, rows)).said) for rows in sizes]
    found = [
        (rows, one["freezing"], one["sending"], one["peak_kib"] / 1024) for rows, one in zip(sizes, said, strict=True)
    ]
    header = ("rows", "freezing, s", "sending, s", "µs a row, both", "peak memory", "beyond the smallest")
    lines = [
        [
            f"{rows:,}",
            f"{freezing:,.1f}",
            f"{sending:,.1f}",
            f"{(freezing + sending) / rows * 1e6:,.0f}",
            f"{peak:,.1f} MiB",
            f"{peak - found[0][3]:+,.1f} MiB",
        ]
        for rows, freezing, sending, peak in found
    ]
    freezing, sending, peak = ([(one[0] / 1000, one[column]) for one in found] for column in (1, 2, 3))
    axis = "thousand rows"
    return [
        table(header, lines),
        curves("time.svg", "Seconds for all rows", {"freezing": freezing, "sending": sending}, (axis, "seconds")),
        curves("memory.svg", "Peak memory of the whole process", {"peak": peak}, (axis, "MiB")),
    ]
