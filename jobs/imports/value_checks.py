"""The stage of reading that makes of a subscriber's texts the values of its calls, and names what cannot be one."""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from billing.directory.models import MIDNIGHT
from billing.money import parse_amount, wire
from jobs.imports.fields import FieldKind, FieldTable, ValueName
from jobs.imports.subscriber import NUMBER, PATH, Part, Step, Subscriber, Value, ValueFault, folder_names, folder_path
from jobs.spec.parameters import a_date, a_moment, a_subscriber, today
from texts.said import Quantity, Said, ValueRefused, said, text_of

# ---- values as people and programs write them ---------------------------------------------------------------------
# Nothing is guessed: what can be read in one way only is normalised, as the brackets of a phone, and all else is a
# ValueError with a reason that says what to do. A reason follows the name of its column.


_SHOWN: Final = 40
_LATIN, _CYRILLIC = "LATIN", "CYRILLIC"
_SPACES: Final = re.compile(r"\s+")


def one_line(text: str) -> str:
    """A text of one line, without the white space around it; no-break and other odd spaces in it become plain ones.

    Raises ValueError for a character that nobody sees: what looks equal would not be.
    """
    stripped = text.strip()
    if stripped.isprintable():
        # Neither an invisible character nor an odd space: most texts.
        return stripped
    for place, letter in enumerate(stripped, 1):
        category = unicodedata.category(letter)
        if letter in "\r\n\u2028\u2029":
            raise ValueRefused("character {place} is a line end: write the text in one line", place=place)
        if letter == "\t":
            raise ValueRefused("character {place} is a tab: write a space in its place", place=place)
        if category in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}:
            code = f"U+{ord(letter):04X}"
            raise ValueRefused(
                "character {place} is the invisible character {code} ({name}): delete it, or type the cell anew",
                place=place,
                code=code,
                name=unicodedata.name(letter, code),
            )
    return "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in stripped)


def mixed_scripts(text: str) -> Said | None:
    """What to say of a word of Latin and Cyrillic letters: one of them only looks right. None if there is none."""
    if text.isascii():
        return None
    for word in re.finditer(r"[^\W\d_]+", text):
        scripts = [unicodedata.name(letter, "").partition(" ")[0] for letter in word[0]]
        if not {_LATIN, _CYRILLIC} <= set(scripts):
            continue
        rare = _LATIN if scripts.count(_LATIN) <= scripts.count(_CYRILLIC) else _CYRILLIC
        place = scripts.index(rare)
        letter, where = repr(word[0][place]), word.start() + place + 1
        if rare == _LATIN:
            return said(
                "character {place} is the Latin letter {letter} among Cyrillic ones", place=where, letter=letter
            )
        return said("character {place} is the Cyrillic letter {letter} among Latin ones", place=where, letter=letter)
    return None


_EXPONENT: Final = re.compile(r"\d(?:[.,]\d+)?[eEеЕ]\+\d+")
_FRACTION: Final = re.compile(r"\d+[.,]0+")


def as_a_spreadsheet_wrote(text: str) -> Said | None:
    """What to say of a number that a spreadsheet or a program has taken for an amount; None for any other text."""
    if _EXPONENT.fullmatch(text):
        return said(
            "{text!r} was shortened by a spreadsheet, and its last digits are lost: take it from the old billing "
            "again, with the column as text",
            text=text,
        )
    if _FRACTION.fullmatch(text):
        return said(
            "{text!r} was made an amount by a spreadsheet, and a zero before it may be lost: write it as in the "
            "contract, with the column as text",
            text=text,
        )
    return None


_TOTAL: Final = re.compile(r"(итого|всего|total)\b", re.IGNORECASE)
"""The beginning of a last line that adds up a table."""


def contract_number(text: str) -> str:
    number = one_line(text)
    if fault := as_a_spreadsheet_wrote(number):
        raise ValueError(fault)
    if _TOTAL.match(number):
        raise ValueRefused(
            "{text!r} is no contract number but the sum of the table: leave this line out", text=number
        )
    return number


def login(text: str) -> str:
    """A login: a word of letters of one script, digits and signs."""
    name = one_line(text)
    if space := _SPACES.search(name):
        raise ValueRefused(
            "character {place} of {text!r} is a space, and a login has none", place=space.start() + 1, text=name
        )
    if fault := as_a_spreadsheet_wrote(name) if _EXPONENT.fullmatch(name) else None:
        raise ValueError(fault)
    if fault := mixed_scripts(name):
        raise ValueRefused("{fault}: nobody could type this login", fault=fault)
    return name


_PHONE_SIGNS: Final = re.compile(r"[\s().\u2010-\u2015\u2212-]+")
_MOBILE: Final = re.compile(r"(?:\+7|8|7|)(9\d{9})", re.ASCII)
_SEVERAL: Final = re.compile(r"[,;/|]|\bи\b|\bили\b")


