"""A job that sets fields is tried without a word about it: its trial is made of its spec."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from billing.database.dsn import Dsn
from jobs.spec.parameters import SUBSCRIBER, Parameter, a_date, a_moment, an_id
from jobs.spec.spec import JobSpec
from lab.crash.fields import fields_now, money_field, wanted_fields
from lab.crash.trials import TRIALS, By, trial_of_fields
from lab.mock.connection import MockConnection

NEW = JobSpec(
    name="tariff-and-block",
    recipes=(),
    summary="a job of two fields that the catalogue does not have",
    model="Abonents",
    chain=(
        'objects.get {"id": {abonent_id}}',
        'set {"tarif_next_id": {tariff}, "own_disabled_start": "{start}"}',
        "save",
    ),
    example="carbon-migrate run tariff-and-block subscribers.csv",
    parameters=(
        *SUBSCRIBER,
        Parameter("tariff", "id of the tariff", parse=an_id, refers_to="Tarif", columns=()),
        Parameter("start", "the first day", parse=a_date, columns=()),
    ),
)


@pytest.fixture
def billing(billing_file: Path, tmp_path: Path) -> Iterator[MockConnection]:
    connection = MockConnection(Dsn(str(shutil.copy(billing_file, tmp_path / "own.fdb"))))
    yield connection
    connection.close()


def test_a_new_job_of_two_fields_needs_no_trial_of_its_own() -> None:
    trial = trial_of_fields(NEW)
    assert trial.header == ("abonent_id", "tariff", "start")
    assert (trial.job, trial.model, trial.by, trial.once) == ("tariff-and-block", "Abonents", By.OBJECT, False)
    tariff, start = (cell(Random(1)) for cell in trial.drawn)
    assert an_id(tariff) == tariff
    assert a_date(start) == start


def test_what_is_wanted_is_what_the_billing_has_once_it_is_set(billing: MockConnection) -> None:
    chain = NEW.template()
    wanted = wanted_fields(chain, {"abonent_id": "2001", "tariff": "5", "start": "2035-02-03"})
    assert fields_now(chain, billing)["2001"] != wanted
    billing.execute("update abonents set tarif_next_id = 5, own_disabled_start = '2035-02-03' where id = 2001")
    assert fields_now(chain, billing)["2001"] == wanted == "5 2035-02-03"


def test_an_account_is_known_by_its_subscriber_and_a_service_by_both(billing: MockConnection) -> None:
    limits = TRIALS["cutoff-limit"].sets
    charges = TRIALS["next-charge"].sets
    assert limits is not None
    assert charges is not None
    ((account,),) = billing.execute("select account_id from abonents where id = 2001")
    billing.execute('update admin_accounts set "limit" = 125000000000 where id = ?', (account,))
    assert fields_now(limits, billing)["2001"] == wanted_fields(limits, {"abonent_id": "2001", "amount": "12.5"})
    ((subscriber, service),) = billing.execute(
        "select first 1 abonent_id, usluga_id from users_usluga where deleted = 0 order by id"
    )
    billing.execute("update users_usluga set next_date = '2035-02-03 04:05:06' where abonent_id = ?", (subscriber,))
    moment = a_moment("2035-02-03 04:05:06")
    row = {"abonent_id": str(subscriber), "usluga_id": str(service), "next_date": moment}
    assert fields_now(charges, billing)[f"{subscriber}/{service}"] == wanted_fields(charges, row) == moment


def test_money_is_compared_as_money() -> None:
    fields = {name: money_field(trial.sets) for name, trial in TRIALS.items() if trial.sets is not None}
    assert {name for name, field in fields.items() if field} == {
        "warning-threshold",
        "tariff-threshold",
        "cutoff-limit",
        "call",
    }
