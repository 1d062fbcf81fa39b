"""The job of an import: its files beside the table are the same while its rows are read, and needed no longer."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import anyio.to_thread
import pytest

from cli.session.order import parse_order
from engine.errors import InputRefused
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault
from jobs.billing_job import BillingJob
from jobs.catalogue.catalogue import BUILT_IN
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.errors import ParameterRefused
from tests.jobs.making import prepared

HEADER = "Договор;ФИО;Телефон;Почта\n"
ROW = "Н-1;Иванов;;ivanov@example.org\n"


def import_of(gateway: Gateway, place: Path, **given: str) -> BillingJob:
    """The job, as a command line orders it."""
    table = place / "subscribers.csv"
    table.write_text(HEADER + ROW, encoding="utf-8")
    order = parse_order("import", Input(file=str(table)), given, BUILT_IN)
    return build(order.kind, gateway, order.parameters, order.rows)


def a_map(folder: Path) -> Path:
    file = folder / "map.toml"
    file.write_text('[subscriber]\nemail = ""\n', encoding="utf-8")
    return file


def test_a_map_that_has_changed_since_refuses_the_run(gateway: Gateway, tmp_path: Path) -> None:
    file = a_map(tmp_path)
    job = import_of(gateway, tmp_path, map=str(file))
    file.write_text('[subscriber]\nemail = "Почта"\n', encoding="utf-8")
    with pytest.raises(InputRefused, match="has changed since the run began with it"):
        _ = job.source


def test_another_digest_than_the_one_that_is_given(gateway: Gateway, tmp_path: Path) -> None:
    file = a_map(tmp_path)
    with pytest.raises(ParameterRefused, match=r"map_sha256: .* has another SHA-256"):
        import_of(gateway, tmp_path, map=str(file), map_sha256="0" * 64)


async def test_a_run_whose_rows_are_read_is_shown_without_its_map(gateway: Gateway, tmp_path: Path) -> None:
    file = a_map(tmp_path)
    job = import_of(gateway, tmp_path, map=str(file))
    header = tuple(HEADER.strip().split(";"))
    assert list(job.assigned(header).taken) == ["contract_number", "name", "sms"]
    assert job.assigned(header).unused == ("Почта",)
    file.unlink()
    assert job.assigned(header).taken == {}


async def test_a_table_that_the_map_names_belongs_to_the_run(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text('[tables.accounts]\nfile = "accounts.csv"\n', encoding="utf-8")
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("Договор;Логин\nН-1;neu1\n", encoding="utf-8")
    first, second = (import_of(gateway, tmp_path, map=str(file)) for _ in range(2))
    assert [item.key for item in (await prepared(first)).items] == ["Н-1/subscriber/", "Н-1/account/neu1"]
    accounts.write_text("Договор;Логин\nН-1;neu2\n", encoding="utf-8")
    with pytest.raises(InputRefused, match=r"accounts: .* has changed since"):
        _ = second.source


async def test_a_folder_for_all_has_to_be_there_by_its_id(gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(ParameterRefused, match="folder: the billing has no folder 424242"):
        await import_of(gateway, tmp_path, folder="424242").check()
    done = await prepared(import_of(gateway, tmp_path, folder="Проба"))
    assert [item.key for item in done.items] == ["folder/Проба", "Н-1/subscriber/"]


async def test_of_rows_that_a_sample_leaves_out_no_secret_is_kept(gateway: Gateway, tmp_path: Path) -> None:
    table = tmp_path / "subscribers.csv"
    rows = "".join(f"Н-{number};Иванов;u{number};secret{number}\n" for number in range(30))
    table.write_text(f"Договор;ФИО;Логин;Пароль\n{rows}", encoding="utf-8")
    order = parse_order("import", Input(file=str(table)), {"sample": "4"}, BUILT_IN)
    vault = tmp_path / "vault"
    job = build(order.kind, replace(gateway, vault=Vault(vault)), order.parameters, order.rows)
    pages = await anyio.to_thread.run_sync(lambda: list(job.source.pages(None)))
    done = await job.prepare([row for page in pages for row in page.rows])
    assert [item.key for item in done.items if "/account/" in item.key] == [f"Н-{n}/account/u{n}" for n in range(4)]
    with sqlite3.connect(vault) as database:
        assert database.execute("select count(*) from secrets").fetchall() == [(4,)]
    database.close()


async def test_a_proposal_that_nobody_has_confirmed_refuses_the_whole_import(
    gateway: Gateway, tmp_path: Path
) -> None:
    file = tmp_path / "names.csv"
    for entry, told in (
        ("tariff;Ночной;3;Тариф 3;near 71;", "line 2, column checked: 'Ночной' is only a proposal"),
        ("tariff;Ночной;77;;;", "line 2, column id: the billing has no tariff 77, or it is deleted"),
        ("tariff;Ночной;3;Тариф 4;equal;", "line 2, column name_here: the tariff 3 is 'Тариф 3' in this billing"),
    ):
        file.write_text(f"kind;name;id;name_here;match;checked\n{entry}\n", encoding="utf-8")
        with pytest.raises(InputRefused, match=told):
            await prepared(import_of(gateway, tmp_path, dictionary=str(file)))
