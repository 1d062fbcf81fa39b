"""What is created and changed over a real socket, checked in the database, and whose effect the ledger calls it.

The thirty recipes are those of the jobs: tests/jobs carries each out on the mock, and looks at the whole database.
"""

from typing import Any

from billing.api.calls import Call, ChainStep, get
from billing.api.client import BillingClient
from lab.mock.server import MockBilling
from tests.billing.saving import get_set_save
from tests.lab.mock.calling import (
    NESTED,
    Next,
    account,
    answered,
    attribute,
    folder,
    month,
    payment,
    rows,
    service,
    session_of,
    subscriber,
)

MORE: tuple[tuple[tuple[Next, ...], str, list[tuple[Any, ...]]], ...] = (
    (
        (folder(),),
        "select parent_id, contract_number, account_id from abonents where name = 'Улица' and is_folder = 1",
        [(1000, None, None)],
    ),
    (
        (subscriber(parent_id=NESTED, tarif_id=3, operator_id=1444, sms="+79001234567", a_home_number="12/2"),),
        (
            "select parent_id, tarif_id, operator_id, a_home_number from abonents where create_date > '2020-01-01'"
            " and contract_number = 'Н-1'"
        ),
        [(NESTED, 3, 1444, "12/2")],
    ),
    (
        (subscriber(contract_number="Н-2"), lambda abonent: payment(op_type_id=8, abonent_id=abonent["pk"])),
        "select balance from abonents a join admin_accounts aa on aa.id = account_id where contract_number = 'Н-2'",
        [(505_000_000_000,)],
    ),
    (
        (account(ip="198.51.100.254", pull=1050, mac="02:aB:00:00:00:01"),),
        "select ip - 3325256704, pull, mac from users where login = 'new'",
        [(254, 1050, "02:aB:00:00:00:01")],
    ),
    (
        (account(login="pooled", pull=1040),),
        "select iif(u.ip between 2886729729 and 2887778302, 1, 0) from users u where u.login = 'pooled'",
        [(1,)],
    ),
    ((service(),), "select enabled from users_usluga where abonent_id = 94 and usluga_id = 301", [(1,)]),
    ((attribute(),), "select attribute_value from attribute_values where abonent_id = 94", [("да",)]),
    # Its own number, login and address are not another's.
    (
        (get_set_save("Abonents", {"id": 1111}, {"contract_number": "test", "parent_id": 89}),),
        "select parent_id from abonents where id = 1111",
        [(89,)],
    ),
    (
        (get_set_save("Users", {"id": 4084}, {"login": "user4084", "ip": "127.1.2.3"}),),
        "select enabled from users where id = 4084",
        [(1,)],
    ),
)
"""What an import creates, on one billing: each call has one effect."""


async def test_what_an_import_creates(mock_billing: MockBilling, client: BillingClient) -> None:
    for calls, query, stored in MORE:
        before = sum(total.effects for total in mock_billing.ledger.totals())
        await answered(client, *calls)
        assert rows(mock_billing, query) == stored, query
        assert sum(total.effects for total in mock_billing.ledger.totals()) == before + len(calls), query


RESET = Call("Users", (ChainStep("web_cabinet.reset_password", {"login": "user4084", "base_url": "http://lk/"}),))
WHOSE: tuple[tuple[Call, str, int], ...] = (
    (payment(), "FinanceOperations", 1111),
    (get("Abonents", {"id": 94}, ChainStep("add_payment", {"SUM_IN": "12.34"})), "FinanceOperations", 94),
    (get_set_save("Users", {"id": 324}, {"ip": "", "pull": "6"}), "Users", 324),
    (get("Users", {"id": 4084}, ChainStep("set_password", {"psw": "1234", "dontshow": False})), "Users", 4084),
    (RESET, "PasswordRecoveries", 4084),
    (session_of(12346), "CabinetSessions", 12346),
    (get_set_save("Abonents", {"id": "1392"}, {"need_recalc": month(5)}), "Abonents", 1392),
    (
        get_set_save("AbonentsBlockHistory", {"id": 118}, {"time_del": "2019-06-01 00:00:00"}),
        "AbonentsBlockHistory",
        94,
    ),
    (get_set_save("Usluga", {"id": "105"}, {"operator_id": "1444"}), "Usluga", 105),
    (service(), "UsersUsluga", 94),
    (attribute(), "AttributeValues", 94),
)
"""Calls of one effect, and the model and the object that the ledger has it under."""


async def test_whose_an_effect_is(mock_billing: MockBilling, client: BillingClient) -> None:
    ((its_account,),) = rows(mock_billing, "select account_id from abonents where id = 94")
    assert isinstance(its_account, int)
    limit = get_set_save("AdminAccounts", {"account_id_abonents": 94}, {"limit": "451.00"})
    wanted: dict[str, dict[int, int]] = {}
    for call, model, subject in (*WHOSE, (limit, "AdminAccounts", its_account)):
        await answered(client, call)
        wanted.setdefault(model, {})[subject] = 1
        assert {total.model for total in mock_billing.ledger.totals()} == wanted.keys()
        assert mock_billing.ledger.effects(model) == wanted[model]
