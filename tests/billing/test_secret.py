"""A secret is dots wherever it is written, and in whatever spelling others show it."""

import base64
import json
import pickle
from decimal import Decimal
from urllib.parse import quote, quote_from_bytes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.secret import PLACEHOLDER, SHORTEST, Mask, Secret

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


def test_bytes_of_an_environment_in_another_charset() -> None:
    secret = "пароль".encode("cp1251").decode("utf-8", "surrogateescape")
    mask = Mask([secret])
    escaped = secret.encode("utf-8", "backslashreplace").decode()
    for shown in (secret, repr(secret)[1:-1], "пароль", "%EF%E0%F0%EE%EB%FC", escaped):
        assert mask(f"<{shown}>") == f"<{PLACEHOLDER}>", shown


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
