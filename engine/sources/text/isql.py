"""Output of isql, and of `sqlexec` around it: lists of columns, tables with headings, bare values [S].

Observed in isql of Firebird 3: `set list on` pads the name of a column to 31 characters and prints a blank line
after each row; `set heading off` leaves padded values and blank lines; otherwise the headings are repeated every 20
rows. NULL is `<null>` in all forms.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Protocol

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.rows import LastLine, Row, RowPage, Source
from engine.sources.raw.charset import DecodedText
from engine.sources.raw.original import proven
from engine.sources.raw.sample import Sample
from engine.sources.raw.source import REST, bare_names, check_names, example, has_open_end, label_of, paged
from engine.sources.text.delimited import DELIMITED_SUFFIXES, announced_by
from engine.sources.text.isql_table import PrintedTable, is_marks, table
from texts.remedies import setting
from texts.said import counted, said

NULL: Final = "<null>"
ID: Final = "id"
"""The name of a single column of bare whole numbers."""

WHITE_SPACE: Final = " "
"""The delimiter of values with any white space between them, as the shell's `read` takes a line apart."""

_NAME_WIDTH: Final = 31
_NAME: Final = re.compile(r"[^\W\d][^\t;,]*")
_PLAIN_NAME: Final = re.compile(r"[A-Z][A-Z0-9_$]*")
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d+)?")
_APART: Final = re.compile(r"[ \t]+")
_NOISE: Final = re.compile(r"Records affected: \d+")

Lines = Iterable[tuple[int, str]]
"""The non-blank lines with their numbers."""
_ListLine = tuple[int, tuple[str, str] | None]
"""A line's number, and its name and value if it has them."""


def matches(sample: Sample) -> bool:
    """Whether a text is isql output, or words. Raises `InputRefused` if its column names are missing or wrong."""
    return _are_words(sample) or _form_of(sample) is not None


def opens(sample: Sample) -> tuple[Source, tuple[str, ...]]:
    """The output as a source of rows. Raises `InputRefused`, also for a text that is not isql output."""
    words = _Bare(sample.layout.columns, said("columns with spaces between them"), by_words=True)
    form = words if _are_words(sample) else _form_of(sample)
    if form is None:
        raise InputRefused("{file} is not as isql prints rows", file=sample.name)
    return PrintedRows(sample.text, form, page_rows=sample.page_rows), sample.notes(form.words)


class PrintedForm(Protocol):
    """A form of isql output."""

    @property
    def words(self) -> str:
        """The name of the form, for the note on how the input is read."""
        ...

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""
        ...

    def entries(self, lines: Lines) -> Iterator[Row | Refusal]:
        """The rows; a row that cannot be split into cells is a refusal."""
        ...


