"""Jobs that enter money: balances, and payments."""

from decimal import Decimal
from typing import Final

from billing.directory.subscribers import OPENING_BALANCE
from billing.money import parse_amount, wire
from jobs.access.marks import LONGEST_TEXT
from jobs.effects.factory import creations
from jobs.effects.pay import ASK, DOCUMENT, SUM, payments
from jobs.effects.reverse import HOW, OPERATION
from jobs.spec.parameters import SUBSCRIBER, Parameter, a_text, an_id
from jobs.spec.spec import JobSpec

_KOPECK: Final = Decimal("0.01")
_LONGEST_NUMBER: Final = 64
_WAY_BACK: Final = (
    "a list for the accountant, unless the undo is told how: --set way=storno --set storno_call=…, or "
    "--set way=opposite; what somebody has changed since is left alone"
)


def _two_decimals(text: str) -> str:
    """An amount as it is sent: two decimals always, and no "-0.00"."""
    amount = parse_amount(text)
    return wire(amount.quantize(_KOPECK)) if amount else "0.00"


def _above_zero(text: str) -> str:
    """An amount that somebody can have paid."""
    if parse_amount(text) <= 0:
        raise ValueError(f"{text} is no payment: an amount above zero is expected")
    return _two_decimals(text)


_AMOUNT: Final = Parameter(
    "amount", "the amount in roubles, as 1 234,50 or -50.5", parse=_two_decimals, columns=("op_summa",)
)

BALANCES: Final = JobSpec(
    name="balances",
    recipes=(1, 2),
    summary="enter opening balances, by subscriber's id or by contract number",
    parameters=(
        *SUBSCRIBER,
        _AMOUNT,
        Parameter(
            "op_type",
            "type of the operations: 8 enters opening balances, 1 receipts, 2 acts",
            str(OPENING_BALANCE),
            parse=an_id,
            columns=("op_type_id",),
        ),
        Parameter(
            "descr",
            "comment of the operations, before their marks",
            "Миграция балансов",
            parse=a_text(LONGEST_TEXT),
            columns=(),
            verbatim=True,
        ),
    ),
    effect=creations("FinanceOperations", OPERATION, comment="descr"),
    call='FinanceOperations: objects.create(abonent_id=…, op_summa="50.50", op_type_id=8, descr="… [cm run/number]")',
    example="carbon-migrate run balances balances.csv",
    undo_parameters=HOW,
    way_back=_WAY_BACK,
)

PAYMENT: Final = JobSpec(
    name="payment",
    recipes=(27,),
    summary="enter payments that carry no mark; better is balances with --set op_type=1, whose operations carry one",
    parameters=(
        *SUBSCRIBER,
        Parameter(
            "amount",
            "the payment in roubles, as 1 234,50",
            parse=_above_zero,
            columns=("SUM_IN", "op_summa"),
        ),
        Parameter(
            DOCUMENT,
            "number of the payment's document: with it several payments of one subscriber are several entries; a "
            "column of another name is given with --map document=COLUMN",
            "",
            parse=a_text(_LONGEST_NUMBER),
            columns=(),
        ),
        Parameter(
            "recognise",
            "what tells a payment whose answer was lost: ask leaves it to a person, sum takes the one newer "
            "operation of that sum for it, though it may be somebody else's; with documents it never does",
            ASK,
            (ASK, SUM),
        ),
    ),
    effect=payments,
    call='Abonents: objects.get(id=…) → add_payment(SUM_IN="50.50")',
    example="carbon-migrate run payment payments.csv",
    undo_parameters=HOW,
    way_back=f"{_WAY_BACK}, and a payment that cannot be told from others as well",
)

MONEY: Final = (BALANCES, PAYMENT)
