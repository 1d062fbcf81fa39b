"""A page of many rows asks the database as often as a page of few: not once for each row."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import anyio.to_thread
import pytest

from billing.api.client import BillingClient
from billing.database.database import Database, direct
from billing.database.dsn import Dsn
from billing.database.reader import DatabaseRows, Reader
from billing.database.sql_blocks import Value
from checkpoints.journal import Journal
from checkpoints.records import Item
from engine.job import Job
from jobs.access.gateway import Gateway
from jobs.catalogue.catalogue import BUILT_IN
from jobs.spec.undo_words import RUN
from jobs.undo import build_undo
from tests.checkpoints.samples import sending_item
from tests.jobs.making import RUN as A_RUN
from tests.jobs.making import job_of, rows_of
from tests.jobs.test_undo import done

FEW, MANY = 3, 40
KINDS: Sequence[tuple[str, Mapping[str, str], Mapping[str, str]]] = (
    ("balances", {"amount": "50.50"}, {"way": "opposite", "type_8": "sets"}),
    ("balances", {"amount": "50.50", "op_type": "1"}, {"way": "storno"}),
    ("warning-threshold", {"amount": "-77"}, {}),
    ("operator", {"operator": "1444"}, {}),
)


class CountingReader:
    """A reader that counts its selects."""

    def __init__(self, inner: Reader, counted: list[str]) -> None:
        self._inner = inner
        self._counted = counted
        self.describe, self.break_off, self.close = inner.describe, inner.break_off, inner.close

    def select(self, sql: str, values: Sequence[Value]) -> DatabaseRows:
        self._counted.append(sql)
        return self._inner.select(sql, values)


@pytest.fixture
def selects() -> list[str]:
    """The selects so far."""
    return []


@pytest.fixture
def counted(client: BillingClient, billing_file: Path, selects: list[str]) -> Iterator[Gateway]:
    with Database(Dsn(str(billing_file)), lambda dsn: CountingReader(direct(dsn), selects)) as database:
        yield Gateway(client, database)


async def _for_a_page(job: Job, rows: int, selects: list[str]) -> int:
    """The number of selects for the first so many rows."""
    page = await anyio.to_thread.run_sync(lambda: next(job.source.pages(None)))
    assert len(page.rows) >= rows
    # What is asked once a run is asked now.
    await job.prepare(page.rows[:1])
    before = len(selects)
    prepared = await job.prepare(page.rows[:rows])
    assert len(prepared.items) == rows
    await job.find_entries(prepared.items)
    return len(selects) - before


def _subscribers(gateway: Gateway) -> str:
    """A file of subscribers who share no account."""
    assert gateway.database is not None
    ids = gateway.database.query(
        "select min(id) from abonents where is_folder = 0 and deleted = 0 group by account_id order by 1"
    )
    return "\n".join(["abonent_id", *(str(key) for (key,) in ids)]) + "\n"


@pytest.mark.parametrize(("name", "given", "how"), KINDS)
async def test_plan_and_undo_ask_as_often_for_many_rows_as_for_few(
    name: str,
    given: Mapping[str, str],
    how: Mapping[str, str],
    counted: Gateway,
    selects: list[str],
    journal: Journal,
    tmp_path: Path,
) -> None:
    rows = rows_of(tmp_path, _subscribers(counted))
    job = job_of(counted, BUILT_IN.named(name), rows, **given)
    assert await _for_a_page(job, FEW, selects) == await _for_a_page(job, MANY, selects) > 0
    run = await done(counted, journal, name, rows, given)
    undo = await build_undo(counted, journal, {RUN: run.name, **how}, BUILT_IN)
    assert await _for_a_page(undo, FEW, selects) == await _for_a_page(undo, MANY, selects) > 0


@pytest.mark.parametrize("rows", [FEW, MANY])
@pytest.mark.parametrize(("name", "given"), [("balances", {"op_type": "2"}), ("connect-service", {})])
async def test_one_select_shows_what_others_have_entered_of_a_whole_group(
    name: str, given: Mapping[str, str], rows: int, counted: Gateway, selects: list[str], tmp_path: Path
) -> None:
    given = {"amount": "50.50", **given} if name == "balances" else {"usluga": "240", "manager": "33", **given}
    job = job_of(counted, BUILT_IN.named(name), rows_of(tmp_path, _subscribers(counted)), **given)
    page = await anyio.to_thread.run_sync(lambda: next(job.source.pages(None)))
    group = [sending_item(new, number) for number, new in enumerate((await job.prepare(page.rows[:rows])).items, 1)]
    # What is asked once a run is asked now.
    await job.look(A_RUN, group[:1], _no_mates)
    before = len(selects)
    assert len(await job.look(A_RUN, group, _no_mates)) == rows
    assert len(selects) - before == 1


async def _no_mates(_: Collection[str]) -> Sequence[Item]:
    return ()
