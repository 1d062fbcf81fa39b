"""What a row costs in Python calls, statements and round trips: counted, so the same on a busy machine.

`tests/tools/test_calls.py` holds the budgets.
"""

from collections.abc import Mapping
from typing import Final

from benchmarks.figures import Part, table
from tools.calls import BUDGETS, a_workbench, measured

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

HEADER: Final = (
    "measure",
    "calls before",
    "calls",
    "at most",
    "statements of the journal",
    "selects of the billing",
    "round trips to PostgreSQL",
)


def measure(_: str) -> Part:
    """The table; counting needs no rounds."""
    with a_workbench() as bench:
        lines = [
            [
                name,
                f"{BEFORE[name]:,}" if name in BEFORE else "–",
                f"{cost.all_calls:,.0f}",
                f"{BUDGETS[name].calls:,.0f}",
                *(f"{count:.2f}" for count in (cost.journal, cost.billing, cost.trips)),
            ]
            for name, cost in measured(bench)
        ]
    return Part(table(HEADER, lines))
