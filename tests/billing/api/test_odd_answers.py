"""Answers are judged and bounded like input: nothing that a billing says raises, or takes long."""

import json
import time
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.api.answers import created_id, objects, read_answer, retry_after
from billing.directory.objects import of_answer
from billing.directory.values import plain_value
from billing.errors import BillingError
from billing.money import from_answer, scaled, wire
from engine.evidence import Accepted, Lost, RowRefused
from lab.crash.loops import loops

HUGE = "1e300000000"
HEADERS = {"Content-Type": "application/json"}
MOST_SECONDS = loops(5)
MOST_BYTES = 64 * 1024 * 1024


def read(body: bytes | str, status: int = 200, **how: Any) -> object:
    return read_answer(status, HEADERS, body.encode() if isinstance(body, str) else body, **how)


# ---- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [HUGE, "-1e300000000", "1e-300000000", "0e999999999", "1" * 60 + ".5"])
def test_a_number_that_is_none_stays_the_text_that_it_is(number: str) -> None:
    began = time.process_time()
    tracemalloc.start()
    try:
        answered = read(f'{{"result": {{"pk": 5, "fields": {{"id": 5, "limit_warning": {number}, "name": "a"}}}}}}')
        assert isinstance(answered, Accepted)
        (thing,) = of_answer("AdminAccounts", {"id": "5"}, ("id", "limit_warning"), answered.result)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (thing.values["id"], thing.values["limit_warning"]) == ("5", None)
    assert number[:20] in thing.faults["limit_warning"]
    assert most < MOST_BYTES
    assert time.process_time() - began < MOST_SECONDS


def test_numbers_of_money_are_as_they_were() -> None:
    answered = read('{"result": [0.1, 1e2, 12345678901234567890.12, -0.0, 100000000000000000000000]}')
    assert isinstance(answered, Accepted)
    assert answered.result == [Decimal("0.1"), Decimal("1e2"), Decimal("12345678901234567890.12"), Decimal(0), 10**23]


@pytest.mark.parametrize("value", [HUGE, "1e-300000000", "1" * 41, 10**41, "n/a", "NaN", True, Decimal(HUGE)])
def test_money_that_is_no_amount_is_refused_at_once(value: Any) -> None:
    began = time.process_time()
    for work in (lambda: from_answer(value), lambda: plain_value("limit_warning", value)):
        with pytest.raises(ValueError, match="is not"):
            work()
    if isinstance(value, Decimal):
        for turn in (scaled, wire):
            with pytest.raises(ValueError, match="is not an amount of money"):
                turn(value)
    assert time.process_time() - began < MOST_SECONDS


# ---- the row's own ------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_of_an_object_is_told_and_the_rest_is_read() -> None:
    answer = [{"pk": 5, "fields": {"id": 5, "limit": "-10.50", "limit_warning": "n/a"}}]
    (thing,) = of_answer("AdminAccounts", {"id": "5"}, ("id", "limit", "limit_warning"), answer)
    assert thing.values == {"id": "5", "limit": "-10.5", "limit_warning": None}
    assert thing.faults == {"limit_warning": "'n/a' is not a number"}


@pytest.mark.parametrize(("field", "value"), [("ip", -1), ("ip", 2**32), ("name", "x" * 100_000)])
def test_other_odd_values_are_faults_too(field: str, value: object) -> None:
    (thing,) = of_answer("Users", {"id": "5"}, (field,), [{"pk": 5, "fields": {field: value}}])
    assert thing.values == {field: None}
    assert len(thing.faults[field]) < 200


# ---- ids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [0, -5, "abc", "", True, 10**30, "9" * 5000, "٥", None, [5], {"id": 5}, "5 ", 5.0])
def test_what_is_no_id_is_none(key: object) -> None:
    for shape in ({"pk": key}, {"fields": {"id": key}}, {"op_id": key}, [{"pk": key}]):
        assert created_id(shape) is None


