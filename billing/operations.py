"""Finance operations, read from the billing's database."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.database import Database, chunks
from billing.money import stored_roubles
from billing.statements import Values, statement

_DAY: Final = len("2019-06-01")
RECEIPT: Final = 1
ACT: Final = 2
OPENING_BALANCE: Final = 8
"""Types of operations: a receipt and an act [I], the entry of an initial balance [S]."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of `FINANCE_OPERATIONS`; `op_summa` in roubles, `storno` where it was reversed, `day` as 2019-06-01."""

    op_id: int
    abonent_id: int
    op_type: int
    op_summa: Decimal
    descr: str
    storno: bool
    day: str = ""


def of_abonents(database: Database, ids: Iterable[int], op_type: int = OPENING_BALANCE) -> Iterator[Operation]:
    """All operations of one type on these subscribers, reversed ones too."""
    for chunk in chunks(dict.fromkeys(ids)):
        values: Values = {"ids": chunk, "type": op_type}
        for op_id, abonent, kind, summa, descr, storno, happened in database.query(
            statement("operations", "of_abonents"), values
        ):
            day = str(happened or "")[:_DAY]
            roubles = stored_roubles(summa, "FINANCE_OPERATIONS.OP_SUMMA")
            yield Operation(op_id, abonent, kind, roubles, str(descr or ""), bool(storno), day)


def newest(database: Database, ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each of these subscribers who has operations, of any type, with the id of the last one."""
    for chunk in chunks(dict.fromkeys(ids)):
        for row in database.query(statement("operations", "newest"), {"ids": chunk}):
            abonent, op_id = row
            yield abonent, op_id