def phone(text: str) -> str:
    """A Russian mobile number as +79…, the only form that the billing takes [V].

    Signs between its digits are left out; a number without +7 or 8 has ten digits.
    """
    written = one_line(text)
    if found := _MOBILE.fullmatch(_PHONE_SIGNS.sub("", written)):
        return f"+7{found[1]}"
    if _EXPONENT.fullmatch(written):
        raise ValueError(as_a_spreadsheet_wrote(written))
    if _SEVERAL.search(written):
        raise ValueRefused("{text!r} is more than one phone: leave the mobile number alone", text=written[:_SHOWN])
    raise ValueRefused(
        "{text!r} is not a Russian mobile number: write it as +79 and nine digits, or leave the cell empty",
        text=written[:_SHOWN],
    )


_LOCAL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL: Final = re.compile(r"[^\W_](?:(?:[^\W_]|-)*[^\W_])?")
_LONGEST_LOCAL, _LONGEST_LABEL, _LONGEST_EMAIL = 64, 63, 254


def email(text: str) -> str:
    """An e-mail address as it can be delivered: one, with a domain of two names or more."""
    written = one_line(text)
    if fault := mixed_scripts(written):
        raise ValueRefused("{fault}: a letter to this address would not arrive", fault=fault)
    local, at, domain = written.rpartition("@")
    if "@" in local or (_SEVERAL.search(domain) and at):
        raise ValueRefused("{text!r} is more than one e-mail address: leave one", text=written[:_SHOWN])
    labels = domain.split(".")
    is_mailbox = len(local) <= _LONGEST_LOCAL and _LOCAL.fullmatch(local) is not None
    is_domain = (
        len(labels) > 1
        and all(len(label) <= _LONGEST_LABEL and _LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )
    if is_mailbox and is_domain and len(written) <= _LONGEST_EMAIL:
        return written
    raise ValueRefused(
        "{text!r} is not an e-mail address: write it as name@domain.ru, or leave the cell empty",
        text=written[:_SHOWN],
    )


_INTEGER: Final = re.compile(r"[1-9]\d{7,9}", re.ASCII)
_FIRST_OF_INTEGERS: Final = 2**24


def address(text: str) -> str:
    """An IPv4 address with dots. The integer that a billing's database holds is read as well.

    An address that no host can have is refused.
    """
    written = one_line(text)
    is_number = _INTEGER.fullmatch(written) and int(written) >= _FIRST_OF_INTEGERS
    try:
        found = IPv4Address(int(written) if is_number else written)
    except AddressValueError:
        if "/" in written:
            why = said("{text!r} has a mask: write the one address of the account", text=written[:_SHOWN])
        elif ":" in written:
            why = said("{text!r} is not an IPv4 address, which is what an account has", text=written[:_SHOWN])
        else:
            why = said(
                "{text!r} is not an IPv4 address: four numbers from 0 to 255 with dots between them, without zeros "
                "before them, as 10.0.0.5",
                text=written[:_SHOWN],
            )
        raise ValueError(why) from None
    if found.is_unspecified or found.is_loopback or found.is_multicast or found.is_reserved or found.is_link_local:
        raise ValueRefused("{text} is an address that no subscriber can have", text=str(found))
    return str(found)


_MAC: Final = re.compile(
    r"(?:[0-9a-f]{12}|[0-9a-f]{2}([:\- ])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}|[0-9a-f]{4}([.\-:])[0-9a-f]{4}\2[0-9a-f]{4})"
)
_BYTE: Final = 2


def mac(text: str) -> str:
    """A MAC address in small letters with colons, from any of the usual spellings."""
    written = one_line(text)
    plain = written.casefold()
    if _MAC.fullmatch(plain) is None:
        for place, letter in enumerate(written, 1):
            if unicodedata.name(letter, "").startswith(_CYRILLIC):
                raise ValueRefused(
                    "character {place} of {text!r} is the Cyrillic letter {letter}: a MAC address has Latin ones",
                    place=place,
                    text=written[:_SHOWN],
                    letter=repr(letter),
                )
        raise ValueRefused(
            "{text!r} is not a MAC address: write twelve digits from 0 to f, as 00:1a:2b:3c:4d:5e",
            text=written[:_SHOWN],
        )
    digits = re.sub(r"[^0-9a-f]", "", plain)
    # The last bit of the first byte: a group of stations, as ff:ff:ff:ff:ff:ff is of all.
    if int(digits[:_BYTE], 16) & 1 or not digits.strip("0"):
        raise ValueRefused("{text!r} is a MAC address that no device has", text=written)
    return ":".join(digits[place : place + _BYTE] for place in range(0, len(digits), _BYTE))


_FIRST_YEAR: Final = 1900
_YEARS_AHEAD: Final = 20
_LIKE_A_DATE: Final = re.compile(r"\d{4}-\d\d?-\d\d?|\d\d?\.\d\d?\.\d{4}", re.ASCII)


def date_until(text: str, today: dt.date) -> str:
    """A date, 2019-06-01 or 01.06.2019, with a time of day or without.

    Those before 1900 and those more than twenty years ahead are refused: the end of time, as old billings write it.
    """
    written = one_line(text)
    if " " in written:
        found = a_moment(written).removesuffix(MIDNIGHT)
    else:
        if _LIKE_A_DATE.fullmatch(written):
            parts = [int(part) for part in re.split(r"[-.]", written)]
            try:
                dt.date(*parts if "-" in written else reversed(parts))
            except ValueError:
                raise ValueRefused("{text!r} is a day that no calendar has", text=written) from None
        found = a_date(written)
    if not _FIRST_YEAR <= int(found[:4]) <= today.year + _YEARS_AHEAD:
        raise ValueRefused("{text!r} is too far off to be meant: correct it, or leave the cell empty", text=written)
    return found


def money(text: str) -> str:
    """An amount in roubles, as a decimal number. Raises ValueError with the cell, whose characters reasons count."""
    try:
        return wire(parse_amount(text))
    except ValueError as error:
        raise ValueRefused("{text!r}: {error}", text=text.strip()[:_SHOWN], error=text_of(error)) from None


_FLAGS: Final = {
    "1": ("1", "yes", "true", "on", "да", "истина", "вкл", "включен", "включена", "+"),
    "0": ("0", "no", "false", "off", "нет", "ложь", "выкл", "отключен", "отключена", "-"),
}
_FLAG_OF: Final = {word: flag for flag, words in _FLAGS.items() for word in words}


def flag(text: str) -> str:
    written = one_line(text)
    found = _FLAG_OF.get(written.casefold().replace("ё", "е"))
    if found is None:
        raise ValueRefused(
            "{text!r} is neither yes nor no: write 1 or 0, or leave the cell empty", text=written[:_SHOWN]
        )
    return found


TEXTS: Final = frozenset({FieldKind.TEXT, FieldKind.PHONE, FieldKind.EMAIL, FieldKind.MAC, FieldKind.LOGIN})
"""The kinds that are kept in a column of text."""


@dataclass(frozen=True, slots=True)
class TextLimits:
    """What the billing's database can hold of texts: the lengths of columns, and the letters of its charset.

    A field whose column has no length there has that of the fields' own table.
    """

    lengths: Mapping[ValueName, int] = field(default_factory=dict)
    writes: Callable[[str], bool] = lambda _: True


class ValueChecks:
    """A `Stage`: each value is read by the kind of its field; what cannot be read stays as it is, with its fault."""

    def __init__(
        self, fields: FieldTable, limits: TextLimits | None = None, *, today: Callable[[], date] = today
    ) -> None:
        self._fields = fields.by_value
        self._limits = limits or TextLimits()
        self._readers: Mapping[FieldKind, Callable[[str], str]] = {
            FieldKind.TEXT: one_line,
            FieldKind.PHONE: phone,
            FieldKind.EMAIL: email,
            FieldKind.ADDRESS: address,
            FieldKind.MAC: mac,
            FieldKind.DATE: lambda text: date_until(text, today()),
            FieldKind.MOMENT: lambda text: date_until(text, today()),
            FieldKind.MONEY: money,
            FieldKind.FLAG: flag,
            FieldKind.ID: lambda text: a_subscriber(one_line(text)),
            FieldKind.LOGIN: login,
        }

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        faults: list[ValueFault] = []
        parts: list[Part] = []
        for part in subscriber.parts:
            changed: dict[str, Value] = {}
            for name, value in part.values.items():
                try:
                    text = self._read(part.step, name, value.text)
                except ValueError as error:
                    faults.append(value.fault(text_of(error)))
                else:
                    if text != value.text:
                        changed[name] = replace(value, text=text)
            parts.append(replace(part, values={**part.values, **changed}) if changed else part)
        number = next((part.text(NUMBER) for part in parts if part.step is Step.SUBSCRIBER), "")
        return replace(subscriber, number=number or subscriber.number, parts=tuple(parts)), faults

    def _read(self, step: Step, name: str, text: str) -> str:
        known = self._fields.get((step, name))
        if known is None or not text or known.kind is FieldKind.SECRET:
            # A secret is in the vault already, and here is its token.
            return text
        is_path = step is Step.FOLDER and name == PATH
        if is_path:
            # A folder with those above it: each of the names has to fit the column.
            texts = [one_line(one) for one in folder_names(text)]
        elif step is Step.SUBSCRIBER and name == NUMBER:
            texts = [contract_number(text)]
        else:
            texts = [self._readers[known.kind](text)]
        longest, writes = self._limits.lengths.get((step, name)) or known.longest, self._limits.writes
        for one in texts if known.kind in TEXTS else ():
            if longest and len(one) > longest:
                raise ValueRefused(
                    "the text has {length} characters, and the billing's column holds {longest}: shorten it",
                    length=Quantity(len(one)),
                    longest=Quantity(longest),
                )
            if not writes(one):
                place, letter = next((place, letter) for place, letter in enumerate(one, 1) if not writes(letter))
                raise ValueRefused(
                    "character {place}, {letter}, is none that the billing's database can hold: leave it out",
                    place=place,
                    letter=repr(letter),
                )
        return folder_path(texts) if is_path else texts[0]
