"""What is taken in a billing is read whole, with what is deleted, in both versions that the tests have."""

from ipaddress import IPv4Address

from billing.database.database import Database
from billing.directory.taken import accounts_taken, numbers_taken, pool_ranges
from lab.mock.people import POOLS


def test_all_contract_numbers_are_read_with_those_of_deleted_subscribers(either_database: Database) -> None:
    found = [one for page in numbers_taken(either_database) for one in page]
    sql = "select a.id, a.contract_number, a.deleted from abonents a where a.is_folder = 0 order by a.id"
    wanted = [(number, bool(deleted), str(key)) for key, number, deleted in either_database.query(sql) if number]
    assert [(one.number, one.deleted, one.abonent) for one in found] == wanted
    assert {one.deleted for one in found} == {True, False}


def test_all_accounts_are_read_with_their_subscribers(either_database: Database) -> None:
    found = [one for page in accounts_taken(either_database) for one in page]
    sql = (
        "select u.login, u.ip, u.deleted, a.id, a.contract_number from users u "
        "join abonents a on a.id = u.abonent_id order by u.id"
    )
    wanted = [
        (login, str(IPv4Address(ip)) if ip else "", bool(deleted), str(key), number or "")
        for login, ip, deleted, key, number in either_database.query(sql)
    ]
    assert [(one.login, one.address, one.deleted, one.abonent, one.number) for one in found] == wanted


def test_pools_have_their_ranges(either_database: Database) -> None:
    assert pool_ranges(either_database) == {str(key): (pool.first, pool.last) for key, pool in POOLS.items()}
