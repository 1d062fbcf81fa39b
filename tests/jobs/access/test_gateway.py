"""The doors to a billing: what cannot be read, and for how long."""

from unittest.mock import AsyncMock

import anyio
import pytest

from billing.api.calls import Call, version
from billing.api.client import BillingClient
from billing.errors import (
    BillingAway,
    BillingBusy,
    BillingError,
    BillingRefused,
    DatabaseAway,
    StatementRefused,
    SystemRefusal,
    UnreadableAnswer,
)
from engine.errors import LookUpDelayed, LookUpFailed
from engine.pacing.throttle import Rate
from jobs.access.gateway import Gateway
from jobs.access.operations import of_type
from tests.virtual_clock import run


@pytest.mark.parametrize(
    ("error", "is_waited_for"),
    [
        (BillingAway("nobody answers"), True),
        (BillingBusy("it is busy", 3.0), True),
        (DatabaseAway("no connection"), True),
        (StatementRefused("no such column"), False),
        (BillingRefused("no such field"), False),
        (SystemRefusal("no rights"), False),
        (UnreadableAnswer("a list was expected"), False),
    ],
    ids=lambda given: type(given).__name__,
)
async def test_only_what_ends_by_itself_is_waited_for(error: BillingError, is_waited_for: bool) -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.side_effect = error
    with pytest.raises(LookUpFailed, match=str(error)) as failed:
        await of_type(Gateway(client), [9001], 8)
    assert isinstance(failed.value, LookUpDelayed) is is_waited_for


async def test_a_database_that_is_missing_is_not_waited_for() -> None:
    with pytest.raises(LookUpFailed) as failed:
        await Gateway(AsyncMock(spec=BillingClient)).read(lambda database: database)
    assert not isinstance(failed.value, LookUpDelayed)


def test_reading_calls_keep_the_rate_and_another_one_counts_from_then_on() -> None:
    client = AsyncMock(spec=BillingClient)
    gateway = Gateway(client, rate=Rate(2.0))
    moments: list[float] = []

    async def asked(_: Call) -> object:
        moments.append(anyio.current_time())
        return "5.24"

    async def read() -> None:
        await gateway.ask([version()] * 5)
        gateway.rate.per_second = None
        await gateway.ask([version()] * 3)

    client.ask.side_effect = asked
    run(read())
    assert [moment - moments[0] for moment in moments] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0])


def test_without_a_rate_a_few_are_asked_at_once() -> None:
    client = AsyncMock(spec=BillingClient)
    gateway = Gateway(client, asked_at_once=3)

    async def asked(_: Call) -> None:
        await anyio.sleep(1.0)

    client.ask.side_effect = asked

    async def read() -> float:
        began = anyio.current_time()
        await gateway.ask([version()] * 9)
        return anyio.current_time() - began

    assert run(read()) == pytest.approx(3.0)
