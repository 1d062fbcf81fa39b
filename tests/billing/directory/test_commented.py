"""Objects found by what their comments say."""

from billing.database.database import Database
from billing.directory.objects import commented

SERVICES = (
    "select id from users_usluga where abonent_id between 2001 and 2100 and comment like '%обещанный%' order by id"
)
OPERATIONS_OF = [(key, -1) for key in range(2001, 2601)]
RECEIPTS = (
    "select op_id from finance_operations where abonent_id between 2001 and 2600 and op_type = 2 order by op_id"
)


def test_services_deleted_ones_too(either_database: Database) -> None:
    found = commented(either_database, "UsersUsluga", [(key, 0) for key in range(2001, 2101)], "Обещанный")
    assert [int(thing.values["id"] or 0) for thing in found] == [key for (key,) in either_database.query(SERVICES)]
    assert found
    assert {thing.values["usluga_id"] for thing in found} == {"240"}
    assert all("обещанный" in str(thing.values["comment"]) and thing.account_id for thing in found)


def test_operations_of_more_subscribers_than_go_into_one_statement(either_database: Database) -> None:
    found = commented(either_database, "FinanceOperations", OPERATIONS_OF, "наличными")
    wanted = [key for (key,) in either_database.query(RECEIPTS)]
    assert sorted(int(thing.values["op_id"] or 0) for thing in found) == wanted
    assert all(thing.abonent_id is not None and 2001 <= thing.abonent_id <= 2600 for thing in found)
    assert commented(either_database, "FinanceOperations", OPERATIONS_OF, "[cm k7m2q/") == []
