"""Jobs on subscribers: whom the own select chooses, and what the billing does with a recalculation."""

from pathlib import Path

import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from engine.errors import InputRefused
from engine.job import Absent, ReadBack
from jobs.access.gateway import Gateway
from jobs.catalogue.subscribers import BLOCK_HISTORY, OPERATOR, RECALCULATE, VOLUNTARY_BLOCK
from jobs.effects.effect import Irreversible
from jobs.rows.input import Input
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import parameters_of
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import Execute
from tests.jobs.making import effect_of, job_of, planned, prepared, readings, refused, rows_of, sent, sightings

OTHER = 5


async def test_all_of_an_operator(client: BillingClient, database: Database, execute: Execute) -> None:
    execute("insert into operators (id, name) values (?, 'Третий')", OTHER)
    execute("update abonents set operator_id = ? where id in (9001, 9003, 9006)", OTHER)
    gateway = Gateway(client, database)
    job = job_of(gateway, OPERATOR, Input(), **{"from": str(OTHER), "operator": "1444"})
    items = await planned(job)
    # 9006 is deleted.
    assert [one.key for one in items] == ["9001", "9003"]
    await sent(job, items)
    query = "select id from abonents where operator_id = 1444 and id > 9000 order by id"
    assert [key for (key,) in database.query(query)] == [9001, 9003]
    assert (await prepared(job_of(gateway, OPERATOR, Input(), **{"from": str(OTHER), "operator": "3"}))).items == ()


async def test_an_operator_is_named_or_rows_are_given(
    client: BillingClient, database: Database, tmp_path: Path
) -> None:
    gateway = Gateway(client, database)
    with pytest.raises(InputRefused, match="give --set from=… for the job's own select, or name a file"):
        _ = job_of(gateway, OPERATOR, Input(), operator="3").source
    rows = rows_of(tmp_path, "abonent_id\n2001\n")
    for rows_elsewhere in (rows, Input(sql="select id as abonent_id from abonents")):
        with pytest.raises(InputRefused, match=r"^--set from=… chooses rows for the job's own select"):
            _ = job_of(gateway, OPERATOR, rows_elsewhere, **{"from": "3", "operator": "3"}).source
    # A select that asks for it makes it count.
    asking = Input(sql="select id as abonent_id from abonents where operator_id = :from and id < 2010")
    assert job_of(gateway, OPERATOR, asking, **{"from": "3", "operator": "1444"}).source.header == ("abonent_id",)


async def test_a_recalculation_that_is_done_already_is_as_wanted(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    job = job_of(gateway, RECALCULATE, rows_of(tmp_path, "abonent_id\n9001\n"), since=first_of(-2))
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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (first_of(-7), "7 months back: the billing recalculates 6 at most"),
        (first_of(0)[:-2] + "15", "is not the first of a month: a recalculation begins with one, as"),
        (first_of(1), "is still to come"),
        ("June", "'June' is not a date: write it as 2019-06-01 or 01.06.2019"),
    ],
)
def test_when_a_recalculation_may_begin(text: str, why: str) -> None:
    with pytest.raises(ParameterRefused, match=why):
        parameters_of(RECALCULATE, {"since": text})


@pytest.mark.parametrize("months", [0, -6])
def test_the_first_and_the_last_month(months: int) -> None:
    day = first_of(months)
    assert parameters_of(RECALCULATE, {"since": ".".join(reversed(day.split("-")))})["since"] == day


@pytest.mark.parametrize(
    ("kind", "header", "first", "last"),
    [
        (VOLUNTARY_BLOCK, "abonent_id;start;end", "2020-07-31", "01.07.2020"),
        (BLOCK_HISTORY, "id;time_changed;time_del", "2020-07-01 00:00:01", "01.07.2020"),
    ],
    ids=lambda one: getattr(one, "name", None),
)
async def test_a_block_ends_after_it_begins(
    gateway: Gateway, tmp_path: Path, kind: object, header: str, first: str, last: str, execute: Execute
) -> None:
    execute("insert into abonents_block_history (id, abonent_id) values (9001, 9001)")
    assert kind in (VOLUNTARY_BLOCK, BLOCK_HISTORY)
    chosen = VOLUNTARY_BLOCK if kind is VOLUNTARY_BLOCK else BLOCK_HISTORY
    (told,) = await refused(job_of(gateway, chosen, rows_of(tmp_path, f"{header}\n9001;{first};{last}\n")))
    assert "before it begins at 2020-07-" in told
