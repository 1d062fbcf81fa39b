"""What a person can type, as sentences tell it."""

from contextvars import copy_context

import pytest

from engine.errors import InputRefused
from engine.pacing.holds import Stop, StopKind
from texts.remedies import Remedy, advise_settings, command_line, setting
from texts.said import Said, in_lines, said, text_of


@pytest.mark.parametrize(
    ("remedy", "typed"),
    [
        (setting("again"), "--again"),
        (setting("columns", "a,b"), "--columns a,b"),
        (Remedy("resume"), "`carbon-migrate resume`"),
        (
            Remedy("resume", "k7m2q", (("limit-money", "AMOUNT"), ("no-canary", ""))),
            "`carbon-migrate resume k7m2q --limit-money AMOUNT --no-canary`",
        ),
    ],
)
def test_a_remedy_is_told_as_it_is_typed(remedy: Remedy, typed: str) -> None:
    assert str(remedy) == typed
    assert said("type {remedy}", remedy=remedy) == f"type {typed}"


def test_an_error_is_told_with_its_remedy_in_its_place() -> None:
    error = InputRefused(said("a.csv names its columns itself: leave {flag} out", flag=setting("columns")))
    assert text_of(error) == str(error) == "a.csv names its columns itself: leave --columns out"
    assert text_of(ValueError("not ours")) == "not ours"


def test_an_error_is_a_sentence_inside_another() -> None:
    error = InputRefused(said("leave {flag} out", flag=setting("columns")))
    assert isinstance(text_of(error), Said)
    whole = said("{file}: {error}", file="a.csv", error=error)
    assert whole == "a.csv: leave --columns out"
    assert isinstance(whole.values["error"], Said)


def test_faults_are_told_a_line_each_with_their_remedies() -> None:
    faults = in_lines([said("no such column"), said("no value: give {flag}", flag=setting("set", "folder=…"))])
    assert faults == "no such column\nno value: give --set folder=…"
    assert all(isinstance(fault, Said) for fault in faults.values.values())


def test_a_stop_keeps_its_first_reason_and_its_remedy() -> None:
    stop = Stop()
    resume = Remedy("resume", "k7m2q")
    stop.request(StopKind.SYSTEM, said("the billing is away; {resume} goes on", resume=resume))
    stop.request(StopKind.BUDGET, "too late")
    assert stop.reason == "the billing is away; `carbon-migrate resume k7m2q` goes on"
    assert isinstance(stop.reason, Said)


def test_what_was_typed_to_find_the_journal_is_typed_again_where_a_command_takes_it_and_has_none() -> None:
    def advised() -> list[str]:
        advise_settings({"config": "north.toml", "journal": "my runs/a'b.journal"})
        return [
            command_line("verify", "k7m2q"),
            str(Remedy("status", settings=(("journal", "/other.journal"),))),
            command_line("jobs", "JOB"),
        ]

    assert copy_context().run(advised) == [
        """carbon-migrate verify k7m2q --config north.toml --journal 'my runs/a'"'"'b.journal'""",
        "`carbon-migrate status --journal /other.journal --config north.toml`",
        "carbon-migrate jobs JOB",
    ]
