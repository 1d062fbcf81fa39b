"""The ledger is written with the effect, or not at all."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from lab.mock.chain import Chain, Chains
from lab.mock.connection import MockConnection
from lab.mock.ledger import Ledger, Total, last_request
from lab.mock.refusals import MockRefusal


@pytest.fixture
def session(billing_file: Path) -> Iterator[MockConnection]:
    opened = MockConnection(Dsn(str(billing_file)))
    yield opened
    opened.close()


@pytest.fixture
def ledger(billing_file: Path) -> Iterator[Ledger]:
    with Database(Dsn(str(billing_file))) as database:
        yield Ledger(database)


def _create(session: MockConnection, abonent: int, request: int, descr: str = "run 1, item 5") -> None:
    values = {"abonent_id": abonent, "op_summa": "50.5", "op_type_id": 8, "descr": descr, "op_date": "2024-01-01"}
    Chains(session).carry_out(Chain("FinanceOperations", (("objects.create", values),)), request)


def test_effects_are_counted_by_subscriber(session: MockConnection, ledger: Ledger) -> None:
    for request, abonent in enumerate((2001, 2003, 2003), 1):
        _create(session, abonent, request)
    _create(session, 2004, 4)
    _create(session, 2004, 5, "run 1, item 6")
    user = Chain("Users", (("objects.get", {"id": 7}), ("set", {"pull": 5}), ("save", {})))
    Chains(session).carry_out(user, 6)
    session.commit()
    assert ledger.totals() == [Total("FinanceOperations", 5, 3), Total("Users", 1, 1)]
    assert ledger.effects("FinanceOperations") == {2001: 1, 2003: 2, 2004: 2}
    assert ledger.repeated("FinanceOperations") == {2003: 2, 2004: 2}
    assert ledger.repeated("FinanceOperations", same=True) == {2003: 2}, "2004 had two different ones"
    assert ledger.repeated("Users") == {}
    assert last_request(session) == 6


def test_an_entry_says_who_changed_what(session: MockConnection, ledger: Ledger) -> None:
    _create(session, 2001, 42)
    session.commit()
    (entry,) = ledger.entries("FinanceOperations", 2001)
    assert (entry.request, entry.methods, entry.table) == (42, "objects.create", "finance_operations")
    assert json.loads(entry.what) == {
        "abonent_id": 2001,
        "op_summa": "50.50",
        "op_type_id": 8,
        "descr": "run 1, item 5",
        "op_date": "2024-01-01 00:00:00",
    }
    (row,) = session.execute("select abonent_id from finance_operations where op_id = ?", (entry.key,))
    assert row == (2001,)


def test_what_is_not_kept_is_not_in_the_ledger(session: MockConnection, ledger: Ledger) -> None:
    _create(session, 2001, 1)
    session.abandon()
    session.save_here()
    with pytest.raises(MockRefusal):
        _create(session, 89, 2)
    session.go_back()
    session.commit()
    assert ledger.totals() == []


def test_a_second_subscriber_of_an_account_is_another_subject(session: MockConnection, ledger: Ledger) -> None:
    shared = session.execute(
        "select min(id), max(id) from abonents where deleted = 0 and account_id is not null"
        " group by account_id having count(*) = 2"
    )[0]
    for request, abonent in enumerate(shared, 1):
        _create(session, abonent, request)
    session.commit()
    assert ledger.effects("FinanceOperations") == dict.fromkeys(shared, 1)
