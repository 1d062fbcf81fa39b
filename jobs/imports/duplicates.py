"""What stands more than once in an input: contract numbers, logins, addresses, phones, and numbers that look alike.

All rows are entered before the first of them is judged, into a temporary SQLite database: on disk, readable by its
owner alone, gone with the process. So memory does not grow with the rows.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Self

from billing.contract_numbers import reason, undressed
from billing.database.sql_blocks import sql_block
from engine.errors import InputRefused
from jobs.imports.subscriber import NUMBER, Place, Step, Subscriber, Value, ValueFault
from jobs.imports.value_checks import ValueName, values_of
from jobs.imports.written_values import mixed_scripts
from texts.remedies import setting
from texts.said import Quantity, Said, said

ALIKE: Final = "alike"
"""The parameter by which the operator says that contract numbers that look alike are right as they are."""

_NAMED: Final = 3
"""Other rows that a reason names; of more it says how many."""

_sql: Final = partial(sql_block, "duplicates", folder="jobs.imports")


@dataclass(frozen=True, slots=True)
class _Watched:
    """A kind of value that is compared; `core` is equal for values that only look different."""

    kind: str
    core: Callable[[str], str] = str
    may_recur: bool = False


_NUMBER_KIND: Final = _Watched("number", undressed)
_WATCHED: Final = MappingProxyType[ValueName, _Watched](
    {
        (Step.SUBSCRIBER, NUMBER): _NUMBER_KIND,
        (Step.SUBSCRIBER, "sms"): _Watched("phone", may_recur=True),
        (Step.ACCOUNT, "login"): _Watched("login", str.casefold),
        (Step.ACCOUNT, "ip"): _Watched("ip"),
        (Step.ACCOUNT, "mac"): _Watched("mac"),
    }
)


@dataclass(frozen=True, slots=True)
class _Mate:
    """The same value, or one that looks like it, in another row."""

    value: str
    line: int | None
    table: str

    @property
    def where(self) -> Said:
        """The row in words."""
        if self.table:
            return said("line {line} of {table}", line=self.line or 0, table=self.table)
        return said("line {line}", line=self.line or 0)


class Duplicates:
    """The values of an input that stand more than once, as a `Stage` of its second reading.

    First `add` takes all subscribers, also faulty ones, and `offer` all contract numbers of the billing, if they are
    known; then a subscriber is judged. With `alike` contract numbers that only look the same are no fault.
    """

    def __init__(self, *, alike: bool = False) -> None:
        self._alike = alike
        # A database without a name is a file that SQLite makes for itself, unlinked and readable by us alone.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._base.execute("pragma journal_mode = off")
        self._make("create", "create_existing", "index_existing")
        self._indexed = False
        self._complete = False
        self._lost_zeros: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the database."""
        self._base.close()

    def add(self, subscribers: Iterable[Subscriber]) -> None:
        """Take a page of the input. Raises `InputRefused` where there is no room for it."""
        entries = [entry for one in subscribers for entry in _entries(one)]
        with _with_room():
            self._base.execute("begin")
            self._base.executemany(_sql("add").text, entries)
            self._base.execute("commit")

    def offer(self, existing: Iterable[str]) -> None:
        """Take a page of the billing's contract numbers; the input has been added whole. Raises `InputRefused`."""
        self._index()
        numbers = [{"core": undressed(number), "number": number} for number in existing]
        with _with_room():
            self._base.execute("begin")
            self._base.executemany(_sql("add_existing").text, numbers)
            self._base.execute("commit")

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        """The subscriber unchanged, and a fault for each value that another row has as well."""
        faults = [one for one, watched in self._shared(subscriber) if not watched.may_recur]
        return subscriber, faults

    def warnings(self, subscriber: Subscriber) -> list[ValueFault]:
        """What may be right, and is to be looked at: phones of several rows, numbers that may have lost a zero."""
        found = [one for one, watched in self._shared(subscriber) if watched.may_recur]
        for _, value in values_of(subscriber, [(Step.SUBSCRIBER, NUMBER)]):
            if fault := mixed_scripts(value.text):
                found.append(_fault(value, said("{fault}; is it so in the contract?", fault=fault)))
            elif self._may_lack_zeros(value.text):
                found.append(_fault(value, self._zeros_lacking(value.text)))
        return found

    # ---- what rows share --------------------------------------------------------------------------------------

    def _shared(self, subscriber: Subscriber) -> list[tuple[ValueFault, _Watched]]:
        self._finish()
        found = []
        for name, value in values_of(subscriber, _WATCHED):
            watched = _WATCHED[name]
            if (why := self._reason(watched, value)) is not None:
                found.append((_fault(value, why), watched))
        return found

    def _reason(self, watched: _Watched, value: Value) -> Said | None:
        """Why a value is none that only this row has; None if it is one."""
        key = {"kind": watched.kind, "core": watched.core(value.text), "value": value.text}
        if rows := self._one("rows_of", key):
            return _again(value.text, self._others(key, value.place), int(rows[0]) - 1)
        other = self._one("first_alike", key) if self._one("is_alike", key) else None
        if watched is not _NUMBER_KIND:
            return _like(value.text, _mate(other)) if other else None
        if self._alike:
            return None
        if other:
            return _like_number(value.text, _mate(other))
        existing = self._one("first_existing", key)
        return _like_existing(value.text, existing[0]) if existing and existing[0] != value.text else None

    def _others(self, key: Mapping[str, str], own: Place) -> list[_Mate]:
        rows = self._base.execute(_sql("others_equal").text, {**key, "most": _NAMED + 1}).fetchall()
        mates = [_mate(row) for row in rows]
        return [mate for mate in mates if (mate.line, mate.table) != (own.line, own.table)][:_NAMED]

    # ---- zeros that a spreadsheet has removed --------------------------------------------------------------------

    def _may_lack_zeros(self, number: str) -> bool:
        """Whether all numbers that begin with a zero have one length, and this one of digits is shorter."""
        self._finish()
        if self._lost_zeros is None:
            return False
        length, _ = self._lost_zeros
        return number.isascii() and number.isdigit() and number[0] != "0" and len(number) < length

    def _zeros_lacking(self, number: str) -> Said:
        length, others = self._lost_zeros or (0, 0)
        return said(
            "{number!r} has {digits} digits, and {others} numbers that begin with a zero have {length}: a "
            "spreadsheet may have removed a zero before it",
            number=number,
            digits=len(number),
            others=Quantity(others),
            length=length,
        )

    def _lengths(self) -> tuple[int, int] | None:
        """The one length of the numbers that begin with a zero, and how many they are; None if they differ."""
        rows = self._base.execute(_sql("lengths").text).fetchall()
        return rows[0] if len(rows) == 1 else None

    # ---- the database --------------------------------------------------------------------------------------------

    def _one(self, name: str, values: Mapping[str, str]) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._base.execute(_sql(name).text, values).fetchone()
        return row

    def _make(self, *names: str) -> None:
        with _with_room():
            for name in names:
                self._base.execute(_sql(name).text)

    def _index(self) -> None:
        if not self._indexed:
            self._make("index")
            self._indexed = True

    def _finish(self) -> None:
        if not self._complete:
            self._index()
            self._make("create_equal", "index_equal", "create_alike", "index_alike")
            self._lost_zeros = self._lengths()
            self._complete = True


