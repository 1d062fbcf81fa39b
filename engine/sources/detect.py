"""Format detection: opens a file or standard input, of any format, as a source of rows.

The format is detected from the first bytes, and from the file suffix only where these leave it open. Each format is a
line of `FORMATS` or `PACKED`, and a module that opens it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

from engine.errors import InputRefused
from engine.job import LastLine, RowPage, Source
from engine.sources import ods, text, workbook, xlsx
from engine.sources.exported import restored
from engine.sources.sample import (
    OLE2,
    ZIP,
    FileOnDisk,
    Layout,
    Sample,
    StandardInput,
    Table,
    check_given,
    is_auto,
    named,
    paged,
    proven,
)
from texts.said import setting

_SPELLED: Final = {"\\t": "\t", "tab": "\t", "TAB": "\t"}


Format: TypeAlias = Callable[[Sample], Table | None]

PACKED: Final[tuple[Format, ...]] = (workbook.refuse_locked, ods.open_ods, xlsx.open_xlsx, workbook.refuse_archive)
"""The formats of files that begin as an archive does, in order."""
FORMATS: Final[tuple[Format, ...]] = (text.open_json_lines, text.open_isql, text.open_delimited)
"""The formats of text, which are tried after these: the first table is used, and each may raise `InputRefused`."""


def open_input(path: Path | None, layout: Layout, *, page_rows: int = 1000) -> Source:
    """The source of a file, or of standard input for None.

    Nothing is read before the first access, which must be in a worker thread. Raises `InputRefused` for a
    contradictory layout; errors of the input are raised on access.
    """
    if not is_auto(layout.encoding):
        named(layout.encoding)
    delimiter = _SPELLED.get(layout.delimiter, layout.delimiter)
    if len(delimiter) > 1 or delimiter in {'"', "\r", "\n", "\0"}:
        raise InputRefused(
            "{flag}: one character is expected, as ; or tab", flag=setting("delimiter", layout.delimiter)
        )
    columns = check_given(layout.columns)
    original = StandardInput() if path is None else FileOnDisk(path)
    return _DetectedInput(Sample(original, replace(layout, delimiter=delimiter, columns=columns)), page_rows)


class _DetectedInput(Source):
    def __init__(self, sample: Sample, page_rows: int) -> None:
        self._sample = sample
        self._page_rows = page_rows

    @property
    def name(self) -> str:
        return self._sample.name

    @property
    def digest(self) -> str:
        return self._sample.original.digest

    @property
    def header(self) -> tuple[str, ...]:
        return self._table.header

    @property
    def notes(self) -> tuple[str, ...]:
        return self._table.notes()

    @property
    def unended(self) -> tuple[LastLine, ...]:
        return self._table.unended()

    def pages(self, after: str | None) -> Iterator[RowPage]:
        entries = self._table.entries()
        yield from proven(self._sample.original, paged(self.name, entries, after, self._page_rows))

    @cached_property
    def _table(self) -> Table:
        packed = PACKED if self._sample.start.startswith((*ZIP, OLE2)) else ()
        tables = (opens(self._sample) for opens in (*packed, *FORMATS))
        return restored(next(table for table in tables if table is not None))
