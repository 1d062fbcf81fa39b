"""Each answer that a billing, or what stands in its place, can give is one kind of evidence, in bounded time."""

import gzip
import json
import time
import tracemalloc
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.api.answers import LONGEST_WAIT, created_id, objects, read_answer, retry_after
from billing.api.error_catalogue import CATALOGUE, ErrorKind, find_error
from billing.directory.models import plain_value
from billing.directory.objects import of_answer
from billing.errors import BillingError, UnreadableAnswer
from billing.money import from_answer, scaled, wire
from engine.evidence import SHOWN, Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from lab.crash.loops import loops

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
BUSY_TEXT = "Абонент обрабатывается, попробуйте позже"
ROW_TEXT = "Не найден атрибут foo"
SYSTEM_TEXT = "Недостаточно прав"


def raw(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


def read(body: object, *, cabinet: bool = False) -> Evidence:
    return read_answer(200, JSON, raw(body), cabinet=cabinet)


@pytest.mark.parametrize("result", [None, [], 0, "", {"pk": 5, "fields": {}}, "ok", [{"fields": {"id": 1}}]])
@pytest.mark.parametrize("error", [None, "", [], {}, False])
def test_a_result_without_an_error_is_an_answer(result: object, error: object) -> None:
    assert read({"call": "x", "result": result, "error": error}) == Accepted(result=result)


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (ROW_TEXT, RowRefused(ROW_TEXT, recognised=True)),
        ([ROW_TEXT], RowRefused(ROW_TEXT, recognised=True)),
        ({"__all__": [ROW_TEXT]}, RowRefused('{"__all__":["Не найден атрибут foo"]}', recognised=True)),
        (BUSY_TEXT, Busy(BUSY_TEXT)),
        (SYSTEM_TEXT, SystemRefused(SYSTEM_TEXT)),
        ("division by zero", RowRefused("division by zero", recognised=False)),
        (True, RowRefused("True", recognised=False)),
        # Of a list the last text is the message [I]; what stands before it decides nothing.
        (["a", "b"], RowRefused("b", recognised=False)),
        (["Traceback", ROW_TEXT], RowRefused(ROW_TEXT, recognised=True)),
        ([f"raise Refused({SYSTEM_TEXT!r})", BUSY_TEXT], Busy(BUSY_TEXT)),
        ([ROW_TEXT, 5], RowRefused('["Не найден атрибут foo",5]', recognised=True)),
        ([ROW_TEXT, " "], RowRefused('["Не найден атрибут foo"," "]', recognised=True)),
        ("  ", RowRefused("an error without a text", recognised=False)),
    ],
)
def test_an_error_under_200_goes_by_the_catalogue(error: object, seen: Evidence) -> None:
    assert read({"call": "x", "result": {"pk": 1}, "error": error}) == seen
    assert read({"error": error}) == seen
    assert read({"result": {"error": error}}) == seen


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_cabinet_s_inner_json_is_read(wrapped: bool) -> None:
    def cabinet(answer: list[object]) -> Evidence:
        return read({"result": answer} if wrapped else answer, cabinet=True)

    assert cabinet([json.dumps({"list": [1.5]}), 2]) == Accepted(result=[{"list": [Decimal("1.5")]}, 2])
    assert cabinet([json.dumps({"error": BUSY_TEXT})]) == Busy(BUSY_TEXT)
    assert cabinet([json.dumps({"error": ["x"]})]) == RowRefused("x", recognised=False)
    assert cabinet([{"error": ROW_TEXT}]) == RowRefused(ROW_TEXT, recognised=True)
    assert cabinet([BUSY_TEXT]) == Busy(BUSY_TEXT)
    assert isinstance(cabinet(["sorry"]), Lost)
    assert isinstance(cabinet([]), Lost)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{}",
        b'{"call": "x"}',
        b"[]",
        b'"ok"',
        b"5",
        b"null",
        b'{"result": ',
        b'{"result": "\xff"}',
        b'{"result": 1e99999999999999999999}',
        b'{"result": ' + b"[" * 100_000,
        '{"error": "Недостаточно прав'.encode(),
        gzip.compress(b'{"result": 1}', mtime=0),
        b"<html><body>It works!</body></html>",
        b"It works!",
    ],
)
def test_a_success_that_is_not_the_documented_json_is_lost(body: bytes) -> None:
    assert isinstance(read(body), Lost)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 408, 500, 501, 502, 503, 504, 520, 999])
