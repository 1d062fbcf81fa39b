"""Whole commands on a mock billing: what a look before each row costs, and an import.

The import is proven by an experiment of the crash lab, judged by what the billing holds; then its speed is measured
beside opening balances, in pairs, and its memory.
"""

import os
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio

from benchmarks.page import Part, Size, answered, ratio, shown
from benchmarks.rig import CLI, Billing, Closing, billing, fault_plan, in_turn, scratch, timed, with_peak
from lab.crash.experiment import Lab
from lab.crash.import_table import DICTIONARY, TABLE, draw_rows, write_table
from lab.crash.plan import IMPORT, Act, BillingTraits, Disturbance, ExperimentPlan
from lab.crash.program import ProgramUnderTest, without_settings
from tools.markdown import table

SLOTS: Final = 16
LATENCY_MS: Final = 20.0

# ---- a look before each row ---------------------------------------------------------------------------------------


def looking(size: Size) -> Part:
    """The table: with a database and through the API alone, for each latency."""
    lines = []
    for latency in (LATENCY_MS, 0.0):
        for database, through in ((True, "the database"), (False, "the API alone")):
            load = partial(_rate_of_balances, (4_000, 800, 40)[size], latency, database=database)
            found = in_turn((5, 2, 1)[size], {trusts: partial(load, trusts=trusts) for trusts in (False, True)})
            lines.append([answered(latency), through, *map(shown, found.values()), ratio(found[False], found[True])])
    header = ("answer", "asked through", "looking, rows/s", "trusting the journal, rows/s", "looking to trusting")
    return [table(header, lines)]


def _rate_of_balances(rows: int, latency: float, *, database: bool, trusts: bool) -> float:
    with billing(rows, slots=SLOTS, latency_ms=latency) as mock:
        words = [*balances_command(mock), "--in-flight", str(SLOTS), *mock.flags(database=database)]
        return Closing.of(timed([*words, *(["--trust-journal"] if trusts else [])]).said).rate


def balances_command(mock: Billing) -> list[str]:
    # Several subscribers may share an account; the effect on the others is not measured here.
    return [*CLI, "run", "balances", mock.balances(), "--set", "op_type=2"]


# ---- an import ----------------------------------------------------------------------------------------------------

FAULTS: Final = 0.03
"""The share of requests that fail in the proof."""
_NOMINAL: Final = SLOTS / (LATENCY_MS / 1000)
_STEPS: Final = 5
"""Steps of a subscriber, about."""


def importing(size: Size) -> Part:
    """The tables of the proof, the speed and the memory."""
    return [_proof(size), _speed(size), _memory(size)]


def _proof(size: Size) -> str:
    kills = (10, 10, 2)[size]
    plan = ExperimentPlan(
        seed=1,
        job=IMPORT,
        rows=(20_000, 1_000, 20)[size],
        in_flight=None,
        traits=BillingTraits(latency_ms=5.0, slots=SLOTS, stack_rate=None),
        faults=fault_plan(FAULTS),
        disturbances=tuple(Disturbance(Act.KILL, number / (kills + 1)) for number in range(1, kills + 1)),
        undo_kills=(0.3, 0.6),
        undo_faults=fault_plan(FAULTS),
    )
    with scratch() as folder:
        settings = folder / "no settings.toml"
        settings.touch()
        environment = without_settings(os.environ) | {"PYTHONPATH": str(Path.cwd())}
        experiment = anyio.run(Lab(folder, ProgramUnderTest(settings, environment)).run, plan)
    verdict = experiment.verdict
    if verdict is None:
        raise RuntimeError(f"the import has come to no end: {experiment.problems}")
    good = sum(row.wanted is not None for row in draw_rows(Random(f"{plan.seed}/input"), plan.rows))
    figures: dict[str, Any] = {
        "subscribers": f"{good:,}",
        "faulty rows": f"{plan.rows - good:,}",
        "steps": f"{experiment.rows:,}",
        "requests that failed": f"{experiment.injected.total():,}",
        "kills": sum(event.act is Act.KILL for event in experiment.events),
        "in effect once": f"{verdict.once:,}",
        "twice": verdict.twice,
        "lost": verdict.lost,
        "of no row": verdict.foreign,
        "the verdict after the undo": "; ".join(map(str, experiment.problems[:3])) or "as before the import",
        "minutes": f"{experiment.seconds / 60:.1f}",
    }
    return table([*figures], [[*map(str, figures.values())]])


def _speed(size: Size) -> str:
    subscribers = (2_000, 400, 20)[size]
    works = {imports: partial(_rate, subscribers, imports=imports) for imports in (False, True)}
    balances, imported = in_turn((3, 2, 1)[size], works).values()
    nominal = [_NOMINAL] * len(balances)
    to_slots = f"balances to the {_NOMINAL:,.0f} of the slots"
    header = ("balances, calls/s", "import, calls/s", "import to balances", to_slots, "import to the same")
    ratios = (ratio(imported, balances), ratio(balances, nominal), ratio(imported, nominal))
    return table(header, [[shown(balances), shown(imported), *ratios]])


def _rate(subscribers: int, *, imports: bool) -> float:
    """Calls a second of an import, or of as many opening balances as it has steps."""
    with billing(_STEPS * subscribers, slots=SLOTS, latency_ms=LATENCY_MS) as mock:
        if imports:
            write_subscribers(mock.folder, subscribers)
        words = [*CLI, *import_words(mock)] if imports else balances_command(mock)
        return Closing.of(timed([*words, *mock.flags(), *_WINDOW]).said).rate


_WINDOW: Final = ("--max-in-flight", str(4 * SLOTS))


def import_words(mock: Billing) -> list[str]:
    return ["import", str(mock.folder / TABLE), "--dictionary", str(mock.folder / DICTIONARY)]


def write_subscribers(folder: Path, subscribers: int) -> int:
    """Write a table without faulty rows, one row in memory at a time; returns the number of its steps."""
    rows = write_table(folder, draw_rows(Random(1), subscribers, faulty=0.0))
    return sum(len(row.wanted.things) for row in rows if row.wanted is not None)


def _memory(size: Size) -> str:
    found = []
    for subscribers in ((2_000, 200_000), (2_000, 20_000), (20, 40))[size]:
        with billing(100, slots=SLOTS, latency_ms=0.0) as mock:
            steps = write_subscribers(mock.folder, subscribers)
            words = [*import_words(mock), *mock.flags(), *_WINDOW]
            *_, closing, peak = timed(with_peak("from cli.main import main\nmain()", *words)).said.splitlines()
        found.append((subscribers, steps, int(peak) / 1024, Closing.of(closing).seconds))
    header = ("rows", "steps", "peak memory", "beyond the smallest", "seconds")
    return table(
        header,
        [
            [f"{rows:,}", f"{steps:,}", f"{peak:,.1f} MiB", f"{peak - found[0][2]:+,.1f} MiB", f"{seconds:,.0f}"]
            for rows, steps, peak, seconds in found
        ],
    )
