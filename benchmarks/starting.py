"""What a row costs, counted; and what a command takes from its start to its exit."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from benchmarks.page import Part, Size
from benchmarks.rig import CLI, scratch, timed, with_peak
from checkpoints.journal import open_journal
from checkpoints.records import NewRun
from tools.calls import BUDGETS, a_workbench, measured
from tools.markdown import table

# ---- counted ------------------------------------------------------------------------------------------------------

BEFORE: Final[Mapping[str, int]] = {
    "run: one row": 8_717,
    "run: a further row": 353,
    "plan: a further row": 173,
    "status": 1_507,
    "verify: a further row": 180,
    "undo: a further row": 544,
    "import: a further step": 643,
    "worker: a further row": 362,
}
"""Calls at 797dfb81, on 2026-11-29, before costs were counted in CI."""


def counted(_: Size) -> Part:
    with a_workbench() as bench:
        lines = [
            [
                name,
                f"{BEFORE[name]:,}" if name in BEFORE else "–",
                f"{cost.calls:,.0f}",
                f"{BUDGETS[name].calls:,.0f}",
                *(f"{count:.2f}" for count in (cost.journal, cost.billing, cost.trips)),
            ]
            for name, cost in measured(bench)
        ]
    header = ("measure", "calls before", "calls", "at most", "statements of the journal", "selects of the billing")
    return [table((*header, "round trips to PostgreSQL"), lines)]


# ---- the first minute ---------------------------------------------------------------------------------------------

RUNS: Final = 20
"""Runs in the journal that `status` shows."""
_LINE: Final = """curl -d 'method1=objects.get' -d 'arg1={"id": 5}' http://billing:8082/rest_api/v2/Abonents/"""
_COMMANDS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "--help": (("--help",), "2.2"),
    "jobs": (("jobs",), ""),
    "translate": (("translate", _LINE), ""),
    "status": (("status",), "2.6"),
    "run --help": (("run", "--help"), ""),
}
"""Commands that need no billing, with the most that they may take to `_NOTHING`."""
_NOTHING: Final = "import click, rich.console"
_LOOP: Final = "s = 0\nfor i in range(20_000_000): s += i * i"


def startup(size: Size) -> Part:
    """The tables of commands that ask nobody, and of those with a billing. The best round counts."""
    rounds = range((7, 7, 1)[size])
    with scratch() as folder:
        anyio.run(_make_journal, folder / "carbon-migrate.journal")
        own = {name: one for name, one in os.environ.items() if not name.startswith(("CARBON_MIGRATE_", "PYTHON"))}
        environment = own | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONPATH": str(Path.cwd())}
        run = partial(timed, cwd=folder, environment=environment)
        works = [(_NOTHING, [sys.executable, "-c", _NOTHING], with_peak(_NOTHING), "")]
        for name, (words, most) in _COMMANDS.items():
            works.append((name, [*CLI, *words], with_peak("from cli.main import main\nmain()", *words), most))
        lines, first = [], 0.0
        for name, command, telling, most in works:
            # Its bytecode is written by the one that tells its memory.
            peak = int(run(telling).said.split()[-1])
            run(command)
            took = [run(command) for _ in rounds]
            wall, processor = min(one.seconds for one in took), min(one.processor for one in took)
            first = first or wall
            cells = [f"{wall:.2f}", f"{wall / first:.2f}", most, f"{processor:.2f}", f"{peak / 1024:.0f} MiB"]
            lines.append([f"`{name}`", *cells])
        loop = min(timed((sys.executable, "-c", _LOOP)).seconds for _ in rounds)
        with a_workbench() as bench:
            words = ("run", "balances", "--yes", "--journal")
            one = min(timed((*CLI, *words, bench.journal(), bench.balances(1))).seconds for _ in rounds)
        demo = min(run((*CLI, "demo", *(("--quick",) if size is Size.SMOKE else ()))).seconds for _ in (1, 2))
    minute = [
        ["a loop", f"{loop:.2f}", "1", ""],
        ["`run` of one row", f"{one:.2f}", f"{one / loop:.1f}", "0.8"],
        ["`demo`", f"{demo:.1f}", f"{demo / loop:.1f}", "8"],
    ]
    header = ("command", "best, s", "to the first", "at most", "processor, s", "peak memory")
    return [table(header, lines), table(("command", "best, s", "loops", "at most"), minute)]


async def _make_journal(path: Path) -> None:
    async with open_journal(path) as journal:
        for _ in range(RUNS):
            await journal.create_run(NewRun("balances", {}, "http://billing:8082", "balances.csv", "", ("amount",)))
