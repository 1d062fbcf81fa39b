"""Excel workbooks (.xlsx, .xlsm), read as streams: neither the sheets nor the shared strings are kept in memory.

Elements are matched by their local names, so the strict dialect and documents with prefixes are read too.
"""

import os
import posixpath
import re
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import IO, Final, cast

from engine.errors import InputRefused
from engine.sources.sample import LONGEST_CELL, Sample, Table
from engine.sources.workbook import (
    CONTRADICTS_ITSELF,
    LAST_COLUMN,
    LAST_ROW,
    NO_VALUE,
    PLAIN,
    Archive,
    Attributes,
    Book,
    Cell,
    Inner,
    SheetRow,
    an_error,
    archive_of,
    bad_value,
    cell_text,
    format_of,
    iso_date,
    open_sheet,
    out_of_order,
    too_long,
    whole_number,
)
from texts.said import Quantity, reason_of, said, wording

_ROOT: Final = "_rels/.rels"
_BINARY: Final = "xl/workbook.bin"
_USUAL: Final = "xl/workbook.xml"
_MOST_TEXTS: Final = 10**12
_TRUTHS: Final[Mapping[str, bool]] = {"1": True, "true": True, "0": False, "false": False}
_COLUMN: Final = re.compile(r"[A-Za-z]{1,3}", re.ASCII)
_CORNERS: Final = re.compile(r"[A-Z]+(\d{1,7}):[A-Z]+(\d{1,7})", re.ASCII)
_ONE_TEXT: Final = 3
"""A tag, its text, and its end."""
_NO_TEXT: Final = frozenset({"f", "rPh", "extLst"})
"""Formulas, phonetic texts and extensions: what is in them is no value."""
_LARGEST: Final = 1_000_000
"""The largest number of a style or a format; Excel allows 65,490 styles."""
_ESCAPED: Final = re.compile(r"(?:_x[0-9A-Fa-f]{4}_)+")
_ESCAPE: Final = len("_x0000_")
_WAITING: Final = 1024 * 1024
"""Size of the write buffer, in bytes."""
_TOGETHER: Final = 8
"""Number of texts read at once."""


def open_xlsx(sample: Sample) -> Table | None:
    archive = archive_of(sample)
    if archive is None:
        return None
    if _BINARY in archive.parts:
        binary = wording("{file} is a binary Excel workbook (.xlsb): save it as .xlsx or CSV UTF-8")
        raise InputRefused(binary, file=archive.name)
    if _ROOT in archive.parts and any(part.startswith("xl/") for part in archive.parts):
        return open_sheet(sample, _book(archive))
    return None


def _book(archive: Archive) -> Book:
    workbook = _target(_related(archive, ""), "officeDocument") or _USUAL
    related = _related(archive, workbook)
    since_1904 = False
    parts: dict[str, str] = {}
    for tag, attributes in archive.starts(workbook, "sheet", "workbookPr"):
        if tag == "workbookPr":
            since_1904 = attributes.get("date1904", "0") in {"1", "true"}
            continue
        # The attribute has the document's own prefix for the namespace of relationships.
        relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
        kind, target = related.get(relation, ("", ""))
        # Other sheets are charts and the like.
        if kind == "worksheet":
            parts[attributes.get("name", "")] = target
    styles = _target(related, "styles")
    formats = _formats(archive, styles) if styles else []
    # The shared strings are written to a temporary file once, and kept as long as this book.
    strings = cache(partial(_shared_strings, archive, _target(related, "sharedStrings")))

    def rows(sheet: str) -> Iterator[SheetRow]:
        return _rows(archive, parts[sheet], _Values(archive.name, strings(), formats, since_1904))

    return Book(
        words=said("an Excel workbook"),
        sheets=tuple(parts),
        filled=lambda: [name for name in parts if next(rows(name), None) is not None],
        rows=rows,
        merged=lambda sheet, row: _merged(archive, parts[sheet], row),
    )


# ---- rows and cells ------------------------------------------------------------------------------------------------


