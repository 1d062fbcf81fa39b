"""The amounts of refused rows: the journal has only their cells, and their amount may be what is wrong with them."""

from decimal import Decimal
from typing import Final

from billing.money import AmountError, parse_amount
from checkpoints.records import Refusal, Run
from engine.errors import InputRefused
from jobs.rows.input import input_of_parameters
from jobs.spec.columns import Column, locate
from jobs.spec.spec import JobSpec

AMOUNT: Final = "amount"
"""The name of the amount among the parameters of the jobs."""


def amount_column(run: Run, job: JobSpec) -> Column | None:
    """The column of the amounts in the input of a run of a job; None if there is none, or if several columns fit."""
    wanted = {one.name: one.columns or () for one in job.parameters if one.name == AMOUNT}
    mapping = input_of_parameters(run.parameters).mapping
    taken = {title.strip() for name, title in mapping.items() if name != AMOUNT}
    try:
        found = locate(run.source, run.header, wanted, {n: title for n, title in mapping.items() if n == AMOUNT})
    except InputRefused:
        return None
    column = found.get(AMOUNT)
    return None if column is None or column.name in taken else column


def amount_of_refused(refusal: Refusal, run: Run, column: Column | None) -> Decimal | None:
    """The amount of a refused row; None where it cannot be read, or where a cell too many or too few shifts it."""
    if column is None or len(refusal.row) != len(run.header):
        return None
    try:
        return parse_amount(refusal.row[column.place])
    except AmountError:
        return None
