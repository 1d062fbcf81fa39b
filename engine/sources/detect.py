"""Format detection: opens a file or standard input, of any format, as a source of rows.

The format is detected from the first bytes, and from the file suffix only where these leave it open. Each format is a
line of `FORMATS`, and a module that matches and opens it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engine.errors import InputRefused
from engine.rows import LastLine, RowPage, Source
from engine.sources.exported import restore_cells
from engine.sources.raw import charset
from engine.sources.raw.original import FileOnDisk, Original, StandardInput
from engine.sources.raw.sample import Layout, Sample
from engine.sources.raw.source import check_given
from engine.sources.text import delimited, isql, json_lines
from engine.sources.workbook import archive, ods, xlsx
from texts.remedies import setting

_SPELLED: Final = {"\\t": "\t", "tab": "\t", "TAB": "\t"}


@dataclass(frozen=True, slots=True)
class InputFormat:
    """A file format of rows.

    `opens` gives the source and notes on detected reading options. Both may raise `InputRefused`.
    """

    matches: Callable[[Sample], bool]
    opens: Callable[[Sample], tuple[Source, tuple[str, ...]]]


FORMATS: Final = (
    InputFormat(archive.is_locked, archive.refuse_locked),
    InputFormat(ods.matches, ods.opens),
    InputFormat(xlsx.matches, xlsx.opens),
    InputFormat(archive.is_archive, archive.refuse_archive),
    InputFormat(json_lines.matches, json_lines.opens),
    InputFormat(isql.matches, isql.opens),
    InputFormat(delimited.matches, delimited.opens),
)
"""The formats in order: the first match is used. Text formats come last, as they refuse input that is not text."""


def open_input(path: Path | None, layout: Layout, *, page_rows: int = 1000) -> Source:
    """The source of a file, or of standard input for None.

    Nothing is read before the first access, which must be in a worker thread. Raises `InputRefused` for a
    contradictory layout; errors of the input are raised on access.
    """
    if not charset.is_auto(layout.encoding):
        charset.named(layout.encoding)
    delimiter = _SPELLED.get(layout.delimiter, layout.delimiter)
    if len(delimiter) > 1 or delimiter in {'"', "\r", "\n", "\0"}:
        raise InputRefused(
            "{flag}: one character is expected, as ; or tab", flag=setting("delimiter", layout.delimiter)
        )
    columns = check_given(layout.columns)
    original = StandardInput() if path is None else FileOnDisk(path)
    return _DetectedInput(original, replace(layout, delimiter=delimiter, columns=columns), page_rows)


class _DetectedInput(Source):
    """A source whose format is detected on first access."""

    __slots__ = ("_found", "_layout", "_original", "_page_rows")

    def __init__(self, original: Original, layout: Layout, page_rows: int) -> None:
        self._original = original
        self._layout = layout
        self._page_rows = page_rows
        self._found: tuple[Source, tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        """The path as it was given, or "standard input"."""
        return self._original.name

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes in hexadecimal. Raises `InputRefused`."""
        return self._original.digest

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns. Raises `InputRefused`."""
        return self._detected()[0].header

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the input is read. Raises `InputRefused`."""
        return self._detected()[1]

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last line, where it may have been cut. Raises `InputRefused`."""
        return self._detected()[0].unended

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`, naming line and column, or the cell."""
        yield from self._detected()[0].pages(after)

    def _detected(self) -> tuple[Source, tuple[str, ...]]:
        if self._found is None:
            source, notes = _open(Sample(self._original, self._layout, self._page_rows))
            self._found = restore_cells(source), notes
        return self._found


def _open(sample: Sample) -> tuple[Source, tuple[str, ...]]:
    return next(form for form in FORMATS if form.matches(sample)).opens(sample)
