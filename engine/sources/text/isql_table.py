"""The table that isql prints with headings: the column positions, and the cells of a line.

Each column is as wide as its type, its values padded, with a space after each. The line of `=` shows these widths up
to 79 characters: the end of a wider column follows from the names of the next columns.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from engine.errors import InputRefused
from engine.sources.raw import charset
from texts.said import Quantity, said

_CAP: Final = 79
_MARKS: Final = re.compile(r"=+( =+)* ?")
_BYTES: Final = "latin-1"
"""A codec of one character a byte, by which bytes are cut like text."""


def is_marks(line: str) -> bool:
    """Whether a line is the line of `=` under the headings."""
    return _MARKS.fullmatch(line) is not None


@dataclass(frozen=True, slots=True)
class PrintedTable:
    """The layout of a table: column names, column starts, line length, and the two lines of the headings.

    `padded` is False if trailing spaces were removed from the lines: then less can be checked.
    """

    names: tuple[str, ...]
    starts: tuple[int, ...]
    length: int
    padded: bool
    headings: frozenset[str]
    codec: str

    def cells(self, line: str) -> list[str] | str:
        """The cells of a line, or why it does not fit the headings.

        An old isql pads by bytes, a newer one by characters: a line is cut in the way that fits.
        """
        splits = {tuple(cells) for cells in self._ways(line)}
        if len(splits) == 1:
            return list(splits.pop())
        if splits:
            return said("where its cells begin can be told in two ways; print with set list on")
        return said(
            "its {characters} characters do not stand under the headings, of {wanted}: a value may have a line end "
            "in it; print with set list on",
            characters=Quantity(len(line)),
            wanted=Quantity(self.length),
        )

    def _ways(self, line: str) -> Iterator[list[str]]:
        if self._stands(line):
            yield _cut(line, self.starts)
        if line.isascii() or charset.is_wide(self.codec):
            return
        try:
            disguised = line.encode(self.codec).decode(_BYTES)
            if self._stands(disguised):
                yield [cell.encode(_BYTES).decode(self.codec) for cell in _cut(disguised, self.starts)]
        except UnicodeError:
            # A cut inside a character: the line was not padded by bytes.
            return

    def _stands(self, line: str) -> bool:
        if len(line) != self.length if self.padded else len(line) <= self.starts[-1]:
            return False
        return all(line[start - 1] == " " for start in self.starts[1:])


def table(where: str, heading: str, marks: str, codec: str) -> PrintedTable:
    """The layout from the two lines of the headings at `where`. Raises `InputRefused` if it is ambiguous."""
    widths = [len(run) for run in marks.split()]
    plain = codec.removesuffix("-sig")
    layouts = list(_layouts(_names(heading), widths, heading))
    whole = [starts for starts in layouts if starts[-1] == len(heading)]
    cut_off = [starts for starts in layouts if starts[-1] > len(heading)]
    for fitting, padded in ((whole, True), (cut_off, False)):
        if len(fitting) == 1:
            *starts, length = fitting[0]
            names = tuple(_cut(heading, starts))
            return PrintedTable(names, tuple(starts), length, padded, frozenset({heading, marks}), plain)
        if fitting:
            break
    raise InputRefused(
        "{where}: it cannot be told from the headings where the columns begin; print with set list on", where=where
    )


def _names(heading: str) -> list[tuple[int, int]]:
    """The start and end of each word of the headings."""
    return [match.span() for match in re.finditer(r"\S+", heading)]


def _layouts(names: Sequence[tuple[int, int]], widths: Sequence[int], heading: str) -> Iterator[tuple[int, ...]]:
    """The possible layouts, each as the starts of the columns and the length of the line."""
    if _CAP not in widths:
        starts = [0]
        for width in widths:
            starts.append(starts[-1] + width + 1)
        yield tuple(starts)
        return
    if len(names) != len(widths):
        # A name of several words, and a column whose end follows only from the names.
        return
    ways: list[tuple[int, ...]] = [(0,)]
    for place, (begins, ends) in enumerate(names):
        ways = [
            (*starts, starts[-1] + width + 1)
            for starts in ways
            for width in _widths(place, starts[-1], names, widths, len(heading))
            if starts[-1] == begins or starts[-1] + width == ends
        ]
    yield from ways


def _widths(place: int, start: int, names: Sequence[tuple[int, int]], widths: Sequence[int], length: int) -> set[int]:
    """The possible widths of the column at index `place` that begins at `start`."""
    if widths[place] != _CAP:
        return {widths[place]}
    if place + 1 == len(widths):
        return {max(length - 1 - start, _CAP)}
    begins, ends = names[place + 1]
    # Names are aligned left, and right above numbers and times.
    left, right = begins - 1 - start, ends - widths[place + 1] - 1 - start
    return {width for width in (left, right) if width >= _CAP}


def _cut(line: str, starts: Sequence[int]) -> list[str]:
    return [line[one:other].strip() for one, other in pairwise((*starts, len(line)))]
