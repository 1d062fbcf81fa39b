"""Money: roubles as Decimal, the database's scaled integers, and amounts as people type them.

No float is ever used. Nothing is guessed: an amount that can be read in two ways is refused.
"""

import re
import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Final

from billing.errors import BillingError, UnreadableAnswer
from texts.said import Given, Said, ValueRefused, said, wording

SCALE: Final = 10**10
"""The database's integers per rouble: row 1 of `VPN_CONST` ([S], the recipe for limits by tariff)."""

LARGEST_STORED: Final = 2**63 - 1
"""The largest integer that a money column of the database holds."""

LARGEST: Final = Decimal(LARGEST_STORED) / SCALE
"""The largest amount in roubles, positive or negative, that the database's 64-bit integers hold [S]."""

_SCALE_PLACES: Final = 10
_KOPECK_PLACES: Final = 2
KOPECK: Final = Decimal("0.01")
_OF_A_KOPECK: Final = 10 ** (_SCALE_PLACES - _KOPECK_PLACES)
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
_SIGNS: Final = _MINUS | {"+"}
_DIGITS: Final = frozenset("0123456789")
_OF_NUMBERS: Final = _DIGITS | _SEPARATORS | _SPACES
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
_LETTERS: Final = {
    "Latin": wording("the Latin letter {letter}"),
    "Cyrillic": wording("the Cyrillic letter {letter}"),
    "": wording("the {script} letter {letter}"),
}
_PLAIN: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,7})(?:[.,][0-9]{1,2})?")
"""An amount that can be read in one way only, and is never above `LARGEST`: most of those in files."""
_EXPONENTS: Final = frozenset("eEеЕ")
"""The letters of an exponent, Latin and Cyrillic, as a spreadsheet writes 1,5E+03."""


class AmountError(BillingError, ValueError):
    """Raised when a text is not an amount, or is one that could be read in two ways.

    `position` is the 1-based place of the offending character in the text as given.
    """

    def __init__(self, sentence: str, /, *, place: int, **values: Given) -> None:
        super().__init__(sentence if isinstance(sentence, Said) else said(sentence, place=place, **values))
        self.position = place


def too_large(amount: str | Decimal) -> Said:
    return said("{amount} is more than the billing's database can hold: 922,337,203.68 at most", amount=amount)


def roubles(scaled: int) -> Decimal:
    """The exact roubles of a database integer, with two decimals, or more if needed."""
    # A division of decimals would round to the precision of the context.
    kopecks, rest = divmod(scaled, _OF_A_KOPECK)
    if not rest:
        return Decimal(f"{kopecks}E-{_KOPECK_PLACES}")
    digits = str(scaled).rstrip("0")
    return Decimal(f"{digits}E-{_SCALE_PLACES - len(str(scaled)) + len(digits)}")


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
        raise ValueRefused("{value} is not a whole number, as the database holds money", value=shown)
    return roubles(whole)


