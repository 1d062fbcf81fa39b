"""An import: proven through faults and kills, its speed beside opening balances, and its memory.

The proof is an experiment of the crash lab, judged by what the billing holds; the speed is of whole commands in
pairs, on the same mock billing with the same slots.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import anyio
import msgspec

from benchmarks import rig
from benchmarks.figures import Part, Size, Spread, table
from benchmarks.startup import PEAK
from lab.crash.experiment import Experiment, Lab
from lab.crash.experiment_plan import IMPORT, Act, BillingTraits, Disturbance, ExperimentPlan
from lab.crash.import_table import DICTIONARY, FAULTY, TABLE, draw_rows, write_table
from lab.crash.program import ProgramUnderTest, without_settings

SLOTS: Final = 16
LATENCY_MS: Final = 20.0
NOMINAL: Final = SLOTS / (LATENCY_MS / 1000)

SHARE: Final = FAULTY
"""The share of faulty rows in the proof."""
PROVEN: Final = Size(20_000, quick=1_000, smoke=20)
"""Subscribers of the proof."""
KILLS: Final = Size(10, quick=10, smoke=2)
FAULTS: Final = 0.03
"""The share of requests that fail in the proof."""
KINDS: Final = (
    "reset-before-effect",
    "reset-after-effect",
    "500-after-effect",
    "invalid-json-after-effect",
    "503",
    "busy",
)
PROOF_HEADER: Final = (
    "subscribers",
    "faulty rows",
    "steps",
    "requests that failed",
    "kills",
    "in effect once",
    "twice",
    "lost",
    "of no row",
    "the verdict after the undo",
    "minutes",
)

IMPORTED: Final = Size(2_000, quick=400, smoke=20)
ROUNDS: Final = Size(3, quick=2, smoke=1)
SPEED_HEADER: Final = (
    "balances, calls/s",
    "import, calls/s",
    "import to balances",
    f"balances to the {NOMINAL:,.0f} of the slots",
    "import to the same",
)

SMALL: Final = Size(2_000, quick=2_000, smoke=20)
LARGE: Final = Size(200_000, quick=20_000, smoke=40)
"""Subscribers of the imports whose memory is compared."""
MEMORY_HEADER: Final = ("rows", "steps", "peak memory", "beyond the smallest", "seconds")


def measure(size: str) -> Part:
    """The three tables."""
    return Part("\n\n".join((_proof(size), _speed(size), _memory(size))))


# ---- the proof --------------------------------------------------------------------------------------------------


def proof_plan(size: str) -> ExperimentPlan:
    """The experiment of the proof: kills at even distances, and faults in equal parts."""
    kills = int(KILLS.of(size))
    return ExperimentPlan(
        seed=1,
        job=IMPORT,
        rows=int(PROVEN.of(size)),
        in_flight=None,
        traits=BillingTraits(latency_ms=5.0, slots=SLOTS, stack_rate=None),
        faults=_faults(),
        disturbances=tuple(Disturbance(Act.KILL, number / (kills + 1)) for number in range(1, kills + 1)),
        undo_kills=(0.3, 0.6),
        undo_faults=_faults(),
    )


def _faults() -> str:
    """A fault plan in which each kind has an equal part of the share; a 503 asks for no delay."""
    more = {"busy": "tries = 1\n", "503": 'retry_after = "0"\n'}
    return "seed = 1\n" + "".join(
        f'[[fault]]\nkind = "{kind}"\nshare = {FAULTS / len(KINDS)}\n{more.get(kind, "")}' for kind in KINDS
    )


def _proof(size: str) -> str:
    plan = proof_plan(size)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        settings = Path(folder) / "no settings.toml"
        settings.touch()
        environment = without_settings(os.environ) | {"PYTHONPATH": str(Path.cwd())}
        lab = Lab(Path(folder), ProgramUnderTest(settings, environment))
        experiment = anyio.run(lab.run, plan)
    return table(PROOF_HEADER, [_proven(experiment)])


def _proven(experiment: Experiment) -> list[str]:
    verdict = experiment.verdict
    if verdict is None:
        raise RuntimeError(f"the import has come to no end: {experiment.problems}")
    subscribers, faulty = _counted(experiment.plan)
    return [
        f"{subscribers:,}",
        f"{faulty:,}",
        f"{experiment.rows:,}",
        f"{experiment.injected.total():,}",
        str(sum(event.act is Act.KILL for event in experiment.events)),
        f"{verdict.once:,}",
        str(verdict.twice),
        str(verdict.lost),
        str(verdict.foreign),
        "as before the import" if experiment.holds else "; ".join(map(str, experiment.problems[:3])),
        f"{experiment.seconds / 60:.1f}",
    ]


def _counted(plan: ExperimentPlan) -> tuple[int, int]:
    """The good rows and the faulty ones of a plan's table."""
    good = [row.wanted is not None for row in draw_rows(Random(f"{plan.seed}/input"), plan.rows)]
    return sum(good), len(good) - sum(good)


