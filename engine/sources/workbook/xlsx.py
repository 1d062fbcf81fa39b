"""Excel workbooks (.xlsx, .xlsm), read as streams: neither the sheets nor the shared strings are kept in memory.

Elements are matched by their local names, so the strict dialect and documents with prefixes are read too.
"""

import posixpath
from collections.abc import Iterator
from typing import Final

from engine.errors import InputRefused
from engine.rows import Source
from engine.sources.raw.sample import Sample
from engine.sources.workbook.archive import Archive, is_archive
from engine.sources.workbook.shared_strings import SpilledStrings
from engine.sources.workbook.sheet_source import open_sheet
from engine.sources.workbook.workbook import SheetRow, unreadable_texts
from engine.sources.workbook.xlsx_parts import Contents, Relationships, SharedTexts, Styles
from engine.sources.workbook.xlsx_rows import Merges, RowReader
from texts.said import said

_ROOT: Final = "_rels/.rels"
_BINARY: Final = "xl/workbook.bin"
_USUAL: Final = "xl/workbook.xml"


def matches(sample: Sample) -> bool:
    """Whether an input is an Excel workbook. Raises `InputRefused` for one that cannot be read."""
    return is_archive(sample) and _is_xlsx(Archive(sample.original))


def opens(sample: Sample) -> tuple[Source, tuple[str, ...]]:
    """The sheet as a source, with a note that names it. Raises `InputRefused`."""
    return open_sheet(sample, ExcelBook(Archive(sample.original)))


def _is_xlsx(archive: Archive) -> bool:
    """Whether an archive is an Excel workbook. Raises `InputRefused` for the binary format (.xlsb)."""
    if _BINARY in archive.parts:
        raise InputRefused(
            "{file} is a binary Excel workbook (.xlsb): save it as .xlsx or CSV UTF-8", file=archive.name
        )
    return _ROOT in archive.parts and any(part.startswith("xl/") for part in archive.parts)


class ExcelBook:
    """An Excel workbook as a `Book`. The list of sheets is read at once. Raises `InputRefused`."""

    __slots__ = ("_archive", "_contents", "_parts", "_strings", "_styles", "_texts")

    words = said("an Excel workbook")

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        workbook = _joined("", self._related("").target("officeDocument") or _USUAL)
        folder = posixpath.dirname(workbook)
        related = self._related(workbook)
        self._contents = Contents()
        archive.parse_whole(workbook, self._contents)
        self._parts: dict[str, str] = {}
        for name, relation in self._contents.sheets:
            kind, target = related.targets.get(relation, ("", ""))
            # Other sheets are charts and the like.
            if kind == "worksheet":
                self._parts[name] = _joined(folder, target)
        self._styles = Styles()
        if styles := related.target("styles"):
            archive.parse_whole(_joined(folder, styles), self._styles)
        texts = related.target("sharedStrings")
        self._texts = _joined(folder, texts) if texts else ""
        self._strings: SpilledStrings | None = None

    @property
    def sheets(self) -> tuple[str, ...]:
        """The names of the sheets of cells, in order."""
        return tuple(self._parts)

    def filled(self) -> tuple[str, ...]:
        """The names of the sheets that are not empty; each is read to its first row."""
        return tuple(name for name in self._parts if next(self.rows(name), None) is not None)

    def rows(self, sheet: str) -> Iterator[SheetRow]:
        """The non-empty rows of a sheet, in order."""
        reader = RowReader(self._archive.name, self._shared(), self._styles, since_1904=self._contents.since_1904)
        for _ in self._archive.parse(self._parts[sheet], reader):
            yield from reader.taken()

    def merged(self, sheet: str, row: int) -> str | None:
        """A range of merged cells that touches the row; ranges are at the end of a sheet, so all of it is read."""
        merges = Merges(row)
        self._archive.parse_whole(self._parts[sheet], merges)
        return merges.found

    def _related(self, part: str) -> Relationships:
        relationships = Relationships()
        folder, file = posixpath.split(part)
        listed = posixpath.join(folder, "_rels", f"{file}.rels")
        self._archive.parse_whole(listed, relationships)
        return relationships

    def _shared(self) -> SpilledStrings:
        """The shared strings, written to a temporary file once and kept as long as this book."""
        if self._strings is None:
            texts = SharedTexts(self._archive.name)
            try:
                if self._texts:
                    self._archive.parse_whole(self._texts, texts)
                texts.strings.finish()
            except OSError as error:
                raise unreadable_texts(self._archive.name, error) from error
            self._strings = texts.strings
        return self._strings


def _joined(folder: str, target: str) -> str:
    """The name of the part that a relationship targets, relative to the archive's root or to the folder."""
    return posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
