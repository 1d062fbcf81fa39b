"""Finance operations, read from the billing's database."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.database import Database, chunks
from billing.money import roubles
from billing.statements import Values, statement

RECEIPT: Final = 1
ACT: Final = 2
OPENING_BALANCE: Final = 8
"""Types of operations: a receipt and an act [I], the entry of an initial balance [S]."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of `FINANCE_OPERATIONS`; `op_summa` in roubles, `storno` where it was reversed."""

    op_id: int
    abonent_id: int
    op_type: int
    op_summa: Decimal
    descr: str
    storno: bool


def of_abonents(database: Database, ids: Iterable[int], op_type: int = OPENING_BALANCE) -> Iterator[Operation]:
    """All operations of one type on these subscribers, reversed ones too."""
    for chunk in chunks(dict.fromkeys(ids)):
        values: Values = {"ids": chunk, "type": op_type}
        for op_id, abonent, kind, summa, descr, storno in database.query(
            statement("operations", "of_abonents"), values
        ):
            yield Operation(op_id, abonent, kind, roubles(summa), descr or "", bool(storno))
