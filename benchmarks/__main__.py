"""`python -m benchmarks [--write]`: all tables, printed; with --write they become `docs/benchmarks.md`."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import structlog

from benchmarks import intake, memory, throughput

PAGE = Path("docs/benchmarks.md")
INTRODUCTION = """\
# Benchmarks

Made by `make bench` on {date}: {cores} cores, {machine}, Python {python}, aiohttp {aiohttp}.

Machines differ and so do their moods: read the ratios, which are of one run, not the absolute figures. Where three
figures stand, they are the median and, in brackets, the least and the greatest.
"""
PARTS = (
    (
        "Calls a second",
        throughput.measure,
        (
            "64 calls in flight. Both send the same form to the same server from one process. The engine makes every "
            "claim and every outcome durable (SQLite, `synchronous=FULL`); the bare loop keeps nothing. The server "
            "is a process of its own, so two cores are in use."
        ),
    ),
    (
        "Out of Firebird into the journal",
        intake.measure,
        "The embedded engine, pages of 1,000 rows by key, `warning-threshold` with `from=tariff`.",
    ),
    (
        "Memory",
        memory.measure,
        "Peak of the whole process over a whole run: intake, 64 calls in flight, every outcome.",
    ),
)


def main(arguments: list[str]) -> None:
    """Measure, print, and write the page when asked to."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    page = INTRODUCTION.format(
        date=datetime.now(UTC).date().isoformat(),
        cores=os.cpu_count(),
        machine=platform.machine(),
        python=platform.python_version(),
        aiohttp=aiohttp.__version__,
    )
    for title, measure, about in PARTS:
        print(f"{title} …", file=sys.stderr, flush=True)
        page += f"\n## {title}\n\n{about}\n\n{measure()}\n"
    print(page)
    if "--write" in arguments:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
