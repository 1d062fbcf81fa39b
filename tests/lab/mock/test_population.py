"""The made-up billing is what real ones are, and always the same one."""

from pathlib import Path

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.errors import DatabaseError
from lab.mock.population import _COLUMNS, create
from tests.conftest import ABONENTS

LIVE = "is_folder = 0 and deleted = 0"


def _all(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with Database(Dsn(str(path))) as database:
        return {table: list(database.query(f"select * from {table} order by 1")) for table in _COLUMNS}  # noqa: S608


COUNTS: tuple[tuple[str, int, int], ...] = (
    (f"abonents where {LIVE} and account_id is not null", ABONENTS, ABONENTS),
    ("abonents where is_folder = 1 and id in (89, 1000, 1316, 1400)", 4, 4),
    ("abonents where is_folder = 1", 4, 4),
    ("abonents where deleted = 1", 10, 60),
    (f"(select account_id from abonents where {LIVE} group by 1 having count(*) > 1)", 2, 30),  # noqa: S608 - ours
    ("abonents where contract_number like '%J%'", 50, ABONENTS),
    ("abonents where contract_number like 'АБ-%'", 50, ABONENTS),
    ("abonents where contract_number like '0%'", 50, ABONENTS),
    (f"(select contract_number from abonents where {LIVE} group by 1 having count(*) > 1)", 0, 0),  # noqa: S608 - ours
    ("finance_operations where op_type = 1", 100, 10**6),
    ("finance_operations where op_type = 2", 50, 10**6),
    ("finance_operations where op_type = 8", 0, 0),
    ("vpn_const where const_id = 1 and const_value = '10000000000'", 1, 1),
    ("users u join ip_pulls p on p.id = u.pull where u.ip between p.first_ip and p.last_ip", ABONENTS, 10**6),
    ("users u join ip_pulls p on p.id = u.pull where u.ip not between p.first_ip and p.last_ip", 0, 0),
    *(
        (
            f"{table} t left join {named} n on n.id = t.{column} where t.{column} > 0 and coalesce(n.name, '') = ''",
            0,
            0,
        )
        for table, column, named in (
            ("abonents", "tarif_id", "tarif"),
            ("abonents", "operator_id", "operators"),
            ("users", "pull", "ip_pulls"),
            ("users_usluga", "usluga_id", "usluga"),
            ("users_usluga", "manager_id", "django_users_profile"),
            ("attribute_values", "attribute_id", "attributes"),
        )
    ),
)
"""What is counted, and how many there are at least and at most."""


def test_it_is_as_real_ones_are_and_money_adds_up(either_database: Database) -> None:
    for where, least, most in COUNTS:
        ((count,),) = either_database.query(f"select count(*) from {where}")  # noqa: S608 - ours
        assert least <= count <= most, where
    for kind, column in ((2, "debit"), (1, "credit")):
        ((of_operations, of_accounts),) = either_database.query(
            f"select (select cast(sum(op_summa) as numeric(18,0)) from finance_operations where op_type = {kind}),"  # noqa: S608 - names of ours
            f" (select cast(sum({column}) as numeric(18,0)) from admin_accounts) from rdb$database"
        )
        assert of_operations == of_accounts


def test_the_same_seed_gives_the_same_rows_and_it_tells_what_it_made(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.fdb" for number in range(3)]
    made = [create(path, subscribers=200, seed=seed) for path, seed in zip(paths, (1, 1, 2), strict=True)]
    first, second, other = map(_all, paths)
    assert first == second
    assert first["abonents"] != other["abonents"]
    assert made[0].subscribers == 200
    with Database(Dsn(str(paths[0]))) as database:
        ((deleted, forced),) = database.query(
            "select (select count(*) from abonents where deleted = 1), mon$forced_writes from mon$database"
        )
    assert (made[0].deleted, forced) == (deleted, 0)
    with pytest.raises(DatabaseError):
        create(paths[0], subscribers=1, seed=1)
    assert _all(paths[0]) == first, "what is there is left alone"
