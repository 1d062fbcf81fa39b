"""The values of an input that may stand only once, all of them, and what of them the billing has.

They are kept in a temporary SQLite database: on disk, readable by its owner alone, gone with the process. So memory
does not grow with the rows.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from billing.contract_numbers import reason, undressed
from billing.database.sql_blocks import sql_block
from engine.errors import InputRefused
from jobs.imports.fields import ValueName
from jobs.imports.subscriber import NUMBER, Judged, Step, Subscriber, Value
from jobs.imports.written_values import mixed_scripts
from jobs.spec.words import ALIKE
from texts.remedies import setting
from texts.said import Quantity, Said, said

_sql: Final = partial(sql_block, "seen_values", folder="jobs.imports")
_MOST_TAKEN: Final = 20
_NAMED: Final = 3
"""Other rows that a reason names; of more it says how many."""
_Key: TypeAlias = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind of value that is compared; `core` gives equal texts for values that only look different."""

    kind: str
    core: Callable[[str], str] = str
    may_recur: bool = False


NUMBERS: Final = Watched("number", undressed)
LOGINS: Final = Watched("login", str.casefold)
ADDRESSES: Final = Watched("ip")
_OWN_NUMBER: Final = (Step.SUBSCRIBER, NUMBER)
WATCHED: Final = MappingProxyType[ValueName, Watched](
    {
        _OWN_NUMBER: NUMBERS,
        (Step.SUBSCRIBER, "sms"): Watched("phone", may_recur=True),
        (Step.ACCOUNT, "login"): LOGINS,
        (Step.ACCOUNT, "ip"): ADDRESSES,
        (Step.ACCOUNT, "mac"): Watched("mac"),
    }
)
"""The values that are compared, by step and name."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A value of the billing: the subscriber that has it, and the login of its account, "" for a contract number."""

    value: str
    deleted: bool
    abonent: str
    number: str
    login: str = ""


class SeenValues:
    """First `add` takes all subscribers, faulty ones too, then `take` what the billing has; then it is asked.

    With `alike` contract numbers that only look alike are no fault.
    """

    def __init__(self, *, alike: bool = False) -> None:
        self._alike = alike
        names = ("create_seen", "create_taken", "index_taken")
        self._base = temporary_database(*(_sql(name).text for name in names))
        self._made: set[str] = set()

    def add(self, subscribers: Iterable[Subscriber]) -> None:
        """Take a page of the input. Raises `InputRefused` where there is no room for it."""
        values = [one for subscriber in subscribers for one in subscriber.values(WATCHED)]
        self._put(
            "see",
            [
                {**_key(WATCHED[name], value.text), "line": value.place.line, "of": value.place.table}
                for name, value in values
            ],
        )

    def take(self, watched: Watched, page: Iterable[Taken]) -> None:
        """Take a page of values of the billing; only those that the input has are kept. Raises `InputRefused`."""
        self._make("index_seen")
        self._put(
            "take",
            [
                {
                    **_key(watched, one.value),
                    "deleted": int(one.deleted),
                    "abonent": one.abonent,
                    "number": one.number,
                    "login": one.login,
                }
                for one in page
            ],
        )

    def taken(self, watched: Watched, text: str) -> list[Taken]:
        """What the billing has of a value, and of those that look like it; live ones first."""
        rows = self._base.execute(_sql("taken").text, {**_key(watched, text), "most": _MOST_TAKEN})
        return [Taken(value, bool(deleted), *others) for value, deleted, *others in rows]

    def duplicates(self, subscriber: Subscriber) -> Judged:
        """What other rows have too is a fault; phones that recur, and odd numbers, are to be looked at."""
        found = Judged(subscriber)
        for name, value in subscriber.values(WATCHED):
            if (why := self._shared(WATCHED[name], value)) is not None:
                (found.warnings if WATCHED[name].may_recur else found.faults).append(value.fault(why))
        for _, value in subscriber.values([_OWN_NUMBER]):
            if mixed := mixed_scripts(value.text):
                found.warnings.append(value.fault(said("{fault}; is it so in the contract?", fault=mixed)))
            elif lost := self._lost_zero(value.text):
                found.warnings.append(value.fault(lost))
        return found

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
        if (watched is NUMBERS and self._alike) or not self._all("is_alike", key):
            return None
        other, *place = self._all("first_alike", key)[0]
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
        if len(self._zeros) != 1 or not (number.isascii() and number.isdigit()) or number.startswith("0"):
            return None
        ((length, others),) = self._zeros
        if len(number) >= length:
            return None
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
        self._make("index_seen", "create_equal", "index_equal", "create_alike", "index_alike")
        return self._base.execute(_sql(name).text, key).fetchall()

    def _make(self, *names: str) -> None:
        for name in names:
            if name not in self._made:
                with temporary_room():
                    self._base.execute(_sql(name).text)
                self._made.add(name)


class _Closed(sqlite3.Connection):
    def __del__(self) -> None:
        self.close()


def temporary_database(*statements: str) -> sqlite3.Connection:
    """A database on disk that no name leads to: SQLite unlinks its file as soon as it is open."""
    database = sqlite3.connect("", check_same_thread=False, factory=_Closed)
    with temporary_room():
        for statement in ("pragma journal_mode = off", *statements):
            database.execute(statement)
    return database


@contextmanager
def temporary_room(failing: type[Exception] = sqlite3.Error) -> Iterator[None]:
    """Around what writes into unnamed temporary files. Raises `InputRefused` where there is no room for it."""
    try:
        yield
    except failing as error:
        raise InputRefused(
            "what an import reads cannot be kept in the temporary folder: {error}. Make room there, or name another "
            "folder with TMPDIR",
            error=error,
        ) from error


def _key(watched: Watched, text: str) -> _Key:
    return {"kind": watched.kind, "core": watched.core(text), "value": text}


def _where(line: int | None, table: str) -> Said:
    if table:
        return said("line {line} of {table}", line=line or 0, table=table)
    return said("line {line}", line=line or 0)
