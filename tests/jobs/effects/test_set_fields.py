"""The effect `get → set → save`: whose fields it sets, what it finds, and what the billing does with them."""

from ipaddress import IPv4Address

import pytest

from billing.api.calls import Call, ChainStep
from billing.api.client import BillingClient
from billing.database.database import Database
from billing.money import SCALE
from engine.errors import InputRefused
from engine.evidence import RowRefused
from engine.job import Absent, CannotLook, Found, Job, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload, payload_of
from jobs.catalogue.built_in import (
    CUTOFF_LIMIT,
    NEXT_CHARGE,
    OPERATOR,
    RECALCULATE,
    TARIFF_THRESHOLD,
    WARNING_THRESHOLD,
)
from jobs.catalogue.typed_call import call_kind
from jobs.effects.effect import Irreversible
from jobs.job import BillingJob, build
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.spec.spec import JobSpec, parameters_of
from tests.checkpoints.samples import sending_item
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import (
    RUN,
    effect_of,
    job_of,
    planned,
    prepared,
    readings,
    refused,
    rows_of,
    sent,
    sightings,
    undone,
)
from tests.jobs.making import planned as planned_items

BY_SUBSCRIBER: dict[str, object] = {"account_id_abonents": 9002}
GET = ("objects.get", BY_SUBSCRIBER)
NOTHING: dict[str, object] = {}
SAVE = ("save", NOTHING)


def threshold(gateway: Gateway, amount: str, rows: Input | None = None) -> Job:
    if rows is None:
        return job_of(gateway, WARNING_THRESHOLD, Input(), folder=str(FOLDER), amount=amount)
    return job_of(gateway, WARNING_THRESHOLD, rows, amount=amount)


# ---- rows to items ---------------------------------------------------------------------------------------------


async def test_all_live_subscribers_of_a_folder(both: Gateway) -> None:
    job = threshold(both, "-120,00")
    assert job.source.name.startswith("select a.id as abonent_id, a.contract_number from abonents a where")
    done = await prepared(job)
    assert [(item.key, item.label, item.lane, item.skip_reason) for item in done.items] == [
        ("9001", "00123", "account:9001", "already as wanted: limit_warning -120"),
        ("9002", "123", "account:9002", None),
        ("9003", "A15", "account:9003", None),
        ("9004", "ДУБЛЬ", "account:9004", None),
        ("9005", "ДУБЛЬ", "account:9005", None),
        ("9008", "ВТОРОЙ", "account:9001", "already as wanted: limit_warning -120"),
        ("9010", "77/2", "account:9010", None),
    ]
    second = done.items[1]
    assert second.row == ("9002", "123")
    assert second.amount is None
    assert [(one.label, one.reason) for one in done.refusals] == [("9007", "abonent 9007 has no account")]


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


async def test_another_value_is_absent_and_told(gateway: Gateway, execute: Execute) -> None:
    job = threshold(gateway, "7", rows_of("abonent_id\n9001\n"))
    (item,) = await planned_items(job)
    assert await job.effect.look_up(RUN, [item]) == {item.item_id: Absent()}
    assert await job.effect.read_back(RUN, [item]) == {
        item.item_id: ReadBack(None, "wanted limit_warning 7; there is limit_warning -120")
    }
    execute("update abonents set account_id = null where id = 9001")
    gone = "abonent 9001 has no account"
    assert await job.effect.look_up(RUN, [item]) == {item.item_id: CannotLook(gone)}
    assert await job.effect.read_back(RUN, [item]) == {item.item_id: ReadBack(None, gone)}


async def test_a_subscriber_who_is_deleted_has_an_account_and_is_said_to_be_deleted(
    both: Gateway, execute: Execute
) -> None:
    chain = ('objects.get {"account_id_abonents": {id}}', 'set {"limit_warning": "5"}', "save")
    kind = call_kind({"model": "AdminAccounts", "chain": chain_text(chain)})
    rows = rows_of("id\n9006\n9007\n99999\n9100\n007\n9002\n")
    job = job_of(both, kind, rows, model="AdminAccounts", chain=chain_text(chain))
    done = await prepared(job)
    assert [(one.line, one.reason) for one in done.refusals] == [
        (2, "abonent 9006 is deleted"),
        (3, "abonent 9007 has no account"),
        (4, "there is no abonent 99999"),
        (5, "abonent 9100 is a folder (Странные), no subscriber"),
        (6, "'007' is not an id, for it starts with a zero; is it a contract number?"),
    ]
    (item,) = [sending_item(new) for new in done.items]
    execute("update abonents set deleted = 1 where id = 9002")
    assert await job.effect.look_up(RUN, [item]) == {item.item_id: CannotLook("abonent 9002 is deleted")}
    assert await job.effect.read_back(RUN, [item]) == {item.item_id: ReadBack(None, "abonent 9002 is deleted")}
    effect = effect_of(both, kind, model="AdminAccounts", chain=chain_text(chain))
    assert (await undone(effect, [item])).refused == ["abonent 9002 is deleted"]