def _rows(archive: Archive, part: str, values: "_Values") -> Iterator[SheetRow]:
    number, place, label, hidden = 0, -1, "0", False
    cells: list[Cell] = []
    for tag, attributes, inner in archive.elements(
        part, "row", "sheetData", "v", "is", "t", "f", "rPh", "extLst", whole=("c",)
    ):
        if attributes is None:
            if tag == "sheetData":
                return
            if tag == "row" and cells:
                yield SheetRow(number, cells, hidden)
                cells = []
        elif tag == "c":
            where = attributes.get("r")
            column = _column(where.removesuffix(label)) if where else place + 1
            if where and column < 0:
                misplaced = wording("{file} is broken: a cell in row {row} says that it is {cell!r}")
                raise InputRefused(misplaced, file=archive.name, row=number, cell=where[:20])
            if not place < column < LAST_COLUMN:
                raise out_of_order(archive.name, min(column, LAST_COLUMN), number)
            place = column
            if inner is None:
                raise too_long(archive.name, place, number)
            if inner and (value := values.of(attributes, inner, number)) != "":
                if place > len(cells):
                    cells.extend([""] * (place - len(cells)))
                cells.append(value)
        elif tag == "row":
            given = attributes.get("r")
            row = number + 1 if given is None else whole_number(given, LAST_ROW) or LAST_ROW + 1
            if not number < row <= LAST_ROW:
                raise out_of_order(archive.name, 0, row)
            number, place, label = row, -1, str(row)
            hidden = _TRUTHS.get(attributes.get("hidden", ""), False)


