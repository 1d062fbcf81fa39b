"""The fields of an import: they are data, and what a billing lacks is known before anything is sent."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.database.schema import DOCUMENTED, Schema
from billing.profile import Fact, Profile
from jobs.imports.fields import SEVERAL, FieldKind, FieldName, ModelField, part_key, untried_fields, usual_fields
from jobs.imports.subscriber import STEP_MODELS, Step, folder_names, folder_path
from jobs.spec.columns import usual_names
from tests.jobs.imports.reading import Tables
from tools.house import ROOT

FIELDS = usual_fields()
ALL = [FieldName(STEP_MODELS[step], name) for step, name, _ in FIELDS.names()]
BEYOND_THE_DOCUMENTED = {"Abonents.a_home_number"}


def documented(without: str = "") -> Schema:
    """A billing with the documented columns, less one."""
    pairs = ((table, name) for table, names in DOCUMENTED.items() for name in names)
    return Schema.of(pair for pair in pairs if ".".join(pair) != without)


def test_every_field_is_a_documented_column_or_named_here() -> None:
    absent = FIELDS.absent(ALL, documented(), Profile())
    assert {str(field) for field, _ in absent} == BEYOND_THE_DOCUMENTED


@pytest.mark.parametrize("step", Step)
def test_every_step_has_fields_and_finds_them_by_the_keys_of_its_parts(step: Step) -> None:
    fields = FIELDS.of_step(step)
    assert fields
    for name, field in fields.items():
        assert FIELDS.of_value(step, part_key(step, name)) is field
    assert FIELDS.of_value(step, "colour") is None


def test_no_name_stands_for_two_fields_that_one_row_has_once() -> None:
    once = [name for step, name, field in FIELDS.names() if not (step in SEVERAL and field.own_table)]
    assert sorted(once) == sorted(set(once))


def test_a_column_that_the_database_lacks_is_named() -> None:
    absent = FIELDS.absent(ALL, documented("USERS.MAC"), Profile())
    assert "the billing's USERS has no column MAC, which the field mac of Users is kept in" in map(
        str, dict(absent).values()
    )


def test_without_a_database_the_profile_knows_the_columns() -> None:
    login = FieldName("Users", "login")
    told = Profile(columns=Fact({"users": ("id", "abonent_id")}, date(2026, 11, 1)))
    assert [field for field, _ in FIELDS.absent([login], None, told)] == [login]
    knows = Profile(columns=Fact({"users": ("id", "login")}, date(2026, 11, 1)))
    assert FIELDS.absent([login], None, knows) == []
    assert FIELDS.absent([login], None, Profile()) == []


def test_a_field_that_a_probe_has_seen_refused_is_absent() -> None:
    told = Profile(create_fields=Fact({"Users": {"login": True, "mac": False}}, date(2026, 11, 1)))
    absent = FIELDS.absent([FieldName("Users", "login"), FieldName("Users", "mac")], documented(), told)
    assert [(field.name, str(why)) for field, why in absent] == [
        ("mac", "objects.create of Users does not take the field mac (the probe of 2026-11-01)")
    ]


def test_fields_that_no_probe_has_tried_are_told() -> None:
    created = {"Abonents": ["name", "sms", "name"], "Users": ["login"]}
    assert untried_fields(created, Profile()) == [
        "objects.create takes these fields: Abonents (name, sms), Users (login)"
    ]
    facts = {"Abonents": {"name": True, "sms": True}, "Users": {"login": False}}
    told = Profile(create_fields=Fact(facts, date(2026, 11, 1)))
    assert untried_fields(created, told) == ["objects.create takes these fields: Users (login)"]
    assert untried_fields({"Abonents": ["name"]}, told) == []


def test_a_field_is_added_without_code() -> None:
    table = FIELDS.with_fields("Abonents", {"passport": ModelField(FieldKind.TEXT, columns=("паспорт",))})
    assert table.of_step(Step.SUBSCRIBER)["passport"].columns == ("паспорт",)
    assert [str(one) for one, _ in table.absent([FieldName("Abonents", "passport")], documented(), Profile())] == [
        "Abonents.passport"
    ]
    assert "passport" not in FIELDS.of_step(Step.SUBSCRIBER)


@given(st.lists(st.text(min_size=1).map(str.strip).filter(bool), max_size=4))
def test_the_names_of_folders_come_back_from_their_path(names: list[str]) -> None:
    assert folder_names(folder_path(names)) == tuple(names)


def test_a_path_as_people_write_it() -> None:
    assert folder_names("Город/ ул. Мира /") == ("Город", "ул. Мира")
    assert folder_path(["Город", "", "ул. Мира, 5/1"]) == "Город/ул. Мира, 5\\/1"


def test_the_page_has_every_field_with_its_usual_names() -> None:
    page = (ROOT / "docs" / "reference" / "import.md").read_text(encoding="utf-8")
    for step, name, field in FIELDS.names():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {step} | `{name}` |")]
        names = () if field.only_named else (*usual_names(name, field.columns), *field.columns)
        own = "only in a table of its own: " if field.own_table else ""
        needed = "yes" if field.required else ""
        cells = [step, f"`{name}`", STEP_MODELS[step], field.kind, needed, own + ", ".join(names)]
        assert row == f"| {' | '.join(cells)} |"
    assert all(kind in page for kind in FieldKind)


def test_the_map_of_the_page_is_one(tables: Tables) -> None:
    page = (ROOT / "docs" / "reference" / "import.md").read_text(encoding="utf-8")
    text = next(one for one in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[subscriber]" in one)
    columns = tables.map(*text.splitlines())
    assert len(columns.parts) == 4
    assert columns.once.keys() == {"contract_number", "name", "operator_id", "folder", "debt", "email"}
    assert columns.fields.of_step(Step.SUBSCRIBER)["inn"].longest == 12
