"""Throughput when a server's capacity halves: fixed numbers of calls in flight, and the adaptive window.

The mock billing has a fixed number of slots, each busy for a fixed time; other requests wait. A fixed number that
fits before the change does not fit after it. There are few slots, so that they are the limit and not the processor;
the real capacity is measured in the same run.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from benchmarks import rig
from benchmarks.entering import Ids, on_uvloop, ready
from benchmarks.figures import Part, Size, Spread, quantile, table
from benchmarks.plots import Curve, curves
from engine.evidence import Accepted, Evidence
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy

SLOTS: Final = 8
LATENCY_MS: Final = 100
NOMINAL: Final = SLOTS * 1000 / LATENCY_MS
"""Rows a second of the slots alone, without overhead of a call."""
ROUNDS: Final = Size(2, quick=1, smoke=1)
POLICIES: Final = {
    "fixed, 4": Policy(in_flight=4, canary=False),
    "fixed, 16": Policy(in_flight=16, canary=False),
    "fixed, 64": Policy(in_flight=64, canary=False),
    "the window": Policy(canary=False),
}
"""The compared policies; a policy without a number is the adaptive window."""

HEADER: Final = (
    "in flight",
    "goodput before",
    "while",
    "after",
    "latency before, ms: p50, p95",
    "while",
    "after",
)


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of each phase: warm-up, before the capacity halves, adaptation, and after it."""

    warming: float
    before: float
    during: float
    after: float

    @property
    def halving(self) -> float:
        """The time at which the capacity halves."""
        return self.warming + self.before

    @property
    def whole(self) -> float:
        """The time at which it ends."""
        return self.halving + self.during + self.after

    def spans(self) -> list[tuple[float, float]]:
        """The spans before, during and after the adaptation."""
        settled = self.halving + self.during
        return [(self.warming, self.halving), (self.halving, settled), (settled, self.whole)]


PHASES: Final = {
    "full": Phases(3, 5, 4, 5),
    "quick": Phases(3, 3, 2, 3),
    "smoke": Phases(0.2, 0.2, 0.2, 0.2),
}


@dataclass(frozen=True, slots=True)
class Call:
    """An answered call: its time and its duration, in seconds."""

    at: float
    seconds: float


def measure(size: str) -> Part:
    """The table of all rounds, and plots of the last one by second."""
    phases = PHASES[size]
    calls: dict[str, list[list[Call]]] = {name: [] for name in POLICIES}
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        database = Path(folder) / "billing.fdb"
        ids = rig.populated(database, int(NOMINAL * phases.whole * 1.2) + 100)
        with rig.mock(database, slots=SLOTS, latency_ms=LATENCY_MS) as mock:
            for number in range(int(ROUNDS.of(size))):
                for name in POLICIES if number % 2 == 0 else reversed(POLICIES):
                    mock.set(slots=SLOTS)
                    calls[name].append(on_uvloop(_send, mock, Ids(ids), POLICIES[name], phases))
    goodputs = {name: goodputs_of(rounds, phases) for name, rounds in calls.items()}
    reached = [
        max(goodputs[name][phase].median for name, policy in POLICIES.items() if policy.in_flight)
        for phase in range(len(phases.spans()))
    ]
    lines = [
        [name, *goodput_cells(goodputs[name], reached), *_latencies(rounds, phases)] for name, rounds in calls.items()
    ]
    text = f"{table(HEADER, lines)}\n\n![](benchmarks/capacity-goodput.svg)\n\n![](benchmarks/capacity-latency.svg)"
    return Part(text, _plots({name: rounds[-1] for name, rounds in calls.items()}, phases))


async def _send(mock: rig.Mock, ids: Ids, policy: Policy, phases: Phases) -> list[Call]:
    calls: list[Call] = []
    stop = Stop()
    began = time.monotonic()

    def heard(seconds: float, evidence: Evidence) -> None:
        if isinstance(evidence, Accepted):
            calls.append(Call(time.monotonic() - began, seconds))

    async def change() -> None:
        await anyio.sleep(began + phases.halving - time.monotonic())
        await anyio.to_thread.run_sync(partial(mock.set, slots=SLOTS // 2))
        await anyio.sleep(began + phases.whole - time.monotonic())
        stop.request(StopKind.INTERRUPTED, "enough was seen")

    async with ready(mock.url, ids, heard) as work:
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            await work.migrate(policy, stop)
            tasks.cancel_scope.cancel()
    return calls


def goodputs_of(rounds: Sequence[Sequence[Call]], phases: Phases) -> list[Spread]:
    """Rows a second in each phase."""
    return [
        Spread.of([len(_within(calls, begin, end)) / (end - begin) for calls in rounds])
        for begin, end in phases.spans()
    ]


def goodput_cells(goodputs: Sequence[Spread], reached: Sequence[float]) -> list[str]:
    """Rows a second, and their share of the best fixed number in that phase."""
    return [
        f"{spread.shown()}, {spread.median / best:.0%}" if best else spread.shown()
        for spread, best in zip(goodputs, reached, strict=True)
    ]


def _latencies(rounds: Sequence[Sequence[Call]], phases: Phases) -> list[str]:
    cells = []
    for begin, end in phases.spans():
        took = [call.seconds * 1000 for calls in rounds for call in _within(calls, begin, end)]
        cells.append(f"{quantile(took, 0.5):,.0f}, {quantile(took, 0.95):,.0f}")
    return cells


def _within(calls: Sequence[Call], begin: float, end: float) -> list[Call]:
    return [call for call in calls if begin <= call.at < end]


def _plots(calls: dict[str, list[Call]], phases: Phases) -> dict[str, str]:
    seconds = range(max(int(phases.whole), 1))
    marks = [(phases.halving, "capacity halves")]

    def over_time(name: str, figure: str) -> Curve:
        by_second = [_within(calls[name], second, second + 1) for second in seconds]
        if figure == "goodput":
            return Curve(name, [(second + 0.5, len(found)) for second, found in zip(seconds, by_second, strict=True)])
        return Curve(
            name,
            [
                (second + 0.5, quantile([call.seconds * 1000 for call in found], 0.5))
                for second, found in zip(seconds, by_second, strict=True)
                if found
            ]
            or [(0.0, 0.0)],
        )

    return {
        "capacity-goodput.svg": curves(
            "Rows a second when the capacity halves",
            [over_time(name, "goodput") for name in calls],
            of_x="seconds",
            of_y="rows/s",
            marks=marks,
        ),
        "capacity-latency.svg": curves(
            "Latency when the capacity halves, median of each second",
            [over_time(name, "latency") for name in calls],
            of_x="seconds",
            of_y="ms",
            marks=marks,
        ),
    }
