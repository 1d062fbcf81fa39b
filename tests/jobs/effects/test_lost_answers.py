"""Calls whose answers are lost, with their effect and without: only a look-up decides, and it decides rightly."""

from pathlib import Path

import msgspec
import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from checkpoints.records import Item, Run
from engine.evidence import Accepted, Lost
from engine.job import Absent, Effect, Found, Job
from jobs.access.gateway import Gateway
from jobs.catalogue.money import BALANCES, PAYMENT
from jobs.catalogue.services import ATTRIBUTE, CONNECT_SERVICE, DELETE_SERVICES
from jobs.catalogue.subscribers import DELETE_ACCOUNT
from jobs.spec.spec import JobSpec
from lab.mock.faults import Fault, FaultKind, FaultPlan
from lab.mock.server import MockBilling
from tests.jobs.conftest import Execute
from tests.jobs.making import (
    RUN,
    UNDO_RUN,
    effect_behind,
    effect_of,
    job_of,
    planned,
    rows_of,
    sent,
    sightings,
    undone,
)
from tests.jobs.whole_database import changes, whole

JOBS: tuple[tuple[JobSpec, str, dict[str, str], dict[str, str]], ...] = (
    (BALANCES, "abonent_id;amount\n9001;50,50\n", {}, {"way": "storno"}),
    (BALANCES, "abonent_id;amount\n9001;50,50\n", {"op_type": "2", "key": "code1c"}, {"way": "opposite"}),
    (CONNECT_SERVICE, "abonent_id\n9001\n", {"usluga": "240", "manager": "33"}, {}),
    (ATTRIBUTE, "abonent_id;attribute;value\n9001;7;да\n", {}, {}),
    (DELETE_SERVICES, "id\n90001\n", {}, {}),
    (PAYMENT, "abonent_id;amount;number\n9001;5;17\n", {}, {"way": "opposite"}),
)
"""Each with the rows, its parameters, and how it is taken back."""


@pytest.fixture
def gateway(client: BillingClient, database: Database, execute: Execute) -> Gateway:
    execute("insert into users_usluga (id, abonent_id, usluga_id, manager_id) values (90001, 9002, 126, 33)")
    execute("insert into users (id, abonent_id, login) values (90001, 9002, 'ivanov')")
    return Gateway(client, database)


async def lost(does: Job | Effect, run: Run, item: Item, server: MockBilling, kind: FaultKind) -> None:
    server.faults.set(FaultPlan((Fault(kind, times=1),)))
    evidence = await effect_behind(does).send(run, item)
    assert isinstance(evidence, Lost), evidence


async def in_the_end(does: Job | Effect, run: Run, item: Item, server: MockBilling, database: Database) -> Item:
    """Lost without its effect, sent again, lost with it, and found: what the engine does with it."""
    before = whole(database)
    await lost(does, run, item, server, FaultKind.CRASH_BEFORE)
    assert changes(before, whole(database)) == {}
    assert await sightings(does, [item], run) == [Absent()]
    await lost(does, run, item, server, FaultKind.RESET_AFTER)
    assert changes(before, whole(database)) != {}
    (sighting,) = await sightings(does, [item], run)
    assert isinstance(sighting, Found), sighting
    return msgspec.structs.replace(item, answer=sighting.answer)


@pytest.mark.parametrize(("kind", "text", "given", "how"), JOBS, ids=lambda one: getattr(one, "name", None))
async def test_a_lost_call_and_a_lost_undo_have_their_effect_once(
    gateway: Gateway,
    mock_billing: MockBilling,
    tmp_path: Path,
    database: Database,
    kind: JobSpec,
    text: str,
    given: dict[str, str],
    how: dict[str, str],
) -> None:
    job = job_of(gateway, kind, rows_of(tmp_path, text), **given)
    (item,) = await planned(job)
    done = await in_the_end(job, RUN, item, mock_billing, database)

    undo = await undone(effect_of(gateway, kind, **given), [done], **how)
    (back,) = undo.items
    await in_the_end(undo.effect, UNDO_RUN, back, mock_billing, database)


async def test_a_lost_deletion_of_an_account(
    gateway: Gateway, mock_billing: MockBilling, tmp_path: Path, database: Database
) -> None:
    job = job_of(gateway, DELETE_ACCOUNT, rows_of(tmp_path, "login\nivanov\n"))
    (item,) = await planned(job)
    done = await in_the_end(job, RUN, item, mock_billing, database)
    assert '"login":"ivanov"' in (done.answer or "")


@pytest.mark.parametrize(
    ("kind", "text", "given"), [one[:3] for one in JOBS], ids=lambda one: getattr(one, "name", None)
)
async def test_an_answer_to_somebody_else_is_no_answer(
    gateway: Gateway, mock_billing: MockBilling, tmp_path: Path, kind: JobSpec, text: str, given: dict[str, str]
) -> None:
    other = job_of(gateway, BALANCES, rows_of(tmp_path, "abonent_id;amount\n9003;1\n"))
    # Only what was answered while a plan was set is handed on.
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.FOREIGN, times=1, requests=((9, None),)),)))
    await sent(other, await planned(other))
    job = job_of(gateway, kind, rows_of(tmp_path, text), **given)
    items = [msgspec.structs.replace(one, number=7) for one in await planned(job)]
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.FOREIGN, times=1),)))
    assert isinstance(await job.effect.send(RUN, items[0]), Lost)
    assert [isinstance(one, Found) for one in await sightings(job, items)] == [True]


async def test_what_waits_in_a_stack_is_not_absent(
    gateway: Gateway, mock_billing: MockBilling, tmp_path: Path
) -> None:
    """Accepted is not applied: while the entry waits, its absence proves nothing."""
    job = job_of(gateway, CONNECT_SERVICE, rows_of(tmp_path, "abonent_id\n9001\n"), usluga="240", manager="33")
    items = await planned(job)
    mock_billing.stack_rate = 0.001
    evidence = await job.effect.send(RUN, items[0])
    assert isinstance(evidence, Accepted)
    assert await sightings(job, items) == [Absent()]
    assert await job.effect.unfinished_work(items) == "EVENTS_STACK_COMPACT holds 1 entry"
    mock_billing.stack_rate = 0
    await mock_billing.wait_for_stacks()
    assert await job.effect.unfinished_work(items) is None
    assert await sightings(job, items) == [Found(evidence.answer, marked=True)]
