"""The parameters of a job: what each takes, and how what was given is checked."""

import datetime as dt
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

from billing.directory.models import LONGEST_NAME
from billing.money import parse_amount, wire
from billing.profile import Profile, describe_fact
from engine.errors import Said, lines, setting
from jobs.spec.errors import ParameterRefused


def row_key(values: Iterable[str]) -> str:
    r"""The values with "/" between them, as `94/127`; of as many other values it is another text.

    What is "/" or "\" in a value gets a "\" before it, but for the last one, behind which nothing follows that could
    be taken for a part of it. So one value is its own key, whatever is in it.
    """
    *first, last = tuple(values) or ("",)
    return "/".join([*map(_escaped, first), last])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("/", "\\/")


MONTHS_BACK: Final = 6
"""How long ago a recalculation may begin [V]."""

_SHOWN: Final = 40
_DAY: Final = ("%Y-%m-%d", "%d.%m.%Y")
_MOMENT: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M")


def today() -> dt.date:
    """The day here, which is the billing's."""
    return dt.datetime.now().date()  # noqa: DTZ005 - the billing's day is local


def a_date(text: str) -> str:
    """A day: 2019-06-01 or 01.06.2019."""
    found = _read(text, _DAY)
    if found is None:
        raise ValueError(f"{text[:_SHOWN]!r} is no date: write it as 2019-06-01 or 01.06.2019")
    return found.date().isoformat()


def a_moment(text: str) -> str:
    """A day with a time; a day alone is its midnight."""
    found = _read(text, (*_MOMENT, *_DAY))
    if found is None:
        raise ValueError(
            f"{text[:_SHOWN]!r} is no moment: write it as 2019-06-01 00:00:00, or 01.06.2019 for its midnight"
        )
    return found.isoformat(" ", "seconds")


def first_of_a_month(today: Callable[[], dt.date]) -> Callable[[str], str]:
    """The first day of one of the last six months, which is all that the billing recalculates from [S, V]."""

    def parse(text: str) -> str:
        day = dt.date.fromisoformat(a_date(text))
        now = today()
        if day.day != 1:
            raise ValueError(
                f"{text!r} is not the first of a month: a recalculation begins with one, as {day:%Y-%m}-01"
            )
        back = (now.year - day.year) * 12 + now.month - day.month
        if back > MONTHS_BACK:
            raise ValueError(f"{text!r} is {back} months back: the billing recalculates {MONTHS_BACK} at most")
        if back < 0:
            raise ValueError(f"{text!r} is still to come")
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


LARGEST_ID: Final = 2**31 - 1
"""The billing's keys are Firebird integers; a larger number would make the database refuse the whole statement."""


def as_typed(text: str) -> str:
    """The value itself."""
    return text


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a job, given as `--set name=value`, or by a column of the rows.

    `default` is None where a value is required, "" where the job can do without. `parse` gives the value in its one
    plain spelling, for a run is known again by its parameters, and raises ValueError saying what is wrong. `columns`
    are further names under which the rows may say it, None where they may not: it is the same for all rows then. A
    `secret` is kept in the vault, and nowhere else; one that `may_be_empty` has to be said by a column, but not in
    every row; `makes_file` names a file that the run makes, and that may not be there when it begins; of what is
    `verbatim` the white space around it is a part. A value that `refers_to` something
    (`billing.directory.references`) is an id that has to be there. What stands `in_a_chain` that was typed may be
    anything: only its name tells. A `fact` of the billing's profile takes the place of the default, where a probe
    has learned it.
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
    verbatim: bool = False
    in_a_chain: bool = False
    fact: str = ""
    refers_to: str = ""

    @property
    def optional(self) -> bool:
        """Whether the job can do without a value."""
        return self.default == ""


def check_parameters(what: str, parameters: Sequence[Parameter], given: Mapping[str, str]) -> dict[str, str]:
    """The values of these parameters; `what` has them, in the words of the refusal. Raises `ParameterRefused`."""
    known = {parameter.name: parameter for parameter in parameters}
    faults: list[Said] = [
        (f"{what} has no parameter {name!r}{nearest(name, known)}; it has: {', '.join(known) or 'none'}",)
        for name in given
        if name not in known
    ]
    values: dict[str, str] = {}
    for name, parameter in known.items():
        if _is_missing(parameter, given.get(name)):
            faults.append((f"{name}: is required: {parameter.help}; give ", setting("set", f"{name}=…")))
            continue
        try:
            values[name] = _value(parameter, given.get(name))
        except ValueError as error:
            faults.append((f"{name}: {error}",))
    if faults:
        raise ParameterRefused(*lines(faults))
    return values


def with_facts(parameters: Sequence[Parameter], given: Mapping[str, str], profile: Profile) -> dict[str, str]:
    """What is given, and what a probe has learned of what is not."""
    facts = dict(profile.facts())
    learned = {
        one.name: str(facts[one.fact].value)
        for one in parameters
        if one.fact and one.name not in given and facts[one.fact].known
    }
    return {**learned, **given}


