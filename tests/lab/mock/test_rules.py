"""The rules of the billing: money, what is found, what is deleted, licences, refusals, and the ledger.

Those without a wait are asked in process, the others over a real socket. Sources stand in `lab/mock/facts.toml`.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.api.client import BillingClient, ClientSettings
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from engine.evidence import Accepted, Evidence, RowRefused, SystemRefused
from lab.mock.chain import carry_out, parse
from lab.mock.connection import MockConnection
from lab.mock.ledger import Ledger, Total
from lab.mock.population import create as create_billing
from lab.mock.quirks import Quirks
from lab.mock.server import MockBilling, running
from lab.mock.values import MockRefusal
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
    return carry_out(session, parse(model, form), 1, quirks=Quirks(**quirks))


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


@pytest.mark.parametrize(
    ("types", "pk", "summa"), [("usual", int, "50.50"), ("numbers", int, 50.5), ("texts", str, "50.50")]
)
def test_ids_and_money_are_of_either_type(session: MockConnection, types: str, pk: type, summa: object) -> None:
    key = enter(session, 8, "50.5")
    fields = ["op_summa", "storno", "abonent_id", "code1c"]
    (found,) = call(session, OPERATIONS, "objects.filter", {"op_id": key}, fields=fields, value_types=types)
    assert found["pk"] == pk(key)
    assert found["fields"] == {"op_summa": summa, "storno": 0, "abonent_id": pk(ABONENT), "code1c": None}


def test_forms_are_read_as_tolerantly_as_by_the_real_one(session: MockConnection) -> None:
    chain = parse("Users", {"method1": "objects.get", "arg1": '{"id": 5}', "method2": "save", "method4": "delete"})
    assert (chain.steps, chain.writes) == ((("objects.get", {"id": 5}), ("save", {})), True)
    for wrong in ({"arg1": "{"}, {"arg1": "[1]"}, {"fields": '"ip"'}):
        with pytest.raises(MockRefusal):
            parse("Users", {"method1": "objects.get", **wrong})
    told = carry_out(session, parse("Version", {"get_version": "True"}))
    assert msgspec.convert(told, dict[str, str]).keys() == {"version", "time"}


# ---- what is deleted, and what holds it ----------------------------------------------------------------------------


async def key_of(client: BillingClient, call: Call) -> int:
    """The id of what a call creates."""
    return int((await answered(client, call))["pk"])


async def test_deleting_takes_along_what_may_go_and_nothing_refers_to_what_is_gone(
    mock_billing: MockBilling, client: BillingClient
) -> None:
    await answered(client, session_of(12345), deleting("Abonents", 1392, clean_links=True))
    done = {total.model: mock_billing.ledger.effects(total.model) for total in mock_billing.ledger.totals()}
    assert done == {
        "Abonents": {1392: 1},
        "Users": {12345: 1, 12346: 1},
        "UsersUsluga": {1392: 1},
        "CabinetSessions": {12345: 2},
    }
    assert rows(mock_billing, "select deleted from users where abonent_id = 1392") == [(1,), (1,)]
    referring: tuple[tuple[Call, Callable[[int], Call]], ...] = (
        (folder(), lambda key: subscriber(parent_id=key)),
        (create("Tarif", name="Старый"), lambda key: subscriber(tarif_id=key)),
        (create("Usluga", name="Старая"), lambda key: service(usluga_id=key)),
    )
    for made, refers in referring:
        key = await key_of(client, made)
        await answered(client, deleting(made.model, key))
        assert await client.send(refers(key)) == RowRefused("Объект уже удалён", recognised=True)
    blocked = get("AbonentsBlockHistory", {"id": 118}, ChainStep("delete"))
    await answered(client, blocked)
    assert rows(mock_billing, "select id from abonents_block_history where id = 118") == []


@pytest.mark.parametrize(("numbers", "again"), [("free", Accepted), ("held", RowRefused)])
async def test_numbers_of_what_is_deleted(billing_file: Path, numbers: Any, again: type[Evidence]) -> None:
    async with served(billing_file, quirks=Quirks(deleted_numbers=numbers)) as (_, client):
        key = await key_of(client, subscriber())
        await answered(client, account(abonent_id=key), deleting("Abonents", key, clean_links=True))
        assert isinstance(await client.send(subscriber()), again)
        assert isinstance(await client.send(account()), again)


async def test_a_text_is_cut_and_an_error_is_one_text_with_a_status_where_the_billing_is_such(
    billing_file: Path,
) -> None:
    quirks = Quirks(too_long="cut", error_status=422, list_errors="text", money_scale=100)
    async with served(billing_file, quirks=quirks) as (server, client):
        await answered(client, subscriber(name="Я" * 300))
        assert rows(server, "select char_length(name) from abonents where contract_number = 'Н-1'") == [(255,)]
        refused = await client.send(filter_(OPERATIONS, {"nothing": 0}))
        assert refused == RowRefused("HTTP 422 Unprocessable Entity: Не найден атрибут nothing", recognised=True)
        assert rows(server, "select trim(const_value) from vpn_const where const_id = 1") == [("100",)]
        assert server.state()["quirks"] == [
            *("error_status=422", "too_long=cut", "list_errors=text", "money_scale=100")
        ]


async def test_addresses_that_are_taken_are_not_issued_until_a_pool_comes_to_its_end(billing_file: Path) -> None:
    async with served(billing_file) as (server, client):
        issue = get_set_save("Users", {"id": 324}, {"ip": ""}).asking("ip")
        first = (await answered(client, issue))["fields"]["ip"]
        ahead = first.rsplit(".", 1)[0] + f".{int(first.rsplit('.', 1)[1]) + 1}"
        await client.send(get_set_save("Users", {"id": 323}, {"ip": ahead}))
        assert (await answered(client, issue))["fields"]["ip"] not in {first, ahead}
        for number in range(254):
            await key_of(client, account(login=f"new{number}", pull=1050))
        assert rows(server, "select count(distinct ip), min(ip), max(ip) from users where pull = 1050") == [
            (254, 3325256705, 3325256958)
        ]
        refused = await client.send(account(pull=1050))
        assert isinstance(refused, RowRefused)
        assert "нет свободных адресов" in refused.text


async def test_a_billing_without_tables_of_names_takes_any_key(tmp_path: Path) -> None:
    create_billing(tmp_path / "billing.fdb", subscribers=100, seed=1, without=("IP_PULLS", "ATTRIBUTES", "OPERATORS"))
    async with served(tmp_path / "billing.fdb") as (_, client):
        await answered(client, attribute(attribute_id=77), account(pull=77), subscriber(operator_id=77))


# ---- what waits in a stack, and the licence ------------------------------------------------------------------------


async def test_a_new_subscriber_is_there_when_its_entry_is_applied_and_of_two_with_one_number_one(
    billing_file: Path,
) -> None:
    async with served(billing_file, stack_rate=NEVER) as (server, client):
        key, _ = [await key_of(client, subscriber()) for _ in range(2)]
        assert await client.ask(filter_("Abonents", {"contract_number": "Н-1"})) == []
        for call in (account(abonent_id=key), service(abonent_id=key), attribute(abonent_id=key)):
            evidence = await client.send(call)
            assert isinstance(evidence, RowRefused)
            assert "does not exist" in evidence.text
        server.stack_rate = 0
        await server.wait_for_stacks()
        assert rows(server, "select id from abonents where contract_number = 'Н-1'") == [(key,)]
        await answered(client, account(abonent_id=key))


@pytest.mark.parametrize("rate", [0.0, NEVER])
async def test_a_licence_runs_out_and_is_extended(billing_file: Path, rate: float) -> None:
    there = 1_000
    async with served(billing_file, licence=there + 2, stack_rate=rate) as (server, client):
        for _ in range(3):
            # What is refused takes no place.
            assert isinstance(await client.send(subscriber(contract_number="test")), RowRefused)
            assert isinstance(await client.send(subscriber(colour=1)), RowRefused)
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
        await answered(client, deleting("Abonents", 1392, clean_links=True), subscriber(contract_number="Н-3"))
        assert isinstance(await client.send(subscriber(contract_number="Н-4")), SystemRefused)


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


def test_effects_are_counted_by_subscriber_and_each_says_who_changed_what(
    session: MockConnection, billing_file: Path
) -> None:
    ((one, other),) = session.execute(
        "select first 1 min(id), max(id) from abonents where deleted = 0 and account_id is not null"
        " group by account_id having count(*) = 2"
    )
    for abonent, descr in ((one, "1"), (other, "1"), (other, "1"), (2004, "1"), (2004, "2")):
        enter(session, 8, "50.5", abonent, descr=descr, op_date="2024-01-01")
    call(session, "Users", "objects.get", {"id": 7}, "set", {"pull": 5}, "save", {})
    session.commit()
    # What is abandoned, and what is refused, is not in it.
    enter(session, 8)
    session.abandon()
    session.save_here()
    with pytest.raises(MockRefusal):
        enter(session, 8, abonent=89)
    session.go_back()
    session.commit()
    with Database(Dsn(str(billing_file))) as database:
        ledger = Ledger(database)
        assert ledger.totals() == [Total(OPERATIONS, 5, 3), Total("Users", 1, 1)]
        assert ledger.effects(OPERATIONS) == {one: 1, other: 2, 2004: 2}
        assert ledger.repeated(OPERATIONS) == {other: 2, 2004: 2}
        assert ledger.repeated("Users") == {}
    ((key, *entry, what),) = session.execute(
        f"select changed_key, request, methods, changed_table, what from mock_ledger where subject = {one}"  # noqa: S608
    )
    assert entry == [1, "objects.create", "finance_operations"]
    asked = {"abonent_id": one, "op_summa": "50.50", "op_type_id": 8, "descr": "1", "op_date": "2024-01-01 00:00:00"}
    assert json.loads(str(what)) == asked
    assert session.execute("select abonent_id from finance_operations where op_id = ?", (key,)) == [(one,)]


# ---- what is created and changed, and whose effect the ledger calls it -------------------------------------------

MORE: tuple[tuple[tuple[Next, ...], str, list[tuple[Any, ...]]], ...] = (
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
"""What is created and changed beside others, on one billing: each call has one effect."""


async def test_what_is_anothers_is_told_from_ones_own(mock_billing: MockBilling, client: BillingClient) -> None:
    for calls, query, stored in MORE:
        before = sum(total.effects for total in mock_billing.ledger.totals())
        await answered(client, *calls)
        assert rows(mock_billing, query) == stored, query
        assert sum(total.effects for total in mock_billing.ledger.totals()) == before + len(calls), query


# ---- what the billing does not do, in its own words: it changes nothing ------------------------------------------

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
    ("Не найден атрибут id__gt", filter_("Users", {"id__gt": 1})),
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
