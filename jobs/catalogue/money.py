"""Jobs that enter money: balances, and payments."""

from decimal import Decimal
from typing import Final

from billing.directory.models import OPENING_BALANCE, RECEIPT
from billing.money import parse_amount, wire
from jobs.spec.entries import (
    ADD_PAYMENT,
    KEY,
    LONGEST_TEXT,
    OPERATION,
    OPERATION_WAY,
    OPERATIONS,
    TELLING,
    UNDO_OF_OPERATIONS,
)
from jobs.spec.parameters import SUBSCRIBER, Parameter, a_text, an_id
from jobs.spec.spec import JobSpec, Special
from jobs.spec.undo_words import WAY
from texts.said import ValueRefused, said

_KOPECK: Final = Decimal("0.01")
_WAY_BACK: Final = said(
    "a list for the accountant, unless the undo is told how: --set way=storno --set storno_call=…, or "
    "--set way=opposite; what somebody has changed since is left alone"
)


def in_kopecks(text: str) -> str:
    """An amount for a call: always two decimals, and never "-0.00"."""
    amount = parse_amount(text)
    return wire(amount.quantize(_KOPECK)) if amount else "0.00"


def above_zero(text: str) -> str:
    """An amount above zero, as payments need it."""
    if parse_amount(text) <= 0:
        raise ValueRefused("{text} is not a payment: an amount above zero is expected", text=text)
    return in_kopecks(text)


_AMOUNT: Final = Parameter(
    "amount", said("the amount in roubles, as 1 234,50 or -50.5"), parse=in_kopecks, columns=("op_summa",)
)

BALANCES: Final = JobSpec(
    name="balances",
    recipes=(1, 2),
    summary=said("enter opening balances, by subscriber's id or by contract number"),
    model=OPERATIONS,
    chain=(OPERATION,),
    comment="descr",
    parameters=(
        *SUBSCRIBER,
        _AMOUNT,
        Parameter(
            "op_type",
            said("type of the operations: 8 enters opening balances, 2 receipts, 1 acts (charges)"),
            str(OPENING_BALANCE),
            parse=an_id,
            columns=("op_type_id",),
        ),
        *TELLING,
        Parameter(
            "descr",
            said("comment of the operations, before their marks"),
            "Миграция балансов",
            parse=a_text(LONGEST_TEXT),
            columns=(),
            verbatim=True,
        ),
        KEY,
    ),
    example="carbon-migrate run balances balances.csv",
    undo=_WAY_BACK,
    undo_parameters=UNDO_OF_OPERATIONS,
)

_OPERATION: Final = OPERATION.replace("{op_type}", str(RECEIPT))
_ADD_PAYMENT: Final = ('objects.get {"id": {abonent_id}}', 'add_payment {"SUM_IN": "{amount}"}')

PAYMENT: Final = JobSpec(
    name="payment",
    recipes=(27,),
    summary=said("enter payments, each told from others by its document or its date"),
    model=OPERATIONS,
    model_of=lambda given: "Abonents" if given["way"] == ADD_PAYMENT else OPERATIONS,
    chain=lambda given: _ADD_PAYMENT if given["way"] == ADD_PAYMENT else (_OPERATION,),
    comment="descr",
    special=Special.PAYMENT,
    parameters=(
        *SUBSCRIBER,
        Parameter(
            "amount",
            said("the payment in roubles, as 1 234,50"),
            parse=above_zero,
            columns=("SUM_IN", "op_summa"),
        ),
        *TELLING,
        Parameter(
            "descr",
            said("comment of the operations, before their marks"),
            "Платёж",
            parse=a_text(LONGEST_TEXT),
            columns=(),
            verbatim=True,
        ),
        Parameter(
            WAY,
            said(
                "operation enters an operation of the type that raises the balance, which bears a mark; add_payment "
                "makes the vendor's call of that name, which bears none: a payment whose answer is lost is always "
                "left to a person"
            ),
            OPERATION_WAY,
            (OPERATION_WAY, ADD_PAYMENT),
        ),
        KEY,
    ),
    example="carbon-migrate run payment payments.csv",
    undo=said(
        "a list for the accountant, unless the undo is told how: --set way=storno --set storno_call=…, or "
        "--set way=opposite; what somebody has changed since is left alone, and a payment that cannot be told from "
        "others as well"
    ),
    undo_parameters=UNDO_OF_OPERATIONS,
)

MONEY: Final = (BALANCES, PAYMENT)
