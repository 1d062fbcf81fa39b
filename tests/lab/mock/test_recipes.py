"""The thirty recipes of the billing's API, each over a real socket, checked in the database and the ledger."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.api.calls import Call, ChainStep, create, filter_, get
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
    with_suid,
)

SCALE = 10**10
ACCOUNT = -1
"""Stands for the account of subscriber 94, whose id depends on the population."""
OF_94 = "from admin_accounts aa join abonents a on a.account_id = aa.id where a.id = 94"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is called, what is in the database then, whose effects the ledger has, and what the last answer is."""

    number: int
    calls: tuple[Next, ...]
    query: str = ""
    stored: list[tuple[Any, ...]] = field(default_factory=list)
    effects: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    answers: Callable[[Any], object] = lambda _: True


def _has_pks(*keys: int) -> Callable[[Any], object]:
    return lambda result: [found["pk"] for found in result] == list(keys)


_OPENING = {"op_type_id": 8, "descr": "Миграция балансов"}
_OPENED = "select aa.balance, f.op_summa from finance_operations f join abonents a on a.id = f.abonent_id join "
_OPENED += "admin_accounts aa on aa.id = a.account_id where f.abonent_id = 1111 and f.op_type = 8"
_BOTH: list[tuple[Any, ...]] = [(505_000_000_000, 505_000_000_000)]

