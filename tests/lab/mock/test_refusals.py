"""What the billing does not do, in its own words, over a real socket: one row a fact; it changes nothing.

The texts and rules are those of carbon-billing.md; a row is the text, and the calls of which the last is refused.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.api.client import BillingClient, ClientSettings
from billing.database.database import attach
from billing.database.dsn import Dsn
from engine.evidence import RowRefused, SystemRefused
from lab.mock.server import MockBilling, running
from tests.billing.saving import get_set_save
from tests.lab.mock.calling import (
    NESTED,
    Next,
    account,
    answered,
    attribute,
    deleting,
    folder,
    following,
    month,
    payment,
    service,
    session_of,
    storno,
    subscriber,
)

Refusal: TypeAlias = tuple[str, *tuple[Next, ...]]
WITHOUT_ACCOUNT = 2001
SERVICE = {"abonent_id": 1392, "usluga_id": 240, "manager_id": 33}
CATALOGUED = (
    "Обещанный платеж", "Номер договора", "На объект", "Объект уже", "Правильный формат", "Группе нельзя",
    "Нет счета", "Операция уже", "Перерасчет поддерживает", "get() returned", "Метод", "Не найден атрибут",
)  # fmt: skip


def chain(model: str, *steps: tuple[str, dict[str, object]]) -> Call:
    return Call(model, tuple(ChainStep(*step) for step in steps))


def changing(model: str, key: int, **values: object) -> Call:
    return get_set_save(model, {"id": key}, values)


def deleted(paid: Any) -> Call:
    return get("FinanceOperations", {"op_id": paid["pk"]}, ChainStep("delete"))


def of_that_code(_: object) -> Call:
    return filter_("FinanceOperations", {"code1c": "К-1"})


OF_MONEY: tuple[Refusal, ...] = (
    ("Группе нельзя добавлять финансовую операцию", payment(abonent_id=89)),
    ("Объект уже удалён", deleting("Abonents", 2010, clean_links=True), payment(abonent_id=2010)),
    ("Нет счета для проведения финансовой операции", payment(abonent_id=WITHOUT_ACCOUNT)),
    ("Abonents matching query does not exist", payment(abonent_id=999_999)),
    ("FinanceOpTypes matching query does not exist", payment(op_type_id=77)),
    ("Поле op_type_id обязательно", create("FinanceOperations", abonent_id=1111)),
    ("Неверное значение 'five'", payment(op_summa="five")),
    ("Неверное значение", payment(op_summa="NaN")),
    ("Не найден атрибут colour", payment(colour=1)),
    ("Операция уже сторнирована", payment(code1c="К-1"), storno, of_that_code, lambda found: storno(found[0])),
    ("Метод delete нельзя вызвать", payment(), deleted),
    ("Поле SUM_IN обязательно", get("Abonents", {"id": 94}, ChainStep("add_payment"))),
    ("Метод add_payment нельзя вызвать", get("Users", {"id": 1}, ChainStep("add_payment", {"SUM_IN": 1}))),
    ("Не найден атрибут ostatok", changing("AdminAccounts", 1, ostatok=1)),
    ("Перерасчет поддерживает не более 6 месяцев", changing("Abonents", 94, need_recalc=month(7))),
    ("Перерасчет возможен только с первого числа месяца", changing("Abonents", 94, need_recalc=month(1, 2))),
)

OF_THINGS: tuple[Refusal, ...] = (
    ("Номер договора уже закреплен: test", subscriber(contract_number="test")),
    ("Номер договора уже закреплен: test", changing("Abonents", 94, contract_number="test")),
    ("Поле name обязательно", subscriber(name=" ")),
    ("Поле contract_number обязательно", create("Abonents", name="Новый", parent_id=1316)),
    ("Abonents matching query does not exist.", subscriber(parent_id=77)),
    ("Абонент 94 не является группой", subscriber(parent_id=94)),
    ("Tarif matching query does not exist.", subscriber(tarif_id=77)),
    ("Operators matching query does not exist.", subscriber(operator_id=77)),
    ("AdminAccounts matching query does not exist.", subscriber(account_id=99999)),
    ("Правильный формат: +79", subscriber(sms="+7 900 000-00-01")),
    ("Правильный формат: +79", changing("Abonents", 94, sms="+71234567899")),
    ("Правильный формат: +79", changing("Abonents", 94, sms="89001234567")),
    ("expected length 64, actual 65", subscriber(contract_number="7" * 65)),
    ("expected length 255, actual 256", subscriber(name="Я" * 256)),
    ("У группы не может быть поля contract_number", folder(contract_number="Н-2")),
    ("У группы не может быть поля account_id", folder(account_id=1)),
    ("У группы не может быть поля contract_number", changing("Abonents", 89, contract_number="Н")),
    ("Поле name обязательно", folder(name="")),
    ("Группа не может быть вложена в саму себя", changing("Abonents", 1000, parent_id=NESTED)),
    ("Группа не может быть вложена в саму себя", changing("Abonents", 1000, parent_id=1000)),
    ("Абонент 94 не является группой", changing("Abonents", 1392, parent_id=94)),
    ("Логин уже занят: user4084", account(login="user4084")),
    ("Поле login обязательно", create("Users", abonent_id=94)),
    ("Abonents matching query does not exist.", account(abonent_id=77)),
    ("Группе нельзя", account(abonent_id=89)),
    ("IpPulls matching query does not exist.", account(pull=77)),
    ("IP-адрес уже занят: 127.1.2.3", account(ip="127.1.2.3")),
    ("IP-адрес 192.0.2.7 не входит в пул 1050", account(ip="192.0.2.7", pull=1050)),
    ("IP-адрес 198.51.100.255 не входит в пул 1050", account(ip="198.51.100.255", pull=1050)),
    ("Неверное значение", account(ip="10.0.0")),
    ("Неверный MAC-адрес 0200-0000-0001", account(mac="0200-0000-0001")),
    ("Обещанный платеж уже подключен", create("UsersUsluga", **SERVICE)),
    ("Группе нельзя", service(abonent_id=89)),
    ("Usluga matching query does not exist.", service(usluga_id=77)),
    ("DjangoUsersProfile matching query does not exist.", service(manager_id=77)),
    ("Поле usluga_id обязательно", create("UsersUsluga", abonent_id=94, manager_id=33)),
    ("Поле manager_id обязательно", create("UsersUsluga", abonent_id=94, usluga_id=301)),
    (
        "Поле manager_id обязательно",
        get_set_save("UsersUsluga", {"abonent_id": 94, "usluga_id": 127}, {"next_date": "2020-09-13"}),
    ),
    ("Не найден атрибут 77", attribute(attribute_id=77)),
    ("Поле attribute_id обязательно", create("AttributeValues", abonent_id=94, attribute_value="да")),
    ("expected length 255, actual 256", attribute(attribute_value="1" * 256)),
    ("На объект ссылаются: Users", deleting("Abonents", 94)),
    ("На объект ссылаются: Abonents", deleting("Abonents", 89, clean_links=True)),
    ("На объект ссылаются: CabinetSessions", session_of(4084), deleting("Users", 4084)),
    ("Объект уже удалён", deleting("Users", 12345), deleting("Users", 12345)),
    ("Объект уже удалён", deleting("Users", 2), get("Users", {"id": 2}, ChainStep("save"))),
    ("Объект уже удалён", get("Users", {"id": 3}, ChainStep("delete"), ChainStep("save"))),
)

OF_CALLS: tuple[Refusal, ...] = (
    ("get() returned more than one Abonents -- it returned", get("Abonents", {"parent_id": 89})),
    ("Abonents matching query does not exist", get("Abonents", {"id": -1})),
    ("Сессия не найдена", chain("Users", ("get_user_by_suid", {"suid": "1"}))),
    ("Сессия не найдена", chain("Users", ("web_cabinet.get_usluga_list", {"suid": "1"}))),
    (
        "Users matching query does not exist.",
        chain("Users", ("web_cabinet.reset_password", {"login": "nobody", "base_url": ""})),
    ),
    ("Метод objects.create нельзя вызвать", create("DjangoUsersProfile", username="x")),
    ("Метод objects.get нельзя вызвать", get("Version", {})),
    ("Метод set_password нельзя вызвать", get("Abonents", {"id": 94}, ChainStep("set_password", {"psw": "1"}))),
    ("Метод web_cabinet.login нельзя вызвать", chain("Users", ("web_cabinet.login", {}))),
    ("Метод objects.last нельзя вызвать", chain("Users", ("objects.last", {}))),
    ("Метод save нельзя вызвать", chain("Users", ("save", {}))),
    ("Метод save нельзя вызвать", chain("Users", ("objects.filter", {}), ("save", {}))),
    ("Метод objects.get нельзя вызвать", get("Users", {"id": 1}, ChainStep("objects.get", {"id": 2}))),
    ("Не найден атрибут id", chain("Users", ("objects.all", {"id": 1}))),
    ("Не найден атрибут colour", changing("Abonents", 94, colour=1)),
    ("Не найден атрибут colour", get("Users", {"id": 4084}, ChainStep("save", {"colour": 1}))),
    ("Не найден атрибут colour", get("Users", {"id": 4084}).asking("colour")),
    ("Не найден атрибут colour", filter_("Users", {"abonent__colour": 1})),
    ("Не найден атрибут user_id_cabinet", filter_("Users", {"user_id_cabinet_sessions__suid": 1})),
    ("Не найден атрибут id__in", filter_("Users", {"id__in": [1]})),
    ("Неверное значение", filter_("Users", {"id__range": 5})),
    ("Неверное значение", filter_("Users", {"id__range": [1, "x"]})),
    ("Не найден атрибут deleted", changing("Abonents", 94, deleted=1)),
    ("Не найден атрибут id", changing("Users", 1, id=1)),
    ("Неверное значение", changing("Abonents", 94, need_recalc="01.06.2019")),
    ("Неверное значение", changing("Abonents", 94, need_recalc="2019-13-01")),
    ("Неверное значение", changing("Abonents", 94, need_recalc=5)),
)  # fmt: skip


@pytest.fixture
async def server(billing_file: Path) -> AsyncIterator[MockBilling]:
    connection = attach(Dsn(str(billing_file)))
    connection.cursor().execute("update abonents set account_id = null where id = ?", (WITHOUT_ACCOUNT,))
    connection.commit()
    connection.close()
    async with running(billing_file) as server:
        yield server


@pytest.mark.parametrize("table", [OF_MONEY, OF_THINGS, OF_CALLS], ids=["money", "things", "calls"])
async def test_what_is_refused_changes_nothing(server: MockBilling, table: tuple[Refusal, ...]) -> None:
    async with BillingClient(ClientSettings(server.url)) as client:
        for text, *calls in table:
            last = calls[-1]
            result = await answered(client, *calls[:-1])
            before = server.ledger.totals()
            evidence = await client.send(following(last, result))
            assert isinstance(evidence, RowRefused), (text, last, evidence)
            assert text.lower() in evidence.text.lower(), last
            assert evidence.recognised is (text.startswith(CATALOGUED) or "matching query" in text), text
            assert server.ledger.totals() == before, text


@pytest.mark.parametrize("model", ["Nothing", "CabinetSessions", "Operators"])
async def test_unknown_models_stop_a_run(client: BillingClient, model: str) -> None:
    assert await client.send(get(model, {"id": 1})) == SystemRefused(f"Не найдена модель {model}")
