"""A secret is dots wherever it is written, in whatever spelling others show it; what holds none stays as it is."""

import base64
import json
import pickle
from decimal import Decimal
from urllib.parse import quote, quote_from_bytes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.secrets import SecretRemover
from billing.secret import PLACEHOLDER, SHORTEST, Mask, Secret, credentials

TEXT = "Тай&на №7"


def test_a_secret_is_dots_wherever_it_is_written() -> None:
    secret = Secret(TEXT)
    written = [str(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", "%s" % secret, f"{[secret]}", f"{secret!a}"]  # noqa: UP031 - the old way too
    assert not [each for each in written if "на" in each]
    assert msgspec.json.encode({"psw": secret}, enc_hook=str) == msgspec.json.encode({"psw": PLACEHOLDER})
    with pytest.raises(TypeError):
        json.dumps({"psw": secret})
    assert secret.reveal() == pickle.loads(pickle.dumps(secret)).reveal() == TEXT  # noqa: S301 - our own
    assert (bool(secret), bool(Secret()), f"{Secret()}") == (True, False, "")


@pytest.mark.parametrize(
    "spelling",
    [
        TEXT,
        json.dumps(TEXT)[1:-1],
        quote(TEXT),
        "Тай&amp;на №7",
        *(quote_from_bytes(TEXT.encode(charset)) for charset in ("utf-8", "cp1251")),
        *(repr(TEXT.encode(charset)) for charset in ("utf-8", "cp1251")),
        *(base64.b64encode(b"user:" + TEXT.encode(charset)).decode() for charset in ("utf-8", "cp1251")),
        TEXT.encode().decode("cp1251", "backslashreplace"),
        TEXT.encode("cp1251").decode("latin-1"),
        TEXT.encode("cp1251").decode("utf-8", "surrogateescape"),
    ],
)
def test_a_mask_knows_the_spellings_of_others(spelling: str) -> None:
    shown = Mask([TEXT])(f"connect({spelling}) failed")
    assert PLACEHOLDER in shown
    assert not any(part in shown for part in ("на", json.dumps("на")[1:-1], "\udce0", "%D0%B0", "%E0", "\\xe0"))


@given(st.binary(max_size=5), st.text(st.characters(codec="cp1251"), min_size=SHORTEST + 2, max_size=20), st.binary())
def test_a_secret_within_base64(before: bytes, secret: str, after: bytes) -> None:
    for charset in ("utf-8", "cp1251"):
        whole = base64.b64encode(before + secret.encode(charset) + after).decode()
        assert PLACEHOLDER in Mask([secret])(whole)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("psw=1234&x", "psw=•••&x"),
        ("1234", "•••"),
        ("%221234%22 \\n1234 \\u00221234", "%22•••%22 \\n••• \\u0022•••"),
        ("1234.50, 51234, 12345, 7,1234 and a1234", "1234.50, 51234, 12345, 7,1234 and a1234"),
        ("row 12 of abc", "row 12 of •••"),
        ("abcd, abc", "abcd, •••"),
    ],
)
def test_digits_and_short_secrets_go_where_they_stand_alone(text: str, shown: str) -> None:
    assert Mask(["1234", "12", "abc"])(text) == shown


def test_a_value_for_json_keeps_its_numbers() -> None:
    value = {"rows": 1234, "sum": Decimal("1234.00"), "error": ["no 1234 here"], "none": None, "yes": True}
    masked = {"rows": 1234, "sum": "1234.00", "error": ["no ••• here"], "none": None, "yes": True}
    assert Mask(["1234"]).value(value) == masked


JSON = {"Content-Type": "application/json"}


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


def test_secrets_go_from_numbers_sessions_half_answers_and_pages_that_print_the_form() -> None:
    concealer = SecretRemover()
    assert concealer.body(JSON, b'{"result": {"psw": "abc def') == '{"result": {"psw": •••'.encode()
    page = concealer.body({}, b"<pre>method1=x&psw=abcdef&amp;</pre> password: 'a b'")
    assert page == "<pre>method1=x&psw=•••&amp;</pre> password: •••'".encode()
    body = b'{"op_summa": 1.50, "big": 123456789012345678901234567890, "psw": "abcdef"}'
    assert concealer.body(JSON, body) == (
        '{"op_summa":1.50,"big":123456789012345678901234567890,"psw":"•••"}'.encode()
    )
    body = b'{"call": "x", "result": "f00dcafe"}'
    concealed = concealer.body(JSON, body, ["get_or_create_dynamic_session"])
    assert json.loads(concealed) == {"call": "x", "result": "•••"}
    assert concealer.body(JSON, body, ["objects.get"]) is body


@pytest.mark.parametrize("charset", ["cp1251", "koi8-r", "utf-16-le"])
def test_other_encodings(charset: str) -> None:
    secret = "пароль-1"
    body = f"<p>{secret}</p>".encode(charset)
    for named in (f"text/html; charset={charset}", "text/html; charset=utf-8", "text/html; charset=nonsense"):
        assert secret.encode(charset) not in SecretRemover((), [secret]).body({"Content-Type": named}, body)


def test_credentials_of_a_header() -> None:
    assert credentials("token-1") == ["token-1"]
    assert credentials("Bearer abcd") == ["Bearer abcd", "abcd"]
    assert credentials("Basic dTpw") == ["Basic dTpw", "dTpw", "u:p", "p"]
    assert credentials("Basic ~") == ["Basic ~", "~"]
