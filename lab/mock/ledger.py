"""The ledger of effects: which request changed what, written in the transaction of the change itself.

Tests judge by it: it holds what the billing did, not what it answered. Effects are counted by `subject`: the
subscriber of an operation or a service, otherwise the changed object itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter

from billing.database.database import Database
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import Value, sql_block


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


class Ledger:
    """Reads the ledger of a mock billing, from any process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self) -> list[Total]:
        return [Total(*row) for row in self._rows("totals")]

    def effects(self, model: str) -> dict[int, int]:
        """The number of effects on each subject, by objects of a model."""
        return dict(self._rows("effects", model=model))

    def repeated(self, model: str) -> dict[int, int]:
        """The subjects with more than one effect, and how many."""
        return {subject: times for subject, times in self.effects(model).items() if times > 1}

    def by_subject(self, after: tuple[str, int] = ("", 0), limit: int = 1000) -> list[Effects]:
        """The effects sorted by model and subject, starting after the given subject."""
        rows = self._rows("by_subject", model=after[0], subject=after[1])
        found: list[Effects] = []
        for (name, on), group in islice(groupby(rows, key=itemgetter(0, 1)), limit):
            keys, requests = zip(*((key, request) for _, _, key, request in group), strict=True)
            found.append(Effects(name, on, keys[0], len(keys), keys, requests))
        return found

    def _rows(self, block: str, **values: Value) -> Iterator[DatabaseRow]:
        return self._database.query(sql_block("ledger", block, "lab.mock.sql"), values)
