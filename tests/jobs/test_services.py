"""The doors to a billing: what cannot be read, and for how long."""

from unittest.mock import AsyncMock

import pytest

from billing.client import BillingClient
from billing.database_errors import DatabaseAway, StatementRefused
from billing.errors import BillingAway, BillingBusy, BillingError, BillingRefused, SystemRefusal, UnreadableAnswer
from engine.errors import LookUpDelayed, LookUpFailed
from jobs.operations import of_type
from jobs.services import Services


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
        await of_type(Services(client), [9001], 8)
    assert isinstance(failed.value, LookUpDelayed) is is_waited_for


async def test_a_database_that_is_missing_is_not_waited_for() -> None:
    with pytest.raises(LookUpFailed) as failed:
        await Services(AsyncMock(spec=BillingClient)).read(lambda database: database)
    assert not isinstance(failed.value, LookUpDelayed)
