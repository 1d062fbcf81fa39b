from decimal import Decimal
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from billing import exchange as seen
from billing.calls import describe
from billing.client import BillingClient
from billing.database import Database, Dsn
from billing.mockserver.server import MockBilling
from billing.money import SCALE
from checkpoints.records import Item, NewItem, Refusal, Run
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, Lost
from engine.job import Absent, CannotLook, Found, Job, Prepared, Reading
from jobs.errors import ParameterRefused
from jobs.kinds import parameters_of
from jobs.services import Services
from jobs.warning_threshold import WARNING_THRESHOLD
from tests.jobs.conftest import FOLDER, Execute, Frozen

pytestmark = pytest.mark.usefixtures("odd_ones")


@pytest.fixture
def services(client: BillingClient, database: Database) -> Services:
    return Services(client, database)


def job_of(services: Services, **given: str) -> Job:
    given = {name.rstrip("_"): value for name, value in given.items()}
    return WARNING_THRESHOLD.build(services, parameters_of(WARNING_THRESHOLD, given), None)


async def prepared(job: Job) -> Prepared:
    items: list[NewItem] = []
    refusals: list[Refusal] = []
    for page in job.source.pages(None):
        done = await job.prepare(page.rows)
        items += done.items
        refusals += done.refusals
    return Prepared(tuple(items), tuple(refusals))


async def of_subscriber(job: Job, key: int, frozen: Frozen) -> Item:
    done = await prepared(job)
    return frozen(next(item for item in done.items if item.key == str(key)))


# ---- rows to items ---------------------------------------------------------------------------------------------


async def test_all_live_subscribers_of_a_folder(services: Services) -> None:
    job = job_of(services, folder=str(FOLDER), amount="-120,00")
    assert job.source.name == "subscribers of folder 9100"
    done = await prepared(job)
    assert [(item.key, item.lane, item.skip_reason) for item in done.items] == [
        ("9001", "account:9001", "already as wanted: -120.00"),
        ("9002", "account:9002", None),
        ("9003", "account:9003", None),
        ("9004", "account:9004", None),
        ("9005", "account:9005", None),
        ("9008", "account:9001", "already as wanted: -120.00"),
        ("9010", "account:9010", None),
    ]
    assert done.items[1] == NewItem(
        key="9002",
        label="abonent 9002",
        lane="account:9002",
        payload='{"abonent_id":9002,"limit_warning":"-120"}',
        row=("9002", "9002", "", "-120"),
    )
    assert [(one.label, one.column, one.reason) for one in done.refusals] == [
        ("abonent 9007", "account_id", "abonent 9007 has no account")
    ]


