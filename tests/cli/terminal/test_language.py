"""Russian and English: which one is taken, and how each writes numbers."""

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from cli.main import COMMANDS
from cli.terminal.language import ENGLISH, RUSSIAN, language, system_language, typed_language
from tests.cli.conftest import Typed
from texts.said import Quantity, said


@pytest.mark.parametrize(
    ("environment", "taken"),
    [
        ({}, ENGLISH),
        ({"LANG": "ru_RU.UTF-8"}, RUSSIAN),
        ({"LANG": "ru"}, RUSSIAN),
        ({"LANG": "russian"}, RUSSIAN),
        ({"LANG": "rusty"}, ENGLISH),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C"}, ENGLISH),
        ({"LANG": "C", "LC_MESSAGES": "ru_RU.KOI8-R"}, RUSSIAN),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "POSIX"}, ENGLISH),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": ""}, RUSSIAN),
        ({"LANG": "de_DE.UTF-8"}, ENGLISH),
    ],
)
def test_the_first_locale_variable_that_is_set_decides(environment: dict[str, str], taken: str) -> None:
    assert system_language(environment) == taken


def test_numbers_are_written_as_the_language_writes_them() -> None:
    amount = Decimal("-12542889.1")
    assert language(ENGLISH).write(amount) == "−12\u00a0542\u00a0889.10"
    assert language(RUSSIAN).write(amount) == "−12\u00a0542\u00a0889,10\u00a0₽"
    assert language(RUSSIAN).write(Decimal(0)) == "0,00\u00a0₽"
    assert language(ENGLISH).write(Quantity(40203)) == "40\u00a0203"
    assert language(ENGLISH).write(8082) == "8082", "a port is a name"


def test_a_moment_says_its_zone() -> None:
    moment = datetime(2026, 11, 26, 3, 43, 37, tzinfo=UTC)
    local = moment.astimezone()
    assert language(RUSSIAN).write(moment) == f"{local:%d.%m.%Y %H:%M:%S} (UTC{local.isoformat()[-6:]})"
    assert language(ENGLISH).write(moment).startswith(f"{local:%Y-%m-%d %H:%M:%S}")


def test_what_the_catalogue_lacks_is_english() -> None:
    assert language(RUSSIAN).render(said("a sentence of {nobody}", nobody="x")) == "a sentence of x"


@pytest.mark.parametrize(
    ("line", "variable", "settings", "taken"),
    [
        ("run --lang en", "ru", "language = 'ru'", ENGLISH),
        ("run --lang=en -y", "ru", "", ENGLISH),
        ("run", "ru", "language = 'en'", RUSSIAN),
        ("run", "", "language = 'en'", ENGLISH),
        ("run", "", "", RUSSIAN),
        ("", "", "", RUSSIAN),
        ("run --lang", "", "", RUSSIAN),
        ("run --lang xx", "yy", "language = 'zz'", RUSSIAN),
        ("run", "", "language = [", RUSSIAN),
        ("run", "", "language = 7", RUSSIAN),
        ("run --config other.toml", "", "language = 'ru'", ENGLISH),
        ("run --config nowhere.toml", "", "language = 'en'", RUSSIAN),
        ("run --config .", "", "language = 'en'", RUSSIAN),
    ],
)
def test_the_language_of_a_command_is_that_of_the_first_who_names_one(
    line: str, variable: str, settings: str, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "carbon-migrate.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "other.toml").write_text("language = 'en'", encoding="utf-8")
    environment = {"CARBON_MIGRATE_LANG": variable, "LANG": "ru_RU.UTF-8"}
    assert typed_language(line.split(), environment) == taken


def test_a_command_speaks_the_language_that_is_typed_and_forgets_it(typed: Typed) -> None:
    assert "неизвестный язык" in typed("--lang", "ru", "status", "--lang", "xx").words
    assert "is not a language" in typed("status", "--lang", "xx").words


# ---- Help and usage errors: those of typer, in the language of the reader


HELP = Path(__file__).parent / "help"


@pytest.mark.parametrize(("screen", "command"), [("program", ""), ("run", "run"), ("run-balances", "run balances")])
def test_the_help_in_russian_at_80_columns(
    screen: str, command: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SCREENS=write` writes the file anew, as for the other screens."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = "\n".join(line.rstrip() for line in typed(*command.split(), "--help", "--lang", "ru").out.splitlines())
    file = HELP / f"{screen}.txt"
    if os.environ.get("SCREENS") == "write":
        file.write_text(f"{shown}\n", encoding="utf-8")
    assert f"{shown}\n" == file.read_text(encoding="utf-8")


def test_a_paragraph_of_the_help_is_broken_by_the_terminal_alone(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (line,) = (line for line in typed("selftest", "--help").out.splitlines() if "Each round" in line)
    assert line.strip().endswith("of the settings are not used.")


@pytest.mark.parametrize(
    ("line", "english", "russian"),
    [
        ("nosuch", "No such command 'nosuch'.", "Нет команды «nosuch»."),
        ("statu", "Did you mean 'status'?", "Возможно, имелась в виду 'status'?"),
        ("status --wach", "No such option: --wach (Possible options: --watch)", "Нет параметра --wach (похожие"),
        ("status -z", "No such option: -z", "Нет параметра -z"),
        ("decide", "Missing argument 'RUN'.", "Не указан аргумент 'RUN'."),
        ("mock init x", "Missing option '--abonents'.", "Не указан параметр '--abonents'."),
        ("status a b", "Got unexpected extra argument(s) (b)", "Лишние аргументы: b"),
        ("run --set", "Option '--set' requires an argument.", "Параметру --set нужно значение."),
        ("run --yes=1", "Option '--yes' does not take a value.", "Параметр --yes указывается без значения."),
        ("mock init x --abonents 0", "'--abonents': it is below 1", "'--abonents': оно меньше 1"),
        ("mock serve x --port 65536", "'--port': it is above 65535", "'--port': оно больше 65535"),
        ("mock init x --abonents a", "'--abonents': a whole number is expected", "нужно целое число"),
        ("mock serve x --latency-ms a", "'--latency-ms': a number is expected", "нужно число"),
        (
            "run --shared-accounts z",
            "'z' is not one of 'sum', 'last', 'refuse'.",
            "«z» — недопустимое значение; допустимы: 'sum'",
        ),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said_in_both(
    line: str, english: str, russian: str, typed: Typed
) -> None:
    told, said = typed(*line.split()), typed("--lang", "ru", *line.split())
    assert (told.exit, told.out) == (said.exit, said.out) == (2, "")
    assert english in told.words
    assert russian in said.words
    assert "Ошибка" in said.words
    assert english not in said.words


def test_a_language_alone_shows_the_help(typed: Typed) -> None:
    alone, asked = typed("--lang", "ru"), typed("--lang", "ru", "--help")
    assert (alone.exit, alone.out.rstrip()) == (2, asked.out.rstrip())
    assert "Не указана команда." in typed("mock", "--lang", "ru").words


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_no_command_has_a_word_of_english_prose(name: str, typed: Typed) -> None:
    words = typed(name, "--help", "--lang", "ru").out.split()
    assert [
        word for word in ("the", "The", "and", "with", "Arguments", "Options", "[default:") if word in words
    ] == []
