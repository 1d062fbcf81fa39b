"""Throughput under failures of the billing: zero, one and ten percent of the requests, in six ways.

Goodput counts rows whose effect is in the billing exactly once, over the whole time: calls, look-ups of lost calls,
waits. The mock billing's ledger gives the real effects.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import rig
from benchmarks.entering import MODEL, Ids, on_uvloop, ready
from benchmarks.figures import Part, Size, Spread, table
from checkpoints.states import State
from engine.pacing.policy import Policy

SLOTS: Final = 16
LATENCY_MS: Final = 20
SHARES: Final = (0.0, 0.01, 0.10)
ROWS: Final = Size(6_000, quick=2_000, smoke=60)
ROUNDS: Final = Size(2, quick=1, smoke=1)
POLICY: Final = Policy(in_flight=SLOTS, canary=False, settle=1.0, stop_after_errors=None)
KINDS: Final = (
    "reset-before-effect",
    "reset-after-effect",
    "500-after-effect",
    "invalid-json-after-effect",
    "503",
    "busy",
)
HEADER: Final = (
    "requests that fail",
    "rows a second, exactly once",
    "to none failing",
    "injected",
    "missing",
    "twice",
)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a run: seconds, and its rows in the billing's ledger."""

    rows: int
    seconds: float
    injected: int
    entered: int
    subjects: int

    @property
    def goodput(self) -> float:
        """Rows a second that are entered exactly once."""
        return (2 * self.subjects - self.entered) / self.seconds


def measure(size: str) -> Part:
    """The table: the shares in turn, on a fresh billing each."""
    rows = int(ROWS.of(size))
    ended: dict[float, list[Ended]] = {share: [] for share in SHARES}
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        for number in range(int(ROUNDS.of(size))):
            for share in SHARES if number % 2 == 0 else reversed(SHARES):
                database = Path(folder) / f"billing-{number}-{share}.fdb"
                ended[share].append(_run(database, share, rig.populated(database, rows)))
    lines = [_line(share, ended[share], ended[0.0]) for share in SHARES]
    return Part(table(HEADER, lines))


def _run(database: Path, share: float, ids: Sequence[int]) -> Ended:
    with rig.mock(database, slots=SLOTS, latency_ms=LATENCY_MS) as mock:
        if share:
            mock.fail(_plan(share))
        seconds = on_uvloop(_send, mock.url, ids)
        done = mock.effects()[MODEL]
        return Ended(len(ids), seconds, mock.injected(), done["effects"], done["subjects"])


def _plan(share: float) -> str:
    """A fault plan in which each kind has an equal part of the share; retry delays are minimal."""
    of_each = share / len(KINDS)
    more = {"busy": "tries = 1\n", "503": 'retry_after = "0"\n'}
    return "".join(
        f'[[fault]]\nkind = "{kind}"\nmodel = "{MODEL}"\nmethod = "objects.create"\nshare = {of_each}\n'
        f"{more.get(kind, '')}"
        for kind in KINDS
    )


async def _send(url: str, ids: Sequence[int]) -> float:
    async with ready(url, Ids(ids)) as work:
        seconds = await work.migrate(POLICY)
        totals = await work.totals()
        if totals.count(State.ACCEPTED) != len(ids):
            raise RuntimeError(f"not every row was accepted: {dict(totals.counts)}")
        return seconds


def _line(share: float, ended: Sequence[Ended], without: Sequence[Ended]) -> list[str]:
    ratio = Spread.of([one.goodput / other.goodput for one, other in zip(ended, without, strict=True)])
    return [
        f"{share:.0%}",
        Spread.of([one.goodput for one in ended]).shown(),
        ratio.shown(".2f") if share else "",
        " and ".join(str(one.injected) for one in ended),
        str(sum(one.rows - one.subjects for one in ended)),
        str(sum(one.entered - one.subjects for one in ended)),
    ]
