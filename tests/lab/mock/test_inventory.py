"""What the mock billing holds of its subscribers, read from its tables."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from lab.mock.chain import Chain, Chains
from lab.mock.connection import MockConnection
from lab.mock.inventory import HeldTotal, by_number, folders, orphans, subscribers, totals
from tests.conftest import ABONENTS

NEW = {"name": "Новый", "contract_number": "Н-1", "parent_id": 1400, "tarif_id": 3, "operator_id": 1444}


@pytest.fixture
def session(billing_file: Path) -> Iterator[MockConnection]:
    opened = MockConnection(Dsn(str(billing_file)))
    yield opened
    opened.close()


def created(session: MockConnection, model: str, **values: object) -> int:
    answer = Chains(session).carry_out(Chain(model, (("objects.create", values),)), 1)
    session.commit()
    assert isinstance(answer, dict)
    return int(answer["pk"])


def test_a_subscriber_with_all_that_belongs_to_it(session: MockConnection, billing_file: Path) -> None:
    key = created(session, "Abonents", **NEW)
    for login in ("b", "a"):
        created(session, "Users", abonent_id=key, login=login, pull=1050, mac="02:00:00:00:00:01")
    for service in (301, 126, 126):
        created(session, "UsersUsluga", abonent_id=key, usluga_id=service, manager_id=33)
    created(session, "AttributeValues", abonent_id=key, attribute_id=99, attribute_value="да")
    created(session, "FinanceOperations", abonent_id=key, op_type_id=8, op_summa="-12.50")
    with Database(Dsn(str(billing_file))) as database:
        ((one,),) = by_number(database, key - 1).values()
        named = folders(database)
    assert (one.id, one.name, one.folder, one.tariff, one.operator) == (key, "Новый", 1400, 3, 1444)
    first, second = one.accounts
    assert (first.login, second.login, first.mac, first.pool) == ("b", "a", "02:00:00:00:00:01", 1050)
    assert first.address.startswith("198.51.100.")
    assert (one.services, one.attributes) == ((301, 126, 126), ((99, "да"),))
    assert (one.balance, one.operations) == (Decimal("-12.5"), ((8, Decimal("-12.5")),))
    assert named[1400] == ("Многоквартирные дома", "Новостройки")


def test_each_is_told_with_what_is_its_own(database: Database) -> None:
    held = {one.id: one for one in subscribers(database)}
    assert len(held) == ABONENTS
    assert list(held) == sorted(held)
    query = (
        "select u.abonent_id, u.login from users u join abonents a on a.id = u.abonent_id"
        " where u.deleted = 0 and a.deleted = 0"
    )
    logins = [(one.id, account.login) for one in held.values() for account in one.accounts]
    assert sorted(logins) == sorted(database.query(query))
    services = [(one.id, service) for one in held.values() for service in one.services]
    assert sorted(services) == sorted(
        database.query(query.replace("users u", "users_usluga u").replace("login", "usluga_id"))
    )


def test_counts_and_sums_by_folder(database: Database) -> None:
    by_folder = totals(subscribers(database), lambda one: one.folder)
    query = (
        "select a.parent_id, count(*), cast(sum(aa.balance) as numeric(18,0)) from abonents a"
        " join admin_accounts aa on aa.id = a.account_id where a.is_folder = 0 and a.deleted = 0 group by 1"
    )
    asked = {key: HeldTotal(count, Decimal(summa) / 10**10) for key, count, summa in database.query(query)}
    assert by_folder == asked


def test_what_is_without_its_subscriber_or_folder_is_counted(session: MockConnection, database: Database) -> None:
    assert orphans(database) == {}
    session.execute("update abonents set deleted = 1 where id = 1392 or id = 89")
    session.commit()
    found = orphans(database)
    assert (found["users"], found["users_usluga"]) == (2, 1)
    assert found["abonents"] > ABONENTS // 5