async def test_pages_follow_the_key(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.warning_threshold._PAGE", 3)
    source = job_of(services, folder=str(FOLDER), amount="5").source
    pages = list(source.pages(None))
    assert [page.cursor for page in pages] == ["9003", "9007", "9010"]
    assert list(source.pages("9003")) == pages[1:]
    assert list(source.pages("9010")) == []


async def test_as_the_tariffs_have_it(services: Services, execute: Execute) -> None:
    execute("update admin_accounts set limit_warning = ? where id = 9002", -50 * SCALE)
    execute("update admin_accounts set limit_warning = ? where id = 9004", -7 * SCALE)
    done = await prepared(job_of(services, from_="tariff", folder=str(FOLDER)))
    assert [(item.key, item.row[2:], item.skip_reason) for item in done.items] == [
        ("9001", ("-120.00", "-50.00"), None),
        ("9003", ("", "-100.00"), None),
        ("9004", ("-7.00", ""), "the tariff has no threshold; the account keeps its -7.00"),
        ("9005", ("", "0.00"), None),
        ("9008", ("-120.00", "-50.00"), None),
        ("9010", ("", "-50.00"), None),
    ]
    everywhere = await prepared(job_of(services, from_="tariff"))
    assert {item.key for item in done.items} <= {item.key for item in everywhere.items}


async def test_folders_and_parameters_that_do_not_fit(services: Services, client: BillingClient) -> None:
    with pytest.raises(InputRefused, match="9001 is no folder: it is the subscriber Иванов"):
        list(job_of(services, folder="9001", amount="1").source.pages(None))
    with pytest.raises(InputRefused, match="9999 is no folder: there is no abonent"):
        list(job_of(services, folder="9999", from_="tariff").source.pages(None))
    for given in ({"amount": "1"}, {"folder": "1"}, {}):
        with pytest.raises(ParameterRefused, match="needs a folder and an amount"):
            job_of(services, **given)
    with pytest.raises(ParameterRefused, match="leave amount out"):
        job_of(services, from_="tariff", amount="1")
    with pytest.raises(ParameterRefused, match="database"):
        job_of(Services(client), folder="1", amount="1")


# ---- sending and looking ---------------------------------------------------------------------------------------


async def test_a_threshold_is_set_and_read_back(
    services: Services, run: Run, frozen: Frozen, mock_billing: MockBilling, database: Database
) -> None:
    job = job_of(services, folder=str(FOLDER), amount="-12000.5")
    item = await of_subscriber(job, 9002, frozen)
    assert job.repeatable
    assert await job.look_up(run, [item]) == {item.item_id: Absent()}
    assert await job.read_back(run, [item]) == {
        item.item_id: Reading(None, "wanted -12000.5; the account has no threshold")
    }

    assert await job.send(run, item) == Accepted()
    assert await job.send(run, item) == Accepted()

    ((limit,),) = database.query("select limit_warning from admin_accounts where id = 9002")
    assert limit == int(Decimal("-12000.5") * SCALE)
    assert mock_billing.ledger.effects("AdminAccounts") == {9002: 2}
    assert await job.look_up(run, [item]) == {item.item_id: Found()}
    assert await job.read_back(run, [item]) == {item.item_id: Reading(None)}


async def test_another_value_is_absent_and_told(
    services: Services, run: Run, frozen: Frozen, execute: Execute
) -> None:
    job = job_of(services, folder=str(FOLDER), amount="7")
    item = await of_subscriber(job, 9001, frozen)
    assert await job.look_up(run, [item]) == {item.item_id: Absent()}
    assert await job.read_back(run, [item]) == {item.item_id: Reading(None, "wanted 7; the account has -120.00")}
    execute("update abonents set account_id = null where id = 9001")
    gone = "abonent 9001 has no account any more"
    assert await job.look_up(run, [item]) == {item.item_id: CannotLook(gone)}
    assert await job.read_back(run, [item]) == {item.item_id: Reading(None, gone)}


async def test_the_call_and_its_evidence(database: Database, run: Run, frozen: Frozen) -> None:
    client = AsyncMock(spec=BillingClient)
    job = job_of(Services(client, database), folder=str(FOLDER), amount="-120")
    item = frozen(NewItem("9002", "", "account:77", '{"abonent_id":9002,"limit_warning":"-120"}'))
    client.send.return_value = seen.Lost("reset")
    assert await job.send(run, item) == Lost("reset")
    assert describe(client.send.await_args.args[0]) == (
        'AdminAccounts: objects.get(account_id_abonents=9002) → set(limit_warning="-120") → save() | id'
    )
    for result in ({"pk": 77, "fields": {"id": 77}}, {"pk": 77, "fields": {"id": "77"}}, None, True, {"pk": 5}):
        client.send.return_value = seen.Answered(result)
        assert await job.send(run, item) == Accepted()
    client.send.return_value = seen.Answered({"pk": 78, "fields": {"id": 78}})
    assert await job.send(run, item) == Lost("an answer about account 78, and 77 was asked for")


async def test_a_database_that_is_away(client: BillingClient, run: Run, frozen: Frozen, tmp_path: Path) -> None:
    job = job_of(Services(client, Database(Dsn(str(tmp_path / "none.fdb")))), folder="1", amount="1")
    item = frozen(NewItem("9002", "", "account:1", '{"abonent_id":9002,"limit_warning":"-120"}'))
    for asking in (job.look_up(run, [item]), job.read_back(run, [item]), job.undrained([item]), prepared(job)):
        with pytest.raises(LookUpFailed, match=r"none\.fdb"):
            await asking
