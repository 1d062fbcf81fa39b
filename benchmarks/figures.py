"""Figures of several runs, and tables of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the middle and the greatest of some measurements."""

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


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
