"""What the tests of the recipes and of the refusals share: calls that follow from each other, and their builders."""

from collections.abc import Callable
from datetime import date
from typing import Any

from billing.api.calls import Call, ChainStep, create, get
from billing.api.client import BillingClient
from engine.evidence import Accepted
from lab.mock.server import MockBilling

Next = Call | Callable[[Any], Call]
"""A call, or how it follows from the result of the one before."""


def month(back: int, day: int = 1) -> date:
    """A day of the month that many months ago."""
    today = date.today()  # noqa: DTZ011 - the billing's dates have no zone
    year, month = divmod(today.year * 12 + today.month - 1 - back, 12)
    return date(year, month + 1, day)


def session_of(user: int) -> Call:
    """Opens the cabinet of an account."""
    return get("Users", {"id": user}, ChainStep("get_or_create_dynamic_session"))


def with_suid(method: str, **arguments: object) -> Callable[[Any], Call]:
    return lambda session: Call("Users", (ChainStep(method, {"suid": session["fields"]["suid"], **arguments}),))


def payment(**values: object) -> Call:
    return create("FinanceOperations", **{"abonent_id": 1111, "op_summa": "50.5", "op_type_id": 2} | values)


def storno(operation: Any) -> Call:
    return get("FinanceOperations", {"op_id": operation["pk"]}, ChainStep("storno"))


async def after_each_other(client: BillingClient, calls: tuple[Next, ...]) -> Any:
    """The exchange of the last call; those before it must have been answered."""
    result: Any = None
    for place, each in enumerate(calls):
        exchange = await client.send(each if isinstance(each, Call) else each(result))
        if place == len(calls) - 1:
            return exchange
        assert isinstance(exchange, Accepted), exchange
        result = exchange.result
    return None


def rows(server: MockBilling, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in server.database.query(query)]
