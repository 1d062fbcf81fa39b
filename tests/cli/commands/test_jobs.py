"""The catalogue as it is shown, and the examples that it gives."""

import json
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.database.dsn import Dsn
from cli.commands.jobs import as_object
from cli.session.order import given_values, parse_input, parse_order
from cli.settings.order_flags import CallFlags, RowFlags
from jobs.access.gateway import Gateway
from jobs.catalogue.catalogue import JOBS
from jobs.effects.factory import effect_of
from jobs.job import build
from jobs.spec.spec import JobSpec
from jobs.spec.statements import own_select
from lab.mock.server import MockBilling
from tests.cli.conftest import Typed
from tests.jobs.catalogue.months import first_of
from tests.jobs.making import prepared

EACH = pytest.mark.parametrize("kind", JOBS.values(), ids=list(JOBS))


def test_all_jobs_have_a_line_and_those_that_read_are_marked(typed: Typed) -> None:
    lines = typed("jobs").out.splitlines()
    for name, kind in JOBS.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert kind.summary in line
        assert (line.split()[1] == "reads") is not kind.writes


@EACH
def test_one_job_is_shown_with_all_that_is_known_of_it(typed: Typed, kind: JobSpec) -> None:
    shown = " ".join(typed("jobs", kind.name).out.split())
    for text in (kind.summary, kind.call, kind.undo, kind.example, *own_select(kind).splitlines()):
        assert " ".join(text.split()) in shown
    for one in (*kind.parameters, *kind.undo_parameters):
        assert f" {one.name} " in shown
        assert one.help in shown
        for column in one.columns or ():
            assert column in shown


@EACH
def test_a_machine_is_told_the_same(typed: Typed, kind: JobSpec) -> None:
    told = json.loads(typed("jobs", kind.name, "--json").out)
    assert told == as_object(kind)
    assert told["name"] == kind.name
    assert [one["name"] for one in told["parameters"]] == [one.name for one in kind.parameters]


def test_all_of_them_are_told(typed: Typed) -> None:
    assert [one["name"] for one in json.loads(typed("jobs", "--json").out)] == list(JOBS)
    refused = typed("jobs", "operater")
    assert refused.exit == 2
    assert "did you mean 'operator'?" in refused.words


# ---- the examples -----------------------------------------------------------------------------------------------

CELLS = {
    "abonent_id": "2001",
    "user_id": "324",
    "login": "user324",
    "amount": "50,50",
    "since": first_of(-1),
    "value": "да",
    "suid": "12345",
    "psw": "geheim",
    "op_id": "1",
    "code1c": "00-0001",
}
"""What the file of an example has, by the columns that the job needs of it."""


@pytest.fixture
async def client(mock_billing: MockBilling) -> AsyncIterator[BillingClient]:
    async with BillingClient(ClientSettings(mock_billing.url), patience=Patience(attempts=1)) as client:
        yield client


@EACH
async def test_an_example_works(
    kind: JobSpec, client: BillingClient, billing_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned on the mock billing, it has rows, and none that is refused."""
    monkeypatch.chdir(tmp_path)
    typed = read(kind.example)
    order = parse_order(
        typed.job, parse_input(typed.file, RowFlags(sql=typed.sql)), given_values(typed.settings, typed.calling)
    )
    assert order.kind.name == kind.name
    with Database(Dsn(str(billing_file))) as database:
        services = Gateway(client, database)
        if typed.file:
            needed = effect_of(services, order.kind, order.parameters).names
            optional = {one.name for one in kind.parameters if one.optional}
            header = [name for name in needed if not order.parameters.get(name) and name not in optional]
            rows = [header, [CELLS[name] for name in header]]
            write(Path(typed.file), rows)
        done = await prepared(build(order.kind, services, order.parameters, order.rows))
    # The vendor's own select, which `call` shows, has the deleted subscribers of the folder too.
    unusable = {one.reason for one in done.refusals if not (kind.name == "call" and "is deleted" in one.reason)}
    assert unusable == set()
    assert done.items


def write(path: Path, rows: list[list[str]]) -> None:
    path.write_text("\n".join(";".join(cells) for cells in rows) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Line:
    """A command line of an example, as the program reads it."""

    job: str
    file: str | None
    settings: list[str]
    sql: str | None
    calling: CallFlags


def read(example: str) -> Line:
    program, command, job, *words = shlex.split(example)
    assert (program, command) == ("carbon-migrate", "run")
    flags: dict[str, list[str]] = {}
    file = words.pop(0) if words and not words[0].startswith("-") else None
    for flag, value in zip(words[::2], words[1::2], strict=True):
        flags.setdefault(flag, []).append(value)
    assert flags.keys() <= {"--set", "--sql", "--model", "--chain", "-o"}
    sql, model = (next(iter(flags.get(name, [])), None) for name in ("--sql", "--model"))
    return Line(job, file, flags.get("--set", []), sql, CallFlags(model=model, chain=flags.get("--chain")))
