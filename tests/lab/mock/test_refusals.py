"""What the mock billing does not do, in the product's own words, over a real socket."""

from typing import Any

import pytest

from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.api.client import BillingClient
from engine.evidence import RowRefused, SystemRefused
from lab.mock.server import MockBilling
from tests.billing.saving import get_set_save
from tests.lab.mock.calling import Next, after_each_other, month, payment, session_of

SERVICE = {"abonent_id": 1392, "usluga_id": 240, "manager_id": 33}


def _without_the_operation(paid: Any) -> Call:
    return get("FinanceOperations", {"op_id": paid["pk"]}, ChainStep("delete"))


REFUSALS: tuple[tuple[str, tuple[Next, ...], bool], ...] = (
    ("Обещанный платеж уже подключен", (create("UsersUsluga", **SERVICE),), True),
    (
        "Номер договора уже закреплен: test",
        (get_set_save("Abonents", {"id": 94}, {"contract_number": "test"}),),
        True,
    ),
    ("На объект ссылаются: Users", (get("Abonents", {"id": 94}, ChainStep("delete")),), True),
    ("На объект ссылаются: Abonents",
        (get("Abonents", {"id": 89}, ChainStep("delete", {"clean_links": True})),),
        True,
    ),
    (
        "На объект ссылаются: CabinetSessions",
        (session_of(4084), lambda _: get("Users", {"id": 4084}, ChainStep("delete"))),
        True,
    ),
    (
        "Объект уже удалён",
        (get("Users", {"id": 4084}, ChainStep("delete")), get("Users", {"id": 4084}, ChainStep("delete"))),
        True,
    ),
    ("Правильный формат: +79", (get_set_save("Abonents", {"id": 94}, {"sms": "+71234567899"}),), True),
    ("Правильный формат: +79", (get_set_save("Abonents", {"id": 94}, {"sms": "89001234567"}),), True),
    ("Группе нельзя добавлять финансовую операцию", (payment(abonent_id=89),), True),
    (
        "Перерасчет поддерживает не более 6 месяцев",
        (get_set_save("Abonents", {"id": 94}, {"need_recalc": month(7)}),),
        True,
    ),
    (
        "Перерасчет возможен только с первого числа месяца",
        (get_set_save("Abonents", {"id": 94}, {"need_recalc": month(1, 2)}),),
        False,
    ),
    (
        "get() returned more than one Users -- it returned 2!",
        (get("Users", {"abonent_id": 1392}, ChainStep("get_or_create_dynamic_session")),),
        True,
    ),
    (
        "Поле manager_id обязательно",
        (get_set_save("UsersUsluga", {"abonent_id": 94, "usluga_id": 127}, {"next_date": "2020-09-13"}),),
        False,
    ),
    ("Поле SUM_IN обязательно", (get("Abonents", {"id": 94}, ChainStep("add_payment")),), False),
    ("Сессия не найдена", (Call("Users", (ChainStep("get_user_by_suid", {"suid": "1"}),)),), False),
    ("Сессия не найдена", (Call("Users", (ChainStep("web_cabinet.get_usluga_list", {"suid": "1"}),)),), False),
    (
        "Users matching query does not exist.",
        (Call("Users", (ChainStep("web_cabinet.reset_password", {"login": "nobody", "base_url": ""}),)),),
        True,
    ),
    ("Метод delete нельзя вызвать", (payment(), _without_the_operation), True),
    ("Метод objects.create нельзя вызвать", (create("DjangoUsersProfile", username="x"),), True),
    ("Метод objects.get нельзя вызвать", (get("Version", {}),), True),
    ("Метод set_password нельзя вызвать",
        (get("Abonents", {"id": 94}, ChainStep("set_password", {"psw": "1"})),),
        True,
    ),
    ("Метод web_cabinet.login нельзя вызвать", (Call("Users", (ChainStep("web_cabinet.login", {}),)),), True),
    ("Не найден атрибут colour", (get_set_save("Abonents", {"id": 94}, {"colour": 1}),), True),
    ("Не найден атрибут colour", (get("Users", {"id": 4084}, ChainStep("save", {"colour": 1})),), True),
    ("Не найден атрибут colour", (filter_("Users", {"abonent__colour": 1}),), True),
    ("Не найден атрибут user_id_cabinet", (filter_("Users", {"user_id_cabinet_sessions__suid": 1}),), True),
)  # fmt: skip


@pytest.mark.parametrize(("text", "calls", "recognised"), REFUSALS, ids=range(len(REFUSALS)))
async def test_what_is_refused_changes_nothing(
    mock_billing: MockBilling, client: BillingClient, text: str, calls: tuple[Next, ...], recognised: bool
) -> None:
    exchange = await after_each_other(client, calls)
    assert isinstance(exchange, RowRefused), exchange
    assert text in exchange.text
    assert exchange.recognised == recognised
    # Only what came before has had an effect, each call at most one.
    assert sum(total.effects for total in mock_billing.ledger.totals()) == len(calls) - 1


@pytest.mark.parametrize("model", ["Nothing", "CabinetSessions", "Operators"])
async def test_unknown_models_stop_a_run(client: BillingClient, model: str) -> None:
    assert await client.send(get(model, {"id": 1})) == SystemRefused(f"Не найдена модель {model}")
