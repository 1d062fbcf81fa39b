"""What a subscriber, an account and a folder must be for the mock billing to take them, over a real socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.api.client import BillingClient, ClientSettings
from engine.evidence import Accepted, Evidence, RowRefused, SystemRefused
from lab.mock.population import create as create_billing
from lab.mock.quirks import Quirks
from lab.mock.server import MockBilling, running
from tests.billing.saving import get_set_save
from tests.lab.mock.calling import payment, rows

FOLDER = 1316
NESTED = 1400
"""Lies within 1000."""


def subscriber(**values: object) -> Call:
    return create("Abonents", **{"name": "Новый", "contract_number": "Н-1", "parent_id": FOLDER} | values)


def folder(**values: object) -> Call:
    return create("Abonents", **{"name": "Улица", "parent_id": 1000, "is_folder": 1} | values)


def account(**values: object) -> Call:
    return create("Users", **{"abonent_id": 94, "login": "new"} | values)


def service(**values: object) -> Call:
    return create("UsersUsluga", **{"abonent_id": 94, "usluga_id": 301, "manager_id": 33} | values)


def attribute(**values: object) -> Call:
    return create("AttributeValues", **{"abonent_id": 94, "attribute_id": 99, "attribute_value": "да"} | values)


@asynccontextmanager
async def served(
    file: Path, quirks: Quirks | None = None, **settings: Any
) -> AsyncIterator[tuple[MockBilling, BillingClient]]:
    async with (
        running(file, quirks=quirks, **settings) as server,
        BillingClient(ClientSettings(server.url)) as client,
    ):
        yield server, client


async def key_of(client: BillingClient, call: Call) -> int:
    """The id of what a call creates."""
    evidence = await client.send(call)
    assert isinstance(evidence, Accepted), evidence
    result: Any = evidence.result
    return int(result["pk"])


def deleting(model: str, key: int, **arguments: object) -> Call:
    return get(model, {"id": key}, ChainStep("delete", arguments))


REFUSED: tuple[tuple[str, Call], ...] = (
    ("Номер договора уже закреплен: test", subscriber(contract_number="test")),
    ("Поле name обязательно", subscriber(name=" ")),
    ("Поле contract_number обязательно", create("Abonents", name="Новый", parent_id=FOLDER)),
    ("Abonents matching query does not exist.", subscriber(parent_id=77)),
    ("Абонент 94 не является группой", subscriber(parent_id=94)),
    ("Tarif matching query does not exist.", subscriber(tarif_id=77)),
    ("Operators matching query does not exist.", subscriber(operator_id=77)),
    ("AdminAccounts matching query does not exist.", subscriber(account_id=99999)),
    ("Правильный формат: +79", subscriber(sms="+7 900 000-00-01")),
    ("expected length 64, actual 65", subscriber(contract_number="7" * 65)),
    ("expected length 255, actual 256", subscriber(name="Я" * 256)),
    ("У группы не может быть поля contract_number", folder(contract_number="Н-2")),
    ("У группы не может быть поля account_id", folder(account_id=1)),
    ("У группы не может быть поля contract_number", get_set_save("Abonents", {"id": 89}, {"contract_number": "Н"})),
    ("Поле name обязательно", folder(name="")),
    ("Группа не может быть вложена в саму себя", get_set_save("Abonents", {"id": 1000}, {"parent_id": NESTED})),
    ("Группа не может быть вложена в саму себя", get_set_save("Abonents", {"id": 1000}, {"parent_id": 1000})),
    ("Абонент 94 не является группой", get_set_save("Abonents", {"id": 1392}, {"parent_id": 94})),
    ("На объект ссылаются: Abonents", deleting("Abonents", 1000, clean_links=True)),
    ("Группе нельзя добавлять финансовую операцию", payment(abonent_id=89)),
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
    ("Usluga matching query does not exist.", service(usluga_id=77)),
    ("DjangoUsersProfile matching query does not exist.", service(manager_id=77)),
    ("Поле usluga_id обязательно", create("UsersUsluga", abonent_id=94, manager_id=33)),
    ("Поле manager_id обязательно", create("UsersUsluga", abonent_id=94, usluga_id=301)),
    ("Не найден атрибут 77", attribute(attribute_id=77)),
    ("Поле attribute_id обязательно", create("AttributeValues", abonent_id=94, attribute_value="да")),
    ("expected length 255, actual 256", attribute(attribute_value="1" * 256)),
)  # fmt: skip


async def test_what_is_refused_leaves_nothing(mock_billing: MockBilling, client: BillingClient) -> None:
    for text, call in REFUSED:
        evidence = await client.send(call)
        assert isinstance(evidence, RowRefused), (call, evidence)
        assert text in evidence.text, call
    assert mock_billing.ledger.totals() == []


TAKEN: tuple[tuple[Call, str, list[tuple[object, ...]]], ...] = (
    (
        folder(),
        "select parent_id, contract_number, account_id from abonents where name = 'Улица' and is_folder = 1",
        [(1000, None, None)],
    ),
    (
        subscriber(parent_id=NESTED, tarif_id=3, operator_id=1444, sms="+79001234567", a_home_number="12/2"),
        "select parent_id, tarif_id, operator_id, a_home_number from abonents where contract_number = 'Н-1'",
        [(NESTED, 3, 1444, "12/2")],
    ),
    (
        account(ip="198.51.100.254", pull=1050, mac="02:aB:00:00:00:01"),
        "select ip - 3325256704, pull, mac from users where login = 'new'",
        [(254, 1050, "02:aB:00:00:00:01")],
    ),
    (
        account(pull=1040),
        "select iif(u.ip between 2886729729 and 2887778302, 1, 0) from users u where u.login = 'new'",
        [(1,)],
    ),
    (service(), "select enabled from users_usluga where abonent_id = 94 and usluga_id = 301", [(1,)]),
    (attribute(), "select attribute_value from attribute_values where abonent_id = 94", [("да",)]),
    # Its own number, login and address are not another's.
    (
        get_set_save("Abonents", {"id": 1111}, {"contract_number": "test", "parent_id": 89}),
        "select parent_id from abonents where id = 1111",
        [(89,)],
    ),
    (
        get_set_save("Users", {"id": 4084}, {"login": "user4084", "ip": "127.1.2.3"}),
        "select enabled from users where id = 4084",
        [(1,)],
    ),
)  # fmt: skip


@pytest.mark.parametrize(("call", "query", "stored"), TAKEN, ids=range(len(TAKEN)))
async def test_what_is_taken(
    mock_billing: MockBilling, client: BillingClient, call: Call, query: str, stored: list[tuple[object, ...]]
) -> None:
    evidence = await client.send(call)
    assert isinstance(evidence, Accepted), evidence
    assert rows(mock_billing, query) == stored
    assert [total.effects for total in mock_billing.ledger.totals()] == [1]


async def test_what_a_row_refers_to_is_not_deleted(billing_file: Path) -> None:
    referring: tuple[tuple[Call, Callable[[int], Call]], ...] = (
        (folder(), lambda key: subscriber(parent_id=key)),
        (create("Tarif", name="Старый"), lambda key: subscriber(tarif_id=key)),
        (create("Usluga", name="Старая"), lambda key: service(usluga_id=key)),
    )
    async with served(billing_file) as (_, client):
        for made, call in referring:
            key = await key_of(client, made)
            assert isinstance(await client.send(deleting(made.model, key)), Accepted)
            assert await client.send(call(key)) == RowRefused("Объект уже удалён", recognised=True)


async def test_a_folder_is_deleted_when_it_is_empty_again(client: BillingClient) -> None:
    key = await key_of(client, folder())
    inside = await key_of(client, subscriber(parent_id=key))
    assert await client.send(deleting("Abonents", key)) == RowRefused(
        "На объект ссылаются: Abonents", recognised=True
    )
    for one in (inside, key):
        assert isinstance(await client.send(deleting("Abonents", one)), Accepted)


async def test_what_belongs_to_a_subscriber_holds_it(mock_billing: MockBilling, client: BillingClient) -> None:
    key = await key_of(client, subscriber())
    for call in (account(abonent_id=key), service(abonent_id=key)):
        thing = await key_of(client, call)
        held = await client.send(deleting("Abonents", key))
        assert isinstance(held, RowRefused)
        assert "На объект ссылаются" in held.text
        assert isinstance(await client.send(deleting(call.model, thing)), Accepted)
    assert isinstance(await client.send(deleting("Abonents", key)), Accepted)
    # What its money was stays, as its history does.
    kept = f"select count(*) from admin_accounts where id = (select account_id from abonents where id = {key})"  # noqa: S608 - a key
    assert rows(mock_billing, kept) == [(1,)]


@pytest.mark.parametrize(("numbers", "again"), [("free", Accepted), ("held", RowRefused)])
async def test_numbers_of_what_is_deleted(billing_file: Path, numbers: Any, again: type[Evidence]) -> None:
    async with served(billing_file, Quirks(deleted_numbers=numbers)) as (_, client):
        key = await key_of(client, subscriber())
        await key_of(client, account(abonent_id=key))
        assert isinstance(await client.send(deleting("Abonents", key, clean_links=True)), Accepted)
        assert isinstance(await client.send(subscriber()), again)
        assert isinstance(await client.send(account()), again)


async def test_a_text_that_is_cut(billing_file: Path) -> None:
    async with served(billing_file, Quirks(too_long="cut")) as (server, client):
        assert isinstance(await client.send(subscriber(name="Я" * 300)), Accepted)
        assert rows(server, "select char_length(name) from abonents where contract_number = 'Н-1'") == [(255,)]


async def test_a_pool_comes_to_its_end(billing_file: Path) -> None:
    async with served(billing_file) as (server, client):
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
        for call in (attribute(attribute_id=77), account(pull=77), subscriber(operator_id=77)):
            assert isinstance(await client.send(call), Accepted)


# ---- the stacks -------------------------------------------------------------------------------------------------


async def test_a_new_subscriber_is_there_when_its_entry_is_applied(billing_file: Path) -> None:
    async with served(billing_file, stack_rate=0.001) as (server, client):
        key = await key_of(client, subscriber())
        found = filter_("Abonents", {"contract_number": "Н-1"})
        assert await client.ask(found) == []
        for call in (account(abonent_id=key), service(abonent_id=key), attribute(abonent_id=key)):
            evidence = await client.send(call)
            assert isinstance(evidence, RowRefused)
            assert "does not exist" in evidence.text
        server.stack_rate = 0
        await server.wait_for_stacks()
        assert rows(server, "select id from abonents where contract_number = 'Н-1'") == [(key,)]
        assert isinstance(await client.send(account(abonent_id=key)), Accepted)


async def test_of_two_that_wait_with_one_number_the_second_has_no_effect(billing_file: Path) -> None:
    async with served(billing_file, stack_rate=0.001) as (server, client):
        first, _ = [await key_of(client, subscriber()) for _ in range(2)]
        server.stack_rate = 0
        await server.wait_for_stacks()
        assert rows(server, "select id from abonents where contract_number = 'Н-1'") == [(first,)]


# ---- the licence ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.001])
async def test_a_licence_runs_out_and_is_extended(billing_file: Path, rate: float) -> None:
    there = 1_000
    async with served(billing_file, licence=there + 2, stack_rate=rate) as (server, client):
        for number in range(2):
            assert isinstance(await client.send(subscriber(contract_number=f"Н-{number}")), Accepted)
        refused = await client.send(subscriber(contract_number="Н-2"))
        assert isinstance(refused, SystemRefused), refused
        assert "Превышена лицензия" in refused.text
        # Folders are free, and what is there is changed as before.
        assert isinstance(await client.send(folder()), Accepted)
        assert isinstance(await client.send(get_set_save("Abonents", {"id": 94}, {"name": "Иной"})), Accepted)
        server.licence = there + 3
        assert isinstance(await client.send(subscriber(contract_number="Н-2")), Accepted)
        assert isinstance(await client.send(subscriber(contract_number="Н-3")), SystemRefused)
        server.stack_rate = 0
        await server.wait_for_stacks()
        assert rows(server, "select count(*) from abonents where is_folder = 0 and deleted = 0") == [(there + 3,)]


async def test_who_is_deleted_makes_room(billing_file: Path) -> None:
    async with served(billing_file, licence=1_000) as (_, client):
        assert isinstance(await client.send(subscriber()), SystemRefused)
        assert isinstance(await client.send(deleting("Abonents", 94, clean_links=True)), Accepted)
        assert isinstance(await client.send(subscriber()), Accepted)
        assert isinstance(await client.send(subscriber(contract_number="Н-2")), SystemRefused)


async def test_a_refused_call_takes_no_place(billing_file: Path) -> None:
    async with served(billing_file, licence=1_001) as (_, client):
        for _ in range(3):
            assert isinstance(await client.send(subscriber(contract_number="test")), RowRefused)
            assert isinstance(await client.send(subscriber(colour=1)), RowRefused)
        assert isinstance(await client.send(subscriber()), Accepted)
