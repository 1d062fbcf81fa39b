"""Sentences as values: the English text is what they are, and any language can be made of what they carry."""

import copy
import errno
import os
import pickle
import sqlite3
from contextlib import closing
from contextvars import copy_context
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from checkpoints.errors import RunPurged
from cli.terminal.texts import RUSSIAN, language
from engine.pacing.policy import ALL, Policy, describe_policy, policy_with
from texts.said import (
    Language,
    Quantity,
    Said,
    advise_settings,
    advised,
    any_of,
    command_line,
    counted,
    enumerated,
    from_json,
    in_lines,
    reason_of,
    said,
    setting,
    text_of,
    to_json,
)


class Shouting(Language):
    """A language of capital letters, whose values stand in brackets."""

    name = "shouting"

    def translate(self, template: str) -> str:
        return template.replace("run ", "RUN ")

    def translate_counted(self, one: str, many: str, n: int) -> str:
        return f"{n}! " + (one if n == 1 else many)

    def write(self, value: float | Decimal | date) -> str:
        return f"[{value}]"


def test_a_sentence_is_its_english_text() -> None:
    sentence = said("run {run} has {sum} for line {line}", run="k7m2q", sum=Decimal("-1234.5"), line=1234)
    assert sentence == "run k7m2q has -1234.50 for line 1234"
    assert hash(sentence) == hash(str(sentence))
    assert counted("{n} row[s]", 1) == "1 row"
    assert counted("{n} row[s]", 12345) == "12345 rows"
    assert said("at {when}", when=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "at 2026-01-02T03:04:05+00:00"
    assert said("of {all}", all=("a", said("line {n}", n=2))) == "of a, line 2"


@pytest.mark.parametrize(
    ("sentence", "one", "several", "in_russian"),
    [
        ("{n} row[s] [was|were] skipped", "1 row was skipped", "2 rows were skipped", "пропущены 2 строки"),
        ("and {n} more", "and 1 more", "and 2 more", "и ещё 2"),
        ("{n} [entry|entries] of [the |]row[s]", "1 entry of the row", "2 entries of rows", "2 entries of rows"),
    ],
)
def test_a_sentence_about_a_number_stands_once(sentence: str, one: str, several: str, in_russian: str) -> None:
    assert counted(sentence, 1) == one
    for found in (counted(sentence, 2), from_json(to_json(counted(sentence, 2)))):
        assert found == several
        assert language(RUSSIAN).render(found) == in_russian
    # A journal and a catalogue have it as two templates, and a value is no part of them.
    assert from_json(to_json(counted("{n} row[s] of {file}", 2, file="[a|b]"))) == "2 rows of [a|b]"


def test_a_language_renders_it_with_all_that_stands_in_it() -> None:
    inner = counted("{n} row[s]", 2)
    sentence = said("run {run}: {rows}, {sum}, {all}", run="k7", rows=inner, sum=Decimal("1.5"), all=(inner, "x"))
    assert Shouting().render(sentence) == "RUN k7: 2! [2] rows, [1.5], 2! [2] rows, x"
    # Braces in a value are text.
    assert said("{name}", name="{run} {0}") == "{run} {0}"
    assert Shouting().render(said("{name}", name="{run}")) == "{run}"
    assert Shouting().render("run k7") == "run k7", "a text that is no sentence stays as it is"
    assert Shouting().render(said("line {line}", line=1234)) == "line [1234]"


def test_a_copy_is_the_same_sentence() -> None:
    sentence = counted("{n} row[s] of {run}", 3, run="k7")
    for other in (copy.deepcopy(sentence), pickle.loads(pickle.dumps(sentence))):  # noqa: S301 - our own bytes
        assert isinstance(other, Said)
        assert (other, other.many, other.n) == (sentence, sentence.many, 3)
        assert other.values == {"n": Quantity(3), "run": "k7"}


def test_several_sentences_are_one_text_of_which_each_is_rendered() -> None:
    rows = [counted("{n} row[s]", n) for n in (1, 2)]
    assert in_lines(["{braces}", *rows]) == "{braces}\n1 row\n2 rows"
    assert Shouting().render(in_lines(["{braces}", *rows])) == "{braces}\n1! [1] row\n2! [2] rows"
    assert in_lines([]) == enumerated([]) == ""
    assert enumerated(["{braces}", *rows]) == "{braces}, 1 row, 2 rows"
    assert Shouting().render(enumerated(rows)) == "1! [1] row, 2! [2] rows"
    assert any_of(["a", "b", "c"]) == "a, b or c"
    assert any_of(["a"]) == "a"


# ---- What a person can type, as sentences tell it


@pytest.mark.parametrize(
    ("remedy", "typed"),
    [
        (setting("again"), "--again"),
        (setting("columns", "a,b"), "--columns a,b"),
        (advised("resume"), "`carbon-migrate resume`"),
        (
            command_line("run", "payment", "p.csv", "-qy", "--yes", "--again"),
            "carbon-migrate run payment p.csv --again",
        ),
        (
            advised("resume", "k7m2q", ("limit-money", "AMOUNT"), ("no-canary", "")),
            "`carbon-migrate resume k7m2q --limit-money AMOUNT --no-canary`",
        ),
    ],
)
def test_a_remedy_is_told_as_it_is_typed(remedy: str, typed: str) -> None:
    assert remedy == typed
    assert said("type {remedy}", remedy=remedy) == f"type {typed}"


def test_what_was_typed_to_find_the_journal_is_typed_again_where_a_command_takes_it_and_has_none() -> None:
    def told() -> list[str]:
        advise_settings({"config": "north.toml", "journal": "my runs/a'b.journal"})
        return [
            command_line("verify", "k7m2q"),
            advised("status", "", ("journal", "/other.journal")),
            command_line("jobs", "JOB"),
        ]

    assert copy_context().run(told) == [
        """carbon-migrate verify k7m2q --config north.toml --journal 'my runs/a'"'"'b.journal'""",
        "`carbon-migrate status --journal /other.journal --config north.toml`",
        "carbon-migrate jobs JOB",
    ]


def test_a_reader_has_measured_numbers_as_his_language_writes_them_also_out_of_the_journal() -> None:
    given = {"rate": "0.5", "max-latency": "1.25", "stop-after-errors": "2,5%", "settle": "60", "canary": "no"}
    told = describe_policy(policy_with(Policy(), given, ALL))
    assert "at most 0.5 calls a second" in told
    for sentence in (told, from_json(to_json(told))):
        russian = language(RUSSIAN).render(sentence)
        assert all(words in russian for words in ("0,5;", "1,25 с", "2,5 %", "60 с")), russian
    purged = RunPurged("k7m2q", datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
    assert "was purged on 2026-03-01:" in str(purged)
    assert "01.03.2026" in language(RUSSIAN).render(from_json(to_json(text_of(purged))))
    reset = reason_of(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
    assert (reset, language(RUSSIAN).render(reset)) == (
        "Connection reset by peer",
        "соединение сброшено другой стороной",
    )
    with closing(sqlite3.connect(":memory:")) as small:
        small.execute("pragma max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as full:
            small.execute("create table rows (cells text)")
    why = said("the journal cannot be written: {error}", error=full.value)
    assert why == "the journal cannot be written: database or disk is full"
    assert language(RUSSIAN).render(why).endswith(": на диске нет места")
