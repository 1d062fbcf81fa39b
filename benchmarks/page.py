"""What the page is made of: tables of figures, plots, and the machine that they were measured on.

The plots are drawn by hand: it takes a page of code, and a plotting library would be the largest dependency.
"""

import math
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple
from xml.sax.saxutils import escape


class Size(IntEnum):
    """How much time there is. What depends on it is a tuple, with a value for each."""

    FULL = 0
    QUICK = 1
    SMOKE = 2


class Plot(NamedTuple):
    """A plot as SVG, and the name of its file."""

    name: str
    svg: str


Part = Sequence[str | Plot]
"""The paragraphs of a part of the page."""


def shown(values: Sequence[float], form: str = ",.0f") -> str:
    """`median (least to greatest)` of the rounds, each as `form` says."""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def ratio(values: Sequence[float], to: Sequence[float], form: str = ".2f") -> str:
    """Values to others, each pair of one round."""
    return shown([one / other for one, other in zip(values, to, strict=True)], form)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lie; not-a-number without values."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else math.nan


def answered(latency_ms: float) -> str:
    """When a server answers, in words."""
    return f"after {latency_ms:.0f} ms" if latency_ms else "at once"


# ---- the machine --------------------------------------------------------------------------------------------------


def machine() -> str:
    """Cores, processor, memory, kernel, versions, and the time of a commit, in two sentences."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    named = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    versions = [f"{name} {version(name)}" for name in ("aiohttp", "uvloop")]
    for name, flag in (("nginx", "-v"), ("curl", "--version"), ("parallel", "--version")):
        said = subprocess.run([name, flag], capture_output=True, text=True, check=False)
        number = re.search(r"\d[\w.]*", said.stdout or said.stderr)
        versions.append(f"{name} {number[0] if number else '?'}")
    took = []
    with tempfile.TemporaryFile(dir=Path.cwd(), prefix=".bench-") as file:
        for _ in range(100):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(8192))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return (
        f"{os.cpu_count()} cores of {named[1] if named else platform.machine()}, {memory:.0f} GiB, "
        f"Linux {platform.release().split('-')[0]}; Python {platform.python_version()}, {', '.join(versions)}. "
        f"A synced write of 8 KiB takes the disk {shown(took, '.1f')} ms."
    )


# ---- plots --------------------------------------------------------------------------------------------------------

_WIDTH: Final = 760
_COLOURS: Final = ("#1f77b4", "#d95f02", "#2a9d5c", "#7b4fa3", "#b8860b")
_INK: Final = "#333"
_GREY: Final = "#ddd"


def bars(name: str, title: str, each: Mapping[str, Sequence[float]]) -> Plot:
    """Horizontal bars on a logarithmic scale: each ends at the median, and a whisker spans the rest."""
    low = 10 ** math.floor(math.log10(min(map(min, each.values()))))
    high = 10 ** math.ceil(math.log10(max(map(max, each.values())) * 1.0001))
    left, row = 300, 30

    def x(value: float) -> float:
        return left + (_WIDTH - left - 80) * math.log10(value / low) / math.log10(high / low)

    bottom, parts, power = 50 + row * len(each), [], low
    while power <= high:
        grid = _line(x(power), 40, x(power), bottom, _GREY)
        parts += [grid, _text(x(power), bottom + 16, _number(power), "middle")]
        power *= 10
    for number, (label, values) in enumerate(each.items()):
        top, middle, ours = 46 + row * number, median(values), number == len(each) - 1
        parts += [
            _text(left - 8, top + 15, label, "end"),
            _rect(left, top, x(middle) - left, 22, _COLOURS[2 if ours else 0]),
            _line(x(min(values)), top + 11, x(max(values)), top + 11, _INK),
            _text(x(max(values)) + 6, top + 15, _number(middle), "start"),
        ]
    return Plot(name, _drawing(title, bottom + 30, parts))


def curves(
    name: str,
    title: str,
    each: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
    mark: tuple[float, str] | None = None,
) -> Plot:
    """Lines on a scale from zero, over axes with these words; `mark` is a value of x with its label."""
    left, right, top, bottom = 70, _WIDTH - 150, 50, 290
    widest = max(x for points in each.values() for x, _ in points) or 1.0
    highest = _round_up(max(y for points in each.values() for _, y in points) or 1.0)

    def at(x: float, y: float = 0.0) -> tuple[float, float]:
        return left + (right - left) * x / widest, bottom - (bottom - top) * y / highest

    parts = [_text((left + right) / 2, bottom + 34, axes[0], "middle"), _text(left, top - 10, axes[1], "middle")]
    for step in range(5):
        value = highest * step / 4
        _, y = at(0, value)
        parts += [_line(left, y, right, y, _GREY), _text(left - 6, y + 4, _number(value), "end")]
    apart = _round_up(widest / 5)
    for value in (step * apart for step in range(int(widest / apart) + 1)):
        parts.append(_text(at(value)[0], bottom + 16, _number(value), "middle"))
    if mark is not None:
        x, _ = at(mark[0])
        parts += [_line(x, top, x, bottom, _INK, ' stroke-dasharray="4 3"'), _text(x + 4, top + 10, mark[1], "start")]
    for number, (label, values) in enumerate(each.items()):
        colour, height = _COLOURS[number % len(_COLOURS)], top + 22 * number
        points = " ".join("{:.1f},{:.1f}".format(*at(*value)) for value in values)
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            _rect(right + 14, height, 14, 4, colour),
            _text(right + 34, height + 7, label, "start"),
        ]
    return Plot(name, _drawing(title, bottom + 50, parts))


def _drawing(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {_WIDTH} {height:.0f}" font-family="sans-serif" font-size="12" fill="{_INK}">'
    )
    heading = f'<text x="{_WIDTH / 2:.0f}" y="22" text-anchor="middle" font-size="15">{escape(title)}</text>'
    return "\n".join([head, _rect(0, 0, _WIDTH, height, "white"), heading, *parts, "</svg>\n"])


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.2g}"


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5 or 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value)
