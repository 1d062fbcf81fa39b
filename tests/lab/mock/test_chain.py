"""Chains of methods, carried out as the real billing does."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from billing.database.dsn import Dsn
from lab.mock.chain import Chains, parse
from lab.mock.connection import MockConnection
from lab.mock.quirks import Quirks
from lab.mock.refusals import MockRefusal

Call = Callable[..., Any]
Steps = tuple[object, ...]


@pytest.fixture
def session(billing_file: Path) -> Iterator[MockConnection]:
    opened = MockConnection(Dsn(str(billing_file)))
    yield opened
    opened.close()


@pytest.fixture
def call(session: MockConnection) -> Call:
    return _caller(session)


def _caller(session: MockConnection, quirks: Quirks | None = None) -> Call:
    chains = Chains(session, quirks)

    def call(model: str, *steps: object, fields: list[str] | None = None) -> Any:
        form = {"fields": json.dumps(fields)} if fields is not None else {}
        for number, (method, arguments) in enumerate(zip(steps[::2], steps[1::2], strict=True), 1):
            form |= {f"method{number}": str(method), f"arg{number}": json.dumps(arguments, ensure_ascii=False)}
        session.save_here()
        try:
            return chains.carry_out(parse(model, form), 1)
        except MockRefusal:
            session.go_back()
            raise

    return call


def _balance(session: MockConnection, abonent: int) -> Decimal:
    ((balance,),) = session.execute(
        "select cast(aa.ostatok + aa.debit - aa.credit as bigint) from abonents a"
        " join admin_accounts aa on aa.id = a.account_id where a.id = ?",
        (abonent,),
    )
    return Decimal(balance) / 10**10


def _one(session: MockConnection, sql: str) -> Any:
    return session.execute(sql)[0][0]


def _operation(abonent: int, summa: object = "50.5", kind: int = 8) -> dict[str, object]:
    return {"abonent_id": abonent, "op_summa": summa, "op_type_id": kind, "descr": "Миграция балансов"}


@pytest.mark.parametrize(("mode", "wanted"), [("sets", "50.5"), ("adds", None)])
def test_an_opening_balance_sets_or_adds(
    session: MockConnection, mode: Literal["sets", "adds"], wanted: str | None
) -> None:
    before = _balance(session, 2001)
    answer = _caller(session, Quirks(type_8=mode))("FinanceOperations", "objects.create", _operation(2001))
    assert answer["model"] == "FinanceOperations"
    assert answer["fields"] | {"op_date": ""} == {
        "op_id": answer["pk"],
        "abonent_id": 2001,
        "op_type_id": 8,
        "op_summa": "50.50",
        "op_date": "",
        "descr": "Миграция балансов",
        "storno": 0,
        "sync1c": 0,
        "code1c": None,
        "number": None,
        "period_end_date": None,
        "operator_pay_id_str": None,
        "operator_name": None,
    }
    assert _balance(session, 2001) == (Decimal(wanted) if wanted else before + Decimal("50.5"))
    stored = session.execute("select op_summa, descr from finance_operations where op_id = ?", (answer["pk"],))
    assert stored == [(505_000_000_000, "Миграция балансов")]


def test_receipts_and_acts_move_the_balance(session: MockConnection, call: Call) -> None:
    before = _balance(session, 2001)
    call("FinanceOperations", "objects.create", _operation(2001, "100", 2))
    assert _balance(session, 2001) == before + 100
    call("FinanceOperations", "objects.create", _operation(2001, 30.5, 1))
    assert _balance(session, 2001) == before + Decimal("69.5")
    assert call("Abonents", "objects.get", {"id": "2001"}, "add_payment", {"SUM_IN": "0.01"}) is None
    assert _balance(session, 2001) == before + Decimal("69.51")


@pytest.mark.parametrize(
    ("kind", "moves"), [(1, "-100"), (2, "100"), *((kind, "0") for kind in (3, 4, 5, 6, 9, 10, 11, 12))]
)
def test_a_type_moves_the_balance_and_its_storno_takes_that_back(
    session: MockConnection, call: Call, kind: int, moves: str
) -> None:
    before = _balance(session, 2001)
    key = call("FinanceOperations", "objects.create", _operation(2001, "100", kind))["pk"]
    assert _balance(session, 2001) == before + Decimal(moves)
    call("FinanceOperations", "objects.get", {"op_id": key}, "storno", {})
    assert _balance(session, 2001) == before


def test_closing_a_balance_empties_debit(session: MockConnection, call: Call) -> None:
    call("FinanceOperations", "objects.create", _operation(2001, "7", 2))
    before = _balance(session, 2001)
    call("FinanceOperations", "objects.create", _operation(2001, "0", 4))
    debit = "select aa.debit from abonents a join admin_accounts aa on aa.id = a.account_id where a.id = 2001"
    assert (_one(session, debit), _balance(session, 2001)) == (0, before)


def _act(ends: str) -> dict[str, object]:
    return _operation(2001, "30", 1) | {"op_date": ends, "period_end_date": ends, "number": "17"}


def test_an_operation_in_a_closed_period_reverses_its_acts(session: MockConnection, call: Call) -> None:
    acts = [
        call("FinanceOperations", "objects.create", _act(ends))["pk"]
        for ends in ("2019-04-30", "2019-05-31", "2019-06-30", "2039-12-31")
    ]
    before = _balance(session, 2001)
    paid = call("FinanceOperations", "objects.create", _operation(2001, "5", 2) | {"op_date": "2019-05-10"})["pk"]
    assert _balance(session, 2001) == before + 5 + 2 * 30, "the acts of May and June"
    reversed_ = call("FinanceOperations", "objects.filter", {"abonent": 2001, "op_type": 1, "storno": 1})
    assert [act["pk"] for act in reversed_] == acts[1:3]
    logged = [what for (what,) in session.execute("select what from mock_ledger order by entry") if "log" in what]
    assert logged == [
        json.dumps(
            {"storno": 1, "log": f"Сторнирование акта №{act} для открытия периода из-за проводки с типом 2"},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for act in acts[1:3]
    ]
    call("FinanceOperations", "objects.create", _operation(2001, "5", 2))
    assert _balance(session, 2001) == before + 10 + 2 * 30, "an operation of today reopens nothing"
    assert paid not in acts


def test_a_billing_without_closed_periods_reverses_nothing(session: MockConnection) -> None:
    call = _caller(session, Quirks(closed_period="ignores"))
    call("FinanceOperations", "objects.create", _act("2019-05-31"))
    call("FinanceOperations", "objects.create", _operation(2001, "5", 2) | {"op_date": "2019-05-10"})
    assert call("FinanceOperations", "objects.filter", {"abonent": 2001, "storno": 1}) == []


def test_an_operation_is_found_by_its_keys_of_others(call: Call) -> None:
    keys = {"code1c": "2026_000017", "operator_pay_id_str": "qiwi-99", "operator_name": "QIWI"}
    key = call("FinanceOperations", "objects.create", _operation(2001, kind=2) | keys)["pk"]
    call("FinanceOperations", "objects.create", _operation(2001, kind=2) | {"code1c": "2026_000018"})
    for one in ({"code1c": "2026_000017"}, {"operator_pay_id_str": "qiwi-99", "operator_name": "QIWI"}):
        (found,) = call("FinanceOperations", "objects.filter", one, fields=[*keys])
        assert (found["pk"], found["fields"]) == (key, keys)


def test_the_details_of_an_act(session: MockConnection, call: Call) -> None:
    key = call("FinanceOperations", "objects.create", _act("2019-05-31"))["pk"]
    session.execute("insert into finance_details (id, op_id, price, vv) values (1, ?, 12.5, 2)", (key,))
    session.execute("insert into finance_details (id, op_id, price, vv) values (2, 0, 1, 1)")
    (detail,) = call("FinanceOperations", "objects.get", {"op_id": key}, "get_details", {}, fields=["price", "vv"])
    assert detail["fields"] == {"price": 12.5, "vv": 2.0}


def test_what_a_finance_operation_is_refused_for(session: MockConnection, call: Call) -> None:
    deleted = _one(session, "select first 1 id from abonents where deleted = 1")
    session.execute("update abonents set account_id = null where id = 2001")
    for operation, text in (
        (_operation(89), "Группе нельзя добавлять финансовую операцию"),
        (_operation(deleted), "Объект уже удалён"),
        (_operation(2001), "(?i)нет счета для проведения финансовой операции"),
        (_operation(999_999), "Abonents matching query does not exist"),
        (_operation(2002 if deleted != 2002 else 2003, kind=77), "FinanceOpTypes"),
        ({"abonent_id": 2001}, "op_type_id обязательно"),
        (_operation(2001, "five"), "Неверное значение 'five'"),
        (_operation(2001, "NaN"), "Неверное значение"),
        (_operation(2001) | {"colour": 1}, "Не найден атрибут colour"),
    ):
        with pytest.raises(MockRefusal, match=text):
            call("FinanceOperations", "objects.create", operation)
    assert _one(session, "select count(*) from finance_operations where op_type = 8") == 0
    assert _one(session, "select count(*) from mock_ledger") == 0


def test_get_needs_exactly_one(call: Call) -> None:
    assert call("Abonents", "objects.get", {"id": 2001})["pk"] == 2001
    with pytest.raises(MockRefusal, match="Abonents matching query does not exist"):
        call("Abonents", "objects.get", {"id": -1})
    with pytest.raises(MockRefusal, match="returned more than one Abonents -- it returned"):
        call("Abonents", "objects.get", {"parent_id": 89})
    assert call("Abonents", "objects.filter", {"id": -1}) == []


def test_filters_are_djangos(session: MockConnection, call: Call) -> None:
    def keys(**lookups: object) -> list[int]:
        return [found["pk"] for found in call("Users", "objects.filter", lookups)]

    def wanted(where: str) -> list[int]:
        joined = "users u join abonents a on a.id = u.abonent_id join tarif t on t.id = a.tarif_id"
        return [key for (key,) in session.execute(f"select u.id from {joined} where {where} order by 1")]  # noqa: S608 - ours

    assert keys(abonent__parent_id=1000) == wanted("a.parent_id = 1000")
    assert keys(abonent__tarif__name="Тариф 2", enabled=True) == wanted("t.name = 'Тариф 2' and u.enabled = 1")
    assert keys(id__range=[5, "9"]) == wanted("u.id between 5 and 9")
    assert keys(ip="10.0.0.7") == wanted("u.ip = 167772167") == [7]
    assert keys(pk=3) == keys(id__exact="3") == [3]
    assert keys(abonent=2001) == keys(abonent_id=2001)
    assert keys(abonent__range=["2001", 2003]) == wanted("u.abonent_id between 2001 and 2003")
    assert [user["pk"] for user in call("Users", "objects.all", {})] == wanted("1 = 1")
    assert keys(snatip="") == wanted("u.snatip is null")
    for bad in ({"id__in": [1]}, {"nothing": 1}, {"abonent__nothing": 1}, {"id__range": 5}, {"id__range": [1, "x"]}):
        with pytest.raises(MockRefusal, match=r"Не найден атрибут|Неверное значение"):
            keys(**bad)


def test_an_account_by_its_subscriber(session: MockConnection, call: Call) -> None:
    account = _one(session, "select account_id from abonents where id = 2003")
    assert call("AdminAccounts", "objects.get", {"account_id_abonents": "2003"})["pk"] == account
    step: Steps = (
        "objects.get",
        {"account_id_abonents": 2003},
        "set",
        {"limit_warning": "-12000", "limit": -5},
        "save",
        {},
    )
    assert call("AdminAccounts", *step) is None
    stored = session.execute('select limit_warning, "limit" from admin_accounts where id = ?', (account,))
    assert stored == [(-12_000 * 10**10, -5 * 10**10)]


def test_set_alone_changes_nothing(session: MockConnection, call: Call) -> None:
    before = session.execute("select * from users where id = 1")
    answer = call("Users", "objects.get", {"id": 1}, "set", {"pull": 99}, fields=["pull"])
    assert answer["fields"] == {"pull": 99}
    assert session.execute("select * from users where id = 1") == before
    assert _one(session, "select count(*) from mock_ledger") == 0


def test_fields_of_a_saved_object_and_of_what_it_refers_to(call: Call) -> None:
    step: Steps = ("objects.get", {"id": 1}, "set", {"ip": "", "pull": "6"}, "save", {})
    answer = call("Users", *step, fields=["ip", "pull", "abonent__tarif__name", "pk"])
    assert answer["fields"]["pull"] == 6
    assert answer["fields"]["ip"] not in {"", "10.0.0.1"}, "a pool issues a new address"
    tariff = answer["fields"]["abonent"]["fields"]["tarif"]
    assert tariff["model"] == "Tarif"
    assert tariff["fields"].keys() == {"name"}
    assert tariff["fields"]["name"].startswith("Тариф")
    whole = call("Abonents", "objects.get", {"id": 2001}, fields=["tarif", "abonent_id_users__ip"])["fields"]
    assert whole["tarif"]["fields"].keys() == {"id", "name", "users_limit_warning", "deleted"}
    assert [found["fields"] for found in whole["abonent_id_users"]] == [{"ip": answer["fields"]["ip"]}]
    with pytest.raises(MockRefusal, match="Не найден атрибут colour"):
        call("Users", "objects.get", {"id": 1}, fields=["colour"])


def test_what_cannot_be_assigned(call: Call) -> None:
    for model, name in (("AdminAccounts", "ostatok"), ("Abonents", "deleted"), ("Users", "id"), ("Users", "colour")):
        with pytest.raises(MockRefusal, match=f"Не найден атрибут {name}"):
            call(model, "objects.get", {"pk": 2001 if model == "Abonents" else 1}, "set", {name: 1}, "save", {})


def test_a_deleted_object_is_gone(session: MockConnection, call: Call) -> None:
    assert call("Users", "objects.get", {"id": 1}, "delete", {"clean_links": True}) is None
    assert _one(session, "select deleted from users where id = 1") == 1
    with pytest.raises(MockRefusal, match="Объект уже удалён"):
        call("Users", "objects.get", {"id": 1}, "delete", {})
    with pytest.raises(MockRefusal, match="Объект уже удалён"):
        call("Users", "objects.get", {"id": 1}, "save", {})
    with pytest.raises(MockRefusal, match="Объект уже удалён"):
        call("Users", "objects.get", {"id": 2}, "delete", {}, "save", {})
    history = _one(session, "select first 1 id from abonents_block_history")
    call("AbonentsBlockHistory", "objects.get", {"id": history}, "delete", {})
    assert session.execute("select id from abonents_block_history where id = ?", (history,)) == []


def test_a_contract_number_is_borne_by_one(session: MockConnection, call: Call) -> None:
    number = _one(session, "select contract_number from abonents where id = 2003")
    with pytest.raises(MockRefusal, match=r"(?i)номер договора уже закреплен"):
        call("Abonents", "objects.get", {"id": 2001}, "set", {"contract_number": number}, "save", {})
    call("Abonents", "objects.get", {"id": 2001}, "set", {"contract_number": "НОВЫЙ"}, "save", {})
    call("Abonents", "objects.get", {"id": 2001}, "set", {"contract_number": "НОВЫЙ"}, "save", {})


def test_dates_have_the_documented_shape(call: Call) -> None:
    values = {
        "own_disabled_start": "2019-06-01",
        "tarif_next_date": "2019-06-01 10:20:30",
        "create_date": "2019-06-01",
    }
    step: Steps = ("objects.get", {"id": 2001}, "set", values, "save", {})
    assert call("Abonents", *step, fields=list(values))["fields"] == values | {"create_date": "2019-06-01 00:00:00"}
    for bad in ("01.06.2019", "2019-13-01", 5):
        with pytest.raises(MockRefusal, match="Неверное значение"):
            call("Abonents", "objects.get", {"id": 2001}, "set", {"need_recalc": bad})


def test_services_are_connected_to_subscribers_only(call: Call) -> None:
    service = {"abonent_id": 2001, "usluga_id": 240, "manager_id": 33}
    answer = call("UsersUsluga", "objects.create", service)
    assert answer["fields"]["enabled"] == 1
    with pytest.raises(MockRefusal, match="Группе нельзя"):
        call("UsersUsluga", "objects.create", service | {"abonent_id": 89})


@pytest.mark.parametrize(
    ("model", "steps", "text"),
    [
        ("Nothing", ("objects.get", {}), "Не найдена модель Nothing"),
        ("Users", ("objects.last", {}), "Метод objects.last нельзя вызвать"),
        ("Users", ("save", {}), "Метод save нельзя вызвать"),
        ("Users", ("objects.get", {"id": 1}, "objects.get", {"id": 2}), "Метод objects.get нельзя вызвать"),
        ("Users", ("objects.all", {"id": 1}), "Не найден атрибут id"),
        ("Users", ("objects.filter", {}, "save", {}), "Метод save нельзя вызвать"),
        ("Users", ("objects.get", {"id": 1}, "add_payment", {"SUM_IN": 1}), "Метод add_payment нельзя вызвать"),
        ("Users", (), "Метод  нельзя вызвать"),
    ],
)
def test_models_and_methods_that_are_none(call: Call, model: str, steps: tuple[object, ...], text: str) -> None:
    with pytest.raises(MockRefusal, match=text):
        call(model, *steps)


def test_a_value_too_long_is_of_the_row_and_leaves_the_session_usable(session: MockConnection, call: Call) -> None:
    for length in (65, 300):
        with pytest.raises(MockRefusal, match=r"truncation|too long"):
            call("Abonents", "objects.get", {"id": 2001}, "set", {"contract_number": "x" * length}, "save", {})
    session.commit()
    assert call("Abonents", "objects.get", {"id": 2001}, fields=["id"])["fields"] == {"id": 2001}


def test_parsing_is_as_tolerant_as_the_real_one() -> None:
    chain = parse("Users", {"method1": "objects.get", "arg1": '{"id": 5}', "method2": "save", "method4": "delete"})
    assert chain.steps == (("objects.get", {"id": 5}), ("save", {}))
    assert chain.call == "objects.get.save"
    assert chain.writes
    assert not parse("Users", {"method1": "objects.filter"}).writes
    for form in (
        {"method1": "objects.get", "arg1": "{"},
        {"method1": "objects.get", "arg1": "[1]"},
        {"method1": "objects.get", "fields": '"ip"'},
    ):
        with pytest.raises(MockRefusal):
            parse("Users", form)


def test_the_version_needs_no_method(session: MockConnection) -> None:
    answer = Chains(session).carry_out(parse("Version", {"get_version": "True"}))
    assert isinstance(answer, dict)
    assert set(answer) == {"version", "time"}
