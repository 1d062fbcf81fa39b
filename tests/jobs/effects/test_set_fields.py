"""The effect `get → set → save`: whose fields it sets, what it finds, and what the billing does with them."""

from ipaddress import IPv4Address

import pytest

from billing.api.calls import Call, ChainStep
from billing.api.client import BillingClient
from billing.database.database import Database
from engine.errors import InputRefused
from engine.evidence import RowRefused
from engine.job import Absent, Found, Job, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.catalogue.built_in import (
    NEXT_CHARGE,
    OPERATOR,
    RECALCULATE,
    WARNING_THRESHOLD,
)
from jobs.catalogue.typed_call import call_kind
from jobs.job import BillingJob, build
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.spec.spec import JobSpec, parameters_of
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import (
    effect_of,
    job_of,
    planned,
    prepared,
    readings,
    rows_of,
    sent,
    sightings,
    undone,
)

BY_SUBSCRIBER: dict[str, object] = {"account_id_abonents": 9002}
GET = ("objects.get", BY_SUBSCRIBER)
NOTHING: dict[str, object] = {}
SAVE = ("save", NOTHING)


def threshold(gateway: Gateway, amount: str, rows: Input | None = None) -> Job:
    if rows is None:
        return job_of(gateway, WARNING_THRESHOLD, Input(), folder=str(FOLDER), amount=amount)
    return job_of(gateway, WARNING_THRESHOLD, rows, amount=amount)


# ---- rows to items ---------------------------------------------------------------------------------------------


async def test_what_chooses_the_rows_is_said_once(both: Gateway, client: BillingClient) -> None:
    with pytest.raises(InputRefused, match="there is nothing to read rows from: give --set folder=…"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), amount="1").source
    rows = rows_of("abonent_id\n9002\n")
    with pytest.raises(InputRefused, match=r"nothing would look at it\. Leave out --set folder=…, or the other rows"):
        _ = job_of(both, WARNING_THRESHOLD, rows, folder="89", amount="1").source
    with pytest.raises(InputRefused, match=r"^--set folder=…"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), folder="89", amount="1", abonent_id="9002").source
    with pytest.raises(InputRefused, match="no database is set"):
        _ = threshold(Gateway(client), "1").source
    with pytest.raises(InputRefused, match="has no column amount"):
        _ = job_of(both, WARNING_THRESHOLD, Input(), folder="89").source


# ---- sending and looking ---------------------------------------------------------------------------------------


OTHER = 5


async def test_all_of_an_operator(both: Gateway, database: Database, execute: Execute) -> None:
    execute.put("operators", id=OTHER, name="Третий")
    execute("update abonents set operator_id = ? where id in (9001, 9003, 9006)", OTHER)
    job = job_of(both, OPERATOR, Input(), **{"from": str(OTHER), "operator": "1444"})
    items = await planned(job)
    # 9006 is deleted.
    assert [one.key for one in items] == ["9001", "9003"]
    await sent(job, items)
    query = "select id from abonents where operator_id = 1444 and id > 9000 order by id"
    assert [key for (key,) in database.query(query)] == [9001, 9003]
    assert (await prepared(job_of(both, OPERATOR, Input(), **{"from": str(OTHER), "operator": "3"}))).items == ()


async def test_an_operator_is_named_or_rows_are_given(both: Gateway) -> None:
    with pytest.raises(InputRefused, match="give --set from=… for the job's own select, or name a file"):
        _ = job_of(both, OPERATOR, Input(), operator="3").source
    rows = rows_of("abonent_id\n2001\n")
    for rows_elsewhere in (rows, Input(sql="select id as abonent_id from abonents")):
        with pytest.raises(InputRefused, match=r"^--set from=… chooses rows for the job's own select"):
            _ = job_of(both, OPERATOR, rows_elsewhere, **{"from": "3", "operator": "3"}).source
    # A select that asks for it makes it count.
    asking = Input(sql="select id as abonent_id from abonents where operator_id = :from and id < 2010")
    assert job_of(both, OPERATOR, asking, **{"from": "3", "operator": "1444"}).source.header == ("abonent_id",)


@pytest.mark.parametrize("months", [0, -6])
def test_the_first_and_the_last_month(months: int) -> None:
    day = first_of(months)
    assert parameters_of(RECALCULATE, {"since": ".".join(reversed(day.split("-")))})["since"] == day


async def test_a_service_without_a_manager(gateway: Gateway, execute: Execute) -> None:
    execute.put("users_usluga", id=90001, abonent_id=9001, usluga_id=126)
    rows = rows_of("contract_number;usluga_id;next_date\n00123;126;2020-09-13\n")
    job = job_of(gateway, NEXT_CHARGE, rows)
    items = await planned(job)
    assert payload_of(items[0]).steps == (
        ("objects.get", {"abonent_id": 9001, "usluga_id": 126}),
        ("set", {"next_date": "2020-09-13 00:00:00"}),
        ("save", {"allow_set_none_manager": True}),
    )
    # The billing refuses the same without the word.
    bare = payload_of(items[0]).call.steps[:2]
    evidence = await gateway.client.send(Call("UsersUsluga", (*bare, ChainStep("save", {}))))
    assert isinstance(evidence, RowRefused), evidence
    await sent(job, items)


OLD = 167900000


@pytest.fixture
def addresses(execute: Execute) -> None:
    """Two accounts with an address each."""
    for key, abonent in [(90001, 9001), (90002, 9002)]:
        execute.put(
            "users", id=key, abonent_id=abonent, login=f"user{key}", ip=OLD + key, pull=5, deleted=0, psw_hash="x"
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


@pytest.mark.usefixtures("addresses")
async def test_the_vendors_move_to_another_pool_verifies_and_is_taken_back(
    gateway: Gateway, database: Database
) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}}', 'set {"ip": "", "pull": "6"}', "save")
    job = call.job(rows_of("id\n90001\n"))
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


@pytest.mark.usefixtures("addresses")
async def test_an_address_alone_that_is_emptied_is_issued_anew(gateway: Gateway, database: Database) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}}', 'set {"ip": ""}', "save")
    job = call.job(rows_of("id\n90001\n"))
    items = await planned(job)
    assert [one.state for one in items] == ["sending"]
    assert await sightings(job, items) == [Absent()], "a call that never arrived is not done"
    done = await sent(job, items)
    assert address(database) != IPv4Address(OLD + 90001)
    assert await sightings(job, done) == [Found(done[0].answer)]
