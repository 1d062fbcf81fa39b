"""Money: roubles as Decimal, the database's scaled integers, and amounts as people type them.

No float is ever used. Nothing is guessed: an amount that can be read in two ways is refused.
"""

import re
import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Final

from billing.errors import BillingError, UnreadableAnswer

SCALE: Final = 10**10
"""The database's integers per rouble: row 1 of `VPN_CONST` ([S], the recipe for limits by tariff)."""

LARGEST: Final = Decimal(2**63 - 1) / SCALE
"""The largest amount in roubles, positive or negative, that the database's 64-bit integers hold [S]."""
TOO_LARGE: Final = "more than the billing's database can hold: 922,337,203.68 at most"
"""The text for a larger amount."""

_SCALE_PLACES: Final = 10
_KOPECK_PLACES: Final = 2
_GROUP: Final = 3
_MOST_DIGITS: Final = 12
_LONGEST_TEXT: Final = 40
_LARGEST_POWER: Final = 24
"""The largest power of ten: Decimal computes with 28 digits, and no amount has as many before its decimals."""

_SPACES: Final = frozenset(" \u00a0\u202f\u2007\u2009")
"""Spaces between thousands: plain, no-break, narrow no-break, figure and thin space."""
_SEPARATORS: Final = frozenset(".,")
_MINUS: Final = frozenset("-\u2212")
_DIGITS: Final = frozenset("0123456789")
_CURRENCY: Final = re.compile(r"(?:р|руб|рубль|рубля|рублей|rub)\.?\Z|₽\Z", re.IGNORECASE)
"""The rouble at the end of an amount; no other currency is accepted."""

_LOOKALIKES: Final = {
    "a zero": "OoОо",
    "a one": "lIіІ",
    "a three": "Зз",
    "a five": "Ss",
    "a six": "б",
    "an eight": "BВ",
}
"""Latin and Cyrillic letters that look like digits in typed or scanned files."""
_EXPONENTS: Final = frozenset("eEеЕ")
"""The letters of an exponent, Latin and Cyrillic, as a spreadsheet writes 1,5E+03."""


