"""What the tests of the mock billing share."""

from collections.abc import AsyncIterator

import pytest

from billing.api.client import BillingClient, ClientSettings
from lab.mock.server import MockBilling


@pytest.fixture
async def client(mock_billing: MockBilling) -> AsyncIterator[BillingClient]:
    async with BillingClient(ClientSettings(mock_billing.url)) as opened:
        yield opened
