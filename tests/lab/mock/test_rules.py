"""The rules of the billing: money, what is found, what is deleted, licences, refusals, and the ledger.

Those without a wait are asked in process, the others over a real socket. Sources stand in `lab/mock/facts.toml`.
"""

import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.api.client import BillingClient, ClientSettings
from billing.database.database import attach
from billing.database.dsn import Dsn
from engine.evidence import RowRefused, SystemRefused
from lab.mock.chain import carry_out, parse
from lab.mock.connection import MockConnection
from lab.mock.quirks import Quirks
from lab.mock.server import MockBilling, running
from tests.billing.saving import get_set_save
from tests.lab.mock.calling import (
    NESTED,
    NEVER,
    Next,
    account,
    answered,
    attribute,
    deleting,
    folder,
    following,
    month,
    payment,
    rows,
    served,
    service,
    session_of,
    storno,
    subscriber,
)

OPERATIONS = "FinanceOperations"
ABONENT = 2001


@pytest.fixture
def session(billing_file: Path) -> Iterator[MockConnection]:
    opened = MockConnection(Dsn(str(billing_file)))
    yield opened
    opened.close()


def call(session: MockConnection, model: str, *steps: object, fields: list[str] | None = None, **quirks: Any) -> Any:
    """What a chain of methods, each with its arguments, is answered."""
    form = {"fields": json.dumps(fields)} if fields is not None else {}
    for number, (method, arguments) in enumerate(zip(steps[::2], steps[1::2], strict=True), 1):
        form |= {f"method{number}": str(method), f"arg{number}": json.dumps(arguments, ensure_ascii=False)}
    return carry_out(session, parse(model, form), 1, Quirks(**quirks))


def enter(session: MockConnection, kind: int, summa: object = "100", abonent: int = ABONENT, **more: Any) -> int:
    """The key of a new operation; `quirks` are those of the billing, all else is a field of the operation."""
    quirks = more.pop("quirks", {})
    values = {"abonent_id": abonent, "op_summa": summa, "op_type_id": kind, **more}
    return int(call(session, OPERATIONS, "objects.create", values, **quirks)["pk"])


def balance(session: MockConnection) -> Decimal:
    ((scaled,),) = session.execute(
        "select cast(aa.ostatok + aa.debit - aa.credit as bigint) from abonents a"
        " join admin_accounts aa on aa.id = a.account_id where a.id = ?",
        (ABONENT,),
    )
    return Decimal(scaled) / 10**10


# ---- money ---------------------------------------------------------------------------------------------------------


ADDS, KEEPS = {"type_8": "adds"}, {"storno_type_8": "keeps"}
MOVES: tuple[tuple[int, dict[str, Any], str, str], ...] = (
    (1, {}, "-100", "0"),
    (2, {}, "100", "0"),
    *((kind, {}, "0", "0") for kind in (3, 4, 5, 6, 9, 10, 11, 12)),
    (8, ADDS, "100", "0"),
    (8, ADDS | KEEPS, "100", "100"),
)
"""What operations of 100 roubles do to the balance, by type and quirks, and what is left of that after the storno."""


def test_a_type_moves_the_balance_and_its_storno_takes_that_back(session: MockConnection) -> None:
    def reverse(key: int, quirks: dict[str, Any]) -> Decimal:
        call(session, OPERATIONS, "objects.get", {"op_id": key}, "storno", {}, **quirks)
        assert call(session, OPERATIONS, "objects.get", {"op_id": key}, fields=["storno"])["fields"] == {"storno": 1}
        return balance(session)

    enter(session, 2, "7")
    for kind, quirks, moves, left in MOVES:
        before = balance(session)
        key = enter(session, kind, quirks=quirks)
        assert balance(session) == before + Decimal(moves), (kind, quirks)
        assert reverse(key, quirks) == before + Decimal(left), (kind, quirks)
    debit = "select aa.debit from abonents a join admin_accounts aa on aa.id = a.account_id where a.id = 2001"
    assert session.execute(debit) == [(0,)], "closing the balance has emptied it"
    key = enter(session, 8, "50.5", descr="Миграция")
    assert balance(session) == Decimal("50.5"), "an opening balance is the balance"
    stored = session.execute("select op_summa, descr from finance_operations where op_id = ?", (key,))
    assert stored == [(505_000_000_000, "Миграция")]
    assert reverse(key, {}) == 0


