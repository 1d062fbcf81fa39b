"""New subscribers, folders and accounts by a typed call: found again by what is theirs alone, and taken back."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from billing.api.client import BillingClient
from billing.database.database import Database
from engine.evidence import Accepted, AlreadyThere, RowRefused
from engine.job import Different, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault
from jobs.billing_job import BillingJob
from jobs.catalogue.typed_call import call_kind
from jobs.effects.factory import effect_of
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import Step
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import parameters_of
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.importing import planned as plan_steps
from tests.jobs.importing import subscriber
from tests.jobs.making import RUN, UNDO_RUN, planned, prepared, readings, refused, rows_of, sent, sightings, undone

PERSON = 'objects.create {"contract_number": "{number}", "name": "{name}", "parent_id": 9100}'
SHELF = 'objects.create {"is_folder": 1, "name": "{name}", "parent_id": 9100}'
LOGIN = 'objects.create {"abonent_id": {abonent_id}, "login": "{login}", "pull": 6}'

CALLS = [
    ("Abonents", PERSON, "number;name\n00777;Новиков\n", "00777", "contract:00777"),
    ("Abonents", SHELF, "name\nНовая\n", "Новая/9100", "folders"),
    ("Users", LOGIN, "abonent_id;login\n9001;novikov\n", "novikov", "account:9001"),
]
"""Model, call, a row, and the item's key and lane."""


def calling(gateway: Gateway, model: str, chain: str, rows: Input) -> BillingJob:
    told = {"model": model, "chain": chain_text([chain])}
    kind = call_kind(told)
    return build(kind, gateway, parameters_of(kind, told), rows)


async def test_a_number_that_is_taken_is_refused_only_where_the_subscriber_is_another(
    gateway: Gateway, tmp_path: Path, execute: Execute
) -> None:
    job = calling(gateway, "Abonents", PERSON, rows_of(tmp_path, "number;name\n00777;Новиков\n00778;Попов\n"))
    items = [msgspec.structs.replace(one, attempts=0) for one in await planned(job)]
    # Between plan and call: the first is as this row wants it, the second is somebody else.
    for key, number, name in [(9777, "00777", "Новиков"), (9778, "00778", "Серов")]:
        execute(
            "insert into abonents (id, parent_id, name, contract_number) values (?, 9100, ?, ?)", key, name, number
        )
    first, second = [await job.effect.send(RUN, item) for item in items]
    assert first == AlreadyThere("already as wanted: somebody else has made it just before (id 9777)", "9777")
    # A row that was sent before may have made it, or somebody else has.
    sent_before = await job.effect.send(RUN, msgspec.structs.replace(items[0], attempts=1))
    assert isinstance(sent_before, Accepted)
    assert (sent_before.answer, sent_before.unproven, sent_before.created) == ("9777", True, False)
    assert isinstance(second, RowRefused)
    assert second.text == (
        "Номер договора уже закреплен: 00778; the billing has subscriber 9778 with name Серов, parent_id 9100"
    )
    assert isinstance((await sightings(job, items[1:]))[0], Different)


async def test_a_subscriber_with_another_name_is_no_new_one(gateway: Gateway, tmp_path: Path) -> None:
    job = calling(gateway, "Abonents", PERSON, rows_of(tmp_path, "number;name\n00123;Петров\n"))
    (reason,) = await refused(job)
    assert "contract_number 00123 has another value already: subscriber 9001 with name Иванов" in reason


async def test_a_folder_is_none_of_the_subscribers_of_its_name(gateway: Gateway, tmp_path: Path) -> None:
    job = calling(gateway, "Abonents", SHELF, rows_of(tmp_path, "name\nИванов\n"))
    assert [one.lane for one in await planned(job)] == ["folders"]


async def test_a_folder_at_the_top_is_found_there_alone(gateway: Gateway, tmp_path: Path) -> None:
    top = 'objects.create {"is_folder": 1, "name": "{name}", "parent_id": null}'
    job = calling(gateway, "Abonents", top, rows_of(tmp_path, "name\nСтранные\n"))
    assert [one.skip_reason for one in (await prepared(job)).items] == [f"already as wanted: folder {FOLDER}"]
    inside = calling(gateway, "Abonents", SHELF, rows_of(tmp_path, "name\nСтранные\n"))
    assert await planned(inside)


def test_whether_it_is_a_folder_is_written_in_the_call(client: BillingClient) -> None:
    told = {"model": "Abonents", "chain": chain_text(['objects.create {"is_folder": {what}, "name": "{name}"}'])}
    kind = call_kind(told)
    with pytest.raises(ParameterRefused, match="write is_folder as 1 or 0"):
        effect_of(Gateway(client), kind, parameters_of(kind, told))


@pytest.mark.parametrize("chain", ['objects.create {"name": "{name}"}', 'objects.create {"login": "x"}'])
def test_what_tells_it_from_others_is_in_the_call(client: BillingClient, chain: str) -> None:
    told = {"model": "Abonents", "chain": chain_text([chain])}
    kind = call_kind(told)
    with pytest.raises(ParameterRefused, match="has to say contract_number: by contract_number a subscriber is told"):
        effect_of(Gateway(client), kind, parameters_of(kind, told))


@pytest.mark.parametrize(("model", "chain", "text"), [one[:3] for one in CALLS[:2]], ids=["subscriber", "folder"])
async def test_what_something_hangs_on_is_not_deleted_again(
    gateway: Gateway, tmp_path: Path, execute: Execute, model: str, chain: str, text: str
) -> None:
    job = calling(gateway, model, chain, rows_of(tmp_path, text))
    (done,) = await sent(job, await planned(job))
    back = await undone(job.effect, [done])
    (item,) = back.items
    if "is_folder" in chain:
        execute(
            "insert into abonents (id, parent_id, name, contract_number) values (9999, ?, 'x', '9999')", done.answer
        )
    else:
        execute("insert into users (id, abonent_id, login) values (9999, ?, 'novikov')", done.answer)
    evidence = await back.effect.send(UNDO_RUN, item)
    assert isinstance(evidence, RowRefused)
    assert evidence.text in {
        "left alone, for the folder is not empty: 9999",
        "left alone, for it has account 9999 with login novikov",
    }


async def test_the_password_of_a_new_account_is_in_the_vault_until_its_call(
    gateway: Gateway, tmp_path: Path, database: Database
) -> None:
    vault = Vault(tmp_path / "vault")
    steps = SubscriberSteps(replace(gateway, vault=vault))
    (token,) = vault.seal(["geheim77"])
    part = (Step.ACCOUNT, {"login": "novikov", "psw": token})
    (_, item) = await plan_steps(steps, [subscriber("00123", 1, part)])
    assert "geheim77" not in item.payload + steps.describe(RUN.name, item) + (item.message or "")
    assert isinstance(await steps.send(RUN, item), Accepted)
    assert list(database.query("select psw from users where login = 'novikov'")) == [("geheim77",)]
    assert await readings(steps, [item]) == [ReadBack(None)]
