"""The parameters of a job, and the checks of their values."""

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.directory.models import LARGEST_ID, LONGEST_NAME
from billing.money import parse_amount, wire
from billing.profile import Fact, Profile, describe_fact
from engine.errors import nearest
from jobs.spec.errors import ParameterRefused
from texts.said import Quantity, Said, ValueRefused, counted, in_lines, said, setting


def row_key(values: Iterable[str]) -> str:
    r"""The key of a row: its values joined by "/", such as `94/127`. Different values give different keys.

    "/" and "\" in a value are escaped by "\", except in the last value, where no confusion is possible. So a single
    value is its own key.
    """
    *first, last = tuple(values) or ("",)
    return "/".join([*(one.replace("\\", "\\\\").replace("/", "\\/") for one in first), last])


MONTHS_BACK: Final = 6
"""Months back at which a recalculation may begin [V]."""

_SHOWN: Final = 40
_SERIAL: Final = re.compile(r"[2-7]\d{4}(\.\d+)?", re.ASCII)
"""A day as spreadsheets count them, from 1954 on."""
_DAY: Final = ("%Y-%m-%d", "%d.%m.%Y")
_MOMENT: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M")


def today() -> dt.date:
    """The local day, which is also the billing's."""
    return dt.datetime.now().date()  # noqa: DTZ005 - the billing's day is local


def a_date(text: str) -> str:
    found = _read(text, _DAY)
    if found is None and _SERIAL.fullmatch(text):
        raise ValueRefused(
            "{text!r} is not a date: in a workbook give the cell the format of a date, else write it as 2019-06-01",
            text=text,
        )
    if found is None:
        raise ValueRefused("{text!r} is not a date: write it as 2019-06-01 or 01.06.2019", text=text[:_SHOWN])
    return found.date().isoformat()


def a_day(text: str) -> str:
    found = _read(text, (*_DAY, *_MOMENT))
    return a_date(text) if found is None else found.date().isoformat()


def a_moment(text: str) -> str:
    """A date with a time; a date alone is its midnight."""
    found = _read(text, (*_MOMENT, *_DAY))
    if found is None:
        raise ValueRefused(
            "{text!r} is not a moment: write it as 2019-06-01 00:00:00, or 01.06.2019 for its midnight",
            text=text[:_SHOWN],
        )
    return found.isoformat(" ", "seconds")


def first_of_a_month(today: Callable[[], dt.date]) -> Callable[[str], str]:
    """The first day of one of the last six months, from which the billing can recalculate [S, V]."""

    def parse(text: str) -> str:
        day = dt.date.fromisoformat(a_date(text))
        now = today()
        if day.day != 1:
            raise ValueRefused(
                "{text!r} is not the first of a month: a recalculation begins with one, as {first}",
                text=text,
                first=f"{day:%Y-%m}-01",
            )
        back = (now.year - day.year) * 12 + now.month - day.month
        if back > MONTHS_BACK:
            raise ValueError(
                counted(
                    "{text!r} is {n} month[s] back: the billing recalculates {most} at most",
                    back,
                    text=text,
                    most=MONTHS_BACK,
                )
            )
        if back < 0:
            raise ValueRefused("{text!r} is still to come", text=text)
        return f"{day:%Y-%m-%d}"

    return parse


def _read(text: str, forms: tuple[str, ...]) -> dt.datetime | None:
    if not text.strip().isascii():
        return None
    for form in forms:
        try:
            return dt.datetime.strptime(text.strip(), form)  # noqa: DTZ007 - the billing's dates have no zone
        except ValueError:
            continue
    return None


DIGEST: Final = "_sha256"
"""The end of the name of a parameter that holds the digest of a file."""


