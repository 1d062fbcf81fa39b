"""The engine on a mock billing whose capacity halves, and on one that fails.

The mock billing has a fixed number of slots, each busy for a fixed time; other requests wait. There are few slots, so
that they are the limit and not the processor.
"""

import time
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Final

import anyio
import anyio.to_thread

from benchmarks.page import Part, Size, curves, quantile, ratio, shown
from benchmarks.rig import Billing, billing, fault_plan, in_turn
from benchmarks.senders import Ids, on_uvloop, ready
from engine.evidence import Accepted, Evidence
from engine.pacing.holds import Stop, StopKind
from engine.pacing.policy import Policy
from tools.markdown import table

# ---- the capacity halves ------------------------------------------------------------------------------------------

FEW_SLOTS: Final = 8
SLOW_MS: Final = 100
NOMINAL: Final = FEW_SLOTS * 1000 / SLOW_MS
"""Rows a second of the slots alone, without overhead of a call."""
PHASES: Final = ((3, 5, 4, 5), (3, 3, 2, 3), (0.2, 0.2, 0.2, 0.2))
"""Seconds of the warm-up, before the capacity halves, while the sender adapts, and after it."""
_FIXED: Final = (4, 16, 64)

Calls = Sequence[tuple[float, float]]
"""Answered calls: when, and how long each took, in seconds."""


def capacity(size: Size) -> Part:
    warming, before, during, after = PHASES[size]
    halving, whole = warming + before, warming + before + during + after
    spans = ((warming, halving), (halving, halving + during), (halving + during, whole))
    policies = {f"fixed, {number}": Policy(in_flight=number, canary=False) for number in _FIXED}
    policies["the window"] = Policy(canary=False)
    with billing(int(NOMINAL * whole * 1.2) + 100, slots=FEW_SLOTS, latency_ms=SLOW_MS) as mock:
        works = {name: partial(on_uvloop, _send, mock, policy, halving, whole) for name, policy in policies.items()}
        found: dict[str, list[Calls]] = in_turn((2, 1, 1)[size], works)

    def within(calls: Calls, begin: float, end: float) -> list[float]:
        return [took * 1000 for at, took in calls if begin <= at < end]

    goodputs = {
        name: [[len(within(one, *span)) / (span[1] - span[0]) for one in rounds] for span in spans]
        for name, rounds in found.items()
    }
    # The best of the fixed numbers, in each phase.
    reached = [max(median(goodputs[f"fixed, {number}"][phase]) for number in _FIXED) for phase in range(len(spans))]
    lines, rates, waits = [], {}, {}
    for name, rounds in found.items():
        cells = [
            f"{shown(rates)}, {median(rates) / best:.0%}" if best else shown(rates)
            for rates, best in zip(goodputs[name], reached, strict=True)
        ]
        for span in spans:
            took = [one for calls in rounds for one in within(calls, *span)]
            cells.append(f"{quantile(took, 0.5):,.0f}, {quantile(took, 0.95):,.0f}")
        lines.append([name, *cells])
        seconds = [(second + 0.5, within(rounds[-1], second, second + 1)) for second in range(max(int(whole), 1))]
        rates[name] = [(at, float(len(took))) for at, took in seconds]
        waits[name] = [(at, quantile(took, 0.5)) for at, took in seconds if took] or [(0.0, 0.0)]
    header = ("in flight", "goodput before", "while", "after", "latency before, ms: p50, p95", "while", "after")
    mark, title = (halving, "capacity halves"), "when the capacity halves"
    latency = f"Latency {title}, median of each second"
    return [
        table(header, lines),
        curves("capacity-goodput.svg", f"Rows a second {title}", rates, ("seconds", "rows/s"), mark),
        curves("capacity-latency.svg", latency, waits, ("seconds", "ms"), mark),
    ]


async def _send(mock: Billing, policy: Policy, halving: float, whole: float) -> Calls:
    calls: list[tuple[float, float]] = []
    stop = Stop()
    await anyio.to_thread.run_sync(partial(mock.change, slots=FEW_SLOTS))

    def heard(seconds: float, evidence: Evidence) -> None:
        if isinstance(evidence, Accepted):
            calls.append((time.monotonic() - began, seconds))

    async def change() -> None:
        await anyio.sleep(began + halving - time.monotonic())
        await anyio.to_thread.run_sync(partial(mock.change, slots=FEW_SLOTS // 2))
        await anyio.sleep(began + whole - time.monotonic())
        stop.request(StopKind.INTERRUPTED, "enough was seen")

    async with ready(mock.url, Ids(mock.ids), heard) as work:
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            await work.migrate(policy, stop)
            tasks.cancel_scope.cancel()
    return calls


# ---- the billing fails --------------------------------------------------------------------------------------------

SLOTS: Final = 16
LATENCY_MS: Final = 20
SETTLE: Final = 1.0
_POLICY: Final = Policy(in_flight=SLOTS, canary=False, settle=SETTLE, stop_after_errors=None)


def faults(size: Size) -> Part:
    works = {share: partial(_failing, share, (6_000, 2_000, 60)[size]) for share in (0.0, 0.01, 0.10)}
    found = in_turn((2, 1, 1)[size], works)
    lines = []
    for share, ended in found.items():
        rates, injected, missing, twice = zip(*ended, strict=True)
        to_none = ratio(rates, [rate for rate, *_ in found[0.0]]) if share else ""
        counts = (" and ".join(map(str, injected)), str(sum(missing)), str(sum(twice)))
        lines.append([f"{share:.0%}", shown(rates), to_none, *counts])
    header = ("requests that fail", "rows a second, exactly once", "to none failing", "injected", "missing", "twice")
    return [table(header, lines)]


def _failing(share: float, rows: int) -> tuple[float, int, int, int]:
    """Rows a second that are entered exactly once; requests that failed; rows that are missing, and entered twice.

    The time has all in it: calls, look-ups of lost calls, waits. The ledger of the mock billing has the real effects.
    """

    async def send() -> float:
        async with ready(mock.url, Ids(mock.ids)) as work:
            return await work.migrate(_POLICY)

    with billing(rows, slots=SLOTS, latency_ms=LATENCY_MS) as mock:
        if share:
            plan = fault_plan(share, 'model = "FinanceOperations"\nmethod = "objects.create"\n')
            mock.ask("PUT", "/faults", plan.encode())
        seconds = on_uvloop(send)
        entered, subjects = mock.entered()
        injected = sum(mock.ask("GET", "/faults")["injected"].values())
        return (2 * subjects - entered) / seconds, injected, len(mock.ids) - subjects, entered - subjects
