"""The made-up billing is what real ones are, and always the same one."""

from pathlib import Path

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.errors import DatabaseError
from lab.mock.population import create
from tests.conftest import ABONENTS

TABLES = (
    "vpn_const",
    "operators",
    "django_users_profile",
    "tarif",
    "usluga",
    "ip_pulls",
    "attributes",
    "tarif_users_usluga",
    "admin_accounts",
    "abonents",
    "users",
    "users_usluga",
    "finance_operations",
    "abonents_block_history",
    "attribute_values",
)
LIVE = "is_folder = 0 and deleted = 0"


def _count(database: Database, table: str, where: str = "1 = 1") -> int:
    ((count,),) = database.query(f"select count(*) from {table} where {where}")  # noqa: S608 - names of ours
    assert isinstance(count, int)
    return count


def _all(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with Database(Dsn(str(path))) as database:
        return {table: list(database.query(f"select * from {table} order by 1")) for table in TABLES}  # noqa: S608 - names of ours


def test_as_many_can_receive_a_balance_as_were_asked_for(either_database: Database) -> None:
    assert _count(either_database, "abonents", f"{LIVE} and account_id is not null") == ABONENTS


def test_it_is_as_real_ones_are(either_database: Database) -> None:
    assert [key for (key,) in either_database.query("select id from abonents where is_folder = 1 order by id")] == [
        89,
        1000,
        1316,
        1400,
    ]
    assert 10 <= _count(either_database, "abonents", "deleted = 1") <= 60
    shared = list(
        either_database.query(f"select account_id from abonents where {LIVE} group by 1 having count(*) > 1")  # noqa: S608 - names of ours
    )
    assert 2 <= len(shared) <= 30
    for pattern in ("%J%", "АБ-%", "0%"):
        assert _count(either_database, "abonents", f"contract_number like '{pattern}'") > 50
    assert _count(either_database, "finance_operations", "op_type = 1") > 100
    assert _count(either_database, "finance_operations", "op_type = 2") > 50
    assert _count(either_database, "finance_operations", "op_type = 8") == 0
    assert list(either_database.query("select const_value from vpn_const where const_id = 1")) == [("10000000000",)]


def test_money_adds_up(either_database: Database) -> None:
    for kind, column in ((2, "debit"), (1, "credit")):
        ((of_operations, of_accounts),) = either_database.query(
            f"select (select cast(sum(op_summa) as numeric(18,0)) from finance_operations where op_type = {kind}),"  # noqa: S608 - names of ours
            f" (select cast(sum({column}) as numeric(18,0)) from admin_accounts) from rdb$database"
        )
        assert of_operations == of_accounts


def test_live_contract_numbers_are_unique(either_database: Database) -> None:
    repeated = f"select contract_number from abonents where {LIVE} group by 1 having count(*) > 1"  # noqa: S608 - names of ours
    assert list(either_database.query(repeated)) == []


@pytest.mark.parametrize(
    ("table", "column", "named"),
    [
        ("abonents", "tarif_id", "tarif"),
        ("abonents", "operator_id", "operators"),
        ("users", "pull", "ip_pulls"),
        ("users_usluga", "usluga_id", "usluga"),
        ("users_usluga", "manager_id", "django_users_profile"),
        ("attribute_values", "attribute_id", "attributes"),
    ],
)
def test_each_id_that_is_in_use_has_a_name(either_database: Database, table: str, column: str, named: str) -> None:
    in_use = {key for (key,) in either_database.query(f"select distinct {column} from {table}")} - {None}  # noqa: S608 - names of ours
    names: dict[int, str] = dict(either_database.query(f"select id, name from {named}"))  # noqa: S608 - the same
    assert in_use <= names.keys()
    assert all(names.values())


def test_addresses_lie_in_their_pools(either_database: Database) -> None:
    pools = either_database.query(
        "select count(*), sum(iif(u.ip between p.first_ip and p.last_ip, 1, 0)) from users u join ip_pulls p on"
        " p.id = u.pull"
    )
    ((accounts, within),) = pools
    assert accounts == within > ABONENTS


def test_the_same_seed_gives_the_same_rows(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.fdb" for number in range(3)]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        create(path, subscribers=200, seed=seed)
    first, second, other = map(_all, paths)
    assert first == second
    assert first["abonents"] != other["abonents"]


def test_it_tells_what_it_made(tmp_path: Path) -> None:
    path = tmp_path / "billing.fdb"
    made = create(path, subscribers=300, seed=3)
    with Database(Dsn(str(path))) as database:
        assert made.subscribers == _count(database, "abonents", LIVE) == 300
        assert made.deleted == _count(database, "abonents", "deleted = 1")
        assert made.accounts == _count(database, "admin_accounts")
        assert made.users == _count(database, "users")
        assert made.operations == _count(database, "finance_operations")
        ((forced,),) = database.query("select mon$forced_writes from mon$database")
        assert forced == 0


def test_an_existing_database_is_left_alone(billing_file: Path) -> None:
    before = _all(billing_file)
    with pytest.raises(DatabaseError):
        create(billing_file, subscribers=1, seed=1)
    assert _all(billing_file) == before
