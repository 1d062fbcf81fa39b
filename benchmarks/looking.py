"""The cost of a look-up before each row is sent, which checks whether the billing has it already.

`carbon-migrate run balances` as an operator types it, with that look-up and, by `--trust-journal`, without: each on a
fresh billing, in pairs. With a database, the balance that an entry may set is read in any case.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import rig
from benchmarks.figures import Part, Size, Spread, table

SLOTS: Final = 16
LATENCIES_MS: Final = (20.0, 0.0)
ROWS: Final = Size(4_000, quick=800, smoke=40)
ROUNDS: Final = Size(5, quick=2, smoke=1)
HEADER: Final = ("answer", "asked through", "looking, rows/s", "trusting the journal, rows/s", "looking to trusting")


def measure(size: str) -> Part:
    """The table: with a database and through the API alone, for each latency."""
    lines: list[list[str]] = []
    for latency in LATENCIES_MS:
        for with_database in (True, False):
            looking, trusting = _pairs(size, latency, with_database=with_database)
            ratio = Spread.of([one / other for one, other in zip(looking, trusting, strict=True)])
            lines.append(
                [
                    f"after {latency:.0f} ms" if latency else "at once",
                    "the database" if with_database else "the API alone",
                    Spread.of(looking).shown(),
                    Spread.of(trusting).shown(),
                    ratio.shown(".2f"),
                ]
            )
    return Part(table(HEADER, lines))


def _pairs(size: str, latency: float, *, with_database: bool) -> tuple[list[float], list[float]]:
    rates: dict[bool, list[float]] = {True: [], False: []}
    for number in range(int(ROUNDS.of(size))):
        for trusted in (False, True) if number % 2 == 0 else (True, False):
            with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
                rates[trusted].append(
                    _rate(Path(folder), int(ROWS.of(size)), latency, with_database=with_database, trusted=trusted)
                )
    return rates[False], rates[True]


def _rate(folder: Path, rows: int, latency: float, *, with_database: bool, trusted: bool) -> float:
    """Rows a second of one load, from its first call to its last outcome."""
    database = folder / "billing.fdb"
    ids = rig.populated(database, rows)
    _write(folder / "balances.csv", ids)
    with rig.mock(database, slots=SLOTS, latency_ms=latency) as mock:
        command = [sys.executable, "-m", "cli", "run", "balances", str(folder / "balances.csv")]
        command += ["--yes", "--json", "--quiet", "--no-canary", "--in-flight", str(SLOTS)]
        command += ["--api-url", mock.url, "--journal", str(folder / "journal")]
        command += ["--database", str(database) if with_database else ""]
        # Several subscribers may share an account; the effect on the others is not measured here.
        command += ["--set", "op_type=2", *(["--trust-journal"] if trusted else [])]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    closing = msgspec.json.decode(done.stdout)
    if closing["states"] != {"accepted": len(ids)}:
        raise RuntimeError(f"not every row was accepted: {closing}")
    return len(ids) / float(closing["seconds"])


def _write(path: Path, ids: Sequence[int]) -> None:
    path.write_text("\n".join(["abonent_id;amount", *(f"{key};50,50" for key in ids)]) + "\n", encoding="utf-8")
