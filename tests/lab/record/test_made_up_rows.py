"""The rows of a run with made-up people: each cell is as a recording of the run has it."""

from collections.abc import Mapping, Sequence

import pytest

from billing.api.calls import NOTHING
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.spec.chain import chain_text
from lab.record.made_up_rows import MadeUpRows
from lab.record.pseudonyms import PersonalKind, Pseudonyms

PEOPLE = Pseudonyms(bytes(range(32)))
PASSPORT = "4509 123456"


def row(job: str, header: Sequence[str], cells: Sequence[str], mapping: Mapping[str, str] = NOTHING) -> list[str]:
    """A row of a job with made-up people."""
    return MadeUpRows(PEOPLE, JOBS[job], header, mapping).row(cells)


@pytest.mark.parametrize("title", ["amount", "Сумма", "Сумма, руб.", "Остаток в рублях", "op_summa"])
def test_a_sum_stays_under_each_of_its_titles(title: str) -> None:
    number = PEOPLE.of(PersonalKind.SHAPE, "Д-17")
    assert row("balances", ["Договор", title, "кто"], ["Д-17", "50,50", "Вера"]) == [number, "50,50", ""]


@pytest.mark.parametrize("title", ["value", "attribute_value"])
def test_a_value_is_what_its_field_in_the_call_is(title: str) -> None:
    made_up = PEOPLE.of(PersonalKind.SHAPE, PASSPORT)
    assert row("attribute", ["abonent_id", title], ["5", PASSPORT]) == ["5", made_up]
    assert row("attribute", ["abonent_id", "паспорт"], ["5", PASSPORT], {"value": "паспорт"}) == ["5", made_up]


def test_a_column_is_of_what_it_is_sent_as() -> None:
    assert row("passed-to-1c", ["pk", "code"], ["5", "К-77"]) == ["5", PEOPLE.of(PersonalKind.SHAPE, "К-77")]
    assert row("password-recovery", ["email"], ["v@x.ru"]) == [PEOPLE.of(PersonalKind.SHAPE, "v@x.ru")]


@pytest.mark.parametrize(("model", "kept"), [("Tarif", True), ("Abonents", False)])
def test_a_typed_call_knows_its_model_and_fields(model: str, kept: bool) -> None:
    chain = chain_text(['objects.get {"id": {id}}', 'set {"name": "{name}", "sms": "{to}"}', "save"])
    made_up = MadeUpRows(
        PEOPLE, BUILT_IN.kind("call", {"model": model, "chain": chain}), ["id", "name", "to"], NOTHING
    ).row(["5", "Вера", "+79123456789"])
    name = "Вера" if kept else PEOPLE.of(PersonalKind.NAME, "Вера")
    assert made_up == ["5", name, PEOPLE.of(PersonalKind.PHONE, "+79123456789")]


def test_surplus_cells_are_left_out() -> None:
    assert row("by-sms", ["телефон"], ["+7 912 345-67-89", "Вера"]) == [
        PEOPLE.of(PersonalKind.PHONE, "+7 912 345-67-89")
    ]
