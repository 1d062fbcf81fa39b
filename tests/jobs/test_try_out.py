"""Look-ups are tried before the first call: a billing that lacks what one of them needs is told in time."""

from pathlib import Path

import pytest

from billing.api.client import BillingClient
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from engine.errors import InputRefused
from jobs.access.gateway import Gateway
from jobs.catalogue.catalogue import BUILT_IN
from lab.mock.leaving_out import leave_out
from tests.jobs.making import effect_of


@pytest.mark.parametrize(
    ("name", "gone", "told"),
    [
        ("balances", "FINANCE_OPERATIONS.DESCR", "DESCR, by which lost calls are found again"),
        ("balances", "ABONENTS.DELETED", "DELETED, by which the subscribers"),
        ("warning-threshold", "ADMIN_ACCOUNTS.LIMIT_WARNING", "LIMIT_WARNING, by which lost calls are found again"),
        ("warning-threshold", "ABONENTS.IS_FOLDER", "IS_FOLDER, by which lost calls are found again"),
    ],
)
async def test_what_a_look_up_needs_and_is_not_there_is_told(
    name: str, gone: str, told: str, billing_file: Path, client: BillingClient
) -> None:
    connection = attach(Dsn(str(billing_file)))
    leave_out(connection, gone)
    connection.close()
    with Database(Dsn(str(billing_file))) as database:
        given = {"amount": "5"} if name == "warning-threshold" else {}
        effect = effect_of(Gateway(client, database), BUILT_IN.named(name), **given)
        with pytest.raises(InputRefused, match=told):
            await effect.try_out()
