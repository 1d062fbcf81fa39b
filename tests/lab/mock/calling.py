"""Calls that follow from each other, and their builders."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from inspect import isawaitable
from pathlib import Path
from typing import Any

from billing.api.calls import Call, ChainStep, create, get
from billing.api.client import BillingClient, ClientSettings
from engine.evidence import Accepted
from lab.crash.loops import loops
from lab.mock.server import MockBilling, running

FOLDER = 1316
NESTED = 1400
"""Lies within 1000."""

NEVER = 0.0001
"""Entries of a stack a second: within a test, none."""
SOON = 1_000.0

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


def payment(**values: object) -> Call:
    return create("FinanceOperations", **{"abonent_id": 1111, "op_summa": "50.5", "op_type_id": 2} | values)


def storno(operation: Any) -> Call:
    return get("FinanceOperations", {"op_id": operation["pk"]}, ChainStep("storno"))


def subscriber(**values: object) -> Call:
    return create("Abonents", **{"name": "Новый", "contract_number": "Н-1", "parent_id": FOLDER} | values)


def folder(**values: object) -> Call:
    return create("Abonents", **{"name": "Улица", "parent_id": 1000, "is_folder": 1} | values)


def account(**values: object) -> Call:
    return create("Users", **{"abonent_id": 94, "login": "new"} | values)


def service(**values: object) -> Call:
    return create("UsersUsluga", **{"abonent_id": 94, "usluga_id": 301, "manager_id": 33} | values)


def attribute(**values: object) -> Call:
    return create("AttributeValues", **{"abonent_id": 94, "attribute_id": 99, "attribute_value": "да"} | values)


def deleting(model: str, key: int, **arguments: object) -> Call:
    return get(model, {"id": key}, ChainStep("delete", arguments))


def following(call: Next, result: Any) -> Call:
    return call if isinstance(call, Call) else call(result)


async def answered(client: BillingClient, *calls: Next) -> Any:
    """The result of the last of these calls; all must be answered."""
    result: Any = None
    for call in calls:
        evidence = await client.send(following(call, result))
        assert isinstance(evidence, Accepted), (call, evidence)
        result = evidence.result
    return result


def rows(server: MockBilling, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in server.database.query(query)]


def entries(server: MockBilling, subject: int, model: str = "FinanceOperations") -> list[tuple[int, int, str]]:
    """The effects on a subject, in order: the request, the key of what it changed, and what it wrote."""
    query = (
        "select request, changed_key, what from mock_ledger where model = :model and subject = :subject order by 1"
    )
    return [(*row,) for row in server.database.query(query, {"model": model, "subject": subject})]


@asynccontextmanager
async def served(
    file: Path, *, read: float = 30.0, **traits: Any
) -> AsyncIterator[tuple[MockBilling, BillingClient]]:
    """A mock billing with these traits, and a client of it."""
    async with (
        running(file, **traits) as server,
        BillingClient(ClientSettings(server.url, connect=30.0, read=read, deadline=30.0)) as client,
    ):
        yield server, client


PATIENCE = loops(30)


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            met = condition()
            if await met if isawaitable(met) else met:
                return
            await asyncio.sleep(0.005)
