"""Pools of addresses: the billing issues a new one where the pool changes, and nowhere else."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from billing.database.database import Database
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.catalogue.subscribers import IP_POOL, SNAT_POOL
from jobs.rows.input import Input
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import effect_of, job_of, planned, prepared, rows_of, sent, undone


@pytest.fixture(autouse=True)
def accounts(execute: Execute) -> None:
    """Three accounts in the folder, one of them deleted, and one of a deleted subscriber."""
    for key, abonent, pool, deleted in [
        (90001, 9001, 5, 0),
        (90002, 9002, 6, 0),
        (90003, 9003, 5, 1),
        (90004, 9006, 5, 0),
    ]:
        execute(
            "insert into users (id, abonent_id, login, ip, pull, snat_pull, deleted, psw_hash) "
            "values (?, ?, ?, ?, ?, ?, ?, 'x')",
            *(key, abonent, f"user{key}", 167900000 + key, pool, pool, deleted),
        )


async def test_a_snat_pool(client_services: Gateway, database: Database) -> None:
    job = job_of(client_services, SNAT_POOL, Input(), folder=str(FOLDER), pool="1030")
    items = await planned(job)
    assert [(one.key, one.label) for one in items] == [("90001", "user90001"), ("90002", "user90002")]
    assert payload_of(items[0]).steps == (
        ("objects.get", {"id": 90001}),
        ("set", {"snatip": "", "snat_pull": "1030"}),
        ("save", {}),
    )
    await sent(job, items)
    assert _pools(database, "snat_pull") == {90001: 1030, 90002: 1030, 90003: 5, 90004: 5}


async def test_another_address_is_issued_and_taken_back(gateway: Gateway, tmp_path: Path, database: Database) -> None:
    rows = rows_of(tmp_path, "user_id;pool\n90001;6\n90002;6\n")
    first, second = await planned(job_of(gateway, IP_POOL, rows))
    done = await prepared(job_of(gateway, IP_POOL, rows))
    # Who is in the pool keeps the address: the same plan a second time issues nothing.
    assert [one.skip_reason for one in done.items] == [
        None,
        f"already as wanted: ip {IPv4Address(167900000 + 90002)}, pull 6",
    ]
    assert second.key == "90002"
    old = _pools(database, "ip")[90001]
    (item,) = await sent(job_of(gateway, IP_POOL, rows), [first])
    new = _pools(database, "ip")[90001]
    assert new not in {None, old}
    assert item.answer == f'{{"ip":"{IPv4Address(new)}"}}'
    back = await undone(effect_of(gateway, IP_POOL), [item])
    await sent(back.effect, back.items)
    assert (_pools(database, "ip")[90001], _pools(database, "pull")[90001]) == (old, 5)


async def test_an_address_that_was_issued_again_since_is_left_alone(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    job = job_of(gateway, IP_POOL, rows_of(tmp_path, "user_id;pool\n90001;6\n"))
    done = await sent(job, await planned(job))
    execute("update users set ip = 167772999 where id = 90001")
    (reason,) = (await undone(effect_of(gateway, IP_POOL), done)).left_alone
    assert (reason or "").startswith("changed since: ")
    assert "10.0.3.71" in (reason or "")


@pytest.fixture
def client_services(gateway: Gateway, database: Database) -> Gateway:
    """With a database in any case: the rows come out of it."""
    return Gateway(gateway.client, database)


def _pools(database: Database, column: str) -> dict[int, int]:
    return dict(database.query(f"select id, {column} from users where id > 90000"))  # noqa: S608 - names of ours