def stored_roubles(value: object, column: str) -> Decimal:
    """The roubles of a value from a column of any type; null is 0.00, as in the billing's own sums.

    Raises `UnreadableAnswer`, which names the column, for a value that is not a whole number.
    """
    if value is None:
        return roubles(0)
    if type(value) is int and -_ABOVE < value < _ABOVE:
        kopecks, rest = divmod(value, _OF_A_KOPECK)
        # Each row reads several sums, and nearly all are whole kopecks.
        return roubles(value) if rest else Decimal(f"{kopecks}E-{_KOPECK_PLACES}")
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
        raise ValueRefused(
            "{amount} is finer than the billing's money, which has {places} decimals",
            amount=str(amount),
            places=_SCALE_PLACES,
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


def two_decimals(amount: Decimal) -> str:
    """The same with two decimals, or with as many as it has."""
    exact = amount.quantize(KOPECK)
    return wire(exact if exact == amount else amount)


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


def parse_amount(text: str) -> Decimal:
    """An amount as people type it in a file: "1 234,50", "1,234.50", "-12.5", "(50,00)", "7 руб.".

    Accepts a sign, or brackets for a minus; a decimal point or comma; spaces between thousands, or the one of point
    and comma that does not separate the decimals; the rouble's name or sign at the end. Returns roubles with the
    decimals as written. Raises AmountError, with the place of the fault, for any other text, such as one with more
    than two decimals or one that can be read in two ways.
    """
    if _PLAIN.fullmatch(text):
        number = Decimal(text.lstrip("-").replace(",", "."))
        return -number if text[0] == "-" else number
    negative, start, end = _bounds(text)
    if _DIGITS.isdisjoint(text[start:end]):
        raise AmountError("{text} is not an amount", place=start + 1, text=repr(text[start:end]))
    for place in range(start, end):
        if text[place] not in _OF_NUMBERS:
            raise _misfit(text[place], place + 1)
    separator = _separator(text, start, end)
    whole = _whole(text, start, separator)
    decimals = text[separator + 1 : end]
    if separator < end:
        before = text[start:separator]
        for place, character in enumerate(decimals, separator + 2):
            if character in _SPACES:
                raise AmountError("character {place} is a space among the decimals", place=place)
        count = len(decimals)
        if count == 0:
            raise AmountError("character {place} is a separator with no decimals after it", place=separator + 1)
        if count == _GROUP and len(before) <= _GROUP and before != "0":
            # Of a cell that holds a number the first is true, of a text it may be either.
            raise AmountError(
                "{amount} has three decimals, or a separator of thousands: round it to kopecks, or write {all}.00",
                place=separator + 1,
                amount=text[start:end],
                all=before + decimals,
            )
        if count > _KOPECK_PLACES:
            raise AmountError(
                "{amount} has {count} decimals; the billing's kopecks take {places}",
                place=separator + _KOPECK_PLACES + 2,
                amount=text[start:end],
                count=count,
                places=_KOPECK_PLACES,
            )
    number = Decimal(f"{whole}.{decimals}" if decimals else whole)
    if number > LARGEST:
        raise AmountError(too_large(number), place=start + 1)
    return -number if negative else number


def _bounds(text: str) -> tuple[bool, int, int]:
    """Whether the amount is negative; its start and end, without spaces, currency, and sign or brackets."""
    start, end = _trimmed(text, 0, len(text))
    if start == end:
        raise AmountError("the amount is empty", place=1)
    if end - start > _LONGEST_TEXT:
        raise AmountError(
            "the text is {characters} characters long, no amount is longer than {longest}",
            place=start + _LONGEST_TEXT + 1,
            characters=end - start,
            longest=_LONGEST_TEXT,
        )
    start, end = _without_currency(text, start, end)
    if text[start] == "(" and text[end - 1] == ")" and end - start > 1:
        first, last = _trimmed(text, start + 1, end - 1)
        if first == last:
            raise AmountError("there are brackets and no amount", place=start + 1)
        if text[first] in _SIGNS:
            raise AmountError(_BRACKETS, place=first + 1, character=repr(text[first]))
        return True, *_without_currency(text, first, last)
    signed = text[start] in _SIGNS
    if signed and start + 1 == end:
        raise AmountError("there is a sign and no amount", place=start + 1)
    return text[start] in _MINUS, start + signed, end


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
        raise AmountError(
            "there is {currency} and no amount", place=match.start() + 1, currency=repr(match[0].strip())
        )
    return first, last


_BRACKETS: Final = wording(
    "character {place} is {character}; brackets that mean a minus stand around the whole amount, and without another "
    "sign"
)


def _misfit(character: str, place: int) -> AmountError:
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, code)
    script = name.partition(" ")[0].capitalize()
    letter = said(_LETTERS.get(script, _LETTERS[""]), letter=repr(character), script=script)
    digit = next((digit for digit, letters in _LOOKALIKES.items() if character in letters), "")
    if character in _EXPONENTS:
        template = wording("an exponent is not allowed")
    elif digit:
        template = wording("character {place} is {letter}, which looks like {digit}")
    elif character.isnumeric():
        template = wording(
            "character {place} is {character}, a digit of another script ({name}): only 0 to 9 are read"
        )
    elif character in _SIGNS:
        template = wording("character {place} is a second or misplaced sign, {character}")
    elif character in "()":
        template = _BRACKETS
    elif character.isspace() or not character.isprintable():
        template = wording("character {place} is the invisible character {code} ({name})")
    elif character.isalpha():
        template = wording("character {place} is {letter}")
    else:
        template = wording("character {place} is {character}, which has no place in an amount")
    shown = repr(character)
    return AmountError(template, place=place, character=shown, letter=letter, digit=digit, code=code, name=name)


def _separator(text: str, start: int, end: int) -> int:
    """The index of the decimal separator, `end` without one."""
    found = [place for place in range(start, end) if text[place] in _SEPARATORS]
    marks = [text[place] for place in found]
    # There is at most one decimal separator, so several equal ones separate thousands.
    if not found or (len(found) > 1 and len(set(marks)) == 1):
        return end
    last = found[-1]
    if marks[-1] in marks[:-1]:
        raise AmountError(
            "character {place} is {mark} once more: the decimal separator stands in an amount once",
            place=last + 1,
            mark=repr(text[last]),
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
        if not group and (stop == end or text[stop] in _SEPARATORS):
            raise AmountError("character {place} is not preceded by a digit", place=stop + 1)
        if not group:
            raise AmountError("character {place} is a space that does not separate thousands", place=stop + 1)
        if (groups and len(group) != _GROUP) or (stop < end and len(group) > _GROUP):
            raise AmountError(
                "the digits {digits} at character {place} are not a group of thousands: a separator of thousands "
                "has three digits after it",
                place=place + 1,
                digits=repr(group),
            )
        if stop < end:
            parted_by.add(" " if text[stop] in _SPACES else text[stop])
            if len(parted_by) > 1:
                template = wording("character {place} separates the thousands in another way than the one before")
                raise AmountError(template, place=stop + 1)
        groups.append(group)
        place = stop + 1
    digits = "".join(groups)
    if len(digits) > 1 and digits[0] == "0":
        template = wording("the amount starts with a zero: a contract number may, an amount does not")
        raise AmountError(template, place=start + 1)
    if len(digits) > _MOST_DIGITS:
        template = wording("the amount has {digits} digits of roubles, absurdly many")
        raise AmountError(template, place=start + 1, digits=len(digits))
    return digits
