"""The facts of the product against those of the lab, which it has not from there: each disagreement is red.

Money rests on these. A fact has a source, or it is a question of the profile that `probe` asks.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec
import pytest

from billing import money
from billing.api.error_catalogue import CATALOGUE, ErrorKind
from billing.database.schema import TableColumn
from billing.directory import models
from billing.profile import Profile
from jobs.spec import entries, parameters
from lab.mock.facts import FACTS, Effect
from lab.mock.facts import MODELS as MOCKS

_MARKED = r"§[1-7](\.[1-9])?( \[[SDVI?](, [SDVI?])*\])?"
SOURCE = re.compile(rf"{_MARKED}(, {_MARKED}|,? [a-z][A-Za-z ]+ \[\?\])*")
"""Sections of carbon-billing.md with their marks; "the length [?]" says what of a fact is inferred."""


def _sources(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """All sources of the lab's facts, by their paths."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _sources(one, f"{path}.{name}")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            if name == "source":
                yield path, value.source  # type: ignore[attr-defined] # a struct that has a source
            else:
                yield from _sources(getattr(value, name), f"{path}.{name}")


def test_each_fact_of_the_lab_has_a_source() -> None:
    sources = dict(_sources(FACTS))
    assert len(sources) > len(FACTS.models) + len(FACTS.operations)
    assert {path: source for path, source in sources.items() if not SOURCE.fullmatch(source)} == {}
    assert [path for path, source in sources.items() if "[" not in source] == []


@pytest.mark.parametrize(
    ("does", "number", "asked"),
    [
        ("charges", models.ACT, ""),
        ("pays", models.RECEIPT, ""),
        ("sets", models.OPENING_BALANCE, "type_8"),
    ],
)
def test_the_types_of_operations_are_the_billings(does: Effect, number: int, asked: str) -> None:
    kind = FACTS.operations[number]
    assert kind.does == does
    assert "[?]" not in kind.source
    assert "V" in kind.source, "the vendor's own programs say so"
    assert asked in {"", *Profile().__struct_fields__}


def test_numbers_are_the_billings() -> None:
    assert money.SCALE == Profile().money_scale.value == FACTS.scale.value
    assert FACTS.months_back.value == parameters.MONTHS_BACK


@pytest.mark.parametrize(
    ("of_product", "model", "field"),
    [
        (entries.LONGEST_COMMENT, "FinanceOperations", "descr"),
        (Profile().descr_length.value, "FinanceOperations", "descr"),
        (entries.LONGEST_COMMENT, "UsersUsluga", "comment"),
        (models.TEXT_KEYS["login"], "Users", "login"),
        (models.TEXT_KEYS["contract_number"], "Abonents", "contract_number"),
        (models.TEXT_KEYS["name"], "Abonents", "name"),
    ],
)
def test_a_text_is_as_long_as_its_column(of_product: int, model: str, field: str) -> None:
    assert (MOCKS[model].fields[field].kind, MOCKS[model].fields[field].longest) == ("text", of_product)


@pytest.mark.parametrize("kind", [ErrorKind.SYSTEM, ErrorKind.BUSY, ErrorKind.ROW])
def test_the_catalogue_of_errors_is_the_billings(kind: ErrorKind) -> None:
    assert tuple(text for text, means in CATALOGUE if means is kind) == getattr(FACTS.errors, kind.value)


@pytest.mark.parametrize("name", models.MODELS)
def test_the_fields_that_are_looked_at_are_the_billings(name: str) -> None:
    model, mock = models.MODELS[name], MOCKS[name]
    tables = {other.table.upper(): other for other in MOCKS.values()}
    there = {TableColumn(table) for table in tables} | {
        TableColumn(table, field.stored_as) for table, other in tables.items() for field in other.fields.values()
    }
    assert {field: model.needs(field) - there for field in model.fields if not model.needs(field) <= there} == {}
    assert set(model.fields) <= mock.fields.keys() | mock.reverse.keys()


@pytest.mark.parametrize(
    "fact", ["type_8", "descr_kept", "descr_length", "storno_call", "storno_type_8", "money_scale"]
)
def test_what_nobody_has_written_down_is_a_question_of_the_profile(fact: str) -> None:
    assert fact in dict(Profile().facts())