@contextmanager
def _with_room() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise InputRefused(
            said(
                "what the rows have in common cannot be kept in a temporary file: {error}. Free some room there, or "
                "name another folder with TMPDIR",
                error=str(error),
            )
        ) from error


def _entries(subscriber: Subscriber) -> Iterator[tuple[str, str, str, int | None, str]]:
    for name, value in values_of(subscriber, _WATCHED):
        watched, place = _WATCHED[name], value.place
        yield watched.kind, watched.core(value.text), value.text, place.line, place.table


def _mate(row: tuple[Any, ...]) -> _Mate:
    value, line, table = row
    return _Mate(value, line, table)


def _fault(value: Value, why: Said) -> ValueFault:
    return ValueFault(value.place, value.text, why)


def _again(text: str, mates: Sequence[_Mate], others: int) -> Said:
    """The sentence about the same value in `others` rows, of which the first are named."""
    places = tuple(mate.where for mate in mates)
    if others <= len(mates):
        return said("{value!r} is also in {places}", value=text, places=places)
    more = Quantity(others - len(mates))
    return said("{value!r} is also in {places} and {more} more", value=text, places=places, more=more)


def _like(text: str, mate: _Mate) -> Said:
    return said(
        "{value!r} is also in {place}, in another letter case: {other!r}",
        value=text,
        place=mate.where,
        other=mate.value,
    )


def _like_number(text: str, mate: _Mate) -> Said:
    return said(
        "{value!r} looks like {other!r} in {place}, {reason}: correct one of them, or give {flag} if both are right",
        value=text,
        other=mate.value,
        place=mate.where,
        reason=reason(text, mate.value),
        flag=setting(ALIKE),
    )


def _like_existing(text: str, other: str) -> Said:
    return said(
        "the billing has the contract number {other!r}, {reason}: write it in the same way if it is the same "
        "subscriber, or give {flag} if both are right",
        other=other,
        reason=reason(text, other),
        flag=setting(ALIKE),
    )
