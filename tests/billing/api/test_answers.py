"""Each answer that a billing, or what stands in its place, can give is read as one kind of evidence."""

import gzip
import json
from decimal import Decimal
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.answers import LONGEST_WAIT, created_id, objects, read_answer, retry_after
from billing.errors import UnreadableAnswer
from billing.secret import Mask
from engine.evidence import SHOWN, Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused, readable

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
BUSY_TEXT = "Абонент обрабатывается, попробуйте позже"
ROW_TEXT = "Не найден атрибут foo"
SYSTEM_TEXT = "Недостаточно прав"


def read(body: object, status: int = 200, *, cabinet: bool = False, **headers: str) -> Evidence:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return read_answer(
        status, JSON | {name.replace("_", "-"): value for name, value in headers.items()}, raw, cabinet=cabinet
    )


@pytest.mark.parametrize("result", [None, [], 0, "", {"pk": 5, "fields": {}}, "ok", [{"fields": {"id": 1}}]])
@pytest.mark.parametrize("error", [None, "", [], {}, False])
def test_a_result_without_an_error_is_an_answer(result: object, error: object) -> None:
    assert read({"call": "x", "result": result, "error": error}) == Accepted(result=result)


def test_numbers_with_a_point_lose_nothing() -> None:
    seen = read(b'{"result": {"fields": {"ostatok": 12345678901234567.89, "id": 7}}}')
    assert seen == Accepted(result={"fields": {"ostatok": Decimal("12345678901234567.89"), "id": 7}})


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


def test_a_busy_error_can_say_for_how_long() -> None:
    assert read({"error": BUSY_TEXT}, Retry_After="7") == Busy(BUSY_TEXT, 7.0)


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


def test_the_cabinet_s_outer_error_is_read() -> None:
    assert read({"error": ROW_TEXT, "result": None}, cabinet=True) == RowRefused(ROW_TEXT, recognised=True)
    assert isinstance(read({"result": {"a": 1}}, cabinet=True), Lost)


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


def test_html_that_means_the_whole_system_stops_the_run() -> None:
    page = f"<html><head><title>403</title></head><body><h1>{SYSTEM_TEXT}</h1></body></html>"
    assert read_answer(200, HTML, page.encode()) == SystemRefused(f"403: {SYSTEM_TEXT}", recognised=False)
    assert read_answer(200, HTML, "Сохранение отключено".encode()) == SystemRefused(
        "Сохранение отключено", recognised=False
    )
    assert isinstance(read_answer(200, HTML, f"<p>{BUSY_TEXT}</p>".encode()), Lost)


def test_json_is_believed_whatever_its_content_type() -> None:
    assert read_answer(200, HTML, b'\xef\xbb\xbf{"result": 1}') == Accepted(result=1)
    assert read_answer(201, {}, b'{"result": 1}') == Accepted(result=1)


def test_the_charset_is_respected() -> None:
    headers = {"Content-Type": 'application/json; charset="Windows-1251"; x=y'}
    body = json.dumps({"result": "Иванов"}, ensure_ascii=False)
    assert read_answer(200, headers, body.encode("cp1251")) == Accepted(result="Иванов")
    assert isinstance(read_answer(200, JSON, body.encode("cp1251")), Lost)
    assert isinstance(read_answer(200, {"Content-Type": "application/json; charset=klingon"}, b'{"result": 1}'), Lost)
    assert isinstance(read_answer(500, {"Content-Type": "text/html; charset=klingon"}, b"\xff"), Lost)
    assert isinstance(read_answer(200, {"Content-Type": "application/json; charset=zip"}, b'{"result": 1}'), Lost)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 408, 500, 501, 502, 503, 504, 520, 999])
def test_statuses_that_leave_the_effect_unknown(status: int) -> None:
    for body in (b"", b"<h1>Oops</h1>", json.dumps({"error": ROW_TEXT}).encode()):
        seen = read_answer(status, HTML | {"Location": "http://b/\x1b[31m"}, body)
        assert isinstance(seen, Lost)
        assert str(status) in seen.text
        assert seen.text.isprintable()


def test_a_crash_page_with_a_text_of_the_system_proves_nothing() -> None:
    assert isinstance(read_answer(500, HTML, SYSTEM_TEXT.encode()), Lost)


