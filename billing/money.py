"""Money: roubles as Decimal, the database's scaled integers, and amounts as people type them.

No float is ever used. Nothing is guessed: an amount that can be read in two ways is refused.
"""

import re
import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Final

from billing.errors import BillingError, UnreadableAnswer
from texts.said import Said, counted, said

SCALE: Final = 10**10
"""The database's integers per rouble: row 1 of `VPN_CONST` ([S], the recipe for limits by tariff)."""

LARGEST_STORED: Final = 2**63 - 1
"""The largest integer that a money column of the database holds."""

LARGEST: Final = Decimal(LARGEST_STORED) / SCALE
"""The largest amount in roubles, positive or negative, that the database's 64-bit integers hold [S]."""

_SCALE_PLACES: Final = 10
_KOPECK_PLACES: Final = 2
_GROUP: Final = 3
_MOST_DIGITS: Final = 12
_LONGEST_TEXT: Final = 40
_LARGEST_POWER: Final = 24
"""The largest power of ten: Decimal computes with 28 digits, and no amount has as many before its decimals."""
_ABOVE: Final = 10 ** (_LARGEST_POWER + 1)

_SPACES: Final = frozenset(" \u00a0\u202f\u2007\u2009")
"""Spaces between thousands: plain, no-break, narrow no-break, figure and thin space."""
_SEPARATORS: Final = frozenset(".,")
_MINUS: Final = frozenset("-\u2212")
_DIGITS: Final = frozenset("0123456789")
_CURRENCY: Final = re.compile(r"(?:р|руб|рубль|рубля|рублей|rub)\.?\Z|₽\Z", re.IGNORECASE)
"""The rouble at the end of an amount; no other currency is accepted."""

_LOOKALIKES: Final = {
    said("a zero"): "OoОо",
    said("a one"): "lIіІ",
    said("a three"): "Зз",
    said("a five"): "Ss",
    said("a six"): "б",
    said("an eight"): "BВ",
}
"""Latin and Cyrillic letters that look like digits in typed or scanned files."""
_LATIN: Final = "Latin"
_CYRILLIC: Final = "Cyrillic"
_PLAIN: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,7})(?:[.,][0-9]{1,2})?")
"""An amount that can be read in one way only, and is never above `LARGEST`: most of those in files."""
_EXPONENTS: Final = frozenset("eEеЕ")
"""The letters of an exponent, Latin and Cyrillic, as a spreadsheet writes 1,5E+03."""