def as_typed(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a job, given as `--set name=value`, or by a column of the rows.

    `default` is None for a required value, "" for an optional one. `parse` returns the value in its plain spelling,
    because runs are identified by their parameters, and raises ValueError with the reason. `columns` are further
    column names; None if one value applies to all rows. A `secret` is kept only in the vault. A value that
    `may_be_empty` needs a column, but not a value in every row. `makes_file` means a file that the run creates and
    that must not exist before, `reads_file` one that it reads: the run keeps its SHA-256 as a parameter of its own,
    `digest_name`. `verbatim` values keep the white space around them. `refers_to` names the reference
    (`billing.directory.objects`) of an id that must exist. `in_a_chain` marks a placeholder of a typed chain,
    whose type is known only by its name. A `fact` of the billing's profile replaces the default, if a probe has
    learned it.
    """

    name: str
    help: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    parse: Callable[[str], str] = as_typed
    columns: tuple[str, ...] | None = None
    secret: bool = False
    may_be_empty: bool = False
    makes_file: bool = False
    reads_file: bool = False
    verbatim: bool = False
    in_a_chain: bool = False
    fact: str = ""
    refers_to: str = ""

    @property
    def digest_name(self) -> str:
        return f"{self.name}{DIGEST}"

    @property
    def has_default(self) -> bool:
        """Whether there is a value, be it an empty one, where none is given."""
        return self.default is not None


def check_parameters(what: str, parameters: Sequence[Parameter], given: Mapping[str, str]) -> dict[str, str]:
    """The checked values of these parameters; `what` names their owner. Raises `ParameterRefused`."""
    known = {parameter.name: parameter for parameter in parameters}
    digests = {one.digest_name for one in parameters if one.reads_file and given.get(one.name)}
    faults: list[str] = [
        said(
            "{what} has no parameter {name!r}{nearest}; it has: {known}",
            what=what,
            name=name,
            nearest=nearest(name, known),
            known=", ".join(known) or said("none"),
        )
        for name in given
        if name not in known and name not in digests
    ]
    values: dict[str, str] = {name: given[name] for name in digests if name in given}
    for name, one in known.items():
        text = given.get(name)
        if text is None and one.default is None and one.columns is None:
            give = setting("set", f"{name}=…")
            faults.append(said("{name}: is required: {help}; give {give}", name=name, help=one.help, give=give))
        elif text is None or text == one.default or (not text and one.default is None and one.columns is not None):
            # Where the rows have the value, a run may have none.
            values[name] = one.default or ""
        elif one.choices and text not in one.choices:
            near = nearest(text, one.choices)
            error = said("{text!r} is none of {choices}{nearest}", text=text, choices=one.choices, nearest=near)
            faults.append(said("{name}: {error}", name=name, error=error))
        else:
            try:
                values[name] = one.parse(text)
            except ValueError as fault:
                faults.append(said("{name}: {error}", name=name, error=fault))
    if faults:
        raise ParameterRefused(in_lines(faults))
    return values


def with_facts(parameters: Sequence[Parameter], given: Mapping[str, str], profile: Profile) -> dict[str, str]:
    """The given values, and the facts of a probe for parameters that are not given."""
    return {**{name: str(fact.value) for name, (_, fact) in _learned(parameters, profile).items()}, **given}


def contradictions(parameters: Sequence[Parameter], given: Mapping[str, str], profile: Profile) -> list[str]:
    """The given values that contradict a probe, each a sentence."""
    return [
        said(
            "{given} counts, and the probe of {day} says: {fact}",
            given=setting("set", f"{name}={given[name]}"),
            day=fact.day,
            fact=describe_fact(of, fact.value),
        )
        for name, (of, fact) in _learned(parameters, profile).items()
        if name in given and str(fact.value) != given[name]
    ]


def _learned(parameters: Sequence[Parameter], profile: Profile) -> dict[str, tuple[str, Fact[object]]]:
    facts = dict(profile.facts())
    return {one.name: (one.fact, facts[one.fact]) for one in parameters if one.fact and facts[one.fact].known}


# ---- ways to parse ----------------------------------------------------------------------------------------------


def an_id(text: str) -> str:
    """An id of the billing: a whole number above zero, at most the largest key."""
    plain = text.strip()
    digits = plain.lstrip("0")
    if not (plain.isascii() and plain.isdigit() and digits):
        raise ValueRefused("{text!r} is not an id: a whole number above zero is expected", text=text[:_SHOWN])
    if len(digits) > LONGEST_ID or int(digits) > LARGEST_ID:
        raise ValueError(_too_large(text))
    return digits


def _too_large(text: str) -> Said:
    return said(
        "{text!r} is not an id: the largest possible one is {largest}", text=text[:_SHOWN], largest=LARGEST_ID
    )


def a_whole_number(text: str) -> str:
    digits = text.strip().lstrip("0")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_ID):
        raise ValueRefused("{text!r} is not a whole number above zero", text=text[:_SHOWN])
    return digits


def a_name(text: str) -> str:
    """A contract number or a login, a text: 00123 is not 123. White space around it is removed.

    Raises ValueError for a text longer than the column, because the database refuses to search for it.
    """
    name = text.strip()
    if len(name) > LONGEST_NAME:
        raise ValueRefused(
            "the text has {length} characters, no number and no login has more than {longest}",
            length=Quantity(len(name)),
            longest=LONGEST_NAME,
        )
    return name


def roubles(text: str) -> str:
    """An amount in roubles with at most two decimals; -120,00 and -120 are the same."""
    amount = parse_amount(text)
    whole = amount.to_integral_value()
    return wire(whole if amount == whole else amount.normalize()) if amount else wire(Decimal(0))


def a_text(length: int) -> Callable[[str], str]:
    """A text of one line, at most `length` characters; no-break spaces are allowed."""
    return _short_text(length, lambda letter: letter.isprintable() or unicodedata.category(letter) == "Zs")


def at_most(length: int) -> Callable[[str], str]:
    """A text of one line, at most `length` characters."""
    return _short_text(length, str.isprintable)


def no_longer(length: int) -> Callable[[str], str]:
    return _short_text(length, lambda _: True)


def _short_text(length: int, may_hold: Callable[[str], bool]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if len(text) > length:
            raise ValueRefused(
                "the text has {length} characters, at most {longest} are taken",
                length=Quantity(len(text)),
                longest=Quantity(length),
            )
        if not text.isprintable() and not all(map(may_hold, text)):
            raise ValueError(said("the text has line ends or other invisible characters"))
        return text

    return parse


def a_subscriber(text: str) -> str:
    """The id of a subscriber. A leading zero is refused: the value is probably a contract number."""
    found = whole_id(text.strip())
    if isinstance(found, str):
        raise ValueError(found)  # noqa: TRY004 - it is the reason, in words
    return str(found)


ABONENT: Final = Parameter(
    "abonent_id",
    said("id of the subscriber; rows may have the contract_number instead"),
    parse=a_subscriber,
    columns=("id",),
)
NUMBER: Final = Parameter(
    "contract_number",
    said("contract number of the subscriber, in place of its id: 00123 is not 123"),
    "",
    parse=a_name,
    columns=(),
)
SUBSCRIBER: Final = (ABONENT, NUMBER)
"""The parameters that name a subscriber; one of the two is enough."""

USER: Final = Parameter(
    "user_id", said("id of the account; rows may have the login instead"), parse=an_id, columns=("id",)
)
LOGIN: Final = Parameter("login", said("login of the account, in place of its id"), "", parse=a_name, columns=())
ACCOUNT: Final = (USER, LOGIN)
"""The parameters that name an account of a subscriber; one of the two is enough."""

SERVICE: Final = Parameter("usluga_id", said("id of the service"), parse=an_id, columns=())
FOLDER: Final = Parameter(
    "folder", said("id of the folder, without the folders in it"), "", parse=an_id, refers_to="Folder"
)


LONGEST_ID: Final = 18
"""Digits that always fit a 64-bit column."""


def whole_id(text: str) -> int | str:
    """The id in a cell, or the reason why the cell has none.

    A leading zero is refused: the value is probably a contract number in the wrong column.
    """
    if not text:
        return said("the id is empty")
    if not (text.isascii() and text.isdigit()):
        return said("{text!r} is not an id: a whole number is expected", text=text[:_SHOWN])
    if text[0] == "0":
        return said("{text!r} is not an id, for it starts with a zero; is it a contract number?", text=text[:_SHOWN])
    return int(text) if len(text) <= LONGEST_ID else _too_large(text)
