"""Answers as flat objects: nested ones by the way to them, several in one cell, secrets as dots."""

import tracemalloc
from decimal import Decimal
from typing import Any

import pytest

from jobs.effects.answer_cells import Flat, decode_answer, encode_answer, flat, only


def thing(key: int, **fields: Any) -> dict[str, Any]:
    return {"pk": key, "model": "Users", "fields": fields}


@pytest.mark.parametrize(
    ("result", "rows"),
    [
        (None, []),
        ([], []),
        ("5", [{"result": "5"}]),
        ([1, 2], [{"result": 1}, {"result": 2}]),
        (thing(5, login="a"), [{"login": "a", "pk": 5}]),
        ([thing(5, id=5, login="a"), thing(6, id=6)], [{"id": 5, "login": "a"}, {"id": 6}]),
        (thing(5, op_id=5), [{"op_id": 5}]),
        (thing(5, id=7), [{"id": 7, "pk": 5}]),
        ({"a": 1, "b": {"c": {"d": 2}}}, [{"a": 1, "b__c__d": 2}]),
        (
            thing(5, abonent=thing(7, name="Иванов", tarif=thing(2, name="Тариф"))),
            [{"abonent__name": "Иванов", "abonent__tarif__name": "Тариф", "pk": 5}],
        ),
        (
            thing(5, users=[thing(1, ip="10.0.0.1"), thing(2, ip=None)], tags=["a", 3], none=[]),
            [{"users__ip": "10.0.0.1, ", "tags": "a, 3", "none": None, "pk": 5}],
        ),
        ([[{"a": 1}], [{"b": 2}, {"b": 3}]], [{"list": 1, "a": 1}, {"list": 2, "b": 2}, {"list": 2, "b": 3}]),
        ({"sum": Decimal("50.50"), "flag": True, "no": None}, [{"sum": "50.50", "flag": True, "no": None}]),
    ],
)
def test_a_result_becomes_rows(result: object, rows: list[Flat]) -> None:
    assert flat(result) == rows
    assert decode_answer(encode_answer(flat(result))) == rows


def test_secrets_become_dots_by_their_names() -> None:
    found = thing(5, psw="abc", psw_hash="def", suid=123456, user=thing(6, password="x", psw=""), hash_key=None)
    assert flat(found) == [
        {
            "psw": "•••",
            "psw_hash": "•••",
            "suid": "•••",
            "user__password": "•••",
            "user__psw": "",
            "hash_key": None,
            "pk": 5,
        }
    ]


def test_a_key_that_nobody_asked_for_is_left_out() -> None:
    rows: list[Flat] = [{"login": "a", "pk": 5}]
    assert only((), rows) == rows
    assert only(("login", "pk"), rows) == rows
    assert only(("login",), rows) == [{"login": "a"}]


@pytest.mark.parametrize("answer", [None, "", "90001", '{"ip": "10.0.0.1"}', "[1, 2]", "[broken"])
def test_answers_of_other_jobs_are_none_of_these(answer: str | None) -> None:
    assert decode_answer(answer) is None


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({str(place): 1 for place in range(1001)}, "not read: an object of more than 1000 fields"),
        ({"a" * 301: 1}, "not read: a field whose name is longer than 300 characters"),
        ({"a" * 200: {"b" * 200: 1}}, "not read: a field whose name is longer than 300 characters"),
        ({"a" * 200: [{"b" * 200: 1}]}, "not read: a field whose name is longer than 300 characters"),
    ],
)
def test_an_object_that_no_model_has_is_told_in_one_cell(result: dict[str, Any], told: str) -> None:
    assert flat(result) == [{"result": told}]
    assert flat([thing(5, **result), thing(6, id=6)]) == [{"result": told}, {"id": 6}]


def test_a_long_name_around_many_fields_takes_no_memory() -> None:
    answer = {"a" * 1_000_000: {str(place): 1 for place in range(100_000)}}
    tracemalloc.start()
    try:
        assert len(flat(answer)) == 1
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
