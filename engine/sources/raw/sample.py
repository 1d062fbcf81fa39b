"""The sample of an input for format detection: its first bytes, and its first lines if it is text."""

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from engine.errors import InputRefused
from engine.sources.raw import charset
from engine.sources.raw import fault_places as faults
from engine.sources.raw.charset import AUTO, Charset, DecodedText
from engine.sources.raw.original import Original, empty
from texts.remedies import setting

_HEAD_LINES: Final = 200
_HEAD_CHARACTERS: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """The given reading options of an input; all of them can be detected.

    `encoding` is "auto" or the name of a codec; `delimiter` is one character, or "" to detect it; `sheet` is the name
    of a sheet in a workbook; `columns` are the column names of an input without a header. `table` is the one that is
    wanted of a workbook that was checked, "" for its main table.
    """

    encoding: str = AUTO
    delimiter: str = ""
    sheet: str = ""
    columns: tuple[str, ...] = ()
    table: str = ""


class Sample:
    """An input whose format is to be detected. Everything is read once; every property may raise `InputRefused`."""

    def __init__(self, original: Original, layout: Layout, page_rows: int) -> None:
        self.original = original
        self.layout = layout
        self.page_rows = page_rows

    @property
    def name(self) -> str:
        """The name of the original."""
        return self.original.name

    @cached_property
    def start(self) -> bytes:
        """The first bytes."""
        with self.original.open() as file:
            return file.read(faults.HEAD)

    @cached_property
    def text(self) -> DecodedText:
        """The input as text; an input that is not text is refused, with the remedy."""
        return DecodedText(self.original, self._charset.codec)

    @cached_property
    def lines(self) -> list[str]:
        """The first lines of the text, without their ends."""
        lines: list[str] = []
        size = 0
        with self.text.open() as file:
            for line in islice(self.text.lines(file), _HEAD_LINES):
                lines.append(line.rstrip("\r\n"))
                size += len(line)
                if size > _HEAD_CHARACTERS:
                    break
        return lines

    @cached_property
    def first_line(self) -> str:
        """The first non-blank line of the text."""
        first = next((line for line in self.lines if line.strip()), None)
        if first is None:
            raise empty(self.name)
        return first

    def notes(self, words: str = "") -> tuple[str, ...]:
        """Notes on how the text is read: `words` for its form, and its encoding if it was detected."""
        return tuple(note for note in (words, self._charset.note) if note)

    @cached_property
    def _charset(self) -> Charset:
        encoding = self.layout.encoding
        if self.layout.sheet:
            raise InputRefused(
                "{file} is not a workbook and has no sheets: leave {flag} out", file=self.name, flag=setting("sheet")
            )
        wide = charset.is_auto(encoding) or charset.is_wide(charset.named(encoding))
        if trouble := faults.no_text(self.start, wide=wide):
            raise InputRefused("{file} {trouble}", file=self.name, trouble=trouble)
        return charset.detect_charset(self.original, encoding)
