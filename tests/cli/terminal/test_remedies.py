"""What a person can type, as the engine's errors and stops tell it."""

import pytest

from cli.terminal.remedies import command_line, describe_error, render
from engine.errors import InputRefused, Remedy, lines, setting
from engine.pacing.holds import Stop, StopKind


@pytest.mark.parametrize(
    ("remedy", "typed", "plain"),
    [
        (setting("again"), "--again", "again"),
        (setting("columns", "a,b"), "--columns a,b", "columns a,b"),
        (Remedy("resume"), "`carbon-migrate resume`", "`resume`"),
        (
            Remedy("resume", "k7m2q", (("limit-money", "AMOUNT"), ("no-canary", ""))),
            "`carbon-migrate resume k7m2q --limit-money AMOUNT --no-canary`",
            "`resume k7m2q limit-money AMOUNT no-canary`",
        ),
        (
            Remedy(settings=(("database", "HOST:PATH"),), lasting=True),
            "--database HOST:PATH, with CARBON_MIGRATE_DATABASE, or as address in [database] of carbon-migrate.toml",
            "database HOST:PATH",
        ),
    ],
)
def test_a_remedy_is_told_as_it_is_typed_and_in_plain_words(remedy: Remedy, typed: str, plain: str) -> None:
    assert command_line(remedy) == typed
    assert str(remedy) == plain


def test_an_error_is_told_with_its_remedy_in_its_place() -> None:
    error = InputRefused("a.csv names its columns itself: leave ", setting("columns"), " out")
    assert describe_error(error) == "a.csv names its columns itself: leave --columns out"
    assert str(error) == "a.csv names its columns itself: leave columns out"
    assert describe_error(ValueError("not ours")) == "not ours"


def test_faults_are_told_a_line_each_with_their_remedies() -> None:
    said = lines([("no such column",), ("no value: give ", setting("set", "folder=…"))])
    assert render(said) == "no such column\nno value: give --set folder=…"
    assert render("a sentence without a remedy") == "a sentence without a remedy"


def test_a_stop_keeps_its_first_reason_and_its_remedy() -> None:
    stop = Stop()
    stop.request(StopKind.SYSTEM, "the billing is away; ", Remedy("resume", "k7m2q"), " goes on")
    stop.request(StopKind.BUDGET, "too late")
    assert render(stop.said) == "the billing is away; `carbon-migrate resume k7m2q` goes on"
