"""The jobs that read, each on the mock billing: what they ask, and what they are answered."""

import json
from pathlib import Path

import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.money import SCALE
from engine.evidence import Accepted
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault
from jobs.catalogue.readings import (
    ADMINISTRATORS,
    AT_IP,
    BLOCKED,
    BY_SMS,
    READINGS,
    SERVICES_ON_OFFER,
    SESSION_ACCOUNT,
    a_phone,
    an_address,
)
from jobs.rows.input import Input
from jobs.spec.spec import JobSpec
from tests.jobs.conftest import Execute
from tests.jobs.making import RUN, job_of, planned, prepared, refused, rows_of
from tests.jobs.whole_database import changes, whole

ADMINISTRATOR = {
    "id": 33,
    "username": "migration",
    "name": "Миграция",
    "email": "migration@example.org",
    "is_active": 1,
}
AT_THAT_ADDRESS = {
    "id": 4084,
    "login": "user4084",
    "abonent__name": "Иванов Александр Александрович",
    "abonent__contract_number": "Д94/2018",
}
WITH_THAT_NUMBER = {
    "id": 1111,
    "name": "Иванов Александр Александрович",
    "contract_number": "test",
    "sms": "+71234567899",
}

CASES: tuple[tuple[JobSpec, dict[str, str], object], ...] = (
    (ADMINISTRATORS, {}, ADMINISTRATOR),
    (AT_IP, {"ip": "127.1.2.3"}, AT_THAT_ADDRESS),
    (BY_SMS, {"sms": "8 123 456-78-99"}, WITH_THAT_NUMBER),
    (BLOCKED, {"user_id": "4084"}, {"login": "user4084", "ip": "127.1.2.3"}),
    (
        SESSION_ACCOUNT,
        {"suid": "12345"},
        {
            "id": 4084,
            "login": "user4084",
            "ip": "127.1.2.3",
            "abonent_id": 94,
            "abonent__name": "Иванов Александр Александрович",
            "abonent__contract_number": "Д94/2018",
        },
    ),
    (
        SERVICES_ON_OFFER,
        {"abonent_id": "94"},
        {"service": "offered", "pk": 127, "name": "Услуга 127", "summa": "450.00"},
    ),
)


@pytest.fixture
def gateway(client: BillingClient, database: Database, execute: Execute, tmp_path: Path) -> Gateway:
    execute("insert into cabinet_sessions (id, suid, user_id, created) values (1, '12345', 4084, '2026-05-01')")
    return Gateway(client, database, vault=Vault(tmp_path / "secrets"))


def test_each_has_its_case_and_none_of_them_writes() -> None:
    assert {kind.name for kind, _, _ in CASES} == {kind.name for kind in READINGS}
    assert not any(kind.writes for kind in READINGS)


@pytest.mark.parametrize(("kind", "given", "object_"), CASES, ids=lambda one: getattr(one, "name", ""))
async def test_a_job_that_reads(
    gateway: Gateway, database: Database, kind: JobSpec, given: dict[str, str], object_: dict[str, object]
) -> None:
    job = job_of(gateway, kind, Input(), **given)
    (item,) = await planned(job)
    before = whole(database)
    evidence = await job.effect.send(RUN, item)
    assert isinstance(evidence, Accepted), evidence
    answered = json.loads(evidence.answer or "")
    assert any(object_.items() <= one.items() for one in answered), answered
    assert changes(before, whole(database)) == {}


@pytest.mark.parametrize(
    "text",
    [
        "+79123456789",
        "8 912 345-67-89",
        "89123456789",
        "79123456789",
        "9123456789",
        "8 (912) 345 67 89",
        " +7\u00a0912 345–67–89 ",
    ],
)
def test_a_number_is_read_however_people_write_it(text: str) -> None:
    assert a_phone(text) == "+79123456789"


@pytest.mark.parametrize(
    "text", ["", "+", "12345", "8912345678", "+7912345678", "+7912345678a", "891234567890", "٨٩١٢٣٤٥٦٧٨٩"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        a_phone(text)


def test_a_foreign_number_stays_as_it_is() -> None:
    assert a_phone("+380 44 123-45-67") == "+380441234567"
    assert an_address(" 10.0.0.1 ") == "10.0.0.1"


async def test_the_row_says_how_its_number_was_read(gateway: Gateway, tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "телефон\n8 123 456-78-99\n+71234567898\n")
    one, two = await planned(job_of(gateway, BY_SMS, rows))
    assert (one.key, one.label) == ("+71234567899", "8 123 456-78-99, read as +71234567899")
    assert (two.key, two.label) == ("+71234567898", "+71234567898")
    bad = rows_of(tmp_path, "телефон\n12\n")
    assert await refused(job_of(gateway, BY_SMS, bad)) == [
        "2 телефон: '12' has 2 digits: a number is written as +79123456789 or 8 912 345-67-89"
    ]
    assert await refused(job_of(gateway, AT_IP, rows_of(tmp_path, "ip\n1.2.3\n"))) == [
        "2 ip: '1.2.3' is not an address such as 127.1.2.3"
    ]


async def test_who_is_blocked_comes_out_of_the_database(gateway: Gateway, execute: Execute) -> None:
    for abonent, balance, limit, blocked in [
        (1, -101, -100, ""),
        (2, -100, -100, ""),
        (3, 50, None, ""),
        (4, -1, None, ""),
        (5, 50, 0, "open"),
        (6, 50, 0, "2019-06-03"),
        (7, -500, -100, "deleted"),
    ]:
        key = 9200 + abonent
        execute(
            'insert into admin_accounts (id, ostatok, "limit") values (?, ?, ?)',
            *(key, balance * SCALE, None if limit is None else limit * SCALE),
        )
        gone = int(blocked == "deleted")
        execute(
            "insert into abonents (id, account_id, contract_number, deleted) values (?, ?, ?, ?)",
            *(key, key, f"N{key}", gone),
        )
        execute("insert into users (id, abonent_id, login) values (?, ?, ?)", 90000 + abonent, key, f"u{abonent}")
        if blocked and not gone:
            execute(
                "insert into abonents_block_history (id, abonent_id, time_changed, time_del) "
                "values (?, ?, '2019-05-20', ?)",
                *(key, key, None if blocked == "open" else blocked),
            )
    job = job_of(gateway, BLOCKED, Input())
    assert job.source.header == ("user_id", "account", "abonent_id", "contract_number")
    done = await prepared(job)
    assert done.refusals == ()
    ours = [item.row for item in done.items if int(item.key) > 90000]
    assert ours == [
        ("90001", "u1", "9201", "N9201"),
        ("90004", "u4", "9204", "N9204"),
        ("90005", "u5", "9205", "N9205"),
    ]