class AmountError(BillingError, ValueError):
    """Raised when a text is not an amount, or is one that could be read in two ways.

    `position` is the 1-based place of the offending character in the text as given.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def too_large(amount: str | Decimal) -> Said:
    """The text for an amount above `LARGEST`."""
    return said("{amount} is more than the billing's database can hold: 922,337,203.68 at most", amount=amount)


def roubles(scaled: int) -> Decimal:
    """The exact roubles of a database integer, with two decimals, or more if needed."""
    places = _SCALE_PLACES
    while places > _KOPECK_PLACES and scaled % 10 == 0:
        scaled //= 10
        places -= 1
    # A division would round to the precision of the context.
    sign, digits, _ = Decimal(scaled).as_tuple()
    return Decimal((sign, digits, -places))


def shortest(scaled: int) -> str:
    """The roubles of a database integer in plain notation, with no more decimals than it needs, such as "-50.5"."""
    whole, rest = divmod(abs(scaled), SCALE)
    decimals = f".{rest:0{_SCALE_PLACES}}".rstrip("0") if rest else ""
    return f"{'-' if scaled < 0 else ''}{whole}{decimals}"


def unscaled(value: object) -> Decimal:
    """The roubles of a value from a money column of any type, which holds whole numbers.

    Raises ValueError for a value that is not a whole number.
    """
    if type(value) is int and -_ABOVE < value < _ABOVE:
        return roubles(value)
    number = from_answer(value if isinstance(value, int | Decimal) else str(value).strip())
    whole = int(number)
    if number != whole:
        shown = repr(str(value)[:_LONGEST_TEXT])
        raise ValueError(said("{value} is not a whole number, as the database holds money", value=shown))
    return roubles(whole)


def stored_roubles(value: object, column: str) -> Decimal:
    """The roubles of a value from a column of any type; null is 0.00, as in the billing's own sums.

    Raises `UnreadableAnswer`, which names the column, for a value that is not a whole number.
    """
    if value is None:
        return roubles(0)
    if type(value) is int and -_ABOVE < value < _ABOVE:
        return roubles(value)
    try:
        return unscaled(value)
    except ValueError as error:
        shown = repr(str(value)[:_LONGEST_TEXT])
        raise UnreadableAnswer(
            "{column} holds {value}, and a whole number was expected", column=column, value=shown
        ) from error


def scaled(amount: Decimal) -> int:
    """The database integer of an amount in roubles.

    Raises ValueError for an amount with more than ten decimals, one too large for the database, or not a number.
    """
    if not amount.is_finite() or abs(amount.adjusted()) > _LONGEST_TEXT:
        raise ValueError(_no_amount(amount))
    numerator, denominator = amount.as_integer_ratio()
    whole, rest = divmod(numerator * SCALE, denominator)
    if rest:
        raise ValueError(
            said(
                "{amount} is finer than the billing's money, which has {places} decimals",
                amount=str(amount),
                places=_SCALE_PLACES,
            )
        )
    if not -(2**63) <= whole < 2**63:
        raise ValueError(too_large(str(amount)))
    return whole


def wire(amount: Decimal) -> str:
    """The text of an amount in a call: roubles in plain notation without an exponent, such as "-50.50" [S].

    Decimals are kept; zero has no sign. Raises ValueError when it is not a number.
    """
    # A number without an end, or one whose text would take gigabytes, is no amount.
    if not amount.is_finite() or abs(amount.adjusted()) > _LONGEST_TEXT:
        raise ValueError(_no_amount(amount))
    return format(amount or abs(amount), "f")


def from_answer(value: object) -> Decimal:
    """A number of an answer as Decimal, in any of the billing's spellings [D].

    Raises ValueError when it is not a number, is infinite, or has more digits than any amount.
    """
    text = str(value)
    if isinstance(value, bool) or len(text) > _LONGEST_TEXT:
        raise ValueError(_no_number(text))
    try:
        number = Decimal(text)
    except (InvalidOperation, ValueError):
        raise ValueError(_no_number(text)) from None
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_POWER:
        raise ValueError(_no_number(text))
    return number


def _no_number(text: str) -> Said:
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return said("{value} is not a number", value=repr(shown))


def _no_amount(amount: Decimal) -> Said:
    return said("{amount} is not an amount of money", amount=str(amount)[:_LONGEST_TEXT])


def parse_amount(text: str, *, places: int = _KOPECK_PLACES) -> Decimal:
    """An amount as people type it in a file: "1 234,50", "1,234.50", "-12.5", "(50,00)", "7 руб.".

    Accepts a sign, or brackets for a minus; a decimal point or comma; spaces between thousands, or the one of point
    and comma that does not separate the decimals; the rouble's name or sign at the end. Returns roubles with the
    decimals as written. Raises AmountError, with the place of the fault, for any other text, such as one with more
    than `places` decimals or one that can be read in two ways.
    """
    if places == _KOPECK_PLACES and _PLAIN.fullmatch(text):
        number = Decimal(text.lstrip("-").replace(",", "."))
        return -number if text[0] == "-" else number
    start, end = _bounds(text)
    negative, start, end = _sign(text, start, end)
    _check_characters(text, start, end)
    separator = _separator(text, start, end)
    whole = _whole(text, start, separator)
    decimals = text[separator + 1 : end]
    if separator < end:
        _check_decimals(text, start, separator, end, places)
    number = Decimal(f"{whole}.{decimals}" if decimals else whole)
    if number > LARGEST:
        raise AmountError(too_large(number), start + 1)
    return -number if negative else number


def _bounds(text: str) -> tuple[int, int]:
    """The start and end of the amount, without spaces around it and the currency after it."""
    start, end = _trimmed(text, 0, len(text))
    if start == end:
        raise AmountError(said("the amount is empty"), 1)
    if end - start > _LONGEST_TEXT:
        raise AmountError(
            said(
                "the text is {characters} characters long, no amount is longer than {longest}",
                characters=end - start,
                longest=_LONGEST_TEXT,
            ),
            start + _LONGEST_TEXT + 1,
        )
    return _without_currency(text, start, end)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in _SPACES:
        start += 1
    while end > start and text[end - 1] in _SPACES:
        end -= 1
    return start, end


def _without_currency(text: str, start: int, end: int) -> tuple[int, int]:
    match = _CURRENCY.search(text, start, end)
    if match is None:
        return start, end
    first, last = _trimmed(text, start, match.start())
    if first == last:
        currency = repr(match[0].strip())
        raise AmountError(said("there is {currency} and no amount", currency=currency), match.start() + 1)
    return first, last


def _sign(text: str, start: int, end: int) -> tuple[bool, int, int]:
    """Whether the amount is negative, and its start and end without the sign or brackets."""
    if text[start] == "(" and text[end - 1] == ")" and end - start > 1:
        inner = _trimmed(text, start + 1, end - 1)
        if inner[0] == inner[1]:
            raise AmountError(said("there are brackets and no amount"), start + 1)
        return True, *_without_currency(text, *inner)
    signed = text[start] in _MINUS or text[start] == "+"
    if signed and start + 1 == end:
        raise AmountError(said("there is a sign and no amount"), start + 1)
    return text[start] in _MINUS, start + signed, end


def _check_characters(text: str, start: int, end: int) -> None:
    if not any(character in _DIGITS for character in text[start:end]):
        raise AmountError(said("{text} is not an amount", text=repr(text[start:end])), start + 1)
    for place in range(start, end):
        character = text[place]
        if character in _DIGITS or character in _SEPARATORS or character in _SPACES:
            continue
        if character in _EXPONENTS:
            raise AmountError(said("an exponent is not allowed"), place + 1)
        raise AmountError(_describe(character, place + 1), place + 1)


def _describe(character: str, place: int) -> Said:  # noqa: PLR0911 - a list of cases
    """Describe a character that is not allowed in an amount, and its place."""
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, code)
    script = name.split(" ", 1)[0].capitalize()
    shown = repr(character)
    for digit, letters in _LOOKALIKES.items():
        if character in letters:
            if script == _LATIN:
                return said(
                    "character {place} is the Latin letter {letter}, which looks like {digit}",
                    place=place,
                    letter=shown,
                    digit=digit,
                )
            return said(
                "character {place} is the Cyrillic letter {letter}, which looks like {digit}",
                place=place,
                letter=shown,
                digit=digit,
            )
    if character.isnumeric():
        return said(
            "character {place} is {character}, a digit of another script ({name}): only 0 to 9 are read",
            place=place,
            character=shown,
            name=name,
        )
    if character in "+-\u2212":
        return said("character {place} is a second or misplaced sign, {sign}", place=place, sign=shown)
    if character in "()":
        return said(
            "character {place} is {bracket}; brackets that mean a minus stand around the whole amount, and without "
            "another sign",
            place=place,
            bracket=shown,
        )
    if character.isspace() or not character.isprintable():
        return said("character {place} is the invisible character {code} ({name})", place=place, code=code, name=name)
    if character.isalpha():
        return _letter(place, shown, script)
    return said("character {place} is {character}, which has no place in an amount", place=place, character=shown)


def _letter(place: int, letter: str, script: str) -> Said:
    if script == _LATIN:
        return said("character {place} is the Latin letter {letter}", place=place, letter=letter)
    if script == _CYRILLIC:
        return said("character {place} is the Cyrillic letter {letter}", place=place, letter=letter)
    return said("character {place} is the {script} letter {letter}", place=place, script=script, letter=letter)


def _separator(text: str, start: int, end: int) -> int:
    """The index of the decimal separator, `end` without one."""
    found = [place for place in range(start, end) if text[place] in _SEPARATORS]
    if not found:
        return end
    last = found[-1]
    if len(found) == 1:
        return last
    if len({text[place] for place in found}) == 1:
        # There is at most one decimal separator, so several equal ones separate thousands.
        return end
    if text[last] in {text[place] for place in found[:-1]}:
        raise AmountError(
            said(
                "character {place} is {mark} once more: the decimal separator stands in an amount once",
                place=last + 1,
                mark=repr(text[last]),
            ),
            last + 1,
        )
    return last


def _whole(text: str, start: int, end: int) -> str:
    """The digits before the decimal separator, without the separators of thousands."""
    groups: list[str] = []
    parted_by: set[str] = set()
    place = start
    while place <= end:
        stop = place
        while stop < end and text[stop] in _DIGITS:
            stop += 1
        group = text[place:stop]
        if not group:
            raise AmountError(_misplaced(text, stop, end), stop + 1)
        if (groups and len(group) != _GROUP) or (stop < end and len(group) > _GROUP):
            raise AmountError(
                said(
                    "the digits {digits} at character {place} are not a group of thousands: a separator of thousands "
                    "has three digits after it",
                    digits=repr(group),
                    place=place + 1,
                ),
                place + 1,
            )
        if stop < end:
            parted_by.add(" " if text[stop] in _SPACES else text[stop])
            if len(parted_by) > 1:
                raise AmountError(
                    said(
                        "character {place} separates the thousands in another way than the one before", place=stop + 1
                    ),
                    stop + 1,
                )
        groups.append(group)
        place = stop + 1
    digits = "".join(groups)
    if len(digits) > 1 and digits[0] == "0":
        raise AmountError(said("the amount starts with a zero: a contract number may, an amount does not"), start + 1)
    if len(digits) > _MOST_DIGITS:
        raise AmountError(
            said("the amount has {digits} digits of roubles, absurdly many", digits=len(digits)), start + 1
        )
    return digits


def _misplaced(text: str, place: int, end: int) -> Said:
    if place == end or text[place] in _SEPARATORS:
        return said("character {place} is not preceded by a digit", place=place + 1)
    return said("character {place} is a space that does not separate thousands", place=place + 1)


def _check_decimals(text: str, start: int, separator: int, end: int, places: int) -> None:
    for place in range(separator + 1, end):
        if text[place] in _SPACES:
            raise AmountError(said("character {place} is a space among the decimals", place=place + 1), place + 1)
    count = end - separator - 1
    if count == 0:
        raise AmountError(
            said("character {place} is a separator with no decimals after it", place=separator + 1), separator + 1
        )
    before = text[start:separator]
    if count == _GROUP and len(before) <= _GROUP and before != "0":
        raise AmountError(_two_ways(text[start:end], before, text[separator + 1 : end]), separator + 1)
    if count > places:
        raise AmountError(
            said(
                "{amount} has {count} decimals; the billing's kopecks take {places}",
                amount=text[start:end],
                count=count,
                places=places,
            ),
            separator + places + 2,
        )


def _two_ways(written: str, before: str, after: str) -> Said:
    """Both readings of a single separator before three digits, and how to write each of them."""
    return counted(
        "{amount} can be read in two ways, as {all} roubles and as {before} rouble and a fraction: write {all}.00 "
        "for the first, {before}.{kopecks} with two decimals for the second",
        "{amount} can be read in two ways, as {all} roubles and as {before} roubles and a fraction: write {all}.00 "
        "for the first, {before}.{kopecks} with two decimals for the second",
        int(before),
        amount=written,
        all=before + after,
        before=before,
        kopecks=after[:_KOPECK_PLACES],
    )
