"""Peak memory of a whole run, from the source's first row to the last outcome, with few rows and with many.

`python -m benchmarks.memory ROWS URL` is the measured process: it prints its peak in KiB.
"""

import subprocess
import sys

import anyio
import structlog

from benchmarks.figures import table
from benchmarks.throughput import answering, engine

SIZES = (10_000, 1_000_000)


def measure() -> str:
    """The table, with how much the greater run takes beyond the smaller."""
    peaks = []
    with answering(0) as url:
        for rows in SIZES:
            command = [sys.executable, "-m", "benchmarks.memory", str(rows), url]
            peaks.append(int(subprocess.check_output(command, text=True)) / 1024)
    lines = [
        [f"{rows:,}", f"{peak:,.1f} MiB", f"{peak - peaks[0]:+,.1f} MiB"]
        for rows, peak in zip(SIZES, peaks, strict=True)
    ]
    return table(["rows", "peak memory", "beyond the smallest"], lines)


async def _run(rows: int, url: str) -> None:
    await engine(url, rows)
    # Not getrusage: its peak includes that of the process which this one was forked from.
    status = await anyio.Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def main(arguments: list[str]) -> None:
    """Measure this process when rows and URL are given, else print the table."""
    if arguments:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        anyio.run(_run, int(arguments[0]), arguments[1], backend_options={"use_uvloop": True})
    else:
        print(measure())


if __name__ == "__main__":
    main(sys.argv[1:])