def act(session: MockConnection, ends: str) -> int:
    return enter(session, 1, "30", op_date=ends, period_end_date=ends, number="17")


def test_an_operation_in_a_closed_period_reverses_its_acts(session: MockConnection) -> None:
    key = act(session, "2019-05-31")
    enter(session, 2, "5", op_date="2019-05-10", quirks={"closed_period": "ignores"})
    assert call(session, OPERATIONS, "objects.filter", {"abonent": ABONENT, "storno": 1}) == []
    call(session, OPERATIONS, "objects.get", {"op_id": key}, "storno", {})
    acts = [act(session, ends) for ends in ("2019-04-30", "2019-05-31", "2019-06-30", "2039-12-31")]
    before = balance(session)
    enter(session, 2, "5", op_date="2019-05-10")
    assert balance(session) == before + 5 + 2 * 30, "the acts of May and June"
    reversed_ = call(session, OPERATIONS, "objects.filter", {"abonent": ABONENT, "op_type": 1, "storno": 1})
    assert [each["pk"] for each in reversed_] == [key, *acts[1:3]]
    logged = [what for (what,) in session.execute("select what from mock_ledger order by entry") if "log" in what]
    assert [json.loads(what) for what in logged] == [
        {"storno": 1, "log": f"Сторнирование акта №{each} для открытия периода из-за проводки с типом 2"}
        for each in acts[1:3]
    ]
    enter(session, 2, "5")
    assert balance(session) == before + 10 + 2 * 30, "an operation of today reopens nothing"


# ---- what is found, and how it is told -----------------------------------------------------------------------------


def test_filters_are_djangos(session: MockConnection) -> None:
    def keys(model: str = "Users", **lookups: object) -> list[int]:
        return [found["pk"] for found in call(session, model, "objects.filter", lookups)]

    def wanted(where: str) -> list[int]:
        joined = "users u join abonents a on a.id = u.abonent_id join tarif t on t.id = a.tarif_id"
        return [key for (key,) in session.execute(f"select u.id from {joined} where {where} order by 1")]  # noqa: S608 - ours

    assert keys(abonent__parent_id=1000) == wanted("a.parent_id = 1000")
    assert keys(abonent__tarif__name="Тариф 2", enabled=True) == wanted("t.name = 'Тариф 2' and u.enabled = 1")
    assert keys(id__range=[5, "9"]) == wanted("u.id between 5 and 9")
    assert keys(ip="10.0.0.7") == wanted("u.ip = 167772167") == [7]
    assert keys(pk=3) == keys(id__exact="3") == [3]
    assert keys(abonent=ABONENT) == keys(abonent_id=ABONENT)
    assert keys(abonent__range=["2001", 2003]) == wanted("u.abonent_id between 2001 and 2003")
    assert [user["pk"] for user in call(session, "Users", "objects.all", {})] == wanted("1 = 1")
    assert keys(snatip="") == wanted("u.snatip is null")
    key = enter(session, 2, operator_pay_id_str="qiwi-99", operator_name="QIWI")
    assert keys(OPERATIONS, operator_pay_id_str="qiwi-99", operator_name="QIWI") == [key]


def test_fields_are_those_of_what_was_saved_and_of_what_it_refers_to(session: MockConnection) -> None:
    before = session.execute("select * from users where id = 1")
    assert call(session, "Users", "objects.get", {"id": 1}, "set", {"pull": 9}, fields=["pull"])["fields"] == {
        "pull": 9
    }
    assert session.execute("select * from users where id = 1") == before, "nothing was saved"
    steps: tuple[object, ...] = ("objects.get", {"id": 1}, "set", {"ip": "", "pull": "6"}, "save", {})
    saved = call(session, "Users", *steps, fields=["ip", "pull", "abonent__tarif__name", "pk"])["fields"]
    assert saved["pull"] == 6
    assert saved["ip"] not in {"", "10.0.0.1"}, "a pool issues a new address"
    assert saved["abonent"]["fields"]["tarif"]["fields"].keys() == {"name"}
    whole = call(session, "Abonents", "objects.get", {"id": ABONENT}, fields=["tarif", "abonent_id_users__ip"])
    assert whole["fields"]["tarif"]["fields"].keys() == {"id", "name", "users_limit_warning", "deleted"}
    assert [found["fields"] for found in whole["fields"]["abonent_id_users"]] == [{"ip": saved["ip"]}]


