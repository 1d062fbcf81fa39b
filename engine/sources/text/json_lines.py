"""JSON lines: one object a line; the keys of the first object are the header.

Numbers stay text as written: none of them is converted to a float.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Final, NoReturn

from checkpoints.records import Refusal
from engine.errors import InputRefused
from engine.job import Row
from engine.sources.raw.sample import LONGEST_CELL, DecodedText, Sample, Table, check_names, empty, label_of, spot
from engine.sources.text.delimited import DELIMITED_SUFFIXES
from texts.remedies import setting
from texts.said import Quantity, said, text_of, wording

_SHOWN: Final = 80
_MOST_DIGITS: Final = 400


_OBJECT: Final = re.compile(r'\s*\{\s*["}]')
_LIST: Final = re.compile(r"\s*\[\s*[\[{\]]")
_SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson"})


def opens(sample: Sample) -> Table | None:
    """The objects as a table, None for a text that is not JSON by its first line, nor by its suffix.

    A key missing from a later object is an empty cell; a key missing from the first object refuses the row. null is
    an empty cell. Raises `InputRefused`, also for a JSON list, and for given column names.
    """
    if _LIST.match(sample.first_line) and sample.original.suffix not in DELIMITED_SUFFIXES:
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
    return Table(header, lambda: _entries(text, header), partial(sample.notes, said("JSON lines")), text.unended)


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


def _entries(text: DecodedText, header: Sequence[str]) -> Iterator[Row | Refusal]:
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