def contradictions(parameters: Sequence[Parameter], given: Mapping[str, str], profile: Profile) -> list[Said]:
    """What is given against what a probe has learned, each a sentence."""
    facts = dict(profile.facts())
    return [
        (
            setting("set", f"{one.name}={given[one.name]}"),
            f" counts, and the probe of {facts[one.fact].learned} says: ",
            describe_fact(one.fact, facts[one.fact].value),
        )
        for one in parameters
        if one.fact and one.name in given and facts[one.fact].known and str(facts[one.fact].value) != given[one.name]
    ]


def nearest(word: str, known: Collection[str]) -> str:
    """A hint at what was meant by a word that is not known, "" when nothing is near."""
    close = get_close_matches(word.casefold(), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _is_missing(parameter: Parameter, text: str | None) -> bool:
    """Whether a value has to be given, and neither is nor can come from the rows."""
    return text is None and parameter.default is None and parameter.columns is None


def _value(parameter: Parameter, text: str | None) -> str:
    if not text and parameter.default is None and parameter.columns is not None:
        # The rows say it; a run that remembers nothing for it is taken up with nothing.
        return ""
    if text is None or text == parameter.default:
        return parameter.default or ""
    if parameter.choices and text not in parameter.choices:
        raise ValueError(f"{text!r} is none of {', '.join(parameter.choices)}{nearest(text, parameter.choices)}")
    return parameter.parse(text)


# ---- ways to parse ----------------------------------------------------------------------------------------------


def an_id(text: str) -> str:
    """The id of a row of the billing: a whole number above zero, and no larger than a key can be."""
    plain = text.strip()
    digits = plain.lstrip("0")
    if not (plain.isascii() and plain.isdigit() and digits):
        raise ValueError(f"{text[:_SHOWN]!r} is no id: a whole number above zero is expected")
    if len(digits) > len(str(LARGEST_ID)) or int(digits) > LARGEST_ID:
        raise ValueError(f"{text[:_SHOWN]!r} is no id: the largest that there can be is {LARGEST_ID}")
    return digits


def a_name(text: str) -> str:
    """The number of a contract or a login, a text: 00123 is not 123. Only the white space around it says nothing.

    A longer one than the billing has would make it refuse to look for any.
    """
    name = text.strip()
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"the text has {len(name):,} characters, no number and no login has more than {LONGEST_NAME}"
        )
    return name


def roubles(text: str) -> str:
    """An amount in roubles, with two decimals at most; -120,00 and -120 are the same."""
    amount = parse_amount(text)
    whole = amount.to_integral_value()
    return wire(whole if amount == whole else amount.normalize()) if amount else wire(Decimal(0))


def a_text(length: int) -> Callable[[str], str]:
    """A text of one line for people to read, not longer than `length` characters; a no-break space is one to them."""
    short = at_most(length)

    def parse(text: str) -> str:
        short("".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in text))
        return text

    return parse


def at_most(length: int) -> Callable[[str], str]:
    """A text of one line that is not longer than `length` characters."""

    def parse(text: str) -> str:
        if len(text) > length:
            raise ValueError(f"the text has {len(text)} characters, at most {length} are taken")
        if not text.isprintable():
            raise ValueError("the text has line ends or other invisible characters")
        return text

    return parse


def a_subscriber(text: str) -> str:
    """The id of a subscriber. A leading zero is refused: it speaks for a contract number in the wrong column."""
    found = whole_id(text.strip())
    if isinstance(found, str):
        raise ValueError(found)  # noqa: TRY004 - it is the reason, in words
    return str(found)


ABONENT: Final = Parameter(
    "abonent_id",
    "id of the subscriber; rows may have the contract_number instead",
    parse=a_subscriber,
    columns=("id",),
)
NUMBER: Final = Parameter(
    "contract_number",
    "contract number of the subscriber, in place of its id: 00123 is not 123",
    "",
    parse=a_name,
    columns=(),
)
SUBSCRIBER: Final = (ABONENT, NUMBER)
"""A subscriber, by whichever of the two people have."""

USER: Final = Parameter("user_id", "id of the account; rows may have the login instead", parse=an_id, columns=("id",))
LOGIN: Final = Parameter("login", "login of the account, in place of its id", "", parse=a_name, columns=())
ACCOUNT: Final = (USER, LOGIN)
"""An account of a subscriber, by whichever of the two people have."""

SERVICE: Final = Parameter("usluga_id", "id of the service", parse=an_id, columns=())
FOLDER: Final = Parameter(
    "folder", "id of the folder, without the folders in it", "", parse=an_id, refers_to="Folder"
)


LONGEST_ID: Final = 18
"""Digits: as many as a 64-bit column holds for certain."""


def whole_id(text: str) -> int | str:
    """The id that a cell holds, or the reason why it holds none.

    A leading zero is refused: it speaks for a contract number that came into the wrong column.
    """
    if not text:
        return "the id is empty"
    if not (text.isascii() and text.isdigit()):
        return f"{text[:40]!r} is no id: a whole number is expected"
    if text[0] == "0":
        return f"{text[:40]!r} is no id, for it starts with a zero; is it a contract number?"
    return int(text[: LONGEST_ID + 1])