# ---- the speed --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rates:
    """Calls a second of one pair: opening balances, and the steps of an import."""

    balances: float
    imported: float


def _speed(size: str) -> str:
    rates = [_pair(int(IMPORTED.of(size)), begins=number % 2 == 0) for number in range(int(ROUNDS.of(size)))]
    balances, imported = [one.balances for one in rates], [one.imported for one in rates]
    return table(
        SPEED_HEADER,
        [
            [
                Spread.of(balances).shown(),
                Spread.of(imported).shown(),
                Spread.of([one.imported / one.balances for one in rates]).shown(".2f"),
                Spread.of([one / NOMINAL for one in balances]).shown(".2f"),
                Spread.of([one / NOMINAL for one in imported]).shown(".2f"),
            ]
        ],
    )


def _pair(subscribers: int, *, begins: bool) -> Rates:
    """Both loads, each on a billing of its own; balances go first where they begin."""
    jobs = {"balances": _balances, IMPORT: _import}
    found: dict[str, float] = {}
    for name in jobs if begins else reversed(tuple(jobs)):
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
            found[name] = jobs[name](Path(folder), subscribers)
    return Rates(found["balances"], found[IMPORT])


def _balances(folder: Path, subscribers: int) -> float:
    """Rows a second of as many opening balances as an import of the subscribers has steps, about."""
    ids = rig.populated(folder / "billing.fdb", _STEPS * subscribers)
    lines = ["abonent_id;amount", *(f"{key};50,50" for key in ids)]
    (folder / "balances.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    # Several subscribers may share an account; the effect on the others is not measured here.
    return _rate(folder, "run", "balances", str(folder / "balances.csv"), "--set", "op_type=2")


_STEPS: Final = 5


def _import(folder: Path, subscribers: int) -> float:
    """Steps a second of an import."""
    rig.populated(folder / "billing.fdb", _STEPS * subscribers)
    write_subscribers(folder, subscribers)
    return _rate(folder, *import_command(folder))


def import_command(folder: Path) -> tuple[str, ...]:
    return ("import", str(folder / TABLE), "--dictionary", str(folder / DICTIONARY))


def write_subscribers(folder: Path, subscribers: int) -> int:
    """Write a table without faulty rows, one row in memory at a time; returns the number of its steps."""
    rows = write_table(folder, draw_rows(Random(1), subscribers, faulty=0.0))
    return sum(len(row.wanted.things) for row in rows if row.wanted is not None)


def _rate(folder: Path, *command: str) -> float:
    """Accepted calls a second of a load, from its first call to its last outcome."""
    with rig.mock(folder / "billing.fdb", slots=SLOTS, latency_ms=LATENCY_MS) as mock:
        closing = load(folder, mock, *command)
    return closing.states["accepted"] / closing.seconds


class Closing(msgspec.Struct):
    """What is read of a closing object: the items by state, and the seconds of sending."""

    states: dict[str, int]
    seconds: float


def load(folder: Path, mock: rig.Mock, *command: str) -> Closing:
    """Run a command on a mock billing over the database in a folder. Raises RuntimeError for a row not accepted."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *command, *_flags(folder, mock)], check=True, stdout=subprocess.PIPE
    )
    closing = msgspec.json.decode(done.stdout, type=Closing)
    if set(closing.states) != {"accepted"}:
        raise RuntimeError(f"not every row was accepted: {closing}")
    return closing


def _flags(folder: Path, mock: rig.Mock) -> list[str]:
    flags = ["--yes", "--json", "--quiet", "--no-canary", "--max-in-flight", str(4 * SLOTS)]
    flags += ["--api-url", mock.url, "--journal", str(folder / "journal")]
    return [*flags, "--database", str(folder / "billing.fdb")]


# ---- the memory -------------------------------------------------------------------------------------------------


def _memory(size: str) -> str:
    sizes = [int(one.of(size)) for one in (SMALL, LARGE)]
    found = [_peak(rows) for rows in sizes]
    smallest = found[0][1]
    return table(
        MEMORY_HEADER,
        [
            [
                f"{rows:,}",
                f"{steps:,}",
                f"{peak / 1024:,.1f} MiB",
                f"{(peak - smallest) / 1024:+,.1f} MiB",
                f"{seconds:,.0f}",
            ]
            for rows, (steps, peak, seconds) in zip(sizes, found, strict=True)
        ],
    )


def _peak(subscribers: int) -> tuple[int, int, float]:
    """The steps, the peak memory in KiB, and the seconds of a whole import, from a billing that answers at once."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        rig.populated(folder / "billing.fdb", 100)
        steps = write_subscribers(folder, subscribers)
        program = f"{PEAK}from cli.main import main\nmain()"
        with rig.mock(folder / "billing.fdb", slots=SLOTS, latency_ms=0.0) as mock:
            command = [sys.executable, "-c", program, *import_command(folder), *_flags(folder, mock)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    *_, closing, peak = done.stdout.splitlines()
    return steps, int(peak), msgspec.json.decode(closing, type=Closing).seconds
