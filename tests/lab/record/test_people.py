"""Recordings without people: made-up values that are stable, keep their shape, and still match when replayed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.api.calls import NOTHING
from jobs.catalogue.catalogue import BUILT_IN, JOBS
from jobs.spec.chain import chain_text
from lab.record.pseudonyms import PeopleRemover, PersonalKind, Pseudonyms
from lab.record.recording import RecordingError, load_secret
from lab.record.replay import made_up_rows

KEY = bytes(range(32))
PEOPLE = Pseudonyms(KEY)
JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
SHAPED = st.text(alphabet="0123456789abzABZабяёАБЯЁ-/ .", min_size=1, max_size=80)


def shape(text: str) -> list[str]:
    """What each letter of a text is."""
    alphabets = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    cyrillic = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
    named = dict.fromkeys(cyrillic, "я") | dict.fromkeys(cyrillic.upper(), "Я")
    named |= {letter: alphabet[0] for alphabet in alphabets for letter in alphabet}
    return [named.get(letter, letter) for letter in text]


@given(SHAPED)
def test_a_made_up_number_has_the_shape_of_the_real_one(text: str) -> None:
    assert shape(PEOPLE.of(PersonalKind.SHAPE, text)) == shape(text)
    assert PEOPLE.of(PersonalKind.SHAPE, text) == Pseudonyms(KEY).of(PersonalKind.SHAPE, text)


@settings(max_examples=30)
@given(st.sets(SHAPED, min_size=2, max_size=50))
def test_two_texts_never_become_one(texts: set[str]) -> None:
    assert len({PEOPLE.of(PersonalKind.SHAPE, text) for text in texts}) >= len({*texts} - {" "})


def test_numbers_stay_as_many_and_another_key_makes_up_others() -> None:
    numbers = [f"{number:04}" for number in range(10_000)]
    assert sorted(PEOPLE.of(PersonalKind.SHAPE, number) for number in numbers) == numbers
    other = Pseudonyms(bytes(32))
    values = ["Д94/2018", "00123", "user4084"]
    assert all(PEOPLE.of(PersonalKind.SHAPE, one) != other.of(PersonalKind.SHAPE, one) for one in values)
    assert PEOPLE.key != other.key


@pytest.mark.parametrize("text", ["+79161234567", "+7 (916) 123-45-67", "8 916 123 45 67", "9161234567"])
def test_a_phone_is_the_same_however_it_is_written(text: str) -> None:
    digits = "".join(filter(str.isdigit, PEOPLE.of(PersonalKind.PHONE, text)))
    assert digits[-9:] == PEOPLE.of(PersonalKind.PHONE, "+79161234567")[-9:] != "161234567"
    assert shape(PEOPLE.of(PersonalKind.PHONE, text)) == shape(text)


def exchange(
    sent: dict[str, Any], answered: Any, model: str = "Abonents", headers: dict[str, str] = JSON
) -> tuple[Any, Any]:
    """What is kept of an exchange: the argument of its call, and its answer."""
    people = PeopleRemover(PEOPLE, model)
    form = people.form([("method1", "objects.filter"), ("arg1", json.dumps(sent)), ("fields", '["id","name"]')])
    text = json.dumps(answered, ensure_ascii=False) if headers is JSON else answered
    body = people.body(headers, text.encode())
    assert form[0] == ("method1", "objects.filter")
    assert form[2] == ("fields", '["id","name"]')
    return json.loads(form[1][1]), json.loads(body) if headers is JSON else body.decode()


def test_what_is_asked_for_and_what_is_answered_are_the_same_made_up_one() -> None:
    fields = {"id": 94, "contract_number": "Д94/2018", "name": "Канарейкина Вера", "sms": "+79161234567"}
    sent, answered = exchange(
        {
            "contract_number": "Д94/2018",
            "id": 94,
            "abonent__name__icontains": "Канарейкина Вера",
            "a_home_number": "12",
        },
        {"call": "Abonents", "result": [{"pk": 94, "model": "Abonents", "fields": fields}]},
    )
    made_up = answered["result"][0]["fields"]
    named, home = made_up["name"], PEOPLE.of(PersonalKind.SHAPE, "12")
    of_person = {"abonent__name__icontains": named, "a_home_number": home}
    assert sent == {"contract_number": made_up["contract_number"], "id": 94, **of_person}
    assert made_up["id"] == answered["result"][0]["pk"] == 94
    assert not {"Д94/2018", "Канарейкина Вера", "+79161234567"} & set(made_up.values())
    assert made_up["name"] == PEOPLE.of(PersonalKind.NAME, "Канарейкина Вера")


def test_what_is_nobody_s_stays() -> None:
    fields = {"name": "Домашний 100", "summa": "700.50", "next_date": "2020-08-13", "enabled": True}
    sent: dict[str, Any] = {"op_summa": "50.50", "abonent_id": 7, "op_date__range": ["2020-01-01", "2020-02-01"]}
    sent |= {"usluga__name": "Домашний 100", "tarif__name": "Домашний 100"}
    answered = {"result": {"pk": 5, "model": "Tarif", "fields": fields}}
    assert exchange(sent, answered, "FinanceOperations") == (sent, answered)


def test_texts_lose_what_the_exchange_knows_and_what_looks_like_a_phone_or_a_mail() -> None:
    error = "Абонент Канарейкина Вера (+7 916 123-45-67, vera@mail.example) обрабатывается, попробуйте позже"
    inner = json.dumps({"abonent": {"name": "Канарейкина Вера"}, "balance": "5"}, ensure_ascii=False)
    _, answered = exchange({"name": "Канарейкина Вера"}, {"error": error, "result": [inner]})
    _, page = exchange({"name": "Канарейкина Вера"}, f"<html>{error}</html>", headers=HTML)
    for text in (answered["error"], page):
        assert "обрабатывается, попробуйте позже" in text
        assert not any(word in text for word in ("Канарейкина", "123-45-67", "vera@"))
    # JSON in a text is read as well.
    assert json.loads(answered["result"][0])["balance"] == "5"
    assert "Канарейкина" not in answered["result"][0]
    assert PeopleRemover(PEOPLE, "Users").body(JSON, b"\xff\xfe") == "•••".encode(), "what cannot be read is not kept"


def test_a_comment_matches_any_text_and_keeps_its_mark() -> None:
    sent, answered = exchange(
        {"descr": "За Веру [cm k7m2q/12]"},
        {"result": {"pk": 1, "model": "FinanceOperations", "fields": {"descr": "За Веру [cm k7m2q/12]"}}},
        "FinanceOperations",
    )
    assert sent == {"descr": "••• [cm k7m2q/12]"}
    assert answered["result"]["fields"]["descr"].endswith(" [cm k7m2q/12]")
    assert "Веру" not in answered["result"]["fields"]["descr"]


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "names.key"
    first = load_secret(path)
    assert load_secret(path) == first
    assert (len(first), path.stat().st_mode & 0o777) == (32, 0o600)
    assert [one.name for one in path.parent.iterdir()] == ["names.key"]
    path.write_bytes(b"short")
    with pytest.raises(RecordingError, match="is not a key"):
        load_secret(path)


# ---- the rows of a run ---------------------------------------------------------------------------------------------

PASSPORT = "4509 123456"


NUMBER, CODE, PHONE = "Д-17", "К-77", "+7 912 345-67-89"
OF_JOBS: Sequence[tuple[str, str, Sequence[str], Sequence[str], Mapping[str, str]]] = (
    # A sum stays under each of its titles.
    *(
        ("balances", f"Договор;{title};кто", (NUMBER, "50,50", "Вера"), (NUMBER, "=50,50", "="), NOTHING)
        for title in ("amount", "Сумма", "Сумма, руб.", "Остаток в рублях", "op_summa")
    ),
    # A value is what its field in the call is, and a column of what it is sent as.
    *(
        ("attribute", f"abonent_id;{title}", ("5", PASSPORT), ("=5", PASSPORT), mapping)
        for title, mapping in (("value", NOTHING), ("attribute_value", NOTHING), ("паспорт", {"value": "паспорт"}))
    ),
    ("passed-to-1c", "pk;code", ("5", CODE), ("=5", CODE), NOTHING),
    ("password-recovery", "email", ("v@x.ru",), ("v@x.ru",), NOTHING),
    # Surplus cells are left out.
    ("by-sms", "телефон", (PHONE, "Вера"), (PHONE,), NOTHING),
)
"""Rows of a job, and what is kept of them: behind = as it is, anything else as the made-up one for it."""


@pytest.mark.parametrize(("job", "header", "cells", "kept", "mapping"), OF_JOBS)
def test_a_row_of_a_job_with_made_up_people(
    job: str, header: str, cells: Sequence[str], kept: Sequence[str], mapping: Mapping[str, str]
) -> None:
    kind = PersonalKind.PHONE if job == "by-sms" else PersonalKind.SHAPE
    wanted = [text[1:] if text.startswith("=") else PEOPLE.of(kind, text) for text in kept]
    assert made_up_rows(PEOPLE, JOBS[job], header.split(";"), mapping)(cells) == wanted


@pytest.mark.parametrize(("model", "kept"), [("Tarif", True), ("Abonents", False)])
def test_a_typed_call_knows_its_model_and_fields(model: str, kept: bool) -> None:
    chain = chain_text(['objects.get {"id": {id}}', 'set {"name": "{name}", "sms": "{to}"}', "save"])
    made_up = made_up_rows(
        PEOPLE, BUILT_IN.kind("call", {"model": model, "chain": chain}), ["id", "name", "to"], NOTHING
    )(["5", "Вера", "+79123456789"])
    name = "Вера" if kept else PEOPLE.of(PersonalKind.NAME, "Вера")
    assert made_up == ["5", name, PEOPLE.of(PersonalKind.PHONE, "+79123456789")]
