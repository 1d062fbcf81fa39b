"""Tariffs, services, folders, operators that rows and parameters refer to: what is not there is refused."""

from pathlib import Path

import anyio
import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.database.dsn import Dsn
from engine.job import Prepared
from jobs.access.gateway import Gateway
from jobs.access.references import References
from jobs.catalogue.services import ATTRIBUTE, CONNECT_SERVICE
from jobs.catalogue.subscribers import IP_POOL, OPERATOR, TARIFF_NEXT, TARIFF_NOW
from jobs.catalogue.typed_call import call_kind
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec
from tests.jobs.conftest import Execute
from tests.jobs.making import job_of, prepared, rows_of


def told(done: Prepared) -> list[tuple[int | None, str | None, str]]:
    return [(one.line, one.column, one.reason) for one in done.refusals]


async def test_rows_are_refused_with_line_and_column(gateway: Gateway, tmp_path: Path) -> None:
    job = job_of(gateway, TARIFF_NOW, rows_of(tmp_path, "abonent_id;Тариф\n9001;3\n9002;77\n9003;99999999999\n"))
    done = await prepared(job)
    assert [one.label for one in done.items] == ["00123"]
    assert told(done) == [
        (3, "Тариф", "the billing has no tariff 77, or it is deleted"),
        (4, "Тариф", "'99999999999' is not an id: the largest possible one is 2147483647"),
    ]


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        (
            TARIFF_NEXT,
            {"tariff": "77", "date": "2030-01-01"},
            "tariff: the billing has no tariff 77, or it is deleted",
        ),
        (
            CONNECT_SERVICE,
            {"folder": "2001", "usluga": "240", "manager": "34"},
            "folder: the billing has no folder 2001, or it is deleted",
        ),
        (
            CONNECT_SERVICE,
            {"usluga": "240", "manager": "35"},
            "manager: the billing has no administrator 35, or it is deleted",
        ),
    ],
)
async def test_what_is_given_for_all_rows_is_refused_as_a_parameter(
    gateway: Gateway, kind: JobSpec, given: dict[str, str], why: str
) -> None:
    with pytest.raises(ParameterRefused) as refused:
        await job_of(gateway, kind, Input(file="rows.csv"), **given).check()
    assert str(refused.value) == why


async def test_what_is_there_passes(gateway: Gateway) -> None:
    await job_of(gateway, CONNECT_SERVICE, Input(), folder="89", usluga="240", manager="33").check()
    await job_of(gateway, TARIFF_NOW, Input(), tariff="6").check()
    await job_of(gateway, OPERATOR, Input(), operator="1444", **{"from": "3"}).check()


async def test_a_placeholder_that_is_named_as_a_field_of_the_billing_refers_as_well(gateway: Gateway) -> None:
    links = ['objects.get {"id": {id}}', 'set {"tarif_id": {tarif_id}}', "save"]
    chain = {"model": "Abonents", "chain": chain_text(links)}
    job = job_of(gateway, call_kind(chain), Input(), **chain, tarif_id="77", id="9001")
    with pytest.raises(ParameterRefused, match="tarif_id: the billing has no tariff 77"):
        await job.check()


async def test_operators_have_a_table_that_only_a_database_shows(client: BillingClient, database: Database) -> None:
    job = job_of(Gateway(client, database), OPERATOR, Input(), operator="5")
    with pytest.raises(ParameterRefused, match="operator: the billing has no operator 5"):
        await job.check()
    job = job_of(Gateway(client), OPERATOR, Input(), operator="5")
    await job.check()
    assert job.cautions == (
        "operator 5 was not checked: nothing has it yet, and the billing's table of operators is not known",
    )


async def test_where_the_table_is_not_known_an_id_that_is_in_use_is_there(
    client: BillingClient, database: Database, execute: Execute
) -> None:
    execute("update users set pull = 6 where id = (select min(id) from users where deleted = 0)")
    gateway = Gateway(client, database)
    for kind, given, noun in ((IP_POOL, {"pool": "777"}, "pool"), (ATTRIBUTE, {"attribute": "9999"}, "attribute")):
        job = job_of(gateway, kind, Input(), **given)
        await job.check()
        (note,) = job.cautions
        assert note.startswith(f"{noun} {next(iter(given.values()))} was not checked: nothing has it yet")
    job = job_of(gateway, IP_POOL, Input(), pool="6")
    await job.check()
    assert job.cautions == ()


async def test_what_is_deleted_is_not_there(client: BillingClient, database: Database, execute: Execute) -> None:
    execute("update abonents set deleted = 1 where id = 1400")
    for gateway in (Gateway(client, database), Gateway(client)):
        assert await References(gateway).missing("Folder", {"89", "1400"}) == {"1400"}


async def test_a_column_that_marks_what_is_deleted_counts_where_it_is_there(
    client: BillingClient, billing_file: Path, execute: Execute
) -> None:
    execute("update tarif set deleted = 1 where id = 4")
    with Database(Dsn(str(billing_file))) as database:
        missing = await References(Gateway(client, database)).missing("Tarif", {"3", "4", "77"})
    assert missing == {"4", "77"}


async def test_an_id_is_asked_for_once_and_what_is_remembered_is_bounded(
    client: BillingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.access.references.REMEMBERED", 3)
    asked: list[int] = []
    gateway = Gateway(client)

    async def ask(calls: list[object]) -> list[object]:
        asked.append(len(calls))
        return [[{"pk": 1, "fields": {"id": 1}}] for _ in calls]

    monkeypatch.setattr(Gateway, "ask", lambda _self, calls: ask(calls))
    references = References(gateway)
    assert await references.missing("Tarif", {"1", "2"}) == set()
    assert await references.missing("Tarif", {"1", "2"}) == set()
    assert await references.missing("Tarif", {"3"}) == set()
    assert await references.missing("Tarif", {"4"}) == set()
    assert await references.missing("Tarif", {"1"}) == set()
    assert asked == [2, 1, 1, 1]


async def test_two_pages_beside_each_other_forget_nothing_of_each_other(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of ids is emptied when it is full, also while another page waits for an answer."""
    monkeypatch.setattr("jobs.access.references.REMEMBERED", 2)
    references = References(gateway)
    assert await references.missing("Tarif", {"77"}) == {"77"}
    missing: dict[str, set[str]] = {}

    async def ask(*ids: str) -> None:
        missing[ids[0]] = await references.missing("Tarif", ids)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "77", "78")
        group.start_soon(ask, "79", "80", "81")
    assert missing == {"77": {"77", "78"}, "79": {"79", "80", "81"}}
