"""`python -m benchmarks.serving DATABASE SLOTS LATENCY_MS`: a mock billing on free ports, until it is killed."""

import sys
from pathlib import Path

import anyio

from lab.mock.server import running, serve


async def _main(database: Path, slots: int, latency_ms: float) -> None:
    await serve(running(database, control_port=0, slots=slots, latency=latency_ms / 1000))


if __name__ == "__main__":
    anyio.run(_main, Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