async def test_as_the_tariffs_have_it(both: Gateway, execute: Execute) -> None:
    execute("update admin_accounts set limit_warning = ? where id = 9002", -50 * SCALE)
    execute("update admin_accounts set limit_warning = ? where id = 9004", -7 * SCALE)
    done = await prepared(job_of(both, TARIFF_THRESHOLD, Input()))
    ours = [one for one in done.items if 9000 < int(one.key) < FOLDER]
    assert [(one.key, decode_payload(one.payload).was, decode_payload(one.payload).wanted) for one in ours] == [
        ("9001", {"limit_warning": "-120"}, {"limit_warning": "-50"}),
        # 9002 is as its tariff has it, the tariff of 9004 has none: neither is touched.
        ("9003", {"limit_warning": None}, {"limit_warning": "-100"}),
        ("9005", {"limit_warning": None}, {"limit_warning": "0"}),
        ("9008", {"limit_warning": "-120"}, {"limit_warning": "-50"}),
        ("9010", {"limit_warning": None}, {"limit_warning": "-50"}),
    ]
    assert len(done.items) > len(ours), "the billing has others that differ"
    assert done.refusals == ()


async def test_a_threshold_with_kopecks_and_the_largest_one(both: Gateway, execute: Execute) -> None:
    largest = 90_000_000
    execute("update tarif set users_limit_warning = ? where id = 3", -1205 * SCALE // 10)
    execute("update tarif set users_limit_warning = ? where id = 5", largest * SCALE + SCALE // 100)
    done = await prepared(job_of(both, TARIFF_THRESHOLD, Input()))
    wanted = {one.key: decode_payload(one.payload).wanted["limit_warning"] for one in done.items}
    assert (wanted["9003"], wanted["9005"]) == ("-120.5", f"{largest}.01")


async def test_the_sum_of_the_tariff_and_one_rouble(both: Gateway, execute: Execute) -> None:
    execute("delete from tarif_users_usluga where tarif_id = 5")
    execute("update usluga set summa = ? where id = 126", 25050 * SCALE // 100)
    done = await prepared(job_of(both, CUTOFF_LIMIT, Input(), folder=str(FOLDER)))
    # Tariff 2 has services of 250.50, 450 and 700 roubles, tariff 3 the first, tariff 1 the first two.
    assert {one.key: decode_payload(one.payload).wanted["limit"] for one in done.items} == {
        "9001": "1401.5",
        "9002": "1401.5",
        "9003": "251.5",
        "9004": "701.5",
        "9008": "1401.5",
        "9010": "1401.5",
    }
    assert [(one.label, one.column, one.reason) for one in done.refusals] == [
        ("9005", "amount", "the cell is empty"),
        ("9007", "abonent_id", "abonent 9007 has no account"),
    ]


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


async def test_a_recalculation_that_is_done_already_is_as_wanted(gateway: Gateway, execute: Execute) -> None:
    job = job_of(gateway, RECALCULATE, rows_of("abonent_id\n9001\n"), since=first_of(-2))
    items = await planned(job)
    done = await sent(job, items)
    execute("update abonents set need_recalc = null where id = 9001")
    # Answered and cleared: done. Never answered and empty: it may not have arrived, and may be sent again.
    assert await readings(job, done) == [ReadBack(None)]
    assert await sightings(job, done) == [Absent()]
    execute("update abonents set need_recalc = '2001-01-01' where id = 9001")
    (reading,) = await readings(job, done)
    assert reading.difference == f"wanted need_recalc {first_of(-2)}; there is need_recalc 2001-01-01"
    way_back = effect_of(gateway, RECALCULATE, since=first_of(-2)).undo({})
    assert isinstance(way_back, Irreversible)
    assert "recalculate from the same month" in way_back.text


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


@pytest.mark.usefixtures("addresses")
async def test_an_address_that_is_named_is_that_one_and_no_other(gateway: Gateway, execute: Execute) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}}', 'set {"ip": "{ip}"}', "save")
    job = call.job(rows_of("id;ip\n90001;10.0.0.7\n"))
    items = await planned(job)
    execute("update users set ip = 167772999 where id = 90001")
    assert await sightings(job, items) == [Absent()]
    assert await readings(job, items) == [ReadBack(None, "wanted ip 10.0.0.7; there is ip 10.0.3.71")]


async def test_a_row_whose_money_is_no_amount_is_refused_and_not_lost(gateway: Gateway) -> None:
    """The chain itself has it: no cell is at fault."""
    get = 'objects.get {"account_id_abonents": {id}}'
    call = Called(gateway, "AdminAccounts", get, 'set {"limit_warning": "5,5"}', "save")
    assert await refused(call.job(rows_of("id\n9002\n"))) == [
        "2 None: '5,5' is not a number: money is written as -1234.50 here"
    ]


@pytest.mark.usefixtures("addresses")
async def test_the_part_of_a_key_that_is_empty_is_named(gateway: Gateway) -> None:
    call = Called(gateway, "Users", 'objects.get {"id": {id}, "login": ""}', 'set {"pull": "6"}', "save")
    assert await refused(call.job(rows_of("id\n90001\n"))) == ["2 None: login is empty: which object is meant?"]


async def test_what_the_vendor_forbids_is_refused(gateway: Gateway) -> None:
    for model, chain, row, told in [
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
    ]:
        call = Called(gateway, model, 'objects.get {"id": {id}}', chain, "save")
        (reason,) = await refused(call.job(rows_of(f"id;x\n9001;{row}\n")))
        assert told.format(x=row) in reason


async def test_a_recalculation_that_the_billing_has_cleared_is_done_and_not_taken_back(
    gateway: Gateway, execute: Execute
) -> None:
    call = Called(gateway, "Abonents", 'objects.get {"id": {id}}', f'set {{"need_recalc": "{first_of(0)}"}}', "save")
    job = call.job(rows_of("id\n9001\n"))
    done = await sent(job, await planned(job))
    execute("update abonents set need_recalc = null where id = 9001")
    assert await readings(job, done) == [ReadBack(None)]
    assert isinstance(job.effect.undo({}), Irreversible)