# ---- two things at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        '{"error": "boom", "result": 5, "error": null}',
        '{"error": null, "result": 5, "error": "boom", "error": ""}',
        '{"error": "boom", "result": 5, "err\\u006fr": null}',
        '{"result": {"pk": 5, "error": "boom", "error": null}}',
        '{"result": {"error": "boom"}, "result": {"pk": 5}}',
        '{"result": 5, "result": 6}',
    ],
)
def test_an_answer_that_says_two_things_is_lost(body: str) -> None:
    seen = read(body)
    assert isinstance(seen, Lost), seen


@pytest.mark.parametrize("inner", ['{"error": "boom", "error": null}', '{"error": "boom", "\\\\u0065rror": null}'])
def test_so_is_one_of_the_cabinet(inner: str) -> None:
    text = inner.replace("\\\\", "\\")
    assert isinstance(read(json.dumps([text]), cabinet=True), Lost)


def test_equal_names_elsewhere_are_nobodys_business() -> None:
    assert read('{"result": {"error": null, "fields": {"error": "seen", "result": 1, "result": 2}}}') == Accepted(
        result={"error": None, "fields": {"error": "seen", "result": 2}}
    )
    assert read('{"error": "boom", "result": null}') == RowRefused("boom", recognised=False)
    assert read('{"result": "\\u00abда\\u00bb, error, error"}') == Accepted(result="«да», error, error")


# ---- anything at all ---------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(),
    st.integers(0, 10**40),
    st.builds(
        lambda sign, digits, power: f"{sign}{digits}e{power}",
        st.sampled_from(("", "-")),
        st.integers(0),
        st.integers(),
    ),
)


def spelled(value: object) -> str:
    """JSON of a value, in which a text that is a number stands as a number."""
    match value:
        case ("number", text):
            return str(text)
        case dict():
            return "{" + ", ".join(f"{json.dumps(name)}: {spelled(one)}" for name, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(spelled, value)) + "]"
    return json.dumps(value)


NAMES = st.sampled_from(
    ("error", "result", "pk", "model", "fields", "id", "op_id", "op_summa", "ip", "limit_warning", "suid")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=20) | NUMBERS.map(lambda one: ("number", one)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def judged(body: bytes, status: int, *, cabinet: bool) -> None:
    """All that is made of an answer before an effect looks at it."""
    seen = read_answer(status, {"Retry-After": body[:30].decode("latin-1")}, body, cabinet=cabinet)
    if isinstance(seen, Accepted):
        assert (created_id(seen.result) or "1").isdecimal()
        for model, fields in (("AdminAccounts", ("limit_warning",)), ("Users", ("ip", "id")), ("Odd", ("op_summa",))):
            try:
                objects(seen.result)
                of_answer(model, {"id": "5"}, fields, seen.result)
            except BillingError:
                continue


@given(VALUES, st.sampled_from((200, 400, 404, 429, 500, 503)), st.booleans())
def test_no_answer_raises(value: object, status: int, cabinet: bool) -> None:
    judged(spelled(value).encode(), status, cabinet=cabinet)


@given(st.binary(max_size=200), st.sampled_from((200, 400, 503)), st.booleans())
@example(b"[" * 100_000, 200, True)
@example(b'{"result": ' + b"[" * 900 + b"]" * 900 + b"}", 200, False)
@example(b'{"error": ' + b"[" * 900 + b"]" * 900 + b"}", 200, False)
@example(b'{"error": ' + b"[" * 900 + b"]" * 900 + b"}", 400, False)
@example(b'{"result": ' + b"9" * 4299 + b"}", 200, False)
@example(b'{"result": ' + b"9" * 100_000 + b"}", 200, False)
@example(b'{"error": {"a": 1' + b"0" * 4000 + b"}}", 200, False)
def test_no_bytes_raise(body: bytes, status: int, cabinet: bool) -> None:
    judged(body, status, cabinet=cabinet)


@given(st.text(max_size=80))
@example("9" * 8000)
@example("Wed, 99999999999999999999 Oct 2015 07:28:00 GMT")
@example("Wed, 21 Oct 99999999999999999999 07:28:00 GMT")
@example("Wed, 21 Oct 2015 07:28:00 +99999999999")
@example("-5")
def test_no_retry_after_raises_or_is_longer_than_an_hour(text: str) -> None:
    for sent in (None, text):
        wait = retry_after(text, sent=sent)
        assert wait is None or 0 <= wait <= 3600