def test_busy_by_status() -> None:
    assert read(b"", 429) == Busy("HTTP 429 Too Many Requests", recognised=False)
    assert read(b"", 429, Retry_After="3") == Busy("HTTP 429 Too Many Requests", 3.0, recognised=False)
    assert read(b"", 503, Retry_After="soon") == Busy("HTTP 503 Service Unavailable", recognised=False)
    assert read({"error": BUSY_TEXT}, 503) == Busy(f"HTTP 503 Service Unavailable: {BUSY_TEXT}")
    assert isinstance(read(BUSY_TEXT.encode(), 503), Lost)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407])
def test_refusals_of_everything(status: int) -> None:
    assert isinstance(read(b"<h1>Not here</h1>", status), SystemRefused)


def test_other_refusals_go_by_the_catalogue() -> None:
    assert read({"error": ROW_TEXT}, 400) == RowRefused(f"HTTP 400 Bad Request: {ROW_TEXT}", recognised=True)
    assert read({"error": ROW_TEXT}, 404) == RowRefused(f"HTTP 404 Not Found: {ROW_TEXT}", recognised=True)
    assert read({"error": BUSY_TEXT}, 409) == Busy(f"HTTP 409 Conflict: {BUSY_TEXT}")
    assert read(SYSTEM_TEXT.encode(), 400) == SystemRefused(f"HTTP 400 Bad Request: {SYSTEM_TEXT}", recognised=False)
    assert read(ROW_TEXT.encode(), 400) == RowRefused(f"HTTP 400 Bad Request: {ROW_TEXT}", recognised=False)
    assert read(b"", 418) == RowRefused("HTTP 418 I'm a Teapot", recognised=False)


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


def test_a_date_to_retry_after_is_measured_by_the_wall_clock() -> None:
    seen = read_answer(429, {"Retry-After": formatdate(NOW + 5, usegmt=True)}, b"", now=NOW)
    assert isinstance(seen, Busy)
    assert seen.retry_after == pytest.approx(5.0)
    assert retry_after(formatdate(0)) == pytest.approx(0.0)


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


def test_secrets_are_taken_out_of_texts_in_any_spelling() -> None:
    secrets = ("тайна+1", "k&y")
    body = "<p>POST тайна+1 %D1%82%D0%B0%D0%B9%D0%BD%D0%B0%2B1 \\u0442\\u0430\\u0439\\u043d\\u0430+1 k&amp;y</p>"
    for status in (200, 400, 500):
        seen = read_answer(status, HTML, body.encode(), mask=Mask(secrets))
        assert isinstance(seen, Lost | RowRefused)
        assert seen.text.count("•••") == 4


@pytest.mark.slow
@given(st.binary(max_size=200), st.integers(min_value=100, max_value=599), st.booleans(), st.text())
def test_any_answer_can_be_read(body: bytes, status: int, cabinet: bool, content_type: str) -> None:
    seen = read_answer(status, {"Content-Type": content_type, "Retry-After": content_type}, body, cabinet=cabinet)
    assert not isinstance(seen, NotSent)
    if not isinstance(seen, Accepted):
        assert seen.text
        assert seen.text.isprintable()
        assert len(seen.text) <= SHOWN


@given(st.text(max_size=2000))
def test_any_text_can_be_made_readable(text: str) -> None:
    shown = readable(text)
    assert shown.isprintable()
    assert len(shown) <= SHOWN


@pytest.mark.parametrize(
    ("result", "key"),
    [
        ({"pk": 5, "model": "m", "fields": {"id": 6}}, "5"),
        ({"pk": "5"}, "5"),
        ({"pk": None, "fields": {"id": 6}}, "6"),
        ({"fields": {"op_id": 7}}, "7"),
        ({"id": 5}, "5"),
        (5, "5"),
        ("5", "5"),
        ([{"pk": 5}], "5"),
        (["5"], "5"),
        (None, None),
        (True, None),
        ("ok", None),
        ("", None),
        ({}, None),
        ([], None),
        ([1, 2], None),
        ([[1]], None),
        ({"pk": True}, None),
    ],
)
def test_the_key_of_a_created_object(result: object, key: str | None) -> None:
    assert created_id(result) == key


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
