"""Thresholds and limits: whom the jobs' own selects choose, and how much of it."""

import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.money import SCALE
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload
from jobs.catalogue.subscribers import CUTOFF_LIMIT, TARIFF_THRESHOLD
from jobs.rows.input import Input
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import job_of, prepared


@pytest.fixture
def gateway(client: BillingClient, database: Database) -> Gateway:
    return Gateway(client, database)


async def test_as_the_tariffs_have_it(gateway: Gateway, execute: Execute) -> None:
    execute("update admin_accounts set limit_warning = ? where id = 9002", -50 * SCALE)
    execute("update admin_accounts set limit_warning = ? where id = 9004", -7 * SCALE)
    done = await prepared(job_of(gateway, TARIFF_THRESHOLD, Input()))
    ours = [one for one in done.items if 9000 < int(one.key) < FOLDER]
    assert [(one.key, decode_payload(one.payload).was, decode_payload(one.payload).wanted) for one in ours] == [
        ("9001", {"limit_warning": "-120"}, {"limit_warning": "-50"}),
        # 9002 is as its tariff has it, the tariff of 9004 has none: neither is touched.
        ("9003", {"limit_warning": None}, {"limit_warning": "-100"}),
        ("9005", {"limit_warning": None}, {"limit_warning": "0"}),
        ("9008", {"limit_warning": "-120"}, {"limit_warning": "-50"}),
        ("9010", {"limit_warning": None}, {"limit_warning": "-50"}),
    ]
    assert len(done.items) > len(ours), "the billing has others that differ"
    assert done.refusals == ()


async def test_a_threshold_with_kopecks_and_the_largest_one(gateway: Gateway, execute: Execute) -> None:
    largest = 90_000_000
    execute("update tarif set users_limit_warning = ? where id = 3", -1205 * SCALE // 10)
    execute("update tarif set users_limit_warning = ? where id = 5", largest * SCALE + SCALE // 100)
    done = await prepared(job_of(gateway, TARIFF_THRESHOLD, Input()))
    wanted = {one.key: decode_payload(one.payload).wanted["limit_warning"] for one in done.items}
    assert (wanted["9003"], wanted["9005"]) == ("-120.5", f"{largest}.01")


async def test_the_sum_of_the_tariff_and_one_rouble(gateway: Gateway, execute: Execute) -> None:
    execute("delete from tarif_users_usluga where tarif_id = 5")
    execute("update usluga set summa = ? where id = 126", 25050 * SCALE // 100)
    done = await prepared(job_of(gateway, CUTOFF_LIMIT, Input(), folder=str(FOLDER)))
    # Tariff 2 has services of 250.50, 450 and 700 roubles, tariff 3 the first, tariff 1 the first two.
    assert {one.key: decode_payload(one.payload).wanted["limit"] for one in done.items} == {
        "9001": "1401.5",
        "9002": "1401.5",
        "9003": "251.5",
        "9004": "701.5",
        "9008": "1401.5",
        "9010": "1401.5",
    }
    assert [(one.label, one.column, one.reason) for one in done.refusals] == [
        ("9005", "amount", "the cell is empty"),
        ("9007", "abonent_id", "abonent 9007 has no account"),
    ]
