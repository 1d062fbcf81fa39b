"""OpenDocument spreadsheets (.ods), read as a stream: one part holds all sheets, one after another.

Observed in LibreOffice 25: equal rows, and equal cells in a row, are written once with a repeat count, also the empty
ones up to the last row of the sheet; the displayed text of a cell is next to its value; errors have a value type of
LibreOffice's own.
"""

from collections.abc import Iterator
from typing import Final

from engine.errors import InputRefused
from engine.rows import Source
from engine.sources.raw.sample import Sample
from engine.sources.workbook.archive import Archive, Attributes, is_archive, locked, tags
from engine.sources.workbook.ods_rows import SheetReader, Survey
from engine.sources.workbook.sheet_source import open_sheet
from engine.sources.workbook.workbook import SheetRow
from texts.said import Quantity, said

_CONTENT = "content.xml"
_KIND = "mimetype"
_MANIFEST = "META-INF/manifest.xml"
_ENCRYPTED = "encrypted-package"
_SPREADSHEET = b"opendocument.spreadsheet"
MOST_REPEATED: Final = 10_000
"""Rows of a sheet that repeat the one before. A few bytes can say a million of them; no list of subscribers does."""


def matches(sample: Sample) -> bool:
    """Whether an input is an OpenDocument spreadsheet. Raises `InputRefused` for one that cannot be read."""
    return is_archive(sample) and _is_ods(Archive(sample.original))


def opens(sample: Sample) -> tuple[Source, tuple[str, ...]]:
    """The sheet as a source, with a note that names it. Raises `InputRefused`."""
    return open_sheet(sample, OpenDocumentBook(Archive(sample.original)))


def _is_ods(archive: Archive) -> bool:
    """Whether an archive is an OpenDocument spreadsheet.

    Raises `InputRefused` for another kind of document, and for an encrypted one.
    """
    if not {_CONTENT, _ENCRYPTED} & archive.parts:
        return False
    if _MANIFEST in archive.parts:
        manifest = _Manifest()
        archive.parse_whole(_MANIFEST, manifest)
        if manifest.encrypted:
            raise locked(archive.name)
    if _KIND in archive.parts:
        with archive.open(_KIND) as stream:
            if _SPREADSHEET not in stream.read(200):
                raise InputRefused(
                    "{file} is a document, but no spreadsheet: save the table as .ods or CSV UTF-8", file=archive.name
                )
    return _CONTENT in archive.parts


class OpenDocumentBook:
    """An OpenDocument spreadsheet as a `Book`. The list of sheets needs one reading of the whole file."""

    __slots__ = ("_archive", "_filled", "_sheets")

    words = said("an OpenDocument spreadsheet")

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._sheets: tuple[str, ...] | None = None
        self._filled: tuple[str, ...] = ()

    @property
    def sheets(self) -> tuple[str, ...]:
        """The names of the sheets, in order. Raises `InputRefused`."""
        if self._sheets is None:
            survey = Survey()
            self._archive.parse_whole(_CONTENT, survey)
            self._sheets, self._filled = tuple(survey.sheets), tuple(survey.filled)
        return self._sheets

    def filled(self) -> tuple[str, ...]:
        """The names of the sheets that are not empty. Raises `InputRefused`."""
        _ = self.sheets
        return self._filled

    def rows(self, sheet: str) -> Iterator[SheetRow]:
        """The non-empty rows of a sheet, in order, with repeated rows. Raises `InputRefused` for too many of them."""
        reader = SheetReader(self._archive.name, sheet)
        repeated = 0
        for _ in self._archive.parse(_CONTENT, reader):
            for row, times in reader.taken():
                repeated += times - 1
                if repeated > MOST_REPEATED:
                    raise InputRefused(
                        "{file}: {rows} rows of the sheet {sheet!r} repeat the row above them, the last of them "
                        "the rows {first} to {last}: delete what was filled down by mistake",
                        file=self._archive.name,
                        rows=Quantity(repeated),
                        sheet=sheet,
                        first=row.number + 1,
                        last=row.number + times - 1,
                    )
                for further in range(times):
                    yield SheetRow(row.number + further, row.cells)

    def merged(self, sheet: str, row: int) -> str | None:
        """Merged cells that begin in the row, None for none."""
        reader = SheetReader(self._archive.name, sheet, watched=row)
        self._archive.parse_whole(_CONTENT, reader)
        return reader.merged


class _Manifest:
    """A handler that looks for an encrypted part."""

    __slots__ = ("_tags", "done", "encrypted")

    end = None
    text = None

    def __init__(self) -> None:
        self._tags = tags("encryption-data")
        self.encrypted = self.done = False

    def start(self, name: str, _: Attributes, /) -> None:
        """Note an encrypted part, and stop."""
        if self._tags[name]:
            self.encrypted = self.done = True
