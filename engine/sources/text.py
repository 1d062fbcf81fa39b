"""Text files as pages of rows: JSON lines, the output of isql, and delimited text.

JSON lines are one object a line, and the keys of the first object are the header; numbers stay text as written, none
of them is converted to a float. Delimited text is read with the standard library's `io` and `csv`; only after an
error is it read a second time, to find the exact place.

isql, and `sqlexec` around it, prints lists of columns, tables with headings, or bare values [S]. Observed in isql of
Firebird 3: `set list on` pads the name of a column to 31 characters and prints a blank line after each row; `set
heading off` leaves padded values and blank lines; otherwise the headings are repeated every 20 rows. NULL is `<null>`
in all forms. Under headings each column is as wide as its type, its values padded, with a space after each; the line
of `=` shows these widths up to 79 characters: the end of a wider column follows from the names of the next columns.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import partial
from itertools import pairwise, takewhile
from typing import Final, NoReturn, TypeAlias

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import Row
from engine.sources.sample import (
    LONGEST_CELL,
    LONGEST_LINE,
    REST,
    DecodedText,
    Sample,
    Table,
    bare_names,
    check_names,
    empty,
    example,
    has_open_end,
    is_wide,
    label_of,
    spot,
    wrong_width,
)
from texts.said import Quantity, counted, said, setting, text_of, wording

# ---- delimited text -----------------------------------------------------------------------------------------------


DELIMITERS: Final = (";", "\t", ",")
"""Delimiters in order of precedence: a comma beside another one is part of a name, as in "Сумма, руб;Договор"."""

_DELIMITED_SUFFIXES: Final = frozenset({".csv", ".tsv", ".tab"})
"""File suffixes of delimited text."""

_ANNOUNCED: Final = re.compile(r'(?P<quote>"?)sep=(?P<delimiter>[^\w"\r\n])(?P=quote)[\r\n]*', re.IGNORECASE)

# The csv module's default limit is lower, and is global to the process.
csv.field_size_limit(LONGEST_CELL)
_FAULTY: Final = 2 * LONGEST_CELL
"""Characters of a row with a fault that are looked at."""


def open_delimited(sample: Sample) -> Table:
    """The lines as a table: text of no other format is read as delimited. Raises `InputRefused`.

    The delimiter is given, or named by a first line `sep=;` (Excel), or detected from the header, which stands there
    unless columns are given. Blank lines and rows of empty cells are skipped.
    """
    text, layout = sample.text, sample.layout
    columns = bare_names(layout.columns)
    with text.open() as file:
        lines = text.lines(file)
        filled = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
        first, line = next(filled, (0, ""))
        above, announced = 0, _announced_by(line)
        if announced:
            above = first
            first, line = next(filled, (0, ""))
        if not line:
            raise empty(text.name)
        last = first
        while line.count('"') % 2 and len(line) <= LONGEST_CELL and (more := next(lines, "")):
            # A quoted name may contain a line end.
            line += more
            last += 1
    delimiter = layout.delimiter or announced or delimiter_of(line, len(columns))
    if not columns:
        above = last
        try:
            columns = tuple(next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True)))
        except csv.Error as error:
            raise _quoting(text, first, delimiter) from error
        check_names(said("{file}, line {line}", file=text.name, line=first), columns)
    width, open_end = len(columns), has_open_end(layout.columns)
    return Table(
        columns,
        lambda: _delimited_entries(text, above, delimiter, width, open_end=open_end),
        sample.notes,
        text.unended,
    )


def _delimited_entries(
    text: DecodedText, above: int, delimiter: str, width: int, *, open_end: bool
) -> Iterator[Row | Refusal]:
    """The rows below the line `above`; with an open end, cells behind the columns are passed over."""
    with text.open() as file:
        for _ in range(above):
            file.readline(LONGEST_LINE)
        reader = csv.reader(text.lines(file, above), delimiter=delimiter, strict=True)
        begins = above + 1
        try:
            for cells in reader:
                line, begins = begins, above + reader.line_num + 1
                if not any(map(str.strip, cells)):
                    continue
                if len(cells) == width:
                    yield Row(line, tuple(cells))
                elif len(cells) > width and (open_end or not any(cells[width:])):
                    yield Row(line, tuple(cells[:width]))
                else:
                    yield wrong_width(line, cells, width)
        except csv.Error as error:
            raise _quoting(text, begins, delimiter) from error


def _announced_by(line: str) -> str:
    """The delimiter that a line such as `sep=;` names, as Excel writes and reads it; "" for any other line."""
    found = _ANNOUNCED.fullmatch(line)
    return found["delimiter"] if found else ""


def delimiter_of(text: str, columns: int = 0) -> str:
    """The delimiter of a line: one that gives as many cells as there are columns, otherwise the first in the line."""
    outside = "".join(text.split('"')[::2])
    there = [mark for mark in DELIMITERS if mark in outside]
    fitting = [mark for mark in there if outside.count(mark) == columns - 1]
    return next(iter(fitting or there), DELIMITERS[0])


# ---- the place of a fault: the slow second reading -----------------------------------------------------------------

_QUOTED: Final = re.compile(r'"(?:[^"]|"")*+"')
_LINE_END: Final = re.compile(r"\r\n|\r|\n")


def _quoting(text: DecodedText, line: int, delimiter: str) -> InputRefused:
    """The refusal of the row that begins on a line, for a fault in its quotes or the length of a cell."""
    with text.open() as file:
        for _ in range(line - 1):
            file.readline(LONGEST_LINE)
        rows = file.read(_FAULTY)
    fault = _fault_of_quotes(rows, line, delimiter) or said("line {line}: the row cannot be taken apart", line=line)
    return InputRefused("{file}, {fault}", file=text.name, fault=fault)


def _fault_of_quotes(rows: str, first_line: int, delimiter: str) -> str:
    """Describe the first fault in rows from line `first_line` on, "" for none."""
    plain = re.compile(rf"[^{re.escape(delimiter)}\r\n]*+")
    most = Quantity(LONGEST_CELL)

    def place(at: int) -> str:
        ends = [found.end() for found in _LINE_END.finditer(rows, 0, at)]
        return spot(first_line + len(ends), at - (ends[-1] if ends else 0) + 1)

    at = 0
    while at < len(rows):
        is_quoted = rows[at] == '"'
        found = (_QUOTED if is_quoted else plain).match(rows, at)
        end = found.end() if found else len(rows)
        if end - at - 2 * is_quoted > LONGEST_CELL and is_quoted:
            unclosed = wording(
                "{place}: a quote opens that is not closed within {most} characters; close it or remove it"
            )
            return said(unclosed, place=place(at), most=most)
        if end - at > LONGEST_CELL and not is_quoted:
            return said("{place}: a cell begins that is longer than {most} characters", place=place(at), most=most)
        if found is None:
            return said("{place}: a quote opens that is never closed; close it or remove it", place=place(at))
        if is_quoted and rows[end : end + 1] not in ("", delimiter, "\r", "\n"):
            return said(
                "{place}: {character!r} after the closing quote of a cell; a quote inside a cell is written "
                'twice: "" (the cell begins at {begins})',
                place=place(end),
                character=rows[end],
                begins=place(at),
            )
        at = end + 1
    return ""


# ---- JSON lines ---------------------------------------------------------------------------------------------------


_SHOWN: Final = 80
_MOST_DIGITS: Final = 400


_OBJECT: Final = re.compile(r'\s*\{\s*["}]')
_LIST: Final = re.compile(r"\s*\[\s*[\[{\]]")
_SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson"})


def open_json_lines(sample: Sample) -> Table | None:
    """The objects as a table, None for a text that is not JSON by its first line, nor by its suffix.

    A key missing from a later object is an empty cell; a key missing from the first object refuses the row. null is
    an empty cell. Raises `InputRefused`, also for a JSON list, and for given column names.
    """
    if _LIST.match(sample.first_line) and sample.original.suffix not in _DELIMITED_SUFFIXES:
        raise InputRefused(
            "{file} is a list of JSON, and one object a line is expected: write it anew with jq -c '.[]'",
            file=sample.name,
        )
    is_object = _OBJECT.match(sample.first_line) is not None
    if not is_object and (sample.original.suffix not in _SUFFIXES or sample.layout.columns):
        return None
    if sample.layout.columns:
        raise InputRefused(
            "{file} names its columns itself: leave {flag} out", file=sample.name, flag=setting("columns")
        )
    text = sample.text
    header = _header(text)
    return Table(header, lambda: _json_entries(text, header), partial(sample.notes, said("JSON lines")), text.unended)


def _header(text: DecodedText) -> tuple[str, ...]:
    number, line = next(text.numbered(), (0, ""))
    if not line:
        raise empty(text.name)
    try:
        first = {key: _cell(key, one) for key, one in _object(line).items()}
    except _LineFault as fault:
        place = spot(number, fault.column) if fault.column else said("line {line}", line=number)
        raise InputRefused("{file}, {place}: {fault}", file=text.name, place=place, fault=fault) from fault
    if not first:
        raise InputRefused(
            "{file}, line {line}: the first object is empty; its keys name the columns", file=text.name, line=number
        )
    where = said("{file}, line {line}", file=text.name, line=number)
    check_names(where, list(first), line=said("the first object"))
    return tuple(first)


def _json_entries(text: DecodedText, header: Sequence[str]) -> Iterator[Row | Refusal]:
    known = dict.fromkeys(header, "")
    for number, line in text.numbered():
        try:
            values = _object(line)
            cells = _row(values, known)
        except _LineFault as fault:
            reason = text_of(fault)
            if fault.column:
                reason = said("column {column}: {fault}", column=fault.column, fault=fault)
            yield Refusal(number, None, label_of([line]), reason, (line.strip(),))
        else:
            truths: frozenset[int] = frozenset()
            if True in values.values() or False in values.values():
                truths = frozenset(place for place, key in enumerate(header) if isinstance(values.get(key), bool))
            yield Row(number, cells, truths)


def _row(values: dict[str, object], known: dict[str, str]) -> tuple[str, ...]:
    """The cells in the order of the header, "" for a missing key. Raises `_LineFault` for an unknown key."""
    row = known | {key: _cell(key, one) for key, one in values.items()}
    if len(row) > len(known):
        names = ", ".join(repr(name) for name in values if name not in known)
        unknown = wording("the first object has no {names}; its keys are: {known}")
        raise _LineFault(said(unknown, names=names, known=", ".join(known)))
    return tuple(row.values())


class _LineFault(ValueError):
    """Raised when a line is not a flat object; `column` is the place, from 1, None for the whole line."""

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column


def _object(text: str) -> dict[str, object]:
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _LineFault(said("this is not JSON: {error}", error=error.msg), error.pos + 1) from error
    except RecursionError as error:
        raise _LineFault(said("the line holds brackets in brackets without end; a row is one flat object")) from error
    if not isinstance(value, dict):
        raise _LineFault(
            said("an object is expected, as {example}, and there is {what}", example='{"id": 1}', what=_what(value))
        )
    return value


def _cell(key: str, value: object) -> str:
    match value:
        case str():
            if len(value) > LONGEST_CELL:
                most = Quantity(LONGEST_CELL)
                raise _LineFault(said("{key!r} is longer than {most} characters", key=key, most=most))
            if "\0" in value:
                raise _LineFault(said("{key!r} holds a NUL character, which no text has", key=key))
            try:
                _ = value.isascii() or value.encode()
            except UnicodeEncodeError as error:
                half = f"U+{ord(value[error.start]):04X}"
                raise _LineFault(
                    said("{key!r} holds half of a character ({half}): it was cut in the middle", key=key, half=half)
                ) from error
            return value
        case None:
            return ""
        case True:
            return "true"
        case False:
            return "false"
    raise _LineFault(
        said("{key!r} holds {what}; a cell is text, a number, true, false or null", key=key, what=_what(value))
    )


def _what(value: object) -> str:
    match value:
        case dict():
            return said("an object")
        case list():
            return said("a list")
        case str():
            return said("the text {text!r}", text=value[:_SHOWN])
        case None | True | False:
            return json.dumps(value)
    return said("a value")


def _number(text: str) -> str:
    """A number as it was written, without an exponent."""
    if not {"e", "E"}.intersection(text):
        return text
    with suppress(InvalidOperation):
        number = Decimal(text)
        if abs(number.adjusted()) <= _MOST_DIGITS:
            return format(number, "f")
    raise _LineFault(said("{number} is no number that can be written out", number=text[:_SHOWN]))


def _no_number(text: str) -> NoReturn:
    raise _LineFault(said("{number} is no number of JSON", number=text))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _LineFault(said("the key {key!r} is there twice; which is meant?", key=twice))
    return found


_DECODER: Final = json.JSONDecoder(
    parse_int=_number, parse_float=_number, parse_constant=_no_number, object_pairs_hook=_once
)


# ---- output of isql -----------------------------------------------------------------------------------------------


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
_BARE: Final = said("as isql prints it with set heading off")
_DELIMITED: Final = frozenset(';\t"')
_CAP: Final = 79
_MARKS: Final = re.compile(r"=+( =+)* ?")
_BYTES: Final = "latin-1"
"""A codec of one character a byte, by which bytes are cut like text."""
_NOISE: Final = re.compile(r"Records affected: \d+")

Lines: TypeAlias = Iterable[tuple[int, str]]
"""The non-blank lines with their numbers."""
_Entries: TypeAlias = Iterator[Row | Refusal]
_Cut: TypeAlias = Callable[[str], Sequence[str] | str]
"""Takes a line apart: its cells, or the sentence why it has none."""


def open_isql(sample: Sample) -> Table | None:
    """The output, or words, as a table by its first lines; None for another text.

    Bare values look like other text, so they are accepted only if the file suffix names no other format. Raises
    `InputRefused` if column names are missing, or are both given and printed.
    """
    columns = sample.layout.columns
    if sample.layout.delimiter == WHITE_SPACE and columns:
        return _bare(sample, columns, said("columns with spaces between them"), by_words=True)
    text, head = sample.text, sample.lines
    if sample.layout.delimiter or _announced_by(sample.first_line):
        return None
    filled = [(number, line) for number, line in enumerate(head, 1) if line.strip()]
    number, line = filled[0]
    where = said("{file}, line {line}", file=text.name, line=number)
    has_headings = len(filled) > 1 and _MARKS.fullmatch(filled[1][1]) is not None
    names = () if has_headings else _listed(filled, known=bool(columns))
    if columns and (has_headings or names):
        itself = wording("{file} names its columns itself, from line {line} on: leave {flag} out")
        raise InputRefused(itself, file=text.name, line=number, flag=setting("columns", ",".join(columns)))
    if has_headings:
        names, cut = _under_headings(where, line, filled[1][1], text.codec.removesuffix("-sig"))
        check_names(where, names, line=said("the line of headings"))
        headings = {line, filled[1][1]}
        notes = partial(sample.notes, said("as isql prints it, under headings"))
        return Table(names, lambda: _rows_by(cut, _lines(text, headings)), notes, text.unended)
    if names:
        # The rows are separated by blank lines; with none, they were removed.
        block = list(takewhile(str.strip, head[number - 1 :]))
        is_row = len(block) < len(head) - number + 1
        if is_row and sum(cut is not None and cut[0] == names[0] for cut in map(_name_and_value, block)) > 1:
            twins = wording(
                "{where}: two columns have the same name, {name!r}; give one of them another in the select, with as"
            )
            raise InputRefused(twins, where=where, name=names[0])
        notes = partial(sample.notes, said("as isql prints it with set list on"))
        return Table(names, lambda: _rows_of_list(names, _lines(text)), notes, text.unended)
    if sample.original.suffix in _DELIMITED_SUFFIXES or not _DELIMITED.isdisjoint(line):
        return None
    # The padding of isql: a blank first line, and spaces around the values.
    padded = not head[0].strip() and line != line.strip(" ")
    words_there = _APART.split(line.strip(" "))
    if columns:
        fits = line.count(",") == len(columns) - 1
        if padded or len(columns) == 1 or columns[-1].endswith(REST) or not fits:
            return _bare(sample, columns)
        if len(words_there) == len(columns):
            raise InputRefused(
                "{where}: the line can be taken apart at its commas and at its spaces. For the commas give {flag} "
                "and for the spaces print with set list on",
                where=where,
                flag=setting("delimiter", ","),
            )
        return None
    # Without names only a single column of ids is accepted.
    numbers = [_NUMBER.fullmatch(word) is not None for word in words_there]
    if ("," in line and not numbers[0]) or (not padded and not all(numbers)):
        return None
    if len(words_there) > 1:
        raise InputRefused(
            "{where}: {values} values and no names of columns. Name them with {flag}, or print with set list on",
            where=where,
            values=len(words_there),
            flag=setting("columns", example(len(words_there))),
        )
    return _bare(sample, ())


def _lines(text: DecodedText, headings: Collection[str] = ()) -> Lines:
    return (one for one in text.numbered() if one[1] not in headings and not _NOISE.fullmatch(one[1]))


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


# ---- set list on: a line for each column, with name and value ------------------------------------------------------


def _rows_of_list(header: Sequence[str], lines: Lines) -> _Entries:
    """The rows: each begins at its first column and ends before the next row."""
    block: list[tuple[int, tuple[str, str] | None]] = []
    for number, line in lines:
        cut = _name_and_value(line)
        if block and cut and cut[0] == header[0]:
            yield _row_of_list(header, block)
            block = []
        if len(block) <= len(header):
            block.append((number, cut))
    if block:
        yield _row_of_list(header, block)


def _row_of_list(header: Sequence[str], block: Sequence[tuple[int, tuple[str, str] | None]]) -> Row | Refusal:
    cells: list[str] = []
    name: str | None = None
    for (number, cut), name in zip(block, (*header, None), strict=False):
        if cut is None or cut[0] != name:
            reason = said("line {line} is not the beginning of a row", line=number)
            if name:
                reason = said("line {line} is not the column {column}", line=number, column=name)
            break
        cells.append("" if cut[1] == NULL else cut[1])
    else:
        if len(cells) == len(header):
            return Row(block[0][0], tuple(cells))
        name = header[len(cells)]
        reason = said("it ends before the column {column}", column=name)
    words = said("{reason}; a value that has a line end in it cannot be read from what isql prints", reason=reason)
    return Refusal(block[0][0], name, label_of(cells), words, tuple(cells))


# ---- a row on each line --------------------------------------------------------------------------------------------


def _rows_by(cut: _Cut, lines: Lines) -> _Entries:
    for number, line in lines:
        cells = cut(line)
        if isinstance(cells, str):
            yield Refusal(number, None, label_of([line]), cells, (line,))
        else:
            yield Row(number, tuple("" if cell == NULL else cell for cell in cells))


def _bare(sample: Sample, names: Sequence[str], words: str = _BARE, *, by_words: bool = False) -> Table:
    """Values alone, as with set heading off; without names they are one column of ids.

    With `by_words` it is any text, and a value that has a space in it is a fault, also in a single column.
    """
    columns, open_end = bare_names(names), has_open_end(names)
    takes_rest = bool(names) and names[-1].endswith(REST) and not open_end

    def cells(padded: str) -> Sequence[str] | str:
        line = padded.strip(" \t")
        if not (takes_rest or by_words or len(names) > 1):
            if columns and len(_APART.split(line)) > 1 and ("  " in line or "\t" in line):
                several = wording("several values in the one column {column}: all columns have to be named")
                return said(several, column=columns[0])
            if not columns and (not line.isdecimal() or not line.isascii() or (line[0] == "0" and len(line) > 1)):
                return said("{text!r} is not an id: the column has to be named by what it holds", text=line[:60])
            return [line]
        # A maxsplit of 0 would be none.
        most = len(columns) - 1 if takes_rest else -1
        parts = [line] if most == 0 else _APART.split(line, maxsplit=max(most, 0))
        if len(parts) == len(columns) or (len(parts) > len(columns) and open_end):
            return parts[: len(columns)]
        there, wanted = (
            counted("{n} word[s]", len(parts)),
            counted("{n} column[s]", len(columns)),
        )
        fault = said("{words} for {columns}: a value is empty", words=there, columns=wanted)
        if not takes_rest:
            fault = said(
                "{words} for {columns}: a value has a space in it, or is empty. Where only the last column has "
                "spaces, name the columns {named}",
                words=there,
                columns=wanted,
                named=f"{','.join(columns)}{REST}",
            )
        return (
            fault
            if by_words
            else said("{fault}; with set list on, isql prints each value with its name", fault=fault)
        )

    text = sample.text
    return Table(columns or (ID,), lambda: _rows_by(cells, _lines(text)), partial(sample.notes, words), text.unended)


# ---- under headings ------------------------------------------------------------------------------------------------


def _under_headings(where: str, heading: str, marks: str, codec: str) -> tuple[tuple[str, ...], _Cut]:
    """The columns by the two lines of the headings, and how a line is cut. Raises `InputRefused` if it is ambiguous.

    A layout is the starts of the columns and the length of the line; one beyond the end of the headings means that
    trailing spaces were removed from the lines: then less can be checked.
    """
    widths = [len(run) for run in marks.split()]
    layouts = list(_layouts([one.span() for one in re.finditer(r"\S+", heading)], widths, heading))
    fitting = [one for one in layouts if one[-1] == len(heading)] or [
        one for one in layouts if one[-1] > len(heading)
    ]
    if len(fitting) != 1:
        unclear = wording(
            "{where}: it cannot be told from the headings where the columns begin; print with set list on"
        )
        raise InputRefused(unclear, where=where)
    *starts, length = fitting[0]
    is_padded = length == len(heading)

    def stands(line: str) -> bool:
        if len(line) != length if is_padded else len(line) <= starts[-1]:
            return False
        return all(line[start - 1] == " " for start in starts[1:])

    def ways(line: str) -> Iterator[tuple[str, ...]]:
        if stands(line):
            yield _cut(line, starts)
        if line.isascii() or is_wide(codec):
            return
        # A cut inside a character: the line was not padded by bytes.
        with suppress(UnicodeError):
            disguised = line.encode(codec).decode(_BYTES)
            if stands(disguised):
                yield tuple(cell.encode(_BYTES).decode(codec) for cell in _cut(disguised, starts))

    def cells(line: str) -> Sequence[str] | str:
        # An old isql pads by bytes, a newer one by characters: a line is cut in the way that fits.
        splits = {*ways(line)}
        if len(splits) == 1:
            return splits.pop()
        if splits:
            return said("where its cells begin can be told in two ways; print with set list on")
        return said(
            "its {characters} characters do not stand under the headings, of {wanted}: a value may have a line end "
            "in it; print with set list on",
            characters=Quantity(len(line)),
            wanted=Quantity(length),
        )

    return _cut(heading, starts), cells


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


def _cut(line: str, starts: Sequence[int]) -> tuple[str, ...]:
    return tuple(line[one:other].strip() for one, other in pairwise((*starts, len(line))))
