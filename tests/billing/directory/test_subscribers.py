"""Subscribers read from the embedded Firebird 5 and from a Firebird 3 server."""

from decimal import Decimal

import pytest

from billing.contract_numbers import Suggestion
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.directory import subscribers as abonents
from billing.directory.subscribers import Abonent
from lab.mock.connection import MockConnection
from lab.mock.people import FOLDERS

LIVE = "select id from abonents where is_folder = 0 and deleted = 0"


def _ids(database: Database, where: str = "") -> list[int]:
    return [key for (key,) in database.query(f"{LIVE} {where} order by id")]


def test_by_ids_gives_folders_and_deleted_ones_too(either_database: Database) -> None:
    ((deleted,),) = either_database.query("select first 1 id from abonents where deleted = 1 order by id")
    found = {a.id: a for a in abonents.by_ids(either_database, [89, deleted, 2001, 2001, 999_999_999])}
    assert found.keys() == {89, 2001, deleted}
    assert found[89] == Abonent(89, None, FOLDERS[89], None, True, False, None)
    assert found[deleted].deleted
    assert not found[2001].is_folder
    assert found[2001].account_id is not None


def test_more_ids_than_one_statement_takes(either_database: Database) -> None:
    wanted = _ids(either_database)
    assert len(wanted) == 1_000
    assert sorted(a.id for a in abonents.by_ids(either_database, wanted)) == wanted


def test_by_contract_numbers(either_database: Database) -> None:
    numbers = {
        number: key
        for key, number in either_database.query("select id, contract_number from abonents where is_folder = 0")
        if number
    }
    shapes = {
        "zero": next(n for n in numbers if n.startswith("0")),
        "cyrillic": next(n for n in numbers if n.startswith("АБ-")),
        "latin": next(n for n in numbers if "J" in n),
    }
    found = {a.contract_number for a in abonents.by_contract_numbers(either_database, shapes.values())}
    assert found == set(shapes.values())
    assert len({a.contract_number for a in abonents.by_contract_numbers(either_database, numbers)}) == len(numbers)


@pytest.mark.parametrize("number", ["x" * 65, "я" * 300, "", "' or '1'='1", "00001;", "%", "日本\U0001f600"])
def test_a_number_that_cannot_be_there_is_simply_not_found(either_database: Database, number: str) -> None:
    ((real,),) = either_database.query("select contract_number from abonents where id = 2001")
    assert [a.id for a in abonents.by_contract_numbers(either_database, [number, real])] == [2001]


def test_a_number_can_be_there_twice(billing_file: object) -> None:
    dsn = Dsn(str(billing_file))
    session = MockConnection(dsn)
    session.execute("update abonents set contract_number = 'TWICE', deleted = 1 where id = 2001")
    session.execute("update abonents set contract_number = 'TWICE', deleted = 0 where id = 2002")
    session.commit()
    session.close()
    with Database(dsn) as database:
        found = list(abonents.by_contract_numbers(database, ["TWICE"]))
    assert [(a.id, a.deleted) for a in found] == [(2001, True), (2002, False)]


def test_balances_in_roubles(either_database: Database) -> None:
    ids = _ids(either_database)[:600]
    scaled: dict[int, int] = dict(
        either_database.query(
            "select a.id, aa.ostatok + aa.debit - aa.credit"
            " from abonents a join admin_accounts aa on aa.id = a.account_id"
        )
    )
    balances = dict(abonents.balances(either_database, ids))
    assert balances == {key: Decimal(scaled[key]) / 10**10 for key in ids}


def test_suggestions_go_once_over_all_numbers(either_database: Database) -> None:
    cyrillic = next(
        n
        for _, n in either_database.query("select id, contract_number from abonents where contract_number like 'АБ%'")
    )
    typed = cyrillic.replace("А", "A", 1)
    found = abonents.suggestions(either_database, [typed, "ЖЖЖЖЖ"])
    assert found[typed][0] == Suggestion(cyrillic, "the same in Cyrillic letters")
    assert found["ЖЖЖЖЖ"] == []
