"""All checks of an input before the first of its rows is kept: its values, what stands twice, and the billing.

all rows ──▶ SeenValues ◀── the billing          then page by page: values ──▶ duplicates ──▶ the billing ──▶ Judged

With a database the billing is read once, page by page, and only what the input has is kept.
Without one the API is asked for each page of rows; what it cannot tell is noted.
"""

import datetime as dt
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from ipaddress import AddressValueError, IPv4Address
from itertools import product
from typing import Any, Final, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from billing.database.database import Database
from billing.database.sql_blocks import sql_block
from billing.directory.models import MIDNIGHT, BillingObject, as_bool
from billing.directory.objects import REFERENCES, can_be, of_answer
from billing.directory.subscribers import (
    Taken,
    accounts_taken,
    numbers_taken,
    pool_ranges,
    reason,
    undressed,
)
from billing.errors import ColumnsMissing
from billing.money import AmountError, parse_amount, wire
from engine.errors import LookUpRefused
from engine.job import Row, RowPage
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.objects import References, nowhere
from jobs.imports.fields import FieldKind, FieldTable, ValueName, part_key
from jobs.imports.subscriber import (
    FOLDER_ID,
    NUMBER,
    PATH,
    Judged,
    Part,
    Stage,
    Step,
    Subscriber,
    Value,
    ValueFault,
    folder_names,
    folder_path,
)
from jobs.imports.tables import SubscriberReader, temporary_database, temporary_room
from jobs.spec.columns import Column
from jobs.spec.parameters import a_date, a_moment, a_subscriber, today
from jobs.spec.words import ALIKE
from texts.said import Quantity, Said, ValueRefused, said, setting, text_of

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


def _mixed_scripts(text: str) -> Said | None:
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
    if fault := _mixed_scripts(name):
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
    if fault := _mixed_scripts(written):
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


_TEXTS: Final = frozenset({FieldKind.TEXT, FieldKind.PHONE, FieldKind.EMAIL, FieldKind.MAC, FieldKind.LOGIN})
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
        for one in texts if known.kind in _TEXTS else ():
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


# ---- what stands twice --------------------------------------------------------------------------------------------


