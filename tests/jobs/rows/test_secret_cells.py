"""Secrets within the chains that people write, and in what is said of a call."""

import pytest

from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from jobs.rows.secret_cells import without_words
from jobs.spec.chain import parse
from jobs.spec.chain_kind import describe_secret_arguments, names_secret, secret_placeholders


@pytest.mark.parametrize(
    ("link", "placeholders", "told", "named"),
    [
        ('set_password {"psw": "{word}", "dontshow": {show}}', {"word"}, "", True),
        ('set_password {"psw": {word}}', {"word"}, "", True),
        ('set_password {"psw": "a{word}"}', {"word"}, "psw", True),
        ('set_password {"psw": "1234", "dontshow": true}', set(), "psw", True),
        ('set_password {"PSW": 1234}', set(), "PSW", True),
        ('set {"psw": "", "password": null, "login": "{login}"}', set(), "", True),
        ('x {"in": [{"suid": ["{one}", {two}]}], "id": {id}}', {"one", "two"}, "", True),
        ('x {"hash_key": {"of": "word"}}', set(), "hash_key", True),
        ('set {"login": "psw", "dontshow": true}', set(), "", False),
        ("save", set(), "", False),
    ],
)
def test_secrets_of_a_chain(link: str, placeholders: set[str], told: str, named: bool) -> None:
    template = parse("Users", ('objects.get {"id": {id}}', link))
    assert secret_placeholders(template) == placeholders
    assert describe_secret_arguments(template) == told
    assert names_secret(template) is named


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (Accepted("5"), Accepted("5")),
        (Busy('{"psw": "x1"}', 5.0), Busy('{"psw":"•••"}', 5.0)),
        (NotSent("no name"), NotSent("no name")),
        (RowRefused("psw=x1 no", recognised=False), RowRefused("psw=••• no", recognised=False)),
        (SystemRefused("suid: x1"), SystemRefused("suid: •••")),
        (Lost("HTTP 500: password='x1'"), Lost("HTTP 500: password=•••'")),
        (
            Lost("HTTP 200, but not the billing's JSON (bad): x1"),
            Lost("HTTP 200, but not the billing's JSON; what it says is not shown, for a secret may be in it"),
        ),
    ],
)
def test_what_is_said_of_a_call_whose_answer_holds_a_secret(seen: Evidence, told: Evidence) -> None:
    assert without_words(seen) == told
