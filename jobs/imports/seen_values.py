"""The values of an input that may stand only once, all of them, and what of them the billing has.

They are kept in a temporary SQLite database: on disk, readable by its owner alone, gone with the process. So memory
does not grow with the rows.
"""

import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from billing.contract_numbers import undressed
from billing.database.sql_blocks import sql_block
from engine.errors import InputRefused
from jobs.imports.fields import ValueName
from jobs.imports.subscriber import NUMBER, Place, Step, Subscriber, Value
from jobs.imports.value_checks import values_of
from texts.said import Said, said

_sql: Final = partial(sql_block, "seen_values", folder="jobs.imports")
_MOST_TAKEN: Final = 20
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
WATCHED: Final = MappingProxyType[ValueName, Watched](
    {
        (Step.SUBSCRIBER, NUMBER): NUMBERS,
        (Step.SUBSCRIBER, "sms"): Watched("phone", may_recur=True),
        (Step.ACCOUNT, "login"): LOGINS,
        (Step.ACCOUNT, "ip"): ADDRESSES,
        (Step.ACCOUNT, "mac"): Watched("mac"),
    }
)
"""The values that are compared, by step and name."""


@dataclass(frozen=True, slots=True)
class SeenIn:
    """A value in a row of the input; `table` is "" for the main one."""

    value: str
    line: int | None
    table: str

    @property
    def where(self) -> Said:
        """Its place in words."""
        if self.table:
            return said("line {line} of {table}", line=self.line or 0, table=self.table)
        return said("line {line}", line=self.line or 0)


@dataclass(frozen=True, slots=True)
class Taken:
    """A value of the billing: the subscriber that has it, and the login of its account, "" for a contract number."""

    value: str
    deleted: bool
    abonent: str
    number: str
    login: str = ""


class SeenValues:
    """First `add` takes all subscribers, faulty ones too, then `take` what the billing has; then it is asked."""

    def __init__(self) -> None:
        # A database without a name is a file that SQLite makes for itself, unlinked and readable by us alone.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._base.close)
        self._base.execute("pragma journal_mode = off")
        self._make("create_seen", "create_taken", "index_taken")
        self._indexed = False
        self._complete = False

    def add(self, subscribers: Iterable[Subscriber]) -> None:
        """Take a page of the input. Raises `InputRefused` where there is no room for it."""
        entries = [entry for one in subscribers for entry in _entries(one)]
        with temporary_room():
            self._base.execute("begin")
            self._base.executemany(_sql("see").text, entries)
            self._base.execute("commit")

    def take(self, watched: Watched, page: Iterable[Taken]) -> None:
        """Take a page of values of the billing; only those that the input has are kept. Raises `InputRefused`."""
        self._index()
        entries = [
            {
                "kind": watched.kind,
                "core": watched.core(one.value),
                "value": one.value,
                "deleted": int(one.deleted),
                "abonent": one.abonent,
                "number": one.number,
                "login": one.login,
            }
            for one in page
        ]
        with temporary_room():
            self._base.execute("begin")
            self._base.executemany(_sql("take").text, entries)
            self._base.execute("commit")

    def others(self, watched: Watched, value: Value, most: int) -> tuple[int, list[SeenIn]]:
        """The number of the other rows with the very same value, and the first of them."""
        key = _key(watched, value.text)
        rows = self._one("rows_of", key)
        if rows is None:
            return 0, []
        found = self._base.execute(_sql("first_equal").text, {**key, "most": most + 1}).fetchall()
        seen = [SeenIn(*one) for one in found]
        return int(rows[0]) - 1, [one for one in seen if not _is_at(one, value.place)][:most]

    def lookalike(self, watched: Watched, text: str) -> SeenIn | None:
        """A row whose value only looks different; None if there is none."""
        key = _key(watched, text)
        found = self._one("first_alike", key) if self._one("is_alike", key) else None
        return None if found is None else SeenIn(*found)

    def taken(self, watched: Watched, text: str) -> list[Taken]:
        """What the billing has of a value, and of those that look like it; live ones first."""
        key = _key(watched, text)
        rows = self._base.execute(_sql("taken").text, {**key, "most": _MOST_TAKEN})
        return [Taken(value, bool(deleted), *others) for value, deleted, *others in rows]

    def zeros(self) -> tuple[int, int] | None:
        """The one length of the contract numbers that begin with a zero, and how many they are; else None."""
        self._finish()
        rows = self._base.execute(_sql("zeros").text).fetchall()
        return rows[0] if len(rows) == 1 else None

    def _one(self, name: str, key: _Key) -> tuple[Any, ...] | None:
        self._finish()
        row: tuple[Any, ...] | None = self._base.execute(_sql(name).text, key).fetchone()
        return row

    def _make(self, *names: str) -> None:
        with temporary_room():
            for name in names:
                self._base.execute(_sql(name).text)

    def _index(self) -> None:
        if not self._indexed:
            self._make("index_seen")
            self._indexed = True

    def _finish(self) -> None:
        if not self._complete:
            self._index()
            self._make("create_equal", "index_equal", "create_alike", "index_alike")
            self._complete = True


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


def _entries(subscriber: Subscriber) -> Iterator[tuple[str, str, str, int | None, str]]:
    for name, value in values_of(subscriber, WATCHED):
        watched, place = WATCHED[name], value.place
        yield watched.kind, watched.core(value.text), value.text, place.line, place.table


def _key(watched: Watched, text: str) -> _Key:
    return {"kind": watched.kind, "core": watched.core(text), "value": text}


def _is_at(one: SeenIn, place: Place) -> bool:
    return (one.line, one.table) == (place.line, place.table)
