"""The example of each job, as it is typed: it has rows, and what is sent is what the job says of its call."""

import re
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.api.calls import Call, describe
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from cli.session.order import parse_input, parse_order
from cli.settings.flags import CallFlags, RowFlags, parse_pairs
from engine.evidence import Evidence
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.effects.factory import effect_of
from jobs.job import BillingJob, build
from jobs.spec.spec import JobSpec
from lab.mock.server import MockBilling
from tests.checkpoints.samples import sending_item
from tests.jobs.catalogue.months import first_of
from tests.jobs.making import RUN, prepared

EACH = pytest.mark.parametrize("kind", JOBS.values(), ids=list(JOBS))

CELLS = {
    "abonent_id": "2001",
    "contract_number": "Н-2026/1",
    "name": "Иванов Иван",
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


NEEDED = {"import": ("contract_number", "name")}
"""The columns of a job whose effect is asked for none of them."""


class Noting(BillingClient):
    def __init__(self, url: str) -> None:
        super().__init__(ClientSettings(url), patience=Patience(attempts=1))
        self.sent: list[str] = []

    async def send(self, call: Call, *, row: int | None = None) -> Evidence:
        self.sent.append(describe(call))
        return await super().send(call, row=row)


@pytest.fixture(scope="session")
def billing_template(thousand_subscribers: Path) -> Path:
    return thousand_subscribers


@pytest.fixture
async def client(mock_billing: MockBilling) -> AsyncIterator[Noting]:
    async with Noting(mock_billing.url) as client:
        yield client


@pytest.fixture
def gateway(client: Noting, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.chdir(tmp_path)
    return Gateway(client, database, vault=Vault(tmp_path / "secrets", "a" * 16))


@EACH
async def test_an_example_works_and_sends_what_the_job_says_of_its_call(
    kind: JobSpec, gateway: Gateway, client: Noting
) -> None:
    """Planned on the mock billing, it has rows, and none that is refused."""
    job = example_of(kind, gateway)
    done = await prepared(job)
    # The vendor's own select, which `call` shows, has the deleted subscribers of the folder too.
    unusable = {one.reason for one in done.refusals if not (kind.name == "call" and "is deleted" in one.reason)}
    assert unusable == set()
    await job.effect.send(RUN, sending_item(done.items[0]))
    said = kind.call.split("; then ")
    assert len(client.sent) == len(said)
    for text, sent in zip(said, client.sent, strict=True):
        # What it is to be answered with besides is the effect's own.
        assert re.fullmatch(pattern(text.partition(" | ")[0]), sent.partition(" | ")[0]), sent


def pattern(text: str) -> str:
    """What matches a call as it is sent: a value in each placeholder's place, dots in that of a secret."""
    parts = re.split(r'("\{\w+\}"|\{\w+\}| \[cm RUN/ROW\]|…)', text)
    values = {" [cm RUN/ROW]": r" ?\[cm k7m2q/1\]"}
    return "".join(
        values.get(part, '("[^"]*"|•••)' if part.startswith('"') else "[^,()]*") if place % 2 else re.escape(part)
        for place, part in enumerate(parts)
    )


def example_of(kind: JobSpec, gateway: Gateway) -> BillingJob:
    typed = read(kind.example)
    order = parse_order(
        typed.job,
        parse_input(typed.file, RowFlags(sql=typed.sql)),
        parse_pairs(typed.settings, "--set") | typed.calling.parameters,
        BUILT_IN,
    )
    assert order.kind.name == kind.name
    if typed.file:
        needed = effect_of(gateway, order.kind, order.parameters).names or NEEDED[kind.name]
        said = {one.name for one in kind.parameters if one.has_default}
        header = [name for name in needed if not order.parameters.get(name) and name not in said]
        write(Path(typed.file), [header, [CELLS[name] for name in header]])
    return build(order.kind, gateway, order.parameters, order.rows)


def write(path: Path, rows: list[list[str]]) -> None:
    path.write_text("\n".join(";".join(cells) for cells in rows) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Line:
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


@EACH
def test_a_call_is_known_by_the_job_that_makes_it(kind: JobSpec) -> None:
    # What `blocked` asks of each account is asked for many a reason; `call` shows what another job does. None of the
    # calls of an import is one alone.
    known = {"blocked": None, "call": "warning-threshold", "import": None}.get(kind.name, kind.name)
    # A payment by an operation with a mark is what `balances` does as well; its other way is its own.
    given = {one.name: one.choices[-1] if one.choices else one.default or "" for one in kind.parameters}
    found = BUILT_IN.like(kind.template(given if kind.name == "payment" else None), {kind.varying})
    assert (found and found.name) == known
