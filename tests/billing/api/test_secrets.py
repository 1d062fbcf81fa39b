"""No spelling of a secret survives; what holds none stays as it is, byte for byte."""

import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.secrets import SecretRemover
from billing.secret import PLACEHOLDER, SHORTEST, credentials

AWKWARD = 'Тай"на\\ /+&<1>'
JSON = {"Content-Type": "application/json"}


def spellings(secret: str) -> set[str]:
    ascii_only, plain = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
    return {
        secret,
        ascii_only,
        plain,
        json.dumps(ascii_only)[1:-1],
        json.dumps(plain, ensure_ascii=False)[1:-1],
        quote(secret),
        quote_plus(secret),
        quote(secret, safe=""),
        quote_plus(secret).replace("%D0", "%d0").replace("%D1", "%d1") if secret.isascii() else quote_plus(secret),
        quote_plus(plain),
        html.escape(secret),
        secret.encode("unicode_escape").decode(),
    }


@pytest.mark.parametrize("spelling", sorted(spellings(AWKWARD)))
def test_each_spelling_goes(spelling: str) -> None:
    concealer = SecretRemover((), [AWKWARD])
    assert concealer.text(f"before {spelling} after") == f"before {PLACEHOLDER} after"
    page = f"<html>{spelling}</html>".encode()
    assert concealer.body({"Content-Type": "text/html"}, page) == f"<html>{PLACEHOLDER}</html>".encode()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="•«»"), min_size=SHORTEST, max_size=20))
def test_any_secret_goes_from_json_that_stays_json(secret: str) -> None:
    concealer = SecretRemover((), [secret])
    body = {"я": [f"«{secret}»", {"ж": secret}], "ю": json.dumps({"э": [f"«{secret}»"]})}
    for ascii_only in (True, False):
        text = concealer.text(json.dumps(body, ensure_ascii=ascii_only))
        parsed = json.loads(text)
        assert parsed["я"] == ["«•••»", {"ж": "•••"}]
        assert json.loads(parsed["ю"]) == {"э": ["«•••»"]}


def test_what_holds_no_secret_stays_byte_for_byte() -> None:
    concealer = SecretRemover(["key"], ["absent"])
    body = b'{"result":  [1.50, 12345678901234567890, "\\u0442", true]}'
    assert concealer.body(JSON, body) is body
    assert concealer.form([("method1", "objects.get"), ("arg1", '{"id": 5}')]) == [
        ("method1", "objects.get"),
        ("arg1", '{"id": 5}'),
    ]


def test_secrets_by_name_in_requests_and_answers() -> None:
    concealer = SecretRemover(["api_key"])
    form = [("arg2", '{"psw": "qwerty", "dontshow": 1}'), ("API_KEY", "k"), ("hash_key", ""), ("fields", '["id"]')]
    assert list(concealer.secrets_in(form)) == ["qwerty", "k", ""]
    assert concealer.form(form) == [
        ("arg2", '{"psw":"•••","dontshow":1}'),
        ("API_KEY", "•••"),
        ("hash_key", ""),
        ("fields", '["id"]'),
    ]
    inner = json.dumps({"suid": "s-1234", "ip": "10.0.0.1"})
    answer = {"result": [inner, {"password": 987654, "seen": 987654, "text": "is 987654"}], "psw": None}
    assert json.loads(concealer.body(JSON, json.dumps(answer).encode())) == {
        "result": ['{"suid":"•••","ip":"10.0.0.1"}', {"password": "•••", "seen": "•••", "text": "is •••"}],
        "psw": None,
    }


def test_the_numbers_around_a_secret_keep_every_digit() -> None:
    body = b'{"op_summa": 1.50, "big": 123456789012345678901234567890, "psw": "abcdef"}'
    assert SecretRemover().body(JSON, body) == (
        '{"op_summa":1.50,"big":123456789012345678901234567890,"psw":"•••"}'.encode()
    )


def test_a_short_secret_goes_only_where_it_stands_alone() -> None:
    concealer = SecretRemover((), ["12"])
    assert concealer.text('{"a":"12","b":"3125","c":12}') == '{"a":"•••","b":"3125","c":12}'


def test_the_session_of_a_cabinet_is_a_secret_result() -> None:
    body = b'{"call": "x", "result": "f00dcafe"}'
    concealed = SecretRemover().body(JSON, body, ["get_or_create_dynamic_session"])
    assert json.loads(concealed) == {"call": "x", "result": "•••"}
    assert SecretRemover().body(JSON, body, ["objects.get"]) is body


def test_half_an_answer_and_a_page_that_prints_the_form() -> None:
    concealer = SecretRemover()
    assert concealer.body(JSON, b'{"result": {"psw": "abc def') == '{"result": {"psw": •••'.encode()
    page = concealer.body({}, b"<pre>method1=x&psw=abcdef&amp;</pre> password: 'a b'")
    assert page == "<pre>method1=x&psw=•••&amp;</pre> password: •••'".encode()


@pytest.mark.parametrize("charset", ["cp1251", "koi8-r", "utf-16-le"])
def test_other_encodings(charset: str) -> None:
    secret = "пароль-1"
    body = f"<p>{secret}</p>".encode(charset)
    for named in (f"text/html; charset={charset}", "text/html; charset=utf-8", "text/html; charset=nonsense"):
        assert secret.encode(charset) not in SecretRemover((), [secret]).body({"Content-Type": named}, body)


def test_json_in_another_encoding_stays_in_it() -> None:
    body = '{"result": "пароль-1", "имя": 1}'.encode("cp1251")
    concealed = SecretRemover((), ["пароль-1"]).body({"Content-Type": "application/json; charset=cp1251"}, body)
    assert json.loads(concealed.decode("cp1251")) == {"result": "•••", "имя": 1}


def test_credentials_of_a_header() -> None:
    assert credentials("token-1") == ["token-1"]
    assert credentials("Bearer abcd") == ["Bearer abcd", "abcd"]
    assert credentials("Basic dTpw") == ["Basic dTpw", "dTpw", "u:p", "p"]
    assert credentials("Basic ~") == ["Basic ~", "~"]
