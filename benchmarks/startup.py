"""Startup time of commands that need no billing: the whole process, from start to exit.

Each runs in a folder of its own, after an uncounted run that writes its bytecode. The best round counts, since the
rest is noise of other work on the machine.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio

from benchmarks.figures import Part, Size, table
from benchmarks.machine import timed
from checkpoints.journal import open_journal
from checkpoints.records import NewRun

ROUNDS: Final = Size(7, quick=7, smoke=1)
RUNS: Final = 20
"""Runs in the journal that `status` shows."""

LINE: Final = """curl -d 'method1=objects.get' -d 'arg1={"id": 5}' http://billing:8082/rest_api/v2/Abonents/"""
"""The line for `translate`."""
CLI: Final = (sys.executable, "-m", "cli")
COMMANDS: Final[Mapping[str, tuple[Sequence[str], str]]] = {
    "`import typer`, to compare with": ((sys.executable, "-c", "import typer"), ""),
    "`--help`": ((*CLI, "--help"), "0.25 s"),
    "`jobs`": ((*CLI, "jobs"), ""),
    "`translate`": ((*CLI, "translate", LINE), ""),
    "`status`": ((*CLI, "status"), "0.35 s, 45 MiB"),
    "`run --help`": ((*CLI, "run", "--help"), ""),
}
"""The commands, with their time limit on two cores."""

PEAK: Final = """
import atexit, sys
from benchmarks.machine import peak_kib
atexit.register(lambda: print(peak_kib(), file=sys.__stdout__))
"""
HEADER: Final = ("command", "best, s", "processor, s", "peak memory", "at most")


def measure(size: str) -> Part:
    """The table."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        anyio.run(_make_journal, Path(folder) / "carbon-migrate.journal")
        environment = _environment(Path(folder))
        lines = [
            [name, *_measured(command, size, Path(folder), environment), most]
            for name, (command, most) in COMMANDS.items()
        ]
    return Part(table(HEADER, lines))


def _measured(command: Sequence[str], size: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    timed(command, cwd=folder, environment=environment)
    took = [timed(command, cwd=folder, environment=environment) for _ in range(int(ROUNDS.of(size)))]
    peak = _peak_kib(command, folder, environment)
    return [
        f"{min(one.seconds for one in took):.2f}",
        f"{min(one.processor for one in took):.2f}",
        f"{peak / 1024:.0f} MiB",
    ]


def _peak_kib(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """The peak memory of a command, as its own process reports it at its end."""
    interpreter, how, what, *arguments = command
    program = what if how == "-c" else "from cli.main import main\nmain()"
    took = timed([interpreter, "-c", f"{PEAK}{program}", *arguments], cwd=folder, environment=environment)
    return int(took.said.split()[-1])


def _environment(folder: Path) -> dict[str, str]:
    """An environment in which bytecode is cached, without the program's settings."""
    taken = {name: value for name, value in os.environ.items() if not name.startswith(("CARBON_MIGRATE_", "PYTHON"))}
    return taken | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONPATH": str(Path.cwd())}


async def _make_journal(path: Path) -> None:
    async with open_journal(path) as journal:
        for _ in range(RUNS):
            await journal.create_run(NewRun("balances", {}, "http://billing:8082", "balances.csv", "", ("amount",)))
