"""Small plots as SVG, drawn from the figures: bars on a logarithmic scale, and lines over time.

They are drawn by hand: it takes less than a page of code, and a plotting library would be the largest dependency of
the project.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.figures import Spread

WIDTH: Final = 760
COLOURS: Final = ("#1f77b4", "#d95f02", "#2a9d5c", "#7b4fa3", "#b8860b")
_INK: Final = "#333"
_GREY: Final = "#ddd"
_LEFT: Final = 300
_ROW: Final = 30


@dataclass(frozen=True, slots=True)
class Bar:
    """A name and its figures: the bar ends at the median, a whisker spans the rest."""

    name: str
    value: Spread


@dataclass(frozen=True, slots=True)
class Curve:
    """A name and its points, ascending in x."""

    name: str
    points: Sequence[tuple[float, float]]


def bars(title: str, each: Sequence[Bar]) -> str:
    """Horizontal bars on a logarithmic scale, each labelled with its median."""
    room = WIDTH - _LEFT - 80
    low = 10 ** math.floor(math.log10(min(bar.value.least for bar in each)))
    high = 10 ** math.ceil(math.log10(max(bar.value.greatest for bar in each) * 1.0001))

    def x(value: float) -> float:
        return _LEFT + room * math.log10(value / low) / math.log10(high / low)

    bottom = 50 + _ROW * len(each)
    parts = []
    power = low
    while power <= high:
        parts += [
            _line(x(power), 40, x(power), bottom, _GREY),
            _text(x(power), bottom + 16, _number(power), "middle"),
        ]
        power *= 10
    for number, bar in enumerate(each):
        top = 46 + _ROW * number
        middle = top + 11
        parts += [
            _text(_LEFT - 8, middle + 4, bar.name, "end"),
            _rect(_LEFT, top, x(bar.value.median) - _LEFT, 22, COLOURS[2 if number == len(each) - 1 else 0]),
            _line(x(bar.value.least), middle, x(bar.value.greatest), middle, _INK),
            _text(x(bar.value.greatest) + 6, middle + 4, _number(bar.value.median), "start"),
        ]
    return _drawing(title, bottom + 30, parts)


def curves(
    title: str, each: Sequence[Curve], *, of_x: str, of_y: str, marks: Sequence[tuple[float, str]] = ()
) -> str:
    """Lines on a scale from zero; `marks` are labelled values of x."""
    left, right, top, bottom = 70, WIDTH - 150, 50, 290
    widest = max(x for curve in each for x, _ in curve.points) or 1.0
    highest = _round_up(max(y for curve in each for _, y in curve.points) or 1.0)

    def at(x: float, y: float) -> str:
        return f"{left + (right - left) * x / widest:.1f},{bottom - (bottom - top) * y / highest:.1f}"

    parts = [_text((left + right) / 2, bottom + 34, of_x, "middle"), _text(left, top - 10, of_y, "middle")]
    for step in range(5):
        y, value = bottom - (bottom - top) * step / 4, highest * step / 4
        parts += [_line(left, y, right, y, _GREY), _text(left - 6, y + 4, _number(value), "end")]
    apart = _round_up(widest / 5)
    for step in range(int(widest / apart) + 1):
        x = left + (right - left) * step * apart / widest
        parts.append(_text(x, bottom + 16, _number(step * apart), "middle"))
    for moment, word in marks:
        x = left + (right - left) * moment / widest
        parts += [_line(x, top, x, bottom, _INK, dashed=True), _text(x + 4, top + 10, word, "start")]
    for number, curve in enumerate(each):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(at(x, y) for x, y in curve.points)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            _rect(right + 14, top + 22 * number, 14, 4, colour),
            _text(right + 34, top + 22 * number + 7, curve.name, "start"),
        ]
    return _drawing(title, bottom + 50, parts)


def _drawing(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" font-size="12" fill="{_INK}">'
    )
    heading = f'<text x="{WIDTH / 2:.0f}" y="22" text-anchor="middle" font-size="15">{escape(title)}</text>'
    return "\n".join([head, _rect(0, 0, WIDTH, height, "white"), heading, *parts, "</svg>\n"])


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.2g}"


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5 or 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value)
