"""Handlers of the small parts of an Excel workbook: relationships, sheets, number formats, shared strings."""

import re
from dataclasses import dataclass, field
from typing import Final

from engine.errors import InputRefused
from engine.sources.raw.source import LONGEST_CELL
from engine.sources.workbook.archive import Attributes, ByLocalName, tags
from engine.sources.workbook.cells import PLAIN, Format, format_of, whole_number
from engine.sources.workbook.shared_strings import SpilledStrings
from texts.said import Quantity

_LARGEST: Final = 1_000_000
"""The largest number of a style or a format; Excel allows 65,490 styles."""
_ESCAPED: Final = re.compile(r"(?:_x[0-9A-Fa-f]{4}_)+")
_ESCAPE: Final = len("_x0000_")


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


@dataclass(slots=True)
class Relationships:
    """The relationships of a part: target and type by id."""

    targets: dict[str, tuple[str, str]] = field(default_factory=dict)
    done: bool = False
    end: None = None
    text: None = None
    _tags: ByLocalName[str] = field(default_factory=lambda: tags("Relationship"))

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Keep a relationship within the workbook."""
        if self._tags[name] and attributes.get("TargetMode") != "External":
            kind = attributes.get("Type", "").rpartition("/")[2]
            self.targets[attributes.get("Id", "")] = (kind, attributes.get("Target", ""))

    def target(self, kind: str) -> str | None:
        """The first target of a type, None for none."""
        return next((target for one, target in self.targets.values() if one == kind), None)


@dataclass(slots=True)
class Contents:
    """The workbook part: its sheets, each a name and the id of a relationship, and its date system."""

    sheets: list[tuple[str, str]] = field(default_factory=list)
    since_1904: bool = False
    done: bool = False
    end: None = None
    text: None = None
    _tags: ByLocalName[str] = field(default_factory=lambda: tags("sheet", "workbookPr"))

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Keep a sheet, or note the date system."""
        tag = self._tags[name]
        if tag == "sheet":
            # The attribute has the document's own prefix for the namespace of relationships.
            relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            self.sheets.append((attributes.get("name", ""), relation))
        elif tag == "workbookPr":
            self.since_1904 = attributes.get("date1904", "0") in {"1", "true"}


@dataclass(slots=True)
class Styles:
    """The number formats of cells, by style number."""

    formats: list[Format] = field(default_factory=list)
    done: bool = False
    text: None = None
    _codes: dict[int, str] = field(default_factory=dict)
    _of_cells: bool = False
    _tags: ByLocalName[str] = field(default_factory=lambda: tags("numFmt", "cellXfs", "xf"))

    def start(self, name: str, attributes: Attributes, /) -> None:
        """Keep a format code, or the format of a cell style."""
        match self._tags[name]:
            case "numFmt" if not self._of_cells:
                self._codes[_number(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
            case "cellXfs":
                self._of_cells = True
            case "xf" if self._of_cells:
                number = _number(attributes.get("numFmtId"))
                self.formats.append(format_of(number, self._codes.get(number)))

    def end(self, name: str, /) -> None:
        """Stop after the last cell style."""
        if self._tags[name] == "cellXfs":
            self.done = True

    def format(self, style: str | None) -> Format:
        """The format of a style, plain if it has none."""
        number = _number(style)
        return self.formats[number] if number < len(self.formats) else PLAIN


class SharedTexts:
    """Writes the shared strings to a temporary file, without phonetic texts."""

    __slots__ = ("_gathers", "_length", "_muted", "_name", "_parts", "_tags", "done", "strings")

    def __init__(self, name: str) -> None:
        self._name = name
        self._tags = tags("si", "t", "rPh", "extLst")
        self._parts: list[str] = []
        self._length = 0
        self._gathers = self._muted = self.done = False
        self.strings = SpilledStrings()

    def start(self, name: str, _: Attributes, /) -> None:
        """Handle the start of a text, or of a piece of one."""
        tag = self._tags[name]
        if tag == "t":
            self._gathers = not self._muted
        elif tag:
            self._muted = tag != "si"

    def end(self, name: str, /) -> None:
        """Keep a text at its end."""
        tag = self._tags[name]
        if tag == "t":
            self._gathers = False
        elif tag == "si":
            self.strings.append(unescaped("".join(self._parts)))
            self._parts.clear()
            self._length = 0
        elif tag:
            self._muted = False

    def text(self, data: str, /) -> None:
        """Add a piece of a text. Raises `InputRefused` if it is too long for a cell."""
        if not self._gathers:
            return
        self._parts.append(data)
        self._length += len(data)
        if self._length > LONGEST_CELL:
            raise InputRefused(
                "{file}: text number {number} of its cells is longer than {most} characters",
                file=self._name,
                number=len(self.strings),
                most=Quantity(LONGEST_CELL),
            )


def _number(text: str | None) -> int:
    return whole_number(text, _LARGEST) or 0