class PrintedRows(Source):
    """Output of isql as a `Source`."""

    __slots__ = ("_form", "_page_rows", "_text")

    def __init__(self, text: DecodedText, form: PrintedForm, *, page_rows: int = 1000) -> None:
        self._text = text
        self._form = form
        self._page_rows = page_rows

    @property
    def name(self) -> str:
        """The name of the original."""
        return self._text.name

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes. Raises `InputRefused`."""
        return self._text.original.digest

    @property
    def header(self) -> tuple[str, ...]:
        """The column names, as printed or as given."""
        return self._form.header

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last line, where it may have been cut. Raises `InputRefused`."""
        return self._text.unended

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`. Raises `InputRefused`."""
        lines = ((number, line) for number, line in self._text.numbered() if not _NOISE.fullmatch(line))
        entries = self._form.entries(lines)
        yield from proven(self._text.original, paged(self.name, entries, after, self._page_rows))


# ---- detection of the form -----------------------------------------------------------------------------------------


def _are_words(sample: Sample) -> bool:
    """Whether a text was said to be words with white space between them."""
    return sample.layout.delimiter == WHITE_SPACE and bool(sample.layout.columns)


def _form_of(sample: Sample) -> PrintedForm | None:
    """The form of a text by its first lines; None if it is not isql output.

    Bare values look like other text, so they are accepted only if the file suffix names no other format. Raises
    `InputRefused` if column names are missing, or are both given and printed.
    """
    text, head, columns = sample.text, sample.lines, sample.layout.columns
    if sample.layout.delimiter or announced_by(sample.first_line):
        return None
    filled = [(number, line) for number, line in enumerate(head, 1) if line.strip()]
    if len(filled) > 1 and is_marks(filled[1][1]):
        _refuse_names(text.name, columns, filled[0][0])
        where = said("{file}, line {line}", file=text.name, line=filled[0][0])
        layout = table(where, filled[0][1], filled[1][1], text.codec)
        check_names(where, layout.names, line=said("the line of headings"))
        return _UnderHeadings(layout)
    names = _listed(filled, known=bool(columns))
    if names:
        _refuse_names(text.name, columns, filled[0][0])
        _refuse_twins(text.name, head, filled[0][0], names[0])
        return _List(names)
    if sample.original.suffix in DELIMITED_SUFFIXES:
        return None
    number, line = filled[0]
    where, padded = said("{file}, line {line}", file=text.name, line=number), _is_padded(head[0], line)
    if columns:
        return _Bare(tuple(columns)) if _is_bare(where, line, columns, padded=padded) else None
    return _unnamed(where, line, padded=padded)


def _refuse_names(name: str, columns: Sequence[str], line: int) -> None:
    if columns:
        raise InputRefused(
            "{file} names its columns itself, from line {line} on: leave {flag} out",
            file=name,
            line=line,
            flag=setting("columns", ",".join(columns)),
        )


def _refuse_twins(name: str, head: Sequence[str], begins: int, column: str) -> None:
    """Refuse a first column that appears twice in a row: the rows are separated by blank lines."""
    block = list(takewhile(str.strip, head[begins - 1 :]))
    if begins - 1 + len(block) == len(head):
        # No blank line: they were removed.
        return
    if sum(cut is not None and cut[0] == column for cut in map(_name_and_value, block)) > 1:
        raise InputRefused(
            "{file}, line {line}: two columns have the same name, {name!r}; give one of them another in the "
            "select, with as",
            file=name,
            line=begins,
            name=column,
        )


def _listed(filled: Sequence[tuple[int, str]], *, known: bool) -> tuple[str, ...]:
    """The column names if each line is a name and a value, otherwise nothing.

    Values of two columns can look like names and values: with `known` names, they must be repeated in a second row.
    """
    names: list[str] = []
    valued = False
    for _, line in filled:
        cut = _name_and_value(line)
        if cut and names and cut[0] == names[0]:
            return tuple(names)
        if cut is None or cut[0] in names:
            break
        names.append(cut[0])
        valued = valued or bool(cut[1])
    return tuple(names) if valued and not known else ()


def _name_and_value(line: str) -> tuple[str, str] | None:
    """The name and value in a line of a list, None if it is not one."""
    if len(line) <= _NAME_WIDTH:
        # The padding after a name without a value was removed.
        return (line.rstrip(), "") if _PLAIN_NAME.fullmatch(line.rstrip()) else None
    if line[_NAME_WIDTH] == " ":
        name, value = line[:_NAME_WIDTH].rstrip(), line[_NAME_WIDTH + 1 :]
    else:
        # A name longer than its column is followed by one space.
        name, _, value = line.partition(" ")
        if len(name) <= _NAME_WIDTH:
            return None
    return (name, value.rstrip()) if _NAME.fullmatch(name) else None


def _is_bare(where: str, line: str, columns: Sequence[str], *, padded: bool) -> bool:
    """Whether a line with known column names holds words rather than delimited cells.

    Raises `InputRefused` if both readings are possible.
    """
    if not {";", "\t", '"'}.isdisjoint(line):
        return False
    if padded or len(columns) == 1 or columns[-1].endswith(REST) or line.count(",") != len(columns) - 1:
        return True
    if len(_APART.split(line.strip(" "))) == len(columns):
        raise InputRefused(
            "{where}: the line can be taken apart at its commas and at its spaces. For the commas give {flag} "
            "and for the spaces print with set list on",
            where=where,
            flag=setting("delimiter", ","),
        )
    return False


def _unnamed(where: str, line: str, *, padded: bool) -> PrintedForm | None:
    """Bare values without column names: only a single column of ids is accepted. Raises `InputRefused`."""
    if not {";", "\t", '"'}.isdisjoint(line):
        return None
    words = _APART.split(line.strip(" "))
    if "," in line and not _NUMBER.fullmatch(words[0]):
        return None
    if not padded and not all(_NUMBER.fullmatch(word) for word in words):
        return None
    if len(words) > 1:
        raise InputRefused(
            "{where}: {values} values and no names of columns. Name them with {flag}, or print with set list on",
            where=where,
            values=len(words),
            flag=setting("columns", example(len(words))),
        )
    return _Bare(())


def _is_padded(first: str, line: str) -> bool:
    """Whether a text has the padding of isql: a blank first line, and spaces around the values."""
    return not first.strip() and line != line.strip(" ")


# ---- the forms -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _List:
    """The form of `set list on`: a line for each column, with name and value."""

    header: tuple[str, ...]
    words: str = said("as isql prints it with set list on")

    def entries(self, lines: Lines) -> Iterator[Row | Refusal]:
        """The rows: each begins at its first column and ends before the next row."""
        block: list[_ListLine] = []
        for number, line in lines:
            cut = _name_and_value(line)
            if block and cut and cut[0] == self.header[0]:
                yield self._row(block)
                block = []
            if len(block) <= len(self.header):
                block.append((number, cut))
        if block:
            yield self._row(block)

    def _row(self, block: Sequence[_ListLine]) -> Row | Refusal:
        cells: list[str] = []
        for (number, cut), name in zip(block, (*self.header, None), strict=False):
            if cut is None or cut[0] != name:
                reason = said("line {line} is not the beginning of a row", line=number)
                if name:
                    reason = said("line {line} is not the column {column}", line=number, column=name)
                return _broken(block, cells, name, reason)
            cells.append("" if cut[1] == NULL else cut[1])
        if len(cells) < len(self.header):
            missing = self.header[len(cells)]
            return _broken(block, cells, missing, said("it ends before the column {column}", column=missing))
        return Row(block[0][0], tuple(cells))


def _broken(block: Sequence[_ListLine], cells: Sequence[str], column: str | None, reason: str) -> Refusal:
    words = said("{reason}; a value that has a line end in it cannot be read from what isql prints", reason=reason)
    return Refusal(block[0][0], column, label_of(cells), words, tuple(cells))


@dataclass(frozen=True, slots=True)
class _UnderHeadings:
    """The form of a table with repeated headings."""

    table: PrintedTable
    words: str = said("as isql prints it, under headings")

    @property
    def header(self) -> tuple[str, ...]:
        return self.table.names

    def entries(self, lines: Lines) -> Iterator[Row | Refusal]:
        for number, line in lines:
            if line in self.table.headings:
                continue
            cells = self.table.cells(line)
            if isinstance(cells, str):
                yield Refusal(number, None, line.strip()[:60], cells, (line,))
            else:
                yield Row(number, tuple("" if cell == NULL else cell for cell in cells))


@dataclass(frozen=True, slots=True)
class _Bare:
    """The form of `set heading off`: a row on each line; without names it is one column of ids.

    With `by_words` it is any text, and a value that has a space in it is a fault, also in a single column.
    """

    names: tuple[str, ...]
    words: str = said("as isql prints it with set heading off")
    by_words: bool = False

    @property
    def header(self) -> tuple[str, ...]:
        return bare_names(self.names) or (ID,)

    def entries(self, lines: Lines) -> Iterator[Row | Refusal]:
        open_end = bool(self.names) and self.names[-1].endswith(REST) and not has_open_end(self.names)
        by_words = self.by_words or len(self.names) > 1
        cut = self._rest_to_the_last if open_end else self._words if by_words else self._whole
        for number, line in lines:
            cells = cut(line.strip(" \t"))
            if isinstance(cells, str):
                yield Refusal(number, None, line.strip()[:60], cells, (line,))
            else:
                yield Row(number, tuple("" if cell == NULL else cell for cell in cells))

    def _whole(self, line: str) -> list[str] | str:
        if self.names:
            if len(_APART.split(line)) > 1 and ("  " in line or "\t" in line):
                return said(
                    "several values in the one column {column}: all columns have to be named", column=self.names[0]
                )
            return [line]
        if not line.isdecimal() or not line.isascii() or (line[0] == "0" and len(line) > 1):
            return said("{text!r} is not an id: the column has to be named by what it holds", text=line[:60])
        return [line]

    def _words(self, line: str) -> list[str] | str:
        names = bare_names(self.names)
        words = _APART.split(line)
        if len(words) == len(names) or (len(words) > len(names) and has_open_end(self.names)):
            return words[: len(names)]
        named = f"{','.join(names)}{REST}"
        if self.by_words:
            return said(
                "{words} for {columns}: a value has a space in it, or is empty. Where only the last column has "
                "spaces, name the columns {named}",
                words=_words(words),
                columns=_columns(names),
                named=named,
            )
        return said(
            "{words} for {columns}: a value has a space in it, or is empty. Print with set list on; or, where only "
            "the last column has spaces, name the columns {named}",
            words=_words(words),
            columns=_columns(names),
            named=named,
        )

    def _rest_to_the_last(self, line: str) -> list[str] | str:
        # A maxsplit of 0 would be none.
        words = _APART.split(line, maxsplit=len(self.names) - 1) if len(self.names) > 1 else [line]
        if len(words) == len(self.names):
            return words
        if self.by_words:
            return said("{words} for {columns}: a value is empty", words=_words(words), columns=_columns(self.names))
        return said(
            "{words} for {columns}: a value is empty. Print with set list on",
            words=_words(words),
            columns=_columns(self.names),
        )


def _words(words: Sequence[str]) -> str:
    return counted("{n} word", "{n} words", len(words))


def _columns(names: Sequence[str]) -> str:
    return counted("{n} column", "{n} columns", len(names))
