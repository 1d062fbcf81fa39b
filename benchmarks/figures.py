"""Figures of several runs, and their tables."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spread:
    """The minimum, the median and the maximum of some measurements."""

    least: float
    median: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of `values`."""
        return cls(min(values), statistics.median(values), max(values))

    def shown(self, form: str = ",.0f") -> str:
        """`median (least to greatest)`, each as `form` says."""
        return f"{self.median:{form}} ({self.least:{form}} to {self.greatest:{form}})"


@dataclass(frozen=True, slots=True)
class Size:
    """A number that depends on the available time: the full one, and those for `quick` and for `smoke`."""

    full: float
    quick: float
    smoke: float

    def of(self, size: str) -> float:
        """The number for `full`, `quick` or `smoke`."""
        return {"full": self.full, "quick": self.quick, "smoke": self.smoke}[size]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page: its tables in Markdown, and its plots, SVG by file name."""

    text: str
    plots: Mapping[str, str] = field(default_factory=dict)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lie; not-a-number without values."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")