class AmountError(BillingError, ValueError):
    """Raised when a text is not an amount, or is one that could be read in two ways.

    `position` is the 1-based place of the offending character in the text as given.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def roubles(scaled: int) -> Decimal:
    """The exact roubles of a database integer, with two decimals, or more if needed."""
    places = _SCALE_PLACES
    while places > _KOPECK_PLACES and scaled % 10 == 0:
        scaled //= 10
        places -= 1
    # A division would round to the precision of the context.
    sign, digits, _ = Decimal(scaled).as_tuple()
    return Decimal((sign, digits, -places))


def unscaled(value: object) -> Decimal:
    """The roubles of a value from a money column of any type, which holds whole numbers.

    Raises ValueError for a value that is not a whole number.
    """
    number = from_answer(value if isinstance(value, int | Decimal) else str(value).strip())
    whole = int(number)
    if number != whole:
        raise ValueError(f"{str(value)[:_LONGEST_TEXT]!r} is not a whole number, as the database holds money")
    return roubles(whole)


def stored_roubles(value: object, column: str) -> Decimal:
    """The roubles of a value from a column of any type; null is 0.00, as in the billing's own sums.

    Raises `UnreadableAnswer`, which names the column, for a value that is not a whole number.
    """
    if value is None:
        return roubles(0)
    try:
        return unscaled(value)
    except ValueError as error:
        raise UnreadableAnswer(
            f"{column} holds {str(value)[:_LONGEST_TEXT]!r}, and a whole number was expected"
        ) from error


def scaled(amount: Decimal) -> int:
    """The database integer of an amount in roubles.

    Raises ValueError for an amount with more than ten decimals, one too large for the database, or not a number.
    """
    _check_amount(amount)
    numerator, denominator = amount.as_integer_ratio()
    whole, rest = divmod(numerator * SCALE, denominator)
    if rest:
        raise ValueError(f"{amount} is finer than the billing's money, which has {_SCALE_PLACES} decimals")
    if not -(2**63) <= whole < 2**63:
        raise ValueError(f"{amount} is {TOO_LARGE}")
    return whole


def wire(amount: Decimal) -> str:
    """The text of an amount in a call: roubles in plain notation without an exponent, such as "-50.50" [S].

    Decimals are kept; zero has no sign. Raises ValueError when it is not a number.
    """
    _check_amount(amount)
    return format(amount or abs(amount), "f")


def from_answer(value: str | int | float | Decimal) -> Decimal:  # noqa: PYI041 — answers hold floats
    """A number of an answer as Decimal, in any of the billing's spellings [D].

    Raises ValueError when it is not a number, is infinite, or has more digits than any amount.
    """
    text = str(value)
    named = repr(text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…")
    if isinstance(value, bool) or len(text) > _LONGEST_TEXT:
        raise ValueError(f"{named} is not a number")
    try:
        number = Decimal(text)
        _check_amount(number, _LARGEST_POWER)
    except (InvalidOperation, ValueError):
        raise ValueError(f"{named} is not a number") from None
    return number


def _check_amount(amount: Decimal, largest: int = _LONGEST_TEXT) -> None:
    """Raise ValueError for a number that is not finite, or whose text would take gigabytes."""
    if not amount.is_finite() or abs(amount.adjusted()) > largest:
        raise ValueError(f"{str(amount)[:_LONGEST_TEXT]} is not an amount of money")


def parse_amount(text: str, *, places: int = _KOPECK_PLACES) -> Decimal:
    """An amount as people type it in a file: "1 234,50", "1,234.50", "-12.5", "(50,00)", "7 руб.".

    Accepts a sign, or brackets for a minus; a decimal point or comma; spaces between thousands, or the one of point
    and comma that does not separate the decimals; the rouble's name or sign at the end. Returns roubles with the
    decimals as written. Raises AmountError, with the place of the fault, for any other text, such as one with more
    than `places` decimals or one that can be read in two ways.
    """
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
        raise AmountError(f"{number:,} is {TOO_LARGE}", start + 1)
    return -number if negative else number


def _bounds(text: str) -> tuple[int, int]:
    """The start and end of the amount, without spaces around it and the currency after it."""
    start, end = _trimmed(text, 0, len(text))
    if start == end:
        raise AmountError("the amount is empty", 1)
    if end - start > _LONGEST_TEXT:
        raise AmountError(
            f"the text is {end - start} characters long, no amount is longer than {_LONGEST_TEXT}",
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
        raise AmountError(f"there is {match[0].strip()!r} and no amount", match.start() + 1)
    return first, last


def _sign(text: str, start: int, end: int) -> tuple[bool, int, int]:
    """Whether the amount is negative, and its start and end without the sign or brackets."""
    if text[start] == "(" and text[end - 1] == ")" and end - start > 1:
        inner = _trimmed(text, start + 1, end - 1)
        if inner[0] == inner[1]:
            raise AmountError("there are brackets and no amount", start + 1)
        return True, *_without_currency(text, *inner)
    signed = text[start] in _MINUS or text[start] == "+"
    if signed and start + 1 == end:
        raise AmountError("there is a sign and no amount", start + 1)
    return text[start] in _MINUS, start + signed, end


def _check_characters(text: str, start: int, end: int) -> None:
    if not any(character in _DIGITS for character in text[start:end]):
        raise AmountError(f"{text[start:end]!r} is not an amount", start + 1)
    for place in range(start, end):
        character = text[place]
        if character in _DIGITS or character in _SEPARATORS or character in _SPACES:
            continue
        if character in _EXPONENTS:
            raise AmountError("an exponent is not allowed", place + 1)
        raise AmountError(f"character {place + 1} is {_describe(character)}", place + 1)


def _describe(character: str) -> str:  # noqa: PLR0911 — a list of cases
    """Describe a character that is not allowed in an amount."""
    name = unicodedata.name(character, f"U+{ord(character):04X}")
    script = name.split(" ", 1)[0].capitalize()
    for digit, letters in _LOOKALIKES.items():
        if character in letters:
            return f"the {script} letter {character!r}, which looks like {digit}"
    if character.isnumeric():
        return f"{character!r}, a digit of another script ({name}): only 0 to 9 are read"
    if character in "+-\u2212":
        return f"a second or misplaced sign, {character!r}"
    if character in "()":
        return f"{character!r}; brackets that mean a minus stand around the whole amount, and without another sign"
    if character.isspace() or not character.isprintable():
        return f"the invisible character U+{ord(character):04X} ({name})"
    if character.isalpha():
        return f"the {script} letter {character!r}"
    return f"{character!r}, which has no place in an amount"


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
            f"character {last + 1} is {text[last]!r} once more: what parts the decimals stands there once", last + 1
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
            raise AmountError(f"character {stop + 1} is {_misplaced(text, stop, end)}", stop + 1)
        if (groups and len(group) != _GROUP) or (stop < end and len(group) > _GROUP):
            raise AmountError(
                f"the digits {group!r} at character {place + 1} are no group of thousands: "
                "what parts thousands has three digits after it",
                place + 1,
            )
        if stop < end:
            parted_by.add(" " if text[stop] in _SPACES else text[stop])
            if len(parted_by) > 1:
                raise AmountError(f"character {stop + 1} parts the thousands in another way than before", stop + 1)
        groups.append(group)
        place = stop + 1
    digits = "".join(groups)
    if len(digits) > 1 and digits[0] == "0":
        raise AmountError("the amount starts with a zero, as a contract's number may but no amount", start + 1)
    if len(digits) > _MOST_DIGITS:
        raise AmountError(f"the amount has {len(digits)} digits of roubles, absurdly many", start + 1)
    return digits


def _misplaced(text: str, place: int, end: int) -> str:
    if place == end or text[place] in _SEPARATORS:
        return "not preceded by a digit"
    return "a space where no thousands part"


def _check_decimals(text: str, start: int, separator: int, end: int, places: int) -> None:
    for place in range(separator + 1, end):
        if text[place] in _SPACES:
            raise AmountError(f"character {place + 1} is a space among the decimals", place + 1)
    count = end - separator - 1
    if count == 0:
        raise AmountError(f"character {separator + 1} is a separator with no decimals after it", separator + 1)
    before = text[start:separator]
    if count == _GROUP and len(before) <= _GROUP and before != "0":
        raise AmountError(_two_ways(text[start:end], before, text[separator + 1 : end]), separator + 1)
    if count > places:
        raise AmountError(
            f"{text[start:end]} has {count} decimals; the billing's kopecks take {places}", separator + places + 2
        )


def _roubles(number: str) -> str:
    return f"{number} rouble" if number == "1" else f"{number} roubles"


def _two_ways(written: str, before: str, after: str) -> str:
    """Both readings of a single separator before three digits, and how to write each of them."""
    return (
        f"{written} can be read in two ways, as {_roubles(before + after)} and as {_roubles(before)} and a fraction: "
        f"write {before}{after}.00 for the first, {before}.{after[:_KOPECK_PLACES]} with two decimals for the second"
    )