def test_statuses_that_leave_the_effect_unknown(status: int) -> None:
    for body in (b"", b"<h1>Oops</h1>", json.dumps({"error": ROW_TEXT}).encode()):
        seen = read_answer(status, HTML | {"Location": "http://b/\x1b[31m"}, body)
        assert isinstance(seen, Lost)
        assert str(status) in seen.text
        assert seen.text.isprintable()


def typed(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}


def at(seconds: str) -> dict[str, str]:
    return JSON | {"Retry-After": seconds}


TITLED = f"<html><head><title>403</title></head><body><h1>{SYSTEM_TEXT}</h1></body></html>".encode()
CP1251 = json.dumps({"result": "Иванов"}, ensure_ascii=False).encode("cp1251")
DONE = b'{"result": 1}'


@pytest.mark.parametrize(
    ("status", "headers", "body", "evidence"),
    [
        # A page that means the whole system stops the run; after a crash it proves nothing.
        (200, HTML, TITLED, SystemRefused(f"403: {SYSTEM_TEXT}", recognised=False)),
        (200, HTML, "Сохранение отключено".encode(), SystemRefused("Сохранение отключено", recognised=False)),
        (200, HTML, f"<p>{BUSY_TEXT}</p>".encode(), Lost),
        (500, HTML, SYSTEM_TEXT.encode(), Lost),
        # JSON is believed whatever its content type, in its charset.
        (200, HTML, b"\xef\xbb\xbf" + DONE, Accepted(result=1)),
        (201, {}, DONE, Accepted(result=1)),
        (200, typed('application/json; charset="Windows-1251"; x=y'), CP1251, Accepted(result="Иванов")),
        (200, JSON, CP1251, Lost),
        *((200, typed(f"application/json; charset={charset}"), DONE, Lost) for charset in ("klingon", "zip")),
        (500, typed("text/html; charset=klingon"), b"\xff", Lost),
        # Busy by its status.
        (429, JSON, b"", Busy("HTTP 429 Too Many Requests", recognised=False)),
        (429, at("3"), b"", Busy("HTTP 429 Too Many Requests", 3.0, recognised=False)),
        (200, at("7"), {"error": BUSY_TEXT}, Busy(BUSY_TEXT, 7.0)),
        (503, at("soon"), b"", Busy("HTTP 503 Service Unavailable", recognised=False)),
        (503, JSON, {"error": BUSY_TEXT}, Busy(f"HTTP 503 Service Unavailable: {BUSY_TEXT}")),
        (503, JSON, BUSY_TEXT.encode(), Lost),
        # Refusals of everything; others go by the catalogue.
        *((status, JSON, b"<h1>Not here</h1>", SystemRefused) for status in (401, 403, 404, 405, 407)),
        (400, JSON, {"error": ROW_TEXT}, RowRefused(f"HTTP 400 Bad Request: {ROW_TEXT}", recognised=True)),
        (404, JSON, {"error": ROW_TEXT}, RowRefused(f"HTTP 404 Not Found: {ROW_TEXT}", recognised=True)),
        (409, JSON, {"error": BUSY_TEXT}, Busy(f"HTTP 409 Conflict: {BUSY_TEXT}")),
        (400, JSON, SYSTEM_TEXT.encode(), SystemRefused(f"HTTP 400 Bad Request: {SYSTEM_TEXT}", recognised=False)),
        (400, JSON, ROW_TEXT.encode(), RowRefused(f"HTTP 400 Bad Request: {ROW_TEXT}", recognised=False)),
        (418, JSON, b"", RowRefused("HTTP 418 I'm a Teapot", recognised=False)),
    ],
)
def test_what_follows_from_status_headers_and_body(
    status: int, headers: dict[str, str], body: object, evidence: Evidence | type[Evidence]
) -> None:
    seen = read_answer(status, headers, raw(body))
    assert type(seen) is evidence or seen == evidence


