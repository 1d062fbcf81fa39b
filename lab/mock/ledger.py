"""The ledger of effects: which request changed what, written in the transaction of the change itself.

Tests judge by it: it holds what the billing did, not what it answered. Effects are counted by `subject`: the
subscriber of an operation or a service, otherwise the changed object itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from typing import Final

import msgspec

from billing.database.database import Database
from billing.database.sql_blocks import SqlStatement, sql_block
from lab.mock.connection import MockConnection

LONGEST_METHODS: Final = 120
LONGEST_WHAT: Final = 1000


class LedgerEntry(msgspec.Struct, frozen=True):
    """One effect: `what` is the JSON of the written fields, in the API's notation; fields as in ledger.sql."""

    request: int
    happened: datetime
    model: str
    methods: str
    table: str
    key: int
    subject: int
    what: str


@dataclass(frozen=True, slots=True)
class Total:
    """The number of effects on a model's objects, and the number of their subjects."""

    model: str
    effects: int
    subjects: int


@dataclass(frozen=True, slots=True)
class Effects:
    """The number of effects on a subject by objects of a model, and their requests, in order.

    `keys` are those of the changed objects, one for each effect; `key` is the first of them.
    """

    model: str
    subject: int
    key: int
    times: int
    keys: tuple[int, ...]
    requests: tuple[int, ...]


def _sql(name: str) -> SqlStatement:
    return sql_block("ledger", name, "lab.mock.sql")


_ENTER: Final = _sql("enter").text


def enter(connection: MockConnection, entry: LedgerEntry) -> None:
    """Write an effect; it is committed together with the effect."""
    connection.execute(_ENTER, msgspec.structs.astuple(entry))


def last_request(connection: MockConnection) -> int:
    """The number of the last request with an effect; 0 for none."""
    ((number,),) = connection.run(_sql("last_request"), {})
    return int(number)


class Ledger:
    """Reads the ledger of a mock billing, from any process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self) -> list[Total]:
        """The effects of each model."""
        return [Total(*row) for row in self._database.query(_sql("totals"))]

    def effects(self, model: str) -> dict[int, int]:
        """The number of effects on each subject, by objects of a model."""
        return dict(self._pairs("effects", model))

    def repeated(self, model: str, *, same: bool = False) -> dict[int, int]:
        """The subjects with more than one effect, and how many; with `same`, only where all effects are equal."""
        if not same:
            return dict(self._pairs("repeated", model))
        rows = self._database.query(_sql("repeated_same"), {"model": model})
        return {subject: count for subject, _, count in rows}

    def entries(self, model: str, subject: int) -> list[LedgerEntry]:
        """The effects on one subject, in order."""
        return [
            LedgerEntry(*row) for row in self._database.query(_sql("entries"), {"model": model, "subject": subject})
        ]

    def by_subject(self, after: tuple[str, int] = ("", 0), limit: int = 1000) -> list[Effects]:
        """The effects sorted by model and subject, starting after the given subject."""
        model, subject = after
        rows = self._database.query(_sql("by_subject"), {"model": model, "subject": subject})
        found: list[Effects] = []
        for (name, on), group in islice(groupby(rows, key=lambda row: (row[0], row[1])), limit):
            keys, requests = zip(*((key, request) for _, _, key, request in group), strict=True)
            found.append(Effects(name, on, keys[0], len(keys), keys, requests))
        return found

    def _pairs(self, name: str, model: str) -> Iterator[tuple[int, int]]:
        yield from self._database.query(_sql(name), {"model": model})
