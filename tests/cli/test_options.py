"""The options of all commands: named alike, and none that a command does not use."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cli.main import COMMANDS, load
from tests.cli.conftest import Typed

UNLIKE = {
    "--output": {"FILE", "DIR|FILE"},
    "--map": {"NAME=COLUMN", "FILE.toml|FIELD=COLUMN"},
}
"""Options that take more than one kind of word, for a reason: a plan has several files, or is one; the columns of an
import are many, and stand in a file.
"""

OPENS_THE_BILLING = {"open_session", "open_billing", "open_file_database", "start"}
ASKS_THE_API = {"BillingClient", *OPENS_THE_BILLING}
"""What a command's file uses that needs the flags of the connection; `start` begins a run."""


def commands() -> Iterator[tuple[str, Any]]:
    """All commands, those of a group each by itself."""
    for name in COMMANDS:
        command = load(name)
        for own, one in getattr(command, "commands", {"": command}).items():
            yield f"{name} {own}".strip(), one


def options(command: Any) -> Iterator[Any]:
    return (one for one in command.params if one.param_type_name == "option")


ALL = dict(commands())


def longest(option: Any) -> str:
    return str(max(option.opts, key=len))


def shown(name: str) -> set[str]:
    return {longest(option) for option in options(ALL[name])}


def names_used_by(name: str) -> set[str]:
    """The names that a command's file mentions: of `mock replay` and `mock diff` that of the group they come from."""
    module = COMMANDS[name.split(maxsplit=1)[0]].module
    if name in {"mock replay", "mock diff"}:
        module = "cli.commands.replay"
    tree = ast.parse(Path(str(import_module(module).__file__)).read_text(encoding="utf-8"))
    imported = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
    return {
        alias.name for one in imported for alias in one.names if one.module and not one.module.startswith("typing")
    }


def test_an_option_has_one_short_name_and_takes_one_kind_of_word_everywhere() -> None:
    shorts: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    words: defaultdict[str, set[str]] = defaultdict(set)
    longs: defaultdict[str, set[str]] = defaultdict(set)
    for command in ALL.values():
        for option in options(command):
            short = tuple(one for one in option.opts if not one.startswith("--"))
            shorts[longest(option)].add(short)
            words[longest(option)].add(option.metavar or "")
            for one in short:
                longs[one].add(longest(option))
    assert {name: found for name, found in shorts.items() if len(found) > 1} == {}
    assert {name: found for name, found in longs.items() if len(found) > 1} == {}
    assert {name: found for name, found in words.items() if len(found) > 1} == UNLIKE


def test_every_option_and_argument_says_what_it_is_for() -> None:
    assert [(name, one.name) for name, command in ALL.items() for one in command.params if not one.help] == []


def test_no_two_options_differ_by_a_letter_alone() -> None:
    names = {longest(option).lstrip("-") for command in ALL.values() for option in options(command)}
    assert {(name, f"{name}s") for name in names if f"{name}s" in names} == {("abonent", "abonents")}


@pytest.mark.parametrize("name", ALL)
def test_a_command_shows_the_flags_of_what_it_opens_and_no_others(name: str) -> None:
    used = names_used_by(name)
    if name.startswith("mock ") and name != "mock diff":
        used = set()
    assert ("--database" in shown(name)) is bool(used & OPENS_THE_BILLING)
    assert ("--timeout" in shown(name)) is bool(used & ASKS_THE_API)
    # Only what asks the billing has steps to log.
    assert "--verbose" not in shown(name) or used & OPENS_THE_BILLING
    assert "--force" in shown(name) or "--output" not in shown(name)


HELD: Mapping[str, tuple[str, ...]] = {
    "--settle": ("run", "import", "resume", "undo", "reconcile", "probe"),
    "--rate": ("run", "import", "resume", "undo", "reconcile", "plan", "verify"),
    "--in-flight": ("run", "import", "resume", "undo"),
    "--fault": ("mock serve", "selftest"),
}


@pytest.mark.parametrize("option", HELD)
def test_an_option_is_where_it_has_an_effect(option: str) -> None:
    assert {name for name in ALL if option in shown(name)} == set(HELD[option])


def test_json_can_be_had_of_every_command_that_tells_something() -> None:
    without = {name for name in ALL if "--json" not in shown(name)}
    assert without == {"demo", "mock init", "mock serve", "mock replay", "mock diff", "completion"}


def test_every_command_takes_the_language_of_its_reader() -> None:
    assert [name for name in ALL if "--lang" not in shown(name)] == []


@pytest.mark.parametrize("name", ["", *ALL])
def test_a_language_that_there_is_not_is_refused(name: str, typed: Typed) -> None:
    before, after = typed(*name.split(), "--lang", "xx", "--help"), typed(*name.split(), "--help", "--lang=xx")
    assert (before.exit, before.words) == (2, "✗ --lang: xx is not a language; there are: en, ru")
    assert (after.exit, after.err) == (0, ""), "help was asked for first"


@pytest.mark.parametrize("command", [("run",), ("decide",), ("mock", "serve"), ("export",)])
def test_the_help_shows_words_and_no_types_of_python(typed: Typed, command: tuple[str, ...]) -> None:
    shown_help = typed(*command, "--help").out
    assert [word for word in ("<bool>", "<str>", "<path>", "<int>", "<float>") if word in shown_help] == []


@pytest.mark.parametrize("name", ALL)
def test_no_word_of_the_help_is_cut_at_80_columns(name: str, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown_help = typed(*name.split(), "--help").out
    assert max(map(len, shown_help.splitlines())) <= 80
    words = set(shown_help.replace("│", " ").split())
    for one in (one for one in ALL[name].params if not getattr(one, "hidden", False)):
        assert set((one.help or "").split()) <= words, one.name


def test_a_mistyped_option_or_command_gets_a_suggestion(typed: Typed) -> None:
    for command, meant in ((("plan", "balances", "--outptu", "x"), "--output"), (("exprot", "x"), "export")):
        typed.refused(*command, says=meant)