NOW = 1_600_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("3601", LONGEST_WAIT),
        ("9" * 5000, LONGEST_WAIT),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        (formatdate(NOW + 10**6, usegmt=True), LONGEST_WAIT),
        ("Tue, 99 Foo 2020 00:00:00 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize("behind", [-86_400, -60, 0, 60, 86_400])
def test_a_date_to_retry_after_is_measured_by_the_clock_that_wrote_it(behind: int) -> None:
    # The billing's clock and ours may be hours apart, and ours may be set back in the middle of a run.
    for status in (429, 503):
        headers = {"Retry-After": formatdate(NOW + 5, usegmt=True), "Date": formatdate(NOW, usegmt=True)}
        seen = read_answer(status, headers, b"", now=NOW - behind)
        assert isinstance(seen, Busy)
        assert seen.retry_after == pytest.approx(5.0)
    assert retry_after(formatdate(NOW + 5), NOW, sent="no date") == pytest.approx(5.0)


def test_texts_are_safe_to_show() -> None:
    page = (
        "<html><head><title>Server &lt;Error&gt;</title><style>p{}</style></head><!-- x > y -->"
        "<script>alert('tags<b>')</script><body onload='x'><h1>Server &lt;Error&gt;</h1>\x1b[31mred\u202e"
        f"{'x' * 1000}</body></html>"
    )
    seen = read_answer(500, HTML, page.encode())
    assert isinstance(seen, Lost)
    assert seen.text.startswith("HTTP 500 Internal Server Error: Server <Error> \\x1b[31mred\\u202exxx")
    assert "alert" not in seen.text
    assert len(seen.text) <= SHOWN


def test_objects_of_a_filter() -> None:
    assert objects([]) == []
    assert objects([{"pk": 1, "model": "m", "fields": {"id": 1, "a": 2}}, {"fields": {"b": 3}}, {"c": 4}]) == [
        {"id": 1, "a": 2, "pk": 1},
        {"b": 3},
        {"c": 4},
    ]
    assert objects({"pk": 1, "fields": {}}) == [{"pk": 1}]
    for other in (None, 5, "x", [5]):
        with pytest.raises(UnreadableAnswer):
            objects(other)


HUGE = "1e300000000"
MOST_SECONDS = loops(5)
MOST_BYTES = 64 * 1024 * 1024


def judged_text(body: bytes | str, status: int = 200, **how: Any) -> object:
    return read_answer(status, JSON, body.encode() if isinstance(body, str) else body, **how)


@pytest.mark.parametrize("number", [HUGE, "-1e300000000", "1e-300000000", "0e999999999", "1" * 60 + ".5"])
def test_a_number_that_is_none_stays_the_text_that_it_is(number: str) -> None:
    began = time.process_time()
    tracemalloc.start()
    try:
        answered = judged_text(
            f'{{"result": {{"pk": 5, "fields": {{"id": 5, "limit_warning": {number}, "name": "a"}}}}}}'
        )
        assert isinstance(answered, Accepted)
        (thing,) = of_answer("AdminAccounts", {"id": "5"}, ("id", "limit_warning"), objects(answered.result))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (thing.values["id"], thing.values["limit_warning"]) == ("5", None)
    assert number[:20] in thing.faults["limit_warning"]
    assert most < MOST_BYTES
    assert time.process_time() - began < MOST_SECONDS


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


def test_what_cannot_be_read_of_an_object_is_told_and_the_rest_is_read() -> None:
    answer = [{"pk": 5, "fields": {"id": 5, "limit": "-10.50", "limit_warning": "n/a"}}]
    (thing,) = of_answer("AdminAccounts", {"id": "5"}, ("id", "limit", "limit_warning"), objects(answer))
    assert thing.values == {"id": "5", "limit": "-10.5", "limit_warning": None}
    assert thing.faults == {"limit_warning": "'n/a' is not a number"}


@pytest.mark.parametrize(("field", "value"), [("ip", -1), ("ip", 2**32), ("name", "x" * 100_000)])
def test_other_odd_values_are_faults_too(field: str, value: object) -> None:
    (thing,) = of_answer("Users", {"id": "5"}, (field,), [{"pk": 5, field: value}])
    assert thing.values == {field: None}
    assert len(thing.faults[field]) < 200


@pytest.mark.parametrize("key", [0, -5, "abc", "", True, 10**30, "9" * 5000, "٥", None, [5], {"id": 5}, "5 ", 5.0])
def test_what_is_no_id_is_none(key: object) -> None:
    for shape in ({"pk": key}, {"fields": {"id": key}}, {"op_id": key}, [{"pk": key}]):
        assert created_id(shape) is None


@pytest.mark.parametrize(
    ("body", "cabinet"),
    [
        ('{"error": "boom", "result": 5, "error": null}', False),
        ('{"error": null, "result": 5, "error": "boom", "error": ""}', False),
        ('{"error": "boom", "result": 5, "err\\u006fr": null}', False),
        ('{"result": {"pk": 5, "error": "boom", "error": null}}', False),
        ('{"result": {"error": "boom"}, "result": {"pk": 5}}', False),
        ('{"result": 5, "result": 6}', False),
        (json.dumps(['{"error": "boom", "error": null}']), True),
        (json.dumps(['{"error": "boom", "\\u0065rror": null}']), True),
    ],
)
def test_an_answer_that_says_two_things_is_lost(body: str, cabinet: bool) -> None:
    seen = judged_text(body, cabinet=cabinet)
    assert isinstance(seen, Lost), seen


def test_equal_names_elsewhere_are_nobodys_business() -> None:
    assert judged_text(
        '{"result": {"error": null, "fields": {"error": "seen", "result": 1, "result": 2}}}'
    ) == Accepted(result={"error": None, "fields": {"error": "seen", "result": 2}})
    assert judged_text('{"error": "boom", "result": null}') == RowRefused("boom", recognised=False)
    assert judged_text('{"result": "\\u00abда\\u00bb, error, error"}') == Accepted(result="«да», error, error")


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
    assert not isinstance(seen, NotSent)
    if not isinstance(seen, Accepted):
        assert seen.text
        assert seen.text.isprintable()
        assert len(seen.text) <= (SHOWN if len(body) <= 200 else SHOWN + 100)
    else:
        assert (created_id(seen.result) or "1").isdecimal()
        for model, fields in (("AdminAccounts", ("limit_warning",)), ("Users", ("ip", "id")), ("Odd", ("op_summa",))):
            try:
                of_answer(model, {"id": "5"}, fields, objects(seen.result))
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


@pytest.mark.parametrize(("stem", "kind"), CATALOGUE)
def test_each_text_is_recognised_within_another(stem: str, kind: ErrorKind) -> None:
    text = stem.replace("…", "set_password")
    for spelling in (text, text.upper(), text.lower(), text.replace(" ", " \n\u00a0"), text.replace("ё", "е")):
        assert find_error(f"Ошибка: {spelling}. Обратитесь в поддержку") is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Абонент обрабатывается, попробуйте позже!", ErrorKind.BUSY),
        ("ИДЕТ ДРУГАЯ ОБРАБОТКА", ErrorKind.BUSY),
        ("Объект уже удален", ErrorKind.ROW),
        ("Метод delete_all нельзя вызвать", ErrorKind.ROW),
        ("Правильный формат: +79161234567", ErrorKind.ROW),
        ("Abonents matching query does not exist.", ErrorKind.ROW),
        ("get() returned more than one Users -- it returned 2!", ErrorKind.ROW),
        ("Недостаточно прав: Объект уже удалён", ErrorKind.SYSTEM),
        ("", ErrorKind.UNRECOGNISED),
        ("Метод нельзя", ErrorKind.UNRECOGNISED),
        (f"Метод {'x' * 1000} нельзя вызвать", ErrorKind.UNRECOGNISED),
        ("division by zero", ErrorKind.UNRECOGNISED),
    ],
)
def test_the_kinds(text: str, kind: ErrorKind) -> None:
    assert find_error(text) is kind


@pytest.mark.parametrize(
    "page",
    [
        "<p><style>" * 10_000,
        "<p><!--" * 10_000,
        "<script><head>" * 10_000,
        "<p>" + "Метод " * 150_000,
        "<title>" * 10_000,
    ],
    ids=["style", "comment", "script", "text", "title"],
)
def test_a_page_of_errors_holds_nobody_up(page: str) -> None:
    """What an answer is read for stands at its beginning, and is found without going to its end again and again."""
    body = json.dumps({"error": page}).encode()
    began = time.process_time()
    for _ in range(20):
        assert isinstance(read_answer(200, {}, body), RowRefused)
        assert isinstance(read_answer(500, {}, page.encode()), Lost)
    assert time.process_time() - began < MOST_SECONDS / 2