_sql: Final = partial(sql_block, "seen_values", folder="jobs.imports")
_MOST_TAKEN: Final = 20
_NAMED: Final = 3
"""Other rows that a reason names; of more it says how many."""
_Key: TypeAlias = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind of value that is compared; `core` gives equal texts for values that only look different.

    `kind` is the name of the value in a `Taken`, if the billing is asked for it.
    """

    kind: str
    core: Callable[[str], str] = str
    may_recur: bool = False


NUMBERS: Final = Watched("number", undressed)
LOGINS: Final = Watched("login", str.casefold)
ADDRESSES: Final = Watched("ip")
_OWN_NUMBER: Final = (Step.SUBSCRIBER, NUMBER)
WATCHED: Final[Mapping[ValueName, Watched]] = {
    _OWN_NUMBER: NUMBERS,
    (Step.SUBSCRIBER, "sms"): Watched("phone", may_recur=True),
    (Step.ACCOUNT, "login"): LOGINS,
    (Step.ACCOUNT, "ip"): ADDRESSES,
    (Step.ACCOUNT, "mac"): Watched("mac"),
}
"""The values that are compared, by step and name."""


class SeenValues:
    """First `add` takes all subscribers, faulty ones too, then `take` what the billing has; then it is asked."""

    def __init__(self, *, alike: bool = False) -> None:
        self._alike = alike
        names = ("create_seen", "create_taken", "index_taken")
        self._base = temporary_database(*(_sql(name).text for name in names))
        self._made: set[str] = set()

    def add(self, subscribers: Iterable[Subscriber]) -> None:
        """Take a page of the input. Raises `InputRefused` where there is no room for it."""
        entries = [
            {**_key(WATCHED[name], value.text), "line": value.place.line, "of": value.place.table}
            for subscriber in subscribers
            for name, value in subscriber.values(WATCHED)
        ]
        self._put("see", entries)

    def take(self, watched: Watched, page: Iterable[Taken]) -> None:
        """Take a page of values of the billing; only those that the input has are kept. Raises `InputRefused`."""
        self._make("index_seen")
        self._put("take", [_key(watched, getattr(one, watched.kind)) | asdict(one) for one in page])

    def taken(self, watched: Watched, text: str) -> list[Taken]:
        """What the billing has of a value, and of those that look like it; live ones first."""
        rows = self._base.execute(_sql("taken").text, {**_key(watched, text), "most": _MOST_TAKEN})
        return [Taken(bool(deleted), *others) for deleted, *others in rows]

    def judge(self, found: Judged) -> None:
        """What other rows have too is a fault; phones that recur, and odd numbers, are to be looked at."""
        subscriber = found.subscriber
        for name, value in subscriber.values(WATCHED):
            if (why := self._shared(WATCHED[name], value)) is not None:
                (found.warn if WATCHED[name].may_recur else found.fault)(value, why)
        for _, value in subscriber.values([_OWN_NUMBER]):
            if mixed := _mixed_scripts(value.text):
                found.warn(value, said("{fault}; is it so in the contract?", fault=mixed))
            elif lost := self._lost_zero(value.text):
                found.warn(value, lost)

    # ---- why a value is none that only one row has ----

    def _shared(self, watched: Watched, value: Value) -> Said | None:
        key = _key(watched, value.text)
        if rows := self._all("rows_of", key):
            others = rows[0][0] - 1
            equal = [one[1:] for one in self._all("first_equal", {**key, "most": _NAMED + 1})]
            own = (value.place.line, value.place.table)
            places = tuple(_where(*one) for one in [one for one in equal if one != own][:_NAMED])
            if others <= len(places):
                return said("{value!r} is also in {places}", value=value.text, places=places)
            more = Quantity(others - len(places))
            return said("{value!r} is also in {places} and {more} more", value=value.text, places=places, more=more)
        if (watched is NUMBERS and self._alike) or not (alike := self._all("first_alike", key)):
            return None
        other, *place = alike[0]
        if watched is not NUMBERS:
            return said(
                "{value!r} is also in {place}, in another letter case: {other!r}",
                value=value.text,
                place=_where(*place),
                other=other,
            )
        return said(
            "{value!r} looks like {other!r} in {place}, {reason}: correct one of them, or give {flag} if both are "
            "right",
            value=value.text,
            other=other,
            place=_where(*place),
            reason=reason(value.text, other),
            flag=setting(ALIKE),
        )

    @cached_property
    def _zeros(self) -> list[tuple[int, int]]:
        """The lengths of the contract numbers that begin with a zero, and how many have each."""
        return self._all("zeros", {})

    def _lost_zero(self, number: str) -> Said | None:
        """What to say of a number that is shorter than all those that begin with a zero, which have one length."""
        is_number = number.isascii() and number.isdigit() and not number.startswith("0")
        if not is_number or len(self._zeros) != 1 or len(number) >= self._zeros[0][0]:
            return None
        ((length, others),) = self._zeros
        return said(
            "{number!r} has {digits} digits, and {others} numbers that begin with a zero have {length}: a "
            "spreadsheet may have removed a zero before it",
            number=number,
            digits=len(number),
            others=Quantity(others),
            length=length,
        )

    # ---- its database ----

    def _put(self, name: str, entries: list[dict[str, Any]]) -> None:
        with temporary_room(), self._base:
            self._base.executemany(_sql(name).text, entries)

    def _all(self, name: str, key: _Key) -> list[tuple[Any, ...]]:
        self._make("index_seen", "create_equal", "index_equal")
        return self._base.execute(_sql(name).text, key).fetchall()

    def _make(self, *names: str) -> None:
        for name in names:
            if name not in self._made:
                with temporary_room():
                    self._base.execute(_sql(name).text)
                self._made.add(name)


def _key(watched: Watched, text: str) -> _Key:
    return {"kind": watched.kind, "core": watched.core(text), "value": text}


def _where(line: int | None, table: str) -> Said:
    if table:
        return said("line {line} of {table}", line=line or 0, table=table)
    return said("line {line}", line=line or 0)


# ---- money that nothing uses --------------------------------------------------------------------------------------

_OF_MONEY: Final = re.compile(
    r"сальдо|баланс|остат|долг|задолж|начисл|оплач|оплат|плат[её]ж|сумм|аванс|пен[ия]|дебет|кредит|руб"
    r"|sum|amount|balance|debt|paid|charge",
    re.IGNORECASE,
)
_AMOUNT: Final = re.compile(r"-.*|.*[.,]\d\d", re.DOTALL)
"""An amount that is written as money is: with a sign, or with kopecks."""


class MoneyLookout:
    """Tells which of the unused columns hold money: amounts alone, written as money is, or so called."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = list(columns)
        self._money: set[int] = set()

    def see(self, rows: Iterable[Row]) -> None:
        for row, column in product(rows, [*self._columns]):
            if column not in self._columns or not (text := column.of(row)):
                continue
            try:
                parse_amount(text)
            except AmountError:
                self._columns.remove(column)
            else:
                if _AMOUNT.fullmatch(text) or _OF_MONEY.search(column.name):
                    self._money.add(column.place)

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._columns if one.place in self._money)


