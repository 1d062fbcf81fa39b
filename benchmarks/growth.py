"""Growth of time and memory with the rows: one process for each run, from the first row saved to the last outcome."""

import sys
from typing import Final

import msgspec

from benchmarks import rig
from benchmarks.figures import Part, Size, table
from benchmarks.machine import timed
from benchmarks.plots import Curve, curves

SMALLEST: Final = 10_000
GREATEST: Final = Size(1_000_000, quick=100_000, smoke=1_000)
HEADER: Final = ("rows", "freezing, s", "sending, s", "µs a row, both", "peak memory", "beyond the smallest")


class _Said(msgspec.Struct):
    """The figures that a measured process prints."""

    freezing: float
    sending: float
    peak_kib: int


def measure(size: str) -> Part:
    """The table, with the growth of each run over the smallest, and a plot of the memory."""
    greatest = int(GREATEST.of(size))
    sizes = [rows for rows in (SMALLEST, 10 * SMALLEST, 100 * SMALLEST) if rows <= greatest] or [100, greatest]
    with rig.nginx() as url:
        said = [_run(rows, url) for rows in sizes]
    smallest = said[0].peak_kib
    lines = [
        [
            f"{rows:,}",
            f"{one.freezing:,.1f}",
            f"{one.sending:,.1f}",
            f"{(one.freezing + one.sending) / rows * 1e6:,.0f}",
            f"{one.peak_kib / 1024:,.1f} MiB",
            f"{(one.peak_kib - smallest) / 1024:+,.1f} MiB",
        ]
        for rows, one in zip(sizes, said, strict=True)
    ]
    thousands = [rows / 1000 for rows in sizes]
    plots = {
        "time.svg": curves(
            "Seconds for all rows",
            [
                Curve("freezing", [(x, one.freezing) for x, one in zip(thousands, said, strict=True)]),
                Curve("sending", [(x, one.sending) for x, one in zip(thousands, said, strict=True)]),
            ],
            of_x="thousand rows",
            of_y="seconds",
        ),
        "memory.svg": curves(
            "Peak memory of the whole process",
            [Curve("peak", [(x, one.peak_kib / 1024) for x, one in zip(thousands, said, strict=True)])],
            of_x="thousand rows",
            of_y="MiB",
        ),
    }
    text = f"{table(HEADER, lines)}\n\n![](benchmarks/time.svg)\n\n![](benchmarks/memory.svg)"
    return Part(text, plots)


def _run(rows: int, url: str) -> _Said:
    command = [sys.executable, "-m", "benchmarks.entering", str(rows), url]
    return msgspec.json.decode(timed(command).said, type=_Said)
