"""The ledger: which request changed what, written in the transaction of the change itself.

It is the judge of every test: what the billing did, not what it answered. The key that effects are counted by is the
`subject`: the subscriber of an operation or a service, otherwise the changed object itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice

from billing.database.database import Database
from billing.database.sql_blocks import SqlStatement, sql_block
from lab.mock.connection import MockConnection

LONGEST_WHAT = 1000


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One effect: `what` is the JSON of the fields that were written, in the API's notation."""

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
    """How many effects a model's objects had, and on how many subjects."""

    model: str
    effects: int
    subjects: int


@dataclass(frozen=True, slots=True)
class Effects:
    """How often a subject was touched by objects of a model, and by which requests, in order.

    `keys` are those of the changed objects, an effect each; `key` is the first of them.
    """

    model: str
    subject: int
    key: int
    times: int
    keys: tuple[int, ...]
    requests: tuple[int, ...]


def _sql(name: str) -> SqlStatement:
    return sql_block("ledger", name, "lab.mock.sql")


def enter(connection: MockConnection, entry: LedgerEntry) -> None:
    """Write an effect; it is kept if and only if the effect is."""
    connection.run(
        _sql("enter"),
        {
            "request": entry.request,
            "happened": entry.happened,
            "model": entry.model,
            "methods": entry.methods[:120],
            "table": entry.table,
            "key": entry.key,
            "subject": entry.subject,
            "what": entry.what[:LONGEST_WHAT],
        },
    )


def last_request(connection: MockConnection) -> int:
    """The number of the last request that had an effect; 0 when none had."""
    ((number,),) = connection.run(_sql("last_request"), {})
    return int(number)


class Ledger:
    """Reads the ledger of a mock billing, in any process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self) -> list[Total]:
        """The effects per model."""
        return [Total(*row) for row in self._database.query(_sql("totals"))]

    def effects(self, model: str) -> dict[int, int]:
        """How many effects each subject had, by objects of a model."""
        return dict(self._pairs("effects", model))

    def repeated(self, model: str, *, same: bool = False) -> dict[int, int]:
        """The subjects with more than one effect, and how many; with `same`, only where all was the same."""
        if not same:
            return dict(self._pairs("repeated", model))
        rows = self._database.query(_sql("repeated_same"), {"model": model})
        return {subject: count for subject, _, count in rows}

    def entries(self, model: str, subject: int) -> list[LedgerEntry]:
        """What was done to one subject, in order."""
        return [
            LedgerEntry(*row) for row in self._database.query(_sql("entries"), {"model": model, "subject": subject})
        ]

    def by_subject(self, after: tuple[str, int] = ("", 0), limit: int = 1000) -> list[Effects]:
        """The effects by model and subject, in that order, beginning after a model's subject."""
        model, subject = after
        rows = self._database.query(_sql("by_subject"), {"model": model, "subject": subject})
        found: list[Effects] = []
        for (name, on), group in islice(groupby(rows, key=lambda row: (row[0], row[1])), limit):
            keys, requests = zip(*((key, request) for _, _, key, request in group), strict=True)
            found.append(Effects(name, on, keys[0], len(keys), keys, requests))
        return found

    def _pairs(self, name: str, model: str) -> Iterator[tuple[int, int]]:
        yield from self._database.query(_sql(name), {"model": model})
