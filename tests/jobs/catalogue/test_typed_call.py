"""What the job `call` knows of the fields that a chain sets: as much as the recipes do."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from billing.database.database import Database
from engine.job import Absent, Found, ReadBack
from jobs.access.gateway import Gateway
from jobs.billing_job import BillingJob
from jobs.catalogue.typed_call import call_kind
from jobs.effects.effect import Irreversible
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.spec.spec import JobSpec, parameters_of
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import Execute
from tests.jobs.making import effect_of, planned, prepared, readings, refused, rows_of, sent, sightings, undone

OLD = 167900000


@pytest.fixture(autouse=True)
def accounts(execute: Execute) -> None:
    """Two accounts with an address each."""
    for key, abonent in [(90001, 9001), (90002, 9002)]:
        execute(
            "insert into users (id, abonent_id, login, ip, pull, deleted, psw_hash) values (?, ?, ?, ?, 5, 0, 'x')",
            *(key, abonent, f"user{key}", OLD + key),
        )


class Called:
    """A `call` of a model with a chain, and what it is told."""

    def __init__(self, gateway: Gateway, model: str, *chain: str) -> None:
        self.gateway = gateway
        self.said = {"model": model, "chain": chain_text(chain)}

    @property
    def kind(self) -> JobSpec:
        return call_kind(self.said)

    def job(self, rows: Input) -> BillingJob:
        return build(self.kind, self.gateway, parameters_of(self.kind, self.said), rows)


def address(database: Database, key: int = 90001) -> IPv4Address:
    ((number,),) = database.query("select ip from users where id = :key", {"key": key})
    return IPv4Address(number)


async def test_the_vendors_move_to_another_pool_verifies_and_is_taken_back(
    gateway: Gateway, tmp_path: Path, database: Database
) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}}', 'set {"ip": "", "pull": "6"}', "save")
    job = call.job(rows_of(tmp_path, "id\n90001\n"))
    old = address(database)
    done = await sent(job, await planned(job))
    assert address(database) != old
    assert await readings(job, done) == [ReadBack(None)]
    assert await sightings(job, done) == [Found(done[0].answer)]
    assert [one.skip_reason is None for one in (await prepared(job)).items] == [False], "a second time nothing is new"
    back = await undone(effect_of(gateway, call.kind, **call.said), done)
    backs = await sent(back.effect, back.items)
    assert await readings(back.effect, backs) == [ReadBack(None)]
    assert address(database) == old


async def test_an_address_alone_that_is_emptied_is_issued_anew(
    gateway: Gateway, tmp_path: Path, database: Database
) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}}', 'set {"ip": ""}', "save")
    job = call.job(rows_of(tmp_path, "id\n90001\n"))
    items = await planned(job)
    assert [one.state for one in items] == ["sending"]
    assert await sightings(job, items) == [Absent()], "a call that never arrived is not done"
    done = await sent(job, items)
    assert address(database) != IPv4Address(OLD + 90001)
    assert await sightings(job, done) == [Found(done[0].answer)]


async def test_an_address_that_is_named_is_that_one_and_no_other(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}}', 'set {"ip": "{ip}"}', "save")
    job = call.job(rows_of(tmp_path, "id;ip\n90001;10.0.0.7\n"))
    items = await planned(job)
    execute("update users set ip = 167772999 where id = 90001")
    assert await sightings(job, items) == [Absent()]
    assert await readings(job, items) == [ReadBack(None, "wanted ip 10.0.0.7; there is ip 10.0.3.71")]


async def test_a_row_whose_money_is_no_amount_is_refused_and_not_lost(gateway: Gateway, tmp_path: Path) -> None:
    """The chain itself has it: no cell is at fault."""
    get = 'objects.get {"account_id_abonents": {id}}'
    call = Called(gateway, "AdminAccounts", get, 'set {"limit_warning": "5,5"}', "save")
    assert await refused(call.job(rows_of(tmp_path, "id\n9002\n"))) == [
        "2 None: '5,5' is not a number: money is written as -1234.50 here"
    ]


async def test_the_part_of_a_key_that_is_empty_is_named(gateway: Gateway, tmp_path: Path) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}, "login": ""}', 'set {"pull": "6"}', "save")
    assert await refused(call.job(rows_of(tmp_path, "id\n90001\n"))) == [
        "2 None: login is empty: which object is meant?"
    ]


@pytest.mark.parametrize(
    ("model", "chain", "row", "told"),
    [
        ("Abonents", 'set {"need_recalc": "{x}"}', first_of(-7), "need_recalc: '{x}' is 7 months back"),
        ("Abonents", 'set {"need_recalc": "{x}"}', f"{first_of(0)[:-2]}02", "is not the first of a month"),
        ("Abonents", 'set {"need_recalc": "2019-06-01"}', "1", "the billing recalculates 6 at most"),
        (
            "Abonents",
            'set {"own_disabled_start": "2030-07-02", "own_disabled_end": "{x}"}',
            "2030-07-01",
            "it would end at 2030-07-01, before it begins at 2030-07-02",
        ),
        (
            "Abonents",
            'set {"own_disabled_start": "2030-07-02", "own_disabled_end": "{x}"}',
            "03.07.2030",
            "own_disabled_end '03.07.2030': dates are written as 2019-06-01",
        ),
    ],
)
async def test_what_the_vendor_forbids_is_refused(
    gateway: Gateway, tmp_path: Path, model: str, chain: str, row: str, told: str
) -> None:
    call = Called(gateway, model, 'objects.get {"id": {id}}', chain, "save")
    (reason,) = await refused(call.job(rows_of(tmp_path, f"id;x\n9001;{row}\n")))
    assert told.format(x=row) in reason


async def test_a_recalculation_that_the_billing_has_cleared_is_done_and_not_taken_back(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    call = Called(gateway, "Abonents", 'objects.get {"id": {id}}', f'set {{"need_recalc": "{first_of(0)}"}}', "save")
    job = call.job(rows_of(tmp_path, "id\n9001\n"))
    done = await sent(job, await planned(job))
    execute("update abonents set need_recalc = null where id = 9001")
    assert await readings(job, done) == [ReadBack(None)]
    assert isinstance(job.effect.undo({}), Irreversible)
