"""The ledger of effects: which request changed what, written in the transaction of the change itself.

Tests judge by it: it holds what the billing did, not what it answered. Effects are counted by `subject`: the
subscriber of an operation or a service, otherwise the changed object itself.
"""

from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from billing.database.database import Database
from billing.database.reader import DatabaseRow
from billing.database.sql_blocks import Value, sql_block


class Ledger:
    """Reads the ledger of a mock billing, from any process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self) -> list[dict[str, Any]]:
        """The effects so far by model: their number, that of their subjects, and the times of those with several."""
        totals = [dict(zip(("model", "effects", "subjects"), row, strict=True)) for row in self._rows("totals")]
        for total in totals:
            total["repeated"] = {one: times for one, times in self.effects(total["model"]).items() if times > 1}
        return totals

    def effects(self, model: str) -> dict[int, int]:
        return dict(self._rows("effects", model=model))

    def by_subject(self, after: tuple[str, int], limit: int) -> Iterator[dict[str, Any]]:
        """The effects sorted by model and subject, starting after the given subject, each with its requests in order.

        `keys` are those of the changed objects, one for each effect; `key` is the first of them.
        """
        rows = self._rows("by_subject", model=after[0], subject=after[1])
        for (model, subject), group in islice(groupby(rows, key=itemgetter(0, 1)), limit):
            keys, requests = zip(*((key, request) for _, _, key, request in group), strict=True)
            of_all = {"model": model, "subject": subject, "key": keys[0], "times": len(keys)}
            yield of_all | {"keys": keys, "requests": requests}

    def _rows(self, block: str, **values: Value) -> Iterator[DatabaseRow]:
        return self._database.query(sql_block("requests", block, "lab.mock.sql"), values)
