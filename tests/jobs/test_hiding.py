"""Secrets within the chains that people write, and in what is said of a call."""

import pytest

from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from jobs.hiding import secret_placeholders, told_secrets, without_words
from jobs.templates import parse


@pytest.mark.parametrize(
    ("link", "placeholders", "told"),
    [
        ('set_password {"psw": "{word}", "dontshow": {show}}', {"word"}, False),
        ('set_password {"psw": {word}}', {"word"}, False),
        ('set_password {"psw": "a{word}"}', {"word"}, True),
        ('set_password {"psw": "1234", "dontshow": true}', set(), True),
        ('set_password {"PSW": 1234}', set(), True),
        ('set {"psw": "", "password": null, "login": "{login}"}', set(), False),
        ('x {"in": [{"suid": ["{one}", {two}]}], "id": {id}}', {"one", "two"}, False),
        ("save", set(), False),
    ],
)
def test_secrets_of_a_chain(link: str, placeholders: set[str], told: bool) -> None:
    template = parse("Users", ('objects.get {"id": {id}}', link))
    assert secret_placeholders(template) == placeholders
    assert told_secrets(template) is told


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (Accepted("5"), Accepted("5")),
        (Busy('{"psw": "x1"}', 5.0), Busy('{"psw":"•••"}', 5.0)),
        (NotSent("no name"), NotSent("no name")),
        (RowRefused("psw=x1 no", recognised=False), RowRefused("psw=••• no", recognised=False)),
        (SystemRefused("suid: x1", passing=True), SystemRefused("suid: •••", passing=True)),
        (Lost("HTTP 500: password='x1'"), Lost("HTTP 500: password=•••'")),
        (
            Lost("HTTP 200, but not the billing's JSON (bad): x1"),
            Lost("HTTP 200, but not the billing's JSON; what it says is not shown, for a secret may be in it"),
        ),
    ],
)
def test_what_is_said_of_a_call_whose_answer_holds_a_secret(seen: Evidence, told: Evidence) -> None:
    assert without_words(seen) == told