@lru_cache(maxsize=LAST_COLUMN)
def _column(letters: str) -> int:
    """The number of a column from 0, -1 for what is no column."""
    place = 0
    for letter in letters.upper() if _COLUMN.fullmatch(letters) else "":
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of cells, by the strings and formats of their workbook."""

    name: str
    strings: "SpilledStrings"
    formats: Sequence[str]
    since_1904: bool

    def of(self, attributes: Attributes, inner: Inner, row: int) -> Cell:
        kind = attributes.get("t", "n")
        # The type tells where the value is: an inline text counts only in cells of inline text.
        holder, within = ("is", "t") if kind == "inlineStr" else ("v", "v")
        if len(inner) == _ONE_TEXT and inner[0][0] == holder == "v" and isinstance(inner[1], str):
            # As nearly all cells are.
            text = inner[1]
        else:
            text, begun = _text(inner, within)
            if begun.count(holder) != 1 and (text or "v" in begun or "is" in begun):
                return CONTRADICTS_ITSELF
            if not text:
                # A formula with an empty text as its result has the type of a text.
                return "" if kind == "str" or "f" not in begun else NO_VALUE
        try:
            if kind == "s":
                number = whole_number(text.strip(), _MOST_TEXTS)
                return self.strings[-1 if number is None else number]
            if kind == "n":
                style = _number(attributes.get("s"))
                form = self.formats[style] if style < len(self.formats) else PLAIN
                return cell_text(text, form, since_1904=self.since_1904)
            if kind == "d":
                return iso_date(text.strip())
        except IndexError:
            missing = wording("{file} is broken: it has no text number {number}, which row {row} refers to")
            raise InputRefused(missing, file=self.name, number=text[:20], row=row) from None
        except ValueError as error:
            return bad_value(error)
        if kind in {"str", "inlineStr"}:
            return unescaped(text)
        if kind == "b":
            return _TRUTHS.get(text.strip(), CONTRADICTS_ITSELF)
        return an_error(text) if kind == "e" else CONTRADICTS_ITSELF


def _text(inner: Inner, within: str) -> tuple[str, Sequence[str]]:
    """The text in the tags `within`, and the tags that begin, both outside of what has no text."""
    texts: list[str] = []
    begun: list[str] = []
    gathers = muted = False
    for piece in inner:
        if isinstance(piece, str):
            if gathers:
                texts.append(piece)
        elif piece[1] is None:
            gathers = gathers and piece[0] != within
            muted = muted and piece[0] not in _NO_TEXT
        elif not muted:
            begun.append(piece[0])
            gathers = piece[0] == within
            muted = piece[0] in _NO_TEXT
    return "".join(texts), begun


def _merged(archive: Archive, part: str, row: int) -> str | None:
    """A range of merged cells that touches the row; ranges are at the end of a sheet, so all of it is read."""
    for _, attributes in archive.starts(part, "mergeCell"):
        corners = _CORNERS.fullmatch(attributes.get("ref", ""))
        if corners and int(corners[1]) <= row <= int(corners[2]):
            return corners[0]
    return None


# ---- the small parts: relationships, formats, shared strings -------------------------------------------------------


def _related(archive: Archive, part: str) -> dict[str, tuple[str, str]]:
    """The relationships of a part within the workbook, by id: the type, and the part that is the target."""
    folder, file = posixpath.split(part)
    listed = archive.starts(posixpath.join(folder, "_rels", f"{file}.rels"), "Relationship")
    # A target is relative to the folder, or to the archive's root.
    return {
        one.get("Id", ""): (
            one.get("Type", "").rpartition("/")[2],
            posixpath.normpath(posixpath.join("/", folder, one.get("Target", ""))).lstrip("/"),
        )
        for _, one in listed
        if one.get("TargetMode") != "External"
    }


def _target(related: Mapping[str, tuple[str, str]], kind: str) -> str:
    return next((target for one, target in related.values() if one == kind), "")


def _formats(archive: Archive, part: str) -> list[str]:
    codes: dict[int, str] = {}
    formats: list[str] = []
    of_cells = False
    for tag, attributes in archive.starts(part, "numFmt", "cellXfs", "xf", "cellStyles", "dxfs"):
        number = _number(attributes.get("numFmtId"))
        if tag == "cellXfs":
            of_cells = True
        elif of_cells and tag != "xf":
            break
        elif of_cells:
            formats.append(format_of(number, codes.get(number)))
        elif tag == "numFmt":
            codes[number] = attributes.get("formatCode", "")
    return formats


def _number(text: str | None) -> int:
    return whole_number(text, _LARGEST) or 0


def _shared_strings(archive: Archive, part: str) -> "SpilledStrings":
    def texts() -> Iterator[str]:
        elements = archive.elements(part, "t", "rPh", "extLst", whole=("si",)) if part else ()
        whole = (inner for tag, _, inner in elements if tag == "si")
        for number, inner in enumerate(whole):
            if inner is None:
                longer = wording("{file}: text number {number} of its cells is longer than {most} characters")
                raise InputRefused(longer, file=archive.name, number=number, most=Quantity(LONGEST_CELL))
            yield unescaped(_text(inner, "t")[0])

    try:
        return SpilledStrings(texts())
    except OSError as error:
        raise InputRefused(
            "the texts of {file} cannot be kept in a temporary file: {error}. Free some room there, or name another "
            "folder with TMPDIR",
            file=archive.name,
            error=reason_of(error),
        ) from error


def unescaped(text: str) -> str:
    """A text with escapes such as _x000D_ replaced by their characters; invalid escapes are kept."""
    return _ESCAPED.sub(_characters, text) if "_x" in text else text


def _characters(match: re.Match[str]) -> str:
    run = match[0]
    units = b"".join(bytes.fromhex(run[at + 2 : at + 6]) for at in range(0, len(run), _ESCAPE))
    try:
        written = units.decode("utf-16-be")
    except UnicodeDecodeError:
        return run
    return run if "\0" in written else written


class SpilledStrings:
    """Texts by number from 0, in an unnamed file, which is closed with this object.

    A workbook numbers its texts by first use, so they are mostly read in order: some are read at once. Raises OSError
    if the disk is full.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._file = cast("IO[bytes]", tempfile.TemporaryFile(buffering=_WAITING))  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._starts = array("Q")
        self._count = 0
        for text in texts:
            if self._count % _TOGETHER == 0:
                self._starts.append(self._file.tell())
            # No XML has a NUL.
            self._file.write(text.encode() + b"\0")
            self._count += 1
        self._file.flush()
        self._starts.append(self._file.tell())
        self._block, self._texts = -1, list[str]()

    def __getitem__(self, number: int) -> str:
        """The text of that number. Raises IndexError for an unknown number."""
        if not 0 <= number < self._count:
            raise IndexError(number)
        block, place = divmod(number, _TOGETHER)
        if block != self._block:
            start, end = self._starts[block : block + 2]
            self._block, self._texts = block, os.pread(self._file.fileno(), end - start, start).decode().split("\0")
        return self._texts[place]
