"""An input is seen whole before the first of its pages is judged, and each of its rows is judged once."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from engine.rows import Row, RowPage
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault
from jobs.imports.column_map import ColumnMap
from jobs.imports.fields import usual_fields
from jobs.imports.input_checks import InputChecks, Judged
from jobs.imports.name_lookup import NameLookup
from jobs.imports.names_there import NamesThere
from jobs.imports.reader import SubscriberReader

WITH_A_DATABASE = pytest.mark.parametrize("gateway", ["with a database"], indirect=True)


class Input:
    """A table of accounts in pages of two rows, with its checks."""

    def __init__(self, folder: Path, gateway: Gateway, *rows: str) -> None:
        path = folder / "subscribers.csv"
        path.write_text("\n".join(["Договор;ФИО;Телефон;Логин;Пароль", *rows, ""]), encoding="utf-8")
        self.vault = folder / "vault"
        reader = SubscriberReader(open_input(path, Layout(), page_rows=2), ColumnMap(), vault=Vault(self.vault))
        self.checks = InputChecks(gateway, reader.source, reader.examine, usual_fields())
        self._source = reader.source

    def pages(self) -> list[RowPage]:
        return list(self._source.pages(None))

    def secrets(self) -> int:
        with sqlite3.connect(self.vault) as vault:
            ((number,),) = vault.execute("select count(*) from secrets").fetchall()
        vault.close()
        return int(number)


def reasons(judged: Sequence[Judged]) -> list[tuple[list[str], list[str]]]:
    return [([one.reason for one in each.faults], [one.reason for one in each.warnings]) for each in judged]


@WITH_A_DATABASE
async def test_a_row_of_the_last_page_is_a_fault_of_one_in_the_first(tmp_path: Path, gateway: Gateway) -> None:
    rows = [f"Н-{line};Иванов;;u{line};" for line in range(2, 8)]
    given = Input(tmp_path, gateway, *rows, "Н-2;Петров;;u8;")
    first = await given.checks.judge(given.pages()[0].rows)
    assert reasons(first) == [(["'Н-2' is also in line 8"], []), ([], [])]


@WITH_A_DATABASE
async def test_pages_are_judged_beside_each_other_and_all_of_it_is_seen_once(
    tmp_path: Path, gateway: Gateway
) -> None:
    given = Input(tmp_path, gateway, *(f"Н-{line};Иванов;;u{line};secret{line}" for line in range(2, 12)))
    judged: list[Judged] = []

    async def judge(rows: Sequence[Row]) -> None:
        judged.extend(await given.checks.judge(rows))

    async with anyio.create_task_group() as group:
        for page in given.pages():
            group.start_soon(judge, page.rows)
    assert sorted(one.subscriber.number for one in judged) == sorted(f"Н-{line}" for line in range(2, 12))
    assert all(one.faulty is None for one in judged)
    # What was only seen has left nothing in the vault.
    assert given.secrets() == len(judged)


@WITH_A_DATABASE
async def test_a_wrong_value_is_no_warning_besides(tmp_path: Path, gateway: Gateway) -> None:
    given = Input(tmp_path, gateway, "Н-2;Иванов;123;u2;", "Н-3;Иванов;123;u3;")
    ((faults, warnings), _) = reasons(await given.checks.judge(given.pages()[0].rows))
    assert faults[0].startswith("'123' is not a Russian mobile number")
    assert (len(faults), warnings) == (1, [])


@WITH_A_DATABASE
async def test_a_faulty_row_is_refused_with_all_its_reasons_and_their_columns(
    tmp_path: Path, gateway: Gateway
) -> None:
    given = Input(tmp_path, gateway, "Н-2;Иванов;123;u 2;пароль")
    (judged,) = await given.checks.judge(given.pages()[0].rows)
    assert judged.faulty is not None
    refusal = judged.faulty.refusal()
    assert (refusal.line, refusal.column, refusal.label) == (2, "Телефон", "Н-2")
    assert refusal.reason == (
        "'123' is not a Russian mobile number: write it as +79 and nine digits, or leave the cell empty; Логин: "
        "character 2 of 'u 2' is a space, and a login has none"
    )
    assert "пароль" not in refusal.row


@WITH_A_DATABASE
async def test_a_value_that_one_stage_refuses_is_not_refused_again(tmp_path: Path, gateway: Gateway) -> None:
    path = tmp_path / "subscribers.csv"
    path.write_text("Договор;ФИО;Тариф;Телефон\nН-2;Иванов;Быстрый;12\n", encoding="utf-8")
    fields = usual_fields()
    lookup = NameLookup(None, fields, NamesThere())
    reader = SubscriberReader(open_input(path, Layout()), ColumnMap(), (lookup,))
    checks = InputChecks(gateway, reader.source, reader.examine, fields)
    (page,) = reader.source.pages(None)
    ((faults, _),) = reasons(await checks.judge(page.rows))
    assert [one.partition(" ")[0] for one in faults] == ["'Быстрый'", "'12'"]
    assert "there is no dictionary" in faults[0]
