"""The cells of a sheet as text: numbers without an exponent, dates by their format, and cell addresses."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, TypeAlias

from texts.said import ValueRefused, said, wording

_MOST_DIGITS: Final = 400
_KEPT_DIGITS: Final = 15
_PRECISION: Final = Context(prec=_KEPT_DIGITS, rounding=ROUND_HALF_EVEN)
_SIMPLE: Final = re.compile(r"[1-9]\d{0,14}|(?=.{1,16}$)(0|[1-9]\d*)\.\d*[1-9]")
"""Most numbers, which need no conversion: at most 15 digits, no redundant ones."""
_SHOWN: Final = 40
_NO_DATE: Final = wording("{text!r} is no date")
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:[.,]\d+)?Z?)?", re.ASCII)
_ISO_SPAN: Final = re.compile(r"PT(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:[.,]\d+)?S)?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,6})?", re.ASCII)
"""A valid number; `Decimal` also accepts 1_000, digits of other scripts, and NaN."""
_LETTERS: Final = 26
_SECONDS_A_DAY: Final = 86400
_LAST_DAY: Final = 2958465
"""9999-12-31 as an Excel serial date."""
_FEIGNED: Final = 60
"""The serial date of 1900-02-29, which exists only in Excel."""


@dataclass(frozen=True, slots=True)
class CellFault:
    """A cell that cannot be read; `reason` follows its address in a sentence."""

    reason: str


Cell: TypeAlias = str | bool | CellFault
"""The value of a cell: a text, also for numbers and dates; a boolean; or a fault."""


# The format of a number, as far as it changes the value: zeros for as many digits, as 00123 has; a date, a date with
# a time of day, a time of day, or an elapsed time, which may exceed 24 hours.
PLAIN, _DATE, _MOMENT, _TIME, _ELAPSED = "", "d", "dh", "h", "["


def whole_number(text: str | None, most: int) -> int | None:
    """Parse a whole number in an attribute; None for an invalid one, or one above `most`."""
    if not text or not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(most)) and int(digits) <= most else None


def address(column: int, row: int) -> str:
    """The address of a cell, such as B7, by its column from 0 and its row from 1."""
    letters, rest = "", column + 1
    while rest:
        rest, letter = divmod(rest - 1, _LETTERS)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


def plain_number(text: str) -> str:
    """The number of a cell in full, without an exponent and without trailing zeros.

    Spreadsheets calculate with 15 digits, but some write 17, such as 1.1000000000000001 for 1.1. A fraction is
    rounded to 15 digits; a whole number is kept as written. Raises ValueError for an invalid number.
    """
    if _SIMPLE.fullmatch(text):
        return text
    plain = text.strip()
    if not _NUMBER.fullmatch(plain):
        raise ValueRefused("{text!r} is no number", text=text[:_SHOWN])
    number = Decimal(plain)
    if abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueRefused("{text!r} is no number that can be written out", text=text[:_SHOWN])
    if number != number.to_integral_value():
        number = _PRECISION.plus(number)
    written = format(number, "f")
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written in {"-0", ""} else written


def cell_text(text: str, form: str, *, since_1904: bool = False) -> str:
    """Convert the number of a cell by its format to a number, date, date with time, or time.

    Raises ValueError for an invalid number.
    """
    if not form.strip("0"):
        number = plain_number(text)
        return number if "." in number else number.zfill(len(form) + number.startswith("-"))
    seconds = _seconds(text)
    days, second = divmod(seconds, _SECONDS_A_DAY)
    if form == _ELAPSED or (form == _TIME and days == 0):
        return _clock(seconds)
    if since_1904:
        day = date(1904, 1, 1)
    elif days == 0:
        raise ValueRefused(_NO_DATE, text=text[:_SHOWN])
    elif days == _FEIGNED:
        raise ValueError(said("29 February 1900 was no day"))
    else:
        day = date(1899, 12, 30) if days > _FEIGNED else date(1899, 12, 31)
    day += timedelta(days=days)
    # A time of day that the format does not show is kept.
    return f"{day} {_clock(second)}" if second or form != _DATE else str(day)


def iso_date(text: str) -> str:
    """Convert an ISO 8601 date or date with time. Raises ValueError for an invalid one."""
    match = _ISO.fullmatch(text)
    try:
        # Parsed only as a check: fractions of a second are dropped, as the billing has none.
        datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00:00'}" if match else "")
    except ValueError:
        match = None
    if match is None:
        raise ValueRefused(_NO_DATE, text=text[:_SHOWN])
    return f"{match[1]} {match[2]}" if match[2] else match[1]


def iso_time(text: str) -> str:
    """Convert an ISO 8601 time of day or time span, such as PT12H30M00S. Raises ValueError for an invalid one."""
    match = _ISO_SPAN.fullmatch(text)
    if match is None:
        raise ValueRefused("{text!r} is no time", text=text[:_SHOWN])
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return _clock(hours * 3600 + minutes * 60 + seconds)


def _seconds(text: str) -> int:
    days = Decimal(plain_number(text))
    if not 0 <= days <= _LAST_DAY:
        raise ValueRefused(_NO_DATE, text=text[:_SHOWN])
    return int((days * _SECONDS_A_DAY).to_integral_value())


def _clock(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}"


# ---- number formats ------------------------------------------------------------------------------------------------

_BUILT_IN: Final = {
    **dict.fromkeys((*range(14, 18), *range(27, 32), 36, *range(50, 55), 57, 58), _DATE),
    **dict.fromkeys((*range(18, 22), *range(32, 36), 45, 47, 55, 56), _TIME),
    22: _MOMENT,
    46: _ELAPSED,
}
"""The built-in formats by number, which a workbook does not define; all others are plain numbers."""
_LITERAL: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
"""The literal text of a format, and its colours, conditions and languages."""


def format_of(number: int, code: str | None) -> str:
    if code is None:
        return _BUILT_IN.get(number, PLAIN)
    marks = _LITERAL.sub("", code).split(";")[0].strip().casefold()
    if "[" in marks:
        return _ELAPSED
    if not marks.strip("0") or marks in {"general", "@"}:
        return marks if len(marks) > 1 and not marks.strip("0") else PLAIN
    of_day, of_clock = not {"y", "d"}.isdisjoint(marks), not {"h", "s"}.isdisjoint(marks)
    return _DATE * of_day + _TIME * of_clock or _DATE * ("m" in marks)