# ---- what is deleted, and what holds it ----------------------------------------------------------------------------


async def key_of(client: BillingClient, call: Call) -> int:
    """The id of what a call creates."""
    return int((await answered(client, call))["pk"])


async def test_deleting_takes_along_what_may_go_and_nothing_refers_to_what_is_gone(
    mock_billing: MockBilling, client: BillingClient
) -> None:
    await answered(client, session_of(12345), deleting("Abonents", 1392, clean_links=True))
    done = {total["model"]: mock_billing.ledger.effects(total["model"]) for total in mock_billing.ledger.totals()}
    assert done == {
        "Abonents": {1392: 1},
        "Users": {12345: 1, 12346: 1},
        "UsersUsluga": {1392: 1},
        "CabinetSessions": {12345: 2},
    }
    assert rows(mock_billing, "select deleted from users where abonent_id = 1392") == [(1,), (1,)]
    key = await key_of(client, create("Tarif", name="Старый"))
    await answered(client, deleting("Tarif", key))
    assert await client.send(subscriber(tarif_id=key)) == RowRefused("Объект уже удалён", recognised=True)
    blocked = get("AbonentsBlockHistory", {"id": 118}, ChainStep("delete"))
    await answered(client, blocked)
    assert rows(mock_billing, "select id from abonents_block_history where id = 118") == []


# ---- what waits in a stack, and the licence ------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, NEVER])
async def test_a_licence_runs_out_and_is_extended(billing_file: Path, rate: float) -> None:
    there = 1_000
    async with served(billing_file, licence=there + 2, stack_rate=rate) as (server, client):
        # What is refused takes no place.
        assert isinstance(await client.send(subscriber(contract_number="test")), RowRefused)
        await answered(client, *(subscriber(contract_number=f"Н-{number}") for number in range(2)))
        refused = await client.send(subscriber(contract_number="Н-2"))
        assert isinstance(refused, SystemRefused), refused
        assert "Превышена лицензия" in refused.text
        # Folders are free, and what is there is changed as before.
        await answered(client, folder(), get_set_save("Abonents", {"id": 94}, {"name": "Иной"}))
        server.licence = there + 3
        await answered(client, subscriber(contract_number="Н-2"))
        assert isinstance(await client.send(subscriber(contract_number="Н-3")), SystemRefused)
        server.stack_rate = 0
        await server.wait_for_stacks()
        assert rows(server, "select count(*) from abonents where is_folder = 0 and deleted = 0") == [(there + 3,)]


# ---- the ledger ----------------------------------------------------------------------------------------------------


async def test_secrets_are_not_in_the_ledger_and_a_session_is_made_once(
    mock_billing: MockBilling, client: BillingClient
) -> None:
    await answered(client, get("Users", {"id": 4084}, ChainStep("set_password", {"psw": "тайна", "dontshow": True})))
    first, second = [(await answered(client, session_of(4084)))["fields"]["suid"] for _ in range(2)]
    assert (first, len(first)) == (second, 18)
    written = [str(what) for (what,) in rows(mock_billing, "select what from mock_ledger")]
    assert len(written) == 2
    assert not any("тайна" in what or first in what for what in written)
    # It is kept, and nobody is shown it.
    assert rows(mock_billing, "select psw, char_length(psw_hash) from users where id = 4084") == [(None, 64)]


# ---- what the billing does not do, in its own words: it changes nothing ------------------------------------------

Refusal: TypeAlias = tuple[str, *tuple[Next, ...]]
WITHOUT_ACCOUNT = 2001
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


@pytest.fixture
async def server(billing_file: Path) -> AsyncIterator[MockBilling]:
    connection = attach(Dsn(str(billing_file)))
    connection.cursor().execute("update abonents set account_id = null where id = ?", (WITHOUT_ACCOUNT,))
    connection.commit()
    connection.close()
    async with running(billing_file) as server:
        yield server


