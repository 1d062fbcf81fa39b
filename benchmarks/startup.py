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
from tools.calls import a_workbench

ROUNDS: Final = Size(7, quick=7, smoke=1)
RUNS: Final = 20
"""Runs in the journal that `status` shows."""

LINE: Final = """curl -d 'method1=objects.get' -d 'arg1={"id": 5}' http://billing:8082/rest_api/v2/Abonents/"""
"""The line for `translate`."""
CLI: Final = (sys.executable, "-m", "cli")
COMMANDS: Final[Mapping[str, tuple[Sequence[str], str]]] = {
    "`import typer, rich.console`": ((sys.executable, "-c", "import typer, rich.console"), ""),
    "`--help`": ((*CLI, "--help"), "2.2"),
    "`jobs`": ((*CLI, "jobs"), ""),
    "`translate`": ((*CLI, "translate", LINE), ""),
    "`status`": ((*CLI, "status"), "2.6"),
    "`run --help`": ((*CLI, "run", "--help"), ""),
}
"""The commands, with the most that they may take to the first of them."""

PEAK: Final = """
import atexit, sys
from benchmarks.machine import peak_kib
atexit.register(lambda: print(peak_kib(), file=sys.__stdout__))
"""
HEADER: Final = ("command", "best, s", "to the first", "at most", "processor, s", "peak memory")
MINUTE: Final = ("command", "best, s", "loops", "at most")
_LOOP: Final = "s = 0\nfor i in range(20_000_000): s += i * i"


def measure(size: str) -> Part:
    """The tables of commands that ask nobody, and of those with a billing."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        anyio.run(_make_journal, Path(folder) / "carbon-migrate.journal")
        environment = _environment(Path(folder))
        found = {name: _measured(command, size, Path(folder), environment) for name, (command, _) in COMMANDS.items()}
        first = next(iter(found.values()))[0]
        lines = [
            [name, f"{wall:.2f}", f"{wall / first:.2f}", COMMANDS[name][1], f"{processor:.2f}", memory]
            for name, (wall, processor, memory) in found.items()
        ]
        minute = _of_the_first_minute(size, Path(folder))
    return Part(f"{table(HEADER, lines)}\n\n{table(MINUTE, minute)}")


def _measured(
    command: Sequence[str], size: str, folder: Path, environment: Mapping[str, str]
) -> tuple[float, float, str]:
    timed(command, cwd=folder, environment=environment)
    took = [timed(command, cwd=folder, environment=environment) for _ in range(int(ROUNDS.of(size)))]
    peak = _peak_kib(command, folder, environment)
    return min(one.seconds for one in took), min(one.processor for one in took), f"{peak / 1024:.0f} MiB"


def _of_the_first_minute(size: str, folder: Path) -> list[list[str]]:
    rounds = range(int(ROUNDS.of(size)))
    loop = min(timed((sys.executable, "-c", _LOOP)).seconds for _ in rounds)
    with a_workbench() as bench:
        words = ("run", "balances", "--yes", "--journal")
        one = min(timed((*CLI, *words, bench.journal(), bench.balances(1))).seconds for _ in rounds)
    shown = ("--quick",) if size == "smoke" else ()
    demo = min(timed((*CLI, "demo", *shown), cwd=folder, environment=_environment(folder)).seconds for _ in (1, 2))
    return [
        ["a loop", f"{loop:.2f}", "1", ""],
        ["`run` of one row", f"{one:.2f}", f"{one / loop:.1f}", "0.8"],
        ["`demo`", f"{demo:.1f}", f"{demo / loop:.1f}", "8"],
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
