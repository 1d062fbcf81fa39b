"""Subscribers read from the embedded Firebird 5 and from a Firebird 3 server."""

from decimal import Decimal

import pytest

from billing.database.database import Database, Dsn
from billing.directory import subscribers as abonents
from billing.directory.subscribers import Abonent, Suggestion
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
    assert [a.id for a in abonents.by_ids(either_database, wanted)] == wanted


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


def test_in_folder(either_database: Database) -> None:
    wanted = _ids(either_database, "and parent_id = 1000")
    pages = list(abonents.in_folder(either_database, 1000, size=100))
    assert [t.abonent_id for page in pages for t in page] == wanted
    assert len(pages) > 1
    assert all(t.account_id for page in pages for t in page)
    rest = list(abonents.in_folder(either_database, 1000, after=wanted[10]))
    assert [t.abonent_id for page in rest for t in page] == wanted[11:]


def test_a_folder_that_is_none_is_empty(either_database: Database) -> None:
    assert list(abonents.in_folder(either_database, 424242)) == []


@pytest.mark.parametrize("folder", [None, 1316])
def test_thresholds_that_differ_from_the_tariffs(either_database: Database, folder: int | None) -> None:
    found = [d for page in abonents.threshold_differences(either_database, folder, size=70) for d in page]
    wanted = {
        key: (of_tariff, of_account)
        for key, parent, of_tariff, of_account in either_database.query(
            "select a.id, a.parent_id, t.users_limit_warning, aa.limit_warning from abonents a"
            " join tarif t on t.id = a.tarif_id join admin_accounts aa on aa.id = a.account_id"
            " where a.is_folder = 0 and a.deleted = 0"
        )
        if of_tariff != of_account and folder in {None, parent}
    }
    assert [d.abonent_id for d in found] == sorted(wanted)
    assert any(d.of_account is None and d.of_tariff is not None for d in found), "an unset one differs"
    assert any(d.of_account is not None and d.of_tariff is None for d in found)
    for d in found:
        of_tariff, of_account = wanted[d.abonent_id]
        assert d.of_tariff == (None if of_tariff is None else Decimal(of_tariff) / 10**10)
        assert d.of_account == (None if of_account is None else Decimal(of_account) / 10**10)


def test_thresholds_and_balances_in_roubles(either_database: Database) -> None:
    ids = _ids(either_database)[:600]
    scaled = {
        key: (balance, warning)
        for key, balance, warning in either_database.query(
            "select a.id, aa.ostatok + aa.debit - aa.credit, aa.limit_warning"
            " from abonents a join admin_accounts aa on aa.id = a.account_id"
        )
    }
    balances = {b.abonent_id: b.balance for b in abonents.balances(either_database, ids)}
    thresholds = {t.abonent_id: t.limit_warning for t in abonents.thresholds(either_database, ids)}
    assert balances == {key: Decimal(scaled[key][0]) / 10**10 for key in ids}
    assert thresholds == {key: scaled[key][1] and Decimal(scaled[key][1]) / 10**10 for key in ids}


def test_suggestions_go_once_over_all_numbers(either_database: Database) -> None:
    cyrillic = next(
        n
        for _, n in either_database.query("select id, contract_number from abonents where contract_number like 'АБ%'")
    )
    typed = cyrillic.replace("А", "A", 1)
    found = abonents.suggestions(either_database, [typed, "ЖЖЖЖЖ"])
    assert found[typed][0] == Suggestion(cyrillic, "the same in Cyrillic letters")
    assert found["ЖЖЖЖЖ"] == []