REFUSALS: tuple[Refusal, ...] = (
    ("Группе нельзя добавлять финансовую операцию", payment(abonent_id=89)),
    ("Объект уже удалён", deleting("Abonents", 2010, clean_links=True), payment(abonent_id=2010)),
    ("Нет счета для проведения финансовой операции", payment(abonent_id=WITHOUT_ACCOUNT)),
    ("Abonents matching query does not exist", payment(abonent_id=999_999)),
    ("FinanceOpTypes matching query does not exist", payment(op_type_id=77)),
    ("Поле op_type_id обязательно", create("FinanceOperations", abonent_id=1111)),
    ("Неверное значение 'five'", payment(op_summa="five")),
    ("Операция уже сторнирована", payment(code1c="К-1"), storno, of_that_code, lambda found: storno(found[0])),
    ("Метод delete нельзя вызвать", payment(), deleted),
    ("Поле SUM_IN обязательно", get("Abonents", {"id": 94}, ChainStep("add_payment"))),
    ("Не найден атрибут ostatok", changing("AdminAccounts", 1, ostatok=1)),
    ("Перерасчет поддерживает не более 6 месяцев", changing("Abonents", 94, need_recalc=month(7))),
    ("Перерасчет возможен только с первого числа месяца", changing("Abonents", 94, need_recalc=month(1, 2))),
    ("Номер договора уже закреплен: test", subscriber(contract_number="test")),
    ("Номер договора уже закреплен: test", changing("Abonents", 94, contract_number="test")),
    ("Поле contract_number обязательно", create("Abonents", name="Новый", parent_id=1316)),
    ("Абонент 94 не является группой", subscriber(parent_id=94)),
    ("Правильный формат: +79", changing("Abonents", 94, sms="89001234567")),
    ("expected length 64, actual 65", subscriber(contract_number="7" * 65)),
    ("У группы не может быть поля contract_number", folder(contract_number="Н-2")),
    ("Группа не может быть вложена в саму себя", changing("Abonents", 1000, parent_id=NESTED)),
    ("Логин уже занят: user4084", account(login="user4084")),
    ("IP-адрес уже занят: 127.1.2.3", account(ip="127.1.2.3")),
    ("IP-адрес 198.51.100.255 не входит в пул 1050", account(ip="198.51.100.255", pull=1050)),
    ("Неверный MAC-адрес 0200-0000-0001", account(mac="0200-0000-0001")),
    ("Обещанный платеж уже подключен", service(abonent_id=1392, usluga_id=240)),
    ("Поле manager_id обязательно", get_set_save("UsersUsluga", {"abonent_id": 94}, {"next_date": "2020-09-13"})),
    ("Не найден атрибут 77", attribute(attribute_id=77)),
    ("На объект ссылаются: Users", deleting("Abonents", 94)),
    ("На объект ссылаются: Abonents", deleting("Abonents", 89, clean_links=True)),
    ("Объект уже удалён", deleting("Users", 2), get("Users", {"id": 2}, ChainStep("save"))),
    ("get() returned more than one Abonents -- it returned", get("Abonents", {"parent_id": 89})),
    ("Сессия не найдена", chain("Users", ("web_cabinet.get_usluga_list", {"suid": "1"}))),
    ("Метод objects.create нельзя вызвать", create("DjangoUsersProfile", username="x")),
    ("Метод save нельзя вызвать", chain("Users", ("objects.filter", {}), ("save", {}))),
    ("Не найден атрибут colour", get("Users", {"id": 4084}).asking("colour")),
    ("Не найден атрибут id__gt", filter_("Users", {"id__gt": 1})),
    ("Не найден атрибут deleted", changing("Abonents", 94, deleted=1)),
    ("Неверное значение", changing("Abonents", 94, need_recalc="01.06.2019")),
)  # fmt: skip


async def test_what_is_refused_changes_nothing(server: MockBilling) -> None:
    async with BillingClient(ClientSettings(server.url)) as client:
        for text, *calls in REFUSALS:
            last = calls[-1]
            result = await answered(client, *calls[:-1])
            before = server.ledger.totals()
            evidence = await client.send(following(last, result))
            assert isinstance(evidence, RowRefused), (text, last, evidence)
            assert text.lower() in evidence.text.lower(), last
            assert evidence.recognised is (text.startswith(CATALOGUED) or "matching query" in text), text
            assert server.ledger.totals() == before, text
        for model in ("Nothing", "CabinetSessions", "Operators"):
            assert await client.send(get(model, {"id": 1})) == SystemRefused(f"Не найдена модель {model}")