# ---- all of it ----------------------------------------------------------------------------------------------------


_NETWORK: Final = 256
"""Addresses of the smallest network that a pool is likely to be made of."""
_MOST_NETWORKS: Final = 50_000
_OF_NUMBERS: Final = ("id", "contract_number", "is_folder", "deleted")
_OF_ACCOUNTS: Final = ("id", "login", "ip", "deleted", "abonent_id")

Look: TypeAlias = Callable[[Watched, str], Sequence[Taken]]
"""Gives what the billing has of a value, live ones first."""
_T = TypeVar("_T")


class InputChecks:
    """The checks of one input. All of it is read once before the first page is judged; pages may be judged at once.

    With `alike` contract numbers that only look alike are no fault.
    """

    def __init__(
        self, gateway: Gateway, reader: SubscriberReader, fields: FieldTable, *, alike: bool = False
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._fields = fields
        self._seen = SeenValues(alike=alike)
        self._billing = BillingChecks(gateway, fields, self._seen, alike=alike)
        self._values: ValueChecks | None = None
        self._one_at_a_time = anyio.Lock()
        self.rows_seen = 0
        """Rows that were read to see what they have in common."""

    @property
    def notes(self) -> tuple[str, ...]:
        return self._billing.notes

    async def value_checks(self) -> ValueChecks:
        """By what this billing can hold of texts, if it has a database. Raises `LookUpFailed`."""
        database = self._gateway.database
        if database is None:
            return ValueChecks(self._fields)
        columns = {
            (step, part_key(step, name)): (model.table, one.column or name.upper())
            for model in self._fields.models.values()
            for name, one in model.fields.items()
            if one.kind in _TEXTS and (step := model.step_of(name))
        }
        found = await self._gateway.read(
            lambda base: {name: base.longest(*column) for name, column in columns.items()}
        )
        lengths = {name: length for name, length in found.items() if length}
        return ValueChecks(self._fields, TextLimits(lengths, database.writes))

    async def survey(self) -> Callable[[Judged], None]:
        """See all rows, and give what judges each by itself and beside the others.

        Raises `InputRefused` and `LookUpFailed`.
        """
        async with self._one_at_a_time:
            values = self._values or await self._survey()

        def judge(one: Judged) -> None:
            one.go_through(values)
            self._seen.judge(one)

        return judge

    async def judge(self, rows: Sequence[Row]) -> list[Judged]:
        """The subscribers of a page of rows. Raises `InputRefused` and `LookUpFailed`."""

        def examined() -> list[Judged]:
            judged = self._reader.examine(rows)
            for one in judged:
                judge(one)
            return judged

        judge = await self.survey()
        async with self._one_at_a_time:
            judged = await anyio.to_thread.run_sync(examined)
        await self._billing.judge(judged)
        for one in judged:
            one.warnings = [*one.sound(one.warnings)]
        return judged

    async def check_constants(self, parts: Sequence[Part], stage: Stage) -> list[list[ValueFault]]:
        """What is wrong with values that the map gives for all rows, once the stage has read their names.

        Raises `LookUpFailed`.
        """
        values = await self.value_checks()
        judged = [Judged(Subscriber(Row(None, ()), "", (part,))) for part in parts]
        for one in judged:
            one.go_through(stage)
            one.go_through(values)
        await self._billing.judge_ids(judged)
        return [one.faults for one in judged]

    async def _survey(self) -> ValueChecks:
        values = await self.value_checks()

        def see(page: RowPage) -> None:
            read = self._reader.examine(page.rows, only_seen=True)
            self._seen.add(values(one.subscriber)[0] for one in read)

        pages = self._reader.source.pages(None)
        while (page := await anyio.to_thread.run_sync(next, pages, None)) is not None:
            await anyio.to_thread.run_sync(see, page)
            self.rows_seen += len(page.rows)
        await self._billing.survey()
        self._values = values
        return values


class BillingChecks:
    """The checks of subscribers against the billing; `survey` is called once, after all rows were seen."""

    def __init__(self, gateway: Gateway, fields: FieldTable, seen: SeenValues, *, alike: bool = False) -> None:
        self._gateway = gateway
        self._seen = seen
        self._alike = alike
        self._kinds = {(Step.FOLDER, FOLDER_ID): "Folder"} | {
            name: one.dictionary
            for name, one in fields.by_value.items()
            if one.kind is FieldKind.ID and one.dictionary in REFERENCES
        }
        self._references = References(gateway)
        self._pools: Mapping[str, tuple[IPv4Address, IPv4Address]] = {}
        self._networks: set[int] = set()
        self._from_database = False
        self._notes: list[Said] = []

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._notes, *self._references.notes)

    async def survey(self) -> None:
        """Read what is taken in the billing. Raises `LookUpFailed` and `InputRefused`."""

        def take_all(database: Database) -> bool:
            for numbers in numbers_taken(database):
                self._seen.take(NUMBERS, numbers)
            for accounts in accounts_taken(database):
                self._seen.take(LOGINS, accounts)
                with_address = [one for one in accounts if one.ip and not one.deleted]
                self._seen.take(ADDRESSES, with_address)
                if len(self._networks) < _MOST_NETWORKS:
                    self._networks |= {int(IPv4Address(one.ip)) // _NETWORK for one in with_address}
            if len(self._networks) >= _MOST_NETWORKS:
                # Not all of them are known then, and being in none of the others means nothing.
                self._networks.clear()
            return True

        async def read(work: Callable[[Database], _T]) -> _T | None:
            """What is read of the database; None without one, or if it lacks the columns."""
            if self._gateway.database is None:
                return None
            try:
                return await self._gateway.read(work)
            except LookUpRefused as error:
                if isinstance(error.__cause__, ColumnsMissing):
                    return None
                raise

        self._from_database = bool(await read(take_all))
        if not self._from_database:
            untold = said(
                "contract numbers of the billing that only look like one of the input, and addresses out of its "
                "pools, were not looked for: that takes the billing's database"
            )
            self._notes.append(untold)
        elif (pools := await read(pool_ranges)) is not None:
            self._pools = pools
        else:
            untold = said(
                "addresses were compared with the networks in which the billing has accounts, for its table of "
                "pools is not known"
            )
            self._notes.append(untold)

    async def judge(self, judged: Sequence[Judged]) -> None:
        """Add what is found of each subscriber of a page. Raises `LookUpFailed`."""
        look = self._seen.taken if self._from_database else await self._asked([one.subscriber for one in judged])

        def judge_each() -> None:
            for one in judged:
                self._judge(one, look)

        await anyio.to_thread.run_sync(judge_each)
        await self.judge_ids(judged)

    async def judge_ids(self, judged: Sequence[Judged]) -> None:
        """Add the ids of each subscriber that are not there. Raises `LookUpFailed`."""
        wanted: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for one in judged:
            for name, value in one.subscriber.values(self._kinds):
                wanted[self._kinds[name]][value.text] = None
        missing = {kind: await self._references.missing(kind, ids) for kind, ids in wanted.items()}
        for one in judged:
            for name, value in one.subscriber.values(self._kinds):
                kind = self._kinds[name]
                if value.text in missing[kind]:
                    one.fault(value, nowhere(kind, value.text))

    async def _asked(self, subscribers: Sequence[Subscriber]) -> Look:
        """What the API has of the values of a page, a call a value; none for a value that no object can have."""

        def texts(step: Step, name: str, can_have: Callable[[str], bool]) -> list[str]:
            found = (value.text for one in subscribers for _, value in one.values([(step, name)]))
            return list(filter(can_have, dict.fromkeys(found)))

        numbers = texts(Step.SUBSCRIBER, NUMBER, lambda text: can_be(NUMBER, text))
        found: defaultdict[tuple[str, str], list[Taken]] = defaultdict(list)
        owners: dict[str, str] = {}
        for number, things in (await self._things("Abonents", NUMBER, numbers, _OF_NUMBERS)).items():
            for one in (one.values for one in things if not as_bool(one.values.get("is_folder"))):
                if one[NUMBER] == number:
                    owners[one["id"] or ""] = number
                    found[NUMBERS.kind, number].append(Taken(as_bool(one.get("deleted")), one["id"] or "", number))
        logins = texts(Step.ACCOUNT, "login", lambda text: can_be("login", text))
        addresses = texts(Step.ACCOUNT, "ip", lambda text: _address(text) is not None)
        for watched, name, values in ((LOGINS, "login", logins), (ADDRESSES, "ip", addresses)):
            for value, things in (await self._things("Users", name, values, _OF_ACCOUNTS)).items():
                for one in (one.values for one in things if one.values[name] == value):
                    owner, login, ip = (one[field] or "" for field in ("abonent_id", "login", "ip"))
                    taken = Taken(as_bool(one.get("deleted")), owner, owners.get(owner, ""), login, ip)
                    found[watched.kind, value].append(taken)
        return lambda watched, text: sorted(found[watched.kind, text], key=lambda one: one.deleted)

    async def _things(
        self, model: str, name: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[BillingObject]]:
        answers = await self._gateway.objects_by(model, [{name: value} for value in values], fields)
        # What only tells more may be missing.
        besides = {"is_folder", "deleted"}
        with as_engine_errors():
            return {
                value: of_answer(model, {name: value}, [one for one in fields if one not in besides], answer, besides)
                for value, answer in zip(values, answers, strict=True)
            }

    def _judge(self, found: Judged, look: Look) -> None:
        subscriber = found.subscriber
        for _, value in subscriber.values([_OWN_NUMBER]):
            taken = look(NUMBERS, value.text)
            same = [one for one in taken if one.number == value.text]
            live = next((one.number for one in taken if not one.deleted), "")
            if same and all(one.deleted for one in same):
                why = said(
                    "a deleted subscriber of the billing, abonent {id}, has the contract number: the billing may "
                    "refuse it",
                    id=same[0].abonent,
                )
                found.warn(value, why)
            elif not same and live and not self._alike:
                why = said(
                    "the billing has the contract number {other!r}, {reason}: write it in the same way if it is the "
                    "same subscriber, or give {flag} if both are right",
                    other=live,
                    reason=reason(value.text, live),
                    flag=setting(ALIKE),
                )
                found.fault(value, why)
        for account in subscriber.of(Step.ACCOUNT):
            if login := account.values.get("login"):
                same = [one for one in look(LOGINS, login.text) if one.login == login.text]
                others = [one for one in same if not one.deleted and one.number != subscriber.number]
                if others:
                    whose = _owner(others[0])
                    found.fault(login, said("the login is that of {subscriber} in the billing", subscriber=whose))
                elif same and all(one.deleted for one in same):
                    why = said(
                        "the login is that of a deleted account of {subscriber}: the billing may reject it",
                        subscriber=_owner(same[0]),
                    )
                    found.warn(login, why)
            if address := account.values.get("ip"):
                self._judge_address(address, account, look(ADDRESSES, address.text), found)

    def _judge_address(self, value: Value, account: Part, known: Sequence[Taken], found: Judged) -> None:
        taken = [one for one in known if not one.deleted]
        others = [one for one in taken if "login" not in account.values or one.login != account.text("login")]
        if others:
            why = said(
                "{address} is the address of the account {login} in the billing, of {subscriber}",
                address=value.text,
                login=others[0].login,
                subscriber=_owner(others[0]),
            )
            found.fault(value, why)
        address, pool = _address(value.text), account.text("pull")
        # Where it is none at all, it has a fault of its own.
        if taken or address is None:
            return
        if pool in self._pools:
            first, last = self._pools[pool]
            if not first <= address <= last:
                why = said(
                    "{address} is not in the pool {pool}, which goes from {first} to {last}",
                    address=value.text,
                    pool=pool,
                    first=str(first),
                    last=str(last),
                )
                found.fault(value, why)
        elif self._pools:
            if not any(first <= address <= last for first, last in self._pools.values()):
                found.warn(value, said("{address} is in none of the billing's pools", address=value.text))
        elif self._networks and int(address) // _NETWORK not in self._networks:
            where = said("{address} is in none of the networks in which the billing has accounts", address=value.text)
            found.warn(value, where)


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None


def _owner(taken: Taken) -> Said:
    if taken.number:
        return said("contract number {number}", number=taken.number)
    return said("abonent {id}", id=taken.abonent)
