"""What the recipes entail: sessions, accounts, storno, links, addresses."""

import pytest

from billing.api.calls import ChainStep, create, filter_, get
from billing.api.client import BillingClient
from engine.evidence import Accepted, RowRefused
from lab.mock.server import MockBilling
from tests.billing.saving import get_set_save
from tests.lab.mock.calling import after_each_other, payment, rows, session_of, storno


def _balances(server: MockBilling) -> list[tuple[object, ...]]:
    return rows(server, "select id, balance from admin_accounts order by id")


async def test_secrets_are_not_in_the_ledger(mock_billing: MockBilling, client: BillingClient) -> None:
    await client.send(get("Users", {"id": 4084}, ChainStep("set_password", {"psw": "тайна", "dontshow": True})))
    session = await after_each_other(client, (session_of(4084),))
    written = [what for (what,) in rows(mock_billing, "select what from mock_ledger")]
    assert len(written) == 2
    assert not any("тайна" in str(what) or session.result["fields"]["suid"] in str(what) for what in written)
    # It is kept, and nobody is shown it.
    assert rows(mock_billing, "select psw, char_length(psw_hash) from users where id = 4084") == [(None, 64)]


async def test_a_session_is_made_once(mock_billing: MockBilling, client: BillingClient) -> None:
    first, second = [await after_each_other(client, (session_of(4084),)) for _ in range(2)]
    assert first == second
    assert len(first.result["fields"]["suid"]) == 18
    assert mock_billing.ledger.effects("CabinetSessions") == {4084: 1}


async def test_a_new_subscriber_has_an_account(mock_billing: MockBilling, client: BillingClient) -> None:
    new = create("Abonents", contract_number="НОВЫЙ", parent_id=1316, name="Новый Абонент", tarif_id=1)
    paid = await after_each_other(client, (new, lambda abonent: payment(op_type_id=8, abonent_id=abonent["pk"])))
    assert isinstance(paid, Accepted)
    query = (
        "select aa.balance from abonents a join admin_accounts aa on aa.id = a.account_id"
        " where a.contract_number = 'НОВЫЙ'"
    )
    assert rows(mock_billing, query) == [(505_000_000_000,)]


@pytest.mark.parametrize("kind", [1, 2, 8])
async def test_a_storno_takes_the_sum_back(mock_billing: MockBilling, client: BillingClient, kind: int) -> None:
    before = _balances(mock_billing)
    assert isinstance(await after_each_other(client, (payment(op_type_id=kind),)), Accepted)
    # The subscriber had nothing, so that setting and adding come to the same.
    assert _balances(mock_billing) != before
    (found,) = (await after_each_other(client, (filter_("FinanceOperations", {"abonent_id": 1111}),))).result
    assert isinstance(await after_each_other(client, (storno(found),)), Accepted)
    assert _balances(mock_billing) == before
    again = await after_each_other(client, (storno(found),))
    assert again == RowRefused("Операция уже сторнирована", recognised=True)
    assert _balances(mock_billing) == before


async def test_deleting_a_subscriber_takes_along_what_may_go(
    mock_billing: MockBilling, client: BillingClient
) -> None:
    delete = get("Abonents", {"id": 1392}, ChainStep("delete", {"clean_links": True}))
    gone = await after_each_other(client, (session_of(12345), lambda _: delete))
    assert isinstance(gone, Accepted), gone
    ledger = mock_billing.ledger
    assert ledger.effects("Abonents") == {1392: 1}
    assert ledger.effects("Users") == {12345: 1, 12346: 1}
    assert ledger.effects("UsersUsluga") == {1392: 1}
    assert ledger.effects("CabinetSessions") == {12345: 2}
    query = (
        "select a.deleted, (select min(u.deleted) from users u where u.abonent_id = a.id) from abonents a"
        " where a.id = 1392"
    )
    assert rows(mock_billing, query) == [(1, 1)]


async def test_an_address_that_is_taken_is_not_issued(client: BillingClient) -> None:
    issue = get_set_save("Users", {"id": 324}, {"ip": ""}).asking("ip")
    first = (await after_each_other(client, (issue,))).result["fields"]["ip"]
    ahead = first.rsplit(".", 1)[0] + f".{int(first.rsplit('.', 1)[1]) + 1}"
    await client.send(get_set_save("Users", {"id": 323}, {"ip": ahead}))
    assert (await after_each_other(client, (issue,))).result["fields"]["ip"] not in {first, ahead}
