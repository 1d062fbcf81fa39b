"""All contenders in turn on the same server: rows a second, and processor time for a thousand rows."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import rig
from benchmarks.contenders import CONTENDERS, ENGINE, Contender, Sent
from benchmarks.figures import Part, Size, Spread, table
from benchmarks.plots import Bar, bars

LATENCY_MS: Final = 20
ROUNDS: Final = Size(3, quick=1, smoke=1)
SHARE: Final = Size(1.0, quick=0.5, smoke=0.002)
"""The share of its rows that each contender gets."""

HEADER: Final = (
    "",
    "rows",
    "rows a second, sending",
    "with its start",
    "the engine is so many times as fast",
    "processor, s a 1,000 rows",
)


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one contender in all rounds."""

    name: str
    sent: Sequence[Sent]

    @property
    def sending(self) -> Spread:
        """Rows a second while sending."""
        return Spread.of([one.rows / one.sending for one in self.sent])

    def cells(self, engine: "Line") -> list[str]:
        """The row of the table; ratios are computed for each round."""
        whole = Spread.of([one.rows / one.whole for one in self.sent])
        ratio = Spread.of(
            [(b.rows / b.sending) / (a.rows / a.sending) for a, b in zip(self.sent, engine.sent, strict=True)]
        )
        processor = Spread.of([one.processor / one.rows * 1000 for one in self.sent])
        return [
            self.name,
            f"{self.sent[0].rows:,}",
            self.sending.shown(),
            f"{whole.median:,.0f}",
            _times(ratio) if self is not engine else "",
            processor.shown(".3f"),
        ]


def _times(ratio: Spread) -> str:
    """A ratio, with two decimals where it is close to one."""
    return ratio.shown(",.0f" if ratio.median >= 10 else ".2f")


def measure(size: str) -> Part:
    """The tables for an immediate answer and for one after 20 ms, and a plot of each."""
    with rig.nginx() as url:
        at_once = _rounds(size, url, lambda one: one.at_once)
    with rig.answering(LATENCY_MS) as url:
        after = _rounds(size, url, lambda one: one.after)
    plots = {
        "at-once.svg": _plot("Rows a second, answered at once (nginx)", at_once),
        "after-20-ms.svg": _plot(f"Rows a second, answered after {LATENCY_MS} ms", after),
    }
    text = (
        f"Answered at once:\n\n{_table(at_once)}\n\n![](benchmarks/at-once.svg)\n\n"
        f"Answered after {LATENCY_MS} ms:\n\n{_table(after)}\n\n![](benchmarks/after-20-ms.svg)"
    )
    return Part(text, plots)


def _rounds(size: str, url: str, rows_of: Callable[[Contender], int]) -> list[Line]:
    """All contenders in turn, in reversed order each time, so that a drift affects all alike."""
    sent: dict[str, list[Sent]] = {one.name: [] for one in CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number in range(int(ROUNDS.of(size))):
            for one in CONTENDERS if number % 2 == 0 else reversed(CONTENDERS):
                rows = max(int(rows_of(one) * SHARE.of(size)), 2)
                sent[one.name].append(one.send(Path(folder), url, rows))
    return [Line(name, found) for name, found in sent.items()]


def _table(lines: Sequence[Line]) -> str:
    engine = next(line for line in lines if line.name == ENGINE.name)
    return table(HEADER, [line.cells(engine) for line in lines])


def _plot(title: str, lines: Sequence[Line]) -> str:
    return bars(title, [Bar(line.name.replace("`", ""), line.sending) for line in lines])