RECIPES = (
    Recipe(1, (payment(**_OPENING),), _OPENED, _BOTH, {"FinanceOperations": {1111: 1}}),
    Recipe(
        2,
        (
            get("Abonents", {"contract_number": "test"}).asking("id"),
            lambda abonent: payment(**_OPENING, abonent_id=abonent["fields"]["id"]),
        ),
        _OPENED,
        _BOTH,
        {"FinanceOperations": {1111: 1}},
    ),
    Recipe(
        3,
        (get_set_save("AdminAccounts", {"account_id_abonents": "94"}, {"limit_warning": "-12000"}),),
        f"select aa.limit_warning {OF_94}",
        [(-12_000 * SCALE,)],
        {"AdminAccounts": {ACCOUNT: 1}},
    ),
    Recipe(
        4,
        (get_set_save("AdminAccounts", {"account_id_abonents": 94}, {"limit_warning": Decimal("-100.00")}),),
        f"select aa.limit_warning {OF_94}",
        [(-100 * SCALE,)],
        {"AdminAccounts": {ACCOUNT: 1}},
    ),
    Recipe(
        5,
        (get_set_save("AdminAccounts", {"account_id_abonents": 94}, {"limit": "451.00"}),),
        f'select aa."limit" {OF_94}',
        [(451 * SCALE,)],
        {"AdminAccounts": {ACCOUNT: 1}},
    ),
    Recipe(
        6,
        (get_set_save("Users", {"id": 324}, {"snatip": "", "snat_pull": "1030"}),),
        "select snatip, snat_pull from users where id = 324",
        [(None, 1030)],
        {"Users": {324: 1}},
    ),
    Recipe(
        7,
        (get_set_save("Users", {"id": 324}, {"ip": "", "pull": "6"}).asking("ip", "pull"),),
        # The address after the last one that was issued.
        "select u.pull, u.ip - max(o.ip) from users u, users o where u.id = 324 and o.id <> 324 and o.ip < 1000000000"
        " group by u.pull, u.ip",
        [(6, 1)],
        {"Users": {324: 1}},
        lambda result: result["fields"]["pull"] == 6 and result["fields"]["ip"].startswith("10.0."),
    ),
    Recipe(
        8,
        (create("UsersUsluga", abonent_id=1111, usluga_id=240, manager_id=33),),
        "select usluga_id, manager_id, enabled, deleted from users_usluga where abonent_id = 1111",
        [(240, 33, 1, 0)],
        {"UsersUsluga": {1111: 1}},
    ),
    Recipe(9, (filter_("DjangoUsersProfile"),), answers=_has_pks(1, 33, 34)),
    Recipe(
        10,
        (
            get("Users", {"abonent_id": "94"}, ChainStep("get_or_create_dynamic_session")),
            with_suid("web_cabinet.get_usluga_list", get_user_uslugas_all=1),
        ),
        "select user_id from cabinet_sessions",
        [(4084,)],
        {"CabinetSessions": {4084: 1}},
        lambda result: (
            [each["pk"] for each in result[0][0]] == [126, 127, 128]
            and [each["usluga_id"] for each in result[0][1]] == [127]
        ),
    ),
    Recipe(
        11,
        (
            filter_("UsersUsluga", {"abonent_id": 1392}, "comment"),
            lambda found: get("UsersUsluga", {"id": str(found[0]["pk"])}, ChainStep("delete")),
        ),
        "select deleted from users_usluga where abonent_id = 1392",
        [(1,)],
        {"UsersUsluga": {1392: 1}},
    ),
    Recipe(
        12,
        (get("Users", {"id": 4084}, ChainStep("set_password", {"psw": "1234", "dontshow": False})),),
        "select psw from users where id = 4084 and psw_hash is not null",
        [("1234",)],
        {"Users": {4084: 1}},
    ),
    Recipe(
        13,
        (
            get_set_save("Users", {"id": 4084}, {"psw": ""}),
            get("Users", {"id": 4084}, ChainStep("save")).asking("psw"),
        ),
        "select char_length(psw), char_length(psw_hash) from users where id = 4084",
        [(10, 64)],
        {"Users": {4084: 2}},
        lambda result: len(result["fields"]["psw"]) == 10,
    ),
    Recipe(
        14,
        (Call("Users", (ChainStep("web_cabinet.reset_password", {"login": "user4084", "base_url": "http://lk/"}),)),),
        "select user_id, base_url from password_recoveries",
        [(4084, "http://lk/")],
        {"PasswordRecoveries": {4084: 1}},
        lambda result: result == [{"result": "ok", "uid": 4084}],
    ),
    Recipe(
        15,
        (get_set_save("Abonents", {"id": 94}, {"operator_id": 1444}),),
        "select operator_id from abonents where id = 94",
        [(1444,)],
        {"Abonents": {94: 1}},
    ),
    Recipe(
        16,
        (session_of(6242), with_suid("get_user_by_suid")),
        effects={"CabinetSessions": {6242: 1}},
        answers=lambda result: (
            result["pk"] == 6242 and result["fields"]["login"] == "user6242" and "psw" not in result["fields"]
        ),
    ),
    Recipe(
        17,
        (filter_("Users", {"abonent__account__balance__range": ["-12", "-12"]}, "login", "ip"),),
        answers=lambda result: [each["fields"] for each in result] == [{"login": "user4084", "ip": "127.1.2.3"}],
    ),
    Recipe(18, (filter_("Abonents", {"abonent_id_users__ip": "127.1.2.3"}, "id"),), answers=_has_pks(94)),
    Recipe(
        19,
        (
            get_set_save(
                "AbonentsBlockHistory",
                {"id": 118},
                {"time_changed": "2019-06-01 00:00:00", "time_del": datetime(2019, 6, 1)},  # noqa: DTZ001 - as there
            ),
        ),
        "select time_changed, time_del from abonents_block_history where id = 118",
        [(datetime(2019, 6, 1), datetime(2019, 6, 1))],  # noqa: DTZ001 - the same
        {"AbonentsBlockHistory": {94: 1}},
    ),
    Recipe(
        20,
        (get_set_save("Abonents", {"id": "1392"}, {"need_recalc": month(5)}),),
        "select need_recalc from abonents where id = 1392",
        [(month(5),)],
        {"Abonents": {1392: 1}},
    ),
    Recipe(21, (filter_("Abonents", {"sms": "+71234567899"}),), answers=_has_pks(1111)),
    Recipe(
        22,
        (session_of(12346), lambda _: get("Users", {"id": 12346}, ChainStep("delete", {"clean_links": True}))),
        "select u.deleted, (select count(*) from cabinet_sessions) from users u where u.id = 12346",
        [(1, 0)],
        {"Users": {12346: 1}, "CabinetSessions": {12346: 2}},
    ),
    Recipe(
        23,
        (get_set_save("Usluga", {"id": "105"}, {"operator_id": "1444"}),),
        "select operator_id from usluga where id = 105",
        [(1444,)],
        {"Usluga": {105: 1}},
    ),
    Recipe(
        24,
        (
            get_set_save(
                "UsersUsluga",
                {"abonent_id": 94, "usluga_id": "127"},
                {"next_date": "2020-09-13 00:00:00"},
                save={"allow_set_none_manager": True},
            ),
        ),
        "select next_date from users_usluga where abonent_id = 94",
        [(datetime(2020, 9, 13),)],  # noqa: DTZ001 - the same
        {"UsersUsluga": {94: 1}},
    ),
    Recipe(
        25,
        (get_set_save("Abonents", {"id": 94}, {"tarif_next_id": "3", "tarif_next_date": "2031-03-01"}),),
        "select tarif_id, tarif_next_id, tarif_next_date from abonents where id = 94",
        [(2, 3, datetime(2031, 3, 1))],  # noqa: DTZ001 - the same
        {"Abonents": {94: 1}},
    ),
    Recipe(
        26,
        (get_set_save("Abonents", {"id": 94}, {"tarif_id": 4}).asking("tarif__name"),),
        "select tarif_id from abonents where id = 94",
        [(4,)],
        {"Abonents": {94: 1}},
        lambda result: result["fields"]["tarif"]["fields"] == {"name": "Тариф 4"},
    ),
    Recipe(
        27,
        (get("Abonents", {"id": 94}, ChainStep("add_payment", {"SUM_IN": Decimal("12.34")})),),
        f"select aa.balance, aa.debit {OF_94}",
        [(3_400_000_000, 123_400_000_000)],
        {"FinanceOperations": {94: 1}},
    ),
    Recipe(
        28,
        (
            get_set_save(
                "Abonents", {"id": 94}, {"own_disabled_start": "2031-06-01", "own_disabled_end": date(2031, 6, 15)}
            ),
        ),
        "select own_disabled_start, own_disabled_end from abonents where id = 94",
        [(date(2031, 6, 1), date(2031, 6, 15))],
        {"Abonents": {94: 1}},
    ),
    Recipe(
        29,
        (create("AttributeValues", abonent_id=94, attribute_id="1012", attribute_value="телеграм"),),
        "select attribute_id, attribute_value from attribute_values where abonent_id = 94",
        [(1012, "телеграм")],
        {"AttributeValues": {94: 1}},
    ),
    Recipe(
        30,
        (
            payment(),
            lambda operation: get_set_save(
                "FinanceOperations", {"pk": operation["pk"]}, {"sync1c": 1, "code1c": "00-000017"}
            ),
        ),
        "select sync1c, code1c, op_summa from finance_operations where abonent_id = 1111",
        [(1, "00-000017", 505_000_000_000)],
        {"FinanceOperations": {1111: 2}},
    ),
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


def test_there_are_thirty() -> None:
    assert [recipe.number for recipe in RECIPES] == list(range(1, 31))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe.number))
async def test_a_recipe(mock_billing: MockBilling, client: BillingClient, recipe: Recipe) -> None:
    result = await answered(client, *recipe.calls)
    assert recipe.answers(result), result
    if recipe.query:
        assert rows(mock_billing, recipe.query) == recipe.stored
    ((account,),) = rows(mock_billing, "select account_id from abonents where id = 94")
    done = {total.model: mock_billing.ledger.effects(total.model) for total in mock_billing.ledger.totals()}
    assert done == {
        model: {account if subject == ACCOUNT else subject: times for subject, times in effects.items()}
        for model, effects in recipe.effects.items()
    }


async def test_what_an_import_creates(mock_billing: MockBilling, client: BillingClient) -> None:
    for calls, query, stored in MORE:
        before = sum(total.effects for total in mock_billing.ledger.totals())
        await answered(client, *calls)
        assert rows(mock_billing, query) == stored, query
        assert sum(total.effects for total in mock_billing.ledger.totals()) == before + len(calls), query
